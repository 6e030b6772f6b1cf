//! The webhook listener: open to the internet. What it accepts, and how it responds.

use hyper::server::conn::http1;
use tokio::net::TcpListener;

use crate::listener::tls::Handshakes;
use crate::listener::{self, Limits, Threads};
use crate::settings::Http;

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

pub use auth::{Authenticator, SourceAuth};
pub use handler::Handler;

/// Bytes of a request head, and of the buffer that holds pipelined requests.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// Serves webhooks as [`listener::serve`] does.
pub async fn run(
    listener: TcpListener,
    handler: Handler,
    limits: Http,
    threads: Option<Threads>,
    tls: Option<Handshakes>,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // Responses are flushed one by one: gathering them would let a client that writes and never reads fill the memory.
        .pipeline_flush(false)
        // A client that has sent all and closed that half gets its response; one that has hung up is still counted.
        .half_close(true);
    let limits = Limits {
        max_connections: limits.max_connections,
        header_timeout: limits.header_timeout,
        handshake_timeout: None,
        write_timeout: limits.write_timeout,
        drain_timeout: limits.shutdown_timeout,
        http,
    };
    listener::serve(listener, handler, &limits, threads, tls, shutdown).await;
}
