//! Something that stands where a collector would: it takes every request, answers as it is told, and keeps the bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;

/// Ends with the test: its thread holds nothing that anyone waits for.
pub struct Collector {
    pub address: SocketAddr,
    status: Arc<AtomicU16>,
    said: Said,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// The content type and the body of answers.
type Said = Arc<Mutex<(String, String)>>;

impl Collector {
    /// Answers each request with `status`, on a port of its own.
    pub fn answering(status: u16) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), status)
    }

    pub fn on(listener: TcpListener, status: u16) -> Self {
        let address = listener.local_addr().unwrap();
        let (status, taken) = (Arc::new(AtomicU16::new(status)), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let said = Said::new(Mutex::new(("application/x-protobuf".to_owned(), String::new())));
        let this = Self { address, status: status.clone(), said: said.clone(), taken: taken.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (status, said, taken) = (status.clone(), said.clone(), taken.clone());
                std::thread::spawn(move || serve(stream, &status, &said, &taken));
            }
        });
        this
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// What its answers say from now on.
    pub fn say(&self, content_type: &str, body: &str) {
        *self.said.lock().unwrap() = (content_type.to_owned(), body.to_owned());
    }

    /// Heads and bodies of all requests so far, the bodies decompressed.
    pub fn taken(&self) -> Vec<Vec<u8>> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, status: &AtomicU16, said: &Said, taken: &Mutex<Vec<Vec<u8>>>) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::new(stream);
    loop {
        let (mut head, mut length, mut gzip) = (String::new(), 0, false);
        loop {
            let start = head.len();
            if requests.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
            let line = head[start..].trim().to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(("content-encoding", value)) => gzip = value.trim() == "gzip",
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if requests.read_exact(&mut body).is_err() {
            return;
        }
        if gzip {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let status = status.load(Ordering::SeqCst);
        taken.lock().unwrap().push([head.as_bytes(), &body].concat());
        let (content_type, body) = said.lock().unwrap().clone();
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} Told\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}");
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
