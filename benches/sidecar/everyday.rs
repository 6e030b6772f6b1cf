//! One program as users meet it: started, idle, at the rates of every day, and at all that it can take.

use std::time::{Duration, Instant};

use crate::server::{Program, Server};
use crate::{Result, data, load, median, stored_bytes};

/// Connections of a provider that is not in a hurry.
const FEW: usize = 16;
const SOME: usize = 64;
const MANY: usize = 512;
const STARTS: usize = 5;
/// Until what the start has begun is over, and then for how long idleness is measured.
const SETTLE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(3);
/// Each rate, and for how long it is measured: at 100 per second long enough for a checkpoint.
const RATES: [(f64, Duration); 3] =
    [(10.0, Duration::from_secs(2)), (100.0, Duration::from_secs(5)), (1000.0, Duration::from_secs(2))];
const FULL_LOAD: Duration = Duration::from_secs(2);
const EXPORTING: Duration = Duration::from_secs(2);

/// A name with its unit, and what was measured.
pub type Figure = (String, f64);

/// Twenty seconds with `program`, exporting to `collector` in the last five.
pub async fn round(program: &Program, collector: &Server) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut add = |what: &str, value: f64| figures.push((what.to_owned(), value));

    add("start to first answer, ms", starts(program).await?);
    let (directory, accepted) = (data()?, load::accepted());
    let smscope = program.start(directory.path())?;
    load::once(&smscope).await?;
    tokio::time::sleep(SETTLE).await;
    let before = smscope.usage()?;
    tokio::time::sleep(IDLE).await;
    let idle = before.until_now()?;
    add("idle: resident memory, MB", smscope.resident_megabytes().0);
    add("idle: wake-ups per second", idle.wakeups_per_second());

    for (rate, time) in RATES {
        let measured = load::open(&smscope, FEW, rate, time).await?;
        add(&format!("{rate} per second: CPU of a webhook, µs"), measured.cpu_microseconds());
        add(&format!("{rate} per second: written per webhook, kB"), measured.kilobytes_written());
        add(&format!("{rate} per second: wake-ups per second"), measured.used.wakeups_per_second());
        add(&format!("{rate} per second: p99, ms"), measured.milliseconds(0.99));
    }
    for connections in [SOME, MANY] {
        let measured = load::closed(&smscope, connections, FULL_LOAD).await?;
        add(&format!("{connections} connections: webhooks per second"), measured.per_second);
        add(&format!("{connections} connections: CPU of a webhook, µs"), measured.cpu_microseconds());
        add(&format!("{connections} connections: written per webhook, kB"), measured.kilobytes_written());
        add(&format!("{connections} connections: p99, ms"), measured.milliseconds(0.99));
    }
    add("peak resident memory, MB", smscope.resident_megabytes().1);
    smscope.terminate()?;
    let events = load::accepted() - accepted;
    add("stored bytes per event", stored_bytes(directory.path())? / events as f64);

    let directory = data()?;
    let exporting = program.exporting_to(collector.address).start(directory.path())?;
    let measured = load::open(&exporting, FEW, 100.0, EXPORTING).await?;
    add("exporting, 100 per second: CPU of a webhook, µs", measured.cpu_microseconds());
    let measured = load::closed(&exporting, SOME, FULL_LOAD).await?;
    add("exporting, 64 connections: webhooks per second", measured.per_second);
    add("exporting, 64 connections: CPU of a webhook, µs", measured.cpu_microseconds());
    add("exporting: peak resident memory, MB", exporting.resident_megabytes().1);
    Ok(figures)
}

/// From the start of the process to the first webhook that is answered, the median of a few.
async fn starts(program: &Program) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let directory = data()?;
        let started = Instant::now();
        load::once(&program.start(directory.path())?).await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}
