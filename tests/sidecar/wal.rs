//! The write-ahead log while a reader of an old state stays open, and after.

use crate::support::{HOOK, Smscope, eventually, post, receipt};

const MIB: f64 = 1024.0 * 1024.0;

fn wal_size(smscope: &Smscope) -> f64 {
    smscope.metric("smscope_store_wal_size_bytes", &[])
}

#[test]
fn a_reader_that_never_ends_shows_in_the_size_of_the_log_which_shrinks_after_its_end() {
    let smscope = Smscope::start();
    assert_eq!(smscope.post(HOOK, receipt("first", "DELIVERED")).result(), "accepted");
    let reader = smscope.database();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events;").unwrap();
    let mut client = smscope.client();
    let mut sent = 0;
    while wal_size(&smscope) < 24.0 * MIB {
        assert!(sent < 20_000, "{} bytes after {sent} webhooks", wal_size(&smscope));
        for _ in 0..100 {
            assert_eq!(client.ask(post(HOOK, receipt(&format!("m-{sent}"), "DELIVERED"))).result(), "accepted");
            sent += 1;
        }
    }
    let file = smscope.launch.data_dir().join("private/smscope.db-wal");
    let bytes = std::fs::metadata(&file).unwrap().len() as f64;
    eventually("the metric is the size of the file", || wal_size(&smscope) == bytes);
    // While the reader is there, nothing of it may go.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(std::fs::metadata(&file).unwrap().len() as f64 >= bytes);

    drop(reader);
    eventually("it is cut", || wal_size(&smscope) < MIB && std::fs::metadata(&file).unwrap().len() < 1 << 20);
    assert_eq!(client.ask(post(HOOK, receipt("last", "DELIVERED"))).result(), "accepted");
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), f64::from(sent + 2));
}
