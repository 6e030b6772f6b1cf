//! Load whose every consequence is known: clients that play the provider, and a model of what all that was acknowledged comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use super::peers::{Collector, attributes};
use super::provider::{receipt, reply};
use super::{Client, Exposition, HOOK, Smscope, eventually, holds, post};

const CLIENTS: u64 = 6;
const COUNTRIES: [(&str, &str); 3] = [("FR", "33612345678"), ("BE", "32470123456"), ("CH", "41791234567")];

/// The course of one message, its webhooks in the order in which they are acknowledged, and what it adds to the counts.
struct Course {
    webhooks: &'static [&'static str],
    counts: &'static [(&'static str, &'static str, &'static str)],
}

const DELIVERED: (&str, &str, &str) = ("sms_messages_delivered_total", "source", "smsmode");
const READ: (&str, &str, &str) = ("sms_messages_read_total", "source", "smsmode");
const ENROUTE: (&str, &str, &str) = ("sms_messages_pending", "state", "enroute");
const SCHEDULED: (&str, &str, &str) = ("sms_messages_pending", "state", "scheduled");
const CORRECTED: (&str, &str, &str) = ("sms_messages_corrected_total", "from", "failed");

const fn failed(reason: &'static str) -> (&'static str, &'static str, &'static str) {
    ("sms_messages_failed_total", "reason", reason)
}

const COURSES: [Course; 12] = [
    Course { webhooks: &["ENROUTE", "DELIVERED"], counts: &[DELIVERED] },
    Course { webhooks: &["ENROUTE", "DELIVERED", "READ"], counts: &[DELIVERED, READ] },
    Course { webhooks: &["DELIVERED", "ENROUTE"], counts: &[DELIVERED] },
    Course { webhooks: &["READ", "DELIVERED", "ENROUTE"], counts: &[DELIVERED, READ] },
    Course { webhooks: &["ENROUTE", "UNDELIVERED SPAM"], counts: &[failed("spam_filtered")] },
    Course { webhooks: &["UNDELIVERABLE BLACKLISTED", "ENROUTE"], counts: &[failed("blacklisted")] },
    Course { webhooks: &["DELIVERED", "UNDELIVERED EXPIRED"], counts: &[DELIVERED] },
    Course {
        webhooks: &["UNDELIVERED INTERNAL_ERROR", "DELIVERED"],
        counts: &[failed("provider_error"), CORRECTED, DELIVERED],
    },
    Course { webhooks: &["SCHEDULED", "ENROUTE"], counts: &[ENROUTE] },
    Course { webhooks: &["SCHEDULED"], counts: &[SCHEDULED] },
    Course { webhooks: &["reply"], counts: &[("sms_replies_total", "kind", "reply")] },
    Course { webhooks: &["stop"], counts: &[("sms_replies_total", "kind", "stop")] },
];

/// The metrics that are compared with what was sent, and the label that they are summed by.
const COMPARED: [(&str, &str); 12] = [
    ("sms_messages_total", "country"),
    ("sms_messages_delivered_total", "source"),
    ("sms_messages_read_total", "source"),
    ("sms_messages_failed_total", "reason"),
    ("sms_messages_expired_total", "source"),
    ("sms_messages_corrected_total", "from"),
    ("sms_messages_pending", "state"),
    ("sms_receipts_total", "status"),
    ("sms_replies_total", "kind"),
    ("sms_message_parts_total", "country"),
    ("sms_message_cost_total", "currency"),
    ("sms_network_outcomes_total", "outcome"),
];

/// What `make soak` asks of a test, in a variable of the environment.
pub fn soak(what: &str) -> Option<u64> {
    let value = std::env::var(format!("SMSCOPE_SOAK_{what}")).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("SMSCOPE_SOAK_{what} = {value:?}: expected a number")))
}

