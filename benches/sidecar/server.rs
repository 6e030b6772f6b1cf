//! The servers that are measured, each a process of its own.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

use crate::Result;
use crate::usage::{self, Usage};

pub const ACCEPTED: &str = r#"{"result":"accepted"}"#;
const OK: &str = "HTTP/1.1 200";
const PEER_START: Duration = Duration::from_secs(20);
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[derive(Clone, Copy)]
pub enum Peer {
    Collector,
    Benthos,
}

/// What is started, and where it exports to.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    /// Which other program it is, and its configuration; `None`: smscope.
    peer: Option<(Peer, PathBuf)>,
    collector: Option<SocketAddr>,
    /// The database of the fleet that it is a replica of.
    database: Option<String>,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), peer: None, collector: None, database: None }
    }

    /// Another program, with a configuration that reads PORT, ADMIN_PORT, SINK and DATA from the environment.
    pub fn peer(peer: Peer, path: PathBuf, configuration: PathBuf) -> Self {
        Self { path, peer: Some((peer, configuration)), collector: None, database: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn exporting_to(&self, collector: SocketAddr) -> Self {
        Self { collector: Some(collector), ..self.clone() }
    }

    pub fn on_database(&self, url: String) -> Self {
        Self { database: Some(url), ..self.clone() }
    }

    /// Starts it on this data directory, and waits until it accepts webhooks.
    pub fn start(&self, data: &Path) -> Result<Server> {
        if let Some((peer, configuration)) = &self.peer {
            return self.start_peer(*peer, configuration, data);
        }
        let mut process = self.command(data).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let line = first_line(&mut process, |line| line.starts_with("callback URL"))?;
        let url = line.rsplit("http://").next().ok_or("no URL")?;
        let (address, path) = url.split_once('/').ok_or("no path")?;
        let path = format!("/{}", path.replace("<token>", TOKEN));
        Ok(Server {
            address: address.parse()?,
            path,
            body: |receipt| receipt,
            // A replica that did not hear the result of a commit asks again, and finds the receipt.
            acceptance: if self.database.is_some() { OK } else { ACCEPTED },
            accepted: Arc::default(),
            process,
        })
    }

    fn start_peer(&self, peer: Peer, configuration: &Path, data: &Path) -> Result<Server> {
        let [address, admin] = [free_address()?, free_address()?];
        let sink = self.collector.ok_or("a peer needs a sink")?;
        let (argument, path, body): (_, _, fn(String) -> String) = match peer {
            Peer::Collector => ("--config", "/v1/logs", otlp_log),
            Peer::Benthos => ("run", "/hook", |receipt| receipt),
        };
        let mut command = Command::new(&self.path);
        command.arg(argument).arg(configuration);
        command.env("PORT", address.port().to_string()).env("ADMIN_PORT", admin.port().to_string());
        command.env("SINK", sink.to_string()).env("DATA", data);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Server { address, path: path.into(), body, acceptance: OK, accepted: Arc::default(), process };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > PEER_START {
                return Err(format!("{} does not listen", self.path.display()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// One of its commands, until it has ended.
    pub fn run(&self, data: &Path, arguments: &[&str]) -> Result<()> {
        let status = self.command(data).args(arguments).stdout(Stdio::null()).status()?;
        status.success().then_some(()).ok_or_else(|| format!("smscope {arguments:?} ended with {status}").into())
    }

    fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env("SMSCOPE_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_DATA_DIR", data)
            .env("SMSCOPE_TOKEN", TOKEN);
        if let Some(collector) = self.collector {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
        }
        if let Some(url) = &self.database {
            command.env("SMSCOPE_STORE_URL", url);
        }
        command
    }
}

pub struct Server {
    pub address: SocketAddr,
    /// Where the load is sent.
    pub path: String,
    /// The form in which it takes a receipt.
    pub body: fn(String) -> String,
    /// What an answer contains that acknowledges a receipt.
    pub acceptance: &'static str,
    /// Receipts that it has accepted.
    pub accepted: Arc<AtomicU64>,
    process: Child,
}

impl Server {
    /// A bare hyper server; `answer` is all that it ever says.
    pub fn bare(answer: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.args(["bare", answer]).stdout(Stdio::piped()).spawn()?;
        let line = first_line(&mut process, |_| true)?;
        Ok(Self {
            address: line.parse()?,
            path: "/".into(),
            body: |receipt| receipt,
            acceptance: ACCEPTED,
            accepted: Arc::default(),
            process,
        })
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.process.id())
    }

    /// Resident memory in MB: now, and at its peak.
    pub fn resident_megabytes(&self) -> (f64, f64) {
        usage::resident_megabytes(self.process.id())
    }

    /// Ends it as a crash does.
    pub fn kill(self) {
        drop(self);
    }

    /// `-STOP`, say.
    pub fn signal(&self, signal: &str) -> Result<()> {
        Command::new("kill").args([signal, &self.process.id().to_string()]).status()?;
        Ok(())
    }

    /// Ends it as an operator would.
    pub fn terminate(mut self) -> Result<()> {
        self.signal("-TERM")?;
        let status = self.process.wait()?;
        status.success().then_some(()).ok_or_else(|| format!("smscope ended with {status}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A log record with the receipt as its body.
fn otlp_log(receipt: String) -> String {
    let text = receipt.replace('"', "\\\"");
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{text}"}}}}]}}]}}]}}"#)
}

/// Nobody listens there.
pub fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn first_line(process: &mut Child, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let output = process.stdout.take().ok_or("no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if wanted(&line) {
            return Ok(line);
        }
    }
    Err("the server ended".into())
}

/// Takes the same requests, gives one answer, and does nothing else.
pub fn serve_bare(answer: &str) -> Result<()> {
    let answer = Bytes::copy_from_slice(answer.as_bytes());
    tokio::runtime::Runtime::new()?.block_on(async {
        // The same queue of connections to be accepted as smscope's.
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(4096)?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let answer = answer.clone();
                    async {
                        let _body = request.into_body().collect().await;
                        Ok::<_, Infallible>(Response::new(Full::new(answer)))
                    }
                });
                let _closed =
                    http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
