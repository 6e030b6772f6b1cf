//! What both HTTP listeners have in common: binding, the limit of connections, TLS, and the loop that accepts connections and serves
//! them.
//!
//! Raw hyper, HTTP/1.1 alone, because every phase of a connection must have a time-out: the handshake of TLS and the head (which
//! also catches a silent or idle client), the body, and the client's reading of the response.

use std::convert::Infallible;
use std::io;
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
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;

use crate::diagnostics::LogThrottle;
use crate::tasks::{Task, join_logged};

mod bind;
mod connection_limit;
pub mod credentials;
mod threads;
pub mod tls;

pub use bind::bind;
pub use threads::Threads;

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

/// The client of a connection, since when it is connected, the slot of the connection, and where it is served.
struct Connection {
    peer: SocketAddr,
    since: Instant,
    slot: Arc<Slot>,
    /// `None`: on the runtime that accepts.
    runtime: Option<Handle>,
}

/// Accepts connections until `shutdown` resolves, then lets requests in flight finish within the drain time-out. When it returns, all
/// connections are closed and the service is dropped. With `tls`, nothing but TLS is accepted; with `threads`, they serve the
/// connections, in turns.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: S,
    limits: &Limits,
    threads: Option<Threads>,
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
    let mut turns = threads.iter().flat_map(Threads::handles).cycle();
    let mut accept = || accept(&listener, turns.next(), &slots, limits, &throttle);
    let mut next = Box::pin(accept());
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(secured) = handshakes.join_next() => {
                if let Some(Some((stream, connection))) = join_logged(S::CONNECTION, secured) {
                    serve_connection(stream, connection, &mut tasks, &connections, &service, limits);
                }
            }
            accepted = &mut next => {
                next.set(accept());
                match (accepted, &tls) {
                    (None, _) => {}
                    (Some((socket, connection)), None) => {
                        serve_connection(socket, connection, &mut tasks, &connections, &service, limits);
                    }
                    (Some((socket, connection)), Some(tls)) => {
                        let handshake = tls.begin(socket, limits.handshake_timeout.unwrap_or(limits.header_timeout));
                        let runtime = connection.runtime.clone();
                        let secured = async {
                            let stream = tokio::select! {
                                stream = handshake => stream?,
                                () = connection.slot.evicted() => return None,
                            };
                            Some((stream, connection))
                        };
                        spawn(&mut handshakes, secured, runtime.as_ref());
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
    runtime: Option<&Handle>,
    slots: &ConnectionSlots,
    limits: &Limits,
    throttle: &LogThrottle,
) -> Option<(Socket, Connection)> {
    let accepted = listener.accept().await;
    match accepted.and_then(|(stream, peer)| Ok((socket(stream, runtime, limits)?, peer))) {
        Ok((socket, peer)) => {
            let slot = Arc::new(slots.acquire().await);
            let connection = Connection { peer, since: Instant::now(), slot, runtime: runtime.cloned() };
            Some((socket, connection))
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

/// What reads and writes `stream`, driven by `runtime`.
fn socket(mut stream: TcpStream, runtime: Option<&Handle>, limits: &Limits) -> io::Result<Socket> {
    let _best_effort = stream.set_nodelay(true);
    let _entered = runtime.map(Handle::enter);
    if runtime.is_some() {
        stream = TcpStream::from_std(stream.into_std()?)?;
    }
    let mut socket = TimeoutStream::new(stream);
    socket.set_write_timeout(Some(limits.write_timeout));
    Ok(Box::pin(socket))
}

/// Serves one connection from its first request to its end, as one of `tasks`.
fn serve_connection<S, T>(
    stream: T,
    connection: Connection,
    tasks: &mut JoinSet<()>,
    connections: &GracefulShutdown,
    service: &Arc<S>,
    limits: &Limits,
) where
    S: Service,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Connection { peer, since, slot, runtime } = connection;
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
    let served = async move {
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
    };
    spawn(tasks, served, runtime.as_ref());
}

fn spawn<T: Send + 'static>(
    tasks: &mut JoinSet<T>,
    task: impl Future<Output = T> + Send + 'static,
    runtime: Option<&Handle>,
) {
    match runtime {
        Some(runtime) => tasks.spawn_on(task, runtime),
        None => tasks.spawn(task),
    };
}
