//! A stand-in for an OTLP/gRPC endpoint, for tests: tonic's server side, which stores requests and answers by a script.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http_body_util::Full;
use hyper::http::{HeaderMap, Response, Uri};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::collector::{Stream, endpoint, listen};
use crate::settings::{Endpoint, Protocol};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub metadata: HeaderMap,
    pub message: Bytes,
    /// The number of connections before this request's.
    pub connection: usize,
}

pub enum Say {
    /// This response message, with the status OK.
    Message(Vec<u8>),
    Status(Status),
    /// No gRPC, but this.
    Http(Response<Full<Bytes>>),
    /// Nothing more comes over the connection, as when a network drops all packets.
    Hang,
    /// Never answers this request; pings are answered.
    Ignore,
    /// Ends the stream without an answer.
    Close,
}

pub fn ok() -> Say {
    Say::Message(Vec::new())
}

pub struct GrpcCollector {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The limit of a request in bytes, as servers have it by default.
pub const LIMIT: usize = 4 << 20;

impl GrpcCollector {
    /// `script` gets the number of requests before this one, and this one.
    pub async fn start(script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    /// The same under TLS.
    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static,
    ) -> Self {
        Self::listen(tls, 0, script).await
    }

    /// One that drops the first connections.
    pub async fn start_broken(dropped: usize, script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::listen(None, dropped, script).await
    }

    async fn listen(
        tls: Option<TlsAcceptor>,
        dropped: usize,
        script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = AtomicUsize::new(0);
        let (script, stored): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        let address = listen(tls, move |stream| {
            let connection = connections.fetch_add(1, Ordering::Relaxed);
            let (script, stored) = (script.clone(), stored.clone());
            async move {
                if connection >= dropped {
                    serve(stream, connection, script, stored).await;
                }
            }
        })
        .await;
        Self { address, seen }
    }

    pub fn endpoint(&self) -> Endpoint {
        let url = Uri::try_from(format!("http://{}", self.address)).unwrap();
        Endpoint { protocol: Protocol::Grpc, url, ..endpoint(self.address) }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

type Script = dyn Fn(usize, &Seen) -> Say + Send + Sync;

async fn serve(stream: Box<dyn Stream>, connection: usize, script: Arc<Script>, stored: Arc<Mutex<Vec<Seen>>>) {
    let silence = Arc::new(Notify::new());
    let silenced = silence.clone();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (script, stored, silence) = (script.clone(), stored.clone(), silence.clone());
        async move {
            let (path, metadata) = (request.uri().path().to_owned(), request.headers().clone());
            // What does not end as a gRPC response leaves the handler by this way.
            let other = Arc::new(Mutex::new(None));
            let handler = Handler(|message| {
                let one = Seen { path: path.clone(), metadata: metadata.clone(), message, connection };
                let before = stored.lock().unwrap().len();
                stored.lock().unwrap().push(one.clone());
                match script(before, &one) {
                    Say::Message(message) => Ok(message.into()),
                    Say::Status(status) => Err(status),
                    say => {
                        *other.lock().unwrap() = Some(say);
                        Err(Status::aborted("never seen"))
                    }
                }
            });
            let response = tonic::server::Grpc::new(Raw)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(LIMIT)
                .unary(handler, request)
                .await;
            let other = other.lock().unwrap().take();
            match other {
                None => Ok(response),
                Some(Say::Http(response)) => Ok(response.map(tonic::body::Body::new)),
                Some(Say::Hang) => {
                    silence.notify_one();
                    std::future::pending().await
                }
                Some(Say::Ignore) => std::future::pending().await,
                Some(_) => Err(std::io::Error::other("closed")),
            }
        }
    });
    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        _closed = &mut serving => {}
        () = silenced.notified() => std::future::pending().await,
    }
}

struct Handler<F>(F);

impl<F: FnMut(Bytes) -> Result<Bytes, Status>> tower_service::Service<tonic::Request<Bytes>> for Handler<F> {
    type Response = tonic::Response<Bytes>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        ready((self.0)(request.into_inner()).map(tonic::Response::new))
    }
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
