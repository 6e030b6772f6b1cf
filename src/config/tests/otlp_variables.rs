//! Every OTEL_* variable that smscope reads, against the file and against its own form for one signal.

use super::*;
use crate::certificates::Authority;

/// One setting of endpoints, in each place that it can be given in, from the weakest to the strongest: `[otlp]`,
/// `[otlp.<signal>]`, OTEL_EXPORTER_OTLP_*, OTEL_EXPORTER_OTLP_<SIGNAL>_*.
struct Row {
    variable: &'static str,
    key: &'static str,
    given: [String; 4],
    /// What comes of each.
    effect: [String; 4],
    /// What is there when no place has it.
    default: &'static str,
    shown: fn(&Endpoint) -> String,
}

fn row<S: ToString>(
    variable: &'static str,
    key: &'static str,
    given: [S; 4],
    effect: [S; 4],
    default: &'static str,
    shown: fn(&Endpoint) -> String,
) -> Row {
    let owned = |texts: [S; 4]| texts.map(|text| text.to_string());
    Row { variable, key, given: owned(given), effect: owned(effect), default, shown }
}

/// The settings, with `<signal>` where the signal's name stands. The files are in `folder`.
fn rows(folder: &std::path::Path) -> Vec<Row> {
    let authority = Authority::new("ours");
    let client = authority.client();
    let files = |kind: &str, text: &str| {
        [0, 1, 2, 3].map(|place| {
            let path = folder.join(format!("{kind}-{place}.pem"));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        })
    };
    let authorities = files("ca", &authority.pem());
    let certificates = files("client", &client.certificate);
    let keys = files("key", &client.key);
    // Where a key was read from is not kept; that it was read is another test's matter.
    let any = [(); 4].map(|()| String::new());
    vec![
        row(
            "ENDPOINT",
            "endpoint",
            ["https://a", "https://b/x", "https://c/base/", "https://d:1/y?k=v"],
            ["https://a/v1/<signal>", "https://b/x", "https://c/base/v1/<signal>", "https://d:1/y?k=v"],
            "off",
            |endpoint| endpoint.url.to_string(),
        ),
        row(
            "PROTOCOL",
            "protocol",
            ["grpc", "http/protobuf", "GRPC", " http/protobuf "],
            ["grpc", "http/protobuf", "grpc", "http/protobuf"],
            "http/protobuf",
            |endpoint| endpoint.protocol.as_str().to_owned(),
        ),
        row("HEADERS", "headers.a", ["1", "2", "a=3", "a=4,b=5"], ["a=1", "a=2", "a=3", "a=4 b=5"], "", |endpoint| {
            let shown = |(name, value): &(_, HeaderValue)| format!("{name}={}", value.to_str().unwrap());
            endpoint.headers.iter().map(shown).collect::<Vec<String>>().join(" ")
        }),
        row("TIMEOUT", "timeout", ["1s", "2s", "3000", "4000"], ["1s", "2s", "3s", "4s"], "10s", |endpoint| {
            show_duration(endpoint.timeout)
        }),
        row(
            "COMPRESSION",
            "compression",
            ["gzip", "none", "GZIP", "none"],
            ["gzip", "none", "gzip", "none"],
            "none",
            |endpoint| if endpoint.gzip { "gzip" } else { "none" }.to_owned(),
        ),
        row("CERTIFICATE", "certificate", authorities.clone(), authorities, "", |endpoint| {
            shown_path(endpoint.tls.as_ref().unwrap().certificate.as_ref())
        }),
        row("CLIENT_CERTIFICATE", "client_certificate", certificates.clone(), certificates, "", |endpoint| {
            shown_path(endpoint.tls.as_ref().unwrap().client_certificate.as_ref())
        }),
        row("CLIENT_KEY", "client_key", keys, any, "", |_| String::new()),
    ]
}

fn shown_path(path: Option<&PathBuf>) -> String {
    path.unwrap().to_str().unwrap().to_owned()
}

const SIGNALS: [&str; 2] = ["logs", "metrics"];

/// What is in the weakest place whatever is tested: an endpoint, and all that TLS wants of each other.
const NEEDED: [&str; 4] = ["ENDPOINT", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];

