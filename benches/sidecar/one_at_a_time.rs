//! What a fleet without an inbox could write at best: its replicas take turns, a transaction each.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::Result;
use crate::fleet::connect;

/// Above the ids that the replicas have given before.
const FIRST: i64 = 1_000_000_000;

/// Webhooks per second of a fleet each of whose transactions locks a row first. Each takes two round trips: the lock and the messages of
/// its receipts; the rows of a batch, half of them of new messages, and the commit.
pub async fn written(url: &str, clients: usize, batch: usize, time: Duration) -> Result<f64> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(connect(url).await?);
    }
    let until = Instant::now() + time;
    let write_until = async |client: &Client| {
        let (mut written, mut known) = (0, String::new());
        while Instant::now() < until {
            let keys: Vec<String> = (0..batch / 2).map(|_| format!("'{}'", uuid::Uuid::new_v4())).collect();
            let new = keys.join(", ");
            let known_or_new = if known.is_empty() { &new } else { &known };
            let read = format!(
                "BEGIN; SELECT FROM smscope.lease WHERE name = 'leader' FOR UPDATE; \
                 SELECT * FROM smscope.messages WHERE key = ANY (ARRAY[{known_or_new}, {new}]::uuid[])"
            );
            client.batch_execute(&read).await?;
            client.batch_execute(&one_batch(&new, known_or_new, batch)).await?;
            written += batch;
            known = new;
        }
        Ok::<_, tokio_postgres::Error>(written)
    };
    let written = futures_util::future::try_join_all(connected.iter().map(write_until)).await?;
    Ok(written.iter().sum::<usize>() as f64 / time.as_secs_f64())
}

/// What two receipts for each of some messages write: the first of `new` ones, the second of `known` ones.
fn one_batch(new: &str, known: &str, batch: usize) -> String {
    format!(
        "WITH new AS MATERIALIZED (SELECT {FIRST} + nextval('smscope.received_id') AS id, key, \
           (extract(epoch FROM now()) * 1000)::bigint AS at, floor(extract(epoch FROM now()) / 86400)::int AS day \
           FROM unnest(ARRAY[{new}]::uuid[]) AS key), \
         events AS MATERIALIZED (SELECT * FROM new UNION ALL \
           SELECT {FIRST} + nextval('smscope.received_id'), gen_random_uuid(), at, day FROM new), \
         first AS (INSERT INTO smscope.messages (id, key, source, message_id, part, state, channel, flow, country, number, accepted_at, \
           first_seen, pending_since, last_event, receipts) \
           SELECT id, key, 'smsmode', key::text, '', 'enroute', 'SMS', 'TRANSACTIONAL', 'FR', '33612345678', at, at, at, at, '' FROM new), \
         second AS (UPDATE smscope.messages SET state = 'delivered', settled_at = last_event \
           WHERE key = ANY (ARRAY[{known}]::uuid[]) RETURNING id), \
         begun AS (INSERT INTO smscope.pending SELECT id, 'smsmode', 'enroute', at, at FROM new), \
         ended AS (DELETE FROM smscope.pending WHERE message IN (SELECT id FROM second)), \
         keys AS (INSERT INTO smscope.dedup SELECT day, key, id FROM events), \
         requests AS (INSERT INTO smscope.received (day, id, format, requests) \
           SELECT min(day), nextval('smscope.received_id'), 1, array_agg(decode(repeat('ab', 100), 'hex')) FROM events) \
         INSERT INTO smscope.journal (day, position, received_at, source, kind, event) \
         SELECT day, id, at, 'smsmode', 'message.enroute', repeat('e', 480) FROM events; \
         UPDATE smscope.counters SET value = value + {batch} WHERE series IN (SELECT id FROM smscope.series ORDER BY id LIMIT 8); \
         COMMIT"
    )
}
