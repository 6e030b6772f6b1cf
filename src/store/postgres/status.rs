//! What `smscope store status` shows of a fleet.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::PgError;
use super::session::Session;

/// A fleet as its database has it.
#[derive(Debug, Serialize)]
pub struct Status {
    pub fleet_id: String,
    pub schema: i32,
    /// Who leads, or led last; `None`: nobody has yet.
    pub leader: Option<Leader>,
    /// The most recently seen first.
    pub replicas: Vec<Replica>,
    pub inbox: Inbox,
    pub stuck: Vec<Stuck>,
    pub journal: Journal,
    pub cursors: Vec<Cursor>,
    /// The largest first.
    pub tables: Vec<Table>,
}

#[derive(Debug, Serialize)]
pub struct Leader {
    pub id: String,
    /// `None`: it is no longer among the replicas.
    pub name: Option<String>,
    pub version: i32,
    pub epoch: i64,
    pub until: Timestamp,
    /// Whether its lease holds.
    pub leads: bool,
}

#[derive(Debug, Serialize)]
pub struct Replica {
    pub id: String,
    pub name: String,
    pub version: i32,
    pub started_at: Timestamp,
    /// Since it last showed that it lives.
    pub seen_seconds: f64,
}

/// What the leader has not processed.
#[derive(Debug, Serialize)]
pub struct Inbox {
    pub requests: i64,
    /// Of the oldest.
    pub age_seconds: Option<f64>,
}

/// A request that could not be processed.
#[derive(Debug, Serialize)]
pub struct Stuck {
    /// Of its batch.
    pub id: i64,
    pub day: i32,
    /// Its number in the batch.
    pub request: i16,
    pub error: String,
}

#[derive(Debug, Serialize)]
pub struct Journal {
    /// Positions; `None`: it is empty.
    pub oldest: Option<i64>,
    pub newest: Option<i64>,
}

#[derive(Debug, Serialize)]
pub struct Cursor {
    pub name: String,
    pub position: i64,
}

#[derive(Debug, Serialize)]
pub struct Table {
    pub name: String,
    pub partitions: i64,
    /// With indexes.
    pub bytes: i64,
}

const FLEET: &str = "SELECT value FROM smscope.meta WHERE key = 'fleet_id'";
const LEADER: &str = "SELECT l.holder, r.name, l.version, l.epoch, (extract(epoch FROM l.until) * 1000)::bigint, \
    l.until > clock_timestamp() FROM smscope.lease AS l LEFT JOIN smscope.replicas AS r ON r.id = l.holder \
    WHERE l.name = 'leader' AND l.epoch > 0";
const REPLICAS: &str = "SELECT id, name, version, (extract(epoch FROM started_at) * 1000)::bigint, \
    extract(epoch FROM clock_timestamp() - seen)::float8 FROM smscope.replicas ORDER BY seen DESC";
const INBOX: &str = "SELECT coalesce(sum(cardinality(requests)), 0), extract(epoch FROM clock_timestamp() - min(received_at))::float8 FROM smscope.inbox";
const STUCK: &str = "SELECT id, day, request, error FROM smscope.inbox_stuck ORDER BY id, request";
const JOURNAL: &str = "SELECT min(position), max(position) FROM smscope.journal";
const CURSORS: &str = "SELECT name, position FROM smscope.cursors ORDER BY name";
const TABLES: &str = "SELECT coalesce(parent.relname, c.relname)::text, count(parent.oid), \
    sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent \
    WHERE n.nspname = 'smscope' AND c.relkind = 'r' GROUP BY 1 ORDER BY 3 DESC, 1";

impl Status {
    /// Reads all of it. `schema`: the version of the tables, which has to be one that this smscope can use.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(session: &Session, schema: i32) -> Result<Self, PgError> {
        let fleet = session.query_opt(FLEET, &[]).await?;
        let leader = session.query_opt(LEADER, &[]).await?;
        let replicas = session.query(REPLICAS, &[]).await?;
        let inbox = session.query_opt(INBOX, &[]).await?;
        let stuck = session.query(STUCK, &[]).await?;
        let journal = session.query_opt(JOURNAL, &[]).await?;
        let cursors = session.query(CURSORS, &[]).await?;
        let tables = session.query(TABLES, &[]).await?;
        Ok(Self {
            fleet_id: fleet.map_or(String::new(), |row| row.get(0)),
            schema,
            leader: leader.map(|row| Leader {
                id: id(&row),
                name: row.get(1),
                version: row.get(2),
                epoch: row.get(3),
                until: time(row.get(4)),
                leads: row.get(5),
            }),
            replicas: Vec::from_iter(replicas.iter().map(|row| Replica {
                id: id(row),
                name: row.get(1),
                version: row.get(2),
                started_at: time(row.get(3)),
                seen_seconds: row.get(4),
            })),
            inbox: inbox.map_or(Inbox { requests: 0, age_seconds: None }, |row| Inbox {
                requests: row.get(0),
                age_seconds: row.get(1),
            }),
            stuck: Vec::from_iter(stuck.iter().map(|row| Stuck {
                id: row.get(0),
                day: row.get(1),
                request: row.get(2),
                error: row.get(3),
            })),
            journal: journal.map_or(Journal { oldest: None, newest: None }, |row| Journal {
                oldest: row.get(0),
                newest: row.get(1),
            }),
            cursors: Vec::from_iter(cursors.iter().map(|row| Cursor { name: row.get(0), position: row.get(1) })),
            tables: Vec::from_iter(tables.iter().map(|row| Table {
                name: row.get(0),
                partitions: row.get(1),
                bytes: row.get(2),
            })),
        })
    }
}

fn id(row: &Row) -> String {
    row.get::<_, Uuid>(0).to_string()
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
