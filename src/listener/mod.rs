//! What both HTTP listeners have in common: binding, the limit of connections, TLS, and the loop that accepts connections and serves
//! them.
//!
//! Raw hyper, HTTP/1.1 alone, because every phase of a connection must have a time-out: the handshake of TLS and the head (which
//! also catches a silent or idle client), the body, and the client's reading of the response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;

use crate::diagnostics::LogThrottle;
use crate::tasks::{Task, join_logged};

mod bind;
mod connection_limit;
pub mod credentials;
pub mod tls;

pub use bind::bind;

use connection_limit::{ConnectionSlots, Slot};
use tls::Handshakes;

/// What a listener serves.
pub trait Service: Send + Sync + 'static {
    /// What a panic in a connection is counted as.
    const CONNECTION: Task;

    fn respond(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    /// Called for what came instead of a request: hyper has responded to it.
    fn malformed(&self) {}
}

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    pub max_connections: usize,
    /// For the head of a request, idle time before it included.
    pub header_timeout: Duration,
    /// For the handshake of TLS. `None`: the handshake is part of `header_timeout`.
    pub handshake_timeout: Option<Duration>,
    /// How long a client may leave a response unread.
    pub write_timeout: Duration,
    /// How long requests in flight may take to finish after shutdown. Zero: they are cut off.
    pub drain_timeout: Duration,
    /// The limits of HTTP/1.1 itself; time-outs of its own are overwritten.
    pub http: http1::Builder,
}

/// How often a listener logs that it cannot accept connections.
const ACCEPT_ERROR_INTERVAL: Duration = Duration::from_secs(10);

/// A response that no cache stores.
pub fn response(
    status: StatusCode,
    content_type: Option<&'static str>,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A response of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, Some("text/plain; charset=utf-8"), body)
}

/// For a path that only reads.
pub fn expected_get() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// A connection on which nothing can be written for longer than the write time-out fails.
type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// The client of a connection, since when it is connected, and the slot of the connection.
struct Connection {
    peer: SocketAddr,
    since: Instant,
    slot: Arc<Slot>,
}

/// Accepts connections until `shutdown` resolves, then lets requests in flight finish within the drain time-out. When it returns, all
/// connections are closed and the service is dropped. With `tls`, nothing but TLS is accepted.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: S,
    limits: &Limits,
    tls: Option<Handshakes>,
    shutdown: impl Future<Output = ()>,
) {
    let service = Arc::new(service);
    let slots = ConnectionSlots::new(limits.max_connections);
    let connections = GracefulShutdown::new();
    // Ends with everything that is left when this returns.
    let mut tasks = JoinSet::new();
    // Nothing is in flight yet on a connection that is here, so shutdown does not wait for it.
    let mut handshakes = JoinSet::new();
    tokio::pin!(shutdown);
    // Survives the rounds of the loop: a connection that has been accepted may be waiting for its slot.
    let throttle = LogThrottle::new(ACCEPT_ERROR_INTERVAL);
    let accept = || accept(&listener, &slots, limits, &throttle);
    let mut next = Box::pin(accept());
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(secured) = handshakes.join_next() => {
                if let Some(Some((stream, connection))) = join_logged(S::CONNECTION, secured) {
                    tasks.spawn(serve_connection(stream, connection, &connections, &service, limits));
                }
            }
            accepted = &mut next => {
                next.set(accept());
                match (accepted, &tls) {
                    (None, _) => {}
                    (Some((socket, connection)), None) => {
                        tasks.spawn(serve_connection(socket, connection, &connections, &service, limits));
                    }
                    (Some((socket, connection)), Some(tls)) => {
                        let handshake = tls.begin(socket, limits.handshake_timeout.unwrap_or(limits.header_timeout));
                        handshakes.spawn(async {
                            let stream = tokio::select! {
                                stream = handshake => stream?,
                                () = connection.slot.evicted() => return None,
                            };
                            Some((stream, connection))
                        });
                    }
                }
            }
        }
        while let Some(joined) = tasks.try_join_next() {
            join_logged(S::CONNECTION, joined);
        }
    }
    drop(next);
    drop((listener, handshakes));
    if !limits.drain_timeout.is_zero()
        && tokio::time::timeout(limits.drain_timeout, connections.shutdown()).await.is_err()
    {
        tracing::warn!("connections were cut off: they did not finish within {:?}", limits.drain_timeout);
    }
    tasks.shutdown().await;
}

/// The next connection, once it has a slot: none is closed before another has come. While all are busy it waits, and those behind it
/// wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    slots: &ConnectionSlots,
    limits: &Limits,
    throttle: &LogThrottle,
) -> Option<(Socket, Connection)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let _best_effort = stream.set_nodelay(true);
            let mut socket = TimeoutStream::new(stream);
            socket.set_write_timeout(Some(limits.write_timeout));
            let slot = Arc::new(slots.acquire().await);
            Some((Box::pin(socket), Connection { peer, since: Instant::now(), slot }))
        }
        Err(error) => {
            // Out of file descriptors, most likely: they are free again when connections end.
            if let Some(suppressed) = throttle.permit() {
                tracing::error!(%error, suppressed, "cannot accept a connection");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// One connection from its first request to its end.
fn serve_connection<S, T>(
    stream: T,
    connection: Connection,
    connections: &GracefulShutdown,
    service: &Arc<S>,
    limits: &Limits,
) -> impl Future<Output = ()> + Send + use<S, T>
where
    S: Service,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Connection { peer, since, slot } = connection;
    let (service, requests) = (service.clone(), service.clone());
    let slot_of_requests = slot.clone();
    let respond = service_fn(move |request| {
        #[cfg(test)]
        crate::tasks::fault::point(S::CONNECTION);
        let service = requests.clone();
        slot_of_requests.busy_with(async move { Ok::<_, Infallible>(service.respond(request, peer).await) })
    });
    // A handshake without a time-out of its own has used a part of the head's.
    let handshake = if limits.handshake_timeout.is_none() { since.elapsed() } else { Duration::ZERO };
    let connection = limits
        .http
        .clone()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout.saturating_sub(handshake))
        .serve_connection(TokioIo::new(stream), respond);
    let connection = connections.watch(connection);
    async move {
        tokio::select! {
            // Time-outs, resets and what is not HTTP: nothing unusual on an open port.
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%peer, %error, task = S::CONNECTION.into_str(), "connection ended");
                if error.is_parse() {
                    service.malformed();
                }
            },
            () = slot.evicted() => {
                tracing::debug!(%peer, task = S::CONNECTION.into_str(), "connection closed, its slot was needed");
            }
        }
    }
}
