use super::*;
use crate::certificates::Authority;

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c");
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

/// Files for TLS in a folder.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().unwrap());
        let authority = Authority::new("ours");
        let (client, other) = (authority.client(), authority.client());
        files.write("ca.pem", &authority.pem());
        files.write("client.pem", &client.certificate);
        files.write("client.key", &client.key);
        files.write("other.key", &other.key);
        files.write("both.pem", &format!("{}{}", client.key, client.certificate));
        files.write("empty.pem", "");
        files.write("words.pem", "not a certificate: hidden\n");
        files.write("cut.pem", &authority.pem()[..100]);
        files.write("cut.key", &client.key[..100]);
        files.write("garbage.pem", "-----BEGIN CERTIFICATE-----\n!hidden!\n-----END CERTIFICATE-----\n");
        files.write("der.pem", "-----BEGIN CERTIFICATE-----\naGlkZGVu\n-----END CERTIFICATE-----\n");
        files.write("encrypted.key", &client.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn tls_is_read_from_pem_files_which_may_hold_more_than_is_needed() {
    let files = Files::new();
    let (ca, both) = (files.path("ca.pem"), files.path("both.pem"));
    let env = [ENDPOINT, (CERTIFICATE, &ca), (CLIENT_CERTIFICATE, &both), (CLIENT_KEY, &both)];
    let otlp = loaded("", &env).config.otlp;
    for endpoint in [otlp.logs.unwrap(), otlp.metrics.unwrap()] {
        let tls = endpoint.tls.unwrap();
        assert_eq!(tls.certificate, Some(ca.clone().into()));
        assert_eq!(tls.client_certificate, Some(both.clone().into()));
    }
}

#[test]
fn a_pem_file_that_cannot_be_used_ends_in_a_line_with_variable_file_and_what_is_expected() {
    let files = Files::new();
    const AUTHORITIES: &str = "a PEM file with certificates of authorities";
    const CERTIFICATES: &str = "a PEM file with a certificate, then those that lead to its authority";
    const KEY: &str = "a PEM file with an unencrypted private key";
    let missing = "cannot be read: No such file or directory (os error 2)";
    for (ca, certificate, key, culprit, file, problem, expected) in [
        ("none.pem", "", "", CERTIFICATE, "none.pem", missing, AUTHORITIES),
        ("empty.pem", "", "", CERTIFICATE, "empty.pem", "no certificate in it", AUTHORITIES),
        ("words.pem", "", "", CERTIFICATE, "words.pem", "no certificate in it", AUTHORITIES),
        ("client.key", "", "", CERTIFICATE, "client.key", "no certificate in it", AUTHORITIES),
        ("cut.pem", "", "", CERTIFICATE, "cut.pem", "breaks off", AUTHORITIES),
        ("garbage.pem", "", "", CERTIFICATE, "garbage.pem", "is not base64", AUTHORITIES),
        (
            "der.pem",
            "",
            "",
            CERTIFICATE,
            "der.pem",
            "cannot be used: invalid peer certificate: BadEncoding",
            AUTHORITIES,
        ),
        ("ca.pem", "none.pem", "client.key", CLIENT_CERTIFICATE, "none.pem", missing, CERTIFICATES),
        ("ca.pem", "client.key", "client.key", CLIENT_CERTIFICATE, "client.key", "no certificate in it", CERTIFICATES),
        ("ca.pem", "client.pem", "none.key", CLIENT_KEY, "none.key", missing, KEY),
        ("ca.pem", "client.pem", "client.pem", CLIENT_KEY, "client.pem", "no private key in it that can be read", KEY),
        (
            "ca.pem",
            "client.pem",
            "encrypted.key",
            CLIENT_KEY,
            "encrypted.key",
            "no private key in it that can be read",
            KEY,
        ),
        ("ca.pem", "client.pem", "cut.key", CLIENT_KEY, "cut.key", "breaks off", KEY),
        (
            "ca.pem",
            "client.pem",
            "other.key",
            CLIENT_KEY,
            "other.key",
            "does not belong to OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            "the certificate's own key",
        ),
        (
            "ca.pem",
            "client.pem",
            "",
            CLIENT_CERTIFICATE,
            "client.pem",
            "a certificate without a key",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY as well",
        ),
        (
            "ca.pem",
            "",
            "client.key",
            CLIENT_KEY,
            "client.key",
            "a key without a certificate",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well",
        ),
    ] {
        let path = |name: &str| if name.is_empty() { String::new() } else { files.path(name) };
        let (ca, certificate, key) = (path(ca), path(certificate), path(key));
        let env = [ENDPOINT, (CERTIFICATE, &ca), (CLIENT_CERTIFICATE, &certificate), (CLIENT_KEY, &key)];
        let line = rejected("", &env);
        assert_eq!(line, format!("{culprit} = {:?}: {problem}; expected {expected}", files.path(file)));
        assert!(!line.contains("hidden"), "{line}");
    }
}

#[test]
fn the_keys_of_the_file_are_named_when_they_cannot_be_used() {
    let files = Files::new();
    let (ca, client) = (files.path("ca.pem"), files.path("client.pem"));
    let file = format!(
        "[otlp]\nendpoint = \"https://c\"\ncertificate = \"{ca}\"\n[otlp.logs]\nclient_certificate = \"{client}\""
    );
    let line = format!(
        "otlp.logs.client_certificate = {client:?}: a certificate without a key; \
         expected otlp.logs.client_key as well"
    );
    assert_eq!(rejected(&file, &[]), line);
    assert_eq!(
        rejected("[otlp]\nendpoint = \"https://c\"\ncertificate = 5", &[]),
        "otlp.certificate = 5: expected a path"
    );
}

#[test]
fn certificates_of_an_endpoint_without_tls_are_a_warning() {
    let files = Files::new();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1/x?k=hidden"), (CERTIFICATE, "/none.pem")];
    let loaded_plain = loaded("", &env);
    assert!(loaded_plain.config.otlp.logs.unwrap().tls.is_none());
    let unused = |path: &str| format!("{CERTIFICATE}: not used with http://c:1{path}, which is not https");
    assert_eq!(loaded_plain.warnings, [unused("/x/v1/logs?…"), unused("/x/v1/metrics?…")]);
    let ca = files.path("ca.pem");
    assert!(loaded("", &[ENDPOINT, (CERTIFICATE, &ca)]).warnings.is_empty());
    // Given to all and used by nobody: nothing to say.
    assert!(loaded("", &[(CERTIFICATE, "/none.pem")]).warnings.is_empty());
}

#[test]
fn an_endpoint_of_grpc_has_no_path() {
    for url in ["http://c:4317/v1/logs", "http://c:4317/?hidden", "https://c/otlp"] {
        let shown = if url.contains('?') { "http://c:4317/?…" } else { url };
        assert_eq!(
            rejected("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
            format!(
                "OTEL_EXPORTER_OTLP_ENDPOINT = {shown:?}: the protocol is grpc; \
                 expected a URL without a path, such as http://collector:4317"
            )
        );
    }
}
