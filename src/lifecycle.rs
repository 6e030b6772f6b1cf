//! The life cycle of a message: (what we knew, what came) -> (what we know now, what changed). Pure, no I/O.
//!
//! A message is pending from first sight until it is delivered, failed or expired; read implies delivered. The outcome ranks
//! failed < delivered < read whatever the order of arrival, so any order and any repetition of receipts end in the same state
//! (expiry aside). At all times, for every set of labels:
//!
//! ```text
//! messages = pending + delivered + failed + expired - corrected
//! ```

use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Outcome, Reason};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Scheduled,
    Enroute,
    Delivered,
    Failed(Reason),
    Read,
    Expired,
}

impl State {
    pub fn is_pending(self) -> bool {
        matches!(self, State::Scheduled | State::Enroute)
    }

    /// The word that stands in the store and, for pending states, in the `state` label.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Enroute => "enroute",
            State::Delivered => "delivered",
            State::Failed(_) => "failed",
            State::Read => "read",
            State::Expired => "expired",
        }
    }

    /// Reads [`State::as_str`] back; `reason` is looked at for `failed` only. `None` for another word.
    pub fn from_parts(word: &str, reason: Option<Reason>) -> Option<Self> {
        Some(match word {
            "scheduled" => State::Scheduled,
            "enroute" => State::Enroute,
            "delivered" => State::Delivered,
            "failed" => State::Failed(reason.unwrap_or(Reason::Unknown)),
            "read" => State::Read,
            "expired" => State::Expired,
            _ => return None,
        })
    }
}

/// What is known of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub state: State,
    /// First arrival here.
    pub first_seen: Timestamp,
    /// What the horizon runs from: the later of first arrival and the time at which it is sent.
    pub pending_since: Timestamp,
}

/// What a receipt says, as far as it matters to the life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub outcome: Outcome,
    pub arrived_at: Timestamp,
    pub sent_at: Option<Timestamp>,
}

/// One step that is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    FirstSeen,
    PendingEntered(State),
    PendingLeft(State),
    Delivered,
    Failed(Reason),
    Read,
    Expired,
    /// The message left this final state (failed or expired) again.
    Corrected {
        from: State,
    },
}

/// Takes one distinct receipt. An unknown status counts the message at first sight and leaves it as it is.
pub fn receive(known: Option<Message>, sighting: Sighting) -> (Message, Vec<Change>) {
    let mut changes = Vec::new();
    let mut message = known.unwrap_or_else(|| {
        let state = first_state(sighting);
        changes.push(Change::FirstSeen);
        if state.is_pending() {
            changes.push(Change::PendingEntered(state));
        }
        Message { state, first_seen: sighting.arrived_at, pending_since: sighting.arrived_at }
    });
    if let Some(sent_at) = sighting.sent_at {
        message.pending_since = message.pending_since.max(sent_at);
    }
    let from = known.map(|known| known.state);
    let to = match from {
        Some(state) => next_state(state, sighting.outcome),
        None => message.state,
    };
    if from != Some(to) {
        count_transition(from, to, &mut changes);
        message.state = to;
    }
    (message, changes)
}

/// Takes the passing of time: a message that is pending for longer than `horizon` becomes expired. `None` when it is not.
pub fn expire(known: Message, now: Timestamp, horizon: Duration) -> Option<(Message, [Change; 2])> {
    let deadline = known.pending_since.checked_add(horizon).ok()?;
    let is_due = known.state.is_pending() && deadline <= now;
    is_due.then_some((Message { state: State::Expired, ..known }, [Change::PendingLeft(known.state), Change::Expired]))
}

fn first_state(sighting: Sighting) -> State {
    match sighting.outcome {
        Outcome::Scheduled => State::Scheduled,
        Outcome::Unknown if sighting.sent_at.is_some_and(|sent_at| sent_at > sighting.arrived_at) => State::Scheduled,
        Outcome::Enroute | Outcome::Unknown => State::Enroute,
        Outcome::Delivered => State::Delivered,
        Outcome::Failed(reason) => State::Failed(reason),
        Outcome::Read => State::Read,
    }
}

fn next_state(state: State, outcome: Outcome) -> State {
    match (state, outcome) {
        (State::Scheduled, Outcome::Enroute) => State::Enroute,
        (State::Scheduled | State::Enroute | State::Expired, Outcome::Failed(reason)) => State::Failed(reason),
        (State::Delivered | State::Read, Outcome::Delivered) => state,
        (_, Outcome::Delivered) => State::Delivered,
        (_, Outcome::Read) => State::Read,
        _ => state,
    }
}

