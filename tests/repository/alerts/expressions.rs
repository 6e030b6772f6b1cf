//! What the rules ask for, and what an alert has to say.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use super::files::{LOKI, OVERRIDES, RULES, all_rules, is_alert, rules, text};
use crate::dashboards::board::Language;
use crate::grafana::{parse, yaml};
use crate::support::read;

/// The dashboards' uids.
const DASHBOARDS: [&str; 4] = ["smscope-deliverability", "smscope-failures", "smscope-journey", "smscope-self"];

/// Rules that tell instances apart, by labels that a scrape and OTLP both give.
const BY_INSTANCE: [&str; 8] = [
    "job:smscope_instances:expected",
    "job:smscope_instances:missing",
    "job:smscope_fleet_leaderless:count",
    "job:smscope_inbox:age_seconds",
    "job:smscope_inbox_stuck:increase1h",
    "fleet:smscope_fleet_identities:count1h",
    "SmscopeDown",
    "SmscopeStoreWalLarge",
];

/// Alerts without a threshold: they ask whether something is there.
const ABSOLUTE: [&str; 4] =
    ["SmscopeWatchdog", "SmscopeAbsent", "SmscopeMetricNamesUnexpected", "SmscopeFleetLeaderless"];

/// Where links begin, in every file: scripts/alert-links.sh replaces it.
const GRAFANA_URL: &str = "http://localhost:3000";
const RUNBOOKS_URL: &str = "https://git.example.com/smscope/src/branch/main/docs/runbooks";

/// The labels of each documented metric.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let document = read("docs/metrics.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter(|row| row.starts_with("sms_") || row.starts_with("smscope_"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let labels = |cell: &str| cell.split(' ').filter(|label| !label.is_empty()).map(str::to_owned).collect();
    cells.map(|row| (row[0].trim_matches('`').to_owned(), labels(row[1]))).collect()
}

fn name(rule: &Value) -> &str {
    rule["alert"].as_str().or(rule["record"].as_str()).unwrap()
}

#[test]
fn every_rule_queries_metrics_and_labels_that_both_transports_have() {
    let Some(files) = yaml(&RULES) else { return };
    let rules: Vec<&Value> = files.iter().flat_map(rules).collect();
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
    let documented = documented();
    let expressions: Vec<_> = rules.iter().map(|rule| (Language::PromQl, text(rule, "expr"))).collect();
    let Some(parsed) = parse(&expressions) else { return };
    for (rule, parsed) in rules.iter().zip(parsed) {
        let name = name(rule);
        assert_eq!(parsed.errors, [""; 0], "{name}");
        // It queries the names that ours must not have.
        if name == "SmscopeMetricNamesUnexpected" {
            continue;
        }
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for selector in &parsed.selectors {
            let metric = selector.metric.as_str();
            if recorded.contains(metric) {
                // source_country:metric:operation has its level's labels, and a threshold may have both.
                known.extend(metric.split(':').next().unwrap().split('_').filter(|_| !metric.starts_with("smscope")));
                known.extend(["source", "country"].iter().filter(|_| metric.starts_with("smscope:threshold:")));
                // A network is its code and its name.
                known.extend(["network_name"].iter().filter(|_| metric.starts_with("source_network:")));
                continue;
            }
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric);
            let labels = documented.get(base).unwrap_or_else(|| panic!("{name} asks for {metric}"));
            known.extend(labels.iter().map(String::as_str));
            known.extend(metric.strip_suffix("_bucket").map(|_| "le"));
            for matcher in &selector.matchers {
                assert!(labels.contains(&matcher.label), "{name}: {metric} has no {}", matcher.label);
            }
        }
        if BY_INSTANCE.contains(&name) {
            known.extend(["job", "instance"]);
        }
        for label in &parsed.grouping {
            assert!(known.contains(label.as_str()), "{name} groups or joins by {label}, of {known:?}");
        }
    }
}

#[test]
fn every_recorded_name_is_a_level_a_metric_and_an_operation() {
    let Some(files) = yaml(&RULES) else { return };
    let form = Regex::new("^[a-z]+(_[a-z]+)*:[a-z]+(_[a-z]+)*:[a-z0-9_]+$").unwrap();
    for rule in files.iter().flat_map(rules).filter(|rule| !is_alert(rule)) {
        assert!(form.is_match(name(rule)), "{}", name(rule));
    }
}

