//! An HTTP/1.1 client that hides nothing: it writes the bytes it is given and reads answers one by one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::{NUMBER, PATIENCE, TOKEN};

pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// What a client speaks through: TCP, or something over it.
pub trait Stream: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(Self::socket(address)?))
    }

    /// A connection that gives up when nothing moves for as long as patience goes.
    pub fn socket(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Says that no more will be sent; answers can still be read.
    pub fn finish_sending(&mut self) {
        self.stream.get_ref().socket().shutdown(Shutdown::Write).unwrap();
    }

    /// The same on a connection that the server may have closed.
    pub fn finish_sending_if_open(&mut self) {
        let _closed = self.stream.get_ref().socket().shutdown(Shutdown::Write);
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// The status of an answer with a body of known length; `None` when the server goes away meanwhile.
    pub fn try_ask(&mut self, request: impl AsRef<[u8]>) -> Option<u16> {
        self.try_send(request).ok()?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            match line.strip_suffix("\r\n")? {
                "" => break,
                line if status.is_none() => status = line.split(' ').nth(1).and_then(|status| status.parse().ok()),
                line => {
                    let (name, value) = line.split_once(':')?;
                    if name.eq_ignore_ascii_case("content-length") {
                        length = value.trim().parse().ok()?;
                    }
                }
            }
        }
        self.stream.read_exact(&mut vec![0; length]).ok()?;
        status
    }

    /// An answer, or why there is none: the server has hung up.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        match self.stream.fill_buf()? {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(self.answer()),
        }
    }

    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body).unwrap();
        answer
    }

    /// An answer that has no body, whatever its Content-Length says: the one to a HEAD request, or `100 Continue`.
    pub fn head(&mut self) -> Answer {
        let status_line = self.line();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Answer { status, headers, body: Vec::new() };
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads until the server closes the connection, and gives what came until then.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
        rest
    }

    /// Whether nothing comes for as long.
    pub fn hears_nothing_for(&mut self, time: Duration) -> bool {
        self.stream.get_ref().socket().set_read_timeout(Some(time)).unwrap();
        let heard = self.stream.fill_buf().map(|_| ());
        self.stream.get_ref().socket().set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("the answer ends early: {line:?}")).to_owned()
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The `result` or `error` that a webhook is answered with, once the answer has been checked to be what each is: one line of
    /// JSON with one member, not to be cached, and silent about the token and what came in.
    pub fn told(&self) -> String {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let text = self.text();
        for secret in [TOKEN, NUMBER] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
        let object: Value = serde_json::from_str(text).unwrap();
        let [(name, value)] = &object.as_object().unwrap().iter().collect::<Vec<_>>()[..] else {
            panic!("one member: {text}");
        };
        assert_eq!(*name, if self.status == 200 { "result" } else { "error" }, "{self:?}");
        value.as_str().unwrap().to_owned()
    }

    /// The answer without its date, for comparing two.
    pub fn dateless(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "date");
        self
    }
}

/// A request with a Content-Length; `headers` in full lines, such as `"content-type: text/plain"`.
pub fn request(method: &str, target: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: smscope\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

/// A POST of JSON.
pub fn post(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST", target, &["content-type: application/json"], body)
}

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
