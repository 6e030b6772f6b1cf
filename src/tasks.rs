//! The background tasks and threads of a running smscope: what they are called, how a failure of one is logged and counted, and
//! how the end of a thread is awaited like that of a task.
//!
//! There are two kinds. A task of the process runs for as long as it does, and its end is a failure of the whole, which
//! `tasks/supervisor.rs` watches for. Of the others there are many, one per connection, command or attempt: a panic in one ends that
//! one only.

use std::any::Any;
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};

use strum::{IntoStaticStr, VariantArray};
use tokio::sync::oneshot;
use tokio::task::JoinError;

pub use leadership::{Leadership, while_leading};

use crate::process_metrics;

#[cfg(test)]
pub mod fault;
mod leadership;
pub mod periodic;
pub mod supervisor;

/// Every value of the `task` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Task {
    WebhookListener,
    CertificateWatch,
    AdminListener,
    ControlSocket,
    FleetCommands,
    LogExporter,
    MetricsExporter,
    Relay,
    Resend,
    Reconcile,
    Account,
    SelfProbe,
    Upkeep,
    Writer,
    Checkpointer,
    Intake,
    /// One connection of the webhook listener, its handshake included.
    Connection,
    /// One connection of the admin listener.
    AdminConnection,
    /// One command that runs in this process.
    Command,
    /// One attempt of a relay.
    RelayAttempt,
}

impl Task {
    /// Whether it runs for as long as the process, so that smscope cannot do its work without it.
    pub fn is_of_the_process(self) -> bool {
        !matches!(self, Self::Connection | Self::AdminConnection | Self::Command | Self::RelayAttempt)
    }

    /// Logs and counts a failure of it.
    pub fn failed(self, how: &str) {
        process_metrics::task_failures(self.into_str()).increment(1);
        let consequence = if self.is_of_the_process() { "smscope ends, to be restarted" } else { "the others go on" };
        tracing::error!(task = self.into_str(), "a background task {how}; {consequence}");
    }
}

/// What a task has returned, when it was not cancelled; a panic is logged and counted.
pub fn join_logged<T>(task: Task, joined: Result<T, JoinError>) -> Option<T> {
    match joined {
        Ok(returned) => Some(returned),
        Err(error) => {
            if error.is_panic() {
                task.failed(PANICKED);
            }
            None
        }
    }
}

/// What `work` returns, which may block. It panics as that has.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(returned) => returned,
        Err(Ok(panic)) => resume_unwind(panic),
        // It has not begun, for the runtime is ending: nothing waits for it.
        Err(Err(_)) => std::future::pending().await,
    }
}

pub const PANICKED: &str = "panicked";

/// A thread whose end can be awaited.
pub struct Thread {
    returned: oneshot::Receiver<()>,
    handle: JoinHandle<()>,
}

impl Thread {
    /// # Errors
    /// The system has no thread left.
    pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let (sender, returned) = oneshot::channel();
        let handle = Builder::new().name(name.to_owned()).spawn(move || {
            work();
            let _nobody_waits = sender.send(());
        })?;
        Ok(Self { returned, handle })
    }

    /// Resolves when the thread has returned. Panics as the thread has, with what it has panicked with.
    pub async fn ended(self) {
        // Without a word it has panicked, and is about to end.
        let _panicked = self.returned.await;
        self.handle.join().unwrap_or_else(|panic: Box<dyn Any + Send>| resume_unwind(panic));
    }

    /// Blocks until the thread has ended, however.
    pub fn join(self) {
        if self.handle.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}
