//! The real binary: started on free ports, listened to, and never left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::FromSql;
use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Client, Metrics, PATIENCE, TOKEN, eventually, post, request};

/// How a process is to be started. It gets an environment of its own, a data directory of its own and free ports.
#[derive(Clone)]
pub struct Launch {
    /// Holds the configuration file and, unless told otherwise, the data directory.
    pub home: Arc<TempDir>,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    shell: Option<String>,
    user: Option<u32>,
}

/// A process that takes webhooks.
pub struct Smscope {
    pub webhooks: SocketAddr,
    pub admin: SocketAddr,
    pub launch: Launch,
    process: Running,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Launch {
    /// The default source with [`TOKEN`], on free ports.
    pub fn new() -> Self {
        let bare = Self::without_token();
        bare.env("SMSCOPE_TOKEN", TOKEN)
    }

    /// The default source with a token that it makes itself, on free ports.
    pub fn without_token() -> Self {
        let home = Arc::new(TempDir::new().unwrap());
        let data_dir = home.path().join("data");
        let bare = Self {
            home,
            program: env!("CARGO_BIN_EXE_smscope").into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            shell: None,
            user: None,
        };
        bare.env("SMSCOPE_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_DATA_DIR", data_dir.to_str().unwrap())
    }

    /// A configuration file.
    pub fn file(self, toml: &str) -> Self {
        let path = self.home.path().join("smscope.toml");
        std::fs::write(&path, toml).unwrap();
        self.env("SMSCOPE_CONFIG", path.to_str().unwrap())
    }

    /// An environment variable, in place of an earlier value.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// Another copy of the program.
    pub fn program(mut self, path: PathBuf) -> Self {
        self.program = path;
        self
    }

    /// Commands for `sh` that the process inherits the effects of, such as `umask 0`.
    pub fn prepared_by(mut self, shell: &str) -> Self {
        self.shell = Some(shell.to_owned());
        self
    }

    /// What [`Smscope::fill_disk`] needs: the signal that comes with a failed write must not end the process.
    pub fn on_a_disk_that_may_fill_up(self) -> Self {
        self.prepared_by("trap '' XFSZ")
    }

    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub fn data_dir(&self) -> PathBuf {
        let set = self.environment.iter().find(|(name, _)| name == "SMSCOPE_DATA_DIR");
        set.map(|(_, value)| value.into()).unwrap()
    }

    pub fn start(&self) -> Smscope {
        let process = Running::of(self.command());
        let mut addresses = None;
        eventually("smscope gets ready", || {
            assert!(process.is_running(), "ended early: {}", process.stderr());
            addresses = process.stderr().lines().find_map(addresses_in);
            addresses.is_some()
        });
        let (webhooks, admin) = addresses.unwrap();
        // What it prints comes after it is ready.
        eventually("smscope says where it is", || process.stdout().contains("metrics: http"));
        Smscope { webhooks, admin, launch: self.clone(), process }
    }

    /// The same with something on its standard input.
    pub fn run_with(&self, input: &str) -> Ended {
        let mut command = self.command();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that ends by itself.
    pub fn run(&self) -> Ended {
        Running::of(self.command()).end()
    }

    /// Runs commands in one shell, as a person does who has this program as `smscope`. Gives what each prints.
    pub fn shell(&self, commands: &[&str]) -> Vec<String> {
        const END: &str = "\u{1}the end of a command\n";
        let script: String = commands.iter().map(|command| format!("{command}\nprintf '%s' '{END}'\n")).collect();
        let folders = [self.program.parent().unwrap().into(), std::env::var_os("PATH").unwrap_or_default()];
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &script]).env_clear().envs(self.environment.iter().cloned());
        shell.env("PATH", folders.join(std::ffi::OsStr::new(":"))).current_dir(self.home.path());
        let ended = Running::of(shell).end();
        assert_eq!(ended.code, Some(0), "{commands:?}: {ended:?}");
        ended.stdout.split_terminator(END).map(str::to_owned).collect()
    }

    fn command(&self) -> Command {
        let mut command = match &self.shell {
            None => Command::new(&self.program),
            Some(preparation) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\"")).arg(&self.program);
                shell
            }
        };
        if let Some(user) = self.user {
            std::os::unix::process::CommandExt::uid(&mut command, user);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(&self.arguments).env_clear().env("PATH", path).envs(self.environment.iter().cloned());
        command.current_dir(self.home.path());
        command
    }
}

