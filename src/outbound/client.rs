//! The HTTP client of everything that calls a server: one pool of connections per destination, with the destination's TLS, proxy,
//! time-out and headers. Redirects are not followed.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_LENGTH, PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT};
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::connector::{ByteConnector, Connector, connector, proxy_authorization, tcp};
use crate::settings::{Protocol, Proxy, Tls};

/// The User-Agent unless the operator's headers have one.
pub const OUR_USER_AGENT: &str = concat!("smscope/", env!("CARGO_PKG_VERSION"));

/// Servers close idle connections after a minute or more; ours close first.
const IDLE: Duration = Duration::from_secs(30);

/// One server, and how it is reached.
pub struct Destination<'a> {
    pub url: &'a Uri,
    pub protocol: Protocol,
    /// Required if the URL's scheme is https.
    pub tls: Option<&'a Tls>,
    pub proxy: Option<&'a Proxy>,
    /// From a request to the end of its response.
    pub timeout: Duration,
    /// The operator's headers, for each request.
    pub headers: &'a [(HeaderName, HeaderValue)],
}

/// Why a request has no response.
pub type RequestError = legacy::Error;

/// Connections to one destination: opened when they are needed, kept alive, and replaced when they break.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    headers: HeaderMap,
    timeout: Duration,
}

impl Client {
    /// Must be used within a tokio runtime.
    pub fn new(destination: &Destination<'_>) -> Self {
        Self::resolving_by(GaiResolver::new(), destination)
    }

    /// The same, with names resolved by `resolver`.
    pub fn resolving_by<R>(resolver: R, destination: &Destination<'_>) -> Self
    where
        HttpConnector<R>: ByteConnector,
    {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        if destination.protocol == Protocol::Grpc {
            // All requests share one connection, and TCP needs a quarter of an hour to give up a silent one. Pings find it dead before the
            // request's time-out, so that the next request opens another. Two pings per request at most: a gRPC server closes the
            // connection of a client that sends more without receiving anything.
            builder
                .http2_only(true)
                .timer(TokioTimer::new())
                .http2_keep_alive_interval(destination.timeout / 2)
                .http2_keep_alive_timeout(destination.timeout / 3);
        }
        let mut headers: HeaderMap = destination.headers.iter().cloned().collect();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OUR_USER_AGENT));
        for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(framing);
        }
        if let Some(authorization) = proxy_authorization(destination.url, destination.protocol, destination.proxy) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        Self { pool: builder.build(connector(tcp(resolver), destination)), headers, timeout: destination.timeout }
    }

    /// Sends a request. Its headers win over the destination's.
    ///
    /// # Errors
    /// There is no connection, or it broke before the head of the response arrived.
    pub async fn request(&self, request: Request<Bytes>) -> Result<Response<Incoming>, RequestError> {
        let mut request = request.map(Full::new);
        let own = std::mem::replace(request.headers_mut(), self.headers.clone());
        for (name, value) in &own {
            request.headers_mut().insert(name, value.clone());
        }
        let mut pending = Pending(Some(capture_connection(&mut request)));
        let response = self.pool.request(request).await;
        pending.0 = None;
        response
    }

    /// The result of `exchange` within the destination's time-out.
    ///
    /// # Errors
    /// As [`within`].
    pub async fn within<T>(&self, exchange: impl Future<Output = T>) -> Result<T, String> {
        within(self.timeout, exchange).await
    }
}

/// A request before the head of its response. If it is given up, the next request gets another connection: a peer may answer the pings
/// of HTTP/2 and nothing else.
struct Pending(Option<CaptureConnection>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(connection) = &self.0
            && let Some(connected) = &*connection.connection_metadata()
        {
            connected.poison();
        }
    }
}

/// The result of `exchange` within `limit`.
///
/// # Errors
/// One line: no response in time.
pub async fn within<T>(limit: Duration, exchange: impl Future<Output = T>) -> Result<T, String> {
    timeout(limit, exchange).await.map_err(|_| format!("no answer within {limit:?}"))
}
