//! The admin listener: metrics, health and a page for people. On loopback by default; it shows no token, no number and no
//! text.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::health::Health;
use crate::listener::tls::Handshakes;
use crate::listener::{self, Limits, Service, expected_get, text};
use crate::tasks::{self, Task};

pub mod access;
pub mod format;
pub mod opt_outs;
pub mod page;

use access::Access;
use format::Format;
use opt_outs::OptOuts;
use page::{Page, Part};

/// Concurrent connections: a scraper or two, the probes, a few people. Past that, the one that has been idle longest is closed.
const MAX_CONNECTIONS: usize = 128;

/// How long a request's head may take, and a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// The time-out of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a client may leave a response unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the admin listener shows.
pub struct Admin {
    /// All metrics. Blocks on the disk.
    pub metrics: Arc<dyn Fn(Format) -> String + Send + Sync>,
    pub access: Access,
    pub health: Health,
    pub page: Arc<Page>,
    /// If the list of opt-outs is configured.
    pub opt_outs: Option<OptOuts>,
}

/// Serves until `shutdown` resolves. Connections that are open then are closed: Prometheus keeps its own alive between scrapes.
/// With `tls`, nothing but TLS is accepted.
pub async fn run(listener: TcpListener, admin: Admin, tls: Option<Handshakes>, shutdown: impl Future<Output = ()>) {
    let limits = Limits {
        max_connections: MAX_CONNECTIONS,
        header_timeout: HEADER_TIMEOUT,
        handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        write_timeout: WRITE_TIMEOUT,
        drain_timeout: Duration::ZERO,
        http: http1::Builder::new(),
    };
    listener::serve(listener, admin, &limits, None, tls, shutdown).await;
}

impl Service for Admin {
    const CONNECTION: Task = Task::AdminConnection;

    async fn respond(&self, request: Request<Incoming>, _peer: SocketAddr) -> Response<Full<Bytes>> {
        self.answer(&request.into_parts().0).await
    }
}

impl Admin {
    async fn answer(&self, request: &Parts) -> Response<Full<Bytes>> {
        if request.method != Method::GET && request.method != Method::HEAD {
            return expected_get();
        }
        let path = request.uri.path();
        if path == opt_outs::PATH || path.starts_with(opt_outs::OF_NUMBER) {
            // It has a token of its own, and a request has one Authorization header.
            return match &self.opt_outs {
                Some(list) => list.answer(request).await,
                None => text(StatusCode::NOT_FOUND, "not found\n"),
            };
        }
        // Repeated slashes, and one at the end, change nothing, as on the other listener.
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next()) {
            (Some("livez"), None) => health((self.health.liveness)(), "not alive"),
            (Some("readyz"), None) => health((self.health.readiness)(), "not ready"),
            _ if !self.access.permits(&request.headers) => self.access.rejection(),
            (None, _) => self.page(Part::Whole, request).await,
            (Some("figures"), None) => self.page(Part::Figures, request).await,
            (Some("metrics"), None) => self.metrics(&request.headers).await,
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let format = Format::wanted(headers);
        let mut response = Response::new(Full::default());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        let metrics = self.metrics.clone();
        let text = tasks::blocking(move || metrics(format)).await;
        let body = packed(text.into(), headers, response.headers_mut());
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        *response.body_mut() = Full::new(body);
        response
    }

    async fn page(&self, part: Part, request: &Parts) -> Response<Full<Bytes>> {
        let trouble = (self.health.readiness)().err();
        let (mut response, html) = self.page.clone().answer(part, request, trouble).await.into_parts();
        let body = packed(html.into(), &request.headers, &mut response.headers);
        Response::from_parts(response, Full::new(body))
    }
}

/// `plain`, compressed if the client accepts that by `request`; its encoding is added to `headers`.
fn packed(plain: Bytes, request: &HeaderMap, headers: &mut HeaderMap) -> Bytes {
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if accepts_gzip(request)
        && let Ok(packed) = gzip(&plain)
    {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return packed.into();
    }
    plain
}

/// Whether gzip is among the accepted codings, with a weight other than 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')).any(
        |coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_excluded = |weight: &str| weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(is_excluded)
        },
    )
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

fn health(state: Result<(), &'static str>, negated: &str) -> Response<Full<Bytes>> {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{negated}: {why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    /// What an answer is made from holds the store open, and the process ends only when the store has closed.
    #[tokio::test]
    async fn an_open_connection_of_a_scraper_holds_nothing_once_the_listener_has_ended() {
        let store = Arc::new(());
        let held = store.clone();
        let metrics = move |_| format!("held_by {}\n", Arc::strong_count(&held));
        let page = Arc::new(page::tests::empty_page());
        let admin = Admin {
            metrics: Arc::new(metrics),
            access: Access::default(),
            health: Health::good(),
            page,
            opt_outs: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let running = tokio::spawn(run(listener, admin, None, async { ended.await.unwrap() }));

        let mut scraper = TcpStream::connect(address).await.unwrap();
        scraper.write_all(b"GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"held_by 2\n") {
            assert_ne!(scraper.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        }
        end.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(Arc::strong_count(&store), 1);
        assert_eq!(scraper.read_buf(&mut answer).await.unwrap(), 0, "still open");
    }

    fn admin() -> Admin {
        let page = Arc::new(page::tests::empty_page());
        Admin {
            metrics: Arc::new(|_| "up 1\n".repeat(100_000)),
            access: Access::default(),
            health: Health::good(),
            page,
            opt_outs: None,
        }
    }

    const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: here\r\n\r\n";

    #[tokio::test]
    async fn past_the_limit_the_connection_that_has_been_idle_longest_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = tokio::spawn(run(listener, admin(), None, std::future::pending()));
        let mut inside = Vec::new();
        for _ in 0..=MAX_CONNECTIONS {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(PROBE).await.unwrap();
            let mut answer = [0; 12];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            inside.push(client);
        }
        // The rest of its answer, and the end.
        inside[0].read_to_end(&mut Vec::new()).await.unwrap();
        let mut rest = Vec::new();
        let end = inside[2].read_to_end(&mut rest);
        assert!(tokio::time::timeout(Duration::from_millis(300), end).await.is_err(), "more were closed than needed");
        running.abort();
    }

    #[tokio::test]
    async fn the_connection_of_a_client_that_reads_no_response_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = tokio::spawn(run(listener, admin(), None, std::future::pending()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let many = b"GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n".repeat(1000);
        client.write_all(&many).await.unwrap();
        // Until its time is up the server waits for this client, in vain.
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::time::pause();
        tokio::time::sleep(WRITE_TIMEOUT).await;
        tokio::time::resume();
        let mut read = Vec::new();
        let end = client.read_to_end(&mut read).await;
        let all = 1000 * 5 * 100_000;
        assert!(end.is_err() || read.len() < all, "all {all} bytes came");
        running.abort();
    }

    #[test]
    fn gzip_is_used_if_the_client_accepts_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, accepted.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), expected, "{accepted}");
        }
    }
}
