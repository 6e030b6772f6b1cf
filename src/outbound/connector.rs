//! Connections to the host of a URL: plain or TLS, directly or through a proxy, by the configuration.

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

pub type Connector = HttpsConnector<Transport>;

/// Connects to one destination: by `direct`, unless through a proxy, which resolves the name itself.
pub fn connector(direct: impl ByteConnector, destination: &Destination<'_>) -> Connector {
    let &Destination { protocol, tls, proxy, .. } = destination;
    let transport = match proxy {
        None => Transport::new(direct, None),
        Some(proxy) if tunnels(tls.is_some(), protocol) => {
            let tunnel = Tunnel::new(proxy.url.clone(), tcp(GaiResolver::new()));
            let tunnel = match &proxy.authorization {
                Some(authorization) => tunnel.with_auth(authorization.clone()),
                None => tunnel,
            };
            Transport::new(tunnel, None)
        }
        Some(proxy) => Transport::new(tcp(GaiResolver::new()), Some(proxy.url.clone())),
    };
    let mut tls = tls.map_or_else(without_authorities, |tls| (*tls.client).clone());
    tls.alpn_protocols = match protocol {
        Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
    HttpsConnector::from((transport, tls))
}

/// The `Proxy-Authorization` of each request, if the proxy reads the requests themselves.
pub fn proxy_authorization(url: &Uri, protocol: Protocol, proxy: Option<&Proxy>) -> Option<HeaderValue> {
    let proxy = proxy.filter(|_| !tunnels(url.scheme() == Some(&Scheme::HTTPS), protocol))?;
    proxy.authorization.clone()
}

/// Whether the request needs a tunnel: a proxy cannot read TLS or HTTP/2. For plain HTTP/1 many proxies open none.
fn tunnels(is_secure: bool, protocol: Protocol) -> bool {
    is_secure || protocol == Protocol::Grpc
}

pub fn tcp<R>(resolver: R) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.set_nodelay(true);
    // Otherwise it accepts http:// URLs only.
    tcp.enforce_http(false);
    tcp
}

/// For an http:// endpoint, which never uses it.
fn without_authorities() -> ClientConfig {
    Tls::builder().with_root_certificates(Arc::new(RootCertStore::empty())).with_no_client_auth()
}

type BoxError = Box<dyn Error + Send + Sync>;

/// What opens TCP connections to a URL.
pub trait ByteConnector:
    Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<C> ByteConnector for C where
    C: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

type Connecting = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

/// Opens connections to the target of a request, or to the proxy that forwards the request.
#[derive(Clone)]
pub struct Transport(Arc<dyn Fn(Uri) -> Connecting + Send + Sync>);

impl Transport {
    fn new(connector: impl ByteConnector, proxy: Option<Uri>) -> Self {
        Self(Arc::new(move |target| {
            let is_proxied = proxy.is_some();
            let connecting = connector.clone().call(proxy.clone().unwrap_or(target));
            Box::pin(async move { Ok(Stream { tcp: connecting.await.map_err(Into::into)?, is_proxied }) })
        }))
    }
}

impl Service<Uri> for Transport {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Connecting {
        (self.0)(target)
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
