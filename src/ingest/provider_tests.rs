//! What the seam of providers carries that smsmode does not need: signatures, challenges, and responses of their own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Authenticator, Handler, SourceAuth};
use crate::config::{Config, Flags};
use crate::data_dir::DataDir;
use crate::event::{Event, Unrecognized};
use crate::health::Health;
use crate::probe_challenge::ChallengeKey;
use crate::process_metrics::SourceMetrics;
use crate::provider::{
    Acknowledgement, CallbackLimits, DecodeContext, Decoded, Provider, SignatureError, SignedRequest, Success, Webhook,
};
use crate::secret::Secret;

/// Signs method, path and body, and is answered in XML.
#[derive(Debug)]
struct Signing;

impl Provider for Signing {
    fn callback_limits(&self) -> CallbackLimits {
        CallbackLimits { url_length: 255, response_time: Duration::from_secs(1) }
    }

    fn verify(&self, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        let signature = request.headers.get("x-signature").ok_or(SignatureError::Missing)?;
        let signed = format!("{} {} [{}]", request.method, request.path_and_query, request.body.escape_ascii());
        if signature.as_bytes() == signed.as_bytes() { Ok(()) } else { Err(SignatureError::Wrong) }
    }

    fn decode(&self, _context: &DecodeContext<'_>, webhook: &Webhook<'_>) -> Decoded {
        let event = Event::Unrecognized(Unrecognized { digest: [0; 32], channel_id: None, why: "a test".into() });
        Decoded { events: if webhook.body.is_empty() { Vec::new() } else { vec![event] }, ..Decoded::default() }
    }

    fn drop_text<'a>(&self, _events: &mut [Event], webhook: &Webhook<'a>) -> (Cow<'a, str>, Cow<'a, [u8]>) {
        (webhook.query.into(), webhook.body.into())
    }

    fn challenge(&self, webhook: &Webhook<'_>) -> Option<Acknowledgement> {
        let echoed = webhook.query.strip_prefix("challenge=")?;
        let body = Bytes::copy_from_slice(echoed.as_bytes());
        Some(Acknowledgement { status: StatusCode::OK, content_type: Some("text/plain"), body })
    }

    fn acknowledge(&self, success: Success) -> Acknowledgement {
        match success {
            Success::Probe => {
                Acknowledgement { status: StatusCode::NO_CONTENT, content_type: None, body: Bytes::new() }
            }
            _ => Acknowledgement {
                status: StatusCode::ACCEPTED,
                content_type: Some("text/xml"),
                body: Bytes::from_static(b"<Response/>"),
            },
        }
    }
}

async fn asked(address: std::net::SocketAddr, request: &str, signature: &str, body: &str) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {length}\r\n");
    let request = format!("{head}x-signature: {signature}\r\n\r\n{body}");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_verifies_what_was_sent_and_responds_in_its_own_form() {
    let mut config = Config::load(&Flags::default(), &BTreeMap::<String, String>::new()).unwrap().config;
    let folder = TempDir::new().unwrap();
    config.data_dir = folder.path().to_owned();
    config.sources[0].provider = Arc::new(Signing);
    let data_dir = DataDir::open(&config.data_dir).unwrap();
    let (store, _threads) = crate::serve::open_store(&config, &data_dir).unwrap();
    let source = config.sources[0].clone();
    let auth = SourceAuth { source, tokens: vec![Secret::new("t0ken".into())], metrics: SourceMetrics::new("smsmode") };
    let authenticator = Authenticator::new(vec![auth]);
    let handler = Handler::new(authenticator, store, config.http, ChallengeKey::new(&[0; 32]), Health::good());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(super::run(listener, handler, config.http, None, None, std::future::pending()));

    let trace = "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (request, signature, body, begin, end) in [
        // The whole of what was sent is signed, our own parameter too.
        (
            format!("POST /hooks/smsmode/t0ken?{trace}"),
            format!("POST /hooks/smsmode/t0ken?{trace} [a=1]"),
            "a=1",
            "HTTP/1.1 202 Accepted\r\ncontent-type: text/xml\r\n",
            "\r\n\r\n<Response/>",
        ),
        (
            "POST /hooks/smsmode/t0ken".into(),
            "POST /hooks/smsmode/t0ken [a=1]".into(),
            "a=2",
            "HTTP/1.1 401 Unauthorized\r\n",
            r#"{"error":"credentials missing or wrong"}"#,
        ),
        (
            "GET /hooks/smsmode/t0ken?challenge=4711".into(),
            "GET /hooks/smsmode/t0ken?challenge=4711 []".into(),
            "",
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n",
            "\r\n\r\n4711",
        ),
        (
            "GET /hooks/smsmode/t0ken".into(),
            "GET /hooks/smsmode/t0ken []".into(),
            "",
            "HTTP/1.1 204 No Content\r\n",
            "\r\n\r\n",
        ),
        // Nothing is verified before the token has passed.
        ("POST /hooks/smsmode/wrong".into(), String::new(), "a=1", "HTTP/1.1 404 Not Found\r\n", "not found\"}"),
    ] {
        let response = asked(address, &request, &signature, body).await;
        assert!(response.starts_with(begin) && response.ends_with(end), "{request}: {response}");
    }
}
