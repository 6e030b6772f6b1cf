//! SQLite's store under test by the suite that every store passes: its statements and its lookup, without the writer's thread and
//! files. And what tests ask of a database file.

use std::cell::RefCell;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::FromSql;

use super::connection::{DATABASE, connect_to_read};
use super::ledger::SeriesIds;
use super::lookup::Lookup;
use super::transaction::SqliteTx;
use super::{ledger, meta, schema};
use crate::ledger::Ledger;
use crate::ledger::caps::LabelCaps;
use crate::store::Settings;
use crate::store::core::{Pseudonymizer, Tx};
use crate::store::suite::{Action, Dump, Harness, Reaction};

pub struct OnSqlite {
    settings: Settings,
    connection: Connection,
    state: RefCell<State>,
}

/// What is in the writer's memory.
struct State {
    lookup: Lookup,
    ledger: Ledger,
    series: SeriesIds,
    caps: LabelCaps,
}

impl State {
    fn load(connection: &Connection) -> Self {
        let (ledger, series) = ledger::load(connection).unwrap();
        let caps = LabelCaps::new(ledger::load_label_values(connection).unwrap(), ledger.network_names());
        Self { lookup: Lookup::load(connection).unwrap(), ledger, series, caps }
    }
}

impl OnSqlite {
    /// Writes all of it to the database of a folder.
    pub fn copy_into(&self, folder: &Path) {
        let path = folder.join(DATABASE);
        self.connection.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    }

    /// On an empty database.
    pub fn on(mut connection: Connection, settings: Settings) -> Self {
        schema::migrate(&mut connection).unwrap();
        // As the other stores have it, so that what is stored is the same.
        connection.execute("UPDATE meta SET value = ?1 WHERE key = 'erasure_salt'", [b"salt"]).unwrap();
        let state = RefCell::new(State::load(&connection));
        let mut new = Self { settings, connection, state };
        new.run(&Action::Start, true);
        new
    }

    /// Does what the rules know nothing of, and starts again.
    pub fn change(&mut self, change: impl FnOnce(&mut Connection)) {
        change(&mut self.connection);
        self.restart();
    }
}

impl Harness for OnSqlite {
    fn new(settings: Settings) -> Self {
        Self::on(Connection::open_in_memory().unwrap(), settings)
    }

    fn run(&mut self, action: &Action, commits: bool) -> Reaction {
        let State { lookup, ledger, series, caps } = self.state.get_mut();
        let pseudonymizer: Pseudonymizer = meta::pseudonymizer(&self.connection).unwrap();
        let transaction = self.connection.transaction().unwrap();
        let storage = SqliteTx::new(&transaction, lookup, meta::spelled_to(&transaction).unwrap()).unwrap();
        let mut rules = Tx::new(storage, &self.settings, ledger, caps, &pseudonymizer);
        let reaction = action.run(&mut rules).unwrap();
        let (storage, outcome) = rules.finish();
        let rekeyed = storage.rekeyed;
        if commits {
            ledger::save(&transaction, ledger, &outcome.counters, series).unwrap();
            ledger::save_label_values(&transaction, caps.uncommitted()).unwrap();
            transaction.commit().unwrap();
            caps.commit();
            lookup.commit(rekeyed);
            ledger.apply(outcome.counters);
        } else {
            drop(transaction);
            caps.rollback();
            lookup.rollback();
        }
        reaction
    }

    fn restart(&mut self) {
        *self.state.get_mut() = State::load(&self.connection);
        self.run(&Action::Start, true);
    }

    fn dump(&self) -> Dump {
        let state = &mut *self.state.borrow_mut();
        let spelled_to = meta::spelled_to(&self.connection).unwrap();
        let storage = SqliteTx::new(&self.connection, &mut state.lookup, spelled_to).unwrap();
        Dump::of(&storage, &state.ledger).unwrap()
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// The first column of each row of a query on the store in `folder`.
pub fn column<T: FromSql>(folder: &Path, sql: &str) -> Vec<T> {
    let connection = connect_to_read(folder).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let values = statement.query_map([], |row| row.get(0)).unwrap();
    values.collect::<rusqlite::Result<_>>().unwrap()
}
