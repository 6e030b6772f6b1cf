//! Notifications to systemd (`sd_notify(3)`, `Type=notify`): smscope is ready, stops, and, for the watchdog, is alive. Without
//! `NOTIFY_SOCKET`, under any other service manager, nothing is sent.

use std::future::pending;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Weak;
use std::time::Duration;

use crate::environment::Environment;
use crate::tasks::periodic::repeat;

/// How long a notification may wait for a service manager that is busy.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager that has started this process, if it wants to be notified.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// The longest time between two notifications that the process is alive.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// That of this process's environment. One that cannot be reached is a warning: the work is the same.
    pub fn new(env: &dyn Environment) -> Self {
        let Some(address) = env.get("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Self::default();
        };
        let socket = connect(&address)
            .inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET = {address:?}: cannot be reached"));
        Self { socket: socket.ok(), watchdog: watchdog(env, std::process::id()) }
    }

    /// Webhooks are accepted.
    pub fn ready(&self) {
        self.notify("READY=1");
    }

    /// The shutdown has begun.
    pub fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// Notifies the watchdog while `liveness` is good, twice as often as required. Ends when `liveness` is dropped: it is held weakly,
    /// because it holds the store open.
    pub async fn feed_watchdog(&self, liveness: Weak<dyn Fn() -> Result<(), &'static str> + Send + Sync>) {
        let Some(limit) = self.watchdog else { return };
        let notify = || async {
            match liveness.upgrade()?() {
                Ok(()) => self.notify("WATCHDOG=1"),
                // systemd restarts the process once its watchdog has received nothing for `limit`.
                Err(problem) => tracing::error!(problem, "not alive: the watchdog is not notified"),
            }
            Some(limit / 2)
        };
        repeat(Duration::ZERO, pending(), notify).await;
    }

    fn notify(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::warn!(%error, state, "the service manager could not be notified");
        }
    }
}

/// A path, or after `@` a name in Linux' abstract namespace.
fn connect(address: &str) -> io::Result<UnixDatagram> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// `WATCHDOG_USEC`, unless `WATCHDOG_PID` says that another process is watched.
fn watchdog(env: &dyn Environment, process: u32) -> Option<Duration> {
    let watched = env.get("WATCHDOG_PID").is_none_or(|id| id.parse() == Ok(process));
    let limit = Duration::from_micros(env.get("WATCHDOG_USEC")?.parse().ok()?);
    (watched && !limit.is_zero()).then_some(limit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;

    fn received(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 64];
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let length = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    #[test]
    fn the_service_manager_listens_at_a_path_or_at_an_abstract_name() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let name = format!("smscope-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (address, listener) in [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name).unwrap()),
        ] {
            let manager = ServiceManager::new(&BTreeMap::from([("NOTIFY_SOCKET", address.as_str())]));
            manager.ready();
            assert_eq!(received(&listener).as_deref(), Some("READY=1"), "{address}");
            manager.stopping();
            assert_eq!(received(&listener).as_deref(), Some("STOPPING=1"), "{address}");
        }
    }

    #[test]
    fn without_a_socket_or_with_one_that_is_gone_nothing_is_sent_and_nothing_fails() {
        for environment in
            [BTreeMap::new(), BTreeMap::from([("NOTIFY_SOCKET", "")]), BTreeMap::from([("NOTIFY_SOCKET", "/no/such")])]
        {
            ServiceManager::new(&environment).ready();
        }
    }

    #[test]
    fn the_watchdog_is_that_of_this_process_or_none() {
        for (variables, expected) in [
            (&[("WATCHDOG_USEC", "60000000")][..], Some(Duration::from_secs(60))),
            (&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "7")], Some(Duration::from_secs(60))),
            (&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "8")], None),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "soon")], None),
            (&[], None),
        ] {
            let environment: BTreeMap<&str, &str> = variables.iter().copied().collect();
            assert_eq!(watchdog(&environment, 7), expected, "{variables:?}");
        }
    }

    #[tokio::test]
    async fn the_watchdog_is_notified_of_a_live_process_only() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let environment = BTreeMap::from([("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")]);
        let manager = ServiceManager::new(&environment);
        let alive = Arc::new(AtomicBool::new(true));
        let liveness: crate::health::Check = {
            let alive = alive.clone();
            Arc::new(move || alive.load(Ordering::Relaxed).then_some(()).ok_or("it is dead"))
        };
        let watched = Arc::downgrade(&liveness);
        let feeding = tokio::spawn(async move { manager.feed_watchdog(watched).await });
        let next = |listener: UnixDatagram| tokio::task::spawn_blocking(move || (received(&listener), listener));
        let (first, listener) = next(listener).await.unwrap();
        let (second, listener) = next(listener).await.unwrap();
        assert_eq!((first.as_deref(), second.as_deref()), (Some("WATCHDOG=1"), Some("WATCHDOG=1")));

        alive.store(false, Ordering::Relaxed);
        let mut listener = listener;
        for _ in 0..4 {
            let (word, same) = next(listener).await.unwrap();
            listener = same;
            // One may have been under way.
            if word.is_none() {
                break;
            }
        }
        assert_eq!(next(listener).await.unwrap().0, None);
        drop(liveness);
        tokio::time::timeout(Duration::from_secs(10), feeding).await.unwrap().unwrap();
    }
}