/// What the diagnostics say once webhooks are taken.
fn addresses_in(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |field: &str| line[field].as_str()?.parse().ok();
    (line["message"] == "ready").then_some((address("webhooks")?, address("admin")?))
}

impl Smscope {
    /// The default source with [`TOKEN`].
    pub fn start() -> Self {
        Launch::new().start()
    }

    /// The default source with [`TOKEN`], and this configuration file.
    pub fn with(toml: &str) -> Self {
        Launch::new().file(toml).start()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.webhooks)
    }

    /// Sends one request to the webhook listener, on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        self.client().ask(request)
    }

    /// Posts JSON to a path of the webhook listener.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask(post(path, body))
    }

    /// Sends one request to the admin listener.
    pub fn ask_admin(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(request(method, path, headers, ""));
        if method == "HEAD" { client.head() } else { client.answer() }
    }

    pub fn metrics(&self) -> Metrics {
        let answer = self.ask_admin("GET", "/metrics", &[]);
        assert_eq!(answer.status, 200);
        Metrics::parse(answer.text())
    }

    /// The sum of the series that have these labels, others aside. There has to be one.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.metrics();
        metrics.sum(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {}", metrics.text))
    }

    /// Requests to the default source that ended so.
    pub fn requests(&self, result: &str) -> f64 {
        self.metric("smscope_webhook_requests_total", &[("source", "smsmode"), ("result", result)])
    }

    /// The one value that a query to the store gives.
    pub fn stored<T: FromSql>(&self, query: &str) -> T {
        self.database().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// The rows of a table, as `smscope export` prints them: of receipts SQL does not see everything.
    pub fn exported(&self, table: &str) -> Vec<Value> {
        let launch = Launch { environment: Vec::new(), ..self.launch.clone() };
        let data_dir = self.launch.data_dir();
        let ended = launch.args(&["export", "--table", table, "--data-dir", data_dir.to_str().unwrap()]).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The newest event.
    pub fn newest_event(&self) -> Value {
        self.exported("events").pop().unwrap()
    }

    /// The body of the newest request.
    pub fn newest_body(&self) -> String {
        self.exported("requests").pop().unwrap()["body"].as_str().unwrap().to_owned()
    }

    pub fn database(&self) -> Connection {
        Connection::open(self.launch.data_dir().join("private/smscope.db")).unwrap()
    }

    pub fn id(&self) -> u32 {
        self.process.child.lock().unwrap().id()
    }

    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Asks the process to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        // The shell's own kill, which is there on every machine.
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status().unwrap();
        assert!(status.success());
    }

    /// From now on the files of the process cannot grow: each write past a few KiB fails, as on a full disk.
    pub fn fill_disk(&self) {
        self.limit_files("4096");
    }

    pub fn free_disk(&self) {
        self.limit_files("unlimited");
    }

    fn limit_files(&self, size: &str) {
        let (id, limit) = (self.id().to_string(), format!("--fsize={size}:unlimited"));
        let status = Command::new("prlimit").args(["--pid", &id, &limit]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process, which has been asked to end.
    pub fn end(self) -> Ended {
        self.process.end()
    }
}

/// A child process that is killed, at the latest, when the test is done with it.
struct Running {
    child: Mutex<Child>,
    stdout: Collected,
    stderr: Collected,
}

impl Running {
    fn of(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stdout = Collected::of(child.stdout.take().unwrap());
        let stderr = Collected::of(child.stderr.take().unwrap());
        Self { child: Mutex::new(child), stdout, stderr }
    }

    fn stdout(&self) -> String {
        self.stdout.text.lock().unwrap().clone()
    }

    fn stderr(&self) -> String {
        self.stderr.text.lock().unwrap().clone()
    }

    fn is_running(&self) -> bool {
        self.status().is_none()
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    fn end(mut self) -> Ended {
        let given_up = Instant::now() + PATIENCE;
        let status = loop {
            match self.status() {
                Some(status) => break status,
                None => assert!(Instant::now() < given_up, "it does not end: {}", self.stderr()),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let (stdout, stderr) = (self.stdout.whole(), self.stderr.whole());
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // It may have ended by itself.
        let _ended = child.kill();
        let _reaped = child.wait();
    }
}

/// What a process writes, while it writes.
struct Collected {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Collected {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = text.clone();
        let thread = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, thread: Some(thread) }
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text.lock().unwrap().clone()
    }
}
