//! The disk fails, fills up, slows down or disappears: 503 while nothing can be stored, and recovery without intervention.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::shim::{Control, EIO, ENOSPC, EROFS, Shim};
use crate::support::{Client, HOOK, Launch, Mounted, Smscope, eventually, post, receipt};

/// A smscope whose disk and clock the test has a hand on.
fn shimmed() -> (Smscope, Shim) {
    let (launch, shim) = Shim::under(Launch::new());
    (launch.start(), shim)
}

/// Sends receipts from several clients at once. Gives the ids that were acknowledged; anything but 200 has to be a 503.
fn send(smscope: &Smscope, wave: &str, count: usize) -> BTreeSet<String> {
    const CLIENTS: usize = 4;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let mut connection = smscope.client();
                scope.spawn(move || {
                    let mut acknowledged = BTreeSet::new();
                    for number in 0..count / CLIENTS {
                        let id = format!("{wave}-{client}-{number}");
                        let answer = connection.ask(post(HOOK, receipt(&id, "DELIVERED")));
                        if answer.status == 200 {
                            acknowledged.insert(id);
                        } else {
                            assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// What was acknowledged is known, and counted once, also after a kill.
fn nothing_is_lost(smscope: Smscope, acknowledged: &BTreeSet<String>) {
    let mut client = smscope.client();
    for id in acknowledged {
        assert_eq!(client.ask(post(HOOK, receipt(id, "DELIVERED"))).result(), "duplicate", "{id}");
    }
    let counted = smscope.metric("sms_messages_delivered_total", &[]);
    assert!(counted >= acknowledged.len() as f64);
    assert!(!smscope.stderr().contains("panicked"), "{}", smscope.stderr());
    let again = smscope.kill().start();
    assert_eq!(again.metric("sms_messages_delivered_total", &[]), counted);
    assert_eq!(again.stored::<i64>("SELECT count(*) FROM events"), counted as i64);
    assert_eq!(again.stored::<i64>("SELECT count(DISTINCT message_id) FROM event_log"), counted as i64);
    assert_eq!(again.stored::<String>("PRAGMA integrity_check"), "ok");
}

#[test]
fn nothing_is_acknowledged_while_writing_syncing_or_reading_fails_and_smscope_recovers_by_itself() {
    for (what, control, errno, line) in [
        ("a write that fails", Control::WriteError, EIO, "disk I/O error"),
        ("a full disk", Control::WriteError, ENOSPC, "database or disk is full"),
        ("a file system that has become read-only", Control::WriteError, EROFS, "disk I/O error"),
        ("a sync that fails", Control::SyncError, EIO, "disk I/O error"),
        ("a sync for which there is no room", Control::SyncError, ENOSPC, "disk I/O error"),
    ] {
        let (smscope, shim) = shimmed();
        let mut acknowledged = send(&smscope, "before", 40);
        assert_eq!(acknowledged.len(), 40, "{what}");
        shim.set(control, errno);
        assert_eq!(send(&smscope, "meanwhile", 40), BTreeSet::new(), "{what}");
        assert!(!smscope.is_ready(), "{what}");
        let said: Vec<String> = smscope
            .stderr()
            .lines()
            .filter(|line| line.contains("cannot write to the store"))
            .map(str::to_owned)
            .collect();
        assert_eq!(said.len(), 1, "{what}: {said:?}");
        assert!(said[0].contains(line), "{what}: {said:?}");
        shim.set(control, 0);
        eventually(what, || smscope.is_ready());
        acknowledged.append(&mut send(&smscope, "after", 40));
        assert_eq!(acknowledged.len(), 80, "{what}");
        acknowledged.append(&mut send(&smscope, "meanwhile", 40));
        nothing_is_lost(smscope, &acknowledged);
    }
}

#[test]
fn a_disk_that_fails_now_and_then_loses_nothing_that_was_acknowledged() {
    let (smscope, shim) = shimmed();
    let over = AtomicBool::new(false);
    let (acknowledged, sent) = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut acknowledged, mut waves) = (BTreeSet::new(), 0);
            while !over.load(Ordering::Relaxed) {
                acknowledged.append(&mut send(&smscope, &waves.to_string(), 40));
                waves += 1;
            }
            (acknowledged, waves * 40)
        });
        let faults = [(Control::WriteError, EIO), (Control::SyncError, EIO), (Control::ReadError, EIO)];
        for (control, errno) in faults.iter().cycle().take(30) {
            shim.set(*control, *errno);
            std::thread::sleep(Duration::from_millis(30));
            shim.set(*control, 0);
            std::thread::sleep(Duration::from_millis(60));
        }
        over.store(true, Ordering::Relaxed);
        clients.join().unwrap()
    });
    assert!(!acknowledged.is_empty() && acknowledged.len() < sent, "{} of {sent}", acknowledged.len());
    eventually("it can write again", || smscope.is_ready());
    nothing_is_lost(smscope, &acknowledged);
}

