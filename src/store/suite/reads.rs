//! Whoever reads gets the same from every store that is on disk: each question of [`Reader`], and what commands make of the answers.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::Harness;
use super::actions::Action;
use super::model::{Step, at, everything, step};
use crate::event::{Country, Event, Network, Outcome, Reason, Receipt, SourceName};
use crate::record::{Entry, Kind, Position};
use crate::route::RelayName;
use crate::settings::postgres::{Password, Url};
use crate::settings::{Durability, Postgres};
use crate::store::cohorts::Detail;
use crate::store::core::erase::{Regions, Subjects, Target};
use crate::store::core::relays::{AttemptOutcome, Due, Undelivered};
use crate::store::ids::{DeliveryId, MessageRowId, OptOutSeq};
use crate::store::postgres::PgReaders;
use crate::store::postgres::harness::{OnPostgres, has_server};
use crate::store::query::{Message, ReadStore, Selection};
use crate::store::read::{Person, Reader, Table};
use crate::store::search::EventFilter;
use crate::store::sqlite::Readers;
use crate::store::sqlite::harness::OnSqlite;
use crate::store::tests::{delivered, junk, receipt, source, submission_at};
use crate::store::{Connector, OpenError, Reprocessed, StoreError, Submission};
use crate::test_support::postgres::Server;

/// Both stores, with the same in them.
struct Stores {
    sqlite: OnSqlite,
    postgres: OnPostgres,
}

/// An attempt of the n-th delivery that is stored: when the newest one is done, SQLite gives its id to the next.
fn of_delivery(action: &Action, store: &impl Harness) -> Action {
    let Action::SaveAttempt(attempt, at) = action else { return action.clone() };
    let nth = store.dump().deliveries.keys().nth(attempt.delivery.0 as usize - 1).copied();
    let delivery = nth.unwrap_or(DeliveryId(i64::MAX));
    Action::SaveAttempt(AttemptOutcome { delivery, ..attempt.clone() }, *at)
}

/// Readers of both, for jobs and for commands.
struct Readings {
    jobs: [Box<dyn Reader>; 2],
    commands: [ReadStore; 2],
    _folder: TempDir,
}

impl Stores {
    fn new() -> Self {
        Self { sqlite: OnSqlite::new(everything()), postgres: OnPostgres::new(everything()) }
    }

    fn run(&mut self, action: &Action, commits: bool) {
        let in_sqlite = self.sqlite.run(&of_delivery(action, &self.sqlite), commits);
        let in_postgres = self.postgres.run(&of_delivery(action, &self.postgres), commits);
        assert_eq!(in_sqlite, in_postgres, "{action:?}");
    }

    /// The name of the database on the server.
    fn database(&self) -> String {
        let found = self.postgres.session.query_opt("SELECT current_database()::text", &[]);
        OnPostgres::runtime().block_on(found).unwrap().unwrap().get(0)
    }

    fn read(&self) -> Readings {
        let folder = TempDir::new().unwrap();
        self.sqlite.copy_into(folder.path());
        let url = Server::shared().unwrap().url(&self.database());
        let in_postgres = PgReaders::new(connector(&url, true), OnPostgres::runtime().handle().clone());
        Readings {
            jobs: [Box::new(Readers::of(folder.path())), Box::new(in_postgres)],
            commands: [ReadStore::open(folder.path()).unwrap(), ReadStore::connect(connector(&url, false)).unwrap()],
            _folder: folder,
        }
    }
}

impl Readings {
    /// What both answer.
    fn jobs<T: Debug>(&self, what: &str, ask: impl Fn(&dyn Reader) -> Result<T, StoreError>) -> T {
        let [sqlite, postgres] = self.jobs.each_ref().map(|reader| ask(&**reader).unwrap());
        assert_eq!(format!("{sqlite:#?}"), format!("{postgres:#?}"), "{what}");
        sqlite
    }

    fn commands<T: Debug>(&self, what: &str, ask: impl Fn(&ReadStore) -> Result<T, StoreError>) -> T {
        let [sqlite, postgres] = self.commands.each_ref().map(|store| ask(store).unwrap());
        assert_eq!(format!("{sqlite:#?}"), format!("{postgres:#?}"), "{what}");
        sqlite
    }

    fn are_the_same(&self) {
        self.of_the_journal();
        self.of_messages();
        self.of_jobs();
        self.of_commands();
    }

