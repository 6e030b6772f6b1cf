//! The documents say what the code says: names, variables, dependencies, links.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use smscope::config::{Config, Flags, variables};
use smscope::event::{Reason, SourceName};
use smscope::features::account::AccountStatus;
use smscope::ledger::catalogue::{Description, gauge};
use smscope::process_metrics::WebhookResult;
use smscope::record::{Entry, Kind, Position, Record, Resend, Through};
use smscope::serve::{METRICS, durable_metrics};
use smscope::settings::{Otlp, Privacy, Recipient, Text};
use smscope::telemetry::export_logs::ExportStatus;
use smscope::telemetry::logs::LogEncoder;
use smscope::telemetry::redaction::{NumberHasher, PrivacyPolicy};
use smscope::telemetry::resource::Resource;
use tempfile::TempDir;
use uuid::Uuid;

use crate::store::with_new_store;
use crate::support::{read, root};

/// README.md, CHANGELOG.md, SECURITY.md and all of docs/, by their path in the repository.
fn documents() -> BTreeMap<String, String> {
    let mut paths = ["README.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned).to_vec();
    for file in fs::read_dir(root().join("docs")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        paths.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// The lines that are not within a fenced block.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    document.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The cells of each row of each table, headings and rules left out.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = prose(document).collect();
    let is_rule = |line: &str| line.starts_with("|--");
    let is_heading = |at: usize| lines.get(at + 1).is_some_and(|next| is_rule(next));
    let is_row = |at: usize, line: &str| line.starts_with('|') && !is_rule(line) && !is_heading(at);
    let rows = lines.iter().enumerate().filter(|(at, line)| is_row(*at, line));
    rows.map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn names(items: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    items.into_iter().map(Into::into).collect()
}

/// The durable counters and all gauges that are not the process's, as a new store shows them, and a fleet.
fn durable() -> Vec<&'static Description> {
    let folder = TempDir::new().unwrap();
    let families = with_new_store(folder.path(), |store| store.blocking().snapshot().families);
    let account = AccountStatus::new(Duration::from_secs(60)).families(Timestamp::UNIX_EPOCH);
    let exports = ExportStatus::default().families(Position(0), Position(0));
    let shown = families.iter().chain(&exports).chain(&account).map(|family| family.description);
    shown.chain([&gauge::FLEET_INFO, &gauge::FLEET_REPLICAS]).collect()
}

#[test]
fn every_metric_is_in_its_document_with_its_labels_and_no_other_is() {
    let document = read("docs/metrics.md");
    let documented: BTreeMap<&str, &str> = rows(&document)
        .into_iter()
        .filter_map(|row| Some((row[0].trim_matches('`'), *row.get(1)?)))
        .filter(|(name, _)| name.starts_with("sms_") || name.starts_with("smscope_"))
        .collect();
    let durable = durable();
    let real = durable.iter().map(|metric| metric.name).chain(METRICS.iter().map(|meter| meter.name));
    assert_eq!(names(documented.keys().copied()), names(real));
    for metric in durable {
        assert_eq!(documented[metric.name], metric.labels.join(" "), "{}", metric.name);
    }
}

#[test]
fn the_list_of_durable_metrics_has_what_a_store_shows_and_no_metric_of_the_process() {
    let listed: Vec<&str> = durable_metrics().map(|metric| metric.name).collect();
    assert_eq!(names(listed.iter().copied()), names(durable().iter().map(|metric| metric.name)));
    assert_eq!(names(listed.iter().copied()).len(), listed.len());
    assert!(METRICS.iter().all(|metric| !listed.contains(&metric.name)));
}

#[test]
fn every_name_of_a_metric_in_any_document_is_one() {
    let real = names(durable().iter().map(|metric| metric.name).chain(METRICS.iter().map(|meter| meter.name)));
    for (path, document) in documents() {
        let words = document.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("sms_") || word.starts_with("smscope_")) {
            let name =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            // `sms_*` and `smscope_*` speak of all of them.
            let all_of_them = name == "sms_" || name == "smscope_";
            assert!(all_of_them || real.contains(name), "{path} speaks of {word}");
        }
    }
}

#[test]
fn reasons_and_results_are_the_ones_that_the_document_lists() {
    let document = read("docs/metrics.md");
    let (_, after) = document.split_once("| reason | ").unwrap();
    let (table, _) = after.split_once("\n\n").unwrap();
    let listed = table.lines().skip(2).map(|line| quoted(line).next().unwrap());
    assert_eq!(names(listed), names(Reason::ALL.map(Reason::as_str)));
    let row = document.lines().find(|line| line.starts_with("| `smscope_webhook_requests_total`")).unwrap();
    let results = quoted(row).filter(|word| *word != "smscope_webhook_requests_total" && *word != "/hooks");
    assert_eq!(names(results), names(WebhookResult::ALL.map(WebhookResult::as_str)));
}

#[test]
fn every_event_and_attribute_is_in_the_document_of_log_records_and_no_other_is() {
    let document = read("docs/logs.md");
    let first_cells: Vec<&str> = rows(&document).iter().flat_map(|row| quoted(row[0])).collect();
    let kinds = names(Kind::ALL.map(Kind::event_name));
    let events = first_cells.iter().copied().filter(|name| {
        ["sms.message.", "sms.reply.", "sms.webhook.unrecognized", "sms.resend.requested"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    });
    assert_eq!(names(events), kinds);
    let attributes = first_cells.iter().copied().filter(|name| name.contains('.') && !kinds.contains(*name));
    assert_eq!(names(attributes), names(full_log_record_keys()));
}

/// The attributes of a record of which everything is known, of a person whom the operator asked to see.
fn full_log_record_keys() -> Vec<String> {
    let otlp = Otlp {
        logs: None,
        metrics: None,
        metric_interval: Duration::from_secs(60),
        strict_answers: false,
        service_name: "smscope".into(),
        resource: Vec::new(),
    };
    let source = SourceName::new("smsmode").unwrap();
    let asked = Privacy { recipient: Recipient::Plain, text: Text::Exported };
    let policy = PrivacyPolicy::from_iter([(source.clone(), asked)]);
    let instance = Uuid::nil();
    let encoder = LogEncoder::new(Resource::new(&otlp, instance), instance, policy, NumberHasher::new(&[0; 32]));
    let some = || Some("1".to_owned());
    let record = Record {
        occurred_at: Some(Timestamp::UNIX_EPOCH),
        channel: some(),
        flow: some(),
        country: some(),
        message_id: some(),
        ref_client: some(),
        origin_message_id: some(),
        campaign_id: some(),
        status: some(),
        detail: some(),
        reason: Some(Reason::Unknown),
        number: some(),
        originator: some(),
        mccmnc: some(),
        network: some(),
        parts: Some(1),
        cost_micros: Some(1),
        currency: some(),
        delivery_ms: Some(1),
        text: some(),
        replaces: some(),
        resend: Some(Resend {
            rule: "1".into(),
            attempt: 1,
            attempts: 1,
            through: Through::Api,
            until: Timestamp::UNIX_EPOCH,
        }),
        why: some(),
        reconciled: true,
        repaired: true,
        reprocessed: true,
        arrived_at: Some(Timestamp::UNIX_EPOCH),
        ..Record::new(Kind::Failed, source)
    };
    let log = encoder.log_record(&Entry { position: Position(1), received_at: Timestamp::UNIX_EPOCH, record });
    log.attributes.into_iter().map(|attribute| attribute.key).collect()
}

#[test]
fn every_variable_is_explained() {
    let text = read("README.md") + &read("docs/configuration.md");
    for variable in variables() {
        assert!(quoted(&text).any(|word| word.starts_with(variable)), "no document explains {variable}");
    }
}

#[test]
fn the_configuration_of_the_document_is_one_that_can_be_used() {
    let document = read("docs/configuration.md");
    let (_, after) = document.split_once("```toml\n").unwrap();
    let (example, _) = after.split_once("```").unwrap();
    let folder = TempDir::new().unwrap();
    for token in ["token", "token-marketing"] {
        fs::write(folder.path().join(token), "0123456789abcdef0123456789abcdef\n").unwrap();
    }
    let file = folder.path().join("smscope.toml");
    fs::write(&file, example.replace("/etc/smscope", folder.path().to_str().unwrap())).unwrap();
    let flags = Flags { config: Some(file), ..Flags::default() };
    let loaded = Config::load(&flags, &BTreeMap::<String, String>::new()).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    assert_eq!(loaded.config.sources.len(), 2);
}

#[test]
fn every_direct_dependency_has_its_paragraph_and_no_other_has() {
    let manifests = ["Cargo.toml", "simulator/Cargo.toml"].map(|path| read(path).parse::<toml::Table>().unwrap());
    let keys = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = manifests.iter().flat_map(|manifest| keys.iter().filter_map(|key| manifest.get(*key)?.as_table()));
    let real = tables.flatten().filter(|(_, wanted)| wanted.get("path").is_none()).map(|(name, _)| name.clone());
    let document = read("docs/dependencies.md");
    let explained = document.lines().filter_map(|line| Some(line.strip_prefix("**")?.split_once("** — ")?.0));
    assert_eq!(names(explained), names(real));
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = documents();
    for (path, document) in &documents {
        let folder = Path::new(path).parent().unwrap();
        let text: String = prose(document).collect::<Vec<_>>().join("\n");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { normal(&folder.join(file)) };
            assert!(root().join(&file).is_file(), "{path} links to {target}");
            if !anchor.is_empty() {
                assert!(headings(&documents[&file]).contains(anchor), "{path} links to {target}");
            }
        }
    }
}

/// `docs/../README.md` is `README.md`.
fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part.as_os_str().to_str() {
            Some("..") => assert!(parts.pop(), "{path:?} leaves the repository"),
            _ => parts.push(part),
        }
    }
    parts.to_str().unwrap().to_owned()
}

