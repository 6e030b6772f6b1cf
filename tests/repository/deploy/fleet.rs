//! deploy/fleet: replicas that are the same, spread, and replaced one after the other.

use std::fs;

use serde_json::{Value, json};
use smscope::config::reference::settings;

use super::names::default_port;
use super::{reader, text};
use crate::support::{read, root};

const FOLDER: &str = "deploy/fleet/kubernetes";

fn object<'a>(all: &'a [Value], kind: &str) -> &'a Value {
    all.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// What kustomize builds, and the Deployment that may take the place of the one in it.
fn built() -> Option<(Vec<Value>, Value)> {
    let mut shop = reader::kubernetes(&format!("{FOLDER}/shop.yaml"))?;
    assert_eq!(shop.len(), 1);
    Some((reader::kubernetes(FOLDER)?, shop.pop().unwrap()))
}

#[test]
fn kustomize_builds_every_object_of_the_folder() {
    let Some((all, _)) = built() else { return };
    let kinds: Vec<&str> = all.iter().map(|object| text(&object["kind"])).collect();
    assert_eq!(kinds, ["Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"]);
    let kustomization = read(&format!("{FOLDER}/kustomization.yaml"));
    for file in fs::read_dir(root().join(FOLDER)).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let is_named = ["  - ", "  # - "].iter().any(|list| kustomization.contains(&format!("{list}{name}\n")));
        assert!(name == "kustomization.yaml" || is_named, "{name} is left out");
    }
    let image = format!("registry.example.com/smscope:{}", env!("CARGO_PKG_VERSION"));
    let pod = &object(&all, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(named(&pod["containers"], "smscope")["image"], image);
}

#[test]
fn replicas_are_spread_and_never_all_away() {
    let Some((all, shop)) = built() else { return };
    let deployment = &object(&all, "Deployment")["spec"];
    for spec in [deployment, &shop["spec"]] {
        assert!(spec["replicas"].as_u64().unwrap() >= 2);
        let spread = spec["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
        assert!(spread.iter().any(|constraint| constraint["topologyKey"] == "topology.kubernetes.io/zone"));
        assert_eq!(spec["template"]["spec"]["terminationGracePeriodSeconds"], 30);
    }
    assert_eq!(deployment["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    assert_eq!(object(&all, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    // A replica that cannot store gets no webhooks; but it does not take a shop out of its Service.
    let container = |spec: &Value| named(&spec["template"]["spec"]["containers"], "smscope").clone();
    assert_eq!(container(deployment)["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "admin"}));
    assert!(container(&shop["spec"]).get("readinessProbe").is_none());
}

#[test]
fn both_variants_have_the_same_replica_and_everything_selects_either() {
    let Some((all, shop)) = built() else { return };
    let pods = [object(&all, "Deployment"), &shop].map(|deployment| &deployment["spec"]["template"]);
    let replica = |pod: &Value| {
        let mut container = named(&pod["spec"]["containers"], "smscope").clone();
        container.as_object_mut().unwrap().remove("readinessProbe");
        let (name, _) = text(&container["image"]).split_once(':').unwrap_or((text(&container["image"]), ""));
        container["image"] = name.to_owned().into();
        (container, pod["spec"]["volumes"].clone(), pod["spec"]["securityContext"].clone())
    };
    assert_eq!(replica(pods[0]), replica(pods[1]));
    let selectors = [("NetworkPolicy", "podSelector"), ("PodMonitor", "selector"), ("PodDisruptionBudget", "selector")]
        .map(|(kind, key)| &object(&all, kind)["spec"][key]["matchLabels"]);
    for selector in selectors.into_iter().chain([&object(&all, "Service")["spec"]["selector"]]) {
        for (key, value) in selector.as_object().unwrap() {
            assert!(pods.iter().all(|pod| pod["metadata"]["labels"][key] == *value), "{selector}");
        }
    }
    for deployment in [object(&all, "Deployment"), &shop] {
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (key, value) in deployment["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(labels[key], *value);
        }
    }
}

#[test]
fn a_replica_has_no_data_of_its_own_and_its_secrets_are_files_of_one_secret() {
    let Some((all, _)) = built() else { return };
    let pod = &object(&all, "Deployment")["spec"]["template"]["spec"];
    let container = named(&pod["containers"], "smscope");
    let context = &container["securityContext"];
    assert_eq!(
        (&context["readOnlyRootFilesystem"], &context["allowPrivilegeEscalation"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
    let user = format!("USER {}:{}\n", context["runAsUser"], pod["securityContext"]["fsGroup"]);
    assert!(read("deploy/Containerfile").contains(&user));
    assert_eq!(named(&pod["volumes"], "smscope")["emptyDir"], json!({}));
    let data = &named(&container["env"], "SMSCOPE_DATA_DIR")["value"];
    assert_eq!(named(&container["volumeMounts"], "smscope")["mountPath"], *data);

    let secret = text(&named(&pod["volumes"], "smscope-fleet")["secret"]["secretName"]);
    let kustomization = read(&format!("{FOLDER}/kustomization.yaml"));
    assert!(kustomization.contains(&format!("kubectl create secret generic {secret} ")));
    let folder = text(&named(&container["volumeMounts"], "smscope-fleet")["mountPath"]);
    for (variable, key) in [("SMSCOPE_TOKEN_FILE", "token"), ("SMSCOPE_STORE_URL_FILE", "store-url")] {
        assert_eq!(named(&container["env"], variable)["value"], format!("{folder}/{key}"));
        assert!(kustomization.contains(&format!("--from-literal={key}=")), "{key}");
    }
    for (name, key) in [("webhooks", "listen"), ("admin", "admin_listen")] {
        assert_eq!(named(&container["ports"], name)["containerPort"], default_port(key));
    }
    let timeout = settings().find(|setting| setting.key == "http.shutdown_timeout").unwrap();
    assert_eq!(timeout.default(), "10s", "terminationGracePeriodSeconds has it");
}

#[test]
fn compose_has_two_equal_replicas_behind_a_balancer_that_knows_both() {
    let Some(compose) = reader::compose("deploy/fleet/compose.yaml") else { return };
    let services = &compose["services"];
    assert_eq!(services["replica-1"], services["replica-2"]);
    let balancer = read("deploy/fleet/haproxy.cfg");
    let scrape = read("deploy/fleet/prometheus.yaml");
    let [webhooks, admin] = ["listen", "admin_listen"].map(default_port);
    for replica in ["replica-1", "replica-2"] {
        assert!(balancer.contains(&format!("    server {replica} {replica}:{webhooks}\n")), "{replica}");
        assert!(scrape.contains(&format!("\"{replica}:{admin}\"")), "{replica}");
    }
    assert!(balancer.contains("option httpchk GET /readyz\n") && balancer.contains(&format!("bind :{webhooks}\n")));
    // The role and the database that the replicas connect to.
    let url = text(&services["replica-1"]["environment"]["SMSCOPE_STORE_URL"]);
    assert!(url.starts_with("postgresql://smscope:") && url.contains("@postgres:5432/smscope"), "{url}");
    let role = read("deploy/fleet/role.sh");
    let document = read("docs/fleet.md");
    for statement in
        ["CREATE ROLE smscope LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE ", "CREATE DATABASE smscope OWNER smscope;"]
    {
        assert!(role.contains(statement) && document.contains(statement), "{statement}");
    }
}
