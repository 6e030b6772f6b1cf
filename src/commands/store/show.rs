//! How `smscope store status` shows a fleet.

use std::fmt::Write;

use serde_json::json;

use super::super::Exit;
use super::super::table::{Column, Table};
use super::super::terminal::second;
use crate::store::database::Checked;
use crate::store::database::status::Status;

pub fn json(status: &Status, checked: &Checked) -> Result<String, Exit> {
    let mut shown = serde_json::to_value(status).map_err(Exit::failure)?;
    shown["server"] = json!({
        "version": checked.version,
        "is_synchronous": checked.is_synchronous,
        "findings": checked.findings,
    });
    Ok(format!("{shown:#}\n"))
}

pub fn text(status: &Status, checked: &Checked) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| {
        let _infallible = writeln!(text, "{name:<9} {value}");
    };
    add("fleet", status.fleet_id.clone());
    add("server", format!("PostgreSQL {}", checked.version));
    add("schema", format!("version {}", status.schema));
    add("leader", leader(status));
    let waiting = status.inbox.age_seconds.map_or(String::new(), |age| format!(", the oldest for {}", seconds(age)));
    add("inbox", format!("{} waiting{waiting}", status.inbox.requests));
    add("stuck", status.stuck.len().to_string());
    let journal = match (status.journal.oldest, status.journal.newest) {
        (Some(oldest), Some(newest)) => format!("positions {oldest} to {newest}"),
        _ => "empty".to_owned(),
    };
    add("journal", journal);
    for cursor in &status.cursors {
        let behind = status.journal.newest.map_or(0, |newest| (newest - cursor.position).max(0));
        add("cursor", format!("{} at {}, {behind} behind", cursor.name, cursor.position));
    }
    for part in [replicas(status), stuck(status), tables(status)].into_iter().flatten() {
        let _infallible = write!(text, "\n{part}");
    }
    for (at, finding) in checked.findings.iter().enumerate() {
        let _infallible = writeln!(text, "{}warning: {}", if at == 0 { "\n" } else { "" }, finding.line);
    }
    text
}

fn leader(status: &Status) -> String {
    let Some(leader) = &status.leader else { return "none yet".to_owned() };
    let name = leader.name.as_ref().unwrap_or(&leader.id);
    let lease = match leader.leads {
        true => format!("lease until {}", second(leader.until)),
        false => format!("no longer, its lease ended at {}", second(leader.until)),
    };
    format!("{name}, version {}, epoch {}, {lease}", leader.version, leader.epoch)
}

fn replicas(status: &Status) -> Option<Table> {
    let mut table = Table::new([
        Column::left("replica"),
        Column::left("id"),
        Column::right("version"),
        Column::left("started"),
        Column::right("seen"),
    ]);
    for replica in &status.replicas {
        table.row([
            replica.name.clone(),
            replica.id.clone(),
            replica.version.to_string(),
            second(replica.started_at),
            format!("{} ago", seconds(replica.seen_seconds)),
        ]);
    }
    (!status.replicas.is_empty()).then_some(table)
}

fn stuck(status: &Status) -> Option<Table> {
    let mut table = Table::new([Column::right("stuck request"), Column::left("error")]);
    for stuck in &status.stuck {
        table.row([format!("{}/{}", stuck.id, stuck.request), stuck.error.clone()]);
    }
    (!status.stuck.is_empty()).then_some(table)
}

fn tables(status: &Status) -> Option<Table> {
    let mut table = Table::new([Column::left("table"), Column::right("partitions"), Column::right("size")]);
    for one in &status.tables {
        let partitions = if one.partitions == 0 { String::new() } else { one.partitions.to_string() };
        table.row([one.name.clone(), partitions, size(one.bytes)]);
    }
    (!status.tables.is_empty()).then_some(table)
}

fn seconds(seconds: f64) -> String {
    format!("{:.1} s", seconds.max(0.0))
}

