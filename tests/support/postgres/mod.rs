//! Real PostgreSQL servers on loopback, and what stands between them and smscope: PgBouncer, and a network with faults.
//!
//! The crate's own unit tests can include it by its path, as src/lib.rs does with other files of this folder: it needs `ports` and
//! `tools` beside it, and else only std and dev-dependencies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod pgbouncer;
mod programs;
mod proxy;
mod watchdog;

pub use pgbouncer::PgBouncer;
pub use programs::Version;
pub use proxy::{Direction, Proxy};

use super::ports::free_port;
use programs::{hand_over, psql, runs_as_root, unprivileged};
use watchdog::{Watchdog, signal};

/// How long a server may take for a step before a test gives up on it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Durable as in production, except that it asks for little memory.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 16MB
max_connections = 60
log_min_messages = warning
";

/// A server with its data directory. It ends with the test's process at the latest.
pub struct Server {
    version: Version,
    programs: PathBuf,
    port: u16,
    databases: AtomicU32,
    watchdog: Watchdog,
}

impl Server {
    /// The system's version, started once for all tests of a binary; `None` if it is missing and the test is skipped.
    ///
    /// A test creates a database of its own in it, and leaves the server as it is: a test that kills or stops one starts its own.
    pub fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Server> = OnceLock::new();
        Version::System.programs()?;
        psql()?;
        Some(SERVER.get_or_init(|| Self::start(Version::System).expect("its programs are there")))
    }

    /// A server of this version; `None` if it is missing and the test is skipped.
    pub fn start(version: Version) -> Option<Self> {
        let installed = version.programs()?;
        psql()?;
        let server = Self::new(version, &installed);
        let mut command = server.command("initdb");
        // What initdb writes is synced by the server's first checkpoint, if at all: nothing depends on it.
        command.args(["--no-sync", "--data-checksums", "--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        run(command.args(["--locale=C.UTF-8", "-D"]).arg(server.data()));
        server.append_settings(&format!("{SETTINGS}port = {}\n", server.port));
        server.restart();
        server.sql("postgres", "CREATE ROLE smscope LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE");
        Some(server)
    }

    /// A server that has a folder and no data yet.
    fn new(version: Version, installed: &Path) -> Self {
        let folder = watchdog::folder();
        let mut programs = installed.to_owned();
        if version != Version::System && runs_as_root() {
            // The cache is in a home directory that only its owner may enter.
            programs = folder.join("programs/bin");
            let from = installed.parent().expect("programs are in a folder bin");
            run(Command::new("cp").arg("-a").arg(from).arg(folder.join("programs")));
            hand_over(&folder);
        }
        let cleanup = r#""$1" -D "$2" -m immediate -w -t 10 stop"#;
        let arguments = [programs.join("pg_ctl"), folder.join("data")];
        let watchdog = Watchdog::start(folder, "", cleanup, &arguments.each_ref().map(PathBuf::as_path));
        Self { version, programs, port: free_port(), databases: AtomicU32::new(0), watchdog }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `SMSCOPE_STORE_URL` is to be for a database of this server.
    pub fn url(&self, database: &str) -> String {
        url("smscope", self.port, database)
    }

    /// A new database that the role smscope owns, and in which it has created nothing yet; gives its name.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // template1 may be in use; template0 never is.
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER smscope TEMPLATE template0"));
        name
    }

    /// The same with its tables in this folder; the log and all else of the server stay where they are.
    pub fn create_database_in(&self, folder: &Path) -> String {
        hand_over(folder);
        self.sql("postgres", &format!("CREATE TABLESPACE apart LOCATION '{}'", folder.display()));
        let name = self.create_database();
        self.sql("postgres", &format!("ALTER DATABASE {name} SET TABLESPACE apart"));
        name
    }

    /// Runs a statement as the superuser; gives its rows, a line each, columns separated by `|`.
    #[track_caller]
    pub fn sql(&self, database: &str, statement: &str) -> String {
        query(&url("postgres", self.port, database), statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// Changes a setting that a reload is enough for.
    pub fn set(&self, setting: &str, value: &str) {
        self.sql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"));
        self.sql("postgres", "SELECT pg_reload_conf()");
        self.until("a setting is in force", || self.sql("postgres", &format!("SHOW {setting}")) == value);
    }

    /// SIGKILL of all its processes at once, as when the machine loses its power.
    pub fn kill(&self) {
        let postmaster = self.postmaster().expect("it runs");
        // Stopped first, so that it starts no process that is missing from the list.
        signal("STOP", &[postmaster]);
        let mut processes = children(postmaster);
        processes.push(postmaster);
        signal("KILL", &processes);
        self.until("its processes end", || !processes.iter().any(|&process| runs(process)));
        // A killed process keeps its number until its parent has waited for it, and a server does not start beside that number.
        fs::remove_file(self.data().join("postmaster.pid")).unwrap();
    }

    /// Stops and shuts down in good order; open connections are closed.
    pub fn stop(&self) {
        run(self.pg_ctl("stop").args(["-m", "fast"]));
    }

    /// Starts it after [`Self::kill`] or [`Self::stop`], on the same port.
    pub fn restart(&self) {
        let log = self.log_file();
        let output = output(self.pg_ctl("start").arg("-l").arg(&log));
        assert!(output.status.success(), "{}", self.log());
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A standby that streams from this server, asynchronously at first.
    pub fn standby(&self) -> Self {
        self.standby_through(self.port)
    }

    /// The same through a port that leads to this server, such as a [`Proxy`]'s.
    pub fn standby_through(&self, port: u16) -> Self {
        assert_eq!(self.version, Version::System, "only the system's version has pg_basebackup");
        let standby = Self::new(self.version, &self.programs);
        let mut command = standby.command("pg_basebackup");
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string(), "-D"]).arg(standby.data());
        // Without `-c fast` it waits for the primary's next checkpoint: minutes.
        run(command.args(["-R", "-X", "stream", "-c", "fast"]));
        // It asks a primary that has been restarted sooner than it would.
        let settings = format!("port = {}\ncluster_name = '{}'\n", standby.port, standby.name());
        standby.append_settings(&(settings + "wal_retrieve_retry_interval = '200ms'\n"));
        standby.restart();
        let streams = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{}' AND state = 'streaming'",
            standby.name()
        );
        self.until("the standby streams", || self.sql("postgres", &streams) == "1");
        standby
    }

    /// From now on the role smscope needs a password, and TLS with this certificate and key, in PEM. With `authority`, its clients need a
    /// certificate of that one.
    pub fn require_tls(&self, certificate: &str, key: &str, authority: Option<&str>) {
        let file = |name: &str, content: &str| {
            let path = self.data().join(name);
            fs::write(&path, content).unwrap();
            // A server does not start with a key that others can read.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        file("server.crt", certificate);
        file("server.key", key);
        file("root.crt", authority.unwrap_or(certificate));
        let clients = if authority.is_some() { " clientcert=verify-ca" } else { "" };
        let rules = "host all postgres 127.0.0.1/32 trust\n";
        file("pg_hba.conf", &format!("{rules}hostssl all smscope 127.0.0.1/32 scram-sha-256{clients}\n"));
        hand_over(&self.data());
        self.set("ssl_ca_file", "root.crt");
        self.set("ssl", "on");
    }

    /// Changes the password of the role smscope.
    pub fn set_password(&self, password: &str) {
        self.sql("postgres", &format!("ALTER ROLE smscope PASSWORD '{password}'"));
    }

    /// From now on a commit waits until this standby has it.
    pub fn set_synchronous(&self, standby: &Self) {
        self.set("synchronous_standby_names", &standby.name());
        let state = format!("SELECT sync_state FROM pg_stat_replication WHERE application_name = '{}'", standby.name());
        self.until("the standby is synchronous", || self.sql("postgres", &state) == "sync");
    }

    /// From now on a commit waits for no standby.
    pub fn set_asynchronous(&self) {
        self.set("synchronous_standby_names", "");
    }

    /// Makes a standby a primary; commits on it wait for no standby.
    pub fn promote(&self) {
        run(&mut self.pg_ctl("promote"));
        // It has the primary's settings of the moment of its copy.
        self.set_asynchronous();
    }

    /// The name by which its primary knows a standby.
    fn name(&self) -> String {
        format!("standby_{}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.watchdog.folder().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.watchdog.folder().join("log")
    }

    fn append_settings(&self, settings: &str) {
        let file = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&file).unwrap() + settings;
        fs::write(&file, text).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        unprivileged(&self.programs.join(program))
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(action).arg("-D").arg(self.data()).args(["-w", "-t", &TIMEOUT.as_secs().to_string()]);
        command
    }

    fn postmaster(&self) -> Option<u32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    #[track_caller]
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !condition() {
            assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs a statement by a URL; gives its rows, a line each, columns separated by `|`, or what psql says.
pub fn query(url: &str, statement: &str) -> Result<String, String> {
    let psql = psql().expect("a server is there, and so is psql");
    let mut command = unprivileged(&psql);
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url]);
    let output = output(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn url(role: &str, port: u16, database: &str) -> String {
    format!("postgresql://{role}@127.0.0.1:{port}/{database}")
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[track_caller]
fn run(command: &mut Command) {
    let output = output(command);
    let text = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
}

/// The processes that have this parent: all of a server's are children of its postmaster.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|&process| status(process).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

/// Whether a process still runs; one that has ended and that nobody has waited for holds nothing any more.
fn runs(process: u32) -> bool {
    status(process).is_some_and(|(state, _)| state != 'Z')
}

/// A process's state and parent.
fn status(process: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may have spaces in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
