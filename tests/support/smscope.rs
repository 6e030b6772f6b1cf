//! The real binary: started on free ports, listened to, and never left behind.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::FromSql;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Client, Ended, Exposition, HOOK, Process, Response, TOKEN, eventually, free_address, holds, post, request,
    run_with_input,
};

/// How a process is to be started. It gets an environment of its own, a data directory of its own and free ports.
#[derive(Clone)]
pub struct Launch {
    /// Holds the configuration file and, by default, the data directory.
    pub home: Arc<TempDir>,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    shell: Option<String>,
    user: Option<u32>,
}

/// A process that accepts webhooks.
pub struct Smscope {
    pub webhooks: SocketAddr,
    pub admin: SocketAddr,
    pub launch: Launch,
    pub process: Process,
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

    /// On ports that are the same after each start.
    pub fn on_fixed_ports(self) -> Self {
        self.env("SMSCOPE_LISTEN", &free_address()).env("SMSCOPE_ADMIN_LISTEN", &free_address())
    }

    /// On ports that stay, so that peers find it after a restart, and with metrics that are pushed soon.
    pub fn among_peers(self) -> Self {
        self.on_fixed_ports().env("OTEL_METRIC_EXPORT_INTERVAL", "200")
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

    pub fn envs<'a>(self, variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        variables.into_iter().fold(self, |launch, (name, value)| launch.env(name, &value))
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// Another copy of the program, or a program that runs it.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
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

    fn variable(&self, name: &str) -> &str {
        let set = self.environment.iter().find(|(known, _)| known == name);
        set.map(|(_, value)| value.as_str()).unwrap()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.variable("SMSCOPE_DATA_DIR").into()
    }

    pub fn database(&self) -> PathBuf {
        self.data_dir().join("private/smscope.db")
    }

    /// Where webhooks are accepted, which is known before the start on fixed ports alone.
    pub fn webhooks(&self) -> SocketAddr {
        self.variable("SMSCOPE_LISTEN").parse().unwrap()
    }

    pub fn start(&self) -> Smscope {
        self.ready(self.spawn())
    }

    /// Starts it and does not wait.
    pub fn spawn(&self) -> Process {
        Process::start("smscope", &mut self.command())
    }

    /// Waits until a process of this launch accepts webhooks.
    pub fn ready(&self, process: Process) -> Smscope {
        let (webhooks, admin) = process.until_ready(|| {
            let log = process.stderr();
            log.lines().find_map(addresses_in).ok_or_else(|| "no line says that it is ready".to_owned())
        });
        // What it prints comes after it is ready.
        process.until_ready(|| process.stdout().contains("metrics: http"));
        Smscope { webhooks, admin, launch: self.clone(), process }
    }

    /// The same as [`run`](Self::run), with something on its standard input.
    pub fn run_with(&self, input: &str) -> Ended {
        let output = run_with_input(&mut self.command(), input);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that ends by itself.
    pub fn run(&self) -> Ended {
        self.spawn().end()
    }

    /// Runs commands in one shell, as a person does who has this program as `smscope`. Gives what each prints.
    pub fn shell(&self, commands: &[&str]) -> Vec<String> {
        const END: &str = "\u{1}the end of a command\n";
        let script: String = commands.iter().map(|command| format!("{command}\nprintf '%s' '{END}'\n")).collect();
        let folders = [self.program.parent().unwrap().into(), std::env::var_os("PATH").unwrap_or_default()];
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &script]).env_clear().envs(self.environment.iter().cloned());
        shell.env("PATH", folders.join(std::ffi::OsStr::new(":"))).current_dir(self.home.path());
        let ended = Process::start("sh", &mut shell).end();
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
            command.uid(user).gid(user);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(&self.arguments).env_clear().env("PATH", path).envs(self.environment.iter().cloned());
        command.current_dir(self.home.path());
        command
    }
}

/// The addresses in the line that is logged once webhooks are accepted.
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
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        self.client().ask(request)
    }

    /// Posts JSON to a path of the webhook listener.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.ask(post(path, body))
    }

    /// Posts an event to the default source, for which it has to be a new one.
    pub fn accept(&self, event: &Value) {
        assert_eq!(self.post(HOOK, event.to_string()).result(), "accepted", "{event}");
    }

    /// Sends a webhook of the legacy API to the default source.
    pub fn get(&self, query: &str) -> Response {
        self.ask(request("GET", &format!("{HOOK}?{query}"), &[], ""))
    }

    /// Plays smsmode against the default source, with further flags of `smscope simulate`.
    pub fn simulate(&self, flags: &str) -> Process {
        let arguments = format!("simulate --url {} --admin http://{} {flags}", self.hook_url(), self.admin);
        Launch::without_token().args(&arguments.split_whitespace().collect::<Vec<_>>()).spawn()
    }

    /// Sends one request to the admin listener.
    pub fn ask_admin(&self, method: &str, path: &str, headers: &[&str]) -> Response {
        let mut client = Client::connect(self.admin);
        client.send(request(method, path, headers, ""));
        if method == "HEAD" { client.head() } else { client.response() }
    }

    /// Whether it answers `/readyz` with 200.
    pub fn is_ready(&self) -> bool {
        self.ask_admin("GET", "/readyz", &[]).status == 200
    }

    /// The callback URL of the default source.
    pub fn hook_url(&self) -> String {
        format!("http://{}{HOOK}", self.webhooks)
    }

    pub fn metrics(&self) -> Exposition {
        let response = self.ask_admin("GET", "/metrics", &[]);
        assert_eq!(response.status, 200);
        Exposition::parse(response.text())
    }

    /// The sum of the series that have these labels, others aside. There has to be one.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.metrics();
        metrics.value(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {}", metrics.text))
    }

    /// Waits until no log record waits to be exported.
    pub fn until_exported(&self) {
        eventually("all log records are exported", || {
            let waiting = self.metric("smscope_export_backlog_records", &[]);
            holds(waiting == 0.0, || format!("{waiting} log records wait"))
        });
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
        Connection::open(self.launch.database()).unwrap()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// SIGKILL. Gives what can start it again.
    pub fn kill(self) -> Launch {
        self.process.kill();
        self.launch
    }

    /// SIGTERM, after which it has to end without an error. Gives what can start it again.
    pub fn stop(self) -> Launch {
        self.process.terminate();
        self.launch
    }

    /// Stops it and starts it again.
    pub fn restarted(self) -> Self {
        self.stop().start()
    }

    /// A line of `/proc/<id>/status` that is a number of kB, such as `VmRSS:`.
    pub fn status_kb(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }

    pub fn peak_rss_kb(&self) -> u64 {
        self.status_kb("VmHWM:")
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