/// Counts by metric and label value, in millionths.
type Counts = BTreeMap<(&'static str, String), u64>;

/// All that was acknowledged, and what it must come to.
#[derive(Default)]
pub struct Truth {
    counts: Counts,
    /// Message and status value, or kind of reply.
    events: BTreeSet<(String, String)>,
}

fn add(truth: &mut Counts, metric: &'static str, value: &str, amount: f64) {
    *truth.entry((metric, value.to_owned())).or_default() += (amount * 1e6).round() as u64;
}

/// What `all` comes to, in the same form.
fn told(all: &Exposition) -> Counts {
    let sums = |(metric, label)| all.by(metric, label).into_iter().map(move |(value, sum)| ((metric, value), sum));
    COMPARED.into_iter().flat_map(sums).map(|(key, sum)| (key, (sum * 1e6).round() as u64)).collect()
}

/// Chance that is the same in each run.
pub struct Dice(u64);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX generator; its upper bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One thread that plays the provider: each webhook again until it is acknowledged, then the next.
struct Sender<'a> {
    /// Of the replicas; a webhook that was not acknowledged is sent to the next one.
    addresses: &'a [SocketAddr],
    next: usize,
    connection: Option<Client>,
    dice: Dice,
    progress: &'a Progress,
    truth: Counts,
    /// The webhooks that were acknowledged, by the key of their record.
    acknowledged: Vec<((String, String), String)>,
}

#[derive(Default)]
pub struct Progress {
    stop: AtomicBool,
    /// The test has failed already.
    abandoned: AtomicBool,
    /// A webhook that is new may be answered "duplicate": smscope itself asked its database again, whose answer was lost.
    loses_answers: AtomicBool,
    acknowledged: AtomicU64,
    /// Requests whose fate the client did not learn.
    broken: AtomicU64,
    /// Of those, the ones that turned out to have been stored.
    kept_unanswered: AtomicU64,
    retransmitted: AtomicU64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} webhooks acknowledged, {} retransmitted, {} broken off of which {} had been kept",
            said(&self.acknowledged),
            said(&self.retransmitted),
            said(&self.broken),
            said(&self.kept_unanswered)
        )
    }
}

impl Progress {
    /// Of replicas whose database's answers get lost.
    pub fn with_lost_answers() -> Self {
        Self { loses_answers: true.into(), ..Self::default() }
    }
}

/// The clients at work, and the guard that ends them when the test fails.
pub struct Clients<'scope, 'a> {
    threads: Vec<ScopedJoinHandle<'scope, Sender<'a>>>,
    progress: &'a Progress,
    _guard: AbandonOnPanic<'a>,
}

/// Starts clients that send until they are asked to finish.
pub fn start_clients<'scope, 'a: 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    progress: &'a Progress,
    addresses: &'a [SocketAddr],
    seed: u64,
) -> Clients<'scope, 'a> {
    progress.stop.store(false, Ordering::Relaxed);
    let start = |name: u64| {
        scope.spawn(move || {
            let dice = Dice::of(seed ^ name << 32);
            let (truth, acknowledged) = (Counts::new(), Vec::new());
            let next = name as usize;
            let mut sender = Sender { addresses, next, connection: None, dice, progress, truth, acknowledged };
            sender.run(&format!("{seed}-{name}"));
            sender
        })
    };
    Clients { threads: (1..=CLIENTS).map(start).collect(), progress, _guard: AbandonOnPanic(progress) }
}

impl Clients<'_, '_> {
    pub fn until_acknowledged(&self, more: u64) {
        let before = self.progress.acknowledged.load(Ordering::Relaxed);
        eventually("an acknowledgement", || {
            let now = self.progress.acknowledged.load(Ordering::Relaxed);
            let dead = self.threads.iter().filter(|client| client.is_finished()).count();
            assert_eq!(dead, 0, "clients that gave up");
            holds(now > before + more, || format!("{now}"))
        });
    }

    /// Lets each finish its message.
    pub fn finish(self) -> Truth {
        self.progress.stop.store(true, Ordering::Relaxed);
        let mut truth = Truth::default();
        for client in self.threads {
            let client = client.join().unwrap();
            truth.add(client.truth, client.acknowledged.into_iter().map(|(key, _)| key));
        }
        truth
    }
}

