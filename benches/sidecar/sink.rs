//! Where all programs send: remembers which of the load's messages have arrived, and can be down.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Result;
use crate::load::{ID_LENGTH, ID_PREFIX};

#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    is_down: Arc<AtomicBool>,
    arrived: Arc<Mutex<HashSet<String>>>,
}

impl Sink {
    /// Serves until the process ends.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let sink = Self { address: listener.local_addr()?, is_down: Arc::default(), arrived: Arc::default() };
        let serving = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sink = serving.clone();
                let service = service_fn(move |request| {
                    let sink = sink.clone();
                    async move { Ok::<_, Infallible>(sink.answer(request).await) }
                });
                tokio::spawn(
                    async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await },
                );
            }
        });
        Ok(sink)
    }

    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    /// The ids of the messages that it has accepted so far.
    pub fn arrived(&self) -> MutexGuard<'_, HashSet<String>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        match request.into_body().collect().await {
            Ok(body) if !self.is_down.load(Ordering::Relaxed) => {
                let body = body.to_bytes();
                let ids = body.windows(ID_LENGTH).filter(|window| window.starts_with(ID_PREFIX.as_bytes()));
                self.arrived().extend(ids.map(|id| String::from_utf8_lossy(id).into_owned()));
            }
            _ => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        }
        response
    }
}
