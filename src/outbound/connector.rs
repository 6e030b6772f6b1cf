//! Connections to where an URL leads: plain or TLS, directly or by way of a proxy, as the configuration has it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::http::uri::Scheme;
use hyper::http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::Destination;
use crate::settings::{Protocol, Proxy, Tls};

pub type Connector<R> = HttpsConnector<Transport<R>>;

/// Connects to one destination, names being looked up by `resolver`. That of a proxy is not: it looks up the target's name itself.
pub fn connector<R>(resolver: R, destination: &Destination<'_>) -> Connector<R> {
    let &Destination { protocol, tls, proxy, .. } = destination;
    let transport = match proxy {
        None => Transport::Direct(tcp(resolver)),
        Some(proxy) if tunnels(tls.is_some(), protocol) => {
            let tunnel = Tunnel::new(proxy.url.clone(), tcp(GaiResolver::new()));
            Transport::Tunnel(match &proxy.authorization {
                Some(authorization) => tunnel.with_auth(authorization.clone()),
                None => tunnel,
            })
        }
        Some(proxy) => Transport::Forward(tcp(GaiResolver::new()), proxy.url.clone()),
    };
    let mut tls = tls.map_or_else(trusts_nobody, |tls| (*tls.client).clone());
    tls.alpn_protocols = match protocol {
        Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
    HttpsConnector::from((transport, tls))
}

/// The `Proxy-Authorization` that each request has to carry, since the proxy reads the requests themselves.
pub fn proxy_authorization(url: &Uri, protocol: Protocol, proxy: Option<&Proxy>) -> Option<HeaderValue> {
    let proxy = proxy.filter(|_| !tunnels(url.scheme() == Some(&Scheme::HTTPS), protocol))?;
    proxy.authorization.clone()
}

/// Whether a proxy is asked for a tunnel, rather than for the request: what it cannot read, by TLS or HTTP/2, needs one. For plain
/// HTTP/1 many give none.
fn tunnels(is_secure: bool, protocol: Protocol) -> bool {
    is_secure || protocol == Protocol::Grpc
}

fn tcp<R>(resolver: R) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.set_nodelay(true);
    // It would take nothing but http:// otherwise.
    tcp.enforce_http(false);
    tcp
}

/// For an http:// endpoint, where the connector never comes to use it.
fn trusts_nobody() -> ClientConfig {
    Tls::builder().with_root_certificates(Arc::new(RootCertStore::empty())).with_no_client_auth()
}

/// How bytes get to the target.
#[derive(Clone, Debug)]
pub enum Transport<R = GaiResolver> {
    Direct(HttpConnector<R>),
    /// To a proxy, which reads the requests and passes them on.
    Forward(HttpConnector, Uri),
    /// To a proxy, which passes bytes on, after a CONNECT.
    Tunnel(Tunnel<HttpConnector>),
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<R> Service<Uri> for Transport<R>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>>,
    <HttpConnector<R> as Service<Uri>>::Error: Into<BoxError>,
    <HttpConnector<R> as Service<Uri>>::Future: Send + 'static,
{
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Forward(tcp, _) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        fn connected<E: Into<BoxError>>(
            connecting: impl Future<Output = Result<TokioIo<TcpStream>, E>> + Send + 'static,
            is_proxied: bool,
        ) -> Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>> {
            Box::pin(async move { Ok(Stream { tcp: connecting.await.map_err(Into::into)?, is_proxied }) })
        }
        match self {
            Self::Direct(tcp) => connected(tcp.call(target), false),
            Self::Forward(tcp, proxy) => connected(tcp.call(proxy.clone()), true),
            Self::Tunnel(tunnel) => connected(tunnel.call(target), false),
        }
    }
}

/// A connection that says whether requests on it are read by a proxy.
#[derive(Debug)]
pub struct Stream {
    tcp: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Stream {
    fn tcp(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().tcp)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tcp().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tcp().poll_write_vectored(cx, slices)
    }
}
