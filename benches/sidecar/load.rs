//! The load: receipts as smsmode sends them, each of a message of its own, every one of which must be accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::server::Server;

const WARM_UP: Duration = Duration::from_secs(1);

/// Makes message ids that no other load on the same store has made.
static RUN: AtomicU64 = AtomicU64::new(0);

struct Connection {
    stream: TcpStream,
    path: String,
    status: &'static str,
    run: u64,
    number: usize,
    sent: usize,
}

impl Connection {
    async fn open(server: &Server, status: &'static str, run: u64, number: usize) -> Result<Self> {
        let stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, path: server.path.clone(), status, run, number, sent: 0 })
    }

    async fn send(&mut self) -> Result<()> {
        self.sent += 1;
        let request = request(&self.path, self.status, self.run, self.number, self.sent);
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 512];
        let length = self.stream.read(&mut answer).await?;
        if !answer[..length].ends_with(br#"{"result":"accepted"}"#) {
            return Err(format!("unexpected answer: {}", String::from_utf8_lossy(&answer[..length])).into());
        }
        Ok(())
    }
}

/// As much as `connections` closed loops can send. Gives answers per second once warm, and the number of all answers.
pub async fn closed(server: &Server, connections: usize, time: Duration) -> Result<(f64, u64)> {
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for number in 0..connections {
        let mut connection = Connection::open(server, "DELIVERED", run, number).await?;
        let (count, stop) = (count.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                connection.send().await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Result::Ok(())
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let (started, before) = (Instant::now(), count.load(Ordering::Relaxed));
    tokio::time::sleep(time).await;
    let (took, after) = (started.elapsed(), count.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(((after - before) as f64 / took.as_secs_f64(), count.load(Ordering::Relaxed)))
}

/// `messages` messages that stay pending.
pub async fn fill(server: &Server, connections: usize, messages: usize) -> Result<()> {
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let mut tasks = Vec::new();
    for number in 0..connections {
        let mut connection = Connection::open(server, "ENROUTE", run, number).await?;
        let share = messages / connections + usize::from(number < messages % connections);
        tasks.push(tokio::spawn(async move {
            for _ in 0..share {
                connection.send().await?;
            }
            Result::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// `rate` requests a second, evenly spaced. Gives the answer times in order, from the moment at which each was due: what waits
/// behind a slow answer counts too.
pub async fn open(server: &Server, connections: usize, rate: f64, time: Duration) -> Result<Vec<Duration>> {
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let spacing = Duration::from_secs_f64(connections as f64 / rate);
    let mut opened = Vec::new();
    for number in 0..connections {
        opened.push(Connection::open(server, "DELIVERED", run, number).await?);
    }
    let begin = tokio::time::Instant::now() + Duration::from_millis(100);
    let mut tasks = Vec::new();
    for mut connection in opened {
        let mut due = begin + spacing.mul_f64(connection.number as f64 / connections as f64);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while due < begin + time {
                tokio::time::sleep_until(due).await;
                connection.send().await?;
                times.push(due.elapsed());
                due += spacing;
            }
            Result::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort_unstable();
    Ok(times)
}

fn request(path: &str, status: &str, run: u64, connection: usize, number: usize) -> String {
    let body = format!(
        r#"{{"messageId":"5f0c{run:04x}-{connection:04x}-4d3b-8f17-{number:012x}","acceptedAt":"2026-04-01T16:00:08","sentDate":"2026-04-01T16:00:08","channel":{{"channelId":"9a6f0e56-5b0a-4d4c-b0c5-6f5d29f4b6f1","name":"main","type":"SMS","flow":"TRANSACTIONAL"}},"type":"SMS","direction":"MT","recipient":{{"to":"336{:08}"}},"from":"ACME","body":{{"text":"Your order is ready for pick-up.","encoding":"GSM7","messagePartCount":1,"length":32}},"price":{{"amount":"0.045","currency":"EUR"}},"status":{{"deliveryDate":"2026-04-01T16:00:11","value":"{status}","lookup":{{"mccMnc":"20801","country":"France","network":"Orange"}}}},"refClient":"order-{number}","campaignId":null,"href":"https://rest.example.com/sms/v1/messages/5f0c6a52"}}"#,
        (connection * 100_000 + number) % 100_000_000,
    );
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
