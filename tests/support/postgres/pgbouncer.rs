//! PgBouncer in front of a server, in transaction mode.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::ports::free_port;
use super::super::tools::{on_path, require_tool};
use super::watchdog::{self, Watchdog};
use super::{Server, TIMEOUT, url};

pub struct PgBouncer {
    port: u16,
    watchdog: Watchdog,
}

impl PgBouncer {
    /// With so many connections to the server per database; `None` if it is missing and the test is skipped.
    pub fn start(server: &Server, connections: usize) -> Option<Self> {
        // Debian has it where only root's PATH looks.
        let installed = on_path("pgbouncer").or_else(|| Some("/usr/sbin/pgbouncer".into()));
        let installed = installed.filter(|file| file.is_file());
        let program = require_tool("PgBouncer", installed, "Debian has it in the package pgbouncer")?;
        let folder = watchdog::folder();
        let users = folder.join("users");
        fs::write(&users, "\"smscope\" \"\"\n").unwrap();
        let port = free_port();
        let configuration = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\nlogfile = {}\npool_mode = transaction\n\
             default_pool_size = {connections}\n",
            server.port(),
            users.display(),
            folder.join("log").display(),
        );
        fs::write(&configuration, text).unwrap();
        let start = r#""$1" "$2" </dev/null & bouncer=$!"#;
        let arguments: [&Path; 2] = [&program, &configuration];
        let watchdog = Watchdog::start(folder, start, "kill -s KILL $bouncer", &arguments);
        let bouncer = Self { port, watchdog };
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{}", bouncer.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(bouncer)
    }

    pub fn url(&self, database: &str) -> String {
        url("smscope", self.port, database)
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.watchdog.folder().join("log")).unwrap_or_default()
    }
}
