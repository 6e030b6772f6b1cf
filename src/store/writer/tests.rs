//! What the writer answers when the store's files are moved away while a transaction is being synced.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::store::opt_outs::OptOutChange;
use crate::store::relays::{AttemptResult, DeadLetterFilter, Next, Settlement};
use crate::store::tests::settings;
use crate::store::{checkpoint, connect, schema};

fn writer(folder: &TempDir) -> Writer {
    let path = folder.path().join("smscope.db");
    let mut connection = connect(&path).unwrap();
    schema::migrate(&mut connection).unwrap();
    let settings = Settings { exports_logs: true, ..settings() };
    let (shared, state) = rows::load(&connection, &settings).unwrap();
    let (bell, _thread) = checkpoint::start(connect(&path).unwrap()).unwrap();
    let files = Files::of(&path).unwrap();
    Writer::new(connection, files, settings, Arc::new(shared), state, bell).unwrap()
}

/// One job of a kind, and what it is answered, the answer's content aside.
fn answered(writer: &mut Writer, kind: &str) -> Result<(), Refusal> {
    fn job<T>(
        make: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Job,
    ) -> (Job, impl FnOnce() -> Result<(), Refusal>) {
        let (answer, mut answered) = oneshot::channel();
        (make(answer), move || answered.try_recv().unwrap().map(|_| ()))
    }
    let settlement = Settlement { delivery: 1, attempt: 1, result: AttemptResult::Delivered, next: Next::Done };
    let change = OptOutChange {
        source: writer.settings.sources[0].clone(),
        number: "33612345678".into(),
        sender: String::new(),
        opted_out: true,
        since: Timestamp::now(),
    };
    let (_queue, jobs) = std::sync::mpsc::channel();
    let backlog = Backlog::default();
    let mut serve = |job| writer.serve(job, &jobs, &backlog);
    match kind {
        "advance" => {
            let (job, answer) = job(|answer| Job::Advance(CursorMove { position: 7, answer }));
            serve(job);
            answer()
        }
        "settle" => {
            let (job, answer) = job(|answer| Job::Settle(Settling { settlement, answer }));
            serve(job);
            answer()
        }
        "opt out" => {
            let (job, answer) = job(|answer| Job::OptOut(OptingOut { changes: vec![change], answer }));
            serve(job);
            answer()
        }
        _ => {
            let filter = DeadLetterFilter::All;
            let (job, answer) = job(|answer| Job::Redrive(Redriving { filter, after: 0, answer }));
            serve(job);
            answer()
        }
    }
}

#[test]
fn whoever_asks_hears_that_the_files_have_gone_also_when_they_go_during_the_sync() {
    for kind in ["advance", "settle", "opt out", "redrive"] {
        let folder = TempDir::new().unwrap();
        let mut writer = writer(&folder);
        let cursor = writer.shared.cursor();
        for found in [0, 1] {
            // Found before the commit, or not even then.
            writer.files.found.store(found, Ordering::Relaxed);
            assert_eq!(answered(&mut writer, kind), Err(Refusal::CannotWrite), "{kind}: {found}");
            assert_eq!(writer.shared.cursor(), cursor, "{kind}: {found}");
        }
        writer.files.found.store(-1, Ordering::Relaxed);
        assert_eq!(answered(&mut writer, kind), Ok(()), "{kind}");
    }
}
