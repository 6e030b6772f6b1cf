//! The sidecar as a whole, in ratios from one run: every answer that is counted was on disk.
//!
//! Servers are processes of their own; the load is one client process on the same cores. What is compared is measured in turns, and
//! what counts is the median of the rounds' ratios: a machine whose speed drifts favors neither side.
//!
//! ```text
//! cargo bench --bench sidecar                            # prints the table
//! cargo bench --bench sidecar -- write                   # and writes it to docs/performance.md
//! cargo bench --bench sidecar -- pair <A> <B> [<rounds>] # compares two smscope binaries
//! cargo bench --bench sidecar -- stored <messages>       # prints the part of the table that is about a large store
//! cargo bench --bench sidecar -- peers                   # writes the table of other programs to docs/performance.md
//! cargo bench --bench sidecar -- fleet                   # prints the table of a fleet on PostgreSQL
//! cargo bench --bench sidecar -- fleet write             # and writes it to docs/performance.md
//! cargo bench --bench sidecar -- fleet <rounds> <messages>… # the same with as many messages stored, growing (none: without that part)
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use server::Program;
use tempfile::TempDir;

mod everyday;
mod fleet;
mod load;
mod one_at_a_time;
mod pair;
mod peers;
mod server;
mod sink;
mod stored;
mod stores;
mod support;
mod table;
mod usage;

const ROUNDS: usize = 5;
/// Enough to see what a change brings, in a minute and a half.
const PAIR_ROUNDS: usize = 2;
const MILLION: usize = 1_000_000;
const FLEET_STORED: [usize; 2] = [MILLION, 10 * MILLION];

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["bare", answer] = arguments[..] {
        return server::serve_bare(answer);
    }
    let smscope = Program::new(env!("CARGO_BIN_EXE_smscope"));
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments[..] {
        [] => print!("{}", runtime.block_on(table::measure(&smscope))?),
        ["write"] => table::write("measured", &runtime.block_on(table::measure(&smscope))?)?,
        ["peers"] => table::write("peers", &runtime.block_on(peers::compare(&smscope))?)?,
        ["pair", a, b] => print!("{}", runtime.block_on(pair::compare(a, b, PAIR_ROUNDS))?),
        ["pair", a, b, rounds] => print!("{}", runtime.block_on(pair::compare(a, b, rounds.parse()?))?),
        ["fleet"] => print!("{}", runtime.block_on(fleet::compare(&smscope, ROUNDS, &FLEET_STORED))?),
        ["fleet", "write"] => {
            table::write("fleet", &runtime.block_on(fleet::compare(&smscope, ROUNDS, &FLEET_STORED))?)?;
        }
        ["fleet", rounds, ref messages @ ..] => {
            let messages = messages.iter().map(|messages| Ok(messages.parse()?)).collect::<Result<Vec<_>>>()?;
            print!("{}", runtime.block_on(fleet::compare(&smscope, rounds.parse()?, &messages))?);
        }
        ["stored", messages] => print!("{}", runtime.block_on(table::stored(&smscope, messages.parse()?))?),
        _ => {
            return Err(format!("unknown arguments {arguments:?}, expected write, pair, stored, peers or fleet").into());
        }
    }
    Ok(())
}

/// Beside the build, so that fsync goes to a disk: /tmp may be memory.
fn data() -> Result<TempDir> {
    Ok(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// The embedded store of a data directory.
fn database(data: &Path) -> PathBuf {
    data.join("private/smscope.db")
}

/// What the store takes that an ended smscope has left.
fn stored_bytes(data: &Path) -> Result<f64> {
    Ok(fs::metadata(database(data))?.len() as f64)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

/// The lowest and the highest.
fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)))
}
