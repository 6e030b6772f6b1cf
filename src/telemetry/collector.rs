//! A stand-in for an OTLP endpoint, for tests: it stores requests and answers by a script.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::http::{HeaderMap, Method, Response, Uri};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::settings::{Endpoint, Protocol};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub enum Say {
    Answer(Response<Full<Bytes>>),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Close,
}

/// An answer with this status, content type and body.
pub fn say(status: u16, content_type: &str, body: impl Into<Bytes>) -> Say {
    let response = Response::builder().status(status).header("content-type", content_type);
    Say::Answer(response.body(Full::new(body.into())).unwrap())
}

pub fn ok() -> Say {
    say(200, "application/x-protobuf", "")
}

pub struct Collector {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A connection, plain or under TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Listens on a free port. Each connection is passed to `serve`, after its TLS handshake if `tls` is given.
pub async fn listen<F>(
    tls: Option<TlsAcceptor>,
    serve: impl Fn(Box<dyn Stream>) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, serve) = (tls.clone(), serve.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(Box::new(stream)).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(Box::new(stream)).await;
                        }
                    }
                }
            });
        }
    });
    address
}

impl Collector {
    /// `script` gets the number of requests before this one, and this one.
    pub async fn start(script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    /// The same under TLS.
    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, stored) = (Arc::new(script), seen.clone());
        let address = listen(tls, move |stream| {
            let (script, stored) = (script.clone(), stored.clone());
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (script, stored) = (script.clone(), stored.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let path = head.uri.path().to_owned();
                    let one = Seen { method: head.method, path, headers: head.headers, body };
                    let before = stored.lock().unwrap().len();
                    stored.lock().unwrap().push(one.clone());
                    match script(before, &one) {
                        Say::Answer(response) => Ok::<_, std::io::Error>(response),
                        Say::Hang => std::future::pending().await,
                        Say::Close => Err(std::io::Error::other("closed")),
                    }
                }
            });
            async move {
                let http = hyper::server::conn::http1::Builder::new();
                let _closed = http.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self { address, seen }
    }

    pub fn endpoint(&self) -> Endpoint {
        endpoint(self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        protocol: Protocol::HttpProtobuf,
        url: Uri::try_from(format!("http://{address}/v1/signal")).unwrap(),
        headers: Vec::new(),
        timeout: Duration::from_secs(5),
        gzip: false,
        strict_answers: false,
        proxy: None,
        tls: None,
    }
}

/// An address on which nothing listens.
pub async fn nobody() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    endpoint(listener.local_addr().unwrap())
}

/// A server that reads once and answers with `bytes`.
pub async fn raw(bytes: &'static [u8]) -> Endpoint {
    let address = listen(None, move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(bytes).await;
    });
    endpoint(address.await)
}

/// Waits until `done` holds; panics after five seconds.
pub async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still not: {what}");
}

/// The value of a series in Prometheus text.
pub fn value_of(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}
