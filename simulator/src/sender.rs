//! Sends a plan: each webhook at its time, with the provider's retries.
//!
//! Without a known order of a message's webhooks, the expected counts of a failure and a delivery that cross are unknown. So different
//! webhooks of one message are never in flight together (copies of the same one are), and if a webhook was sent and not answered, the
//! message's others wait for its retry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clock::Clock;
use super::ladder;
use super::message::Message;
use super::plan::Plan;
use super::progress::Progress;
use super::tally::Tally;
use super::transport::{Acknowledgement, AttemptOutcome, Transport};
use super::verify::Model;
use super::wire;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    pub tally: Tally,
    pub model: Model,
    /// The duration of the run.
    pub took: Duration,
    /// Webhooks that were duplicates at their first attempt: of an earlier run.
    pub known_before: u64,
    /// Webhooks that were sent and never answered: whether they were accepted is not known.
    pub uncertain: u64,
    /// Whether the run was ended early.
    pub interrupted: bool,
}

/// One future attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    /// After the start of the run.
    due: Duration,
    /// Of two that are due at the same time, the one that was planned first is sent first.
    order: u64,
    message: u64,
    step: usize,
    /// From 0.
    number: usize,
}

struct Done {
    attempt: Attempt,
    outcome: AttemptOutcome,
    took: Duration,
}

/// A message with webhooks that are not acknowledged or given up.
struct Open {
    message: Message,
    steps: Vec<Progression>,
    /// Steps that were acknowledged, in that order.
    acknowledged: Vec<usize>,
    /// The step that is in flight, or of which it is not known whether it was accepted.
    busy: Option<usize>,
    /// Attempts of other steps, which wait for it.
    held: Vec<Attempt>,
}

/// The progress of one step.
#[derive(Clone, Copy, Default)]
struct Progression {
    /// The first webhook and the copies that are not acknowledged or given up.
    left: usize,
    in_flight: usize,
    /// An attempt was not answered, and none was acknowledged since.
    in_doubt: bool,
    ever_in_doubt: bool,
    acknowledged: bool,
    /// Acknowledged as something else than a duplicate.
    new: bool,
}

/// Sends one plan to one target.
pub struct Sender<T> {
    transport: T,
    clock: Clock,
    connections: usize,
    started: Instant,
    queue: BinaryHeap<Reverse<Attempt>>,
    order: u64,
    open: HashMap<u64, Open>,
    in_flight: JoinSet<Done>,
    outcome: Outcome,
}

impl<T: Transport> Sender<T> {
    /// `source`: the one that the target counts for. `connections`: the limit of concurrent requests.
    pub fn new(transport: T, source: &str, clock: Clock, connections: usize) -> Self {
        let outcome = Outcome { model: Model::new(source), ..Outcome::default() };
        Self {
            transport,
            clock,
            connections,
            started: Instant::now(),
            queue: BinaryHeap::new(),
            order: 0,
            open: HashMap::new(),
            in_flight: JoinSet::new(),
            outcome,
        }
    }

    /// Runs until all webhooks are acknowledged or given up, or until `stop` resolves; then it waits for the requests in flight.
    pub async fn run(mut self, plan: &Plan, progress: &mut Progress, stop: impl Future<Output = ()>) -> Outcome {
        tokio::pin!(stop);
        let mut messages = plan.messages().peekable();
        let mut tick = tokio::time::interval(PROGRESS);
        self.started = Instant::now();
        loop {
            let now = self.started.elapsed();
            if !self.outcome.interrupted {
                while let Some(message) = messages.next_if(|message| message.accepted_at <= now) {
                    self.open(plan, message);
                }
                self.send_what_is_due(now);
            }
            let next_message = messages.peek().filter(|_| !self.outcome.interrupted).map(|message| message.accepted_at);
            let next_attempt = self.queue.peek().filter(|_| !self.outcome.interrupted).map(|attempt| attempt.0.due);
            if self.in_flight.is_empty() && next_message.is_none() && next_attempt.is_none() {
                break;
            }
            let next_attempt = next_attempt.filter(|_| self.in_flight.len() < self.connections);
            let wake = next_message.into_iter().chain(next_attempt).min().unwrap_or(now + PROGRESS);
            tokio::select! {
                Some(Ok(done)) = self.in_flight.join_next() => self.finished(done, plan.settings().compression),
                () = tokio::time::sleep_until(self.started + wake) => {}
                () = &mut stop, if !self.outcome.interrupted => self.outcome.interrupted = true,
                _ = tick.tick() => progress.show(&self.outcome.tally, self.open.len(), self.started.elapsed()),
            }
        }
        self.outcome.took = self.started.elapsed();
        for open in std::mem::take(&mut self.open).into_values() {
            self.outcome.tally.left += open.steps.iter().map(|step| step.left as u64).sum::<u64>();
            self.close(open);
        }
        progress.end();
        self.outcome
    }

