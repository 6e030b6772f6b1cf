//! Names, ports, versions and paths under deploy/ are those of the program, and agree among themselves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};
use smscope::commands;
use smscope::config::reference::settings;

use super::{files, reader, text};
use crate::support::{read, root};

/// The variables that the program reads.
fn variables() -> BTreeSet<String> {
    let names = settings().filter_map(|setting| Some(setting.variable?.0));
    names.flat_map(|name| ["LOGS", "METRICS"].map(|signal| name.replace("<SIGNAL>", signal))).collect()
}

/// The port of a listener's default.
pub fn default_port(key: &str) -> u16 {
    let setting = settings().find(|setting| setting.key == key).unwrap();
    setting.default().rsplit(':').next().unwrap().parse().unwrap()
}

fn compose() -> Option<Value> {
    reader::compose("deploy/compose.yaml")
}

/// Both Compose files: one process, and a fleet.
fn composes() -> Option<[Value; 2]> {
    Some([compose()?, reader::compose("deploy/fleet/compose.yaml")?])
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().unwrap().iter()
}

#[test]
fn every_variable_of_ours_is_a_setting_of_the_program() {
    let known = variables();
    let mut found = BTreeSet::new();
    for (path, text) in files("deploy") {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("SMSCOPE_") || word.starts_with("OTEL_") {
                assert!(known.contains(word), "{path} sets {word}");
                found.insert(word.to_owned());
            }
        }
    }
    assert!(found.contains("SMSCOPE_TOKEN_FILE") && found.contains("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"), "{found:?}");
}

#[test]
fn a_listener_is_on_its_usual_port_everywhere() {
    let (webhooks, admin) = (default_port("listen"), default_port("admin_listen"));
    let mut found = 0;
    for (path, text) in files("deploy") {
        for (name, port) in [("SMSCOPE_LISTEN", webhooks), ("SMSCOPE_ADMIN_LISTEN", admin)] {
            for (_, rest) in text.match_indices(name).map(|(at, _)| text.split_at(at)) {
                let address =
                    rest.split(|c: char| c.is_whitespace() || c == '=' || c == '"').find(|word| word.contains("[::]:"));
                if let Some(address) = address {
                    assert_eq!(address, format!("[::]:{port}"), "{path}");
                    found += 1;
                }
            }
        }
    }
    assert!(found >= 4, "the image and the pod set both, {found} were found");
    assert!(read("deploy/Containerfile").contains(&format!("EXPOSE {webhooks} {admin}\n")));
    assert!(read("deploy/prometheus.yaml").contains(&format!("targets: [\"smscope:{admin}\"]")));
}

#[test]
fn compose_publishes_on_loopback_alone_and_only_ports_with_a_listener() {
    let Some([one, fleet]) = composes() else { return };
    let published = |compose: &Value| {
        let mut published = BTreeSet::new();
        for (name, service) in services(compose) {
            for port in list(&service["ports"]) {
                assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
                assert_eq!(text(&port["published"]), port["target"].to_string(), "{name}");
                published.insert((name.clone(), port["target"].as_u64().unwrap()));
            }
        }
        published
    };
    let [webhooks, admin] = ["listen", "admin_listen"].map(|key| u64::from(default_port(key)));
    let named = |ports: &[(&str, u64)]| ports.iter().map(|&(name, port)| (name.to_owned(), port)).collect();
    let usual = [("grafana", 3000), ("prometheus", 9090), ("alertmanager", 9093)];
    assert_eq!(published(&one), named(&[&[("smscope", webhooks), ("smscope", admin)], &usual[..]].concat()));
    assert_eq!(published(&fleet), named(&[("balancer", webhooks), ("prometheus", 9090)]));
}

#[test]
fn compose_pins_every_image_and_guards_every_service() {
    let Some(composes) = composes() else { return };
    for (name, service) in composes.iter().flat_map(services) {
        let image = text(&service["image"]);
        let (program, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        // PostgreSQL's versions have two parts.
        let parts = if program.ends_with("/postgres") { 2 } else { 3 };
        assert!(tag.split('.').count() == parts, "{name}: {image} is not one version");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        assert_ne!(service["privileged"], true, "{name}");
        if image.starts_with("localhost/smscope:") {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"), "{name}");
            assert_eq!(service["read_only"], true, "{name}");
        }
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["TOKEN", "PASSWORD", "SECRET", "KEY"].iter().any(|word| variable.contains(word));
            assert!(!secret || value == "", "{name} has {variable} in the file");
        }
    }
}

#[test]
fn compose_mounts_what_is_there() {
    let Some(composes) = composes() else { return };
    for (name, service) in composes.iter().flat_map(services) {
        for mount in list(&service["volumes"]).iter().filter(|mount| mount["type"] == "bind") {
            // An engine makes an empty folder of what is missing, and the service says something else.
            assert!(Path::new(text(&mount["source"])).exists(), "{name}: {mount}");
            assert_eq!(mount["read_only"], true, "{name}: {mount}");
        }
    }
}

