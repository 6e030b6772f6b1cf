//! The list of opt-outs: its settings, and how the admin listener reads it. How a reply changes it: `src/store/core/opt_outs.rs`.

pub mod settings;

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::admin::opt_outs::OptOuts as List;
use crate::event::{Country, SourceName};
use crate::number;
use crate::secret::Secret;
use crate::settings::Source;
use crate::store::Store;
use crate::store::ids::OptOutSeq;
use crate::store::opt_outs::OptOut;

pub use settings::OptOuts;

/// What is known of one number.
#[derive(Serialize)]
struct OfNumber {
    number: String,
    opted_out: bool,
    opt_outs: Vec<Word>,
}

/// What it said to one sender, the latest.
#[derive(Serialize)]
struct Word {
    source: String,
    sender: String,
    opted_out: bool,
    since: Timestamp,
    origin: String,
}

/// The list of all `sources`; `token` opens it.
pub fn list(token: Secret, sources: &[Source], store: &Store) -> List {
    let sources: Vec<(SourceName, Country)> =
        sources.iter().map(|source| (source.name.clone(), source.region)).collect();
    let of_number = {
        let store = store.clone();
        move |written: String| {
            let (store, sources) = (store.clone(), sources.clone());
            spawn_blocking(move || look_up(&store, &sources, &written))
        }
    };
    let after = {
        let store = store.clone();
        move |seq, limit| {
            let store = store.clone();
            spawn_blocking(move || {
                let changes =
                    store.blocking().opt_outs_after(OptOutSeq(seq), limit).map_err(|error| error.to_string())?;
                lines(&changes)
            })
        }
    };
    let newest = store.newest_opt_out();
    List {
        token,
        of_number: Box::new(move |written| {
            let looking = of_number(written);
            Box::pin(async move { looking.await.map_err(|error| error.to_string())? })
        }),
        after: Box::new(move |seq, limit| {
            let reading = after(seq, limit);
            Box::pin(async move { reading.await.map_err(|error| error.to_string())? })
        }),
        changed: Box::new(move |seq| {
            let mut newest = newest.clone();
            Box::pin(async move { drop(newest.wait_for(|newest| newest.0 > seq).await) })
        }),
    }
}

fn look_up(store: &Store, sources: &[(SourceName, Country)], written: &str) -> Result<Option<String>, String> {
    if !number::is_full(written) {
        return Ok(None);
    }
    let mut opt_outs = Vec::new();
    for (source, region) in sources {
        let stored = number::read(written, *region).number;
        let said = store.blocking().opt_outs_of(source, &stored).map_err(|error| error.to_string())?;
        opt_outs.extend(said.into_iter().map(|word| Word {
            source: word.source,
            sender: word.sender,
            opted_out: word.opted_out,
            since: word.since,
            origin: word.origin,
        }));
    }
    let number = sources.first().map_or_else(String::new, |(_, region)| number::read(written, *region).number);
    let opted_out = opt_outs.iter().any(|word| word.opted_out);
    let mut document =
        serde_json::to_string(&OfNumber { number, opted_out, opt_outs }).map_err(|error| error.to_string())?;
    document.push('\n');
    Ok(Some(document))
}

fn lines(changes: &[OptOut]) -> Result<String, String> {
    let mut lines = String::new();
    for change in changes {
        lines += &serde_json::to_string(change).map_err(|error| error.to_string())?;
        lines.push('\n');
    }
    Ok(lines)
}
