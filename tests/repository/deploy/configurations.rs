//! Each program says of its own configuration that it is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{files, reader};
use crate::support::peers::Collector;
use crate::support::{on_path, program, require_tool, succeeded};
use crate::support::{read, root};

/// Runs a checker, which has to be content.
fn passes(program: &Path, arguments: &[&str], folder: &Path) {
    succeeded(&Command::new(program).args(arguments).current_dir(folder).output().unwrap());
}

#[test]
fn prometheus_accepts_its_configuration_with_the_rules_beside_it() {
    let Some(promtool) = program("promtool", "prometheus") else { return };
    let extra = ["alerts/smscope-extra.rules.yaml", "alerts/smscope-features.rules.yaml"];
    for configuration in ["deploy/prometheus.yaml", "deploy/fleet/prometheus.yaml"] {
        // As Compose mounts them.
        let folder = TempDir::new().unwrap();
        for file in [configuration, "alerts/smscope.rules.yaml"].into_iter().chain(extra) {
            let name = Path::new(file).file_name().unwrap();
            fs::copy(root().join(file), folder.path().join(name)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        passes(&promtool, &["check", "config", "--lint-fatal", "prometheus.yaml"], folder.path());
    }
}

#[test]
fn alertmanager_accepts_its_configuration() {
    let Some(amtool) = program("amtool", "prometheus-alertmanager") else { return };
    passes(&amtool, &["check-config", "deploy/alertmanager.yaml"], root());
}

#[test]
fn the_collector_accepts_its_configuration() {
    let Some(collector) = Collector::program() else { return };
    passes(&collector, &["validate", "--config", "deploy/collector.yaml"], root());
}

#[test]
fn haproxy_accepts_its_configuration() {
    // Debian has it where only root's PATH looks.
    let installed = on_path("haproxy").or_else(|| Some("/usr/sbin/haproxy".into())).filter(|file| file.is_file());
    let Some(haproxy) = require_tool("HAProxy", installed, "Debian has it in the package haproxy") else { return };
    passes(&haproxy, &["-c", "-f", "deploy/fleet/haproxy.cfg"], root());
}

#[test]
fn every_yaml_file_is_yaml_without_a_key_that_stands_twice() {
    for (path, text) in files("deploy") {
        // Those of several documents, and Compose's with its merged keys, are read by readers of their own.
        let is_one = !text.lines().any(|line| line == "---") && !path.ends_with("/compose.yaml");
        if path.ends_with(".yaml") && is_one && reader::yaml(&path).is_none() {
            return;
        }
    }
}

#[test]
fn shellcheck_finds_no_fault_in_any_script() {
    let Some(shellcheck) = program("shellcheck", "shellcheck") else { return };
    let folders = ["deploy", "scripts", "tests"].map(files);
    let scripts = folders.iter().flatten().filter(|(_, text)| text.starts_with("#!"));
    let scripts: Vec<&str> = scripts.map(|(path, _)| path.as_str()).collect();
    assert!(scripts.contains(&"deploy/demo.sh") && scripts.contains(&"scripts/setup.sh"), "{scripts:?}");
    passes(&shellcheck, &scripts, root());
}

#[test]
fn loki_accepts_records_as_old_as_smscope_may_export() {
    let Some(loki) = reader::yaml("deploy/loki.yaml") else { return };
    // Structured metadata, and so OTLP, needs it.
    assert_eq!(loki["schema_config"]["configs"][0]["schema"], "v13");
    let hours = |key: &str| {
        let text = super::text(&loki["limits_config"][key]);
        text.strip_suffix('h').and_then(|number| number.parse::<u32>().ok()).unwrap_or_else(|| panic!("{key} = {text}"))
    };
    // store.export_retention, and a day in which it is sent.
    let export_retention =
        smscope::config::reference::settings().find(|setting| setting.key == "store.export_retention");
    assert_eq!(export_retention.unwrap().default(), "7d");
    assert!(hours("reject_old_samples_max_age") >= (7 + 1) * 24);
    assert!(hours("retention_period") >= hours("reject_old_samples_max_age"));
}

#[test]
fn no_secret_stands_in_a_file() {
    for (path, text) in files("deploy") {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
            // What `openssl rand` and smscope itself make. A link or a path has its slashes and dots.
            let looks_random = word.len() >= 32 && word.chars().any(|c| c.is_ascii_digit());
            assert!(!looks_random, "{path} has {word}");
        }
    }
    assert!(!read("deploy/compose.yaml").contains("env_file"));
}
