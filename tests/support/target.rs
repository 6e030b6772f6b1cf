//! A target of relays: it remembers each request to the byte, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::eventually;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub at: Instant,
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What it was answered.
    pub answer: Reaction,
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
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (shared.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &shared),
                    Some(tls) => serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &shared),
                });
            }
        });
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
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id").expect("every delivery has an id")
    }

    /// The CloudEvent in it.
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn was_taken(&self) -> bool {
        matches!(self.answer, Reaction::Status(200..=299))
    }
}

fn serve(stream: impl Read + Write, state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut arrived) = read(&mut stream) {
        let reaction = {
            let mut state = state.lock().unwrap();
            let reaction = state.script.pop_front().or(state.otherwise.clone()).unwrap_or(Reaction::Status(204));
            arrived.answer = reaction.clone();
            state.arrived.push(arrived);
            reaction
        };
        let answer = match reaction {
            Reaction::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"),
            Reaction::TooMany(seconds) => {
                format!("HTTP/1.1 429 X\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n")
            }
            Reaction::Redirect(to) => format!("HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
            Reaction::Hangup => return,
            Reaction::Half => {
                let _gone = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
                return;
            }
            Reaction::Slow(time) => {
                std::thread::sleep(time);
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
        };
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// `None` when the other side has closed, or speaks no HTTP/1.1 with a length.
fn read(stream: &mut BufReader<impl Read>) -> Option<Arrived> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(Arrived { at: Instant::now(), method, target, headers, body, answer: Reaction::Hangup })
}
