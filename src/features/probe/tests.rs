//! Each way in which a public URL may not work, and what is said of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use std::sync::Arc;

use super::*;
use crate::certificates::{Authority, Identity};

const PROBE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"result\":\"probe\"}";

/// Answers each connection's requests with `answer`, in which `{proof}` stands for what `key` says of the nonce.
fn server(answer: &'static str, key: Option<ChallengeKey>, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let key = key.clone();
            std::thread::spawn(move || speak(&mut stream, answer, key.as_ref(), delay));
        }
    });
    address
}

fn speak(stream: &mut (impl Read + Write), answer: &str, key: Option<&ChallengeKey>, delay: Duration) {
    let mut request = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut request) {
        let request = String::from_utf8_lossy(&request[..length]).to_string();
        let nonce = request.lines().find_map(|line| line.strip_prefix("smscope-probe: ")).unwrap_or_default();
        let proof = key.and_then(|key| key.response(nonce)).map(|proof| format!("\r\nsmscope-probe: {proof}\r\n\r\n"));
        std::thread::sleep(delay);
        let answer = answer.replacen("\r\n\r\n", proof.as_deref().unwrap_or("\r\n\r\n"), 1);
        if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn key() -> ChallengeKey {
    ChallengeKey::new(&[7; 32])
}

fn source() -> Source {
    let environment = std::collections::BTreeMap::<String, String>::new();
    crate::config::Config::load(&Default::default(), &environment).unwrap().config.sources.remove(0)
}

fn target(url: &str, tls: Option<Tls>) -> Target {
    let timeout = Duration::from_secs(2);
    Target { timeout, ..Target::new(&source(), url, tls, Some(key())).unwrap() }
}

fn plain(address: SocketAddr) -> Target {
    target(&format!("http://{address}/hooks/smsmode/t0ken"), None)
}

/// The result, and the line of the step that failed.
async fn walked(target: &Target) -> (ProbeResult, String) {
    let report = call(target, 3).await;
    let failures: Vec<String> = report.steps.iter().filter_map(Step::failure).collect();
    assert!(failures.len() <= 1, "{failures:?}");
    assert!(!lines(&report.steps).contains("t0ken"), "{}", lines(&report.steps));
    (report.result, failures.into_iter().next().unwrap_or_default())
}

#[tokio::test]
async fn a_successful_probe_is_ok_at_each_step() {
    let report = call(&plain(server(PROBE, Some(key()), Duration::ZERO)), 3).await;
    assert_eq!(report.result, ProbeResult::Ok, "{:?}", report.steps);
    assert!(report.took.is_some_and(|took| took < Duration::from_millis(300)));
    let names: Vec<&str> = report.steps.iter().map(|step| step.name).collect();
    assert_eq!(names, step::STEPS);
    assert!(lines(&report.steps).contains("  process   ok       the smscope of this data directory\n"));
}

#[tokio::test]
async fn other_responses_have_results_of_their_own() {
    for (answer, result, says) in [
        (
            "HTTP/1.1 404 X\r\ncontent-length: 21\r\n\r\n{\"error\":\"not found\"}",
            "rejected",
            "expected the token that",
        ),
        ("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n", "rejected", "does not pass this path on"),
        (
            "HTTP/1.1 401 X\r\ncontent-length: 13\r\n\r\n{\"error\":\"x\"}",
            "rejected",
            "a header or credentials as well",
        ),
        ("HTTP/1.1 403 X\r\ncontent-length: 13\r\n\r\n{\"error\":\"x\"}", "rejected", "the source's allow"),
        ("HTTP/1.1 403 X\r\ncontent-length: 0\r\n\r\n", "rejected", "a proxy or firewall"),
        (
            "HTTP/1.1 301 X\r\nlocation: https://x/\r\ncontent-length: 0\r\n\r\n",
            "rejected",
            "need not follow a redirect",
        ),
        ("HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n", "rejected", "does not reach smscope"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "rejected", "something else answers there"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"res", "timeout", "no answer within"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "rejected", "expected HTTP/1.1 there"),
        ("", "rejected", "expected HTTP/1.1 there"),
    ] {
        let (found, failure) = walked(&plain(server(answer, Some(key()), Duration::ZERO))).await;
        assert_eq!(found.into_str(), result, "{answer:?}: {failure}");
        assert!(failure.starts_with("answer: ") && failure.contains(says), "{answer:?}: {failure}");
    }
}

#[tokio::test]
async fn another_smscope_a_silent_one_and_a_slow_one_have_results_of_their_own() {
    let other = ChallengeKey::new(&[8; 32]);
    let slow = Duration::from_millis(320);
    for (key, delay, result, says) in [
        (Some(other), Duration::ZERO, ProbeResult::Other, "process: another smscope answered"),
        (None, Duration::ZERO, ProbeResult::Other, "process: it does not say which smscope it is"),
        (Some(key()), slow, ProbeResult::Slow, "expected less than 300 ms"),
    ] {
        let (found, failure) = walked(&plain(server(PROBE, key, delay))).await;
        assert_eq!(found, result, "{failure}");
        assert!(failure.contains(says), "{failure}");
    }
    let unknown = Target { challenge_key: None, ..plain(server(PROBE, None, Duration::ZERO)) };
    let report = call(&unknown, 1).await;
    assert_eq!((report.result, report.steps.iter().find_map(Step::failure)), (ProbeResult::Ok, None));
}

#[tokio::test]
async fn an_unknown_name_a_closed_port_and_a_silent_server_have_results_of_their_own() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (url, result, says) in [
        ("http://smscope.invalid/hooks/a/t0ken".to_owned(), ProbeResult::Dns, "dns: smscope.invalid is not found"),
        (format!("http://{closed}/hooks/a/t0ken"), ProbeResult::Connect, "Connection refused"),
        (
            format!("http://{}/hooks/a/t0ken", silent.local_addr().unwrap()),
            ProbeResult::Timeout,
            "answer: no answer within 2s",
        ),
    ] {
        let (found, failure) = walked(&target(&url, None)).await;
        assert_eq!(found, result, "{url}: {failure}");
        assert!(failure.contains(says), "{url}: {failure}");
    }
}