    fn of_the_journal(&self) {
        let newest = self.jobs("newest", |reader| reader.newest());
        for table in [Table::Events, Table::Messages] {
            self.jobs("ends", |reader| reader.ends(table));
            for id in [-1, 0, 1, 3, newest.0, newest.0 + 1] {
                self.jobs("first from", |reader| reader.first_from(table, id));
            }
        }
        for (position, limit) in [(0, 1_000), (0, 3), (2, 2), (newest.0, 5)] {
            let position = Position(position);
            self.jobs("entries", |reader| reader.entries_after(position, limit));
            // Whatever the order of the members.
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            self.jobs("events after", |reader| {
                let events = reader.events_after(position, limit)?;
                Ok(events.into_iter().map(|e| (e.position, e.received_at, e.source, json(&e.json))).collect::<Vec<_>>())
            });
            self.jobs("events before", |reader| {
                let events = reader.events_before(position.plus(4), limit)?;
                Ok(events.into_iter().map(|e| (e.position, e.received_at, e.source, json(&e.json))).collect::<Vec<_>>())
            });
        }
        for limit in [2, 1_000] {
            self.jobs("personal events", |reader| {
                let events = reader.personal_events_after(Position(1), limit)?.into_iter().map(|event| {
                    let Person { number, ref_client, message_id, erased } = event.person;
                    let person = (number, ref_client, message_id, erased);
                    (event.position, event.source, event.kind, event.message, event.raw, person)
                });
                Ok(events.collect::<Vec<_>>())
            });
        }
        let all: Vec<Position> = (0..=newest.0 + 1).map(Position).collect();
        for positions in [&all[..], &all[..all.len() / 2], &[]] {
            self.jobs("requests", |reader| Ok(BTreeMap::from_iter(sorted(reader.requests_of(positions)?))));
        }
        for position in &all {
            self.jobs("a chain", |reader| reader.chain(*position));
            self.jobs("an event", |reader| reader.event_and_previous(*position));
            self.jobs("unrecognized", |reader| reader.unrecognized_after(*position, newest));
            self.jobs("unrecognized, up to now", |reader| reader.unrecognized_after(Position(0), *position));
        }
        for ids in [["r0", "r0"], ["none", "r1"], ["m0", "none"]] {
            self.jobs("a reply", |reader| Ok(reader.reply(ids)?.map(|entry| entry.record)));
        }
    }

    fn of_messages(&self) {
        for (id, limit) in [(0, 1_000), (0, 2), (2, 1), (1_000, 1)] {
            self.jobs("messages", |reader| reader.messages_after(MessageRowId(id), limit));
            self.jobs("recipients", |reader| {
                let all = reader.recipients_after(MessageRowId(id), limit)?.into_iter();
                let all = all.map(|one| (one.id, one.source, one.message_id, one.number, one.part, one.is_erased));
                Ok(all.collect::<Vec<_>>())
            });
        }
        for id in ["m0", "m1", "m2", "m3", "none"] {
            self.jobs("messages with an id", |reader| reader.messages_with_id(id));
        }
        for reference in ["reference 0", "reference 2", "none"] {
            self.jobs("messages with a reference", |reader| reader.messages_with_reference(reference));
        }
        for source in [source(), SourceName::new("other").unwrap()] {
            for hour in 0..13 {
                self.jobs("overdue", |reader| reader.overdue(&source, at(hour), 1_000));
                self.jobs("some overdue", |reader| reader.overdue(&source, at(hour), 2));
            }
        }
        self.jobs("names", |reader| Ok(BTreeMap::from_iter(reader.network_names()?)));
    }

    fn of_jobs(&self) {
        // Without ids, which differ.
        let due = |due: Due| {
            let all = due.deliveries.into_iter();
            (all.map(|one| (one.attempts, one.since, one.entry, one.request)).collect::<Vec<_>>(), due.next)
        };
        let undelivered = |all: Vec<Undelivered>| {
            let all = all.into_iter();
            all.map(|one| Undelivered { id: DeliveryId(0), ..one }).collect::<Vec<_>>()
        };
        for relay in ["app", "raw", "other"].map(|name| RelayName::new(name).unwrap()) {
            for hour in 0..13 {
                self.jobs("due", |reader| Ok(due(reader.due(&relay, at(hour), &[], 1_000)?)));
                self.jobs("some due", |reader| {
                    let all = reader.due(&relay, at(hour), &[], 1_000)?.deliveries;
                    let in_flight: Vec<DeliveryId> = all.iter().step_by(3).map(|one| one.id).collect();
                    Ok(due(reader.due(&relay, at(hour), &in_flight, 2)?))
                });
            }
            self.jobs("undelivered", |reader| Ok(undelivered(reader.undelivered(Some(relay.as_str()), false, 3)?)));
        }
        for only_dead in [false, true] {
            self.jobs("all undelivered", |reader| Ok(undelivered(reader.undelivered(None, only_dead, 1_000)?)));
        }
        for hour in 0..13 {
            self.jobs("due resends", |reader| reader.due_resends(&source(), at(hour), 1_000));
        }
        self.jobs("opt-outs", |reader| reader.opt_outs_after(OptOutSeq::default(), 1_000));
        self.jobs("some opt-outs", |reader| reader.opt_outs_after(OptOutSeq(1), 1));
        for number in ["33612345678", "33687654321"] {
            self.jobs("opt-outs of a number", |reader| reader.opt_outs_of(&source(), number));
        }
        self.jobs("gauges", |reader| {
            let gauges = reader.gauges(&everything())?;
            assert!(gauges.bytes_in_use > 0);
            Ok((gauges.oldest_pending, gauges.oldest_relayed, gauges.events, gauges.size_limit))
        });
    }

