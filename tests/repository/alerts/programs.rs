//! What promtool, amtool and the generator say.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::files::{GRAFANA, OVERRIDES, RULES, all_rules, is_alert, rules, text, unit_tests};
use crate::grafana::{script, yaml};
use crate::support::{program, read, root, succeeded};

#[test]
fn promtool_finds_no_fault_in_the_rules() {
    let Some(promtool) = program("promtool", "prometheus") else { return };
    for file in RULES.into_iter().chain([OVERRIDES]) {
        let mut command = Command::new(&promtool);
        command.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(root().join(file));
        let said = succeeded(&command.output().unwrap());
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let Some(promtool) = program("promtool", "prometheus") else { return };
    let files = unit_tests();
    let next = AtomicUsize::new(0);
    // Weeks of minutes take promtool a while: as many at a time as there are cores.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    succeeded(
                        &Command::new(&promtool).args(["test", "rules"]).arg(root().join(file)).output().unwrap(),
                    );
                }
            });
        }
    });
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_is_silent_in_every_scenario() {
    let Some(files) = yaml(&RULES) else { return };
    let tests = yaml(&unit_tests()).unwrap();
    let checks = |file: &Value, fires: bool| -> Vec<String> {
        let tests = file["tests"].as_array().unwrap().iter();
        let checks = tests.filter_map(|test| test["alert_rule_test"].as_array()).flatten();
        let wanted = checks.filter(|check| check["exp_alerts"].as_array().unwrap().is_empty() != fires);
        wanted.map(|check| text(check, "alertname").to_owned()).collect()
    };
    let fires: BTreeSet<String> = tests.iter().flat_map(|file| checks(file, true)).collect();
    let alerts = files.iter().flat_map(rules).filter(is_alert);
    let names: BTreeSet<String> = alerts.map(|rule| text(rule, "alert").to_owned()).collect();
    assert_eq!(fires, names);
    // At the end of a test, that nothing has fired in it at any minute.
    let silent = |alert: &str| format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[");
    let silences = |file: &Value, alert: &str| {
        let tests = file["tests"].as_array().unwrap().iter();
        let asked = tests.filter_map(|test| test["promql_expr_test"].as_array()).flatten();
        let no_samples = |test: &&Value| test["exp_samples"].as_array().is_some_and(Vec::is_empty);
        asked.filter(no_samples).any(|test| text(test, "expr").contains(&silent(alert)))
    };
    for alert in names.iter().filter(|name| *name != "SmscopeWatchdog") {
        let has_one = tests.iter().any(|file| silences(file, alert) || checks(file, false).contains(alert));
        assert!(has_one, "{alert} has no test in which it is silent");
    }

    let scenarios = &yaml(&["alerts/tests/scenarios.test.yaml"]).unwrap()[0];
    assert_eq!(scenarios["rule_files"].as_array().unwrap().len(), RULES.len());
    let nothing = "count by (alertname) (count_over_time(ALERTS{alertstate=\"firing\",alertname!=\"SmscopeWatchdog\"}[";
    for scenario in scenarios["tests"].as_array().unwrap() {
        let asked = scenario["promql_expr_test"].as_array().unwrap();
        let (silences, results): (Vec<&Value>, Vec<&Value>) =
            asked.iter().partition(|test| text(test, "expr").starts_with(nothing));
        assert_eq!(silences.len(), 1, "{}", scenario["name"]);
        assert!(silences[0]["exp_samples"].as_array().unwrap().is_empty(), "{}", scenario["name"]);
        let has_samples = |test: &Value| test["exp_samples"].as_array().is_some_and(|samples| !samples.is_empty());
        assert!(results.iter().any(|test| has_samples(test)), "{} may be silent for lack of data", scenario["name"]);
    }
}

#[test]
fn amtool_accepts_the_example_and_routes_each_severity_to_its_receiver() {
    let Some(amtool) = program("amtool", "prometheus-alertmanager") else { return };
    let example = root().join("alerts/alertmanager.example.yaml");
    succeeded(&Command::new(&amtool).arg("check-config").arg(&example).output().unwrap());
    for (labels, receiver) in [
        (&["alertname=SmscopeWatchdog", "service=smscope", "severity=none"], "deadman"),
        (&["alertname=SmsCreditExhausted", "service=smscope", "severity=critical"], "on-call"),
        (&["alertname=SmsContentFiltered", "service=smscope", "severity=warning"], "chat"),
        (&["alertname=SmsStopRatioHigh", "service=smscope", "severity=info"], "chat"),
    ] {
        let mut command = Command::new(&amtool);
        command.args(["config", "routes", "test", "--config.file"]).arg(&example);
        succeeded(&command.arg(format!("--verify.receivers={receiver}")).args(labels).output().unwrap());
    }
}

#[test]
fn the_alerts_for_grafana_are_the_generators_output() {
    let folder = TempDir::new().unwrap();
    if script(&[OsStr::new("src/generate.ts"), folder.path().as_os_str()], "").is_none() {
        return;
    }
    for path in GRAFANA {
        let written = fs::read_to_string(folder.path().join(path)).unwrap();
        assert!(written == read(path), "{path} is not what `npm run generate` in grafana/ writes");
    }
    // Grafana rejects a whole folder for one file that is neither YAML nor JSON.
    let there = fs::read_dir(root().join("alerts/grafana")).unwrap().count();
    assert_eq!(there, GRAFANA.len());
}

#[test]
fn grafana_has_the_same_alerts_in_the_form_of_its_provisioning() {
    let Some(sources) = yaml(&all_rules()) else { return };
    let generated = yaml(&GRAFANA).unwrap();
    let dashboards: Vec<Value> = fs::read_dir(root().join("dashboards"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    let mut uids = BTreeSet::new();
    for ((source, made), kind) in sources.iter().zip(&generated).zip(["prometheus", "prometheus", "prometheus", "loki"])
    {
        assert_eq!(made["apiVersion"], 1);
        let alerts: Vec<&Value> = rules(source).into_iter().filter(is_alert).collect();
        let made = rules(made);
        assert_eq!(made.len(), alerts.len());
        for (alert, made) in alerts.into_iter().zip(made) {
            let name = text(alert, "alert");
            assert_eq!(
                (&made["title"], &made["labels"], &made["for"]),
                (&alert["alert"], &alert["labels"], &alert["for"])
            );
            assert_eq!(made["keepFiringFor"], alert["keep_firing_for"], "{name}");
            let uid = text(made, "uid");
            assert!(uid.len() <= 40 && uids.insert(uid.to_owned()), "{uid}");
            let data = made["data"].as_array().unwrap();
            assert_eq!(data.iter().map(|node| text(node, "refId")).collect::<Vec<_>>(), ["A", "B"]);
            assert_eq!((text(&data[0], "datasourceUid"), text(made, "condition")), (kind, "B"));
            // The condition is the value of the query, so that Grafana shows the share.
            assert_eq!(data[1]["model"]["expression"], "$A", "{name}");
            let on_error = if kind == "loki" || name == "SmscopeAbsent" { "Error" } else { "OK" };
            assert_eq!((&made["execErrState"], &made["noDataState"]), (&json!(on_error), &json!("OK")), "{name}");
            for (key, annotation) in made["annotations"].as_object().unwrap() {
                // What is missing is empty by `index`, and an error otherwise. $value would be the text of all queries.
                let annotation = annotation.as_str().unwrap();
                assert!(!annotation.contains("$value ") && !annotation.contains("$labels."), "{name}: {key}");
            }
            let (board, panel) =
                (text(&made["annotations"], "__dashboardUid__"), text(&made["annotations"], "__panelId__"));
            let shown =
                dashboards.iter().find(|shown| shown["uid"] == board).unwrap_or_else(|| panic!("{name}: {board}"));
            assert!(has_panel(shown, panel.parse().unwrap()), "{name}: {board} has no panel {panel}");
        }
    }
}

/// Whether a dashboard has a panel of this id, in a row or not.
fn has_panel(dashboard: &Value, id: u64) -> bool {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    panels.into_iter().any(|panel| (panel["id"] == id && panel["type"] != "row") || has_panel(panel, id))
}
