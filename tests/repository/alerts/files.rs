//! The files of alerts/, as data.

use std::fs;

use serde_json::Value;

use crate::support::root;

/// The core, which everyone loads, and what is beside it.
pub const RULES: [&str; 3] =
    ["alerts/smscope.rules.yaml", "alerts/smscope-extra.rules.yaml", "alerts/smscope-features.rules.yaml"];
pub const OVERRIDES: &str = "alerts/overrides.example.rules.yaml";
pub const LOKI: &str = "alerts/loki.rules.yaml";
/// By the order of the rules that each is generated from, Loki's last.
pub const GRAFANA: [&str; 4] = [
    "alerts/grafana/smscope.yaml",
    "alerts/grafana/smscope-extra.yaml",
    "alerts/grafana/smscope-features.yaml",
    "alerts/grafana/smscope-loki.yaml",
];

/// The promtool files of alerts/tests.
pub fn unit_tests() -> Vec<String> {
    let files = fs::read_dir(root().join("alerts/tests")).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.into_iter().map(|name| format!("alerts/tests/{name}")).collect()
}

/// The files of rules for Prometheus, and Loki's.
pub fn all_rules() -> Vec<&'static str> {
    RULES.into_iter().chain([LOKI]).collect()
}

/// The rules of all groups of a file.
pub fn rules(file: &Value) -> Vec<&Value> {
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect()
}

pub fn is_alert(rule: &&Value) -> bool {
    rule["alert"].is_string()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}
