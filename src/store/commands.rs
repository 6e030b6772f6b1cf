//! What the writer is asked to do, and whom it answers.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::core::erase::Subjects;
use super::ids::DeliveryId;
use super::opt_outs::OptOutChange;
use super::postgres::{ClaimedTask, Due, Rewrite, TaskLine};
use super::relays::{AttemptOutcome, DeadLetterFilter, RedriveStep};
use super::resends::{ResendStep, SendDecision};
use super::sqlite::ErasureWork;
use super::{IngestOutcome, StoreError, Submission};
use crate::record::Position;

pub type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub enum Command {
    Ingest(Box<Submission>, Reply<IngestOutcome>),
    /// Saves how far the export of the journal has come.
    Advance(Position, Reply<()>),
    SaveAttempt(AttemptOutcome, Reply<()>),
    Alone(Alone),
}

/// What has a transaction of its own, between two of requests.
pub enum Alone {
    Erase(ErasureWork, Reply<u64>),
    /// Of the dead letters after an id.
    Redrive(DeadLetterFilter, DeliveryId, Reply<RedriveStep>),
    ChangeOptOuts(Vec<OptOutChange>, Reply<u64>),
    Resend(ResendStep, Reply<SendDecision>),
    /// The time of a push of the durable series, later than that of any before.
    PushTime(Reply<Timestamp>),
    /// Replies once all is counted that had been acknowledged before.
    CatchUp(Reply<()>),
    Fleet(FleetCommand),
}

/// What the leader of a fleet alone is asked.
pub enum FleetCommand {
    /// The requests of commands that it does not execute yet.
    ClaimTasks(Reply<Vec<ClaimedTask>>),
    /// A line of the response to one. `false`: another leader responds.
    TellTask(TaskLine, Reply<bool>),
    /// Deletes what these have in requests that could not be processed; replies how many.
    EraseStuck(Arc<Subjects>, Reply<u64>),
    /// How many tables are to be rewritten after erasures.
    DueRewrites(Reply<Due>),
    /// Rewrites the next.
    Rewrite(Reply<Rewrite>),
}
