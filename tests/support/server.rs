//! The HTTP/1.1 server of everything that stands in for another: it reads requests, and a handler writes the responses.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use flate2::read::GzDecoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body, decompressed.
    pub fn plain_body(&self) -> Vec<u8> {
        if self.header("content-encoding") != Some("gzip") {
            return self.body.clone();
        }
        let mut plain = Vec::new();
        GzDecoder::new(&self.body[..]).read_to_end(&mut plain).unwrap();
        plain
    }
}

/// Serves for as long as the test's process lives, each connection in a thread. An error of the handler closes its connection.
pub fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    handler: impl Fn(Request, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
) {
    let handler = Arc::new(handler);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (handler, tls) = (handler.clone(), tls.clone());
            std::thread::spawn(move || match tls {
                None => serve_connection(stream, &*handler),
                Some(tls) => serve_connection(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &*handler),
            });
        }
    });
}

/// On a port of its own; gives its address.
pub fn start(
    handler: impl Fn(Request, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    serve(listener, None, handler);
    address
}

/// A response with a Content-Length; `headers` in full lines, such as `"retry-after: 1"`.
pub fn respond(stream: &mut dyn Write, status: u16, headers: &[&str], body: &str) -> io::Result<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    stream.write_all(format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").as_bytes())
}

/// What a handler gives to close the connection.
pub fn hang_up() -> io::Result<()> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

fn serve_connection(
    stream: impl Read + Write,
    handler: &(impl Fn(Request, &mut dyn Write) -> io::Result<()> + ?Sized),
) {
    let mut stream = BufReader::new(stream);
    while let Ok(request) = read(&mut stream)
        && handler(request, stream.get_mut()).is_ok()
    {}
}

fn read(stream: &mut impl BufRead) -> io::Result<Request> {
    let mut line = || {
        let mut line = String::new();
        match stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = header_lines(line)?;
    let mut request = Request { at: Instant::now(), method, target, headers, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body)?;
    Ok(request)
}

/// Reads headers up to the empty line; names in lower case.
pub fn header_lines(mut line: impl FnMut() -> io::Result<String>) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}