    fn of_commands(&self) {
        for id in ["m0", " m3 ", "reference 0", "none"] {
            self.commands("journeys", |store| store.journeys(id));
        }
        // By reading events: halfway through an erasure, the index of one store no longer finds those whose message is erased already.
        let times = [None, Some(at(0)), Some(at(5)), Some(at(11))];
        for (since, until) in times.into_iter().flat_map(|since| times.map(|until| (since, until))) {
            for subjects in [None, Some(subject())] {
                for message in [None, Some("m1".to_owned())] {
                    self.of_a_walk(&Selection { since, until, message, subjects: subjects.clone() });
                }
                for kinds in [vec![], vec![Kind::Failed]] {
                    let subjects = subjects.clone();
                    let filter = EventFilter { since, until, subjects, kinds, ..EventFilter::default() };
                    self.commands("newest events of people or a kind", |store| store.scan(&filter, 4));
                }
            }
            let message_id = Some("m1".to_owned());
            let filter = EventFilter { since, until, message_id, ..EventFilter::default() };
            self.commands("newest events of a message", |store| store.scan(&filter, 4));
            let ref_client = Some("reference 2".to_owned());
            let filter = EventFilter { since, until, ref_client, ..EventFilter::default() };
            self.commands("newest events of a reference", |store| store.scan(&filter, 4));
            let filter = EventFilter { since, until, ..EventFilter::default() };
            self.commands("newest events", |store| store.scan(&filter, 5));
        }
        for campaign in [false, true] {
            for network in [false, true] {
                let detail = Detail { campaign, network };
                for hour in [0, 3, 12] {
                    self.commands("cohorts", |store| store.cohorts(at(hour), detail));
                }
            }
        }
    }

    fn of_a_walk(&self, selection: &Selection) {
        self.commands("a walk through events", |store| {
            let mut seen: Vec<(Option<Entry>, f64)> = Vec::new();
            store.events(selection, |event, share| -> Result<(), StoreError> {
                seen.push((event, share));
                Ok(())
            })?;
            Ok(seen)
        });
        self.commands("a walk through requests", |store| {
            let mut seen = Vec::new();
            store.requests(selection, |request, _| -> Result<(), StoreError> {
                seen.extend(request);
                Ok(())
            })?;
            Ok(seen)
        });
        self.commands("a walk through messages", |store| {
            let mut seen: Vec<Option<Message>> = Vec::new();
            store.messages(selection, |message, _| -> Result<(), StoreError> {
                seen.push(message);
                Ok(())
            })?;
            Ok(seen)
        });
    }
}

fn sorted<T>(requests: impl IntoIterator<Item = (Position, T)>) -> Vec<(Position, T)> {
    let mut all: Vec<_> = requests.into_iter().collect();
    all.sort_by_key(|(position, _)| *position);
    all
}

/// `prepares`: statements are prepared, as they are without a pooler.
fn connector(url: &str, prepares: bool) -> Connector {
    Connector::new(&Postgres {
        setting: "store.url".into(),
        url: Url::parse(url).unwrap(),
        password: Password::None,
        tls: None,
        prepares,
        durability: Durability::Server,
        is_unsafe: false,
    })
}

fn subject() -> Subjects {
    let regions = Regions::new([], Country::new("FR").unwrap());
    Subjects::new(&["+33612345678".to_owned()], regions).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn all_stores_are_read_alike_whatever_happened(steps in prop::collection::vec(step(), 1..60)) {
        if has_server() {
            let mut stores = Stores::new();
            for step in steps {
                match step {
                    Step::Run(action, commits) => stores.run(&action, commits),
                    Step::Restart => {}
                }
            }
            stores.read().are_the_same();
        }
    }
}

