//! What `smscope check` says, and that the origin it names is that of the value it shows.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::config::Flags;

fn load(toml: &str, env: &BTreeMap<String, String>) -> (TempDir, Loaded) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("smscope.toml");
    std::fs::write(&file, toml).unwrap();
    let loaded = Config::load(&Flags { config: Some(file), ..Flags::default() }, env);
    (folder, loaded.unwrap_or_else(|error| panic!("{error}, in\n{toml}")))
}

fn env<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Value and origin of a setting; the file's path shows as `file`.
fn shown(toml: &str, env: &BTreeMap<String, String>, key: &str) -> (String, String) {
    let (_folder, loaded) = load(toml, env);
    let line = lines(&loaded).into_iter().find(|line| line.key == key).unwrap_or_else(|| panic!("no {key}"));
    let file = loaded.file.unwrap().display().to_string();
    (line.value, if line.origin == file { "file".to_owned() } else { line.origin })
}

#[test]
fn the_default_configuration_is_described_line_by_line() {
    let loaded = Config::load(&Flags::default(), &env([])).unwrap();
    let expected = "\
configuration file  none                                            default
listen              127.0.0.1:7672                                  default
admin_listen        127.0.0.1:7673                                  default
data_dir            ./smscope-data                                  default
public_url          none                                            default
recipient_flood     20                                              default

http
  header_timeout    15s                                             default
";
    let described = describe(&loaded);
    let columns = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let (described_words, expected_words): (Vec<String>, Vec<String>) = (columns(&described), columns(expected));
    assert_eq!(described_words[..expected_words.len()], expected_words);
    for line in
        ["http", "store", "privacy", "otlp", "  logs.endpoint", "  resource", "source smsmode", "  tokens", "  region"]
    {
        assert!(described.lines().any(|other| other.starts_with(line)), "{line} in {described}");
    }
}

#[test]
fn names_values_and_origins_are_aligned_and_a_long_list_is_folded() {
    let described = describe(&Config::load(&Flags::default(), &env([])).unwrap());
    let rows: Vec<&str> = described.lines().filter(|line| line.ends_with("  default")).collect();
    let column = |row: &str| row.rfind("default").unwrap();
    assert!(rows.len() > 20 && rows.iter().all(|row| column(row) == column(rows[0])), "{described}");
    assert!(described.lines().all(|line| line.chars().count() <= 100), "{described}");
    let keywords = described.split_once("  stop_keywords").unwrap().1.split_once("  start_keywords").unwrap();
    assert!(keywords.0.lines().count() > 2 && keywords.0.trim_end().ends_with("AFMELDEN"), "{described}");
    assert!(keywords.1.ends_with("AANMELDEN\n"), "{described}");
}

#[test]
fn no_secret_is_described_and_every_warning_is() {
    let env = env([
        ("SMSCOPE_TOKEN", "hidden-hidden-hidden,hidden-hidden-hidden-too"),
        ("SMSCOPE_LISTN", "hidden"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector:4318/v1/logs?key=hidden"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hidden"),
    ]);
    let toml = "[[source]]\nname = \"a\"\nheader = { name = \"x-key\", value = \"hidden\" }\n\
                basic = { user = \"u\", password = \"hidden\" }";
    let described = describe(&load(toml, &env).1);
    assert!(!described.contains("hidden"), "{described}");
    let words: Vec<String> =
        described.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "logs.endpoint http://collector:4318/v1/logs OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        "logs.headers api-key: <token> OTEL_EXPORTER_OTLP_HEADERS",
        "tokens <token>, <token> SMSCOPE_TOKEN",
    ] {
        assert!(words.iter().any(|other| other == line), "{line} in {described}");
    }
    for part in [
        "x-key: <token> ",
        "u:<token> ",
        "\n\nwarning: SMSCOPE_LISTN: unknown variable, not used (did you mean SMSCOPE_LISTEN?); ",
    ] {
        assert!(described.contains(part), "{part} in {described}");
    }
}

