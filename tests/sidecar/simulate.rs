//! `smscope simulate` against real sidecars: every scenario is counted as it was played, and what is counted wrongly shows.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::server::{self, respond};
use crate::support::{Ended, Launch, Process, Smscope, eventually, free_address, post_json, receipt};

/// `smscope simulate` with these arguments.
fn simulate(arguments: &str) -> Process {
    let arguments: Vec<&str> = std::iter::once("simulate").chain(arguments.split_whitespace()).collect();
    Launch::without_token().args(&arguments).spawn()
}

#[track_caller]
fn agrees(run: Process) -> String {
    let ended = run.end();
    assert!(ended.code == Some(0) && ended.stdout.contains("agrees: "), "{ended:?}");
    ended.stdout
}

#[track_caller]
fn played(scenario: &str) {
    let smscope = Smscope::start();
    let arguments =
        format!("--scenario {scenario} --rate 150 --duration 2s --time-compression 20000 --legacy 0.4 --verify");
    let out = agrees(smscope.simulate(&arguments));
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
    let smscope = Smscope::start();
    let options = format!(
        "simulate --listen {} --admin-listen {} --data-dir {} --rate 50 --duration 1s --time-compression 50000 --verify",
        smscope.webhooks,
        smscope.admin,
        smscope.launch.data_dir().display(),
    );
    let out = agrees(Launch::new().args(&options.split(' ').collect::<Vec<_>>()).spawn());
    assert!(out.contains("50 messages: "), "{out}");
}

#[test]
fn a_guarded_source_gets_its_header_and_channel() {
    let source = "[[source]]\nname = \"acme\"\nchannel_ids = [\"one\"]\nstop_keywords = [\"halt\"]\ntimezone = \"Asia/Tokyo\"\n\
                  [source.header]\nname = \"x-secret\"\nvalue = \"a-long-header-secret\"\n";
    let launch = Launch::without_token().on_fixed_ports().file(source);
    let _smscope = launch.start();
    let options = "simulate --rate 150 --duration 2s --time-compression 50000 --scenario storm --verify";
    let out = agrees(launch.args(&options.split(' ').collect::<Vec<_>>()).spawn());
    assert!(out.contains("300 messages: "), "{out}");
}

#[test]
fn a_repeated_seed_is_all_duplicates_and_a_random_one_is_new() {
    let smscope = Smscope::start();
    let options = "--rate 50 --duration 1s --time-compression 50000 --verify";
    assert!(agrees(smscope.simulate(options)).contains("50 messages: "));
    let again = agrees(smscope.simulate(options));
    assert!(again.contains(" 0 accepted") && again.contains("known before"), "{again}");
    let random = agrees(smscope.simulate(&format!("{options} --seed random")));
    assert!(random.contains("50 messages: ") && !random.contains("known before"), "{random}");
}

