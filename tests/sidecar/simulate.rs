//! `smscope simulate` against real sidecars: every scenario is counted as it was played, and what is counted wrongly shows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::TOKEN;

const BINARY: &str = env!("CARGO_BIN_EXE_smscope");

/// A running smscope, killed at the end.
struct Sidecar {
    process: Child,
    callback: String,
    admin: String,
    data: Arc<TempDir>,
}

impl Sidecar {
    fn start() -> Self {
        Self::on("127.0.0.1:0", "127.0.0.1:0", Arc::new(TempDir::new().unwrap()))
    }

    fn on(listen: &str, admin: &str, data: Arc<TempDir>) -> Self {
        Self::with(&[], listen, admin, data)
    }

    fn with(settings: &[(&str, &str)], listen: &str, admin: &str, data: Arc<TempDir>) -> Self {
        let mut process = Command::new(BINARY)
            .envs(settings.iter().copied())
            .envs([("SMSCOPE_LISTEN", listen), ("SMSCOPE_ADMIN_LISTEN", admin)])
            .env("SMSCOPE_DATA_DIR", data.path())
            .env("SMSCOPE_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut after = |name: &str| {
            let line = lines.find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} is told"));
            line[line.find("http://").unwrap()..].to_owned()
        };
        let callback = after("callback URL").replace("<token>", TOKEN);
        let admin = after("metrics").trim_end_matches("/metrics").to_owned();
        Self { process, callback, admin, data }
    }

    fn simulate(&self, arguments: &str) -> Child {
        simulate(&format!("--url {} --admin {} {arguments}", self.callback, self.admin))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn simulate(arguments: &str) -> Child {
    Command::new(BINARY)
        .arg("simulate")
        .args(arguments.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, standard output and standard error.
fn ended(child: Child) -> (i32, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[track_caller]
fn agrees(child: Child) -> String {
    let (code, out, err) = ended(child);
    assert!(code == 0 && out.contains("agrees: "), "{code}\n{out}{err}");
    out
}

#[track_caller]
fn played(scenario: &str) {
    let sidecar = Sidecar::start();
    let arguments =
        format!("--scenario {scenario} --rate 150 --duration 2s --time-compression 20000 --legacy 0.4 --verify");
    let out = agrees(sidecar.simulate(&arguments));
    assert!(out.contains("300 messages: ") && !out.contains("\nnot "), "{out}");
}

#[test]
fn a_steady_day_is_counted_as_played() {
    played("steady");
}

#[test]
fn a_spike_is_counted_as_played() {
    played("spike");
}

#[test]
fn an_outage_is_counted_as_played() {
    played("outage");
}

#[test]
fn filtered_marketing_is_counted_as_played() {
    played("filtered");
}

#[test]
fn exhausted_credit_is_counted_as_played() {
    played("credit-exhausted");
}

#[test]
fn a_storm_is_counted_as_played() {
    played("storm");
}

#[test]
fn the_local_sidecar_is_found_by_its_configuration() {
    let sidecar = Sidecar::start();
    let port = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let data = sidecar.data.path().to_str().unwrap().to_owned();
    let options = format!(
        "simulate --listen {} --admin-listen {} --data-dir {data} --rate 50 --duration 1s --time-compression 50000 --verify",
        port(&sidecar.callback),
        port(&sidecar.admin),
    );
    let mut simulate = Command::new(BINARY);
    simulate.args(options.split(' ')).env("SMSCOPE_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::piped());
    let out = agrees(simulate.spawn().unwrap());
    assert!(out.contains("50 messages: "), "{out}");
}

#[test]
fn a_guarded_source_is_given_what_it_asks_for() {
    let folder = TempDir::new().unwrap();
    let (listen, admin) = (free_address(), free_address());
    let config = folder.path().join("smscope.toml");
    let data = folder.path().join("data");
    let written = format!(
        "listen = {listen:?}\nadmin_listen = {admin:?}\ndata_dir = {data:?}\n\
         [[source]]\nname = \"acme\"\nchannel_ids = [\"one\"]\nstop_keywords = [\"halt\"]\ntimezone = \"Asia/Tokyo\"\n\
         [source.header]\nname = \"x-secret\"\nvalue = \"a-long-header-secret\"\n"
    );
    std::fs::write(&config, written).unwrap();
    let mut process =
        Command::new(BINARY).arg("--config").arg(&config).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let told =
        BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap).find(|l| l.starts_with("metrics"));
    assert!(told.is_some());
    let options = "--rate 150 --duration 2s --time-compression 50000 --scenario storm --verify";
    let out = agrees(simulate(&format!("--config {} {options}", config.display())));
    assert!(out.contains("300 messages: "), "{out}");
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn the_same_seed_again_is_all_duplicates_and_a_random_one_is_new() {
    let sidecar = Sidecar::start();
    let options = "--rate 50 --duration 1s --time-compression 50000 --verify";
    assert!(agrees(sidecar.simulate(options)).contains("50 messages: "));
    let again = agrees(sidecar.simulate(options));
    assert!(again.contains(" 0 accepted") && again.contains("known before"), "{again}");
    let random = agrees(sidecar.simulate(&format!("{options} --seed random")));
    assert!(random.contains("50 messages: ") && !random.contains("known before"), "{random}");
}

#[test]
fn a_receipt_from_elsewhere_makes_it_disagree() {
    let sidecar = Sidecar::start();
    let run = sidecar.simulate("--rate 50 --duration 2s --time-compression 20000 --verify");
    std::thread::sleep(Duration::from_millis(700));
    post(
        &sidecar.callback,
        r#"{"messageId":"x","type":"SMS","recipient":{"to":"33612345678"},"status":{"value":"READ"}}"#,
    );
    let (code, out, _) = ended(run);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("DISAGREES") && out.contains(r#"sms_messages_read_total{channel="SMS""#), "{out}");
}

#[test]
fn the_metrics_of_another_sidecar_do_not_agree() {
    let (sidecar, other) = (Sidecar::start(), Sidecar::start());
    let options = "--rate 50 --duration 1s --time-compression 50000 --verify";
    let (code, out, _) = ended(simulate(&format!("--url {} --admin {} {options}", sidecar.callback, other.admin)));
    assert!(code == 1 && out.contains("DISAGREES") && out.contains("counted 0\n"), "{out}");
}

#[test]
fn a_sidecar_that_is_killed_and_comes_back_is_retried_until_all_agrees() {
    let (listen, admin) = (free_address(), free_address());
    let data = Arc::new(TempDir::new().unwrap());
    let first = Sidecar::on(&listen, &admin, data.clone());
    let run = first.simulate("--rate 200 --duration 4s --time-compression 5000 --connections 32 --verify");
    std::thread::sleep(Duration::from_millis(1_500));
    drop(first);
    std::thread::sleep(Duration::from_millis(700));
    let _second = Sidecar::on(&listen, &admin, data);
    let out = agrees(run);
    assert!(out.contains("without a connection") && out.contains("800 messages: "), "{out}");
}

#[test]
fn a_sidecar_that_does_not_answer_for_a_while_is_retried_until_all_agrees() {
    let sidecar = Sidecar::start();
    let run = sidecar.simulate("--rate 200 --duration 3s --time-compression 5000 --connections 32 --verify");
    std::thread::sleep(Duration::from_millis(1_000));
    sidecar.signal("-STOP");
    std::thread::sleep(Duration::from_millis(6_500));
    sidecar.signal("-CONT");
    let out = agrees(run);
    assert!(out.contains("without an answer") && out.contains("600 messages: "), "{out}");
}

fn is_rejection(line: &str) -> bool {
    line.starts_with("smscope_webhook_requests_total") && line.contains("overloaded") && !line.ends_with(" 0")
}

fn curl(url: &str) -> String {
    let output = Command::new("curl").args(["--silent", "--max-time", "5", url]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_sidecar_that_is_full_answers_503_and_has_everything_once_it_has_room() {
    let (listen, admin) = (free_address(), free_address());
    let data = Arc::new(TempDir::new().unwrap());
    let full = Sidecar::with(&[("SMSCOPE_STORE_SIZE_LIMIT", "1MiB")], &listen, &admin, data.clone());
    let run = full.simulate("--rate 1000 --duration 4s --time-compression 10000 --connections 32 --verify");
    // However fast this machine fills it.
    let rejected = || curl(&format!("{}/metrics", full.admin)).lines().any(is_rejection);
    crate::support::eventually("a 503", rejected);
    drop(full);
    let _roomy = Sidecar::on(&listen, &admin, data);
    let out = agrees(run);
    assert!(out.contains("answered 503") && out.contains("4000 messages: "), "{out}");
}

#[test]
fn ctrl_c_ends_the_sending_and_what_was_sent_is_summed_up_and_verified() {
    let sidecar = Sidecar::start();
    let run = sidecar.simulate("--rate 100 --duration 1h --verify");
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let out = agrees(run);
    assert!(out.contains("interrupted after") && out.contains("left unsent"), "{out}");
}

#[test]
fn what_cannot_be_called_is_said_in_one_line_without_the_token() {
    let sidecar = Sidecar::start();
    let nobody = format!("http://{}/hooks/smsmode/s3cret-token", free_address());
    let wrong = sidecar.callback.rsplit_once('/').unwrap().0.to_owned() + "/s3cret-token";
    for (arguments, code, said) in [
        ("--url http://192.0.2.1/hooks/smsmode/s3cret-token".to_owned(), 64, "--allow-remote"),
        ("--url ftp://127.0.0.1/hooks/smsmode/s3cret-token".to_owned(), 64, "expected a callback URL"),
        (format!("--url {}", nobody.replace("http:", "https:")), 1, "nobody answers whose certificate is trusted"),
        (format!("--url {nobody} --certificate /nonexistent.pem"), 1, "nobody answers"),
        (format!("--url {} --certificate /nonexistent.pem", nobody.replace("http:", "https:")), 78, "--certificate = "),
        ("--certificate /nonexistent.pem".to_owned(), 64, "--url"),
        ("--scenario sunny".to_owned(), 64, "steady"),
        ("--rate 0".to_owned(), 64, "expected a number"),
        ("--start 2999-01-01T00:00:00Z".to_owned(), 64, "expected now, or a past time"),
        ("--allow-remote".to_owned(), 64, "--url"),
        (format!("--url {nobody}"), 1, "nobody answers"),
        (format!("--url {wrong}"), 1, "404"),
        (format!("--url {} --verify --admin http://{}", sidecar.callback, free_address()), 1, "metrics of a running"),
        (format!("--url {} --verify --admin 127.0.0.1", sidecar.callback), 64, "--admin: expected the URL"),
    ] {
        let (ended, out, err) = ended(simulate(&arguments));
        assert_eq!(ended, code, "{arguments}\n{err}");
        assert!(err.contains(said) && out.is_empty() && !err.contains("s3cret"), "{arguments}\n{err}");
    }
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    let requests = |seed: u64| {
        let recorder = Recorder::start(0);
        let url = format!("http://{}/hooks/smsmode/token", recorder.address);
        let run = simulate(&format!("--url {url} --rate 100 --duration 1s --time-compression 100000 --seed {seed}"));
        assert_eq!(ended(run).0, 0);
        let mut requests: Vec<String> = recorder.requests().into_iter().map(|(_, request)| request).collect();
        requests.sort();
        requests
    };
    let first = requests(7);
    assert!(first.len() > 150 && first.iter().any(|r| r.starts_with("POST")) && first[1].starts_with("GET"));
    assert_eq!(first, requests(7));
    assert_ne!(first, requests(8));
}

#[test]
fn what_is_refused_with_503_comes_again_on_the_ladder_whatever_retry_after_says() {
    let recorder = Recorder::start(2);
    let url = format!("http://{}/hooks/smsmode/token", recorder.address);
    // 30 s and 2 min are 100 ms and 400 ms.
    let run = simulate(&format!("--url {url} --rate 20 --duration 1s --time-compression 300 --legacy 0"));
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let (code, out, err) = ended(run);
    assert!(code == 0 && out.contains("answered 503"), "{out}{err}");
    let requests = recorder.requests();
    let of_first: Vec<Instant> = {
        let first = requests.iter().find(|(_, request)| request.starts_with("POST")).unwrap();
        requests.iter().filter(|(_, request)| *request == first.1).map(|(at, _)| *at).collect()
    };
    let waits: Vec<Duration> = of_first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 2, "{waits:?}");
    assert!((95..900).contains(&waits[0].as_millis()) && (395..1_200).contains(&waits[1].as_millis()), "{waits:?}");
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn post(url: &str, body: &str) {
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(r#"{"result":"accepted"}"#), "{answer}");
}

/// Takes webhooks and writes them down; the first few attempts at each are answered 503.
struct Recorder {
    address: String,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Recorder {
    fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), kept.clone());
                std::thread::spawn(move || while record(&stream, &kept, refusals).is_some() {});
            }
        });
        Self { address, seen }
    }

    /// Method, path and body of each attempt, with its time.
    fn requests(&self) -> Vec<(Instant, String)> {
        self.seen.lock().unwrap().clone()
    }
}

fn record(stream: &TcpStream, seen: &Mutex<Vec<(Instant, String)>>, refusals: usize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        if line == "\r\n" {
            break;
        }
        lines.push(line.to_lowercase());
        if lines.len() == 1 {
            lines[0] = line;
        }
    }
    let length =
        lines.iter().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.trim().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = lines[0].clone() + &String::from_utf8(body).unwrap();
    let mut seen = seen.lock().unwrap();
    let before = seen.iter().filter(|(_, other)| *other == request).count();
    seen.push((Instant::now(), request));
    let head = if before < refusals { "503 Busy\r\nretry-after: 1" } else { "200 OK" };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").ok()
}

#[test]
fn help_describes_every_scenario() {
    let (code, out, _) = ended(simulate("--help"));
    assert_eq!(code, 0);
    for scenario in ["steady:", "spike:", "outage:", "filtered:", "credit-exhausted:", "storm:"] {
        assert!(out.contains(scenario), "{out}");
    }
}
