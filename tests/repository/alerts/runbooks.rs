//! What the runbooks tell to run: queries that parse, questions that the store answers, commands that there are.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use regex::Regex;
use tempfile::TempDir;

use super::files::{all_rules, is_alert, rules, text};
use crate::dashboards::board::Language;
use crate::grafana::{parse, yaml};
use crate::store::with_new_store;
use crate::support::{program, read, root};

const SECTIONS: [&str; 4] = ["## What it means", "## How to confirm", "## What to do", "## When to wait it out"];

/// By name, what each says.
fn runbooks() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("docs/runbooks")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names
        .map(|file| (file.strip_suffix(".md").unwrap().to_owned(), read(&format!("docs/runbooks/{file}"))))
        .collect();
    found.sort();
    found
}

/// The fenced blocks of a language, with the runbook that each is in.
fn blocks(language: &str) -> Vec<(String, String)> {
    let fence = format!("```{language}\n");
    let of = |(name, text): (String, String)| -> Vec<(String, String)> {
        text.split(&fence).skip(1).map(|rest| (name.clone(), rest.split("```").next().unwrap().to_owned())).collect()
    };
    let found: Vec<_> = runbooks().into_iter().flat_map(of).collect();
    assert!(!found.is_empty(), "{language}");
    found
}

#[test]
fn every_alert_has_a_runbook_with_all_its_sections_and_no_other_is_there() {
    for (name, text) in runbooks() {
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, SECTIONS, "{name}");
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        for section in text.split("\n## ").skip(1) {
            assert!(section.lines().skip(1).any(|line| !line.is_empty()), "{name} has an empty section");
        }
    }
    let Some(files) = yaml(&all_rules()) else { return };
    let alerts: BTreeSet<String> = files
        .iter()
        .flat_map(|file| rules(file).into_iter().filter(is_alert).map(|rule| text(rule, "alert").to_owned()))
        .collect();
    assert_eq!(runbooks().into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), alerts);
}

#[test]
fn every_link_of_a_runbook_leads_somewhere() {
    for (name, text) in runbooks() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = root().join("docs/runbooks").join(file);
            let document = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name} links to {target}"));
            let heading = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            let known = document.lines().filter(|line| line.starts_with('#')).any(|line| heading(line) == anchor);
            assert!(anchor.is_empty() || known, "{name} links to {target}");
        }
    }
}

#[test]
fn every_query_of_a_runbook_parses() {
    for (language, grammar) in [("promql", Language::PromQl), ("logql", Language::LogQl)] {
        let blocks = blocks(language);
        let queries: Vec<_> = blocks.iter().map(|(_, query)| (grammar, query.trim())).collect();
        let Some(parsed) = parse(&queries) else { return };
        for ((name, query), parsed) in blocks.iter().zip(parsed) {
            assert_eq!(parsed.errors, [""; 0], "{name}: {query}");
        }
    }
}

/// What a command of a runbook may begin with: the three functions of docs/runbook-commands.md, and what filters their output.
const PROGRAMS: [&str; 11] = ["smscope", "admin", "logs", "curl", "jq", "sort", "uniq", "head", "tail", "grep", "cut"];

/// What runs on the node that has the disk, or beside Alertmanager.
const ELSEWHERE: [&str; 2] = ["sudo fuser ", "amtool "];

#[test]
fn every_command_of_a_runbook_runs_where_its_functions_are_defined() {
    let Some(bash) = program("bash", "bash") else { return };
    if program("jq", "jq").is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    // Queries of the store find one.
    with_new_store(&data, drop);
    let how = "[three functions](../runbook-commands.md)";
    let strings = Regex::new("'[^']*'|\"[^\"]*\"").unwrap();
    for (name, commands) in blocks("sh") {
        assert!(read(&format!("docs/runbooks/{name}.md")).contains(how), "{name} does not say how its commands run");
        // Strings have pipes of their own.
        let bare = strings.replace_all(&commands, "").replace("|\n", "| ");
        let is_elsewhere = |line: &&str| ELSEWHERE.iter().any(|begins| line.starts_with(begins));
        for command in bare.lines().filter(|line| !is_elsewhere(line)) {
            for part in command.split('|') {
                let first = part.split_whitespace().next().unwrap();
                assert!(PROGRAMS.contains(&first), "{name}: {first} is not in every deployment: {commands}");
            }
        }
        let functions = "smscope() { \"$BINARY\" \"$@\" || echo \"smscope ended with $?\" >&2; }
            admin() { :; }
            logs() { :; }
            curl() { :; }
            sudo() { :; }
            amtool() { :; }
        ";
        let output = Command::new(&bash)
            .args(["-c", &format!("{functions}\n{commands}")])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("BINARY", env!("CARGO_BIN_EXE_smscope"))
            .env("SMSCOPE_DATA_DIR", &data)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // 64 is a command line that makes no sense.
        for fault in ["ended with 64", "jq: error", "syntax error", "not found"] {
            assert!(!said.contains(fault), "{name}: {commands}: {said}");
        }
    }
}

#[test]
fn the_functions_name_what_deploy_has() {
    let functions = read("docs/runbook-commands.md");
    let deploy = |path: &str, part: &str| assert!(read(&format!("deploy/{path}")).contains(part), "{path}: {part}");
    let binary = "/usr/local/bin/smscope";
    deploy("Containerfile", &format!("ENTRYPOINT [\"{binary}\"]"));
    deploy("systemd/smscope.service", &format!("ExecStart={binary}\n"));
    // %S is /var/lib for a unit of the system.
    deploy("systemd/smscope.service", "Environment=SMSCOPE_DATA_DIR=%S/smscope\n");
    deploy("compose.yaml", "\n  smscope:\n");
    deploy("kubernetes/shop.yaml", "kind: StatefulSet\nmetadata:\n  name: shop\n");
    deploy("kubernetes/shop.yaml", "        - name: smscope\n          image: ");
    for (path, port) in [("compose.yaml", "127.0.0.1:7673:7673"), ("kubernetes/shop.yaml", "containerPort: 7673")] {
        deploy(path, port);
    }
    for wanted in [
        format!("sudo SMSCOPE_DATA_DIR=/var/lib/smscope {binary} \"$@\""),
        format!("docker compose -f deploy/compose.yaml exec -T smscope {binary} \"$@\""),
        format!("kubectl exec shop-0 -c smscope -- {binary} \"$@\""),
        "pod/shop-0 17673:7673".to_owned(),
        "journalctl -u smscope ".to_owned(),
        "kubectl logs shop-0 -c smscope ".to_owned(),
    ] {
        assert!(functions.contains(&wanted), "{wanted}");
    }
}
