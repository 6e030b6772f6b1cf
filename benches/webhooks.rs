//! Acknowledged durable webhooks per second, against a bare hyper server that answers the same requests on the same cores.
//!
//! Both servers are processes of their own; the load is one client process for both. They are measured in turns, round by round, and
//! what counts is the median of the rounds' ratios: a machine whose speed drifts favours neither. Quote the ratio, not the rates.
//!
//! ```text
//! cargo bench --bench webhooks            # 5 rounds of 3 s each, 512 connections
//! cargo bench --bench webhooks -- 128 10  # 128 connections, 10 s
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut numbers = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "bare" => return bare(),
            // cargo's own.
            "--bench" => {}
            number => numbers.push(number.parse::<u64>()?),
        }
    }
    let connections = numbers.first().copied().unwrap_or(512) as usize;
    let seconds = Duration::from_secs(numbers.get(1).copied().unwrap_or(3));
    tokio::runtime::Runtime::new()?.block_on(compare(connections, seconds))
}

async fn compare(connections: usize, seconds: Duration) -> Result<()> {
    println!("{connections} connections, {ROUNDS} rounds of {seconds:?} each");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let servers = [Server::bare()?, Server::smscope()?];
        let mut rates = Vec::new();
        for server in &servers {
            let before = server.cpu_seconds();
            let (rate, answers) = load(server, connections, seconds).await?;
            let cpu = (server.cpu_seconds() - before) * 1e6 / answers as f64;
            println!("round {round}: {:<8} {rate:>9.0} answers/s, {cpu:>5.1} us of CPU an answer", server.name);
            rates.push(rate);
        }
        ratios.push(rates[1] / rates[0]);
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio: {:.3} (median; from {:.3} to {:.3})", ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]);
    Ok(())
}

/// Sends as much as `connections` closed loops can; gives answers per second once warm, and all answers, which must be `accepted`.
async fn load(server: &Server, connections: usize, seconds: Duration) -> Result<(f64, u64)> {
    let count = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for connection in 0..connections {
        let (address, path) = (server.address, server.path.clone());
        let (count, stop) = (count.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut answer = [0; 512];
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                stream.write_all(request(&path, connection, number).as_bytes()).await?;
                let length = stream.read(&mut answer).await?;
                if !answer[..length].ends_with(br#"{"result":"accepted"}"#) {
                    return Err(format!("unexpected answer: {}", String::from_utf8_lossy(&answer[..length])).into());
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Result::Ok(())
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let (started, before) = (Instant::now(), count.load(Ordering::Relaxed));
    tokio::time::sleep(seconds).await;
    let (took, after) = (started.elapsed(), count.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(((after - before) as f64 / took.as_secs_f64(), count.load(Ordering::Relaxed)))
}

/// A receipt as smsmode sends it, of a message of its own.
fn request(path: &str, connection: usize, number: usize) -> String {
    let body = format!(
        r#"{{"messageId":"5f0c6a52-{connection:04x}-4d3b-8f17-{number:012x}","acceptedAt":"2026-04-01T16:00:08","sentDate":"2026-04-01T16:00:08","channel":{{"channelId":"9a6f0e56-5b0a-4d4c-b0c5-6f5d29f4b6f1","name":"main","type":"SMS","flow":"TRANSACTIONAL"}},"type":"SMS","direction":"MT","recipient":{{"to":"336{:08}"}},"from":"ACME","body":{{"text":"Your order is ready for pick-up.","encoding":"GSM7","messagePartCount":1,"length":32}},"price":{{"amount":"0.045","currency":"EUR"}},"status":{{"deliveryDate":"2026-04-01T16:00:11","value":"DELIVERED","lookup":{{"mccMnc":"20801","country":"France","network":"Orange"}}}},"refClient":"order-{number}","campaignId":null,"href":"https://rest.example.com/sms/v1/messages/5f0c6a52"}}"#,
        (connection * 100_000 + number) % 100_000_000,
    );
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

struct Server {
    name: &'static str,
    address: SocketAddr,
    path: String,
    process: Child,
    _data: Option<TempDir>,
}

impl Server {
    fn bare() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?).arg("bare").stdout(Stdio::piped()).spawn()?;
        let line = first_line(&mut process, |_| true)?;
        Ok(Self { name: "bare", address: line.parse()?, path: "/".into(), process, _data: None })
    }

    fn smscope() -> Result<Self> {
        // Beside the build, so that fsync goes to a disk: /tmp may be memory.
        let data = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_smscope"))
            .env("SMSCOPE_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:0")
            .env("SMSCOPE_DATA_DIR", data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let line = first_line(&mut process, |line| line.starts_with("callback URL"))?;
        let url = line.rsplit("http://").next().ok_or("no URL")?;
        let (address, path) = url.split_once('/').ok_or("no path")?;
        Ok(Self { name: "smscope", address: address.parse()?, path: format!("/{path}"), process, _data: Some(data) })
    }
}

impl Server {
    /// User and system time of the server's process so far (Linux; a tick is 10 ms).
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
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

/// Takes the same requests and gives the same answer, and does nothing else.
fn bare() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async {
                    let _body = request.into_body().collect().await;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(br#"{"result":"accepted"}"#))))
                });
                let _closed =
                    http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
