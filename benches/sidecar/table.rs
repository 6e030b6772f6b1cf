//! The table of docs/performance.md.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::everyday::{self, Figure};
use crate::server::{ACCEPTED, Program, Server};
use crate::stored::Stored;
use crate::{MILLION, ROUNDS, Result, data, load, median, range};

const ROUND: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 512;
/// After a start, until what runs every few seconds has run.
const SETTLED: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Table(String);

impl Table {
    pub fn row(&mut self, what: &str, value: impl Display) {
        eprintln!("{what}: {value}");
        self.0.push_str(&format!("| {what} | {value} |\n"));
    }

    pub fn finish(self) -> String {
        format!("| what | measured |\n|---|---|\n{}", self.0)
    }
}

/// All of it.
pub async fn measure(smscope: &Program) -> Result<String> {
    let mut table = Table::default();
    table.row("binary", format_args!("{:.1} MB", fs::metadata(smscope.path())?.len() as f64 / 1e6));
    let rate = full_load(smscope, &mut table).await?;

    let collector = Server::bare("")?;
    let mut rounds: Vec<Vec<Figure>> = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(everyday::round(std::slice::from_ref(smscope), &collector).await?);
    }
    for (at, figure) in rounds[0].iter().enumerate() {
        let values: Vec<f64> = rounds.iter().map(|round| round[at].values[0]).collect();
        table.row(&figure.what, format_args!("{:.1}", median(&values)));
    }

    let mut percentiles = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let directory = data()?;
        let measured = load::open(&smscope.start(directory.path())?, CONNECTIONS, rate / 2.0, ROUND * 2).await?;
        for (found, share) in percentiles.iter_mut().zip([0.5, 0.99, 0.999]) {
            found.push(measured.milliseconds(share));
        }
    }
    let [p50, p99, p999] = percentiles.map(|found| median(&found));
    table.row("p50 / p99 / p99.9 at half the full load, ms", format_args!("{p50:.1} / {p99:.1} / {p999:.1}"));
    Ok(table.finish() + &stored_rows(smscope, MILLION).await?.0)
}

/// The rows that are about a store of `messages` messages.
pub async fn stored(smscope: &Program, messages: usize) -> Result<String> {
    Ok(stored_rows(smscope, messages).await?.finish())
}

/// Gives the rate.
async fn full_load(smscope: &Program, table: &mut Table) -> Result<f64> {
    let (mut of_bare, mut of_silent, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let (bare, collector) = (Server::bare(ACCEPTED)?, Server::bare("")?);
    for _ in 0..ROUNDS {
        let (one, other) = (data()?, data()?);
        let bare = load::closed(&bare, CONNECTIONS, ROUND).await?.per_second;
        let silent = load::closed(&smscope.start(one.path())?, CONNECTIONS, ROUND).await?.per_second;
        let exporting = smscope.exporting_to(collector.address).start(other.path())?;
        let exporting = load::closed(&exporting, CONNECTIONS, ROUND).await?.per_second;
        of_bare.push(silent / bare);
        of_silent.push(exporting / silent);
        rates.push(silent);
    }
    table.row("durable webhooks per second, of bare hyper's", format_args!("**{}**", spread(&of_bare)));
    table.row("the same exporting, of not exporting", spread(&of_silent));
    Ok(median(&rates))
}

async fn stored_rows(smscope: &Program, messages: usize) -> Result<Table> {
    let stored = Stored::fill(smscope, CONNECTIONS, messages).await?;
    let mut table = Table::default();
    let mut row = |what: &str, value: String| table.row(&format!("{messages} messages stored: {what}"), value);
    row(
        "resident memory, all pending, after the load that stored them, MB",
        format!("{:.1}", stored.resident_megabytes),
    );
    row("bytes per event", format!("{:.0}", stored.bytes / messages as f64));
    row("log records that wait, exported per second", format!("{:.0}", stored.export(smscope, messages).await?));
    let (mut ratios, mut starts, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let empty = data()?;
        let alone = load::closed(&smscope.start(empty.path())?, CONNECTIONS, ROUND).await?.per_second;
        let (full, start) = stored.start(smscope).await?;
        starts.push(start);
        tokio::time::sleep(SETTLED).await;
        resident.push(full.resident_megabytes().0);
        ratios.push(load::closed(&full, CONNECTIONS, ROUND).await?.per_second / alone);
        full.terminate()?;
    }
    row("webhooks per second, of an empty store's", spread(&ratios));
    row("start to first answer, ms", format!("{:.0}", median(&starts)));
    row("resident memory after a start, MB", format!("{:.1}", median(&resident)));
    for (what, milliseconds) in stored.search(smscope)? {
        row(what, format!("{milliseconds:.0}"));
    }
    Ok(table)
}

pub fn spread(ratios: &[f64]) -> String {
    let (low, high) = range(ratios);
    format!("{:.2} (from {low:.2} to {high:.2})", median(ratios))
}

/// Puts a table, and the machine that it was measured on, between the marks of docs/performance.md that bear this name.
pub fn write(name: &str, table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = fs::read_to_string(&path)?;
    let (head, rest) = text.split_once(&format!("<!-- {name} -->")).ok_or("docs/performance.md has lost a mark")?;
    let (_, tail) = rest.split_once("<!-- end -->").ok_or("docs/performance.md has lost its end mark")?;
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism()?;
    let machine = format!("Measured on {cores} cores of {}, Linux.", model.unwrap_or("an unnamed processor"));
    fs::write(&path, format!("{head}<!-- {name} -->\n{machine}\n\n{table}<!-- end -->{tail}"))?;
    Ok(())
}
