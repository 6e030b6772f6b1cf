//! What the leader cannot process is set aside, and the statements of the runbook put it back.

use serde_json::json;

use crate::fleet::{Fleet, metrics};
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::{eventually, holds, read};

/// What one replica writes, the other cannot read.
const SPOIL: &str = "CREATE FUNCTION smscope.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ \
    BEGIN NEW.decoded := 'x' || NEW.decoded; RETURN NEW; END $$; \
    CREATE TRIGGER spoil BEFORE INSERT ON smscope.received FOR EACH ROW EXECUTE FUNCTION smscope.spoil()";
const FIX: &str = "DROP FUNCTION smscope.spoil CASCADE; \
    UPDATE smscope.received SET decoded = substr(decoded, 2) WHERE decoded <> ''";

/// The statements of the runbook: one that shows the requests, and one that puts them back.
fn statements() -> [String; 2] {
    let runbook = read("docs/runbooks/SmscopeInboxStuck.md");
    let blocks = runbook.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn a_request_that_was_set_aside_is_counted_once_it_is_put_back() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    let stuck = || [0, 1].map(|replica| replicas[replica].metrics().value("smscope_inbox_stuck_total", &[]));
    assert_eq!(stuck(), [Some(0.0); 2]);
    let [show, put_back] = statements();

    fleet.sql(SPOIL);
    for message in ["one", "two"] {
        replicas[1].accept(&receipt(message, "DELIVERED", json!({})));
    }
    eventually("both are set aside", || {
        let waiting = fleet.sql("SELECT count(*) FROM smscope.inbox");
        holds(stuck() == [Some(2.0), Some(0.0)], || format!("{waiting} wait"))
    });
    let shown = fleet.sql(&show);
    for part in ["a row of received cannot be read", "\"message_id\":\"one\"", "\"message_id\":\"two\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(metrics(&replicas).sum("sms_messages_total", &[]), 0.0);

    // Nothing has been fixed.
    fleet.sql(&put_back);
    eventually("both are set aside again", || holds(stuck() == [Some(4.0), Some(0.0)], || format!("{:?}", stuck())));

    fleet.sql(FIX);
    fleet.sql(&put_back);
    fleet.until_processed();
    assert_eq!(metrics(&replicas).sum("sms_messages_delivered_total", &[]), 2.0);
    assert_eq!(fleet.sql(&show), "");
    assert_eq!(stuck(), [Some(4.0), Some(0.0)]);
    fleet.has_a_dense_journal();
}
