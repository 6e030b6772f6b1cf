//! The store as the journal of the log exporter.

use jiff::Timestamp;

use crate::record::{Entry, Position};
use crate::store::Store;
use crate::telemetry::export_logs::Journal;

pub struct StoreJournal(pub Store);

impl Journal for StoreJournal {
    fn newest(&self) -> Position {
        *self.0.newest().borrow()
    }

    fn cursor(&self) -> Position {
        self.0.cursor()
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, String> {
        let recent = self.0.blocking().take_recent(after, limit);
        if !recent.is_empty() {
            return Ok(recent);
        }
        self.0.with_blocking(move |store| store.read(after, limit)).await.map_err(|error| error.to_string())
    }

    async fn advance(&self, to: Position) -> Result<(), String> {
        self.0.advance(to).await.map_err(|error| error.to_string())
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn reached(&self, position: Position) {
        // The writer outlives every handle on the store, so the sender is not gone.
        let mut newest = self.0.newest();
        let _gone = newest.wait_for(|newest| *newest >= position).await;
    }
}
