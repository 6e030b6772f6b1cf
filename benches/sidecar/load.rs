//! The load: receipts as smsmode sends them, every one of which must be accepted.

use std::collections::HashSet;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Result;
use crate::server::Server;
use crate::usage::{Usage, Used};

pub const WARM_UP: Duration = Duration::from_millis(500);

/// What the ids of all messages begin with, and their length.
pub const ID_PREFIX: &str = "5f0c";
pub const ID_LENGTH: usize = 36;

/// Makes message ids that no other load on the same store has made.
static RUN: AtomicU64 = AtomicU64::new(0);

pub fn new_run() -> u64 {
    RUN.fetch_add(1, Ordering::Relaxed)
}

/// What a load has shown of its servers.
pub struct Measured {
    pub per_second: f64,
    pub used: Used,
    /// Of the answers, in order.
    times: Vec<Duration>,
}

impl Measured {
    fn new(mut times: Vec<Duration>, used: Used) -> Self {
        times.sort_unstable();
        Self { per_second: times.len() as f64 / used.time.as_secs_f64(), used, times }
    }

    pub fn cpu_microseconds(&self) -> f64 {
        self.used.cpu.as_secs_f64() * 1e6 / self.times.len() as f64
    }

    pub fn kilobytes_written(&self) -> f64 {
        self.used.bytes_written / 1e3 / self.times.len() as f64
    }

    /// The time within which this share of the requests was answered.
    pub fn milliseconds(&self, share: f64) -> f64 {
        self.times[((self.times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    }
}

/// As much as `connections` closed loops can send.
pub async fn closed(server: &Server, connections: usize, time: Duration) -> Result<Measured> {
    closed_over(slice::from_ref(server), connections, time).await
}

/// The same, the connections spread over some servers.
pub async fn closed_over(servers: &[Server], connections: usize, time: Duration) -> Result<Measured> {
    let connections = Connection::open_all(servers, connections).await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let sent = Instant::now();
                connection.send().await?;
                if (begin..end).contains(&Instant::now()) {
                    times.push(sent.elapsed());
                }
            }
            Result::Ok(times)
        });
    }
    sleep_until(begin).await;
    let before = usage(servers)?;
    sleep_until(end).await;
    let used = until_now(&before)?;
    Ok(Measured::new(all(tasks).await?, used))
}

/// `rate` requests per second, evenly spaced, at times that are fixed in advance. An answer's time counts from the moment at which its
/// request was due, so that what waits behind a slow answer counts too.
pub async fn open(server: &Server, connections: usize, rate: f64, time: Duration) -> Result<Measured> {
    open_over(slice::from_ref(server), connections, rate, time).await
}

/// The same, the connections spread over some servers.
pub async fn open_over(servers: &[Server], connections: usize, rate: f64, time: Duration) -> Result<Measured> {
    let connections = Connection::open_all(servers, connections).await?;
    let spacing = Duration::from_secs_f64(connections.len() as f64 / rate);
    let before = usage(servers)?;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let mut due = begin + Duration::from_secs_f64(connection.number as f64 / rate);
        tasks.spawn(async move {
            let mut times = Vec::new();
            while due < begin + time {
                sleep_until(due).await;
                connection.send().await?;
                times.push(due.elapsed());
                due += spacing;
            }
            Result::Ok(times)
        });
    }
    let times = all(tasks).await?;
    // Idle time after the last answer counts as well.
    sleep_until(begin + time).await;
    Ok(Measured::new(times, until_now(&before)?))
}

/// `messages` messages that stay pending. Gives one of them.
pub async fn fill(server: &Server, connections: usize, messages: usize) -> Result<Message> {
    let mut tasks = JoinSet::new();
    let connections = Connection::open_all(slice::from_ref(server), connections).await?;
    let one = Message::new(connections[0].run, 0, 0);
    let count = connections.len();
    for mut connection in connections {
        let share = messages / count + usize::from(connection.number < messages % count);
        tasks.spawn(async move {
            for message in 0..share {
                connection.post("ENROUTE", message).await?;
            }
            Result::Ok(Vec::new())
        });
    }
    all(tasks).await?;
    Ok(one)
}

