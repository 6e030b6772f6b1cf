//! Something that stands where a collector would: it accepts every request, responds as it is told to, and stores the bytes.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use super::server::{Request, respond, serve};

/// Ends with the test: its thread holds nothing that anyone waits for.
pub struct OtlpStub {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    status: u16,
    content_type: String,
    body: String,
    requests: Vec<Request>,
}

impl OtlpStub {
    /// Answers each request with `status`, on a port of its own.
    pub fn answering(status: u16) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), status)
    }

    pub fn on(listener: TcpListener, status: u16) -> Self {
        let address = listener.local_addr().unwrap();
        let content_type = "application/x-protobuf".to_owned();
        let state = State { status, content_type, body: String::new(), requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        serve(listener, None, move |request, stream| {
            let mut state = shared.lock().unwrap();
            state.requests.push(request);
            respond(stream, state.status, &[&format!("content-type: {}", state.content_type)], &state.body)
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The status of its responses from now on.
    pub fn answer(&self, status: u16) {
        self.state.lock().unwrap().status = status;
    }

    /// The content of its responses from now on.
    pub fn say(&self, content_type: &str, body: &str) {
        let mut state = self.state.lock().unwrap();
        state.content_type = content_type.to_owned();
        state.body = body.to_owned();
    }

    /// How many requests have come.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }

    /// All requests so far: their targets, headers and decompressed bodies.
    pub fn bytes(&self) -> Vec<u8> {
        let head = |request: &Request| format!("{} {:?}\n", request.target, request.headers).into_bytes();
        let state = self.state.lock().unwrap();
        state.requests.iter().flat_map(|request| [head(request), request.plain_body()].concat()).collect()
    }

    /// Their bodies alone.
    pub fn bodies(&self) -> Vec<u8> {
        self.state.lock().unwrap().requests.iter().flat_map(Request::plain_body).collect()
    }
}
