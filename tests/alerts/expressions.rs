//! What the rules ask for, and what an alert has to say.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use crate::files::{LOKI, OVERRIDES, RULES, is_alert, parse, read, rules, text, yaml};

/// The dashboards' uids.
const DASHBOARDS: [&str; 4] = ["smscope-deliverability", "smscope-failures", "smscope-journey", "smscope-self"];

/// Rules that tell instances apart, by labels that a scrape and OTLP both give.
const BY_INSTANCE: [&str; 1] = ["smscope_instances:absent:max1h"];

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
fn every_rule_asks_for_metrics_and_labels_that_both_paths_have() {
    let Some(files) = yaml(&[RULES]) else { return };
    let rules = rules(&files[0]);
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
    let documented = documented();
    let expressions: Vec<&str> = rules.iter().map(|rule| text(rule, "expr")).collect();
    let Some(parsed) = parse("promql", &expressions) else { return };
    for (rule, parsed) in rules.iter().zip(parsed) {
        let name = name(rule);
        assert_eq!(parsed.errors, [""; 0], "{name}");
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for selector in &parsed.selectors {
            let metric = selector.metric.as_str();
            if recorded.contains(metric) {
                // source_country:metric:operation has its level's labels, and a threshold may have both.
                known.extend(metric.split(':').next().unwrap().split('_').filter(|_| !metric.starts_with("smscope")));
                known.extend(["source", "country"].iter().filter(|_| metric.starts_with("smscope:threshold:")));
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
    let Some(files) = yaml(&[RULES]) else { return };
    let form = Regex::new("^[a-z]+(_[a-z]+)*:[a-z]+(_[a-z]+)*:[a-z0-9_]+$").unwrap();
    for rule in rules(&files[0]).into_iter().filter(|rule| !is_alert(rule)) {
        assert!(form.is_match(name(rule)), "{}", name(rule));
    }
}

#[test]
fn thresholds_stand_in_one_place() {
    let Some(files) = yaml(&[RULES, OVERRIDES]) else { return };
    let rules_of = rules(&files[0]);
    let group = &files[0]["groups"][0];
    assert_eq!(group["name"], "smscope-thresholds");
    let thresholds: Vec<&str> = group["rules"].as_array().unwrap().iter().map(|rule| text(rule, "record")).collect();
    let applied = |rule: &&&Value| rule["record"].as_str().is_some_and(|name| name.contains(":smscope_threshold:"));
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
        used.extend(alerts.iter().filter(|alert| text(alert, "expr").contains(&form)).map(|alert| name(alert)));
        assert!(alerts.iter().any(|alert| text(alert, "expr").contains(&form)), "no alert uses {short}");
    }
    // 0 says that there is something, or nothing, at all.
    let number = Regex::new("(^|[ (])[0-9.]*[1-9][0-9.]*($|[ )\n])").unwrap();
    for alert in alerts.iter().filter(|alert| name(alert) != "SmscopeWatchdog") {
        assert!(!number.is_match(text(alert, "expr")), "{} has a number of its own", name(alert));
    }
    let own: BTreeSet<&str> = ["SmscopeWatchdog", "SmscopeAbsent", "SmscopeDown"].into_iter().collect();
    assert_eq!(&alerts.iter().map(|alert| name(alert)).collect::<BTreeSet<_>>() - &own, used);
    for rule in rules(&files[1]) {
        assert!(thresholds.contains(&name(rule)), "{} overrides nothing", name(rule));
    }
}

#[test]
fn every_alert_says_what_it_has_to() {
    let Some(files) = yaml(&[RULES, LOKI]) else { return };
    let variables = ["job", "instance", "source", "channel", "flow", "country"];
    let text_of_rules = read(RULES) + &read(LOKI);
    for (file, is_loki) in files.iter().zip([false, true]) {
        for alert in rules(file).into_iter().filter(is_alert) {
            let name = name(alert);
            let severity = text(&alert["labels"], "severity");
            assert!(["critical", "warning", "info", "none"].contains(&severity), "{name}: {severity}");
            assert_eq!(alert["labels"]["service"], "smscope", "{name}");
            assert!(alert["for"].is_string() && alert["keep_firing_for"].is_string() != is_loki, "{name}");
            let annotations = &alert["annotations"];
            let summary = text(annotations, "summary");
            let has_number = summary.contains("{{ $value");
            assert_eq!(has_number, !["SmscopeAbsent", "SmscopeWatchdog"].contains(&name), "{name}: {summary}");
            let description = text(annotations, "description");
            assert!(
                description.contains("ook first") || name == "SmscopeWatchdog" || name == "SmsDeliveryRatioDropped",
                "{name}"
            );
            assert_eq!(text(annotations, "runbook_url"), format!("docs/runbooks/{name}.md"));
            let link = text(annotations, "dashboard");
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
fn what_is_asked_of_loki_is_logql_about_attributes_that_records_have() {
    let Some(files) = yaml(&[LOKI]) else { return };
    let alerts = rules(&files[0]);
    let expressions: Vec<&str> = alerts.iter().map(|rule| text(rule, "expr")).collect();
    let Some(parsed) = parse("logql", &expressions) else { return };
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