/// A server that shows `identity` and answers probes.
fn secure_server(identity: &Identity) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            speak(&mut stream, PROBE, Some(&self::key()), Duration::ZERO);
        }
    });
    address
}

fn trusting(authority: &Authority) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let client: ClientConfig = Tls::builder().with_root_certificates(roots).with_no_client_auth();
    Tls { client: Arc::new(client), certificate: None, client_certificate: None }
}

#[tokio::test]
async fn an_untrusted_certificate_is_reported_with_advice() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = |names: &[&str], year| ours.sign(names, year, ExtendedKeyUsagePurpose::ServerAuth);
    for (identity, authority, says) in [
        (server(&["localhost"], 2099), &ours, ""),
        (server(&["localhost"], 2020), &ours, "renew it"),
        (server(&["elsewhere.example"], 2099), &ours, "expected a certificate with this name"),
        (server(&["localhost"], 2099), &other, "the whole chain"),
    ] {
        let port = secure_server(&identity).port();
        let target = target(&format!("https://localhost:{port}/hooks/smsmode/t0ken"), Some(trusting(authority)));
        let (found, failure) = walked(&target).await;
        let expected = if says.is_empty() { ProbeResult::Ok } else { ProbeResult::Tls };
        assert_eq!(found, expected, "{failure}");
        assert!(failure.contains(says), "{says}: {failure}");
    }
    let secure = secure_server(&server(&["localhost"], 2099));
    let url = format!("https://localhost:{}/hooks/smsmode/t0ken", secure.port());
    let report = call(&target(&url, Some(trusting(&ours))), 1).await;
    assert_eq!(report.expires, "2099-01-01T00:00:00Z".parse().ok());
    assert!(
        lines(&report.steps).contains("  tls       ok       TLS 1.3, a chain that is trusted here until 2099-01-01")
    );
    let port = self::server("HTTP/1.1 400 X\r\n\r\n", None, Duration::ZERO).port();
    let target = target(&format!("https://localhost:{port}/hooks/smsmode/t0ken"), Some(trusting(&ours)));
    let (found, failure) = walked(&target).await;
    assert_eq!(found, ProbeResult::Tls);
    assert!(failure.ends_with(connection::NOT_TLS), "{failure}");
}
