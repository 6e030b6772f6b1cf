//! What the leader cannot process is set aside, and the statements of the runbook put it back.

use serde_json::json;

use crate::fleet::{Fleet, metrics};
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::{eventually, holds, read};

/// Something that goes wrong, statements that undo it, and what the runbook shows of two requests meanwhile.
struct Trouble {
    begin: &'static str,
    end: &'static str,
    shown: &'static [&'static str],
}

/// Nothing can be written to the journal.
const REJECTED: Trouble = Trouble {
    begin: "CREATE FUNCTION smscope.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ \
        BEGIN RAISE EXCEPTION 'spoiled' USING ERRCODE = 'data_exception'; END $$; \
        CREATE TRIGGER spoil BEFORE INSERT ON smscope.journal FOR EACH ROW EXECUTE FUNCTION smscope.spoil()",
    end: "DROP FUNCTION smscope.spoil CASCADE",
    shown: &["PostgreSQL: spoiled (22000)", "\"message_id\":\"one\"", "\"message_id\":\"two\""],
};

/// What one replica writes, the other cannot read: it is packed with a dictionary of another version.
const UNREADABLE: Trouble = Trouble {
    begin: "CREATE FUNCTION smscope.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ \
        BEGIN NEW.requests := array(SELECT set_byte(request, 0, 255) \
          FROM unnest(NEW.requests) WITH ORDINALITY AS u (request, n) ORDER BY n); RETURN NEW; END $$; \
        CREATE TRIGGER spoil BEFORE INSERT ON smscope.received FOR EACH ROW EXECUTE FUNCTION smscope.spoil()",
    end: "DROP FUNCTION smscope.spoil CASCADE; \
        UPDATE smscope.received SET requests = array(SELECT set_byte(request, 0, 1) \
          FROM unnest(requests) WITH ORDINALITY AS u (request, n) ORDER BY n)",
    shown: &["|1|a row of received cannot be read"],
};

/// The statements of the runbook: one that shows the requests, and one that puts them back.
fn statements() -> [String; 2] {
    let runbook = read("docs/runbooks/SmscopeInboxStuck.md");
    let blocks = runbook.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn a_request_that_the_database_rejects_is_shown_as_it_came_and_counted_once_it_is_put_back() {
    is_set_aside_and_put_back(&REJECTED);
}

#[test]
fn a_request_of_another_version_is_set_aside_and_counted_once_it_is_put_back() {
    is_set_aside_and_put_back(&UNREADABLE);
}

fn is_set_aside_and_put_back(trouble: &Trouble) {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    let stuck = || [0, 1].map(|replica| replicas[replica].metrics().value("smscope_inbox_stuck_total", &[]));
    assert_eq!(stuck(), [Some(0.0); 2]);
    let [show, put_back] = statements();

    fleet.sql(trouble.begin);
    for message in ["one", "two"] {
        replicas[1].accept(&receipt(message, "DELIVERED", json!({})));
    }
    eventually("both are set aside", || {
        holds(stuck() == [Some(2.0), Some(0.0)], || format!("{} wait", fleet.waiting()))
    });
    let shown = fleet.sql(&show);
    for part in trouble.shown {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(metrics(&replicas).sum("sms_messages_total", &[]), 0.0);

    // Nothing has been fixed.
    fleet.sql(&put_back);
    eventually("both are set aside again", || holds(stuck() == [Some(4.0), Some(0.0)], || format!("{:?}", stuck())));

    fleet.sql(trouble.end);
    fleet.sql(&put_back);
    fleet.until_processed();
    assert_eq!(metrics(&replicas).sum("sms_messages_delivered_total", &[]), 2.0);
    assert_eq!(fleet.sql(&show), "");
    assert_eq!(stuck(), [Some(4.0), Some(0.0)]);
    fleet.has_a_dense_journal();
}