impl Truth {
    fn add(&mut self, counts: Counts, events: impl IntoIterator<Item = (String, String)>) {
        for (key, amount) in counts {
            *self.counts.entry(key).or_default() += amount;
        }
        for event in events {
            assert!(self.events.insert(event.clone()), "sent twice as new: {event:?}");
        }
    }

    /// Message and status value, or kind of reply, of each event.
    pub fn events(&self) -> &BTreeSet<(String, String)> {
        &self.events
    }

    /// The ids of all messages.
    pub fn messages(&self) -> BTreeSet<String> {
        self.events.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Takes in what another run has come to.
    pub fn join(&mut self, other: Truth) {
        self.add(other.counts, other.events);
    }

    /// Every acknowledged event is in the database once, and nothing else is.
    pub fn is_kept_in(&self, database: &std::path::Path) {
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut events = database.prepare("SELECT message_id, coalesce(status, kind) FROM event_log").unwrap();
        let events = events.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        self.is_stored_once(events.map(Result::unwrap));
        let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }

    /// The same of events by message and status value, or kind.
    pub fn is_stored_once(&self, events: impl IntoIterator<Item = (String, String)>) {
        let mut stored = BTreeSet::new();
        for (id, kind) in events {
            let kind = kind.trim_start_matches("reply.").replace("received", "reply");
            assert!(stored.insert((id.clone(), kind.clone())), "stored twice: {id} {kind}");
        }
        let lost: Vec<_> = self.events.difference(&stored).take(5).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let made_up: Vec<_> = stored.difference(&self.events).take(5).collect();
        assert!(made_up.is_empty(), "stored and never sent: {made_up:?}");
    }

    /// The scrape says what was acknowledged.
    pub fn is_scraped(&self, scraped: &Exposition) {
        assert_eq!(told(scraped), self.counts);
        invariant(scraped);
    }

    /// The scrape and the push say what was acknowledged, and the Collector has a record of each event under one uid.
    pub fn is_told_by(&self, smscope: Smscope, collector: &mut Collector) {
        self.is_scraped(&smscope.metrics());
        eventually("the push says what was acknowledged", || {
            let pushed = collector.metrics()?;
            let told = told(&pushed);
            holds(told == self.counts, || format!("{told:?} is not {:?}", self.counts))?;
            invariant(&pushed);
            Ok(())
        });
        smscope.until_exported();
        smscope.stop();
        // What it has accepted is in its file then.
        collector.terminate();
        let mut by_event: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        collector.each_record(|record| {
            let attributes = attributes(&record["attributes"]);
            let text = |key: &str| attributes[key].as_str().map(str::to_owned);
            let kind = match record["eventName"].as_str() {
                Some("sms.reply.received") => "reply".to_owned(),
                Some("sms.reply.stop") => "stop".to_owned(),
                _ => text("sms.status.value").unwrap(),
            };
            let event = (text("messaging.message.id").unwrap(), kind);
            by_event.entry(event).or_default().insert(text("log.record.uid").unwrap());
        });
        assert!(by_event.keys().eq(&self.events), "{} events told of {}", by_event.len(), self.events.len());
        let twice: Vec<_> = by_event.iter().filter(|(_, uids)| uids.len() != 1).take(5).collect();
        assert!(twice.is_empty(), "one event under several uids: {twice:?}");
        let distinct: BTreeSet<&String> = by_event.values().flatten().collect();
        assert_eq!(distinct.len(), self.events.len(), "several events under one uid");
    }
}

/// A client would try for ever to deliver to what a failing test has left dead.
struct AbandonOnPanic<'a>(&'a Progress);

impl Drop for AbandonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.abandoned.fetch_or(std::thread::panicking(), Ordering::Relaxed);
    }
}

