//! A task is killed in a smscope that runs: what is seen of it from outside, how the process ends, and that a restart loses nothing.
//!
//! The process is this test program, which runs `smscope serve` when it finds [`CHILD`] in its environment: faults are in no binary
//! that is shipped.

use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use strum::VariantArray;
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::config::{Config, Flags, Process};
use crate::tasks::{Task, fault};

const CHILD: &str = "RUN_AS_A_CHILD_OF_A_TEST";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a test by itself. A line on standard input is the name of a task that is to panic.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    std::thread::spawn(|| {
        for line in stdin().lines().map_while(Result::ok) {
            fault::arm(Task::VARIANTS.iter().copied().find(|task| task.into_str() == line).unwrap());
        }
    });
    let code = match crate::commands::serve::run(Config::load(&Flags::default(), &Process).unwrap()) {
        Ok(_) => 0,
        Err(exit) => exit.code(),
    };
    std::process::exit(code.into());
}

struct Running {
    child: Child,
    faults: ChildStdin,
    webhooks: SocketAddr,
    admin: SocketAddr,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    fn start(home: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve::fault_tests::child", "--exact", "--nocapture"])
            .env_clear()
            .envs([(CHILD, "1"), ("SMSCOPE_TOKEN", TOKEN)])
            .env("SMSCOPE_CONFIG", home.join("smscope.toml"))
            .env("SMSCOPE_DATA_DIR", home.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (mut lines, written) = (BufReader::new(child.stderr.take().unwrap()), stderr.clone());
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
                written.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        let mut addresses = None;
        eventually("smscope gets ready", || {
            addresses = stderr.lock().unwrap().lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let address = |field: &str| line[field].as_str()?.parse().ok();
                (line["message"] == "ready").then_some((address("webhooks")?, address("admin")?))
            });
            addresses.is_some()
        });
        let (webhooks, admin) = addresses.unwrap();
        Self { faults: child.stdin.take().unwrap(), child, webhooks, admin, stderr }
    }

    fn kill(&mut self, task: Task) {
        writeln!(self.faults, "{}", task.into_str()).unwrap();
    }

    fn show(&self, path: &str) -> Option<(u16, String)> {
        ask(self.admin, &format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"))
    }

    fn failures(&self, task: Task) -> Option<u64> {
        let line = format!("smscope_task_failures_total{{task=\"{}\"}} ", task.into_str());
        self.show("/metrics")?.1.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
    }

    /// What the answer to a receipt says.
    fn receipt(&self, id: &str) -> Option<String> {
        let body =
            format!(r#"{{"messageId":"{id}","recipient":{{"to":"33612345678"}},"status":{{"value":"DELIVERED"}}}}"#);
        let head = format!("POST /hooks/smsmode/{TOKEN} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n");
        let length = body.len();
        let request = format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        let (_, answer) = ask(self.webhooks, &request)?;
        serde_json::from_str::<Value>(&answer).ok()?["result"].as_str().map(str::to_owned)
    }

    fn end(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Status and body of the answer, if there is a whole one.
fn ask(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let given_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < given_up, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A configuration in which every task runs. The Collector is one that never answers, so that the end takes its time.
fn configure(home: &Path, collector: &TcpListener, tls: bool) {
    let mut toml = format!(
        r#"
        listen = "127.0.0.1:0"
        admin_listen = "127.0.0.1:0"
        public_url = "http://127.0.0.1:9"
        [otlp]
        endpoint = "http://{}"
        [http]
        shutdown_timeout = "8s"
        [account]
        enabled = true
        [reconcile]
        enabled = true
        [self_probe]
        enabled = true
        [[relay]]
        name = "crm"
        url = "http://127.0.0.1:9/"
        [[resend]]
        name = "absent"
        reasons = ["handset_absent"]
        delay = "1m"
        [opt_outs]
        enabled = true
        [[source]]
        name = "smsmode"
        [source.api]
        key = "a-key"
        url = "http://127.0.0.1:9"
        "#,
        collector.local_addr().unwrap()
    );
    if tls {
        let identity = Authority::new("tests").server();
        std::fs::write(home.join("tls.crt"), identity.certificate).unwrap();
        std::fs::write(home.join("tls.key"), identity.key).unwrap();
        let home = home.display();
        toml += &format!("[http.tls]\ncertificate = \"{home}/tls.crt\"\nkey = \"{home}/tls.key\"\n");
    }
    std::fs::write(home.join("smscope.toml"), toml).unwrap();
}

/// Kills one task in a smscope that has accepted an event, and looks at all that follows.
fn dies_loudly_and_loses_nothing(task: Task) {
    let name = task.into_str();
    let home = TempDir::new().unwrap();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = task == Task::CertificateWatch;
    configure(home.path(), &collector, tls);
    let mut smscope = Running::start(home.path());
    for &task in Task::VARIANTS {
        assert_eq!(smscope.failures(task), Some(0), "{name}: {}", task.into_str());
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(smscope.show(path).map(|(status, _)| status), Some(200), "{name}: {path}");
    }
    let mut acknowledged = Vec::new();
    if !tls {
        assert_eq!(smscope.receipt("before").as_deref(), Some("accepted"), "{name}");
        acknowledged.push("before");
    }
    smscope.kill(task);
    if task == Task::Checkpointer {
        // It sleeps until there is something to copy.
        assert_eq!(smscope.receipt("after").as_deref(), Some("accepted"), "{name}");
        acknowledged.push("after");
    }
    if task != Task::AdminListener {
        for path in ["/livez", "/readyz"] {
            eventually(&format!("{name}: {path} fails"), || {
                smscope.show(path).is_some_and(|(status, _)| status == 503)
            });
        }
        assert_eq!(smscope.failures(task), Some(1), "{name}");
        assert!(smscope.show("/livez").unwrap().1.contains("background task"), "{name}");
    }
    assert_eq!(smscope.end(), Some(70), "{name}");
    let said = smscope.stderr.lock().unwrap().clone();
    let lines: Vec<&str> =
        said.lines().filter(|line| line.contains("\"ERROR\"") && line.contains("\"task\":")).collect();
    assert_eq!(lines.len(), 1, "{name}: {lines:?}");
    assert!(lines[0].contains(&format!("\"task\":\"{name}\"")), "{name}: {lines:?}");
    assert!(!said.contains("cut off, it did not end"), "{name}: {said}");
    drop(smscope);

    configure(home.path(), &collector, false);
    let again = Running::start(home.path());
    for id in &acknowledged {
        assert_eq!(again.receipt(id).as_deref(), Some("duplicate"), "{name}: {id}");
    }
    let metrics = again.show("/metrics").unwrap().1;
    let counted = metrics.lines().filter(|line| line.starts_with("sms_messages_delivered_total{"));
    let counted: u64 = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(counted, acknowledged.len() as u64, "{name}");
}

#[test]
fn each_task_that_dies_is_seen_ends_the_process_with_code_70_and_loses_nothing() {
    let is_of_a_fleet = |task: &Task| matches!(task, Task::Intake | Task::FleetCommands);
    let runs = |task: &Task| task.is_of_the_process() && !is_of_a_fleet(task);
    let tasks: Vec<Task> = Task::VARIANTS.iter().copied().filter(runs).collect();
    assert_eq!(tasks.len(), 14);
    // A few at a time: each waits for the Collector, most of the while.
    for some in tasks.chunks(5) {
        std::thread::scope(|scope| {
            for &task in some {
                scope.spawn(move || dies_loudly_and_loses_nothing(task));
            }
        });
    }
}

/// A target that accepts connections and never answers; gives how many it has accepted.
fn silent_target() -> (SocketAddr, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::<Mutex<usize>>::default());
    let accepted = count.clone();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            open.push(stream);
            *accepted.lock().unwrap() += 1;
        }
    });
    (address, count)
}