#[test]
fn a_slow_disk_makes_larger_transactions_and_no_rejections() {
    let (smscope, shim) = shimmed();
    shim.set(Control::SyncDelay, 200);
    let commits = smscope.metric("smscope_store_commit_duration_seconds_count", &[]);
    let acknowledged = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|name| {
                let smscope = &smscope;
                scope.spawn(move || {
                    let mut client = smscope.client();
                    let ids: Vec<String> = (0..5).map(|number| format!("{name}-{number}")).collect();
                    for id in &ids {
                        assert_eq!(client.ask(post(HOOK, receipt(id, "DELIVERED"))).result(), "accepted");
                    }
                    ids
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<BTreeSet<_>>()
    });
    let commits = smscope.metric("smscope_store_commit_duration_seconds_count", &[]) - commits;
    assert!(commits <= 30.0, "200 receipts in {commits} transactions");
    assert!(smscope.is_ready());
    shim.set(Control::SyncDelay, 0);
    nothing_is_lost(smscope, &acknowledged);
}

#[test]
fn a_checkpoint_that_fails_is_logged_once_and_loses_nothing() {
    let (smscope, shim) = shimmed();
    // Reads of the database and its log fail: commits need none, copying the one into the other does.
    let mut acknowledged = send(&smscope, "m", 40);
    shim.set(Control::ReadError, EIO);
    // All before may have been copied by now.
    acknowledged.append(&mut send(&smscope, "meanwhile", 40));
    eventually("it says so", || smscope.stderr().contains("cannot copy the write-ahead log"));
    shim.set(Control::ReadError, 0);
    eventually("it can write", || smscope.is_ready());
    nothing_is_lost(smscope, &acknowledged);
}

#[test]
fn nothing_is_acknowledged_while_the_data_directory_is_moved_away_and_smscope_recovers_when_it_is_back() {
    let smscope = Smscope::start();
    let data = smscope.launch.data_dir();
    let elsewhere = data.with_extension("moved");
    let mut acknowledged = send(&smscope, "before", 40);
    std::fs::rename(&data, &elsewhere).unwrap();
    assert_eq!(send(&smscope, "meanwhile", 40), BTreeSet::new());
    assert!(!smscope.is_ready());
    assert_eq!(smscope.ask_admin("GET", "/metrics", &[]).status, 200);
    // Another directory of the same name is not the same.
    std::fs::create_dir(&data).unwrap();
    assert_eq!(send(&smscope, "meanwhile", 4), BTreeSet::new());
    std::fs::remove_dir(&data).unwrap();
    let lines = || smscope.stderr().lines().filter(|line| line.contains("deleted, moved or replaced")).count();
    assert_eq!(lines(), 1, "{}", smscope.stderr());
    std::fs::rename(&elsewhere, &data).unwrap();
    eventually("it goes on", || smscope.is_ready());
    acknowledged.append(&mut send(&smscope, "after", 40));
    assert_eq!(acknowledged.len(), 80);
    nothing_is_lost(smscope, &acknowledged);
}

#[test]
fn a_deleted_data_directory_is_logged_once_and_a_restart_begins_with_an_empty_store() {
    for what in ["private/smscope.db", "private/smscope.db-wal", "private", ""] {
        let smscope = Smscope::start();
        assert_eq!(send(&smscope, "before", 8).len(), 8);
        let gone = smscope.launch.data_dir().join(what);
        if gone.is_dir() { std::fs::remove_dir_all(&gone) } else { std::fs::remove_file(&gone) }.unwrap();
        assert_eq!(send(&smscope, "meanwhile", 8), BTreeSet::new(), "{what}");
        eventually("it is not ready", || !smscope.is_ready());
        std::thread::sleep(Duration::from_millis(1200));
        let stderr = smscope.stderr();
        let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        assert!(lines[0].contains("restart smscope"), "{what}: {lines:?}");
        let again = smscope.restarted();
        assert_eq!(send(&again, "after", 8).len(), 8, "{what}");
    }
}

#[test]
fn of_two_on_one_data_directory_the_second_does_not_start_and_the_first_continues() {
    let smscope = Smscope::start();
    let second = smscope.launch.run();
    assert_eq!(second.code, Some(78), "{second:?}");
    assert!(second.stderr.contains("another smscope is using it"), "{second:?}");
    assert_eq!(second.stderr.lines().count(), 1, "{second:?}");
    assert_eq!(send(&smscope, "m", 8).len(), 8);
}

#[test]
fn webhooks_are_rejected_while_the_file_system_is_full() {
    let launch = Launch::new();
    let data = launch.data_dir();
    let Some(disk) = Mounted::new(&data, "size=2m") else { return };
    let smscope = launch.start();
    let mut acknowledged = BTreeSet::new();
    let mut wave = 0;
    while smscope.is_ready() {
        wave += 1;
        assert!(wave < 200, "2 MiB hold more than they can");
        acknowledged.append(&mut send(&smscope, &wave.to_string(), 40));
    }
    assert_eq!(send(&smscope, "full", 40), BTreeSet::new());
    assert!(smscope.stderr().contains("full"), "{}", smscope.stderr());
    // What little room is left again and again does not make it ready: it would flap.
    for _ in 0..40 {
        assert!(!smscope.is_ready(), "{}", smscope.stderr());
        let _some_may_fit = send(&smscope, "meanwhile", 4);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!smscope.stderr().contains("can write again"), "{}", smscope.stderr());
    disk.remount("size=64m");
    eventually("it has room", || smscope.is_ready());
    acknowledged.append(&mut send(&smscope, "after", 400));
    assert!(acknowledged.iter().filter(|id| id.starts_with("after")).count() == 400);
    nothing_is_lost(smscope, &acknowledged);
}

#[test]
fn on_a_read_only_file_system_it_does_not_start_and_logs_why_in_one_line() {
    let launch = Launch::new();
    let data = launch.data_dir();
    let Some(disk) = Mounted::new(&data, "size=8m") else { return };
    let smscope = launch.start();
    assert_eq!(send(&smscope, "m", 8).len(), 8);
    smscope.stop();
    disk.remount("ro");
    let ended = launch.run();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("data_dir") && ended.stderr.contains("Read-only file system"), "{ended:?}");
    disk.remount("rw");
    let again = launch.start();
    assert_eq!(again.metric("sms_messages_delivered_total", &[]), 8.0);
}

#[test]
fn every_listener_responds_even_without_a_disk() {
    let smscope = Smscope::start();
    std::fs::remove_dir_all(smscope.launch.data_dir()).unwrap();
    for (path, status) in [("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/", 200)] {
        // Once a request has needed the disk.
        assert_eq!(Client::connect(smscope.webhooks).ask(post(HOOK, receipt("m", "DELIVERED"))).status, 503);
        assert_eq!(smscope.ask_admin("GET", path, &[]).status, status, "{path}");
    }
}
