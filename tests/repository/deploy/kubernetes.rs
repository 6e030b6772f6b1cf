//! deploy/kubernetes, as kustomize builds it and as the types of the Kubernetes API take it: a field that there is not is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::names::default_port;
use super::{files, reader, text};
use crate::support::program;
use crate::support::{read, root};

fn built() -> Option<Vec<Value>> {
    reader::kubernetes("deploy/kubernetes")
}

fn objects<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|object| object["kind"] == kind).collect()
}

fn object<'a>(all: &'a [Value], kind: &str) -> &'a Value {
    match objects(all, kind)[..] {
        [one] => one,
        ref found => panic!("{} of {kind}", found.len()),
    }
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn pod(all: &[Value]) -> &Value {
    &object(all, "StatefulSet")["spec"]["template"]
}

fn sidecar(all: &[Value]) -> &Value {
    named(&pod(all)["spec"]["containers"], "smscope")
}

#[test]
fn kustomize_builds_every_object_of_the_folder() {
    let Some(all) = built() else { return };
    let kinds: BTreeSet<&str> = all.iter().map(|object| text(&object["kind"])).collect();
    assert_eq!(kinds, BTreeSet::from(["NetworkPolicy", "PodMonitor", "PrometheusRule", "Service", "StatefulSet"]));
    let kustomization = read("deploy/kubernetes/kustomization.yaml");
    for file in fs::read_dir(root().join("deploy/kubernetes")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        // As a comment, if it is for those who want it.
        let is_named = ["  - ", "  # - "].iter().any(|list| kustomization.contains(&format!("{list}{name}\n")));
        assert!(name == "kustomization.yaml" || is_named, "{name} is left out");
    }
}

