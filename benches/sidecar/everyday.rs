//! Programs as users meet them: started, idle, at the rates of every day, and at all that they can take. What is compared is measured one
//! directly after the other, step by step: whatever else the machine does meets both.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::load::Measured;
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

pub struct Figure {
    /// With its unit.
    pub what: String,
    /// One per program.
    pub values: Vec<f64>,
}

/// Twenty seconds with each of the programs, exporting to `collector` in the last five.
pub async fn round(programs: &[Program], collector: &Server) -> Result<Vec<Figure>> {
    let mut figures = Figures(Vec::new());
    figures.add("start to first answer, ms", starts(programs).await?);

    let mut directories = Vec::new();
    let mut servers = Vec::new();
    for program in programs {
        let directory = data()?;
        servers.push(program.start(directory.path())?);
        directories.push(directory);
    }
    each(&servers, load::once).await?;
    tokio::time::sleep(SETTLE).await;
    let before = servers.iter().map(Server::usage).collect::<Result<Vec<_>>>()?;
    tokio::time::sleep(IDLE).await;
    let idle = before.iter().map(|before| before.until_now()).collect::<Result<Vec<_>>>()?;
    figures.add("idle: resident memory, MB", servers.iter().map(|server| server.resident_megabytes().0));
    figures.add("idle: wake-ups per second", idle.iter().map(|used| used.wakeups_per_second()));

    for (rate, time) in RATES {
        let measured = each(&servers, async |server| load::open(server, FEW, rate, time).await).await?;
        figures.add_load(&format!("{rate} per second"), &measured);
        let wakeups = measured.iter().map(|measured| measured.used.wakeups_per_second());
        figures.add(&format!("{rate} per second: wake-ups per second"), wakeups);
    }
    for connections in [SOME, MANY] {
        let measured = each(&servers, async |server| load::closed(server, connections, FULL_LOAD).await).await?;
        let rates = measured.iter().map(|measured| measured.per_second);
        figures.add(&format!("{connections} connections: webhooks per second"), rates);
        figures.add_load(&format!("{connections} connections"), &measured);
    }
    figures.add("peak resident memory, MB", servers.iter().map(|server| server.resident_megabytes().1));
    let mut bytes = Vec::new();
    for (server, directory) in servers.into_iter().zip(&directories) {
        let accepted = server.accepted.load(Ordering::Relaxed);
        server.terminate()?;
        bytes.push(stored_bytes(directory.path())? / accepted as f64);
    }
    figures.add("stored bytes per event", bytes);
    exporting(programs, collector, &mut figures).await?;
    Ok(figures.0)
}

async fn exporting(programs: &[Program], collector: &Server, figures: &mut Figures) -> Result<()> {
    let mut directories = Vec::new();
    let mut servers = Vec::new();
    for program in programs {
        let directory = data()?;
        servers.push(program.exporting_to(collector.address).start(directory.path())?);
        directories.push(directory);
    }
    let measured = each(&servers, async |server| load::open(server, FEW, 100.0, EXPORTING).await).await?;
    figures.add("exporting, 100 per second: CPU of a webhook, µs", measured.iter().map(Measured::cpu_microseconds));
    let measured = each(&servers, async |server| load::closed(server, SOME, FULL_LOAD).await).await?;
    figures.add("exporting, 64 connections: webhooks per second", measured.iter().map(|measured| measured.per_second));
    figures.add("exporting, 64 connections: CPU of a webhook, µs", measured.iter().map(Measured::cpu_microseconds));
    figures.add("exporting: peak resident memory, MB", servers.iter().map(|server| server.resident_megabytes().1));
    Ok(())
}

/// From the start of the process to the first webhook that is answered, the median of a few.
async fn starts(programs: &[Program]) -> Result<Vec<f64>> {
    let mut times = vec![Vec::new(); programs.len()];
    for _ in 0..STARTS {
        for (program, times) in programs.iter().zip(&mut times) {
            let directory = data()?;
            let started = Instant::now();
            load::once(&program.start(directory.path())?).await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(times.iter().map(|times| median(times)).collect())
}

async fn each<T>(servers: &[Server], work: impl AsyncFn(&Server) -> Result<T>) -> Result<Vec<T>> {
    let mut results = Vec::new();
    for server in servers {
        results.push(work(server).await?);
    }
    Ok(results)
}

struct Figures(Vec<Figure>);

impl Figures {
    fn add(&mut self, what: &str, values: impl IntoIterator<Item = f64>) {
        self.0.push(Figure { what: what.to_owned(), values: values.into_iter().collect() });
    }

    fn add_load(&mut self, load: &str, measured: &[Measured]) {
        self.add(&format!("{load}: CPU of a webhook, µs"), measured.iter().map(Measured::cpu_microseconds));
        self.add(&format!("{load}: written per webhook, kB"), measured.iter().map(Measured::kilobytes_written));
        self.add(&format!("{load}: p99, ms"), measured.iter().map(|measured| measured.milliseconds(0.99)));
    }
}
