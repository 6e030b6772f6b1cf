//! Reading beside the leader, for jobs and commands: statements that commit by themselves, on connections of their own.
//!
//! No statement reads more than a page, or a range of messages: a long one would hold back the vacuum of all tables. Searches that
//! have no index go through the messages range by range.

mod events;
pub(super) mod gauges;
mod jobs;
mod messages;

use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::runtime::{Builder, Handle, Runtime};

use self::gauges::Size;
use super::connect::Connector;
use super::error::{PgError, Remedy};
use super::ledger;
use super::schema;
use super::session::Session;
use super::wait::Wait;
use crate::event::SourceName;
use crate::ledger::Ledger;
use crate::record::{Entry, Position};
use crate::route::RelayName;
use crate::store::cohorts::{Cohort, Detail};
use crate::store::erase::Subjects;
use crate::store::ids::{DeliveryId, MessageRowId, OptOutSeq};
use crate::store::opt_outs::OptOut;
use crate::store::query::Message;
use crate::store::read::{PersonalEvent, Reader, Recipient, Start, StoredEvent, Table};
use crate::store::relays::{Due, Undelivered};
use crate::store::resends::DueResends;
use crate::store::shared::Gauges;
use crate::store::{OpenError, Overdue, Raw, Settings, StoreError, Unrecognized};

/// Connections that stay open between reads.
const IDLE: usize = 2;

/// Messages that one statement searches without an index; few in tests, where there are several ranges too.
const RANGE: i64 = if cfg!(test) { 3 } else { 50_000 };

/// How long a command goes on asking where a partition is locked or the server is gone. A job asks again by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections for reading, one per reader at a time. A method blocks its thread, which must not be one that runs tasks.
pub struct PgReaders {
    connector: Connector,
    runtime: Driver,
    idle: Mutex<Vec<Session>>,
    size: Mutex<Option<Size>>,
}

/// What is read, as a trait object: to connect and to ask again is compiled once and not for each.
#[async_trait(?Send)]
trait Attempt {
    async fn attempt(&mut self, session: &Session) -> Result<(), PgError>;
}

struct Reading<F, T> {
    read: F,
    found: Option<T>,
}

#[async_trait(?Send)]
impl<F: AsyncFn(&Session) -> Result<T, PgError>, T> Attempt for Reading<F, T> {
    async fn attempt(&mut self, session: &Session) -> Result<(), PgError> {
        self.found = Some((self.read)(session).await?);
        Ok(())
    }
}

/// What drives the connections.
enum Driver {
    /// The runtime of the running process.
    Shared(Handle),
    /// One of a command's own.
    Own(Runtime),
}

impl PgReaders {
    /// For the jobs of a process whose runtime is `runtime`.
    pub fn new(connector: Connector, runtime: Handle) -> Self {
        Self::on(connector, Driver::Shared(runtime))
    }

    /// For a command: connects, on a runtime of its own.
    ///
    /// # Errors
    /// The server cannot be reached, or has no store that this version can use.
    pub fn checked(connector: Connector) -> Result<Self, OpenError> {
        let readers = Self::on(connector, Driver::Own(Builder::new_current_thread().enable_all().build()?));
        let checked = readers.block_on(async {
            let session = readers.connect().await?;
            let version = schema::version(&session).await?;
            readers.idle().push(session);
            Ok::<_, OpenError>(version)
        });
        let newest = i64::from(schema::VERSION);
        match checked?.map(i64::from) {
            None => Err(OpenError::NotOurs),
            Some(found) if found < newest => Err(OpenError::Older { found, newest }),
            Some(_) => Ok(readers),
        }
    }

    fn on(connector: Connector, runtime: Driver) -> Self {
        Self { connector, runtime, idle: Mutex::default(), size: Mutex::default() }
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.runtime {
            Driver::Shared(runtime) => runtime.wait(work),
            Driver::Own(runtime) => runtime.wait(work),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that has not been closed meanwhile.
    fn pop_idle(&self) -> Option<Session> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|session| !session.is_closed())
    }

    async fn connect(&self) -> Result<Session, PgError> {
        match self.runtime {
            Driver::Shared(_) => self.connector.connect().await,
            // A page of requests may be large, and nobody waits for a command.
            Driver::Own(_) => self.connector.connect_for_long().await,
        }
    }

