//! The admin listener with a lock on it: TLS, credentials, and the formats of the metrics.

use std::fs;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::certificates::Authority;
use crate::support::{Client, HOOK, Launch, Response, Smscope, TOKEN, post, receipt, request};

const ADMIN_TOKEN: &str = "0123456789abcdef-admin";

fn with_basic(user_and_password: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(user_and_password))
}

#[test]
fn with_credentials_only_probes_are_answered_without_them() {
    let smscope = Launch::new()
        .file(&format!(
            "[opt_outs]\nenabled = true\napi_token = \"0123456789abcdef-list\"\n\
             [admin]\nbearer_token = \"{ADMIN_TOKEN}\"\nbasic = {{ user = \"prometheus\", password = \"p4ssword\" }}"
        ))
        .start();
    let status = |path: &str, header: &str| {
        let headers: &[&str] = if header.is_empty() { &[] } else { &[header] };
        smscope.ask_admin("GET", path, headers).status
    };
    let bearer = format!("Authorization: Bearer {ADMIN_TOKEN}");
    let (good, wrong) = (with_basic("prometheus:p4ssword"), with_basic("prometheus:p4sswor"));
    for path in ["/livez", "/readyz", "//readyz/"] {
        assert_eq!(status(path, ""), 200, "{path}");
    }
    for path in ["/", "/figures", "/metrics", "//metrics"] {
        assert_eq!((status(path, ""), status(path, &wrong)), (401, 401), "{path}");
        assert_eq!((status(path, &good), status(path, &bearer)), (200, 200), "{path}");
    }
    // What is there shows to those alone who may see it.
    assert_eq!((status("/nothing", ""), status("/nothing", &good)), (401, 404));
    // The list has a token of its own, which opens nothing else.
    let of_list = "authorization: Bearer 0123456789abcdef-list";
    assert_eq!((status("/v1/opt-outs", of_list), status("/v1/opt-outs", &bearer)), (200, 401));
    assert_eq!(status("/metrics", of_list), 401);

    let refused = smscope.ask_admin("GET", "/metrics", &[]);
    let asked: Vec<&str> = refused
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(asked, ["Basic realm=\"smscope\", charset=\"UTF-8\"", "Bearer"]);
    assert_eq!(refused.text(), "expected the credentials of [admin]\n");

    let launch = smscope.launch.clone().env("SMSCOPE_ADMIN_LISTEN", &smscope.admin.to_string());
    assert_eq!(launch.clone().args(&["health"]).run().code, Some(0));
    // The simulator compares what it may see with this configuration.
    let address = smscope.webhooks.to_string();
    let played = launch
        .env("SMSCOPE_LISTEN", &address)
        .args(&["simulate", "--verify", "--rate", "50", "--duration", "1s", "--time-compression", "100000"])
        .run();
    assert_eq!(played.code, Some(0), "{played:?}");
    for secret in [ADMIN_TOKEN, "p4ssword"] {
        assert!(
            !smscope.stderr().contains(secret) && !smscope.stdout().contains(secret) && !played.stdout.contains(secret)
        );
    }
}

