//! Power loss: on a disk that has lost unsynced changes, all that was acknowledged is there.

use std::time::{Duration, Instant};

use crate::lossy_disk::LossyDisk;
use crate::shim::{Control, Shim};
use crate::support::Launch;
use crate::support::load::{Dice, Progress, Truth, soak, start_clients};
use crate::support::peers::Collector;

/// `make soak` asks for more.
const CUTS: u64 = 4;

#[test]
fn acknowledged_events_survive_power_cuts_on_a_disk_that_loses_unsynced_changes() {
    let started = Instant::now();
    let cuts = soak("CUTS").unwrap_or(CUTS);
    let seed = soak("SEED").unwrap_or(1);
    println!("seed {seed}");
    let mut dice = Dice::of(seed);
    let launch = Launch::new().among_peers();
    let Some(mut collector) = Collector::start(launch.home.path()) else { return };
    let data = launch.data_dir();
    std::fs::create_dir(&data).unwrap();
    let log = launch.home.path().join("changes");
    let launch =
        launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()).env("SHIM_LOG", log.to_str().unwrap());
    let (launch, shim) = Shim::under(launch);
    // The shim does not wait for the real disk: without a delay of its own hardly anything would ever be on its way.
    shim.set(Control::SyncDelay, 4);
    let (addresses, progress) = ([launch.webhooks()], Progress::default());
    let (mut truth, mut unsynced, mut syncs) = (Truth::default(), 0, 0);
    for cut in 0..cuts {
        let mut disk = LossyDisk::holding(&data);
        std::fs::write(&log, "").unwrap();
        let process = launch.spawn();
        let (acknowledged, smscope) = std::thread::scope(|scope| {
            let clients = start_clients(scope, &progress, &addresses, seed.wrapping_mul(1000) + cut);
            // Every fourth time the power is cut while smscope starts.
            if cut % 4 != 3 {
                clients.until_acknowledged(10);
            }
            std::thread::sleep(Duration::from_millis(dice.below(800)));
            process.kill();
            disk.replay(&std::fs::read(&log).unwrap());
            syncs += disk.syncs;
            unsynced += disk.cut(&mut dice);
            std::fs::write(&log, "").unwrap();
            let smscope = launch.start();
            (clients.finish(), smscope)
        });
        truth.join(acknowledged);
        smscope.kill();
        truth.is_kept_in(&launch.database());
    }
    let smscope = launch.start();
    println!("{cuts} cuts, {progress}, {syncs} syncs, {unsynced} unsynced changes, {:?}", started.elapsed());
    assert!(unsynced > 0, "no cut hit anything");
    truth.is_told_by(smscope, &mut collector);
}
