//! What the writer answers when the store's files are moved away while a transaction is being synced.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::connection::{DATABASE, connect};
use super::files::Files;
use super::writer::Writer;
use super::{checkpoint, schema, startup};
use crate::record::Position;
use crate::store::backlog::Backlog;
use crate::store::commands::{Alone, Command, Reply};
use crate::store::ids::DeliveryId;
use crate::store::opt_outs::OptOutChange;
use crate::store::relays::{AttemptOutcome, AttemptResult, DeadLetterFilter, Next};
use crate::store::tests::settings;
use crate::store::{Settings, StoreError};

fn writer(folder: &TempDir) -> Writer {
    let path = folder.path().join(DATABASE);
    let mut connection = connect(&path).unwrap();
    schema::migrate(&mut connection).unwrap();
    let settings = Settings { exports_logs: true, ..settings() };
    let (shared, state) = startup::load(&connection, &settings).unwrap();
    let (checkpointer, _thread) = checkpoint::start(connect(&path).unwrap()).unwrap();
    let files = Files::of(&path).unwrap();
    Writer::new(connection, files, settings, Arc::new(shared), state, checkpointer).unwrap()
}

/// Runs a command; its answer, the content aside.
fn answered<T>(writer: &mut Writer, command: impl FnOnce(Reply<T>) -> Command) -> Result<(), StoreError> {
    let (_queue, commands) = std::sync::mpsc::channel();
    let (reply, mut answer) = oneshot::channel();
    writer.serve(command(reply), &commands, &Backlog::default());
    answer.try_recv().unwrap().map(drop)
}

fn by_kind(writer: &mut Writer, kind: &str) -> Result<(), StoreError> {
    match kind {
        "advance" => answered(writer, |reply| Command::Advance(Position(7), reply)),
        "attempt" => {
            let (delivery, result) = (DeliveryId(1), AttemptResult::Delivered);
            let attempt = AttemptOutcome { delivery, attempt: 1, result, next: Next::Done };
            answered(writer, |reply| Command::SaveAttempt(attempt, reply))
        }
        "opt out" => {
            let change = OptOutChange {
                source: writer.settings.sources[0].clone(),
                number: "33612345678".into(),
                sender: String::new(),
                opted_out: true,
                since: Timestamp::now(),
            };
            answered(writer, |reply| Command::Alone(Alone::ChangeOptOuts(vec![change], reply)))
        }
        _ => answered(writer, |reply| {
            Command::Alone(Alone::Redrive(DeadLetterFilter::All, DeliveryId::default(), reply))
        }),
    }
}

#[test]
fn a_caller_hears_that_the_files_have_gone_also_when_they_go_during_the_sync() {
    for kind in ["advance", "attempt", "opt out", "redrive"] {
        let folder = TempDir::new().unwrap();
        let mut writer = writer(&folder);
        let cursor = writer.shared.cursor();
        for found in [0, 1] {
            // Found before the commit, or not even then.
            writer.files.found.store(found, Ordering::Relaxed);
            assert_eq!(by_kind(&mut writer, kind), Err(StoreError::CannotWrite), "{kind}: {found}");
            assert_eq!(writer.shared.cursor(), cursor, "{kind}: {found}");
        }
        writer.files.found.store(-1, Ordering::Relaxed);
        assert_eq!(by_kind(&mut writer, kind), Ok(()), "{kind}");
    }
}
