//! An OTLP endpoint that does what a test tells it to, and notes the order in which records come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

/// What the endpoint does with one request for log records.
pub enum Say {
    Taken,
    Status(u16, &'static [&'static str]),
    /// Taken but for so many, of which it says nothing else.
    Rejected(i64),
    /// A 200 with a web page.
    Html,
    HangUp,
    Silence,
    /// The answer comes byte by byte.
    Drip,
}

/// One request that was taken: the message ids of its records.
type Taken = Vec<String>;

#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Sink {
    /// `script` is given the number of a request, from 0, and the message ids in it.
    pub fn start(script: impl Fn(usize, &[String]) -> Say + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    pub fn start_at(address: SocketAddr, script: impl Fn(usize, &[String]) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), taken: Arc::default() };
        let (taken, script, number) = (sink.taken.clone(), Arc::new(script), Arc::new(Mutex::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (taken, script, number) = (taken.clone(), script.clone(), number.clone());
                thread::spawn(move || {
                    let _gone = serve(&stream, |ids| {
                        let mut number = number.lock().unwrap();
                        *number += 1;
                        let say = script(*number - 1, ids);
                        if matches!(say, Say::Taken | Say::Rejected(_) | Say::Drip) {
                            taken.lock().unwrap().push(ids.to_vec());
                        }
                        say
                    });
                });
            }
        });
        sink
    }

    /// What OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1/logs", self.address)
    }

    /// The message ids that were taken, in their order.
    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().concat()
    }

    pub fn count(&self) -> usize {
        self.taken.lock().unwrap().iter().map(Vec::len).sum()
    }
}

fn serve(stream: &TcpStream, mut answer: impl FnMut(&[String]) -> Say) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let ok = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        match answer(&ids(&body)) {
            Say::Taken => writer.write_all(ok.as_bytes())?,
            Say::Status(status, headers) => {
                let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
                writer.write_all(format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n").as_bytes())?;
            }
            Say::Rejected(count) => {
                let body = format!("{{\"partialSuccess\":{{\"rejectedLogRecords\":\"{count}\"}}}}");
                let head = format!("content-type: application/json\r\ncontent-length: {}", body.len());
                writer.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes())?;
            }
            Say::Html => {
                let body = "<!DOCTYPE html><title>Sign in</title>";
                let head = format!("content-type: text/html\r\ncontent-length: {}", body.len());
                writer.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes())?;
            }
            Say::HangUp => return Ok(()),
            Say::Silence => thread::sleep(Duration::from_secs(600)),
            Say::Drip => {
                for byte in ok.as_bytes() {
                    writer.write_all(&[*byte])?;
                    thread::sleep(Duration::from_millis(2));
                }
            }
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
