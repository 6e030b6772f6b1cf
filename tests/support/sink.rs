//! An OTLP endpoint that does what a test tells it to, and notes the order in which records come.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

use super::server::{Request, hang_up, respond, serve};

/// What the endpoint does with one request for log records.
pub enum Reaction {
    Accept,
    Status(u16, &'static [&'static str]),
    /// Accepts all but so many, and says nothing else of these.
    Reject(i64),
    /// A 200 with a web page.
    Html,
    HangUp,
    Silence,
    /// Accepts; the response comes byte by byte.
    Drip,
}

#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// By request that was accepted, the message ids of its records.
    accepted: Vec<Vec<String>>,
}

impl Sink {
    /// `script` is given the number of a request, from 0, and the message ids in it.
    pub fn start(script: impl Fn(usize, &[String]) -> Reaction + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    pub fn start_at(
        address: SocketAddr,
        script: impl Fn(usize, &[String]) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = sink.state.clone();
        serve(listener, None, move |mut request, stream| {
            let ids = ids(&request.plain_body());
            // A million of them would not fit into memory.
            request.body.clear();
            let reaction = {
                let mut state = state.lock().unwrap();
                let reaction = script(state.requests.len(), &ids);
                state.requests.push(request);
                let is_accepted = match reaction {
                    Reaction::Accept | Reaction::Reject(_) | Reaction::Drip => true,
                    Reaction::Status(status, _) => status < 300,
                    _ => false,
                };
                state.accepted.extend(is_accepted.then_some(ids));
                reaction
            };
            react(stream, &reaction)
        });
        sink
    }

    /// What OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1/logs", self.address)
    }

    /// The message ids that were accepted, in their order.
    pub fn accepted(&self) -> Vec<String> {
        self.state.lock().unwrap().accepted.concat()
    }

    /// How many these are.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap().accepted.iter().map(Vec::len).sum()
    }

    /// All requests so far, without their bodies.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn react(stream: &mut dyn Write, reaction: &Reaction) -> io::Result<()> {
    match reaction {
        Reaction::Accept => respond(stream, 200, &["content-type: application/x-protobuf"], ""),
        Reaction::Status(status, headers) => respond(stream, *status, headers, ""),
        Reaction::Reject(count) => {
            let body = format!("{{\"partialSuccess\":{{\"rejectedLogRecords\":\"{count}\"}}}}");
            respond(stream, 200, &["content-type: application/json"], &body)
        }
        Reaction::Html => respond(stream, 200, &["content-type: text/html"], "<!DOCTYPE html><title>Sign in</title>"),
        Reaction::HangUp => hang_up(),
        Reaction::Silence => {
            thread::sleep(Duration::from_secs(600));
            hang_up()
        }
        Reaction::Drip => {
            let mut response = Vec::new();
            respond(&mut response, 200, &["content-type: application/x-protobuf"], "")?;
            response.chunks(1).try_for_each(|byte| {
                stream.write_all(byte)?;
                thread::sleep(Duration::from_millis(2));
                Ok(())
            })
        }
    }
}

fn ids(body: &[u8]) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(body).unwrap();
    let records = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs).flat_map(|s| &s.log_records);
    let id = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
        let attribute = record.attributes.iter().find(|attribute| attribute.key == "messaging.message.id")?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(id) => Some(id.clone()),
            _ => None,
        }
    };
    records.filter_map(id).collect()
}
