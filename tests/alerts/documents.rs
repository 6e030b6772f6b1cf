//! docs/alerts.md says what the files say.

use std::collections::BTreeSet;

use crate::files::{RULES, all_rules, is_alert, read, rules, text, yaml};

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
