//! What the log exporter finds in the store: its cursor, the events that wait, and those in memory.

use super::*;

#[tokio::test]
async fn what_waits_for_export_is_kept_beyond_its_retention_but_not_for_ever() {
    let folder = TempDir::new().unwrap();
    let exporting = || Settings { retention: DAY, exports_logs: true, ..settings() };
    let opened = Opened::new(&folder, exporting());
    let at = |days: u32| Timestamp::now() - days * DAY;
    opened.store().commit(submission_at(at(8), vec![delivered("given up")])).await.unwrap();
    opened.store().commit(submission_at(at(3), vec![delivered("waits")])).await.unwrap();
    opened.commit(vec![delivered("new")]).await.unwrap();
    opened.eventually("only what was given up is pruned", |o| o.count("smscope_store_events{}") == 2).await;
    opened.store().advance(Position(2)).await.unwrap();
    opened.eventually("what was exported is pruned", |o| o.count("smscope_store_events{}") == 1).await;
}

#[tokio::test]
async fn recent_events_in_memory_are_what_the_journal_has() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, Settings { exports_logs: true, ..settings() });
    assert_eq!(opened.store().blocking().take_recent(Position(0), 10), [], "from here on they are collected");
    let not_in_whole_milliseconds =
        Timestamp::from_second(Timestamp::now().as_second()).unwrap() - Duration::from_nanos(1);
    opened.store().commit(submission_at(not_in_whole_milliseconds, vec![enroute("a"), delivered("b")])).await.unwrap();
    opened.commit(vec![Event::Reply(Box::new(reply("r"))), junk(1)]).await.unwrap();
    let stored = opened.store().blocking().read(Position(0), 10).unwrap();
    assert_eq!(opened.store().blocking().take_recent(Position(0), 10), stored);
    assert_eq!(stored.len(), 4);
}

#[tokio::test]
async fn the_export_cursor_starts_at_now_survives_and_ends_with_the_export() {
    let folder = TempDir::new().unwrap();
    let exporting = Settings { exports_logs: true, ..settings() };
    {
        let opened = Opened::new(&folder, settings());
        opened.commit(vec![enroute("before")]).await.unwrap();
    }
    {
        let opened = Opened::new(&folder, exporting.clone());
        assert_eq!(opened.store().cursor(), Position(1));
        opened.commit(vec![enroute("a"), enroute("b")]).await.unwrap();
        assert_eq!(opened.store().blocking().read(Position(1), 10).unwrap().len(), 2);
        opened.store().advance(Position(2)).await.unwrap();
        opened.store().advance(Position(1)).await.unwrap();
        assert_eq!(opened.store().cursor(), Position(2), "never back");
    }
    assert_eq!(Opened::new(&folder, exporting.clone()).store().cursor(), Position(2));
    drop(Opened::new(&folder, settings()));
    assert_eq!(Opened::new(&folder, exporting).store().cursor(), Position(3), "a new export starts at now");
}
