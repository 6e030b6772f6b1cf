//! The tasks of the process in one place: started under their names, watched, ended in order.
//!
//! A task of the process that ends before it is asked to has failed, whether it panicked or returned: what it did is not done any more,
//! and nothing else would show it. Then everything ends in the order of a shutdown, within the same time limits, and the process with
//! an exit code by which it is restarted. What has been acknowledged is on disk.

use std::collections::HashMap;
use std::time::Duration;

use strum::VariantArray;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::{Instrument, Span};

use crate::tasks::{Leadership, PANICKED, Task, Thread, while_leading};

/// Beyond the time that the tasks of a stage give themselves.
const MARGIN: Duration = Duration::from_secs(1);

/// What ends together. A stage is asked to end once the one before it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What accepts webhooks.
    Ingest,
    /// What runs for a command: its next step is not made.
    Commands,
    /// What asks others of its own accord. It has no claim to more time; what it has submitted to the store stays.
    Polls,
    /// What exports. What came in is on disk by now, and is exported as far as time permits.
    Exports,
    /// What shows how all of this is doing.
    Admin,
    /// What everything else writes through.
    Store,
}

const STAGES: [Stage; 6] = [Stage::Ingest, Stage::Commands, Stage::Polls, Stage::Exports, Stage::Admin, Stage::Store];

fn stage(task: Task) -> Stage {
    match task {
        Task::WebhookListener | Task::CertificateWatch | Task::Connection => Stage::Ingest,
        Task::ControlSocket | Task::FleetCommands | Task::Command => Stage::Commands,
        Task::Account | Task::Reconcile | Task::Resend | Task::SelfProbe => Stage::Polls,
        Task::LogExporter | Task::MetricsExporter | Task::Relay | Task::RelayAttempt => Stage::Exports,
        Task::AdminListener | Task::AdminConnection | Task::Upkeep => Stage::Admin,
        Task::Writer | Task::Checkpointer | Task::Intake => Stage::Store,
    }
}

/// That a task is asked to end.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    #[cfg(test)]
    pub fn of(begun: watch::Receiver<bool>) -> Self {
        Self(begun)
    }

    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn wait(mut self) {
        // Whatever has supervised it is gone: that is an end too.
        let _gone = self.0.wait_for(|begun| *begun).await;
    }
}

/// How the process is doing, for the probes of whatever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    /// It was asked to end.
    ShuttingDown,
    /// It ends because a task has failed.
    Failed(Task),
}

impl Phase {
    /// # Errors
    /// In a few words: why the process should be restarted.
    pub fn liveness(self) -> Result<(), &'static str> {
        match self {
            Self::Failed(_) => Err("a background task has ended"),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// In a few words: why no webhook is accepted.
    pub fn readiness(self) -> Result<(), &'static str> {
        match self {
            Self::Serving => Ok(()),
            Self::Starting | Self::ShuttingDown => Err("webhooks are not accepted"),
            Self::Failed(_) => Err("a background task has ended"),
        }
    }
}

pub struct Supervisor {
    tasks: JoinSet<()>,
    running: HashMap<Id, (Task, AbortHandle)>,
    stages: [watch::Sender<bool>; STAGES.len()],
    phase: watch::Sender<Phase>,
    leadership: watch::Receiver<Leadership>,
    /// What a stage may take to end.
    limit: Duration,
}

impl Supervisor {
    /// A stage that has not ended within `limit` is cut off.
    pub fn new(limit: Duration) -> Self {
        for &task in Task::VARIANTS {
            // Exists at 0 from here on.
            crate::process_metrics::task_failures(task.into_str()).increment(0);
        }
        Self {
            tasks: JoinSet::new(),
            running: HashMap::new(),
            stages: STAGES.map(|_| watch::Sender::new(false)),
            phase: watch::Sender::new(Phase::Starting),
            leadership: watch::Sender::new(Leadership::ForLife).subscribe(),
            limit: limit + MARGIN,
        }
    }

    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Asks `task` to end, in its turn.
    pub fn shutdown(&self, task: Task) -> Shutdown {
        Shutdown(self.stages[stage(task) as usize].subscribe())
    }

