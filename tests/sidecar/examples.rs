//! The configurations in examples/ are ones that smscope runs with: each is checked, started, and called as its provider would.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Launch, NUMBER, Response, Smscope, receipt, request};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// An example in a folder of its own, with the files that it names beside it.
struct Example {
    launch: Launch,
    arguments: Vec<String>,
}

impl Example {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let launch = Launch::without_token();
        let folder = launch.home.path().join("etc");
        fs::create_dir(&folder).unwrap();
        let file = folder.join(name);
        fs::copy(examples().join(name), &file).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let data_dir = launch.data_dir();
        let flags = [
            ("--config", file.to_str().unwrap()),
            ("--listen", "127.0.0.1:0"),
            ("--admin-listen", "127.0.0.1:0"),
            ("--data-dir", data_dir.to_str().unwrap()),
        ];
        let arguments = flags.iter().flat_map(|(flag, value)| [flag.to_string(), value.to_string()]).collect();
        Self { launch, arguments }
    }

    fn command(&self, command: &str) -> Launch {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).chain([command]).collect();
        self.launch.clone().args(&arguments)
    }

    /// What `smscope check` says, without a warning.
    fn checked(&self) -> String {
        let check = self.command("check").run();
        assert_eq!((check.code, &*check.stderr), (Some(0), ""));
        assert!(!check.stdout.contains("warning"), "{}", check.stdout);
        assert!(check.stdout.contains("--listen") && check.stdout.contains("--data-dir"), "{}", check.stdout);
        check.stdout
    }

    fn started(&self) -> Smscope {
        self.command("serve").start()
    }

    /// The paths of the callback URLs, and what stands before them.
    fn urls(&self) -> Vec<(String, String)> {
        let urls = self.command("url").run().stdout;
        let split =
            |url: &str| url.split_once("/hooks/").map(|(base, path)| (base.to_owned(), format!("/hooks/{path}")));
        urls.lines().map(|url| split(url).unwrap()).collect()
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn posted(smscope: &Smscope, path: &str, headers: &[&str], body: &str) -> Response {
    let headers = [&["content-type: application/json"], headers].concat();
    smscope.ask(request("POST", path, &headers, body))
}

#[test]
fn the_minimal_example_accepts_a_receipt_with_its_generated_token() {
    let example = Example::new("minimal.toml", &[]);
    let checked = example.checked();
    assert!(checked.contains("http://collector:4318/v1/metrics"), "{checked}");
    let smscope = example.started();
    let [(base, path)] = &example.urls()[..] else { panic!("one URL") };
    assert_eq!(base, "https://sms.example.com");
    assert_eq!(posted(&smscope, path, &[], &receipt("m", "DELIVERED")).result(), "accepted");
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[("source", "smsmode")]), 1.0);
}

#[test]
fn behind_a_proxy_the_caller_that_the_proxy_names_is_let_in_and_no_other() {
    let (token, password) = ("0123456789abcdef-proxy", "s3cret-of-the-proxy");
    let example = Example::new("behind-a-proxy.toml", &[("token", token), ("password", password)]);
    let checked = example.checked();
    assert!(
        checked.contains("smsmode:<token>") && !checked.contains(password) && !checked.contains(token),
        "{checked}"
    );
    let smscope = example.started();
    assert_eq!(example.urls(), [("https://www.example.com/sms".to_owned(), format!("/hooks/smsmode/{token}"))]);

    let path = format!("/hooks/smsmode/{token}");
    let basic = format!("authorization: Basic {}", BASE64_STANDARD.encode(format!("smsmode:{password}")));
    let body = receipt("m", "DELIVERED");
    let status = |headers: &[&str]| posted(&smscope, &path, headers, &body).status;
    assert_eq!(status(&["x-forwarded-for: 203.0.113.9", &basic]), 403);
    assert_eq!(status(&["x-forwarded-for: 192.0.2.9"]), 401);
    let answer = posted(&smscope, &path, &["x-forwarded-for: 192.0.2.9", &basic], &body);
    assert_eq!(answer.result(), "accepted");
}

#[test]
fn each_of_two_accounts_has_its_tokens_and_its_own_rules() {
    let tokens = ["0123456789abcdef-old", "0123456789abcdef-new", "0123456789abcdef-marketing"];
    let files = [("token-otp", tokens[0]), ("token-otp-new", tokens[1]), ("token-marketing", tokens[2])];
    let example = Example::new("two-accounts.toml", &files);
    let checked = example.checked();
    for part in ["source otp\n", "source marketing-be\n", "x-scope-orgid: <token>", "http://metrics.example.com:4318"] {
        assert!(checked.contains(part), "{part} in {checked}");
    }
    let smscope = example.started();
    let paths: Vec<String> = example.urls().into_iter().map(|(_, path)| path).collect();
    let hook = |source: &str, token: &str| format!("/hooks/{source}/{token}");
    assert_eq!(paths, [hook("otp", tokens[0]), hook("otp", tokens[1]), hook("marketing-be", tokens[2])]);

    for (id, path) in ["a", "b", "c"].iter().zip(&paths) {
        assert_eq!(posted(&smscope, path, &[], &receipt(id, "DELIVERED")).result(), "accepted", "{path}");
    }
    assert_eq!(posted(&smscope, &hook("marketing-be", tokens[0]), &[], "{}").status, 404, "another account's token");
    let from_elsewhere = format!(
        r#"{{"messageId":"d","channel":{{"channelId":"another"}},"status":{{"value":"DELIVERED"}},"recipient":{{"to":"{NUMBER}"}}}}"#
    );
    assert_eq!(posted(&smscope, &paths[0], &[], &from_elsewhere).status, 403, "a channel that is not on the list");
    assert_eq!(posted(&smscope, &paths[2], &[], &from_elsewhere).result(), "accepted");
}

#[test]
fn no_example_is_left_out() {
    let mut names: Vec<_> = fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["behind-a-proxy.toml", "minimal.toml", "two-accounts.toml"]);
}
