//! A blocking HTTP/1.1 client that keeps connections alive.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;

/// No peer of a test takes longer to answer.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Http {
    runtime: Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Http {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// # Errors
    /// There was no whole answer; the text says why.
    pub fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        self.runtime.block_on(async {
            let silence = |_| Err(format!("no answer within {TIMEOUT:?}"));
            tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or_else(silence)
        })
    }

    pub fn get(&self, url: &str) -> Result<Reply, String> {
        self.send(Request::get(url).body(Full::default()).unwrap())
    }

    pub fn post_json(&self, url: &str, body: &str) -> Result<Reply, String> {
        let request = Request::post(url).header("content-type", "application/json");
        self.send(request.body(Full::from(body.to_owned())).unwrap())
    }
}
