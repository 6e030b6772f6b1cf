//! TLS of the listener: handshakes, and a certificate that is renewed while connections come.
//!
//! The files are looked at every few seconds, by what is in them: that works for a file that is written over, one that is moved into
//! place, and the links of a Kubernetes volume, and asks for no signal that whoever renews would have to send. New files are used when
//! two looks have found the same, since a certificate and its key are seldom written at one moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::Counter;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Identity, ListenerTls};
use crate::meters;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// Makes connections secure, each with the certificate of the moment.
#[derive(Clone)]
pub struct Handshakes {
    identity: watch::Receiver<Arc<ServerConfig>>,
    /// Those of the webhook listener are counted.
    failures: Option<Counter>,
}

/// Renews the certificate of its [`Handshakes`].
pub struct Renewal {
    tls: Arc<ListenerTls>,
    identity: watch::Sender<Arc<ServerConfig>>,
    is_metered: bool,
    /// What is in use.
    used: [u8; 32],
    /// What the last look found.
    found: Found,
    /// What has been tried and could not be used.
    refused: Option<Found>,
}

/// The digest of the files, or why they cannot be read.
type Found = Result<[u8; 32], String>;

/// What the metrics of TLS are about: the listener that the provider calls.
pub fn new(tls: ListenerTls) -> (Handshakes, Renewal) {
    meters::certificate_expiry(tls.identity.validity.not_after);
    with(tls, Some(meters::handshake_failures()))
}

/// The same for a listener that is watched by no metric: a scrape that fails says it.
pub fn unmetered(tls: ListenerTls) -> (Handshakes, Renewal) {
    with(tls, None)
}

fn with(tls: ListenerTls, failures: Option<Counter>) -> (Handshakes, Renewal) {
    let is_metered = failures.is_some();
    let used = tls.identity.digest;
    let (sender, identity) = watch::channel(tls.identity.server.clone());
    let handshakes = Handshakes { identity, failures };
    (handshakes, Renewal { tls: Arc::new(tls), identity: sender, is_metered, used, found: Ok(used), refused: None })
}

impl Handshakes {
    /// One handshake, within `limit`. `None`: it failed, and has been counted.
    pub fn begin<S>(&self, stream: S, limit: Duration) -> impl Future<Output = Option<TlsStream<S>>> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let handshake = TlsAcceptor::from(self.identity.borrow().clone()).accept(stream);
        let failures = self.failures.clone();
        async move {
            let problem = match tokio::time::timeout(limit, handshake).await {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => "not done in time".to_owned(),
            };
            tracing::debug!(problem, "TLS handshake failed");
            if let Some(failures) = failures {
                failures.increment(1);
            }
            None
        }
    }
}

impl Renewal {
    /// Checks for new files until `shutdown` resolves.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let tls = self.tls.clone();
        let used = self.used;
        let read = move || {
            let files = tls.files().map_err(|error| error.to_string())?;
            let digest = files.digest();
            // Nothing is made of what is in use.
            let identity = (digest != used).then(|| files.identity().map_err(|error| error.to_string()));
            Ok::<_, String>((digest, identity))
        };
        let Ok(read) = tokio::task::spawn_blocking(read).await else { return };
        let found = read.as_ref().map(|(digest, _)| *digest).map_err(Clone::clone);
        let has_settled = std::mem::replace(&mut self.found, found.clone()) == found;
        match read {
            Ok((_, None)) => self.refused = None,
            _ if !has_settled || self.refused.as_ref() == Some(&found) => {}
            Ok((_, Some(Ok(identity)))) => self.renew(identity),
            Ok((_, Some(Err(problem)))) | Err(problem) => {
                tracing::error!("{problem}; the certificate that was read before stays in use");
                self.refused = Some(found);
            }
        }
    }

    fn renew(&mut self, identity: Identity) {
        tracing::info!(valid_until = %identity.validity.not_after, "took the new certificate");
        if let Some(warning) = self.tls.warning(&identity, Timestamp::now()) {
            tracing::warn!("{warning}");
        }
        if self.is_metered {
            meters::certificate_expiry(identity.validity.not_after);
        }
        self.used = identity.digest;
        self.refused = None;
        // Sessions are resumed from the configuration that they began with, so a client whose authority is gone begins anew.
        let _listener_gone = self.identity.send(identity.server);
    }
}
