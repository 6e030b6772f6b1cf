//! kill -9 under load, again and again: what was acknowledged is kept once, counted once and told, by both ways out.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::load::{Dice, Progress, soak, start_clients};
use crate::peers::{Collector, Smscope};

/// `make soak` asks for more.
const KILLS: u64 = 20;

#[test]
fn kills_under_load_lose_nothing_that_was_acknowledged_and_count_nothing_twice() {
    let started = Instant::now();
    let kills = soak("KILLS").unwrap_or(KILLS);
    let seed = soak("SEED").unwrap_or(1);
    println!("seed {seed}");
    let folder = TempDir::new().unwrap();
    let Some(mut collector) = Collector::start(folder.path()) else { return };
    let mut smscope = Smscope::new(folder.path()).with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()).start();
    let progress = Progress::default();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &smscope, seed);
        let mut dice = Dice::of(seed);
        for kill in 0..kills {
            // Every fourth time it is killed while it starts, the other times with something acknowledged since.
            if kill % 4 != 3 {
                clients.until_acknowledged(10);
            }
            std::thread::sleep(Duration::from_millis(dice.below(400)));
            smscope.kill();
            smscope.spawn();
        }
        smscope.until_ready();
        clients.finish()
    });
    println!("{kills} kills, {progress}, {:?}", started.elapsed());
    truth.is_kept_in(&smscope.database());
    truth.is_told_by(&mut smscope, &mut collector);
    println!("all of it in {:?}", started.elapsed());
}