/// To a tenth of its unit.
fn size(bytes: i64) -> String {
    let (mut size, mut unit) = (bytes as f64 / 1024.0, "KiB");
    for larger in ["MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::database::status::{Cursor, Inbox, Journal, Leader, Replica, Stuck, Table as TableSize};
    use crate::store::database::{Finding, Severity};

    fn fleet() -> (Status, Checked) {
        let until: Timestamp = "2026-04-01T10:00:05Z".parse().unwrap();
        let status = Status {
            fleet_id: "f".into(),
            schema: 1,
            leader: Some(Leader {
                id: "a".into(),
                name: Some("pod-a".into()),
                version: 1,
                epoch: 7,
                until,
                leads: true,
            }),
            replicas: vec![Replica {
                id: "a".into(),
                name: "pod-a".into(),
                version: 1,
                started_at: until,
                seen_seconds: 0.5,
            }],
            inbox: Inbox { requests: 3, age_seconds: Some(1.5) },
            stuck: vec![Stuck { id: 9, day: 20_000, request: 1, error: "why".into() }],
            journal: Journal { oldest: Some(2), newest: Some(12) },
            cursors: vec![Cursor { name: "otlp-logs".into(), position: 10 }],
            tables: vec![TableSize { name: "journal".into(), partitions: 5, bytes: 3 << 20 }],
        };
        let findings = vec![Finding { severity: Severity::Warning, cause: "clock", line: "the clock".into() }];
        (status, Checked { version: "15.18".into(), is_synchronous: true, findings })
    }

    #[test]
    fn a_fleet_is_shown_in_lines_and_tables() {
        let (status, checked) = fleet();
        let expected = "\
fleet     f
server    PostgreSQL 15.18
schema    version 1
leader    pod-a, version 1, epoch 7, lease until 2026-04-01T10:00:05Z
inbox     3 waiting, the oldest for 1.5 s
stuck     1
journal   positions 2 to 12
cursor    otlp-logs at 10, 2 behind

replica  id  version  started                   seen
pod-a    a         1  2026-04-01T10:00:05Z  0.5 s ago
";
        let text = text(&status, &checked);
        let (beginning, rest) = text.split_at(text.find("\nstuck request").unwrap());
        assert_eq!(
            beginning.split_whitespace().collect::<Vec<_>>(),
            expected.split_whitespace().collect::<Vec<_>>(),
            "{text}"
        );
        for line in ["9/1  why", "journal           5  3.0 MiB", "warning: the clock"] {
            assert!(rest.contains(line), "{line} in {rest}");
        }
    }

    #[test]
    fn a_fleet_that_has_done_nothing_is_shown_too() {
        let (mut status, checked) = fleet();
        status.leader = None;
        (status.replicas, status.stuck, status.cursors) = (Vec::new(), Vec::new(), Vec::new());
        (status.inbox, status.journal) =
            (Inbox { requests: 0, age_seconds: None }, Journal { oldest: None, newest: None });
        let text = text(&status, &checked);
        for line in ["leader    none yet\n", "inbox     0 waiting\n", "journal   empty\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("replica ") && !text.contains("cursor"), "{text}");
    }

    #[test]
    fn a_fleet_in_json_has_the_same() {
        let (status, checked) = fleet();
        let shown: serde_json::Value = serde_json::from_str(&json(&status, &checked).unwrap()).unwrap();
        assert_eq!(shown["leader"]["until"], "2026-04-01T10:00:05Z");
        assert_eq!(shown["inbox"], json!({"requests": 3, "age_seconds": 1.5}));
        assert_eq!(shown["server"]["findings"], json!([{"severity": "warning", "line": "the clock"}]));
    }

    #[test]
    fn a_size_has_a_tenth_of_its_unit() {
        for (bytes, shown) in [(0, "0.0 KiB"), (8_192, "8.0 KiB"), (1_572_864, "1.5 MiB"), (5 << 40, "5.0 TiB")] {
            assert_eq!(size(bytes), shown);
        }
    }
}
