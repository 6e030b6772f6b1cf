//! What the writer is asked to do, and whom it answers.

use tokio::sync::oneshot;

use super::erase::{Performed, Step};
use super::opt_outs::OptOutChange;
use super::relays::{DeadLetterFilter, RedriveStep, Settlement};
use super::resends::{Begun, ResendStep};
use super::{Refusal, Submission, Verdict};

pub enum Job {
    Keep(Request),
    Advance(CursorMove),
    Erase(Erasing),
    Settle(Settling),
    Redrive(Redriving),
    OptOut(OptingOut),
    Resend(Resending),
}

/// A submission that waits to be kept.
pub struct Request {
    pub submission: Box<Submission>,
    pub answer: oneshot::Sender<Result<Verdict, Refusal>>,
}

/// A cursor's new position that waits to be saved.
pub struct CursorMove {
    pub position: i64,
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

/// What has become of a delivery, to be saved.
pub struct Settling {
    pub settlement: Settlement,
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Opt-outs that an operator asks for.
pub struct OptingOut {
    pub changes: Vec<OptOutChange>,
    pub answer: oneshot::Sender<Result<u64, Refusal>>,
}

/// A step of a redrive that waits to be done: of the dead letters after an id.
pub struct Redriving {
    pub filter: DeadLetterFilter,
    pub after: i64,
    pub answer: oneshot::Sender<Result<RedriveStep, Refusal>>,
}

/// A step of a resend that waits to be done.
pub struct Resending {
    pub step: ResendStep,
    pub answer: oneshot::Sender<Result<Begun, Refusal>>,
}

/// A step of an erasure that waits to be done.
pub struct Erasing {
    pub step: Step,
    pub answer: oneshot::Sender<Result<Performed, Refusal>>,
}