    /// Reads with a connection of one's own. Asks again where the connection had been idle, and was closed for all it knew.
    fn read<T>(&self, read: impl AsyncFn(&Session) -> Result<T, PgError>) -> Result<T, StoreError> {
        let mut reading = Reading { read, found: None };
        self.attempt_until_done(&mut reading)?;
        Ok(reading.found.expect("a read that succeeds finds something"))
    }

    fn attempt_until_done(&self, reading: &mut dyn Attempt) -> Result<(), PgError> {
        let patience = match self.runtime {
            Driver::Shared(_) => Duration::ZERO,
            Driver::Own(_) => PATIENCE,
        };
        let began = Instant::now();
        self.block_on(async {
            if let Some(session) = self.pop_idle() {
                match self.attempt(session, reading).await {
                    Err(error) if error.remedy() == Remedy::Reconnect && !is_slow(&error) => {}
                    done => return done,
                }
            }
            loop {
                let done = match self.connect().await {
                    Ok(session) => self.attempt(session, reading).await,
                    Err(error) => Err(error),
                };
                match done {
                    Err(error) if may_pass(&error) && began.elapsed() < patience => tokio::time::sleep(PAUSE).await,
                    done => return done,
                }
            }
        })
    }

    /// What `read` finds in the messages from `first` on, a range at a time.
    fn by_ranges<T>(
        &self,
        first: MessageRowId,
        read: impl AsyncFn(&Session, Range<i64>) -> Result<Vec<T>, PgError>,
    ) -> Result<Vec<T>, StoreError> {
        let Some((lowest, highest)) = self.ends(Table::Messages)? else { return Ok(Vec::new()) };
        let (mut found, mut from) = (Vec::new(), lowest.max(first.0));
        while from <= highest {
            let range = from..from.saturating_add(RANGE);
            found.extend(self.read(async |session| read(session, range.clone()).await)?);
            from = range.end;
        }
        Ok(found)
    }

    /// The counters as they are stored, for a replica that does not lead.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn ledger(&self) -> Result<Ledger, StoreError> {
        self.read(async |session| Ok(ledger::load(session).await?.0))
    }

    /// The bytes of all tables, which take a while to read: as of some time ago.
    fn size(&self) -> Result<i64, StoreError> {
        let mut last = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = last.as_ref().filter(|size| size.is_recent()) {
            return Ok(size.bytes);
        }
        let bytes = match (self.read(async |session| gauges::bytes_in_use(session).await), last.as_ref()) {
            (Err(error), Some(size)) => {
                tracing::debug!(%error, "cannot read the size of the store");
                size.bytes
            }
            (read, _) => read?,
        };
        *last = Some(Size::new(bytes));
        Ok(bytes)
    }

    async fn attempt(&self, session: Session, reading: &mut dyn Attempt) -> Result<(), PgError> {
        let done = reading.attempt(&session).await;
        let is_usable = done.as_ref().err().is_none_or(|error| error.remedy() != Remedy::Reconnect);
        let mut idle = self.idle();
        if is_usable && idle.len() < IDLE {
            idle.push(session);
        }
        done
    }
}

fn is_slow(error: &PgError) -> bool {
    matches!(error, PgError::Timeout(_))
}

/// Somebody was in the way, or the server restarts.
fn may_pass(error: &PgError) -> bool {
    matches!(error.remedy(), Remedy::Retry | Remedy::Reconnect) && !is_slow(error)
}

impl Reader for PgReaders {
    fn opt_outs_of(&self, source: &SourceName, number: &str) -> Result<Vec<OptOut>, StoreError> {
        self.read(async |session| jobs::opt_outs_of(session, source, number).await)
    }