/// The anchors that headings get: lower case, without punctuation, hyphens for spaces.
fn headings(document: &str) -> BTreeSet<String> {
    let headings = prose(document).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            text.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == ' ').collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    for (path, document) in documents() {
        for name in quoted(&prose(&document).collect::<Vec<_>>().join("\n")) {
            if ["src/", "tests/", "benches/", "examples/", "deploy/", "simulator/"]
                .iter()
                .any(|folder| name.starts_with(folder))
            {
                assert!(root().join(name).exists(), "{path} names {name}");
            }
        }
    }
}

#[test]
fn every_part_of_the_program_is_on_the_map() {
    let map = read("docs/architecture.md");
    let library = read("src/lib.rs");
    let parts = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for part in parts {
        let places = [format!("`src/{part}.rs`"), format!("`src/{part}/`"), format!("`src/{part}/mod.rs`")];
        assert!(places.iter().any(|place| map.contains(place)), "docs/architecture.md does not place {part}");
    }
}

/// A module and everything in it, tests and the dictionary for compression left out, by path.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let file = root().join(format!("src/{module}.rs"));
    let mut found = if file.is_file() { vec![file] } else { Vec::new() };
    let mut folders = vec![root().join("src").join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_a_test = path.file_stem().unwrap().to_str().unwrap().ends_with("tests");
            if path.is_dir() && !is_a_test {
                folders.push(path);
            } else if !is_a_test && path.extension().is_none_or(|kind| kind != "zstd") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "there is no src/{module}");
    let without_tests = |text: String| text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    found.into_iter().map(|path| (path.clone(), without_tests(fs::read_to_string(path).unwrap()))).collect()
}