#[test]
fn with_a_certificate_the_admin_listener_speaks_tls_alone() {
    let launch = Launch::new();
    let authority = Authority::new("ours");
    let server = authority.server();
    for (name, text) in [("tls.pem", &server.certificate), ("tls.key", &server.key)] {
        fs::write(launch.home.path().join(name), text).unwrap();
    }
    let launch = launch.file("[admin.tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"");
    let checked = launch.clone().args(&["check"]).run();
    assert!(checked.stdout.contains("tls.pem, valid until 2099"), "{checked:?}");
    let smscope = launch.start();
    assert!(smscope.stdout().contains("page: https://127.0.0.1:"), "{}", smscope.stdout());

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let ask = |path: &str| -> Response {
        let connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
        let socket = Client::socket(smscope.admin).unwrap();
        Client::over(StreamOwned::new(connection, socket)).ask(request("GET", path, &[], ""))
    };
    assert_eq!(ask("/readyz").text(), "ok\n");
    assert!(ask("/metrics").text().contains("smscope_build_info"));
    let mut plain = Client::connect(smscope.admin);
    plain.send(request("GET", "/readyz", &[], ""));
    assert!(!String::from_utf8_lossy(&plain.rest()).contains("200"), "no plain HTTP beside it");

    let launch = smscope.launch.clone().env("SMSCOPE_ADMIN_LISTEN", &smscope.admin.to_string());
    let health = launch.args(&["health"]).run();
    assert_eq!((health.code, &*health.stdout), (Some(0), "ok\n"), "{health:?}");
    // Its certificate is that of no metric: the alert is about the one that the provider sees.
    assert!(!ask("/metrics").text().contains("smscope_tls_certificate"));
}

#[test]
fn check_warns_of_an_admin_listener_that_leaves_this_machine_without_a_lock() {
    let warned = |address: &str, more: &str| {
        let ended = Launch::new().file(more).env("SMSCOPE_ADMIN_LISTEN", address).args(&["check"]).run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout.contains("warning: admin_listen = ")
    };
    let token = format!("[admin]\nbearer_token = \"{ADMIN_TOKEN}\"");
    for (address, more, expected) in [
        ("127.0.0.1:7673", "", false),
        ("[::1]:7673", "", false),
        ("[::]:7673", "", true),
        ("192.0.2.1:7673", "", true),
        ("[::]:7673", &*token, false),
        ("[::]:7673", "[admin]\nbasic = { user = \"a\", password = \"b\" }", false),
    ] {
        assert_eq!(warned(address, more), expected, "{address} {more}");
    }
}

#[test]
fn open_metrics_is_negotiated_and_shows_the_recorded_traces() {
    const RECORDED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_RECORDED: &str = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let smscope = Smscope::start();
    for (message, status, trace) in [
        ("a", "DELIVERED", RECORDED),
        ("b", "DELIVERED", NOT_RECORDED),
        ("c", "UNDELIVERED", RECORDED),
        ("d", "ENROUTE", RECORDED),
    ] {
        let path = format!("{HOOK}?traceparent={trace}");
        assert_eq!(smscope.ask(post(&path, receipt(message, status))).result(), "accepted", "{message}");
    }
    let asked = smscope.ask_admin("GET", "/metrics", &["accept: application/openmetrics-text; version=1.0.0"]);
    assert_eq!(asked.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(asked.header("vary"), Some("accept, accept-encoding"));
    let text = asked.text();
    assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"), "{text}");
    let with_trace: Vec<&str> =
        text.lines().filter(|line| line.contains(" # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"")).collect();
    let names: Vec<&str> = with_trace.iter().map(|line| line.split('{').next().unwrap()).collect();
    assert_eq!(names, ["sms_messages_delivered_total", "sms_messages_failed_total"], "{with_trace:?}");
    assert!(with_trace[0].contains("} 2 # {"), "{with_trace:?}");
    assert!(!text.contains("5bf92f3577b34da6"), "nobody has that trace");
    assert!(text.contains("# TYPE sms_messages_delivered counter\n"), "{text}");

    let plain = smscope.ask_admin("GET", "/metrics", &[]);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.text().contains("trace_id") && !plain.text().contains("# EOF"));
    // Both have the same series, values of the process aside.
    let durable = |text: &str| -> Vec<String> {
        let samples = text.lines().filter(|line| line.starts_with("sms_") && !line.contains("_bucket"));
        samples.map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(durable(text), durable(plain.text()));

    let erased = smscope.launch.clone().args(&["erase", "--yes", "--recipient", "33612345678"]).run();
    assert_eq!(erased.code, Some(0), "{erased:?}");
    let after = smscope.ask_admin("GET", "/metrics", &["accept: application/openmetrics-text"]);
    assert!(!after.text().contains("trace_id"), "a trace may be of the person");
    assert!(!text.contains(TOKEN));
}
