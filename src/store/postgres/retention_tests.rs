//! What is deleted when, and what stays.

use super::super::harness::{OnPostgres, connect, empty_database, has_server};
use super::*;

const DAY: i64 = MILLISECONDS_PER_DAY;

/// Everything before day 105 may go.
fn limits() -> EventLimits {
    EventLimits { stored_before: 105 * DAY, exported_to: None, relayed_from: None, given_up_before: 0 }
}

async fn add_day(session: &Session, day: i32, positions: std::ops::Range<i64>) {
    for table in ["journal", "received"] {
        let sql = format!(
            "CREATE TABLE smscope.{table}_{day} PARTITION OF smscope.{table} FOR VALUES FROM ({day}) TO ({})",
            day + 1
        );
        session.batch(&sql).await.unwrap();
    }
    let rows = format!(
        "INSERT INTO smscope.journal (day, position, received_at, source, kind, event) \
         SELECT {day}, position, 0, 's', 'message.read', '{{}}' FROM generate_series({}, {}) AS position",
        positions.start,
        positions.end - 1
    );
    session.batch(&rows).await.unwrap();
}

/// The days before 1,000 that a table has partitions of.
async fn days(session: &Session, table: &str) -> Vec<i32> {
    let all = partitions(session).await.unwrap().into_iter();
    all.filter(|one| one.table == table && (1..1_000).contains(&one.day)).map(|one| one.day).collect()
}

fn head(session: &Session) -> impl Future<Output = Option<String>> {
    let sql = "SELECT value FROM smscope.meta WHERE key = 'journal_head'";
    async { session.query_opt(sql, &[]).await.unwrap().map(|row| row.get(0)) }
}

#[test]
fn days_go_once_they_are_old_exported_and_relayed_and_no_position_is_used_twice() {
    if !has_server() {
        return;
    }
    for (limits, left) in [
        (EventLimits { stored_before: 100 * DAY, ..limits() }, &[100, 101, 103, 105][..]),
        (EventLimits { stored_before: 102 * DAY - 1, ..limits() }, &[101, 103, 105]),
        (EventLimits { exported_to: Some(Position(15)), ..limits() }, &[101, 103, 105]),
        (EventLimits { exported_to: Some(Position(15)), given_up_before: 102 * DAY, ..limits() }, &[103, 105]),
        (EventLimits { relayed_from: Some(Position(20)), ..limits() }, &[103, 105]),
        (EventLimits { relayed_from: Some(Position(19)), ..limits() }, &[101, 103, 105]),
        (limits(), &[105]),
    ] {
        let (session, _) = empty_database();
        OnPostgres::runtime().block_on(async {
            add_day(&session, 100, 1..10).await;
            add_day(&session, 101, 10..20).await;
            add_day(&session, 103, 20..30).await;
            add_day(&session, 105, 30..31).await;
            drop_partitions(&session, limits).await.unwrap();
            assert_eq!(days(&session, "journal").await, left, "{limits:?}");
            let expected = match left[0] {
                100 => None,
                101 => Some("9"),
                103 => Some("19"),
                _ => Some("29"),
            };
            assert_eq!(head(&session).await.as_deref(), expected, "{limits:?}");
        });
    }
}

#[test]
fn a_request_stays_a_day_longer_than_its_event_and_until_it_is_processed() {
    if !has_server() {
        return;
    }
    let (session, _) = empty_database();
    OnPostgres::runtime().block_on(async {
        for day in 100..=105 {
            add_day(&session, day, i64::from(day)..i64::from(day) + 1).await;
        }
        session.batch("INSERT INTO smscope.inbox VALUES (1, 102, clock_timestamp(), '{1}')").await.unwrap();
        drop_partitions(&session, limits()).await.unwrap();
        assert_eq!(days(&session, "journal").await, [105]);
        assert_eq!(days(&session, "received").await, [102, 103, 104, 105]);
        session.batch("DELETE FROM smscope.inbox").await.unwrap();
        drop_partitions(&session, limits()).await.unwrap();
        assert_eq!(days(&session, "received").await, [104, 105]);
    });
}

#[test]
fn what_a_reader_has_interrupted_is_completed_by_the_next_call() {
    if !has_server() {
        return;
    }
    let (session, database) = empty_database();
    OnPostgres::runtime().block_on(async {
        add_day(&session, 100, 1..10).await;
        session.batch("SET lock_timeout = '50ms'").await.unwrap();
        let reader = connect(&database).await;
        reader.batch("BEGIN; SELECT 1 FROM smscope.journal LIMIT 1").await.unwrap();
        drop_partitions(&session, limits()).await.unwrap_err();
        let pending = Partition { day: 100, table: "journal", attached: Attached::Pending };
        assert!(partitions(&session).await.unwrap().contains(&pending));
        reader.batch("COMMIT").await.unwrap();
        drop_partitions(&session, limits()).await.unwrap();
        assert_eq!(days(&session, "journal").await, [0; 0]);
        assert_eq!(head(&session).await.as_deref(), Some("9"));
    });
}

const INSERT_MESSAGES: &str = "INSERT INTO smscope.messages (id, key, source, message_id, part, state, channel, flow, country, \
    accepted_at, first_seen, pending_since, last_event, receipts) \
    SELECT id, gen_random_uuid(), 's', id::text, '', state, 'SMS', 'OTP', 'FR', 0, first_seen, first_seen, last_event, '' FROM ";