/// The modules of ours that a source file names.
fn imports(source: &str) -> BTreeSet<&str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
    source.split("crate::").skip(1).map(|rest| &rest[..end(rest)]).filter(|module| !module.is_empty()).collect()
}

/// All modules, each below those that may import it.
const LAYERS: [&str; 31] = [
    // Pure.
    "event",
    "json",
    "number",
    "lifecycle",
    "ledger",
    "record",
    "provider",
    "route",
    // At the edges, core.
    "environment",
    "secret",
    "health",
    "diagnostics",
    "process_metrics",
    "tasks",
    "service_manager",
    "settings",
    "probe_challenge",
    "store",
    "inbound",
    "listener",
    "outbound",
    "ingest",
    "telemetry",
    "admin",
    // Optional.
    "smsmode_api",
    "features",
    // What puts it together.
    "config",
    "control",
    "data_dir",
    "serve",
    "commands",
];
const PURE: usize = 8;

#[test]
fn no_module_imports_one_above_it_and_what_is_pure_is_pure() {
    let library = read("src/lib.rs");
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in modules {
        let layer = LAYERS.iter().position(|one| *one == module);
        let layer = layer.unwrap_or_else(|| panic!("{module} has no layer"));
        for (path, source) in sources(module) {
            for import in imports(&source) {
                let is_below = LAYERS[..=layer].contains(&import) || import == "test_support";
                assert!(is_below, "{} imports {import}, which is not below {module}", path.display());
            }
            for impure in ["std::fs", "std::net", "std::io", "std::env", "std::thread", "tokio", "hyper", "::now("] {
                assert!(layer >= PURE || !source.contains(impure), "{} has {impure}", path.display());
            }
        }
    }
}

/// The client of each database, and the folder that knows it.
const SQL: [(&str, &str); 2] = [("rusqlite", "src/store/sqlite/"), ("tokio_postgres::", "src/store/postgres/")];

#[test]
fn sql_is_in_one_folder_per_database_and_the_rules_of_the_store_know_none() {
    for (path, source) in sources("store") {
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        for (client, folder) in SQL {
            assert!(path.starts_with(folder) || !source.contains(client), "{path} has SQL");
        }
        for outer in ["sqlite::", "rusqlite", "postgres::", "std::fs", "tokio", "process_metrics", "::now("] {
            assert!(!path.starts_with("src/store/core/") || !source.contains(outer), "{path} has {outer}");
        }
    }
    let library = read("src/lib.rs");
    for module in library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        for (path, source) in sources(module).into_iter().filter(|_| module != "store") {
            for (client, _) in SQL {
                assert!(!source.contains(client), "{} has SQL", path.display());
            }
        }
    }
}

#[test]
fn no_feature_knows_another_and_nothing_of_the_core_knows_a_feature() {
    let features = read("src/features/mod.rs");
    for feature in features.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        for (path, source) in sources(&format!("features/{feature}")) {
            for other in source.split("features::").skip(1) {
                assert!(other.starts_with(feature), "{} imports another feature", path.display());
            }
            let may_simulate = feature == "simulate" || !source.contains("smscope_simulator");
            assert!(may_simulate, "{} imports the simulator", path.display());
        }
    }
    for core in LAYERS.iter().take_while(|module| **module != "smsmode_api") {
        for (path, source) in sources(core) {
            for feature in ["features::", "smscope_simulator"] {
                assert!(!source.contains(feature), "{} imports a feature", path.display());
            }
        }
    }
}
