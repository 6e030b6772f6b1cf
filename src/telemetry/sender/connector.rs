//! Connections to OTLP endpoints: plain, or TLS as the configuration has it.

use std::sync::Arc;

use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Endpoint, Protocol, Tls};

pub(super) type Connector = HttpsConnector<HttpConnector>;

/// What connects to `endpoint`, whatever the scheme of its URL.
pub(super) fn connector(endpoint: &Endpoint) -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    // It would take nothing but http:// otherwise.
    tcp.enforce_http(false);
    let mut tls = endpoint.tls.as_ref().map_or_else(trusts_nobody, |tls| (*tls.client).clone());
    tls.alpn_protocols = match endpoint.protocol {
        Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
    HttpsConnector::from((tcp, tls))
}

/// For an http:// endpoint, where the connector never comes to use it.
fn trusts_nobody() -> ClientConfig {
    Tls::builder().with_root_certificates(Arc::new(RootCertStore::empty())).with_no_client_auth()
}
