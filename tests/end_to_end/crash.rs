//! kill -9 under load, again and again: what was acknowledged is stored once, counted once and exported, as logs and as metrics.

use std::time::{Duration, Instant};

use crate::support::Launch;
use crate::support::load::{Dice, Progress, soak, start_clients};
use crate::support::peers::Collector;

/// `make soak` asks for more.
const KILLS: u64 = 20;

#[test]
fn kills_under_load_lose_nothing_that_was_acknowledged_and_count_nothing_twice() {
    let started = Instant::now();
    let kills = soak("KILLS").unwrap_or(KILLS);
    let seed = soak("SEED").unwrap_or(1);
    println!("seed {seed}");
    let launch = Launch::new().among_peers();
    let Some(mut collector) = Collector::start(launch.home.path()) else { return };
    let launch = launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    let mut process = launch.start().process;
    let (addresses, progress) = ([launch.webhooks()], Progress::default());
    let (truth, smscope) = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, seed);
        let mut dice = Dice::of(seed);
        for kill in 0..kills {
            // Every fourth time it is killed while it starts, the other times with something acknowledged since.
            if kill % 4 != 3 {
                clients.until_acknowledged(10);
            }
            std::thread::sleep(Duration::from_millis(dice.below(400)));
            process.kill();
            process = launch.spawn();
        }
        let smscope = launch.ready(process);
        (clients.finish(), smscope)
    });
    println!("{kills} kills, {progress}, {:?}", started.elapsed());
    truth.is_kept_in(&launch.database());
    truth.is_told_by(smscope, &mut collector);
    println!("all of it in {:?}", started.elapsed());
}