    fn open(&mut self, plan: &Plan, message: Message) {
        let mut steps = Vec::with_capacity(message.steps.len());
        for (step, planned) in message.steps.iter().enumerate() {
            let arrivals = plan.arrivals(&message, planned);
            steps.push(Progression { left: arrivals.len(), ..Progression::default() });
            for due in arrivals {
                self.order += 1;
                let attempt = Attempt { due, order: self.order, message: message.number, step, number: 0 };
                self.queue.push(Reverse(attempt));
            }
        }
        self.outcome.tally.messages += 1;
        let number = message.number;
        self.open.insert(number, Open { message, steps, acknowledged: Vec::new(), busy: None, held: Vec::new() });
    }

    fn send_what_is_due(&mut self, now: Duration) {
        while self.in_flight.len() < self.connections
            && let Some(Reverse(attempt)) = self.queue.peek().copied()
            && attempt.due <= now
        {
            self.queue.pop();
            self.send(attempt, now);
        }
    }

    fn send(&mut self, attempt: Attempt, now: Duration) {
        let Some(open) = self.open.get_mut(&attempt.message) else { return };
        if open.busy.is_some_and(|busy| busy != attempt.step) {
            open.held.push(attempt);
            return;
        }
        open.busy = Some(attempt.step);
        open.steps[attempt.step].in_flight += 1;
        let tally = &mut self.outcome.tally;
        tally.requests += 1;
        tally.retries += u64::from(attempt.number > 0);
        tally.behind = tally.behind.max(now.saturating_sub(attempt.due));
        let request = wire::request(&open.message, &open.message.steps[attempt.step], &self.clock);
        let transport = self.transport.clone();
        self.in_flight.spawn(async move {
            let started = Instant::now();
            Done { attempt, outcome: transport.call(&request).await, took: started.elapsed() }
        });
    }

    fn finished(&mut self, done: Done, compression: f64) {
        let Done { attempt, outcome, took } = done;
        self.outcome.tally.count(outcome, took);
        let Some(open) = self.open.get_mut(&attempt.message) else { return };
        let step = &mut open.steps[attempt.step];
        step.in_flight -= 1;
        let retry = match outcome {
            AttemptOutcome::Acknowledged(acknowledgement) => {
                step.in_doubt = false;
                step.new |= acknowledgement != Acknowledgement::Duplicate;
                if !std::mem::replace(&mut step.acknowledged, true) {
                    open.acknowledged.push(attempt.step);
                }
                None
            }
            AttemptOutcome::Unanswered => {
                step.in_doubt = !step.acknowledged;
                step.ever_in_doubt |= step.in_doubt;
                Some(Duration::ZERO)
            }
            AttemptOutcome::Rejected { retry_after, .. } => Some(retry_after),
            AttemptOutcome::Unreachable => Some(Duration::ZERO),
        };
        match retry.map(|retry_after| ladder::wait(attempt.number, retry_after, compression)) {
            Some(Some(wait)) => {
                let due = self.started.elapsed() + wait;
                self.queue.push(Reverse(Attempt { due, number: attempt.number + 1, ..attempt }));
            }
            acknowledged_or_given_up => {
                step.left -= 1;
                self.outcome.tally.given_up += u64::from(acknowledged_or_given_up.is_some());
            }
        }
        if step.in_flight == 0 && (!step.in_doubt || step.left == 0) {
            open.busy = None;
            self.queue.extend(open.held.drain(..).map(Reverse));
        }
        if open.steps.iter().all(|step| step.left == 0)
            && let Some(open) = self.open.remove(&attempt.message)
        {
            self.close(open);
        }
    }

    fn close(&mut self, open: Open) {
        for step in &open.steps {
            self.outcome.known_before += u64::from(step.acknowledged && !step.new && !step.ever_in_doubt);
            self.outcome.uncertain += u64::from(step.in_doubt);
        }
        let acknowledged: Vec<usize> = open
            .acknowledged
            .iter()
            .copied()
            .filter(|step| open.steps[*step].new || open.steps[*step].ever_in_doubt)
            .collect();
        self.outcome.model.add(&open.message, acknowledged.iter().map(|step| &open.message.steps[*step]));
    }
}