fn count_transition(from: Option<State>, to: State, changes: &mut Vec<Change>) {
    if let Some(from) = from {
        match from {
            State::Scheduled | State::Enroute => changes.push(Change::PendingLeft(from)),
            State::Failed(_) | State::Expired => changes.push(Change::Corrected { from }),
            State::Delivered | State::Read => {}
        }
        if to.is_pending() {
            changes.push(Change::PendingEntered(to));
        }
    }
    match to {
        State::Delivered => changes.push(Change::Delivered),
        State::Failed(reason) => changes.push(Change::Failed(reason)),
        State::Read => {
            if from != Some(State::Delivered) {
                changes.push(Change::Delivered);
            }
            changes.push(Change::Read);
        }
        State::Scheduled | State::Enroute | State::Expired => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const HORIZON: Duration = Duration::from_secs(72 * 3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn sighting(outcome: Outcome, second: i64) -> Sighting {
        Sighting { outcome, arrived_at: at(second), sent_at: None }
    }

    fn run(outcomes: &[Outcome]) -> (State, Vec<Change>) {
        let mut known = None;
        let mut all = Vec::new();
        for (second, outcome) in outcomes.iter().enumerate() {
            let (message, changes) = receive(known, sighting(*outcome, second as i64));
            known = Some(message);
            all.extend(changes);
        }
        (known.unwrap().state, all)
    }

    #[test]
    fn each_course_of_receipts_counts_what_it_should() {
        use Change::{Corrected, Delivered, FirstSeen, PendingEntered, PendingLeft, Read};
        use Outcome as O;
        let gone = Reason::HandsetAbsent;
        let failed = State::Failed(gone);
        let table: &[(&[Outcome], State, &[Change])] = &[
            (&[O::Enroute], State::Enroute, &[FirstSeen, PendingEntered(State::Enroute)]),
            (&[O::Unknown], State::Enroute, &[FirstSeen, PendingEntered(State::Enroute)]),
            (&[O::Delivered], State::Delivered, &[FirstSeen, Delivered]),
            (&[O::Failed(gone)], failed, &[FirstSeen, Change::Failed(gone)]),
            (&[O::Read], State::Read, &[FirstSeen, Delivered, Read]),
            (
                &[O::Scheduled, O::Enroute, O::Delivered, O::Read],
                State::Read,
                &[
                    FirstSeen,
                    PendingEntered(State::Scheduled),
                    PendingLeft(State::Scheduled),
                    PendingEntered(State::Enroute),
                    PendingLeft(State::Enroute),
                    Delivered,
                    Read,
                ],
            ),
            (&[O::Delivered, O::Enroute, O::Failed(gone)], State::Delivered, &[FirstSeen, Delivered]),
            (
                &[O::Failed(gone), O::Delivered],
                State::Delivered,
                &[FirstSeen, Change::Failed(gone), Corrected { from: failed }, Delivered],
            ),
            (
                &[O::Failed(gone), O::Read],
                State::Read,
                &[FirstSeen, Change::Failed(gone), Corrected { from: failed }, Delivered, Read],
            ),
            (&[O::Read, O::Delivered], State::Read, &[FirstSeen, Delivered, Read]),
            (&[O::Failed(gone), O::Failed(Reason::Expired)], failed, &[FirstSeen, Change::Failed(gone)]),
            (&[O::Failed(gone), O::Unknown, O::Enroute], failed, &[FirstSeen, Change::Failed(gone)]),
            (&[O::Enroute, O::Scheduled], State::Enroute, &[FirstSeen, PendingEntered(State::Enroute)]),
        ];
        for (outcomes, state, changes) in table {
            assert_eq!(run(outcomes), (*state, changes.to_vec()), "{outcomes:?}");
        }
    }

    #[test]
    fn a_pending_message_expires_once_its_horizon_has_passed_and_a_late_receipt_corrects_it() {
        let (pending, _) = receive(None, sighting(Outcome::Enroute, 0));
        assert_eq!(expire(pending, at(72 * 3600 - 1), HORIZON), None);
        let (expired, changes) = expire(pending, at(72 * 3600), HORIZON).unwrap();
        assert_eq!(changes, [Change::PendingLeft(State::Enroute), Change::Expired]);
        assert_eq!(expire(expired, at(99 * 3600), HORIZON), None, "only once");

        let (unchanged, changes) = receive(Some(expired), sighting(Outcome::Enroute, 80 * 3600));
        assert_eq!((unchanged.state, changes), (State::Expired, vec![]));
        let (delivered, changes) = receive(Some(expired), sighting(Outcome::Delivered, 80 * 3600));
        assert_eq!(delivered.state, State::Delivered);
        assert_eq!(changes, vec![Change::Corrected { from: State::Expired }, Change::Delivered]);
    }

    #[test]
    fn the_horizon_of_a_scheduled_message_runs_from_the_time_at_which_it_is_sent() {
        let scheduled = Sighting { outcome: Outcome::Scheduled, arrived_at: at(0), sent_at: Some(at(1_000_000)) };
        let (message, _) = receive(None, scheduled);
        assert_eq!(message.pending_since, at(1_000_000));
        assert_eq!(expire(message, at(72 * 3600), HORIZON), None);
        assert!(expire(message, at(1_000_000 + 72 * 3600), HORIZON).is_some());
        let unknown = Sighting { outcome: Outcome::Unknown, ..scheduled };
        assert_eq!(receive(None, unknown).0.state, State::Scheduled);
    }

    #[test]
    fn a_state_reads_back_from_its_word() {
        for state in [
            State::Scheduled,
            State::Enroute,
            State::Delivered,
            State::Failed(Reason::Credit),
            State::Read,
            State::Expired,
        ] {
            assert_eq!(State::from_parts(state.as_str(), Some(Reason::Credit)), Some(state));
        }
        assert_eq!(State::from_parts("lost", None), None);
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Scheduled),
            Just(Outcome::Enroute),
            Just(Outcome::Delivered),
            Just(Outcome::Read),
            Just(Outcome::Unknown),
            proptest::sample::select(Reason::ALL.to_vec()).prop_map(Outcome::Failed),
        ]
    }

    /// The state without the reason, which is that of the first failure to arrive.
    fn settled(state: State) -> &'static str {
        state.as_str()
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_end_in_the_same_state(
            (outcomes, shuffled) in prop::collection::vec(any_outcome(), 1..8)
                .prop_flat_map(|outcomes| {
                    let twice: Vec<_> = outcomes.iter().chain(&outcomes).copied().collect();
                    (Just(outcomes), Just(twice).prop_shuffle())
                })
        ) {
            // An unknown status at first sight makes a message enroute, so it only commutes with statuses of that rank or higher.
            let only_scheduled_and_unknown = outcomes.iter().all(|o| matches!(o, Outcome::Scheduled | Outcome::Unknown));
            prop_assume!(!only_scheduled_and_unknown);
            prop_assert_eq!(settled(run(&outcomes).0), settled(run(&shuffled).0));
        }

        #[test]
        fn messages_are_pending_plus_delivered_plus_failed_plus_expired_minus_corrected(
            steps in prop::collection::vec((any_outcome(), 0i64..200_000, prop::option::of(-100_000i64..400_000)), 1..20)
        ) {
            let mut known: Option<Message> = None;
            let mut now = 0;
            let mut count: HashMap<&'static str, i64> = HashMap::new();
            for (outcome, wait, sent_in) in steps {
                now += wait;
                let mut changes = Vec::new();
                if let Some((message, expired)) = known.and_then(|k| expire(k, at(now), HORIZON)) {
                    known = Some(message);
                    changes.extend(expired);
                }
                let sent_at = sent_in.map(|s| at(now + s));
                let (message, received) = receive(known, Sighting { outcome, arrived_at: at(now), sent_at });
                known = Some(message);
                changes.extend(received);
                for change in changes {
                    let (name, by) = match change {
                        Change::FirstSeen => ("messages", 1),
                        Change::PendingEntered(_) => ("pending", 1),
                        Change::PendingLeft(_) => ("pending", -1),
                        Change::Delivered => ("delivered", 1),
                        Change::Failed(_) => ("failed", 1),
                        Change::Read => ("read", 1),
                        Change::Expired => ("expired", 1),
                        Change::Corrected { .. } => ("corrected", 1),
                    };
                    *count.entry(name).or_default() += by;
                }
                let n = |name| count.get(name).copied().unwrap_or(0);
                prop_assert_eq!(n("messages"), 1);
                prop_assert_eq!(n("messages"), n("pending") + n("delivered") + n("failed") + n("expired") - n("corrected"));
                prop_assert_eq!(n("pending"), i64::from(message.state.is_pending()));
                prop_assert!(n("delivered") <= 1 && n("read") <= n("delivered"));
            }
        }
    }
}
