//! The requests of commands to the leader of a fleet: as those to a control socket, through the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Span;

use super::Context;
use super::control::handler;
use crate::control::{Line, Request};
use crate::store::{ClaimedTask, Store};
use crate::tasks::supervisor::{Shutdown, Supervisor};
use crate::tasks::{Task, join_logged};

/// How often the leader looks for requests, and tells the progress of one.
const POLL: Duration = Duration::from_secs(1);

pub(super) fn start(context: &Context<'_>, supervisor: &mut Supervisor) {
    let store = context.store.clone();
    let execute = Arc::new(handler(context.config, store.clone(), supervisor.shutdown(Task::FleetCommands)));
    supervisor
        .spawn_led(Span::none(), Task::FleetCommands, move |shutdown| run(store.clone(), execute.clone(), shutdown));
}

/// Executes requests until `shutdown` begins and those that were begun have ended.
async fn run(
    store: Store,
    execute: Arc<impl Fn(Request, mpsc::Sender<Line>) + Send + Sync + 'static>,
    shutdown: Shutdown,
) {
    // Dropped with this: what they do fails once another replica leads, which begins again with them.
    let mut running = JoinSet::new();
    while !shutdown.has_begun() {
        // An error means that this replica leads no more, or that it asks again.
        for task in store.claim_tasks().await.unwrap_or_default() {
            running.spawn(respond(store.clone(), task, execute.clone(), shutdown.clone()));
        }
        tokio::select! {
            () = shutdown.clone().wait() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        while let Some(joined) = running.try_join_next() {
            join_logged(Task::Command, joined);
        }
    }
    while let Some(joined) = running.join_next().await {
        join_logged(Task::Command, joined);
    }
}

async fn respond(
    store: Store,
    task: ClaimedTask,
    execute: Arc<impl Fn(Request, mpsc::Sender<Line>) + Send + Sync + 'static>,
    shutdown: Shutdown,
) {
    let (lines, mut received) = mpsc::channel(16);
    // The error would quote the request.
    let request = serde_json::from_str::<Request>(&task.request).ok();
    let work = tokio::task::spawn_blocking(move || match request {
        Some(request) => execute(request, lines),
        None => {
            let unknown = "not a request that the leader's smscope knows".to_owned();
            let _gone = lines.blocking_send(Line::Failed(unknown));
        }
    });
    let mut told = Instant::now();
    while let Some(line) = received.recv().await {
        let is_last = !line.is_progress();
        let is_due = told.elapsed() >= POLL || !matches!(line, Line::Progress(_));
        // The next leader does what this one has not finished.
        let is_void = shutdown.has_begun() && matches!(line, Line::Failed(_));
        if !is_due || is_void {
            continue;
        }
        told = Instant::now();
        let Ok(text) = serde_json::to_string(&line) else { continue };
        while store.tell_task(task.line(text.clone(), is_last)).await.is_err() && is_last {
            tokio::time::sleep(POLL).await;
        }
    }
    join_logged(Task::Command, work.await);
}
