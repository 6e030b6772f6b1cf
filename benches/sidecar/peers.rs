//! smscope beside programs that do a part of what it does: the same load, the same sink, the same cores, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::load::Measured;
use crate::server::{Peer, Program, Server};
use crate::sink::Sink;
use crate::{ROUNDS, Result, data, load, median};

const CONNECTIONS: usize = 64;
const FEW: usize = 16;
const FULL_LOAD: Duration = Duration::from_secs(3);
const EVERYDAY: Duration = Duration::from_secs(3);
const SETTLE: Duration = Duration::from_secs(2);
/// How long the sink stays without another message before all that will arrive has arrived.
const QUIET: Duration = Duration::from_secs(15);

/// A name, the program, and its configuration in `benches/peers`.
const PEERS: [(&str, Peer, &str); 6] = [
    ("Collector, in memory, neither parsed nor counted", Peer::Collector, "memory.yaml"),
    ("Collector, in memory, parsed and counted", Peer::Collector, "parsed.yaml"),
    ("Collector, `file_storage`", Peer::Collector, "file_storage.yaml"),
    ("Collector, `file_storage` with fsync", Peer::Collector, "fsync.yaml"),
    ("Benthos, answering after the sink, parsed and counted", Peer::Benthos, "direct.yaml"),
    ("Benthos, in memory, parsed and counted", Peer::Benthos, "memory.yaml"),
];

const HEAD: &str =
    "| | webhooks/s | CPU µs each | p99 ms | CPU µs each at 100/s | at 1,000/s | idle / peak MB | lost by kill -9 |
|---|---|---|---|---|---|---|---|
";

pub async fn compare(smscope: &Program) -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let built = Command::new(folder.join("build.sh")).output()?;
    let built = PathBuf::from(String::from_utf8(built.stdout)?.trim_end());
    let mut programs = vec![("smscope, exporting", smscope.clone())];
    for (name, peer, configuration) in PEERS {
        let program = match peer {
            Peer::Collector => "collector",
            Peer::Benthos => "benthos",
        };
        let configuration = folder.join(program).join(configuration);
        programs.push((name, Program::peer(peer, built.join(program), configuration)));
    }
    let sink = Sink::start().await?;
    let mut rounds: Vec<Vec<[f64; 7]>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        for (name, program) in &programs {
            round.push(measure(&program.exporting_to(sink.address)).await.map_err(|error| format!("{name}: {error}"))?);
        }
        rounds.push(round);
    }
    let mut table = HEAD.to_owned();
    for (at, (name, program)) in programs.iter().enumerate() {
        let [rate, cpu, p99, hundred, thousand, idle, peak] =
            std::array::from_fn(|figure| median(&rounds.iter().map(|round| round[at][figure]).collect::<Vec<_>>()));
        let lost = kill(&program.exporting_to(sink.address), &sink).await?;
        table.push_str(&format!(
            "| {name} | {rate:.0} | {cpu:.0} | {p99:.1} | {hundred:.0} | {thousand:.0} | {idle:.0} / {peak:.0} | {lost} |\n"
        ));
    }
    Ok(table)
}

async fn measure(program: &Program) -> Result<[f64; 7]> {
    let directory = data()?;
    let server = program.start(directory.path())?;
    load::once(&server).await?;
    tokio::time::sleep(SETTLE).await;
    let (idle, _) = server.resident_megabytes();
    let [hundred, thousand] = [100.0, 1_000.0].map(|rate| load::open(&server, FEW, rate, EVERYDAY));
    let (hundred, thousand) = (hundred.await?.cpu_microseconds(), thousand.await?.cpu_microseconds());
    let full = load::closed(&server, CONNECTIONS, FULL_LOAD).await?;
    let (_, peak) = server.resident_megabytes();
    Ok([full.per_second, Measured::cpu_microseconds(&full), full.milliseconds(0.99), hundred, thousand, idle, peak])
}

/// What was acknowledged while the sink was down and has not arrived, once the program was killed and started again.
async fn kill(program: &Program, sink: &Sink) -> Result<String> {
    let directory = data()?;
    sink.set_down(true);
    let server = program.start(directory.path())?;
    let mut missing = load::acknowledged(&server, CONNECTIONS, FULL_LOAD).await?;
    let accepted = missing.len();
    server.kill();
    sink.set_down(false);
    let _restarted: Server = program.start(directory.path())?;
    let mut before = usize::MAX;
    while missing.len() < before && !missing.is_empty() {
        before = missing.len();
        tokio::time::sleep(QUIET).await;
        missing.retain(|id| !sink.arrived().contains(id));
    }
    Ok(if accepted == 0 { "nothing accepted".to_owned() } else { format!("{} of {accepted}", missing.len()) })
}
