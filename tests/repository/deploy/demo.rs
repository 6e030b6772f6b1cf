//! `make demo` where there is no container engine: what a person finds who starts it, and what is left when it has ended.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::root;
use crate::support::{Process, Response, eventually, get, holds, program};

/// Ended in good order even by a test that fails: killed, it would leave behind what it has started.
struct Demo(Option<Process>);

impl Demo {
    fn start(command: &mut Command) -> Self {
        Self(Some(Process::start("the demonstration", command)))
    }

    /// Waits until it has printed these words, and gives all that it has printed.
    fn until_printed(&self, words: &str) -> String {
        let process = self.0.as_ref().unwrap();
        process.until_ready(|| {
            let printed = process.output();
            if printed.contains(words) { Ok(printed) } else { Err(format!("it has not printed {words:?}")) }
        })
    }

    /// What Ctrl-C does.
    fn interrupt(mut self) {
        let process = self.0.take().unwrap();
        process.signal("INT");
        let ended = process.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(process) = self.0.take() {
            process.signal("TERM");
            process.end();
        }
    }
}

#[test]
fn the_demonstration_shows_traffic_and_rules_and_leaves_nothing_behind() {
    for name in ["prometheus", "prometheus-alertmanager", "curl"] {
        if program(name, name).is_none() {
            return;
        }
    }
    let folder = TempDir::new().unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(root().join("deploy/demo.sh"));
    command
        .env("DEMO_ENGINE", "none")
        .env("DEMO_DURATION", "10m")
        .env("SMSCOPE", env!("CARGO_BIN_EXE_smscope"))
        .env("TMPDIR", &temporary);
    let demo = Demo::start(&mut command);
    let said = demo.until_printed("playing ");
    for missing in ["Grafana", "Loki", "Collector"] {
        assert!(said.contains(missing), "{said}");
    }
    let url = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{said}"));
        line.trim().to_owned()
    };
    let base = |name: &str| url(name).splitn(4, '/').take(3).collect::<Vec<_>>().join("/");

    let ask = |url: &str| get(url).and_then(Response::ok).map(|response| response.text().to_owned());
    assert!(ask(&url("smscope")).unwrap().contains("<html"));
    eventually("a message", || {
        let page = ask(&url("metrics"))?;
        holds(page.contains("sms_messages_total{"), || page)
    });
    assert!(ask(&format!("{}/api/v2/status", base("Alertmanager"))).unwrap().contains("versionInfo"));
    let prometheus = |path: &str| -> Result<Value, String> {
        serde_json::from_str(&ask(&format!("{}/api/v1/{path}", base("Prometheus")))?).map_err(|error| error.to_string())
    };
    eventually("messages in Prometheus", || {
        let answer = prometheus("query?query=sum(sms_messages_total)")?;
        holds(answer["data"]["result"].as_array().is_some_and(|result| !result.is_empty()), || answer.to_string())
    });
    let rules = prometheus("rules").unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    assert!(!groups.is_empty(), "{rules}");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_ne!(rule["health"], "err", "{rule}");
    }
    let alertmanagers = prometheus("alertmanagers").unwrap();
    assert_eq!(alertmanagers["data"]["activeAlertmanagers"].as_array().unwrap().len(), 1, "{alertmanagers}");

    demo.interrupt();
    for name in ["smscope", "Prometheus", "Alertmanager"] {
        let address = base(name).trim_start_matches("http://").to_owned();
        assert!(TcpStream::connect(&address).is_err(), "{name} is still there");
    }
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something is left in the folder for temporary files");
}

/// An engine that notes what it is asked for, and does it at once.
const ENGINE: &str = "#!/bin/sh\necho \"$@\" >> \"$ASKED\"\n";

#[test]
fn with_an_engine_all_of_compose_is_started_under_a_name_of_its_own_and_removed_with_its_volumes() {
    let folder = TempDir::new().unwrap();
    let (engine, asked) = (folder.path().join("docker"), folder.path().join("asked"));
    fs::write(&engine, ENGINE).unwrap();
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(root().join("deploy/demo.sh"));
    command.env("PATH", path).env("ASKED", &asked).env_remove("DEMO_ENGINE");
    let demo = Demo::start(&mut command);
    let said = demo.until_printed("Ctrl-C.\n");
    demo.interrupt();

    let compose = "compose -f deploy/compose.yaml -p smscope-demo --profile demo";
    let expected =
        ["build", "up --detach", "logs --follow --no-log-prefix simulate", "down --volumes --remove-orphans"];
    let expected = expected.map(|command| format!("{compose} {command}"));
    let asked = fs::read_to_string(&asked).unwrap();
    let done: Vec<&str> = asked.lines().filter(|line| line.starts_with("compose -f")).collect();
    assert_eq!(done, expected);
    for port in [3000, 7673, 9090, 9093] {
        assert!(said.contains(&format!("http://127.0.0.1:{port}/")), "{port}");
    }
}
