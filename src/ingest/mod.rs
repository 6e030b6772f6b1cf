//! The front door: a listener open to the internet, what it bears, and what it answers.
//!
//! Raw hyper, HTTP/1.1 alone, because every phase of a connection must have a time-out: the handshake of TLS and the head (which
//! also catches a silent or idle client), the body, and the client's reading of the answer.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;

use crate::config::Http;
use crate::places::{Place, Places};
use crate::tasks::{Task, join_logged};

mod auth;
mod auth_throttle;
mod body;
mod coding;
mod forwarded;
mod handler;
mod health;
#[cfg(test)]
mod provider_tests;
mod response;
pub mod tls;

pub use auth::{Authenticator, SourceAuth};
pub use handler::Handler;

use tls::Handshakes;

/// Bytes of a request head, and of the buffer that holds pipelined requests.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// A connection on which nothing can be written for longer than the write time-out fails.
type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// Who is at the other end, since when, and the place that it holds.
struct Caller {
    peer: SocketAddr,
    since: Instant,
    place: Arc<Place>,
}

/// Accepts connections until `shutdown` resolves, then lets requests in flight finish within the configured time. When this returns
/// no connection is left, and with that no handle on the store. With `tls`, that is all that is spoken.
pub async fn run(
    listener: TcpListener,
    handler: Handler,
    limits: Http,
    tls: Option<Handshakes>,
    shutdown: impl Future<Output = ()>,
) {
    let handler = Arc::new(handler);
    let places = Places::new(limits.max_connections);
    let connections = GracefulShutdown::new();
    // Ends with everything that is left when this returns.
    let mut tasks = JoinSet::new();
    // Nothing is in flight yet on a connection that is here, so the end does not wait for it.
    let mut handshakes = JoinSet::new();
    tokio::pin!(shutdown);
    // Kept from one round to the next: whoever has been accepted may be waiting for a place.
    let mut next = Box::pin(accept(&listener, &places, limits));
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(secured) = handshakes.join_next() => {
                if let Some(Some((stream, caller))) = join_logged(Task::Connection, secured) {
                    tasks.spawn(converse(stream, caller, &connections, &handler, limits));
                }
            }
            accepted = &mut next => {
                next.set(accept(&listener, &places, limits));
                match (accepted, &tls) {
                    (None, _) => {}
                    (Some((socket, caller)), None) => {
                        tasks.spawn(converse(socket, caller, &connections, &handler, limits));
                    }
                    (Some((socket, caller)), Some(tls)) => {
                        let handshake = tls.begin(socket, limits.header_timeout);
                        handshakes.spawn(async {
                            let stream = tokio::select! {
                                stream = handshake => stream?,
                                () = caller.place.is_wanted() => return None,
                            };
                            Some((stream, caller))
                        });
                    }
                }
            }
        }
        while let Some(joined) = tasks.try_join_next() {
            join_logged(Task::Connection, joined);
        }
    }
    drop(next);
    drop((listener, handshakes));
    if tokio::time::timeout(limits.shutdown_timeout, connections.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off: they did not finish within {:?}", limits.shutdown_timeout);
    }
    tasks.shutdown().await;
}

/// The next connection, once it has a place: nobody is made to leave before somebody has come. While all are busy it waits, and those
/// behind it wait in the kernel's queue.
async fn accept(listener: &TcpListener, places: &Places, limits: Http) -> Option<(Socket, Caller)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let _best_effort = stream.set_nodelay(true);
            let mut socket = TimeoutStream::new(stream);
            socket.set_write_timeout(Some(limits.write_timeout));
            let place = places.take().await;
            Some((Box::pin(socket), Caller { peer, since: Instant::now(), place: Arc::new(place) }))
        }
        Err(error) => {
            // Out of file descriptors, most likely: they come back when connections end.
            static FAILURES: crate::diagnostics::LogThrottle =
                crate::diagnostics::LogThrottle::new(Duration::from_secs(10));
            if let Some(suppressed) = FAILURES.permit() {
                tracing::error!(%error, suppressed, "cannot accept a connection");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// One connection from its first request to its end.
fn converse<S>(
    stream: S,
    caller: Caller,
    connections: &GracefulShutdown,
    handler: &Arc<Handler>,
    limits: Http,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Caller { peer, since, place } = caller;
    let (handler, requests) = (handler.clone(), handler.clone());
    let place_of_requests = place.clone();
    let service = service_fn(move |request| {
        #[cfg(test)]
        crate::tasks::fault::point(Task::Connection);
        let handler = requests.clone();
        place_of_requests
            .busy_with(async move { Ok::<_, std::convert::Infallible>(handler.respond(request, peer).await) })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // What the handshake took is part of it.
        .header_read_timeout(limits.header_timeout.saturating_sub(since.elapsed()))
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // Answers are flushed one by one: gathering them would let whoever writes and never reads fill the memory.
        .pipeline_flush(false)
        // Who has sent all and closed that half is answered; who has hung up is still counted.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    async move {
        tokio::select! {
            // Time-outs, resets and what is not HTTP: every day's business on an open port.
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
                if error.is_parse() {
                    handler.count_malformed();
                }
            },
            () = place.is_wanted() => tracing::debug!(%peer, "connection closed, its place was wanted"),
        }
    }
}
