//! TLS of a listener: handshakes, and a certificate that is renewed without a restart.
//!
//! The files are checked every few seconds, by their content: that works for a file that is overwritten, one that is moved into
//! place, and the links of a Kubernetes volume, and needs no signal from the program that renews. New files are used when two checks
//! have found the same, since a certificate and its key are seldom written at one moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::Counter;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::process_metrics;
use crate::settings::{Identity, ListenerTls};
use crate::tasks::Task;
use crate::tasks::periodic::repeat;
use crate::tasks::supervisor::Supervisor;

/// Between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Does the handshakes of new connections, with the certificate that is in use.
#[derive(Clone)]
pub struct Handshakes {
    identity: watch::Receiver<Arc<ServerConfig>>,
    /// Counts failures; `None`: they are not counted.
    failures: Option<Counter>,
}

/// Renews the certificate of its [`Handshakes`].
struct Renewal {
    tls: Arc<ListenerTls>,
    identity: watch::Sender<Arc<ServerConfig>>,
    is_metered: bool,
    /// The digest of the files in use.
    in_use: [u8; 32],
    /// What the last check found.
    found: Found,
    /// What could not be used.
    rejected: Option<Found>,
}

/// The digest of the files, or why they cannot be read.
type Found = Result<[u8; 32], String>;

/// Starts the renewal of a listener's certificate. `is_metered`: whether the metrics of TLS are about this listener.
pub fn start(tls: ListenerTls, is_metered: bool, supervisor: &mut Supervisor) -> Handshakes {
    if is_metered {
        process_metrics::certificate_expiry(tls.identity.validity.not_after);
    }
    let in_use = tls.identity.digest;
    let (sender, identity) = watch::channel(tls.identity.server.clone());
    let renewal =
        Renewal { tls: Arc::new(tls), identity: sender, is_metered, in_use, found: Ok(in_use), rejected: None };
    supervisor.spawn(Task::CertificateWatch, |shutdown| renewal.run(shutdown.wait()));
    Handshakes { identity, failures: is_metered.then(process_metrics::handshake_failures) }
}

impl Handshakes {
    /// One handshake, within `limit`. `None`: it failed, and has been logged and counted.
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
    async fn run(self, shutdown: impl Future<Output = ()>) {
        let renewal = Mutex::new(self);
        let check = || async {
            renewal.lock().await.check().await;
            CHECK_INTERVAL
        };
        repeat(CHECK_INTERVAL, shutdown, check).await;
    }

    async fn check(&mut self) {
        let tls = self.tls.clone();
        let in_use = self.in_use;
        let read = move || {
            let files = tls.files().map_err(|error| error.to_string())?;
            let digest = files.digest();
            let identity = (digest != in_use).then(|| files.identity().map_err(|error| error.to_string()));
            Ok::<_, String>((digest, identity))
        };
        let Ok(read) = tokio::task::spawn_blocking(read).await else { return };
        let found = read.as_ref().map(|(digest, _)| *digest).map_err(Clone::clone);
        let has_settled = std::mem::replace(&mut self.found, found.clone()) == found;
        match read {
            Ok((_, None)) => self.rejected = None,
            _ if !has_settled || self.rejected.as_ref() == Some(&found) => {}
            Ok((_, Some(Ok(identity)))) => self.renew(identity),
            Ok((_, Some(Err(problem)))) | Err(problem) => {
                tracing::error!("{problem}; the certificate that was read before stays in use");
                self.rejected = Some(found);
            }
        }
    }

    fn renew(&mut self, identity: Identity) {
        tracing::info!(valid_until = %identity.validity.not_after, "the new certificate is in use");
        if let Some(warning) = self.tls.warning(&identity, Timestamp::now()) {
            tracing::warn!("{warning}");
        }
        if self.is_metered {
            process_metrics::certificate_expiry(identity.validity.not_after);
        }
        self.in_use = identity.digest;
        self.rejected = None;
        // Sessions are resumed from the configuration that they began with: a client that no longer trusts the authority handshakes again.
        let _listener_gone = self.identity.send(identity.server);
    }
}
