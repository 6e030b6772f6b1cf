//! The list of opt-outs: its settings, and how the admin listener reads it. How a reply changes it: `src/store/core/opt_outs.rs`.

pub mod settings;

use jiff::Timestamp;
use serde::Serialize;

use crate::admin::opt_outs::OptOuts as List;
use crate::event::{Country, SourceName};
use crate::number;
use crate::secret::Secret;
use crate::settings::Source;
use crate::store::ids::OptOutSeq;
use crate::store::opt_outs::OptOut;
use crate::store::{BlockingStore, Store, StoreError};

pub use settings::OptOuts;

/// The opt-outs of one number.
#[derive(Serialize)]
struct OfNumber {
    number: String,
    opted_out: bool,
    opt_outs: Vec<Word>,
}

/// Its latest opt-out or opt-in to one sender.
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
    let (of_number, after) = (store.clone(), store.clone());
    let newest = store.newest_opt_out();
    List {
        token,
        of_number: Box::new(move |written| {
            let (store, sources) = (of_number.clone(), sources.clone());
            Box::pin(
                async move { readable(store.with_blocking(move |store| look_up(store, &sources, &written)).await) },
            )
        }),
        after: Box::new(move |seq, limit| {
            let store = after.clone();
            let changes = move |store: BlockingStore<'_>| store.opt_outs_after(OptOutSeq(seq), limit);
            Box::pin(async move {
                readable(store.with_blocking(changes).await).map(|changes| changes.iter().map(line).collect())
            })
        }),
        changed: Box::new(move |seq| {
            let mut newest = newest.clone();
            Box::pin(async move { drop(newest.wait_for(|newest| newest.0 > seq).await) })
        }),
    }
}

fn readable<T>(read: Result<T, StoreError>) -> Result<T, String> {
    read.map_err(|error| error.to_string())
}

/// The document of a number; `None` if it is none.
fn look_up(
    store: BlockingStore<'_>,
    sources: &[(SourceName, Country)],
    written: &str,
) -> Result<Option<String>, StoreError> {
    if !number::is_full(written) {
        return Ok(None);
    }
    let mut opt_outs = Vec::new();
    for (source, region) in sources {
        let latest = store.opt_outs_of(source, &number::read(written, *region).number)?;
        opt_outs.extend(latest.into_iter().map(|OptOut { source, sender, opted_out, since, origin, .. }| Word {
            source,
            sender,
            opted_out,
            since,
            origin,
        }));
    }
    let number = sources.first().map_or_else(String::new, |(_, region)| number::read(written, *region).number);
    let opted_out = opt_outs.iter().any(|word| word.opted_out);
    Ok(Some(line(&OfNumber { number, opted_out, opt_outs })))
}

/// JSON on a line.
fn line(document: &impl Serialize) -> String {
    // What is written here has no maps, so there is nothing to fail.
    serde_json::to_string(document).unwrap_or_default() + "\n"
}