impl Sender<'_> {
    fn run(&mut self, name: &str) {
        let mut number = 0;
        while !self.progress.stop.load(Ordering::Relaxed) {
            number += 1;
            let course = &COURSES[self.dice.below(COURSES.len() as u64) as usize];
            let (country, to) = COUNTRIES[self.dice.below(3) as usize];
            let id = format!("{name}-{number}");
            for webhook in course.webhooks {
                let body = match *webhook {
                    "reply" => reply(&id, "none", "Thank you", json!({})),
                    "stop" => reply(&id, "none", "STOP", json!({})),
                    status => receipt(&id, status, json!({"recipient": {"to": to}})),
                };
                let body = body.to_string();
                self.deliver(&body);
                let value = webhook.split(' ').next().unwrap();
                self.acknowledged.push(((id.clone(), value.to_owned()), body));
                if !matches!(*webhook, "reply" | "stop") {
                    add(&mut self.truth, "sms_receipts_total", value, 1.0);
                }
                if self.dice.below(4) == 0 {
                    self.retransmit();
                }
            }
            self.count(course, country);
        }
    }

    fn count(&mut self, course: &Course, country: &str) {
        for (metric, _, value) in course.counts {
            add(&mut self.truth, metric, value, 1.0);
            match *metric {
                "sms_messages_delivered_total" => add(&mut self.truth, "sms_network_outcomes_total", "delivered", 1.0),
                "sms_messages_failed_total" => add(&mut self.truth, "sms_network_outcomes_total", "failed", 1.0),
                _ => {}
            }
        }
        if !matches!(course.webhooks[0], "reply" | "stop") {
            add(&mut self.truth, "sms_messages_total", country, 1.0);
            add(&mut self.truth, "sms_message_parts_total", country, 2.0);
            add(&mut self.truth, "sms_message_cost_total", "EUR", 0.045);
        }
    }

    /// Sends a new webhook until it is acknowledged.
    fn deliver(&mut self, body: &str) {
        let mut unanswered = false;
        loop {
            match self.attempt(body) {
                Some(result) if result == "accepted" => break,
                Some(result) => {
                    let is_known = unanswered || self.progress.loses_answers.load(Ordering::Relaxed);
                    assert!(is_known && result == "duplicate", "a webhook that is new was answered {result}: {body}");
                    self.progress.kept_unanswered.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                None => unanswered = true,
            }
        }
        self.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends one again that was acknowledged, maybe before several kills: it has to be known still.
    fn retransmit(&mut self) {
        let chosen = self.dice.below(self.acknowledged.len() as u64) as usize;
        let body = self.acknowledged[chosen].1.clone();
        let result = loop {
            if let Some(result) = self.attempt(&body) {
                break result;
            }
        };
        assert_eq!(result, "duplicate", "acknowledged before, and not known any more: {body}");
        self.progress.retransmitted.fetch_add(1, Ordering::Relaxed);
    }

    fn connect(&mut self) -> io::Result<Client> {
        self.next += 1;
        Client::try_connect(self.addresses[self.next % self.addresses.len()])
    }

    /// The result, or `None` where there was no acknowledgement.
    fn attempt(&mut self, body: &str) -> Option<String> {
        assert!(!self.progress.abandoned.load(Ordering::Relaxed), "abandoned");
        let connection = self.connection.take().map_or_else(|| self.connect(), Ok);
        let asked = connection.and_then(|mut connection| {
            let response = connection.try_ask(post(HOOK, body))?;
            self.connection = Some(connection);
            Ok(response)
        });
        match asked {
            Ok(response) if response.status == 200 => Some(response.result()),
            Ok(response) => {
                assert_eq!(response.status, 503, "{response:?}");
                self.connection = None;
                std::thread::sleep(Duration::from_millis(20));
                None
            }
            Err(error) => {
                let never_left = error.kind() == io::ErrorKind::ConnectionRefused;
                self.progress.broken.fetch_add(u64::from(!never_left), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
                None
            }
        }
    }
}

/// For every set of labels: messages = pending + delivered + failed + expired - corrected.
fn invariant(all: &Exposition) {
    for (series, messages) in all.matching("sms_messages_total", &[]) {
        let labels: Vec<(&str, &str)> = series.labels.iter().map(|(label, value)| (&**label, &**value)).collect();
        let sum = |name| all.sum(name, &labels);
        let parts = sum("sms_messages_pending")
            + sum("sms_messages_delivered_total")
            + sum("sms_messages_failed_total")
            + sum("sms_messages_expired_total")
            - sum("sms_messages_corrected_total");
        assert_eq!(messages, parts, "{labels:?}");
    }
}