    /// Runs what `start` gives, which ends soon after it is asked to.
    pub fn spawn<F>(&mut self, task: Task, start: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_in(Span::none(), task, start);
    }

    /// The same for one of several of a kind: `span` ties its log lines together.
    pub fn spawn_in<F>(&mut self, span: Span, task: Task, start: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = start(self.shutdown(task)).instrument(span);
        #[cfg(test)]
        let work = crate::tasks::fault::killable(task, work);
        self.watch(task, work);
    }

    /// Whether this process leads, for [`Supervisor::spawn_led`]. Without it, it is alone.
    pub fn follow(&mut self, leadership: watch::Receiver<Leadership>) {
        self.leadership = leadership;
    }

    /// Runs what `start` gives while this process leads: once for each term.
    pub fn spawn_led<F>(&mut self, span: Span, task: Task, start: impl Fn(Shutdown) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let leadership = self.leadership.clone();
        self.spawn_in(span, task, |shutdown| while_leading(leadership, shutdown, start));
    }

    /// Watches a thread that ends by itself when nobody needs it any more.
    pub fn watch_thread(&mut self, task: Task, thread: Thread) {
        let shutdown = self.shutdown(task);
        self.watch(task, async move {
            thread.ended().await;
            // The checkpointer returns because the writer has ended, which is the failure then.
            if task == Task::Checkpointer {
                shutdown.wait().await;
            }
        });
    }

    fn watch(&mut self, task: Task, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(work);
        self.running.insert(handle.id(), (task, handle));
    }

    /// Serves until `shutdown` resolves or a task fails, then ends everything. Gives the first task that has failed, if any has.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Option<Task> {
        self.phase.send_replace(Phase::Serving);
        tokio::select! {
            () = shutdown => {}
            () = async { while self.join_next().await && self.failed().is_none() {} } => {}
        }
        self.phase.send_if_modified(|phase| {
            let asked = *phase == Phase::Serving;
            if asked {
                *phase = Phase::ShuttingDown;
            }
            asked
        });
        for stage in STAGES {
            self.end(stage).await;
        }
        self.failed()
    }

    fn failed(&self) -> Option<Task> {
        match *self.phase.borrow() {
            Phase::Failed(task) => Some(task),
            _ => None,
        }
    }

    async fn end(&mut self, ending: Stage) {
        self.stages[ending as usize].send_replace(true);
        let limit = self.limit;
        let ended = tokio::time::timeout(limit, async {
            while self.running.values().any(|(task, _)| stage(*task) == ending) && self.join_next().await {}
        });
        if ended.await.is_err() {
            for (task, handle) in self.running.values().filter(|(task, _)| stage(*task) == ending) {
                tracing::warn!(
                    task = task.into_str(),
                    "a background task was cut off, it did not end within {limit:?}"
                );
                handle.abort();
            }
        }
    }

    /// Waits for the next end of a task; `false` when there is none left.
    async fn join_next(&mut self) -> bool {
        let Some(joined) = self.tasks.join_next_with_id().await else { return false };
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some((task, _)) = self.running.remove(&id) else { return true };
        match joined {
            Err(error) if error.is_panic() => self.fail(task, PANICKED),
            _ if self.may_return(task) => {}
            _ => self.fail(task, "returned"),
        }
        true
    }

    fn may_return(&self, task: Task) -> bool {
        let was_asked = *self.stages[stage(task) as usize].borrow();
        // The store ends by itself, with the last task that has a handle on it.
        let is_ending = *self.phase.borrow() != Phase::Serving;
        was_asked || (stage(task) == Stage::Store && is_ending)
    }

    fn fail(&mut self, task: Task, how: &str) {
        task.failed(how);
        self.phase.send_if_modified(|phase| {
            let is_first = !matches!(phase, Phase::Failed(_));
            if is_first {
                *phase = Phase::Failed(task);
            }
            is_first
        });
    }
}

#[cfg(test)]
mod tests;