#[test]
fn a_panic_in_one_attempt_of_a_relay_is_a_failed_attempt_and_the_others_stay_under_way() {
    let home = TempDir::new().unwrap();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(home.path(), &collector, false);
    let (target, attempts) = silent_target();
    let file = home.path().join("smscope.toml");
    let toml = std::fs::read_to_string(&file).unwrap();
    let relay = format!("url = \"http://{target}/\"\nconcurrency = 8\ntimeout = \"1m\"\nnetworks = [\"127.0.0.0/8\"]");
    std::fs::write(&file, toml.replace("url = \"http://127.0.0.1:9/\"\n", &format!("{relay}\n"))).unwrap();
    let mut smscope = Running::start(home.path());
    for id in ["a", "b", "c"] {
        assert_eq!(smscope.receipt(id).as_deref(), Some("accepted"));
    }
    eventually("three attempts are under way", || *attempts.lock().unwrap() == 3);
    smscope.kill(Task::RelayAttempt);
    eventually("one has panicked", || {
        let _accepted = smscope.receipt(&format!("{:?}", Instant::now()));
        smscope.failures(Task::RelayAttempt) == Some(1)
    });
    assert_eq!(smscope.receipt("last").as_deref(), Some("accepted"));
    let failed = "sms_relay_attempts_total{relay=\"crm\",result=\"failed\"} 1";
    eventually("it counts as a failed one", || smscope.show("/metrics").unwrap().1.contains(failed));
    std::thread::sleep(Duration::from_millis(500));
    assert!(*attempts.lock().unwrap() <= 8, "more than may be made at a time: {}", attempts.lock().unwrap());
    assert_eq!(smscope.show("/livez").unwrap().0, 200);
}

#[test]
fn a_panic_in_one_connection_ends_that_connection_only() {
    let home = TempDir::new().unwrap();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(home.path(), &collector, false);
    let mut smscope = Running::start(home.path());
    let mut other = TcpStream::connect(smscope.webhooks).unwrap();
    other.write_all(b"GET /elsewhere HTTP/1.1\r\nhost: here\r\n").unwrap();

    smscope.kill(Task::Connection);
    let mut answers = Vec::new();
    eventually("a connection panics, the one whose request comes next", || {
        answers.push(smscope.receipt("m"));
        smscope.failures(Task::Connection) == Some(1)
    });
    assert!(answers.contains(&None), "it was answered all the same: {answers:?}");
    eventually("the next one is answered", || smscope.receipt("n").is_some());
    smscope.kill(Task::AdminConnection);
    eventually("a connection of the admin listener panics", || smscope.failures(Task::AdminConnection) == Some(1));
    assert_eq!(smscope.show("/livez").unwrap().0, 200);
    assert_eq!(smscope.show("/readyz").unwrap().0, 200);

    other.write_all(b"\r\n").unwrap();
    let mut answer = [0; 12];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    assert_eq!(smscope.failures(Task::Connection), Some(1));
    assert_eq!(smscope.failures(Task::AdminConnection), Some(1));
    assert!(smscope.child.try_wait().unwrap().is_none(), "the process has ended");
}