/// Where `service` sees a file or folder of the repository.
pub fn mounted(compose: &Value, service: &str, path: &str) -> String {
    let source = root().join(path);
    let mounts = list(&compose["services"][service]["volumes"]);
    let mount = mounts.iter().find(|mount| Path::new(text(&mount["source"])) == source);
    text(&mount.unwrap_or_else(|| panic!("{service} has no {path}"))["target"]).to_owned()
}

#[test]
fn the_commands_that_containers_are_given_are_ones_of_the_program() {
    let Some(compose) = compose() else { return };
    let command = list(&compose["services"]["simulate"]["command"]).iter().map(|word| OsString::from(text(word)));
    let parsed = commands::parse([OsString::from("smscope")].into_iter().chain(command));
    assert!(matches!(&parsed, Ok((_, commands::Command::Simulate(run))) if run.is_local()), "{parsed:?}");
    assert!(read("deploy/Containerfile").ends_with("ENTRYPOINT [\"/usr/local/bin/smscope\"]\n"));
}

#[test]
fn services_find_each_other_where_they_listen() {
    let Some(compose) = compose() else { return };
    let (Some(collector), Some(loki)) = (reader::yaml("deploy/collector.yaml"), reader::yaml("deploy/loki.yaml"))
    else {
        return;
    };
    let listen = text(&collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]);
    let logs = &compose["services"]["smscope"]["environment"]["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"];
    assert!(listen.ends_with(":-0.0.0.0:4318}"), "{listen}");
    assert_eq!(logs, "http://collector:4318/v1/logs");
    let port = &loki["server"]["http_listen_port"];
    let to_loki = text(&collector["exporters"]["otlp_http/loki"]["endpoint"]);
    assert!(to_loki.ends_with(&format!(":-http://loki:{port}/otlp}}")), "{to_loki}");
    let rules = text(&loki["ruler"]["storage"]["local"]["directory"]);
    assert_eq!(mounted(&compose, "loki", "alerts/loki.rules.yaml"), format!("{rules}/fake/loki.rules.yaml"));
    // Loki reads one of them, by its release and its storage clients.
    assert_eq!(loki["ruler_storage"], json!({"backend": "local", "local": {"directory": rules}}));
    assert_eq!(loki["ruler"]["alertmanager_url"], "http://alertmanager:9093");

    let Some(sources) = reader::yaml("deploy/grafana/provisioning/datasources/smscope.yaml") else { return };
    let urls: Vec<&str> = list(&sources["datasources"]).iter().map(|source| text(&source["url"])).collect();
    assert_eq!(urls, ["http://prometheus:9090", &format!("http://loki:{port}"), "http://alertmanager:9093"]);
    let uids: BTreeSet<&str> = list(&sources["datasources"]).iter().map(|source| text(&source["uid"])).collect();
    for (path, rules) in files("alerts/grafana") {
        for uid in rules.lines().filter_map(|line| line.trim().strip_prefix("datasourceUid: ")) {
            // The second is Grafana's own, for what is computed of a query.
            assert!(uids.contains(uid) || uid == "__expr__", "{path} asks {uid}");
        }
    }
    let Some(provider) = reader::yaml("deploy/grafana/provisioning/dashboards/smscope.yaml") else { return };
    let folder = mounted(&compose, "grafana", "dashboards");
    assert_eq!(provider["providers"][0]["options"]["path"], folder);
    let home = text(&compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]);
    assert!(root().join("dashboards").join(home.strip_prefix(&format!("{folder}/")).unwrap()).is_file(), "{home}");
}

#[test]
fn the_image_is_built_of_existing_files_with_the_rust_of_the_manifest() {
    let containerfile = read("deploy/Containerfile");
    let mut copied: BTreeSet<&str> = BTreeSet::new();
    for line in containerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("--")).collect();
        words.pop();
        copied.extend(words.into_iter().filter(|word| !word.starts_with('/')));
    }
    let ignore = read("deploy/Containerfile.dockerignore");
    let allowed: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert_eq!(copied, allowed, "what is copied, and what the engine is let see");
    for path in &copied {
        assert!(root().join(path).exists(), "{path}");
    }
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let package = manifest["workspace"]["package"].as_table().unwrap();
    assert!(containerfile.contains(&format!("/rust:{}.", package["rust-version"].as_str().unwrap())));
    // cargo wants the file of every target that is named.
    for bench in manifest["bench"].as_array().unwrap() {
        assert!(bench.get("path").is_none() && copied.contains("benches"), "{bench:?}");
    }
}
