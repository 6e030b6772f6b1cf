use rcgen::ExtendedKeyUsagePurpose::ServerAuth;

use super::*;
use crate::certificates::Authority;

const AUTHORITIES: &str = "a PEM file with certificates of authorities";
const CERTIFICATES: &str = "a PEM file with a certificate, then those that lead to its authority";

/// Files for TLS in a folder; a configuration names them by `@/`.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().unwrap());
        let authority = Authority::new("ours");
        let (server, other) = (authority.server(), authority.server());
        files.write("ca.pem", &authority.pem());
        files.write("tls.pem", &server.certificate);
        files.write("chain.pem", &format!("{}{}", server.certificate, authority.pem()));
        files.write("tls.key", &server.key);
        files.write("other.key", &other.key);
        files.write("der.pem", "-----BEGIN CERTIFICATE-----\naGlkZGVu\n-----END CERTIFICATE-----\n");
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// The lines of `[http.tls]` for what is not empty.
    fn toml(&self, [certificate, key, authorities, asked]: [&str; 4]) -> String {
        let names = ["certificate", "key", "client_authorities", "client_certificates"];
        let given = names.into_iter().zip([certificate, key, authorities, asked]);
        let lines = given.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name} = {value:?}\n"));
        self.here(&format!("[http.tls]\n{}", lines.collect::<String>()))
    }

    fn here(&self, text: &str) -> String {
        text.replace('@', self.0.path().to_str().unwrap())
    }
}

#[test]
fn the_listener_speaks_tls_when_it_has_a_certificate_and_its_key() {
    let files = Files::new();
    use ClientCertificates::{NotAskedFor, Optional, Required};
    for (given, expected) in [
        (["", "", "", ""], None),
        (["@/tls.pem", "@/tls.key", "", ""], Some(NotAskedFor)),
        (["@/chain.pem", "@/tls.key", "", ""], Some(NotAskedFor)),
        (["@/tls.pem", "@/tls.key", "@/ca.pem", ""], Some(Required)),
        (["@/tls.pem", "@/tls.key", "@/ca.pem", "required"], Some(Required)),
        (["@/tls.pem", "@/tls.key", "@/ca.pem", "optional"], Some(Optional)),
    ] {
        let config = loaded(&files.toml(given), &[]).config;
        assert_eq!(config.tls.as_ref().map(ListenerTls::client_certificates), expected, "{given:?}");
        let scheme = if expected.is_some() { "https" } else { "http" };
        let url = config.callback_url(&config.sources[0].name, "t");
        assert_eq!(url, format!("{scheme}://127.0.0.1:7672/hooks/smsmode/t"));
        let Some(tls) = config.tls else { continue };
        assert_eq!(tls.identity.server.alpn_protocols, [b"http/1.1"]);
        assert_eq!(tls.identity.server.max_early_data_size, 0, "what comes early could be sent again by anyone");
        assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
    }
    let public =
        format!("public_url = \"https://sms.example.com\"\n{}", files.toml(["@/tls.pem", "@/tls.key", "", ""]));
    let config = loaded(&public, &[]).config;
    assert_eq!(config.callback_url(&config.sources[0].name, "t"), "https://sms.example.com/hooks/smsmode/t");
}

#[test]
fn what_cannot_be_used_is_one_line_with_its_key() {
    let files = Files::new();
    let both = "http.tls.certificate and http.tls.key as well";
    for (given, key, value, problem) in [
        (
            ["@/tls.pem", "", "", ""],
            "certificate",
            "@/tls.pem",
            "a certificate without a key; expected http.tls.key as well".to_owned(),
        ),
        (
            ["", "@/tls.key", "", ""],
            "key",
            "@/tls.key",
            "a key without a certificate; expected http.tls.certificate as well".to_owned(),
        ),
        (["", "", "@/ca.pem", ""], "client_authorities", "@/ca.pem", format!("not used without TLS; expected {both}")),
        (["", "", "", "optional"], "client_certificates", "optional", format!("not used without TLS; expected {both}")),
        (
            ["@/tls.pem", "@/tls.key", "", "optional"],
            "client_certificates",
            "optional",
            "no authorities for clients; expected http.tls.client_authorities as well".to_owned(),
        ),
        (
            ["@/tls.pem", "@/other.key", "", ""],
            "key",
            "@/other.key",
            "does not belong to http.tls.certificate; expected the certificate's own key".to_owned(),
        ),
        (
            ["@/tls.key", "@/tls.key", "", ""],
            "certificate",
            "@/tls.key",
            format!("no certificate in it; expected {CERTIFICATES}"),
        ),
        (
            ["@/der.pem", "@/tls.key", "", ""],
            "certificate",
            "@/der.pem",
            format!("not an X.509 certificate; expected {CERTIFICATES}"),
        ),
        (
            ["@/tls.pem", "@/tls.key", "@/der.pem", ""],
            "client_authorities",
            "@/der.pem",
            format!("cannot be used: invalid peer certificate: BadEncoding; expected {AUTHORITIES}"),
        ),
    ] {
        let line = rejected(&files.toml(given), &[]);
        assert_eq!(line, format!("http.tls.{key} = {:?}: {problem}", files.here(value)), "{given:?}");
    }
}

#[test]
fn a_certificate_is_warned_about_two_weeks_before_the_first_of_its_chain_ends() {
    let files = Files::new();
    let authority = Authority::new("ours");
    let (longer, shorter) = (authority.sign(&["a"], 2050, ServerAuth), authority.sign(&["b"], 2040, ServerAuth));
    files.write("two.pem", &format!("{}{}", longer.certificate, shorter.certificate));
    files.write("two.key", &longer.key);
    let tls = loaded(&files.toml(["@/two.pem", "@/two.key", "", ""]), &[]).config.tls.unwrap();
    for (now, problem) in [
        ("2026-01-01T00:00:00Z", None),
        ("2039-12-17T23:59:59Z", None),
        ("2039-12-18T00:00:01Z", Some("expires at 2040-01-01T00:00:00Z")),
        ("2039-12-31T23:59:59Z", Some("expires at 2040-01-01T00:00:00Z")),
        ("2040-01-01T00:00:00Z", Some("expired at 2040-01-01T00:00:00Z")),
        ("1970-01-01T00:00:00Z", Some("not valid before 1975-01-01T00:00:00Z")),
    ] {
        let expected = problem.map(|problem| {
            let file = files.here("@/two.pem");
            format!("http.tls.certificate = {file:?}: {problem}; expected one that is valid for 14d more")
        });
        assert_eq!(tls.warning(&tls.identity, now.parse().unwrap()), expected, "{now}");
    }
}
