//! The processes around a test, each on ports of its own, ended with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

pub use alertmanager::{Alertmanager, Notification};
pub use certificates::Authority;
pub use collector::{Collector, array, attributes};
pub use http::{Http, Reply};
pub use prometheus::{Prometheus, promtool};
pub use smscope::{Smscope, TOKEN};

pub use crate::exposition::Exposition;
pub use crate::tools::{on_path, require_tool, run_with_input};

mod alertmanager;
#[path = "../../support/certificates.rs"]
mod certificates;
mod collector;
mod http;
pub mod process;
mod prometheus;
mod smscope;

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Tries until `attempt` succeeds; panics with its last error when [`PATIENCE`] has run out.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("not within {PATIENCE:?}: {what}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// `Ok` when `condition` holds, to be used with [`eventually`].
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// A port that is free now and that no outgoing connection takes later: below the range that systems draw those from.
/// A peer that is restarted finds it free again, and nobody who connects to it meanwhile can end up talking to himself.
pub fn free_port() -> u16 {
    const FIRST: u32 = 16_000;
    const COUNT: u32 = 16_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("no free port")
}

/// A program that a build.sh under tests/ has built of `sources`.
pub fn built(kind: &str, sources: &[u8], program: &str) -> Option<PathBuf> {
    let hash: String = Sha256::digest(sources).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("smscope").join(kind).join(hash).join(program)).filter(|file| file.is_file())
}