/// A receipt of a message to a network, of a campaign.
fn to_network(id: &str, code: &str, name: &str, campaign: Option<&str>, outcome: Outcome) -> Event {
    Event::Receipt(Box::new(Receipt {
        network: Network { mccmnc: Some(code.into()), name: Some(name.into()) },
        campaign_id: campaign.map(str::to_owned),
        ref_client: Some("reference 2".into()),
        parts: Some(2),
        ..receipt(id, "UNDELIVERED", outcome)
    }))
}

#[test]
fn all_stores_are_read_alike_with_what_is_rare() {
    if !has_server() {
        return;
    }
    let mut stores = Stores::new();
    let failed = Outcome::Failed(Reason::HandsetAbsent);
    for (hour, events) in [
        (0, vec![to_network("m0", "20801", "Orange", None, failed), junk(1), junk(2)]),
        (1, vec![junk(3), delivered("m1"), junk(4)]),
        (2, vec![to_network("m2", "20802", "Orange", Some("summer"), failed), junk(5)]),
        (3, vec![to_network("m3", "20810", "SFR", Some("summer"), failed)]),
        (4, vec![junk(6)]),
    ] {
        stores.run(&Action::Ingest(submission_at(at(hour), events)), true);
    }
    stores.read().are_the_same();

    // Two of the requests are understood by now, one of them in part.
    let read = |readings: &Readings, position| {
        let found = readings.jobs("unrecognized", |reader| reader.unrecognized_after(position, Position(1_000)));
        found.unwrap().0
    };
    let first = read(&stores.read(), Position(0));
    assert!(!first.is_whole && first.events.len() == 2, "{first:?}");
    let last = read(&stores.read(), Position(first.request.0 + 7));
    assert!(last.is_whole, "{last:?}");
    for (found, resolves, hour) in [(&first, &first.events[..1], 5), (&last, &last.events[..], 6)] {
        let redacted = Some(("a=b".to_owned(), b"[]".to_vec()));
        let reprocessed = Reprocessed { request: found.request, resolves: resolves.to_vec(), redacted, at: at(hour) };
        let events = vec![delivered(&format!("late {hour}"))];
        let submission = submission_at(found.received_at, events);
        stores.run(&Action::Ingest(Submission { reprocessed: Some(reprocessed), ..submission }), true);
    }
    stores.read().are_the_same();

    let dump = stores.sqlite.dump();
    let target = Arc::new(Target { subjects: subject(), ids: HashSet::new() });
    stores.run(&Action::EraseMessages(dump.messages.keys().copied().take(2).collect(), at(7)), true);
    stores.run(&Action::EraseEvents(dump.journal.keys().copied().take(4).collect(), target, at(7)), true);
    stores.read().are_the_same();
}

#[test]
fn readers_connect_again_when_the_server_has_closed_their_connections() {
    if !has_server() {
        return;
    }
    let stores = Stores::new();
    let readings = stores.read();
    readings.are_the_same();
    let close = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'smscope'";
    let closed = Server::shared().unwrap().sql(&stores.database(), close);
    assert_eq!(closed, "2", "a connection of jobs and one of commands stay open between reads");
    readings.are_the_same();
}

#[test]
fn a_database_without_our_tables_or_with_ones_that_only_a_newer_version_can_read_is_not_read() {
    if !has_server() {
        return;
    }
    let server = Server::shared().unwrap();
    let database = server.create_database();
    let connect = |database: &str| ReadStore::connect(connector(&server.url(database), true)).err();
    assert!(matches!(connect(&database), Some(OpenError::NotOurs)));
    server.sql(
        &database,
        "CREATE SCHEMA smscope AUTHORIZATION smscope; CREATE TABLE smscope.schema_version (version int, oldest_reader int)",
    );
    server.sql(&database, "ALTER TABLE smscope.schema_version OWNER TO smscope");
    assert!(matches!(connect(&database), Some(OpenError::NotOurs)));
    server.sql(&database, "INSERT INTO smscope.schema_version VALUES (1000, 1000)");
    assert!(matches!(connect(&database), Some(OpenError::Newer { found: 1000, .. })));
    server.sql(&database, "UPDATE smscope.schema_version SET oldest_reader = 1");
    assert!(connect(&database).is_none());
    assert!(matches!(connect("nowhere"), Some(OpenError::Database(_))));
}