    fn opt_outs_after(&self, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, StoreError> {
        self.read(async |session| jobs::opt_outs_after(session, seq, limit).await)
    }

    fn due(
        &self,
        relay: &RelayName,
        now: Timestamp,
        in_flight: &[DeliveryId],
        limit: usize,
    ) -> Result<Due, StoreError> {
        self.read(async |session| jobs::due(session, relay, now, in_flight, limit).await)
    }

    fn undelivered(&self, relay: Option<&str>, only_dead: bool, limit: usize) -> Result<Vec<Undelivered>, StoreError> {
        self.read(async |session| jobs::undelivered(session, relay, only_dead, limit).await)
    }

    fn due_resends(&self, source: &SourceName, now: Timestamp, limit: usize) -> Result<DueResends, StoreError> {
        self.read(async |session| jobs::due_resends(session, source, now, limit).await)
    }

    fn overdue(&self, source: &SourceName, before: Timestamp, limit: usize) -> Result<Vec<Overdue>, StoreError> {
        self.read(async |session| jobs::overdue(session, source, before, limit).await)
    }

    fn unrecognized_after(
        &self,
        position: Position,
        newest: Position,
    ) -> Result<Option<(Unrecognized, Position)>, StoreError> {
        self.read(async |session| events::unrecognized_after(session, position, newest).await)
    }

    fn gauges(&self, settings: &Settings) -> Result<Gauges, StoreError> {
        let bytes_in_use = self.size()?;
        self.read(async |session| gauges::read(session, settings, bytes_in_use).await)
    }

    fn newest(&self) -> Result<Position, StoreError> {
        self.read(async |session| events::newest(session).await)
    }

    fn entries_after(&self, position: Position, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(async |session| events::entries_after(session, position, limit).await)
    }

    fn events_after(&self, position: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(async |session| events::events_after(session, position, limit).await)
    }

    fn events_before(&self, position: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(async |session| events::events_before(session, position, limit).await)
    }

    fn requests_of(&self, positions: &[Position]) -> Result<HashMap<Position, Raw>, StoreError> {
        self.read(async |session| events::requests_of(session, positions).await)
    }

    fn personal_events_after(&self, position: Position, limit: usize) -> Result<Vec<PersonalEvent>, StoreError> {
        self.read(async |session| events::personal_events_after(session, position, limit).await)
    }

    fn chain(&self, newest: Position) -> Result<Vec<Entry>, StoreError> {
        self.read(async |session| events::chain(session, newest).await)
    }

    fn event_and_previous(&self, position: Position) -> Result<Option<(Entry, Option<Position>)>, StoreError> {
        self.read(async |session| events::event_and_previous(session, position).await)
    }

    fn starts(&self, _: Option<&str>, _: Option<&Subjects>) -> Result<Option<BinaryHeap<Start>>, StoreError> {
        Ok(None)
    }

    fn reply(&self, ids: [&str; 2]) -> Result<Option<Entry>, StoreError> {
        self.read(async |session| events::reply(session, ids).await)
    }

    fn messages_after(&self, id: MessageRowId, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.read(async |session| messages::messages_after(session, id, limit).await)
    }

    fn recipients_after(&self, id: MessageRowId, limit: usize) -> Result<Vec<Recipient>, StoreError> {
        self.read(async |session| messages::recipients_after(session, id, limit).await)
    }

    fn messages_with_id(&self, id: &str) -> Result<Vec<Message>, StoreError> {
        self.read(async |session| messages::messages_with_id(session, id).await)
    }

    fn messages_with_reference(&self, reference: &str) -> Result<Vec<Message>, StoreError> {
        self.by_ranges(MessageRowId::default(), async |session, range| {
            messages::with_reference(session, range, reference).await
        })
    }

    fn cohorts(&self, first: MessageRowId, since: Timestamp, detail: Detail) -> Result<Vec<(Cohort, u64)>, StoreError> {
        self.by_ranges(first, async |session, range| messages::cohorts(session, range, since, detail).await)
    }

    fn network_names(&self) -> Result<HashMap<String, String>, StoreError> {
        self.read(async |session| messages::network_names(session).await)
    }

    fn ends(&self, table: Table) -> Result<Option<(i64, i64)>, StoreError> {
        self.read(async |session| match table {
            Table::Events => events::ends(session).await,
            Table::Messages => messages::ends(session).await,
        })
    }

    fn first_from(&self, table: Table, id: i64) -> Result<Option<(i64, i64)>, StoreError> {
        self.read(async |session| match table {
            Table::Events => events::first_from(session, id).await,
            Table::Messages => messages::first_from(session, id).await,
        })
    }
}
