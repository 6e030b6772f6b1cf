//! An HTTP/1.1 client that hides nothing: it writes the bytes it is given and reads responses one by one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::server::header_lines;
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
pub struct Response {
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

    /// A connection that gives up when nothing moves for [`PATIENCE`].
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

    /// Sends a request and reads its response.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// The same, or why there is no response: the server refuses the connection or closes it.
    pub fn try_ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<Response> {
        self.try_send(request)?;
        self.try_response()
    }

    pub fn response(&mut self) -> Response {
        self.try_response().unwrap()
    }

    /// A response, or an error if the connection ends before the response does.
    pub fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.try_head()?;
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line()?;
                let mut chunk = vec![0; usize::from_str_radix(&size, 16).unwrap()];
                self.stream.read_exact(&mut chunk)?;
                self.line()?;
                if chunk.is_empty() {
                    return Ok(response);
                }
                response.body.append(&mut chunk);
            }
        }
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        response.body.resize(length, 0);
        self.stream.read_exact(&mut response.body)?;
        Ok(response)
    }

    /// A response that has no body, whatever its Content-Length says: the one to a HEAD request, or `100 Continue`.
    pub fn head(&mut self) -> Response {
        self.try_head().unwrap()
    }

    fn try_head(&mut self) -> io::Result<Response> {
        let status_line = self.line()?;
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let headers = header_lines(|| self.line())?;
        Ok(Response { status, headers, body: Vec::new() })
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

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("the response ends early: {line:?}")))
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Itself if its status is 200, otherwise its text as an error.
    pub fn ok(self) -> Result<Self, String> {
        if self.status == 200 { Ok(self) } else { Err(self.text().to_owned()) }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The `result` or `error` that a webhook is answered with, once the answer has been checked to be what each is: one line of
    /// JSON with one member, not to be cached, and silent about the token and what came in.
    pub fn result(&self) -> String {
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

/// Sends a GET to an `http://` URL, on a connection of its own.
///
/// # Errors
/// There is no whole response; the text says why.
pub fn get(url: &str) -> Result<Response, String> {
    ask_url(url, |target| request("GET", target, &[], ""))
}

/// Sends a POST of JSON to an `http://` URL, on a connection of its own.
///
/// # Errors
/// As for [`get`].
pub fn post_json(url: &str, body: &str) -> Result<Response, String> {
    ask_url(url, |target| post(target, body))
}

fn ask_url(url: &str, request: impl FnOnce(&str) -> Vec<u8>) -> Result<Response, String> {
    let (address, target) = split_url(url);
    let response = Client::try_connect(address).and_then(|mut client| client.try_ask(request(target)));
    response.map_err(|error| format!("{url}: {error}"))
}

/// Address and target of an `http://` URL of this machine.
pub fn split_url(url: &str) -> (SocketAddr, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("no http:// URL: {url}"));
    let (address, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (address.parse().unwrap(), if target.is_empty() { "/" } else { target })
}

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
