//! The step to schema 7: the series of sms_network_outcomes_total get their label `network_name` and keep their values.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::ledger::caps::OTHER;
use crate::number::networks;

/// The newest events, of which the names that the provider reported are read: a migration does not read a journal of millions.
const EVENTS_READ: i64 = 50_000;

pub fn add_network_names(connection: &Connection) -> rusqlite::Result<()> {
    let reported = reported_names(connection)?;
    let mut statement = connection.prepare("SELECT labels FROM ledger WHERE metric = 'sms_network_outcomes_total'")?;
    let old: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for text in old {
        let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(&text) else { continue };
        let label = |name: &str| labels.get(name).map_or("", String::as_str);
        let network = label("network");
        let name = match network {
            OTHER => OTHER.to_owned(),
            _ => networks::name(network, reported.get(network).map(String::as_str)),
        };
        let quoted = [label("source"), network, &name, label("outcome")].map(|value| Value::from(value).to_string());
        let [source, network, name, outcome] = quoted;
        let new = format!(r#"{{"source":{source},"network":{network},"network_name":{name},"outcome":{outcome}}}"#);
        connection.execute(
            "UPDATE ledger SET labels = ?2 WHERE metric = 'sms_network_outcomes_total' AND labels = ?1",
            params![text, new],
        )?;
    }
    Ok(())
}

/// The name that the newest receipt of each network has.
fn reported_names(connection: &Connection) -> rusqlite::Result<HashMap<String, String>> {
    let mut statement = connection.prepare(
        "SELECT event ->> '$.mccmnc', event ->> '$.network' FROM \
         (SELECT id, event FROM events ORDER BY id DESC LIMIT ?1) \
         WHERE event ->> '$.mccmnc' IS NOT NULL AND event ->> '$.network' IS NOT NULL ORDER BY id",
    )?;
    statement.query_map([EVENTS_READ], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::event::{Event, Network, Outcome, Receipt};
    use crate::store::sqlite::schema;
    use crate::store::tests::{Opened, receipt, settings, submission_at};

    fn delivered_in(id: &str, mccmnc: &str, name: &str) -> Event {
        let network = Network { mccmnc: Some(mccmnc.into()), name: Some(name.into()) };
        Event::Receipt(Box::new(Receipt { network, ..receipt(id, "DELIVERED", Outcome::Delivered) }))
    }

    #[tokio::test]
    async fn the_counts_of_an_earlier_store_go_on_under_their_networks_names() {
        let folder = TempDir::new().unwrap();
        let connection = Connection::open(folder.path().join("smscope.db")).unwrap();
        schema::make_version(&connection, 6);
        for (network, outcome, value) in [
            ("20810", "delivered", 70),
            ("20810", "failed", 3),
            ("99998", "failed", 2),
            ("99999", "failed", 1),
            ("other", "failed", 9),
        ] {
            let labels = format!(r#"{{"source":"smsmode","network":"{network}","outcome":"{outcome}"}}"#);
            connection
                .execute("INSERT INTO ledger VALUES ('sms_network_outcomes_total', ?1, ?2)", params![labels, value])
                .unwrap();
            connection.execute("INSERT OR IGNORE INTO label_values VALUES ('network', ?1)", [network]).unwrap();
        }
        for name in ["Old", "NEWEST NAME"] {
            let event = format!(r#"{{"kind":"message.failed","mccmnc":"99998","network":"{name}"}}"#);
            connection
                .execute(
                    "INSERT INTO events (received_at, source, kind, event) VALUES (0, 'smsmode', 'message.failed', ?1)",
                    [event],
                )
                .unwrap();
        }
        drop(connection);

        for round in 1..=2 {
            let opened = Opened::new(&folder, settings());
            let events = vec![
                delivered_in(&format!("m{round}"), "20810", "Another"),
                delivered_in(&format!("n{round}"), "99999", "Named late"),
            ];
            opened.store().commit(submission_at(jiff::Timestamp::now(), events)).await.unwrap();
            for (series, value) in [
                ("20810,SFR,delivered", 70 + round),
                ("20810,SFR,failed", 3),
                ("99998,Newest Name,failed", 2),
                ("99999,99999,failed", 1),
                ("99999,99999,delivered", round),
                ("other,other,failed", 9),
            ] {
                assert_eq!(opened.count(&format!("sms_network_outcomes_total{{smsmode,{series}}}")), value, "{series}");
            }
            assert_eq!(opened.count("sms_network_outcomes_total{smsmode,20810,Another,delivered}"), 0);
        }
    }
}