#[test]
fn each_threshold_is_defined_once() {
    let Some(files) = yaml(&RULES) else { return };
    let overrides = yaml(&[OVERRIDES]).unwrap();
    let rules_of: Vec<&Value> = files.iter().flat_map(rules).collect();
    let mut thresholds: Vec<&str> = Vec::new();
    for (file, name) in files.iter().zip(["smscope", "smscope-extra", "smscope-features"]) {
        let group = &file["groups"][0];
        assert_eq!(group["name"], format!("{name}-thresholds"));
        thresholds.extend(group["rules"].as_array().unwrap().iter().map(|rule| text(rule, "record")));
    }
    assert_eq!(thresholds.iter().collect::<BTreeSet<_>>().len(), thresholds.len(), "{thresholds:?}");
    let applied = |rule: &&&Value| rule["record"].as_str().is_some_and(|name| name.contains(":smscope_threshold:"));
    let is_applied = |rule: &Value| rule["record"].as_str().is_some_and(|name| name.contains(":smscope_threshold:"));
    let applied: BTreeMap<&str, &str> =
        rules_of.iter().filter(applied).map(|rule| (text(rule, "record"), text(rule, "expr").trim())).collect();
    let alerts: Vec<&Value> = rules_of.iter().copied().filter(is_alert).collect();
    let mut used = BTreeSet::new();
    for threshold in &thresholds {
        let short = threshold.strip_prefix("smscope:threshold:").unwrap();
        let [source, country] = ["source", "source_country"].map(|level| format!("{level}:smscope_threshold:{short}"));
        let form = match (applied.get(source.as_str()), applied.get(country.as_str())) {
            (Some(expr), None) => {
                let wanted = format!(
                    "{threshold}{{source!=\"\",country=\"\"}}\n\
                     or on (source) source:smscope_sources:group * on () group_left () {threshold}{{source=\"\",country=\"\"}}"
                );
                assert_eq!(*expr, wanted, "{short}");
                source
            }
            (None, Some(expr)) => {
                // Nearest first.
                let places = [
                    "{source!=\"\",country!=\"\"}",
                    "{source=\"\",country!=\"\"}",
                    "{source!=\"\",country=\"\"}",
                    "{source=\"\",country=\"\"}",
                ];
                let order: Vec<usize> =
                    places.iter().map(|place| expr.find(&format!("{threshold}{place}")).unwrap()).collect();
                assert!(order.is_sorted(), "{short}");
                country
            }
            (None, None) => format!("scalar({threshold})"),
            both => panic!("{short}: {both:?}"),
        };
        let uses = |rule: &&&Value| text(rule, "expr").contains(&form);
        used.extend(alerts.iter().filter(uses).map(|alert| name(alert)));
        // A limit may be learned: then it is a recorded rule that the threshold is part of.
        assert!(rules_of.iter().filter(|rule| !is_applied(rule)).any(|rule| uses(&rule)), "no rule uses {short}");
    }
    // 0 says that there is something, or nothing, at all.
    let number = Regex::new("(^|[ (])[0-9.]*[1-9][0-9.]*($|[ )\n])").unwrap();
    for alert in alerts.iter().filter(|alert| name(alert) != "SmscopeWatchdog") {
        assert!(!number.is_match(text(alert, "expr")), "{} has a number of its own", name(alert));
    }
    let own: BTreeSet<&str> = ABSOLUTE.into_iter().collect();
    assert_eq!(&alerts.iter().map(|alert| name(alert)).collect::<BTreeSet<_>>() - &own, used);
    for rule in rules(&overrides[0]) {
        assert!(thresholds.contains(&name(rule)), "{} overrides nothing", name(rule));
    }
}