#[test]
fn a_setting_of_a_signal_is_shown_with_its_origin() {
    for (signal, key, values) in ["logs", "metrics"].iter().flat_map(|signal| {
        [
            (signal, "endpoint", ["http://a:1/", "http://b:2/", "http://c:3/", "http://d:4/"]),
            (signal, "timeout", ["1s", "2s", "3000", "4000"]),
            (signal, "compression", ["none", "gzip", "none", "gzip"]),
            (signal, "headers", ["{ x-a = \"1\" }", "{ x-b = \"1\" }", "x-c=1", "x-d=1"]),
            (signal, "protocol", ["http/protobuf"; 4]),
        ]
    }) {
        let upper = key.to_uppercase();
        let own = format!("OTEL_EXPORTER_OTLP_{}_{upper}", signal.to_uppercase());
        let general = format!("OTEL_EXPORTER_OTLP_{upper}");
        let quoted = |value: &str| if value.starts_with('{') { value.to_owned() } else { format!("\"{value}\"") };
        for places in 0..16 {
            let has = |place: usize| places & (1 << place) != 0;
            let [in_file, of_signal] = [0, 1].map(|at| match has(at) {
                true => format!("{key} = {}\n", quoted(values[at])),
                false => String::new(),
            });
            let endpoint = if key == "endpoint" { "" } else { "endpoint = \"http://z\"\n" };
            let toml = format!("[otlp]\n{endpoint}{in_file}[otlp.{signal}]\n{of_signal}");
            let given = [(2, &general), (3, &own)].into_iter().filter(|(place, _)| has(*place));
            let env = given.map(|(place, name)| (name.clone(), values[place].to_owned())).collect();
            let strongest = (0..4).rev().find(|place| has(*place));
            let origin = strongest.map_or("default", |place| ["file", "file", &general, &own][place]);
            let (value, from) = shown(&toml, &env, &format!("otlp.{signal}.{key}"));
            assert_eq!(from, origin, "{signal} {key} {places:04b}: {value}");
            // The value is the one of that place.
            let Some(place) = strongest else { continue };
            let expected = match key {
                "endpoint" => values[place],
                "timeout" => ["1s", "2s", "3s", "4s"][place],
                "headers" => ["x-a", "x-b", "x-c", "x-d"][place],
                _ => values[place],
            };
            assert!(value.starts_with(expected), "{signal} {key} {places:04b}: {value}");
        }
    }
}

#[test]
fn what_is_only_sometimes_used_is_only_then_named() {
    let endpoint = "[otlp]\nendpoint = \"http://c\"\n";
    let token = "0123456789abcdef";
    for (toml, env, key, value, origin) in [
        ("", env([("OTEL_SERVICE_NAME", "e")]), "otlp.service_name", "e", "OTEL_SERVICE_NAME"),
        (
            "[otlp]\nservice_name = \"f\"",
            env([("OTEL_RESOURCE_ATTRIBUTES", "service.name=r")]),
            "otlp.service_name",
            "r",
            "OTEL_RESOURCE_ATTRIBUTES",
        ),
        (
            "[otlp]\nservice_name = \"f\"",
            env([("OTEL_RESOURCE_ATTRIBUTES", "service.name=,team=t")]),
            "otlp.service_name",
            "f",
            "file",
        ),
        ("[otlp.resource]\n\"service.name\" = \"f\"", env([]), "otlp.service_name", "f", "file"),
        (
            "[otlp.resource]\nteam = \"f\"",
            env([("OTEL_RESOURCE_ATTRIBUTES", "team=t")]),
            "otlp.resource.team",
            "t",
            "OTEL_RESOURCE_ATTRIBUTES",
        ),
        (
            "[otlp.resource]\nteam = \"f\"",
            env([("OTEL_RESOURCE_ATTRIBUTES", "team")]),
            "otlp.resource.team",
            "f",
            "file",
        ),
        (endpoint, env([("OTEL_LOGS_EXPORTER", "none")]), "otlp.logs.endpoint", "off", "OTEL_LOGS_EXPORTER"),
        (endpoint, env([("OTEL_LOGS_EXPORTER", "none")]), "otlp.metrics.endpoint", "http://c/v1/metrics", "file"),
        (endpoint, env([("OTEL_SDK_DISABLED", "true")]), "otlp.metrics.endpoint", "off", "OTEL_SDK_DISABLED"),
        (endpoint, env([("OTEL_SDK_DISABLED", "no")]), "otlp.metrics.endpoint", "http://c/v1/metrics", "file"),
        ("[otlp.logs]\nexporter = \"none\"", env([]), "otlp.logs.endpoint", "off", "file"),
        (
            "[otlp]\nmetric_interval = \"1s\"",
            env([("OTEL_SDK_DISABLED", "true"), ("OTEL_METRIC_EXPORT_INTERVAL", "2000")]),
            "otlp.metric_interval",
            "1s",
            "file",
        ),
        ("", env([("SMSCOPE_TOKEN", token)]), "source[0].tokens", "<token>", "SMSCOPE_TOKEN"),
        (
            "[[source]]\nname = \"a\"\ntokens = [\"0123456789abcdef\"]",
            env([("SMSCOPE_TOKEN", token)]),
            "source[0].tokens",
            "<token>",
            "file",
        ),
        ("listen = \"127.0.0.1:1\"", env([("SMSCOPE_LISTEN", "")]), "listen", "127.0.0.1:1", "file"),
        ("", env([("SMSCOPE_STORE_HORIZON", "1h")]), "store.horizon", "1h", "SMSCOPE_STORE_HORIZON"),
    ] {
        assert_eq!(shown(toml, &env, key), (value.to_owned(), origin.to_owned()), "{toml} {env:?}");
    }
}

