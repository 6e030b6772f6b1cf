//! TLS on the webhook listener: who is answered, with which certificate, and for how long anything may take.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::support::certificates::{Authority, Identity};
use crate::support::{Client, HOOK, Launch, OnATerminal, Smscope, Stream, TOKEN, eventually, post, receipt, request};

type Secure = StreamOwned<ClientConnection, TcpStream>;

impl Stream for Secure {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

static EACH_VERSION: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// How a client connects.
struct Way<'a> {
    trusts: &'a Authority,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: &'static [&'static str],
    shows: Option<&'a Identity>,
}

fn way(trusts: &Authority) -> Way<'_> {
    Way { trusts, versions: ALL_VERSIONS, protocols: &[], shows: None }
}

/// A connection whose handshake is done.
fn connect(smscope: &Smscope, way: &Way) -> io::Result<Secure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(way.trusts.pem().as_bytes()).unwrap()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring).with_protocol_versions(way.versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match way.shows {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = way.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, Client::socket(smscope.webhooks)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// What a receipt is answered with, if it is. In TLS 1.3 a client learns only then that its certificate is not accepted.
fn told(smscope: &Smscope, way: &Way, message_id: &str) -> Option<String> {
    let mut client = Client::over(connect(smscope, way).ok()?);
    let sent = post(HOOK, receipt(message_id, "DELIVERED"));
    client.try_send(sent).ok()?;
    client.try_response().ok().map(|answer| answer.result())
}

/// A listener with this certificate, and further settings of `[http]`.
fn launch(identity: &Identity, settings: &str) -> Launch {
    let launch = Launch::new();
    write(&launch, identity);
    launch.file(&format!("[http]\n{settings}\n[http.tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n"))
}

fn write(launch: &Launch, identity: &Identity) {
    fs::write(launch.home.path().join("tls.pem"), &identity.certificate).unwrap();
    fs::write(launch.home.path().join("tls.key"), &identity.key).unwrap();
}

fn failures(smscope: &Smscope) -> f64 {
    smscope.metric("smscope_tls_handshake_failures_total", &[])
}

#[test]
fn webhooks_are_accepted_by_tls_1_2_and_1_3_with_http_1_1_in_it() {
    let ours = Authority::new("ours");
    let smscope = launch(&ours.server(), "").start();
    for versions in EACH_VERSION {
        for (protocols, agreed) in
            [(&[][..], None), (&["http/1.1"], Some("http/1.1")), (&["h2", "http/1.1"], Some("http/1.1"))]
        {
            let way = Way { versions, protocols, ..way(&ours) };
            let connection = connect(&smscope, &way).unwrap();
            assert_eq!(connection.conn.alpn_protocol(), agreed.map(str::as_bytes), "{versions:?} {protocols:?}");
            let mut client = Client::over(connection);
            for result in ["accepted", "duplicate"] {
                let id = format!("{versions:?} {protocols:?}").replace('"', "");
                assert_eq!(
                    client.ask(post(HOOK, receipt(&id, "DELIVERED"))).result(),
                    result,
                    "{versions:?} {protocols:?}"
                );
            }
            let last = client.ask(request("GET", HOOK, &["connection: close"], ""));
            assert_eq!(last.result(), "probe");
            // Without TLS's own notice of the end this would be an error.
            assert!(client.rest().is_empty());
        }
    }
    assert_eq!(failures(&smscope), 0.0);
    let url = format!("callback URL (smsmode): https://127.0.0.1:{}/hooks/smsmode/<token>", smscope.webhooks.port());
    assert!(smscope.stdout().contains(&url), "{}", smscope.stdout());
}

/// The beginning of a handshake by TLS 1.`minor`, with what a server of that time asks for.
fn hello(minor: u8) -> Vec<u8> {
    let groups: &[u8] = &[0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17];
    let formats: &[u8] = &[0, 11, 0, 2, 1, 0];
    let signatures: &[u8] = &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4];
    let extensions = [groups, formats, signatures].concat();
    // No session, two ciphers, no compression.
    let ciphers: &[u8] = &[0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0, 0, extensions.len() as u8];
    let hello = [&[3, minor + 1][..], &[7; 32], ciphers, &extensions].concat();
    let message = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    [&[0x16, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[test]
fn an_outdated_tls_version_fails_the_handshake_and_is_counted() {
    let ours = Authority::new("ours");
    let smscope = launch(&ours.server(), "").start();
    const ALERT: u8 = 0x15;
    const HANDSHAKE: u8 = 0x16;
    const PROTOCOL_VERSION: u8 = 70;
    for (what, bytes, kind, alert) in [
        ("plain HTTP", post(HOOK, receipt("plain", "DELIVERED")), ALERT, None),
        ("noise", vec![0xff; 300], ALERT, None),
        ("TLS 1.0", hello(0), ALERT, Some(PROTOCOL_VERSION)),
        ("TLS 1.1", hello(1), ALERT, Some(PROTOCOL_VERSION)),
        ("TLS 1.2", hello(2), HANDSHAKE, None),
    ] {
        let mut client = smscope.client();
        client.send(bytes);
        client.finish_sending();
        let came = client.rest();
        assert_eq!(came.first(), Some(&kind), "{what}: {came:?}");
        assert!(alert.is_none() || came.get(6) == alert.as_ref(), "{what}: {came:?}");
    }
    let error = connect(&smscope, &Way { protocols: &["h2"], ..way(&ours) }).expect_err("HTTP/2 is not spoken");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    let error = connect(&smscope, &way(&Authority::new("stranger"))).expect_err("it is not to be trusted");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    eventually("all are counted", || failures(&smscope) == 7.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0);
    assert_eq!(told(&smscope, &way(&ours), "m").as_deref(), Some("accepted"));
}

#[test]
fn clients_present_the_required_certificate() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (good, stranger) = (theirs.client(), ours.client());
    let expired = theirs.sign(&["smscope"], 2020, ClientAuth);
    let of_a_server = theirs.sign(&["smscope"], 2099, ServerAuth);
    for (mode, without) in [
        ("", None),
        ("client_certificates = \"required\"", None),
        ("client_certificates = \"optional\"", Some("duplicate")),
    ] {
        let launch = Launch::new();
        write(&launch, &ours.server());
        fs::write(launch.home.path().join("clients.pem"), theirs.pem()).unwrap();
        let tls = format!(
            "[http.tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\nclient_authorities = \"clients.pem\"\n{mode}"
        );
        let smscope = launch.file(&tls).start();
        assert_eq!(
            told(&smscope, &Way { shows: Some(&good), ..way(&ours) }, "m").as_deref(),
            Some("accepted"),
            "{mode}"
        );
        for versions in EACH_VERSION {
            for (what, shows, expected) in [
                ("good", Some(&good), Some("duplicate")),
                ("none", None, without),
                ("another authority's", Some(&stranger), None),
                ("expired", Some(&expired), None),
                ("a server's", Some(&of_a_server), None),
            ] {
                let way = Way { versions, shows, ..way(&ours) };
                assert_eq!(told(&smscope, &way, "m").as_deref(), expected, "{mode} {what} {versions:?}");
            }
        }
        let refused = if without.is_some() { 6.0 } else { 8.0 };
        eventually("all are counted", || failures(&smscope) == refused);
    }
}

#[test]
fn a_handshake_has_a_time_out_and_occupies_a_slot() {
    let ours = Authority::new("ours");
    let limits = "max_connections = 1\nheader_timeout = \"1s\"\nbody_timeout = \"1h\"\nwrite_timeout = \"1h\"";
    let smscope = launch(&ours.server(), limits).start();
    for (what, start) in [("nothing", &b""[..]), ("half a hello", b"\x16\x03\x01\x01\0\x01\0\0\xfc\x03\x03")] {
        let mut slow = smscope.client();
        slow.send(start);
        assert!(slow.rest().is_empty(), "{what}");

        let mut holds = smscope.client();
        holds.send(start);
        let mut waits = smscope.client();
        waits.send("GET / HTTP/1.1\r\n\r\n");
        assert!(waits.hears_nothing_for(Duration::from_millis(100)), "{what}");
        // Whoever does not get on with it makes room before the time-out.
        assert!(holds.rest().is_empty(), "{what}");
        // Its turn: the response is that this is not TLS.
        assert_eq!(waits.rest().first(), Some(&0x15), "{what}");
    }
    assert_eq!(told(&smscope, &way(&ours), "m").as_deref(), Some("accepted"));
    // Both that were slow, and both that did not speak TLS.
    eventually("all are counted", || failures(&smscope) == 4.0);
}

#[test]
fn after_the_handshake_all_other_time_outs_hold() {
    let ours = Authority::new("ours");
    for (limit, what) in [("header_timeout", "no head"), ("body_timeout", "no body"), ("write_timeout", "no reading")] {
        let mut limits: String = ["header_timeout", "body_timeout", "write_timeout"]
            .iter()
            .map(|key| format!("{key} = \"{}\"\n", if *key == limit { "1s" } else { "1h" }))
            .collect();
        limits.push_str("max_connections = 1");
        let smscope = launch(&ours.server(), &limits).start();
        let mut client = Client::over(connect(&smscope, &way(&ours)).unwrap());
        match limit {
            "header_timeout" => assert!(client.try_response().is_err(), "{what}"),
            "body_timeout" => {
                let answer = client.ask(format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"));
                assert_eq!(answer.status, 408, "{what}");
            }
            _ => {
                let many = request("GET", HOOK, &[], "").repeat(1000);
                let end = loop {
                    if let Err(error) = client.try_send(&many) {
                        break error;
                    }
                };
                assert!(matches!(end.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{end}");
            }
        }
        // The one slot is free again.
        assert_eq!(told(&smscope, &way(&ours), "m").as_deref(), Some("accepted"), "{what}");
    }
}

#[test]
fn a_renewed_certificate_is_loaded_without_a_restart_and_a_bad_one_is_not() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let smscope = launch(&old.sign(&["localhost"], 2098, ServerAuth), "header_timeout = \"1h\"").start();
    let expires = |smscope: &Smscope| smscope.metric("smscope_tls_certificate_expiry_timestamp_seconds", &[]);
    assert_eq!(expires(&smscope), 4_039_372_800.0, "the first of January 2098");
    let mut open = Client::over(connect(&smscope, &way(&old)).unwrap());
    assert_eq!(open.ask(post(HOOK, receipt("one", "DELIVERED"))).result(), "accepted");

    let bad = |smscope: &Smscope| smscope.stderr().matches("the certificate that was read before stays in use").count();
    let (renewed, folder) = (new.server(), smscope.launch.home.path().to_owned());
    for (at, (file, content, problem)) in [
        ("tls.pem", &*renewed.certificate, "http.tls.key = "),
        ("tls.pem", "-----BEGIN CERTIFICATE-----\nAAAA", "breaks off"),
        ("tls.pem", "", "no certificate in it"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(folder.join(file), content).unwrap();
        eventually(problem, || bad(&smscope) == at + 1);
        assert!(smscope.stderr().lines().last().unwrap().contains(problem), "{}", smscope.stderr());
        assert!(connect(&smscope, &way(&old)).is_ok(), "{problem}");
    }
    fs::remove_file(folder.join("tls.pem")).unwrap();
    eventually("it misses the file", || bad(&smscope) == 4);
    assert!(connect(&smscope, &way(&old)).is_ok());

    write(&smscope.launch, &renewed);
    eventually("it shows the new one", || connect(&smscope, &way(&new)).is_ok());
    assert!(connect(&smscope, &way(&old)).is_err());
    assert_eq!(expires(&smscope), 4_070_908_800.0, "the first of January 2099");
    assert_eq!(open.ask(post(HOOK, receipt("one", "DELIVERED"))).result(), "duplicate", "who is connected stays so");
    assert_eq!(bad(&smscope), 4, "each is said once: {}", smscope.stderr());
    assert!(!smscope.stderr().contains("PRIVATE KEY"));
}

#[test]
fn an_end_does_not_wait_for_a_handshake_and_finishes_what_is_in_flight() {
    let ours = Authority::new("ours");
    let smscope =
        launch(&ours.server(), "header_timeout = \"1h\"\nbody_timeout = \"1h\"\nshutdown_timeout = \"1h\"").start();
    let mut silent = smscope.client();
    let mut idle = Client::over(connect(&smscope, &way(&ours)).unwrap());
    let mut busy = Client::over(connect(&smscope, &way(&ours)).unwrap());
    let mut whole = post(HOOK, receipt("in flight", "DELIVERED"));
    let rest = whole.split_off(whole.len() - 20);
    // The answer to the first request tells that the second, behind it, has arrived too.
    assert_eq!(busy.ask([request("GET", HOOK, &[], ""), whole].concat()).result(), "probe");
    smscope.signal("TERM");
    assert!(silent.rest().is_empty() && idle.rest().is_empty());
    assert_eq!(busy.ask(rest).result(), "accepted");
    let ended = smscope.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("cut off"), "{ended:?}");
}

#[test]
fn with_a_made_token_the_printed_curl_line_works_as_it_stands() {
    let launch = Launch::without_token();
    write(&launch, &Authority::new("ours").sign(&["sms.example.com"], 2099, ServerAuth));
    let tls = "public_url = \"https://sms.example.com\"\n[http.tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"";
    let Some(started) = OnATerminal::start(&launch.file(tls)) else { return };
    let stdout = &started.text;
    let line = stdout.lines().find_map(|line| line.strip_prefix("try it: ")).unwrap_or_else(|| panic!("{stdout}"));
    let line = line.trim_end();
    let ran = Command::new("sh").arg("-c").arg(format!("{line} --silent --show-error")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), r#"{"result":"accepted"}"#, "{line}: {ran:?}");
}

#[test]
fn check_shows_the_expiry_of_a_certificate_and_warns_if_it_is_past_or_near() {
    let ours = Authority::new("ours");
    let good = launch(&ours.server(), "").args(&["check"]).run();
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.stdout.contains("tls.pem, valid until 2099-01-01T00:00:00Z"), "{good:?}");
    assert!(!good.stdout.contains("warning"), "{good:?}");
    let expired = launch(&ours.sign(&["localhost"], 2020, ServerAuth), "");
    let checked = expired.clone().args(&["check"]).run();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("warning: http.tls.certificate = "), "{checked:?}");
    assert!(
        checked.stdout.contains("expired at 2020-01-01T00:00:00Z; expected one that is valid for 14d more"),
        "{checked:?}"
    );
    // A client that does not verify certificates is still answered, and the operator warned.
    let smscope = expired.start();
    assert!(smscope.stderr().contains("expired at 2020"), "{}", smscope.stderr());
    assert_eq!(smscope.metric("smscope_tls_certificate_expiry_timestamp_seconds", &[]), 1_577_836_800.0);
}

#[test]
fn simulate_calls_its_own_listener_by_its_certificate_and_another_by_its_authority() {
    let ours = Authority::new("ours");
    let elsewhere = ours.sign(&["sms.example.com"], 2099, ServerAuth);
    let smscope = launch(&elsewhere, "").start();
    let simulate = |more: &[&str]| {
        let ports =
            [("SMSCOPE_LISTEN", smscope.webhooks.to_string()), ("SMSCOPE_ADMIN_LISTEN", smscope.admin.to_string())];
        let launch = ports.iter().fold(smscope.launch.clone(), |launch, (name, value)| launch.env(name, value));
        let arguments = ["simulate", "--rate", "20", "--duration", "1s", "--time-compression", "100000", "--verify"];
        launch.args(&[&arguments[..], more].concat()).run()
    };
    let own = simulate(&[]);
    assert_eq!(own.code, Some(0), "{own:?}");
    assert!(own.stdout.contains("agrees"), "{own:?}");

    let url = format!("https://127.0.0.1:{}/hooks/smsmode/{TOKEN}", smscope.webhooks.port());
    let file = smscope.launch.home.path().join("ca.pem");
    fs::write(&file, ours.pem()).unwrap();
    let certificate = ["--url", &url, "--certificate", file.to_str().unwrap(), "--seed", "2"];
    let other_name = simulate(&certificate);
    assert_eq!(other_name.code, Some(1), "the certificate is not of this address: {other_name:?}");
    assert!(other_name.stderr.contains("nobody answers whose certificate is trusted"), "{other_name:?}");
    assert!(!other_name.stderr.contains(TOKEN), "{other_name:?}");
    write(&smscope.launch, &ours.server());
    eventually("it shows the new one", || connect(&smscope, &way(&ours)).is_ok());
    let named = simulate(&certificate);
    assert_eq!(named.code, Some(0), "{named:?}");
}
