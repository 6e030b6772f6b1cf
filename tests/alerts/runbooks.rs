//! What the runbooks tell to run: queries that parse, questions that the store answers, commands that there are.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use smscope::store::{Settings, Store};
use tempfile::TempDir;

use crate::files::{LOKI, RULES, is_alert, parse, read, root, rules, text, yaml};

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
    let Some(files) = yaml(&[RULES, LOKI]) else { return };
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
    for language in ["promql", "logql"] {
        let blocks = blocks(language);
        let queries: Vec<&str> = blocks.iter().map(|(_, query)| query.trim()).collect();
        let Some(parsed) = parse(language, &queries) else { return };
        for ((name, query), parsed) in blocks.iter().zip(parsed) {
            assert_eq!(parsed.errors, [""; 0], "{name}: {query}");
        }
    }
}

#[test]
fn every_question_of_a_runbook_is_one_that_the_store_answers() {
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        retention: Duration::from_secs(60),
        horizon: Duration::from_secs(60),
        export_retention: Duration::from_secs(60),
        size_limit: None,
        sources: Vec::new(),
        exports_logs: false,
        relays: Vec::new(),
        resends: Vec::new(),
        opt_outs: None,
        conversations: None,
    };
    let (store, end) = Store::open(folder.path(), settings).unwrap();
    drop(store);
    end.wait();
    let database =
        Connection::open_with_flags(folder.path().join("smscope.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for (name, question) in blocks("sql") {
        let mut statement = database.prepare(&question).unwrap_or_else(|error| panic!("{name}: {error}\n{question}"));
        let mut rows = statement.query([]).unwrap();
        while rows.next().unwrap_or_else(|error| panic!("{name}: {error}\n{question}")).is_some() {}
    }
}

#[test]
fn every_command_of_smscope_in_a_runbook_is_one() {
    for (name, commands) in blocks("sh") {
        for line in commands.lines().filter(|line| line.starts_with("smscope ")) {
            let arguments = line.split_whitespace().skip(1);
            let output = Command::new(env!("CARGO_BIN_EXE_smscope"))
                .env_clear()
                .env("SMSCOPE_DATA_DIR", TempDir::new().unwrap().path())
                .args(arguments)
                .output()
                .unwrap();
            // 64 is a command line that makes no sense; a store that is not there is another matter.
            assert_ne!(output.status.code(), Some(64), "{name}: {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