#[test]
fn a_flag_is_named_whatever_else_is_given() {
    let flags = Flags {
        listen: Some("127.0.0.1:1".into()),
        admin_listen: Some("127.0.0.1:2".into()),
        data_dir: Some("d".into()),
        ..Flags::default()
    };
    let env = env([("SMSCOPE_LISTEN", "127.0.0.1:3"), ("SMSCOPE_DATA_DIR", "e")]);
    let shown = lines(&Config::load(&flags, &env).unwrap());
    for (key, value, origin) in [
        ("listen", "127.0.0.1:1", "--listen"),
        ("admin_listen", "127.0.0.1:2", "--admin-listen"),
        ("data_dir", "d", "--data-dir"),
    ] {
        let line = shown.iter().find(|line| line.key == key).unwrap();
        assert_eq!((&*line.value, &*line.origin), (value, origin));
    }
}

#[test]
fn the_road_of_each_signal_is_described() {
    let folder = TempDir::new().unwrap();
    let authority = crate::certificates::Authority::new("ours");
    let client = authority.client();
    for (name, text) in [("ca.pem", &authority.pem()), ("client.pem", &client.certificate), ("client.key", &client.key)]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let env = env([
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://collector:4317"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", &path("client.pem")),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", &path("client.key")),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4318/v1/metrics"),
        ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", &path("ca.pem")),
    ]);
    let shown = lines(&Config::load(&Flags::default(), &env).unwrap());
    let line =
        |key: &str| shown.iter().find(|line| line.key == key).map(|line| (line.value.clone(), line.origin.clone()));
    for (key, value, variable) in [
        ("endpoint", "https://collector:4317/".to_owned(), "ENDPOINT"),
        ("protocol", "grpc".to_owned(), "PROTOCOL"),
        ("certificate", path("ca.pem"), "CERTIFICATE"),
        ("client_certificate", path("client.pem"), "CLIENT_CERTIFICATE"),
        ("client_key", "given".to_owned(), "CLIENT_KEY"),
    ] {
        let expected = (value, format!("OTEL_EXPORTER_OTLP_LOGS_{variable}"));
        assert_eq!(line(&format!("otlp.logs.{key}")), Some(expected), "{key}");
    }
    assert_eq!(line("otlp.metrics.certificate"), None, "nothing of TLS where there is none");
}

#[test]
fn the_files_of_tls_are_beside_the_configuration_file() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), crate::certificates::Authority::new("ours").pem()).unwrap();
    let file = folder.path().join("smscope.toml");
    std::fs::write(&file, "[otlp]\nendpoint = \"https://c\"\ncertificate = \"ca.pem\"").unwrap();
    let loaded = Config::load(&Flags { config: Some(file), ..Flags::default() }, &env([])).unwrap();
    let line = lines(&loaded).into_iter().find(|line| line.key == "otlp.metrics.certificate").unwrap();
    assert_eq!(line.value, folder.path().join("ca.pem").display().to_string());
}
