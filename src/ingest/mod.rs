//! The front door: a listener open to the internet, what it bears, and what it answers.
//!
//! Raw hyper, HTTP/1.1 alone, because every phase of a connection must have a time-out: the head (which also catches a silent or
//! idle client), the body, and the client's reading of the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use crate::config::Http;
use crate::places::{Place, Places};

mod answer;
mod body;
mod gate;
mod handler;

pub use gate::{Entrance, Gate};
pub use handler::Handler;

/// Bytes of a request head, and of the buffer that holds pipelined requests.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// Accepts connections until `shutdown` resolves, then lets requests in flight finish within the configured time. When this returns
/// no connection is left, and with that no handle on the store.
pub async fn run(listener: TcpListener, handler: Handler, limits: Http, shutdown: impl Future<Output = ()>) {
    let handler = Arc::new(handler);
    let places = Places::new(limits.max_connections);
    let connections = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // A place first: while all are busy, callers wait in the kernel's queue.
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let place = Arc::new(place);
        let connection = connections.watch(serve(stream, peer, handler.clone(), place.clone(), limits));
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            tokio::select! {
                // Time-outs, resets and what is not HTTP: every day's business on an open port.
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                },
                () = place.is_wanted() => tracing::debug!(%peer, "connection closed, its place was wanted"),
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown_timeout, connections.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off: they did not finish within {:?}", limits.shutdown_timeout);
    }
    tasks.shutdown().await;
}

async fn accept(listener: &TcpListener, places: &Places) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = places.take().await;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            // Out of file descriptors, most likely: they come back when connections end.
            static FAILURES: crate::diagnostics::Throttle = crate::diagnostics::Throttle::new(Duration::from_secs(10));
            if let Some(suppressed) = FAILURES.permit() {
                tracing::error!(%error, suppressed, "cannot accept a connection");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    handler: Arc<Handler>,
    place: Arc<Place>,
    limits: Http,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    let _best_effort = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    let service = service_fn(move |request| {
        let (handler, place) = (handler.clone(), place.clone());
        place.is_busy();
        async move {
            let answer = handler.answer(request, peer).await;
            place.waits();
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // Answers are flushed one by one: gathering them would let whoever writes and never reads fill the memory.
        .pipeline_flush(false)
        // Who has sent all and closed that half is answered; who has hung up is still counted.
        .half_close(true)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
}