#[test]
fn the_sidecar_is_watched_without_taking_the_main_service_out() {
    let Some(all) = built() else { return };
    let sidecar = sidecar(&all);
    for probe in ["startupProbe", "livenessProbe"] {
        assert_eq!(sidecar[probe]["httpGet"]["path"], "/livez", "{probe}");
        assert_eq!(sidecar[probe]["httpGet"]["port"], "admin", "{probe}");
    }
    assert!(sidecar.get("readinessProbe").is_none());
    let grace = pod(&all)["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    let timeout =
        smscope::config::reference::settings().find(|setting| setting.key == "http.shutdown_timeout").unwrap();
    assert_eq!(timeout.default(), "10s");
    assert!(grace > 10 + 5, "http.shutdown_timeout, and half of it for exporters");
}

#[test]
fn the_sidecar_may_do_nothing_but_write_to_its_volume() {
    let Some(all) = built() else { return };
    let (spec, sidecar) = (&pod(&all)["spec"], sidecar(&all));
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(spec["automountServiceAccountToken"], false);
    let context = &sidecar["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    // The user of the image, and the group that owns the volume.
    let user = &context["runAsUser"];
    assert!(read("deploy/Containerfile").contains(&format!("USER {user}:{}\n", spec["securityContext"]["fsGroup"])));
    let data = text(&named(&sidecar["env"], "SMSCOPE_DATA_DIR")["value"]);
    assert_eq!(named(&sidecar["volumeMounts"], "smscope")["mountPath"], data);
    let claims = &object(&all, "StatefulSet")["spec"]["volumeClaimTemplates"];
    assert_eq!(claims[0]["metadata"]["name"], "smscope");
    assert!(
        sidecar["resources"]["limits"].get("cpu").is_none() && sidecar["resources"]["limits"].get("memory").is_some()
    );
}

#[test]
fn one_pod_writes_to_one_volume() {
    let Some(all) = built() else { return };
    assert_eq!(object(&all, "StatefulSet")["spec"]["replicas"], 1);
    assert!(objects(&all, "Deployment").is_empty());
}

#[test]
fn the_token_is_from_a_secret_that_is_not_in_the_repository() {
    let Some(all) = built() else { return };
    assert!(objects(&all, "Secret").is_empty());
    let volume = named(&pod(&all)["spec"]["volumes"], "smscope-token");
    let command =
        format!("kubectl create secret generic {} --from-literal=token=", text(&volume["secret"]["secretName"]));
    assert!(read("deploy/kubernetes/kustomization.yaml").contains(&command));
    let folder = text(&named(&sidecar(&all)["volumeMounts"], "smscope-token")["mountPath"]);
    assert_eq!(named(&sidecar(&all)["env"], "SMSCOPE_TOKEN_FILE")["value"], format!("{folder}/token"));
}

#[test]
fn the_admin_port_is_for_prometheus_alone() {
    let Some(all) = built() else { return };
    let ports = &sidecar(&all)["ports"];
    assert_eq!(named(ports, "webhooks")["containerPort"], default_port("listen"));
    assert_eq!(named(ports, "admin")["containerPort"], default_port("admin_listen"));
    for service in objects(&all, "Service") {
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert!(["http", "webhooks"].contains(&text(&port["targetPort"])), "{service}");
        }
    }
    let rules = object(&all, "NetworkPolicy")["spec"]["ingress"].as_array().unwrap();
    let of_admin: Vec<&Value> = rules.iter().filter(|rule| rule["ports"][0]["port"] == "admin").collect();
    let [rule] = of_admin[..] else { panic!("{of_admin:?}") };
    assert_eq!(rule["ports"].as_array().unwrap().len(), 1);
    let [peer] = &rule["from"].as_array().unwrap()[..] else { panic!("{rule}") };
    assert!(peer["namespaceSelector"]["matchLabels"].is_object() && peer["podSelector"]["matchLabels"].is_object());
    assert_eq!(object(&all, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"], "admin");
}

#[test]
fn every_selector_selects_the_pod() {
    let Some(all) = built() else { return };
    let labels = pod(&all)["metadata"]["labels"].as_object().unwrap();
    let services = objects(&all, "Service").into_iter().map(|service| &service["spec"]["selector"]);
    let others = [("NetworkPolicy", "podSelector"), ("PodMonitor", "selector"), ("StatefulSet", "selector")]
        .map(|(kind, key)| &object(&all, kind)["spec"][key]["matchLabels"]);
    for selector in services.chain(others) {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(labels.get(key), Some(value), "{selector}");
        }
    }
    let set = &object(&all, "StatefulSet")["spec"]["serviceName"];
    assert!(objects(&all, "Service").iter().any(|service| &service["metadata"]["name"] == set));
}

/// The label `instance` of a target, as the relabelings of the PodMonitor leave it.
fn instance(relabelings: &Value, discovered: &[(&str, &str)]) -> String {
    let mut labels: BTreeMap<&str, String> = discovered.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    labels.insert("instance", labels["__address__"].clone());
    for rule in relabelings.as_array().unwrap() {
        let known = ["sourceLabels", "targetLabel", "replacement"];
        assert!(rule.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "not read here: {rule}");
        let sources = rule["sourceLabels"].as_array().map_or(&[][..], Vec::as_slice);
        let joined: Vec<&str> = sources.iter().map(|name| labels.get(text(name)).map_or("", String::as_str)).collect();
        let value = rule["replacement"].as_str().map_or_else(|| joined.join(";"), str::to_owned);
        labels.insert(text(&rule["targetLabel"]), value);
    }
    labels["instance"].clone()
}

/// Whether 300 failures that were counted while a pod was away, between two scrapes, show in increase().
fn a_move_is_seen(promtool: &Path, [before, after]: [&str; 2]) -> bool {
    let counted = |instance: &str, values: &str| {
        format!(
            "      - series: 'sms_messages_failed_total{{job=\"smscope\",instance=\"{instance}\",source=\"smsmode\"}}'\n        \
             values: '{values}'\n"
        )
    };
    let series = match before == after {
        true => counted(before, "100x30 400x30"),
        // The target that is gone leaves a marker; the one that has come begins where the store is.
        false => counted(before, "100x30 stale") + &counted(after, "_x30 400x30"),
    };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("moved.test.yaml");
    let test = format!(
        "evaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{series}    promql_expr_test:\n      \
         - expr: 'sum by (source) (increase(sms_messages_failed_total[15m])) > bool 250'\n        eval_time: 35m\n        \
         exp_samples: [{{labels: '{{source=\"smsmode\"}}', value: 1}}]\n"
    );
    fs::write(&file, test).unwrap();
    let output = Command::new(promtool).args(["test", "rules"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("value: 0") || said.contains(" 0E+00"), "{said}");
    output.status.success()
}

#[test]
fn a_pod_that_moves_stays_one_instance_so_that_nothing_is_missed() {
    let Some(all) = built() else { return };
    let Some(promtool) = program("promtool", "prometheus") else { return };
    let relabelings = &object(&all, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["relabelings"];
    let pod_at = |address| [("__address__", address), ("__meta_kubernetes_pod_name", "shop-0")];
    let [before, after] = ["10.0.0.1:7673", "10.0.0.2:7673"].map(|address| instance(relabelings, &pod_at(address)));
    assert!(a_move_is_seen(&promtool, [&before, &after]), "from {before} to {after}");
    // Not so by address, which is what a target has by itself.
    assert!(!a_move_is_seen(&promtool, ["10.0.0.1:7673", "10.0.0.2:7673"]));
}

#[test]
fn the_image_is_of_this_version() {
    let Some(all) = built() else { return };
    let expected = format!("registry.example.com/smscope:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(sidecar(&all)["image"], expected);
}

/// The rules as an object of the Prometheus operator: its spec is what a file of rules has.
fn prometheus_rule(path: &str, name: &str) -> String {
    let head = format!(
        "# Generated from {path}: UPDATE_DEPLOY=1 cargo test --test repository deploy\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {name}\nspec:\n"
    );
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    head + &read(path).lines().map(indented).collect::<String>()
}

#[test]
fn the_prometheus_rules_are_the_files_of_rules() {
    for (path, name, object_path) in [
        ("alerts/smscope.rules.yaml", "smscope", "deploy/kubernetes/prometheusrule.yaml"),
        ("alerts/smscope-extra.rules.yaml", "smscope-extra", "deploy/kubernetes/prometheusrule-extra.yaml"),
        ("alerts/smscope-features.rules.yaml", "smscope-features", "deploy/kubernetes/prometheusrule-features.yaml"),
    ] {
        let expected = prometheus_rule(path, name);
        if std::env::var_os("UPDATE_DEPLOY").is_some() {
            fs::write(root().join(object_path), &expected).unwrap();
        }
        assert!(read(object_path) == expected, "{object_path} is out of date: run with UPDATE_DEPLOY=1");
        let (Some(all), Some(rules)) = (reader::kubernetes(object_path), reader::yaml(path)) else { return };
        assert_eq!(object(&all, "PrometheusRule")["spec"], rules);
    }
}

#[test]
fn every_dashboard_becomes_a_config_map_with_the_label_of_grafanas_sidecar() {
    let Some(all) = reader::kubernetes("dashboards") else { return };
    let mut made = BTreeSet::new();
    for object in &all {
        assert_eq!(object["kind"], "ConfigMap");
        assert_eq!(object["metadata"]["labels"]["grafana_dashboard"], "1");
        for (name, content) in object["data"].as_object().unwrap() {
            // Among the files of other teams, in one folder.
            assert!(name.starts_with("smscope-"), "{name}");
            // The limit of the API server is about a megabyte.
            assert!(text(content).len() < 1_000_000, "{name}");
            made.insert(text(content));
        }
    }
    let dashboards: Vec<String> =
        files("dashboards").into_iter().filter(|(path, _)| path.ends_with(".json")).map(|(_, text)| text).collect();
    assert_eq!(made.len(), dashboards.len());
    assert!(dashboards.iter().all(|dashboard| made.contains(dashboard.as_str())));
}