#[test]
fn a_receipt_from_elsewhere_makes_it_disagree() {
    let smscope = Smscope::start();
    let run = smscope.simulate("--rate 50 --duration 2s --time-compression 20000 --verify");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(post_json(&smscope.hook_url(), &receipt("x", "READ")).unwrap().result(), "accepted");
    let Ended { code, stdout: out, .. } = run.end();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("DISAGREES") && out.contains(r#"sms_messages_read_total{channel="SMS""#), "{out}");
}

#[test]
fn the_metrics_of_another_sidecar_do_not_agree() {
    let (smscope, other) = (Smscope::start(), Smscope::start());
    let options = "--rate 50 --duration 1s --time-compression 50000 --verify";
    let run = simulate(&format!("--url {} --admin http://{} {options}", smscope.hook_url(), other.admin));
    let Ended { code, stdout: out, .. } = run.end();
    assert!(code == Some(1) && out.contains("DISAGREES") && out.contains("counted 0\n"), "{out}");
}

#[test]
fn a_sidecar_that_is_killed_and_restarted_is_retried_until_all_agrees() {
    let smscope = Launch::new().on_fixed_ports().start();
    let run = smscope.simulate("--rate 200 --duration 4s --time-compression 5000 --connections 32 --verify");
    std::thread::sleep(Duration::from_millis(1_500));
    let launch = smscope.kill();
    std::thread::sleep(Duration::from_millis(700));
    let _second = launch.start();
    let out = agrees(run);
    assert!(out.contains("without a connection") && out.contains("800 messages: "), "{out}");
}

#[test]
fn a_sidecar_that_does_not_answer_for_a_while_is_retried_until_all_agrees() {
    let smscope = Smscope::start();
    let run = smscope.simulate("--rate 200 --duration 3s --time-compression 5000 --connections 32 --verify");
    std::thread::sleep(Duration::from_millis(1_000));
    smscope.signal("STOP");
    std::thread::sleep(Duration::from_millis(6_500));
    smscope.signal("CONT");
    let out = agrees(run);
    assert!(out.contains("without an answer") && out.contains("600 messages: "), "{out}");
}

#[test]
fn a_sidecar_that_is_full_answers_503_and_has_everything_once_it_has_room() {
    let launch = Launch::new().on_fixed_ports();
    let full = launch.clone().env("SMSCOPE_STORE_SIZE_LIMIT", "1MiB").start();
    let run = full.simulate("--rate 1000 --duration 4s --time-compression 10000 --connections 32 --verify");
    // However fast this machine fills it.
    eventually("a 503", || full.metrics().sum("smscope_webhook_requests_total", &[("result", "overloaded")]) > 0.0);
    full.kill();
    let _roomy = launch.start();
    let out = agrees(run);
    assert!(out.contains("answered 503") && out.contains("4000 messages: "), "{out}");
}

#[test]
fn ctrl_c_ends_the_sending_and_what_was_sent_is_summed_up_and_verified() {
    let smscope = Smscope::start();
    let run = smscope.simulate("--rate 100 --duration 1h --verify");
    std::thread::sleep(Duration::from_millis(1_500));
    run.signal("INT");
    let out = agrees(run);
    assert!(out.contains("interrupted after") && out.contains("left unsent"), "{out}");
}

#[test]
fn a_url_that_cannot_be_called_is_reported_in_one_line_without_the_token() {
    let smscope = Smscope::start();
    let nobody = format!("http://{}/hooks/smsmode/s3cret-token", free_address());
    let wrong = smscope.hook_url().rsplit_once('/').unwrap().0.to_owned() + "/s3cret-token";
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
        (format!("--url {} --verify --admin http://{}", smscope.hook_url(), free_address()), 1, "metrics of a running"),
        (format!("--url {} --verify --admin 127.0.0.1", smscope.hook_url()), 64, "--admin: expected the URL"),
    ] {
        let ended = simulate(&arguments).end();
        assert_eq!(ended.code, Some(code), "{arguments}\n{ended:?}");
        assert!(ended.stderr.contains(said) && ended.stdout.is_empty(), "{arguments}\n{ended:?}");
        assert!(!ended.stderr.contains("s3cret"), "{arguments}\n{ended:?}");
    }
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    let requests = |seed: u64| {
        let recorder = Recorder::start(0);
        let url = format!("http://{}/hooks/smsmode/token", recorder.address);
        let run = simulate(&format!("--url {url} --rate 100 --duration 1s --time-compression 100000 --seed {seed}"));
        assert_eq!(run.end().code, Some(0));
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
fn a_request_rejected_with_503_is_retried_on_the_providers_schedule_whatever_retry_after_says() {
    let recorder = Recorder::start(2);
    let url = format!("http://{}/hooks/smsmode/token", recorder.address);
    // 30 s and 2 min are 100 ms and 400 ms.
    let run = simulate(&format!("--url {url} --rate 20 --duration 1s --time-compression 300 --legacy 0"));
    std::thread::sleep(Duration::from_millis(2_500));
    run.signal("INT");
    let ended = run.end();
    assert!(ended.code == Some(0) && ended.stdout.contains("answered 503"), "{ended:?}");
    let requests = recorder.requests();
    let of_first: Vec<Instant> = {
        let first = requests.iter().find(|(_, request)| request.starts_with("POST")).unwrap();
        requests.iter().filter(|(_, request)| *request == first.1).map(|(at, _)| *at).collect()
    };
    let waits: Vec<Duration> = of_first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 2, "{waits:?}");
    assert!((95..900).contains(&waits[0].as_millis()) && (395..1_200).contains(&waits[1].as_millis()), "{waits:?}");
}

/// Takes webhooks and writes them down; the first few attempts at each are answered 503.
struct Recorder {
    address: String,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Recorder {
    fn start(rejections: usize) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stored = seen.clone();
        let address = server::start(move |request, stream| {
            let body = String::from_utf8(request.body).unwrap();
            let attempt = format!("{} {} {body}", request.method, request.target);
            let mut seen = stored.lock().unwrap();
            let before = seen.iter().filter(|(_, other)| *other == attempt).count();
            seen.push((request.at, attempt));
            match before < rejections {
                true => respond(stream, 503, &["retry-after: 1"], ""),
                false => respond(stream, 200, &[], ""),
            }
        });
        let address = address.to_string();
        Self { address, seen }
    }

    /// Method, path and body of each attempt, with its time.
    fn requests(&self) -> Vec<(Instant, String)> {
        self.seen.lock().unwrap().clone()
    }
}

#[test]
fn help_describes_every_scenario() {
    let Ended { code, stdout: out, .. } = simulate("--help").end();
    assert_eq!(code, Some(0));
    for scenario in ["steady:", "spike:", "outage:", "filtered:", "credit-exhausted:", "storm:"] {
        assert!(out.contains(scenario), "{out}");
    }
}