#[test]
fn every_alert_has_the_required_labels_and_annotations() {
    let Some(files) = yaml(&all_rules()) else { return };
    let variables = ["job", "instance", "source", "channel", "flow", "country"];
    let plural = Regex::new("printf \"%.0f\" }} [a-z]").unwrap();
    for (file, path) in files.iter().zip(all_rules()) {
        let text_of_rules = read(path);
        for alert in rules(file).into_iter().filter(is_alert) {
            let name = name(alert);
            assert!(name.starts_with("Sms"), "{name}");
            let severity = text(&alert["labels"], "severity");
            assert!(["critical", "warning", "info", "none"].contains(&severity), "{name}: {severity}");
            assert_eq!(alert["labels"]["service"], "smscope", "{name}");
            assert!(alert["for"].is_string() && alert["keep_firing_for"].is_string() == (path != LOKI), "{name}");
            let annotations = &alert["annotations"];
            // A headline that does not change, so that notifications of one incident have one title.
            let summary = text(annotations, "summary");
            let begins =
                summary.starts_with(|first: char| first.is_ascii_uppercase()) || summary.starts_with("smscope ");
            assert!(begins && summary.ends_with('.') && !summary.contains("{{"), "{name}: {summary}");
            let description = text(annotations, "description");
            assert!(description.ends_with('.'), "{name}: {description}");
            assert!(description.contains("Check first") || name == "SmscopeWatchdog", "{name}");
            // "1 messages": a count stands after a colon, or is a share.
            assert!(!plural.is_match(description), "{name}: {description}");
            assert!(!description.contains("{{ $value }}"), "{name}: a number as Go prints it");
            assert!(!description.contains("{{ $labels.network }}"), "{name}: a code instead of a name");
            let has_number = description.contains("$value");
            let is_a_fact = [&ABSOLUTE[..], &["SmscopeDown"]].concat().contains(&name);
            assert_eq!(has_number, !is_a_fact, "{name}: {description}");
            assert_eq!(text(annotations, "runbook_url"), format!("{RUNBOOKS_URL}/{name}.md"));
            let link = text(annotations, "dashboard").strip_prefix(GRAFANA_URL).unwrap();
            let (uid, query) = link.strip_prefix("/d/").unwrap().split_once('?').unwrap_or((&link[3..], ""));
            assert!(DASHBOARDS.contains(&uid), "{name}: {link}");
            for variable in query.split('&').filter_map(|part| part.strip_prefix("var-")?.split('=').next()) {
                assert!(variables.contains(&variable), "{name}: {link}");
            }
            // Each duration has its reason above it.
            let (_, own) = text_of_rules.split_once(&format!("- alert: {name}\n")).unwrap();
            let own = own.split("- alert: ").next().unwrap();
            let lines: Vec<&str> = own.lines().map(str::trim).collect();
            for key in ["for: ", "keep_firing_for: "] {
                let at = lines.iter().position(|line| line.starts_with(key));
                assert!(at.is_none_or(|at| lines[at - 1].starts_with('#')), "{name}: {key} has no reason");
            }
        }
    }
}

#[test]
fn only_the_core_pages_but_for_what_makes_it_blind() {
    let Some(files) = yaml(&all_rules()) else { return };
    for (file, path) in files.iter().zip(all_rules()) {
        let alerts: Vec<&Value> = rules(file).into_iter().filter(is_alert).collect();
        let critical = alerts.iter().filter(|alert| alert["labels"]["severity"] == "critical").map(|alert| name(alert));
        let critical: Vec<&str> = critical.collect();
        match path {
            "alerts/smscope.rules.yaml" => assert!(critical.len() >= 8 && alerts.len() <= 15, "{}", alerts.len()),
            "alerts/smscope-features.rules.yaml" => {
                assert_eq!(critical, ["SmscopePublicUrlFailing", "SmscopeFleetLeaderless"]);
            }
            _ => assert_eq!(critical, [""; 0], "{path}"),
        }
    }
}

#[test]
fn the_queries_for_loki_are_logql_about_attributes_that_records_have() {
    let Some(files) = yaml(&[LOKI]) else { return };
    let alerts = rules(&files[0]);
    let expressions: Vec<_> = alerts.iter().map(|rule| (Language::LogQl, text(rule, "expr"))).collect();
    let Some(parsed) = parse(&expressions) else { return };
    let document = read("docs/logs.md");
    let attributes = document.split('`').skip(1).step_by(2).map(|name| name.replace('.', "_"));
    let attributes: BTreeSet<String> = attributes.chain(["service_name".to_owned()]).collect();
    let label = Regex::new("\\b(sms|messaging|error|service)_[a-z_]+").unwrap();
    for (rule, parsed) in alerts.iter().zip(parsed) {
        assert_eq!(parsed.errors, [""; 0], "{}", name(rule));
        for found in label.find_iter(text(rule, "expr")) {
            assert!(attributes.contains(found.as_str()), "{} asks for {}", name(rule), found.as_str());
        }
    }
}
