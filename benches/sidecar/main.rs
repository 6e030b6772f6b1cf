//! The sidecar as a whole, in ratios from one run: every answer that is counted was on disk.
//!
//! Servers are processes of their own; the load is one client process on the same cores. What is compared is measured in turns, and
//! what counts is the median of the rounds' ratios: a machine whose speed drifts favours neither side.
//!
//! ```text
//! cargo bench --bench sidecar           # prints the table
//! cargo bench --bench sidecar -- write  # and writes it to docs/performance.md
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use server::Server;
use tempfile::TempDir;

mod load;
mod server;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 512;
const MILLION: usize = 1_000_000;
const ACCEPTED: &str = r#"{"result":"accepted"}"#;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("bare") => return server::serve_bare(arguments.get(1).map_or("", String::as_str)),
        Some("write") | None => {}
        Some(other) => return Err(format!("unknown argument {other}, expected write").into()),
    }
    let table = tokio::runtime::Runtime::new()?.block_on(measure())?;
    print!("{table}");
    if !arguments.is_empty() {
        write(&table)?;
    }
    Ok(())
}

async fn measure() -> Result<String> {
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| {
        eprintln!("{what}: {value}");
        rows.push(format!("| {what} | {value} |\n"));
    };
    row("binary", format!("{:.1} MB", fs::metadata(env!("CARGO_BIN_EXE_smscope"))?.len() as f64 / 1e6));

    let (mut ratios, mut rates, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare = load::closed(&Server::bare(ACCEPTED)?, CONNECTIONS, ROUND).await?.0;
        let data = data()?;
        let smscope = Server::smscope(data.path(), None)?;
        let before = smscope.cpu_seconds();
        let (rate, answers) = load::closed(&smscope, CONNECTIONS, ROUND).await?;
        cpu.push((smscope.cpu_seconds() - before) * 1e6 / answers as f64);
        ratios.push(rate / bare);
        rates.push(rate);
    }
    let rate = median(&rates);
    row("durable webhooks a second against bare hyper", format!("**{}** ({rate:.0}/s here)", spread(&ratios)));
    row("CPU of one durable webhook", format!("{:.0} µs", median(&cpu)));

    let collector = Server::bare("")?;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (one, other) = (data()?, data()?);
        let off = load::closed(&Server::smscope(one.path(), None)?, CONNECTIONS, ROUND).await?.0;
        let on = load::closed(&Server::smscope(other.path(), Some(collector.address))?, CONNECTIONS, ROUND).await?.0;
        ratios.push(on / off);
    }
    row("the same with OTLP export on, against off", spread(&ratios));

    let directory = data()?;
    let idle = Server::smscope(directory.path(), None)?;
    row("start to ready, empty store", format!("{} ms", idle.ready_after.as_millis()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    row("resident memory, idle", format!("{:.1} MB", idle.resident_megabytes()));
    drop(idle);

    let (mut percentiles, mut loaded) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
    for _ in 0..ROUNDS {
        let directory = data()?;
        let smscope = Server::smscope(directory.path(), None)?;
        let times = load::open(&smscope, CONNECTIONS, rate / 2.0, ROUND * 2).await?;
        for (found, share) in percentiles.iter_mut().zip([0.5, 0.99, 0.999]) {
            found.push(times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3);
        }
        loaded.push(smscope.resident_megabytes());
    }
    let [p50, p99, p999] = percentiles.map(|found| median(&found));
    row("answer p50 / p99 / p99.9 at half that rate", format!("{p50:.1} / {p99:.1} / {p999:.1} ms"));
    row("resident memory, under load", format!("{:.1} MB", median(&loaded)));

    let million = data()?;
    let full = Server::smscope(million.path(), None)?;
    load::fill(&full, CONNECTIONS, MILLION).await?;
    row("resident memory, 1,000,000 messages pending", format!("{:.1} MB", full.resident_megabytes()));
    full.terminate()?;
    let bytes = fs::metadata(million.path().join("private/smscope.db"))?.len();
    row("bytes on disk an event", format!("{:.0}", bytes as f64 / MILLION as f64));
    let mut ready = Vec::new();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let empty = data()?;
        let alone = load::closed(&Server::smscope(empty.path(), None)?, CONNECTIONS, ROUND).await?.0;
        let full = Server::smscope(million.path(), None)?;
        ready.push(full.ready_after.as_secs_f64() * 1e3);
        ratios.push(load::closed(&full, CONNECTIONS, ROUND).await?.0 / alone);
        full.terminate()?;
    }
    row("webhooks a second with the million in the store, against an empty one", spread(&ratios));
    row("start to ready with the million", format!("{:.0} ms", median(&ready)));
    Ok(format!("| what | measured |\n|---|---|\n{}", rows.concat()))
}

/// Beside the build, so that fsync goes to a disk: /tmp may be memory.
fn data() -> Result<TempDir> {
    Ok(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(ratios: &[f64]) -> String {
    let (low, high) = ratios.iter().fold((f64::MAX, f64::MIN), |(low, high), &r| (low.min(r), high.max(r)));
    format!("{:.2} (from {low:.2} to {high:.2})", median(ratios))
}

/// Puts the table, and the machine that it was measured on, between the marks of docs/performance.md.
fn write(table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = fs::read_to_string(&path)?;
    let (head, rest) = text.split_once("<!-- measured -->").ok_or("docs/performance.md has lost its first mark")?;
    let (_, tail) = rest.split_once("<!-- end -->").ok_or("docs/performance.md has lost its second mark")?;
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism()?;
    let machine = format!("Measured on {cores} cores of {}, Linux.", model.unwrap_or("an unnamed processor"));
    fs::write(&path, format!("{head}<!-- measured -->\n{machine}\n\n{table}<!-- end -->{tail}"))?;
    Ok(())
}
