//! Connections to where an URL leads: plain, or TLS as the configuration has it.

use std::sync::Arc;

use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Protocol, Tls};

pub type Connector = HttpsConnector<HttpConnector>;

/// What connects by `protocol`, whatever the scheme of the URL; `tls` is there if, and only if, that is https.
pub fn connector(tls: Option<&Tls>, protocol: Protocol) -> Connector {
    connector_by(GaiResolver::new(), tls, protocol)
}

/// The same with names looked up by `resolver`.
pub fn connector_by<R>(resolver: R, tls: Option<&Tls>, protocol: Protocol) -> HttpsConnector<HttpConnector<R>> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.set_nodelay(true);
    // It would take nothing but http:// otherwise.
    tcp.enforce_http(false);
    let mut tls = tls.map_or_else(trusts_nobody, |tls| (*tls.client).clone());
    tls.alpn_protocols = match protocol {
        Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
    HttpsConnector::from((tcp, tls))
}

/// For an http:// endpoint, where the connector never comes to use it.
fn trusts_nobody() -> ClientConfig {
    Tls::builder().with_root_certificates(Arc::new(RootCertStore::empty())).with_no_client_auth()
}
