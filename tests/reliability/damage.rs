//! The database is damaged, foreign or of a later version: nothing is made worse, and one line is logged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rusqlite::Connection;

use crate::support::{HOOK, Launch, Smscope, eventually, post, receipt};

fn database(launch: &Launch) -> PathBuf {
    launch.database()
}

/// A store with so many messages in it, closed.
fn filled(count: usize) -> Launch {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    for number in 0..count {
        assert_eq!(client.ask(post(HOOK, receipt(&number.to_string(), "DELIVERED"))).result(), "accepted");
    }
    smscope.stop()
}

#[test]
fn a_file_that_is_no_store_of_smscope_is_rejected_and_unchanged() {
    let sqlite = |sql: &'static str| move |path: &PathBuf| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    type Break = Box<dyn Fn(&PathBuf)>;
    let breaks: [(&str, &str, Break); 6] = [
        ("a text", "file is not a database", Box::new(|path| fs::write(path, "no database, ".repeat(1000)).unwrap())),
        ("zeros", "file is not a database", Box::new(|path| fs::write(path, vec![0; 40_960]).unwrap())),
        (
            "a damaged header",
            "file is not a database",
            Box::new(|path| OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[7; 64], 0).unwrap()),
        ),
        (
            "a damaged schema",
            "malformed",
            Box::new(|path| OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[7; 3900], 100).unwrap()),
        ),
        ("a later schema", "newer than", Box::new(sqlite("PRAGMA user_version = 900"))),
        ("another program's", "is not one of smscope's", Box::new(sqlite("PRAGMA application_id = 7"))),
    ];
    for (what, why, damage) in breaks {
        let launch = filled(50);
        damage(&database(&launch));
        let before = fs::read(database(&launch)).unwrap();
        let ended = launch.run();
        assert_eq!(ended.code, Some(78), "{what}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{what}: {ended:?}");
        assert!(ended.stderr.contains("data_dir") && ended.stderr.contains(why), "{what}: {ended:?}");
        assert!(fs::read(database(&launch)).unwrap() == before, "{what}: it was changed");
    }
}

#[test]
fn an_empty_file_is_a_new_store() {
    let launch = filled(3);
    fs::write(database(&launch), "").unwrap();
    assert_eq!(launch.start().post(HOOK, receipt("1", "DELIVERED")).result(), "accepted");
}

#[test]
fn a_database_that_is_found_damaged_while_it_is_used_is_not_written_any_more() {
    let launch = filled(1200);
    let smscope = launch.start();
    let path = database(&launch);
    // All but the first pages, behind smscope's back: it has not read most of them yet.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xa5; usize::try_from(length).unwrap() - 8192], 8192).unwrap();

    let mut client = smscope.client();
    let mut refused = false;
    for number in 0..1200 {
        // These have been counted: whatever the answer is, it is not that they are new.
        let answer = client.ask(post(HOOK, receipt(&number.to_string(), "DELIVERED")));
        assert!(answer.status == 503 || answer.result() == "duplicate", "{answer:?}");
        refused |= answer.status == 503;
    }
    assert!(refused);
    eventually("it is not ready", || !smscope.is_ready());
    for number in 0..20 {
        let answer = client.ask(post(HOOK, receipt(&format!("new-{number}"), "DELIVERED")));
        assert_eq!(answer.status, 503, "one that has been damaged is not trusted in part: {answer:?}");
    }
    assert_eq!(smscope.ask_admin("GET", "/metrics", &[]).status, 200);
    let stderr = smscope.stderr();
    let told: Vec<&str> =
        stderr.lines().filter(|line| line.contains("the database is damaged or cannot be read")).collect();
    assert_eq!(told.len(), 1, "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("can write again"), "{stderr}");
    smscope.stop();
}
