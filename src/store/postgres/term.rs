//! A term of leadership: what the leader has in memory, and its transactions.
//!
//! Each transaction begins with the fence, so all that it reads and writes belongs to the time in which the lease was held. An error
//! ends the term unless it is known that nothing was written: the next term, here or elsewhere, reads everything again.

use std::time::Instant;

use tokio::runtime::Handle;
use tokio_postgres::Row;

use super::error::{PgError, Remedy};
use super::inbox::Rate;
use super::lease::{FENCE, Lease};
use super::ledger::{self, SeriesIds};
use super::meta;
use super::schema;
use super::session::{Pipeline, Session};
use super::transaction::{Ids, PgTx};
use super::wait::Wait;
use crate::ledger::Ledger;
use crate::ledger::caps::LabelCaps;
use crate::process_metrics;
use crate::record::Position;
use crate::store::Settings;
use crate::store::core::{Outcome, Pseudonymizer, Tx};
use crate::store::ids::OptOutSeq;
use crate::store::shared::Shared;

/// A leader that freezes in a transaction holds the lease's row: the server ends it. The role has the same, but not in sessions that a
/// pooler has opened before the tables were made.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '2s'; SET LOCAL lock_timeout = '2s'";

pub type Rules<'a> = Tx<'a, PgTx<'a>>;

pub struct Term {
    pub session: Session,
    pub lease: Lease,
    runtime: Handle,
    ids: Ids,
    series: SeriesIds,
    caps: LabelCaps,
    pub pseudonymizer: Pseudonymizer,
    pub inbox_rate: Rate,
    /// The day of what is appended to the journal.
    day: i32,
}

/// What a transaction does: with the rules, the rows that were read, and statements of its own.
type Step<'a> = dyn FnMut(&mut Rules<'_>, Vec<Row>, &mut Pipeline) -> Result<(), PgError> + 'a;

/// What a transaction is asked to do besides running rules.
pub struct Work<'a> {
    /// The rows that the first round trip is to bring.
    pub read: Option<Pipeline>,
    pub shared: &'a Shared,
    pub settings: &'a Settings,
}

impl Term {
    /// Reads everything that a leader knows.
    ///
    /// # Errors
    /// Those of the database.
    pub fn begin(
        session: Session,
        lease: Lease,
        runtime: Handle,
        settings: &Settings,
    ) -> Result<(Self, Ledger, Option<Position>), PgError> {
        let loaded = runtime.wait(async {
            let ids = Ids::load(&session).await?;
            let (ledger, series) = ledger::load(&session).await?;
            let label_values = ledger::load_label_values(&session).await?;
            let pseudonymizer = meta::pseudonymizer(&session).await?;
            let newest = ids.position;
            let cursor = meta::load_cursor(&session, settings.exports_logs, newest).await?;
            let day = schema::today(&session).await?;
            Ok::<_, PgError>((ids, ledger, series, label_values, pseudonymizer, cursor, day))
        });
        let (ids, ledger, series, label_values, pseudonymizer, cursor, day) = loaded?;
        let caps = LabelCaps::new(label_values, ledger.network_names());
        let inbox_rate = Rate::default();
        Ok((Self { session, lease, runtime, ids, series, caps, pseudonymizer, inbox_rate, day }, ledger, cursor))
    }

    /// The position of the newest event.
    pub fn newest(&self) -> Position {
        self.ids.position
    }

    /// The newest change of the list of opt-outs.
    pub fn newest_opt_out(&self) -> OptOutSeq {
        self.ids.opt_out
    }

    /// The day of what is appended to the journal.
    pub fn day(&self) -> i32 {
        self.day
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.wait(work)
    }

    /// Renews the lease where no transaction has lately, and notes a new day.
    ///
    /// # Errors
    /// Another replica leads, or those of the database.
    pub fn renew(&mut self) -> Result<(), PgError> {
        if self.lease.wants_renewal() {
            self.runtime.wait(self.lease.renew(&self.session))?;
        }
        Ok(())
    }

    /// Makes the partitions that will be needed, and goes on to the present day.
    ///
    /// # Errors
    /// Those of the database.
    pub fn turn_day(&mut self) -> Result<(), PgError> {
        self.day = self.runtime.wait(async {
            schema::make_partitions(&self.session).await?;
            schema::today(&self.session).await
        })?;
        Ok(())
    }

    /// Runs `work` in a transaction: it gets the rows of what was read, and may add statements of its own. What it gives is on disk when
    /// this returns `Ok`.
    ///
    /// # Errors
    /// [`PgError::Deposed`], and those of the database or of `work`. Nothing was written, or, after [`Remedy::Reconnect`], it is not known.
    pub fn transaction<T>(
        &mut self,
        asked: Work<'_>,
        work: impl FnOnce(&mut Rules<'_>, Vec<Row>, &mut Pipeline) -> Result<T, PgError>,
    ) -> Result<(T, Outcome), PgError> {
        let (mut work, mut given) = (Some(work), None);
        let outcome = self.run(asked, &mut |rules, rows, own| {
            given = work.take().map(|work| work(rules, rows, own)).transpose()?;
            Ok(())
        })?;
        Ok((given.expect("it ran"), outcome))
    }

    /// As [`Term::transaction`], which is compiled for each `work`.
    fn run(&mut self, asked: Work<'_>, work: &mut Step<'_>) -> Result<Outcome, PgError> {
        let done = self.try_run(asked, work);
        match &done {
            Ok(_) => {
                for label in self.caps.commit() {
                    process_metrics::labels_capped(label.as_str()).increment(1);
                }
            }
            Err(error) => {
                self.caps.rollback();
                if error.remedy() != Remedy::Reconnect {
                    // Where this fails, the connection does, and the server rolls back.
                    let _failed = self.runtime.wait(self.session.batch("ROLLBACK"));
                }
            }
        }
        done
    }

    fn try_run(&mut self, Work { read, shared, settings }: Work<'_>, work: &mut Step<'_>) -> Result<Outcome, PgError> {
        let sent = Instant::now();
        let mut first = Pipeline::of(FENCE, self.lease.fence());
        if let Some(read) = read {
            first.append(read);
        }
        let mut found = self.runtime.wait(self.session.run(Some(BEGIN), &first, None))?.into_iter();
        if found.next().is_none_or(|fence| fence.is_empty()) {
            return Err(PgError::Deposed);
        }
        let durable = shared.ledger();
        let storage = PgTx::new(&self.session, &self.runtime, self.ids, self.day);
        let mut rules = Tx::new(storage, settings, &durable, &mut self.caps, &self.pseudonymizer);
        if shared.collects_events() {
            rules.collect_events();
        }
        let mut own = Pipeline::default();
        work(&mut rules, found.next().unwrap_or_default(), &mut own)?;
        let (storage, outcome) = rules.finish();
        let (mut writes, ids) = storage.into_writes()?;
        ledger::save(&mut writes, &durable, &outcome.counters, &mut self.series);
        drop(durable);
        ledger::save_label_values(&mut writes, self.caps.uncommitted());
        writes.append(own);
        self.runtime.wait(self.session.run(None, &writes, Some("COMMIT")))?;
        self.lease.renewed(sent);
        self.ids = ids;
        Ok(outcome)
    }
}
