//! kill -9 under load, again and again: what was acknowledged is counted once and told, by both ways out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers::{Collector, Exposition, Http, Smscope, attributes, eventually, holds};
use crate::provider::{receipt, reply};

const KILLS: u64 = 20;
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

/// What all that was acknowledged must come to: by metric and label value, in millionths.
type Truth = BTreeMap<(&'static str, String), u64>;

fn add(truth: &mut Truth, metric: &'static str, value: &str, amount: f64) {
    *truth.entry((metric, value.to_owned())).or_default() += (amount * 1e6).round() as u64;
}

/// What `all` comes to, in the same form.
fn told(all: &Exposition) -> Truth {
    let sums = |(metric, label)| all.by(metric, label).into_iter().map(move |(value, sum)| ((metric, value), sum));
    COMPARED.into_iter().flat_map(sums).map(|(key, sum)| (key, (sum * 1e6).round() as u64)).collect()
}

/// Chance that is the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX generator; its upper bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One thread that plays the provider: each webhook again until it is acknowledged, then the next.
struct Client<'a> {
    http: Http,
    url: String,
    dice: Dice,
    progress: &'a Progress,
    truth: Truth,
    /// The webhooks that were acknowledged, by the key of their record.
    acknowledged: Vec<((String, String), String)>,
}

#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    /// The test has failed already.
    abandoned: AtomicBool,
    acknowledged: AtomicU64,
    /// Requests whose fate the client did not learn.
    broken: AtomicU64,
    /// Of those, the ones that turned out to have been kept.
    kept_unanswered: AtomicU64,
    retransmitted: AtomicU64,
}

/// A client would try for ever to deliver to what a failing test has left dead.
struct AbandonOnPanic<'a>(&'a Progress);

impl Drop for AbandonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.abandoned.fetch_or(std::thread::panicking(), Ordering::Relaxed);
    }
}

impl Client<'_> {
    fn run(&mut self, name: u64) {
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
                    assert!(unanswered && result == "duplicate", "a webhook that is new was answered {result}: {body}");
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

    /// The result, or `None` where there was no acknowledgement.
    fn attempt(&self, body: &str) -> Option<String> {
        assert!(!self.progress.abandoned.load(Ordering::Relaxed), "abandoned");
        match self.http.post_json(&self.url, body) {
            Ok(answer) if answer.status == 200 => {
                let answer: Value = serde_json::from_str(&answer.body).unwrap();
                Some(answer["result"].as_str().unwrap().to_owned())
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.body);
                std::thread::sleep(Duration::from_millis(20));
                None
            }
            Err(error) => {
                let never_left = error.contains("ConnectionRefused");
                self.progress.broken.fetch_add(u64::from(!never_left), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
                None
            }
        }
    }
}

#[test]
fn twenty_kills_under_load_lose_nothing_that_was_acknowledged_and_count_nothing_twice() {
    let started = Instant::now();
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let mut smscope = Smscope::new(folder.path()).with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()).start();
    let progress = Progress::default();
    let clients: Vec<Client<'_>> = std::thread::scope(|scope| {
        let start = |name| {
            let (url, progress) = (smscope.hook("smsmode"), &progress);
            scope.spawn(move || {
                let (http, dice) = (Http::new(), Dice(name));
                let mut client = Client { http, url, dice, progress, truth: Truth::new(), acknowledged: Vec::new() };
                client.run(name);
                client
            })
        };
        let clients: Vec<_> = (1..=CLIENTS).map(start).collect();
        let _guard = AbandonOnPanic(&progress);
        let mut dice = Dice(99);
        for kill in 0..KILLS {
            let before = progress.acknowledged.load(Ordering::Relaxed);
            // Every fourth time it is killed while it starts, the other times with something acknowledged since.
            if kill % 4 != 3 {
                eventually("an acknowledgement", || {
                    let now = progress.acknowledged.load(Ordering::Relaxed);
                    let dead = clients.iter().filter(|client| client.is_finished()).count();
                    assert_eq!(dead, 0, "clients that gave up");
                    holds(now > before + 10, || format!("{now}"))
                });
            }
            std::thread::sleep(Duration::from_millis(dice.below(400)));
            smscope.kill();
            smscope.spawn();
        }
        smscope.until_ready();
        progress.stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });

    let mut truth = Truth::new();
    let mut events = BTreeSet::new();
    for client in clients {
        for (key, amount) in client.truth {
            *truth.entry(key).or_default() += amount;
        }
        events.extend(client.acknowledged.into_iter().map(|(key, _)| key));
    }
    let said = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} kills, {} webhooks acknowledged, {} retransmitted, {} broken off of which {} had been kept, {:?}",
        KILLS,
        said(&progress.acknowledged),
        said(&progress.retransmitted),
        said(&progress.broken),
        said(&progress.kept_unanswered),
        started.elapsed(),
    );
    assert_eq!(events.len() as u64, said(&progress.acknowledged));
    assert!(said(&progress.broken) > 0, "no kill hit a request");

    let scraped = smscope.metrics();
    assert_eq!(told(&scraped), truth);
    invariant(&scraped);
    eventually("the push says what was acknowledged", || {
        let pushed = collector.metrics()?;
        let told = told(&pushed);
        holds(told == truth, || format!("{told:?} is not {truth:?}"))?;
        invariant(&pushed);
        Ok(())
    });

    smscope.until_exported();
    smscope.terminate();
    let by_event = eventually("a record of each event", || {
        let mut uids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for record in collector.records() {
            let attributes = attributes(&record["attributes"]);
            let text = |key: &str| attributes[key].as_str().map(str::to_owned);
            let kind = match record["eventName"].as_str() {
                Some("sms.reply.received") => "reply".to_owned(),
                Some("sms.reply.stop") => "stop".to_owned(),
                _ => text("sms.status.value").unwrap(),
            };
            let event = (text("messaging.message.id").unwrap(), kind);
            uids.entry(event).or_default().insert(text("log.record.uid").unwrap());
        }
        holds(uids.len() >= events.len(), || format!("{} of {}", uids.len(), events.len())).map(|()| uids)
    });
    assert!(by_event.keys().eq(&events), "records of what was never sent");
    let twice: Vec<_> = by_event.iter().filter(|(_, uids)| uids.len() != 1).collect();
    assert!(twice.is_empty(), "one event under several uids: {twice:?}");
    let distinct: BTreeSet<&String> = by_event.values().flatten().collect();
    assert_eq!(distinct.len(), events.len(), "several events under one uid");
    println!("all of it in {:?}", started.elapsed());
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
