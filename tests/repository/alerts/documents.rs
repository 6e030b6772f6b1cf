//! docs/alerts.md says what the files say.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::files::{GRAFANA, RULES, all_rules, is_alert, rules, text};
use crate::grafana::yaml;
use crate::support::{read, root, succeeded};

fn rows(heading: &str) -> Vec<Vec<String>> {
    let document = read("docs/alerts.md");
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_table_of_alerts_is_that_of_the_rules() {
    let Some(files) = yaml(&all_rules()) else { return };
    let written: Vec<[String; 4]> = rows("All alerts")
        .into_iter()
        .map(|row| {
            let name = row[0].trim_start_matches('[').split(']').next().unwrap().to_owned();
            assert_eq!(row[0], format!("[{name}](runbooks/{name}.md)"));
            let woken = match row[1].as_str() {
                "critical" => "on-call",
                "warning" => "ticket",
                "info" => "nobody",
                _ => "dead man's switch",
            };
            assert_eq!(row[2], woken, "{name}");
            [name, row[1].clone(), row[5].clone(), row[6].clone()]
        })
        .collect();
    let alerts = files.iter().flat_map(|file| rules(file).into_iter().filter(is_alert));
    let real: Vec<[String; 4]> = alerts
        .map(|alert| {
            let after = alert["keep_firing_for"].as_str().unwrap_or("-");
            [text(alert, "alert"), text(&alert["labels"], "severity"), text(alert, "for"), after].map(str::to_owned)
        })
        .collect();
    assert_eq!(written, real);
}

#[test]
fn the_table_of_thresholds_is_that_of_the_rules() {
    let Some(files) = yaml(&RULES) else { return };
    let levels: BTreeSet<&str> = files.iter().flat_map(rules).filter_map(|rule| rule["record"].as_str()).collect();
    let thresholds = files.iter().flat_map(|file| file["groups"][0]["rules"].as_array().unwrap());
    let real: Vec<[String; 3]> = thresholds
        .map(|rule| {
            let name = text(rule, "record").strip_prefix("smscope:threshold:").unwrap();
            let value = text(rule, "expr").trim_start_matches("vector(").trim_end_matches(')');
            let by = if levels.contains(format!("source_country:smscope_threshold:{name}").as_str()) {
                "source, country"
            } else if levels.contains(format!("source:smscope_threshold:{name}").as_str()) {
                "source"
            } else {
                "-"
            };
            [format!("`{name}`"), value.to_owned(), by.to_owned()]
        })
        .collect();
    let written: Vec<[String; 3]> =
        rows("Thresholds").into_iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(written, real);
}

#[test]
fn the_script_puts_an_address_into_every_link_of_every_form() {
    let (grafana, runbooks) = ("https://grafana.example.org/team", "https://wiki.example.org/a&b");
    let folder = TempDir::new().unwrap();
    let kubernetes = ["", "-extra", "-features"].map(|part| format!("deploy/kubernetes/prometheusrule{part}.yaml"));
    for file in all_rules().into_iter().chain(GRAFANA).chain(kubernetes.iter().map(String::as_str)) {
        let copy = folder.path().join("copy.yaml");
        fs::write(&copy, read(file)).unwrap();
        // Twice: an address may replace an earlier one.
        for (grafana, runbooks) in [("http://first.example", "http://first.example/runbooks"), (grafana, runbooks)] {
            let mut command = Command::new(root().join("scripts/alert-links.sh"));
            succeeded(&command.args([grafana, runbooks]).arg(&copy).output().unwrap());
        }
        let written = fs::read_to_string(&copy).unwrap();
        let (dashboard, runbook) = (format!("dashboard: {grafana}/d/"), format!("runbook_url: {runbooks}/"));
        let of = |key: &str| written.lines().filter(|line| line.trim_start().starts_with(key)).count();
        assert!(of("dashboard:") > 0 && of("runbook_url:") > 0, "{file}");
        assert_eq!((of("dashboard:"), of("runbook_url:")), (of(&dashboard), of(&runbook)), "{file}");
        let back = written.replace(grafana, "http://localhost:3000");
        let back = back.replace(runbooks, "https://git.example.com/smscope/src/branch/main/docs/runbooks");
        assert!(back == read(file), "{file}: more than the links has changed");
    }
}
