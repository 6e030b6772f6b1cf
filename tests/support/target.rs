//! A target of relays: it remembers each request to the byte, and responds by a script.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::eventually;
use super::server::{Request, hang_up, respond, serve};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub request: Request,
    /// The response to it.
    pub reaction: Reaction,
}

impl Deref for Arrived {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    Status(u16),
    /// 429 with Retry-After in seconds.
    TooMany(u64),
    Redirect(String),
    /// Closed without an answer.
    Hangup,
    /// Half a head, then closed.
    Half,
    /// 200, so much later.
    Slow(Duration),
}

#[derive(Default)]
struct State {
    arrived: Vec<Arrived>,
    script: VecDeque<Reaction>,
    /// What is answered where the script has ended.
    otherwise: Option<Reaction>,
}

/// Lives as long as the test's process.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Target {
    pub fn start() -> Self {
        Self::listen(None)
    }

    /// With TLS, by this certificate and key in PEM.
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
        Self::listen(Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())))
    }

    fn listen(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        serve(listener, tls, move |request, stream| react(request, stream, &shared));
        Self { address, scheme, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The next requests are answered so, one each.
    pub fn then(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.state.lock().unwrap().script.extend(reactions);
    }

    /// What the script does not say; 204 at first.
    pub fn otherwise(&self, reaction: Reaction) {
        self.state.lock().unwrap().otherwise = Some(reaction);
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.lock().unwrap().arrived.clone()
    }

    /// Waits for so many requests.
    pub fn wait_for(&self, count: usize) -> Vec<Arrived> {
        eventually(&format!("{count} requests arrive"), || self.arrived().len() >= count);
        self.arrived()
    }
}

impl Arrived {
    pub fn id(&self) -> &str {
        self.header("webhook-id").expect("every delivery has an id")
    }

    /// The CloudEvent in it.
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn was_taken(&self) -> bool {
        matches!(self.reaction, Reaction::Status(200..=299))
    }
}

fn react(request: Request, stream: &mut dyn Write, state: &Mutex<State>) -> io::Result<()> {
    let reaction = {
        let mut state = state.lock().unwrap();
        let reaction = state.script.pop_front().or(state.otherwise.clone()).unwrap_or(Reaction::Status(204));
        state.arrived.push(Arrived { request, reaction: reaction.clone() });
        reaction
    };
    match reaction {
        Reaction::Status(status) => respond(stream, status, &[], ""),
        Reaction::TooMany(seconds) => respond(stream, 429, &[&format!("retry-after: {seconds}")], ""),
        Reaction::Redirect(to) => respond(stream, 307, &[&format!("location: {to}")], ""),
        Reaction::Hangup => hang_up(),
        Reaction::Half => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le")?;
            hang_up()
        }
        Reaction::Slow(time) => {
            std::thread::sleep(time);
            respond(stream, 200, &[], "")
        }
    }
}
