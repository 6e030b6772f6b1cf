//! The servers that are measured, each a process of its own.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

pub struct Server {
    pub address: SocketAddr,
    /// Where the load is sent.
    pub path: String,
    /// From the start of the process until it takes webhooks.
    pub ready_after: Duration,
    process: Child,
}

impl Server {
    /// A bare hyper server; `answer` is all that it ever says.
    pub fn bare(answer: &str) -> Result<Self> {
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.args(["bare", answer]).stdout(Stdio::piped()).spawn()?;
        let line = first_line(&mut process, |_| true)?;
        Ok(Self { address: line.parse()?, path: "/".into(), ready_after: started.elapsed(), process })
    }

    /// smscope on this data directory, exporting to `collector` if there is one.
    pub fn smscope(data: &Path, collector: Option<SocketAddr>) -> Result<Self> {
        let started = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_smscope"));
        command
            .env("SMSCOPE_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_DATA_DIR", data);
        if let Some(collector) = collector {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let line = first_line(&mut process, |line| line.starts_with("callback URL"))?;
        let ready_after = started.elapsed();
        let url = line.rsplit("http://").next().ok_or("no URL")?;
        let (address, path) = url.split_once('/').ok_or("no path")?;
        Ok(Self { address: address.parse()?, path: format!("/{path}"), ready_after, process })
    }

    /// User and system time so far (Linux; a tick is 10 ms).
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    /// Resident memory in MB (Linux).
    pub fn resident_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) * 1024.0 / 1e6
    }

    /// Ends it as an operator would.
    pub fn terminate(mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
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