/// The ids of the messages that were acknowledged within `time`; a connection ends at its first rejection.
pub async fn acknowledged(server: &Server, connections: usize, time: Duration) -> Result<HashSet<String>> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for mut connection in Connection::open_all(slice::from_ref(server), connections).await? {
        tasks.spawn(async move {
            let mut ids = Vec::new();
            while Instant::now() < end {
                match timeout_at(end, connection.post("ENROUTE", ids.len())).await {
                    Ok(Ok(())) => ids.push(Message::new(connection.run, connection.number, ids.len()).id),
                    _ => break,
                }
            }
            ids
        });
    }
    Ok(tasks.join_all().await.into_iter().flatten().collect())
}

/// One receipt on a new connection.
pub async fn once(server: &Server) -> Result<()> {
    for mut connection in Connection::open_all(slice::from_ref(server), 1).await? {
        connection.send().await?;
    }
    Ok(())
}

fn usage(servers: &[Server]) -> Result<Vec<Usage>> {
    servers.iter().map(Server::usage).collect()
}

fn until_now(before: &[Usage]) -> Result<Used> {
    before.iter().map(Usage::until_now).sum()
}

async fn all(mut tasks: JoinSet<Result<Vec<Duration>>>) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        times.extend(finished??);
    }
    Ok(times)
}

struct Connection {
    stream: TcpStream,
    path: String,
    body: fn(String) -> String,
    acceptance: &'static str,
    accepted: Arc<AtomicU64>,
    run: u64,
    number: usize,
    sent: usize,
}

impl Connection {
    async fn open_all(servers: &[Server], connections: usize) -> Result<Vec<Self>> {
        let run = new_run();
        let mut opened = Vec::new();
        for (number, server) in (0..connections).zip(servers.iter().cycle()) {
            let stream = TcpStream::connect(server.address).await?;
            stream.set_nodelay(true)?;
            let (path, body, acceptance) = (server.path.clone(), server.body, server.acceptance);
            let accepted = server.accepted.clone();
            opened.push(Self { stream, path, body, acceptance, accepted, run, number, sent: 0 });
        }
        Ok(opened)
    }

    async fn send(&mut self) -> Result<()> {
        let (status, message) = nth_receipt(self.sent);
        self.sent += 1;
        self.post(status, message).await
    }

    async fn post(&mut self, status: &str, message: usize) -> Result<()> {
        let receipt = Message::new(self.run, self.number, message).receipt(status);
        let request = post(&self.path, &(self.body)(receipt));
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 512];
        let length = self.stream.read(&mut answer).await?;
        if !String::from_utf8_lossy(&answer[..length]).contains(self.acceptance) {
            return Err(format!("unexpected answer: {}", String::from_utf8_lossy(&answer[..length])).into());
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Status and message of a receipt of a connection: the first of a message, then its second, then the first of another message.
pub fn nth_receipt(n: usize) -> (&'static str, usize) {
    (if n.is_multiple_of(2) { "ENROUTE" } else { "DELIVERED" }, n / 2)
}

/// What identifies a message.
pub struct Message {
    pub id: String,
    pub recipient: String,
    pub reference: String,
}

impl Message {
    pub fn new(run: u64, connection: usize, number: usize) -> Self {
        Self {
            id: format!("{ID_PREFIX}{run:04x}-{connection:04x}-4d3b-8f17-{number:012x}"),
            recipient: format!("336{:08}", (connection * 100_000 + number) % 100_000_000),
            reference: format!("order-{connection}-{number}"),
        }
    }

    pub fn receipt(&self, status: &str) -> String {
        let Self { id, recipient, reference } = self;
        format!(
            r#"{{"messageId":"{id}","acceptedAt":"2026-04-01T16:00:08","sentDate":"2026-04-01T16:00:08","channel":{{"channelId":"9a6f0e56-5b0a-4d4c-b0c5-6f5d29f4b6f1","name":"main","type":"SMS","flow":"TRANSACTIONAL"}},"type":"SMS","direction":"MT","recipient":{{"to":"{recipient}"}},"from":"ACME","body":{{"text":"Your order is ready for pick-up.","encoding":"GSM7","messagePartCount":1,"length":32}},"price":{{"amount":"0.045","currency":"EUR"}},"status":{{"deliveryDate":"2026-04-01T16:00:11","value":"{status}","lookup":{{"mccMnc":"20801","country":"France","network":"Orange"}}}},"refClient":"{reference}","campaignId":null,"href":"https://rest.example.com/sms/v1/messages/5f0c6a52"}}"#,
        )
    }
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