/// What stays of messages with these ids, states, first sights and last events, of what is silent since before 500.
fn left_of(messages: &str) -> Vec<i64> {
    let (session, _) = empty_database();
    OnPostgres::runtime().block_on(async {
        let rows = format!("{INSERT_MESSAGES} (VALUES {messages}) AS m (id, state, first_seen, last_event)");
        session.batch(&rows).await.unwrap();
        let mut from = Some(MessageRowId::default());
        while let Some(next) = from {
            from = prune_messages(&session, next, 500, 1_000).await.unwrap();
        }
        let left = session.query("SELECT id FROM smscope.messages ORDER BY id", &[]).await.unwrap();
        left.iter().map(|row| row.get(0)).collect()
    })
}

#[test]
fn a_message_goes_once_it_is_settled_and_silent_and_the_newest_one_stays() {
    if !has_server() {
        return;
    }
    for (messages, left) in [
        (
            "(1, 'read', 100, 499), (2, 'read', 100, 500), (3, 'enroute', 100, 100), (4, 'read', 100, 100)",
            &[2, 3, 4][..],
        ),
        // What follows a younger one is younger still; what a wrong clock has dated says nothing.
        ("(1, 'read', 600, 700), (2, 'read', 100, 100), (3, 'read', 600, 600)", &[1, 2, 3]),
        ("(1, 'read', 2000, 2000), (2, 'read', 100, 100), (3, 'read', 600, 600)", &[1, 3]),
        ("(1, 'read', 100, 100)", &[1]),
    ] {
        assert_eq!(left_of(messages), left, "{messages}");
    }
    let many: Vec<String> = (1..=3 * STEP).map(|id| format!("({id}, 'read', 100, 100)")).collect();
    assert_eq!(left_of(&many.join(", ")), [3 * STEP as i64]);
}

#[test]
fn with_a_message_go_its_conversations_and_its_resend() {
    if !has_server() {
        return;
    }
    let (session, _) = empty_database();
    OnPostgres::runtime().block_on(async {
        let rows = "(VALUES (1, 'read', 100, 100), (2, 'read', 100, 600), (3, 'read', 600, 600)) AS m (id, state, first_seen, last_event)";
        session.batch(&format!("{INSERT_MESSAGES} {rows}")).await.unwrap();
        session.batch("INSERT INTO smscope.conversation_keys VALUES (10, 1), (20, 2)").await.unwrap();
        let resends = "INSERT INTO smscope.resends (id, rule, source, message, event, attempt, state, due_at, deadline) \
             SELECT message, 'again', 's', message, 1, 1, 'ended', 0, 0 FROM generate_series(1, 2) AS message";
        session.batch(resends).await.unwrap();
        prune_messages(&session, MessageRowId::default(), 500, 1_000).await.unwrap();
        let left = "SELECT (SELECT string_agg(key::text, ',') FROM smscope.conversation_keys), \
             (SELECT string_agg(message::text, ',') FROM smscope.resends)";
        let left = session.query_opt(left, &[]).await.unwrap().unwrap();
        assert_eq!((left.get(0), left.get(1)), ("20", "2"));
    });
}

#[test]
fn messages_past_their_horizon_are_found_of_each_source() {
    if !has_server() {
        return;
    }
    let (session, _) = empty_database();
    OnPostgres::runtime().block_on(async {
        session
            .batch(
                "INSERT INTO smscope.pending VALUES (1, 'a', 'enroute', 100, 100), (2, 'a', 'scheduled', 100, 900), \
                 (3, 'a', 'scheduled', 100, 500), (4, 'b', 'enroute', 501, 501), (5, 'c', 'enroute', 1, 1)",
            )
            .await
            .unwrap();
        let mut found = past_horizon(&session, Timestamp::from_millisecond(500).unwrap()).await.unwrap();
        found.sort_unstable();
        assert_eq!(found, [1, 3, 5].map(MessageRowId));
    });
}

#[test]
fn keys_of_events_go_with_their_time_and_those_of_retries_after_some_days() {
    if !has_server() {
        return;
    }
    let (session, _) = empty_database();
    OnPostgres::runtime().block_on(async {
        session
            .batch(
                "INSERT INTO smscope.event_keys SELECT gen_random_uuid(), 's', at, false FROM generate_series(499, 501) AS at; \
                 INSERT INTO smscope.dedup SELECT 0, gen_random_uuid(), id FROM generate_series(1, 3) AS id",
            )
            .await
            .unwrap();
        let today = schema::today(&session).await.unwrap();
        let received = "INSERT INTO smscope.received (day, id, format, requests) VALUES ($1, 2, 1, '{}')";
        session.execute(received, params![today => INT4]).await.unwrap();
        assert_eq!(prune_event_keys(&session, 500).await.unwrap(), 1);
        assert_eq!(prune_dedup_keys(&session).await.unwrap(), 1);
        assert_eq!(prune_dedup_keys(&session).await.unwrap(), 0);
    });
}

#[test]
fn what_a_relay_still_has_to_deliver_is_needed() {
    if !has_server() {
        return;
    }
    let (session, _) = empty_database();
    OnPostgres::runtime().block_on(async {
        let relay = crate::route::RelayName::new("app").unwrap();
        let route = Route {
            relay,
            format: crate::route::Format::Raw,
            filter: crate::route::Filter::default(),
            is_fallback: false,
            max_age: std::time::Duration::ZERO,
        };
        assert_eq!(needed_from(&session, &[]).await.unwrap(), None);
        assert_eq!(needed_from(&session, std::slice::from_ref(&route)).await.unwrap(), None);
        session
            .batch(
                "INSERT INTO smscope.relay_deliveries VALUES (1, 'app', 3, 1, 'dead', 0, 0, 0), \
                 (2, 'other', 4, 1, 'due', 0, 0, 0), (3, 'app', 6, 1, 'due', 0, 0, 0), (4, 'app', 5, 2, 'blocked', 0, 0, 0)",
            )
            .await
            .unwrap();
        assert_eq!(needed_from(&session, &[route]).await.unwrap(), Some(Position(5)));
    });
}