/// File and environment with the setting `subject` in those of `places` that are true. Its own places are those of
/// `signal`. All variables that are not to be set are there and empty.
fn given(rows: &[Row], signal: &str, subject: &str, places: [bool; 4]) -> (String, Vec<(String, String)>) {
    let (mut file, mut of_signal, mut env) = (String::new(), String::new(), Vec::new());
    for row in rows {
        let has = |place: usize| match row.variable == subject {
            true => places[place],
            false => place == 0 && NEEDED.contains(&row.variable),
        };
        let line = |place: usize| format!("{} = \"{}\"\n", row.key, row.given[place]);
        file.extend(has(0).then(|| line(0)));
        of_signal.extend(has(1).then(|| line(1)));
        for (place, prefix) in [(2, String::new()), (3, format!("{}_", signal.to_uppercase()))] {
            let value = if has(place) { row.given[place].clone() } else { String::new() };
            env.push((format!("OTEL_EXPORTER_OTLP_{prefix}{}", row.variable), value));
        }
    }
    (format!("[otlp]\n{file}[otlp.{signal}]\n{of_signal}"), env)
}

#[test]
fn each_setting_of_an_endpoint_has_the_value_of_the_origin_with_the_highest_precedence() {
    let folder = TempDir::new().unwrap();
    let rows = rows(folder.path());
    for (row, signal) in rows.iter().flat_map(|row| SIGNALS.map(|signal| (row, signal))) {
        for subset in 0..16_u8 {
            let places = [0, 1, 2, 3].map(|place| subset & (1 << place) != 0);
            if NEEDED.contains(&row.variable) && row.variable != "ENDPOINT" && !places[0] {
                continue;
            }
            let (file, env) = given(&rows, signal, row.variable, places);
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let what = format!("{} for {signal} in {places:?}", row.variable);
            let otlp = loaded(&file, &env).config.otlp;
            let (own, other) = if signal == "logs" { (otlp.logs, otlp.metrics) } else { (otlp.metrics, otlp.logs) };
            let shown =
                |endpoint: Option<Endpoint>| endpoint.map_or("off".to_owned(), |endpoint| (row.shown)(&endpoint));
            let expected = |places: &[bool], signal: &str| match places.iter().rposition(|has| *has) {
                Some(place) => row.effect[place].replace("<signal>", signal),
                None => row.default.to_owned(),
            };
            assert_eq!(shown(own), expected(&places, signal), "{what}");
            let other_signal = if signal == "logs" { "metrics" } else { "logs" };
            // Of the other signal only the places for all signals speak.
            let for_all = [places[0], false, places[2], false];
            assert_eq!(shown(other), expected(&for_all, other_signal), "{what}, the other one");
        }
    }
}

#[test]
fn each_other_variable_wins_over_the_file_and_is_unset_when_it_is_empty() {
    type Shown = fn(&Otlp) -> String;
    let resource: Shown = |otlp| otlp.resource.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let logs: Shown = |otlp| if otlp.logs.is_some() { "on" } else { "off" }.to_owned();
    let metrics: Shown = |otlp| if otlp.metrics.is_some() { "on" } else { "off" }.to_owned();
    for (variable, in_env, in_file, default, of_file, of_env, shown) in [
        (
            "OTEL_SERVICE_NAME",
            "e",
            "service_name = \"f\"",
            "smscope",
            "f",
            "e",
            (|otlp| otlp.service_name.clone()) as Shown,
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=e", "resource = { team = \"f\" }", "", "team=f", "team=e", resource),
        ("OTEL_METRIC_EXPORT_INTERVAL", "2000", "metric_interval = \"1s\"", "1m", "1s", "2s", |otlp| {
            show_duration(otlp.metric_interval)
        }),
        ("OTEL_LOGS_EXPORTER", "otlp", "logs.exporter = \"none\"", "on", "off", "on", logs),
        ("OTEL_LOGS_EXPORTER", "none", "logs.exporter = \"otlp\"", "on", "on", "off", logs),
        ("OTEL_METRICS_EXPORTER", "otlp", "metrics.exporter = \"none\"", "on", "off", "on", metrics),
        ("OTEL_METRICS_EXPORTER", "none", "metrics.exporter = \"otlp\"", "on", "on", "off", metrics),
        ("OTEL_SDK_DISABLED", "true", "", "on", "on", "off", logs),
        ("OTEL_SDK_DISABLED", "True", "", "on", "on", "off", metrics),
    ] {
        // OTEL_SDK_DISABLED has no key.
        let of_file = if in_file.is_empty() { default } else { of_file };
        for (file, value, expected) in [
            ("", None, default),
            ("", Some(""), default),
            ("", Some(" "), default),
            (in_file, None, of_file),
            (in_file, Some(""), of_file),
            ("", Some(in_env), of_env),
            (in_file, Some(in_env), of_env),
        ] {
            let toml = format!("[otlp]\nendpoint = \"http://c\"\n{file}");
            let env: Vec<_> = value.map(|value| (variable, value)).into_iter().collect();
            assert_eq!(shown(&loaded(&toml, &env).config.otlp), expected, "{variable}={value:?}, {file}");
        }
    }
}
