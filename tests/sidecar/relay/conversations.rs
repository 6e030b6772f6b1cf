//! A reply is relayed with what it answers.

use serde_json::{Value, json};

use crate::support::target::Target;
use crate::support::{HOOK, Smscope};

fn message(id: &str, number: &str, reference: &str, at: &str) -> String {
    json!({
        "messageId": id, "type": "SMS", "direction": "MT", "recipient": {"to": number}, "acceptedAt": at,
        "refClient": reference, "campaignId": format!("campaign-of-{id}"), "status": {"value": "DELIVERED"},
    })
    .to_string()
}

fn reply(id: &str, number: &str, at: &str, more: Value) -> String {
    let mut reply = json!({
        "messageId": id, "type": "SMS", "direction": "MO", "from": number, "recipient": {"to": "36111"},
        "sentDate": at, "body": {"text": "yes"},
    });
    for (name, value) in more.as_object().unwrap() {
        reply[name] = value.clone();
    }
    reply.to_string()
}

#[test]
fn a_reply_carries_the_message_that_it_names_else_that_of_its_reference_else_the_last_to_its_number() {
    let target = Target::start();
    let smscope = Smscope::with(&format!(
        "[conversations]\nenabled = true\nwindow = \"1h\"\n[[relay]]\nname = \"app\"\nurl = \"{}\"\nevents = [\"reply\"]\n",
        target.url("/")
    ));
    let (one, other) = ("33612345678", "33698765432");
    for (id, number, reference, at) in [
        ("m-1", one, "order-1", "2026-04-01T10:00:00Z"),
        ("m-2", one, "order-2", "2026-04-01T10:10:00Z"),
        ("m-3", other, "order-3", "2026-04-01T10:20:00Z"),
    ] {
        smscope.post(HOOK, message(id, number, reference, at));
    }
    let replies = [
        (
            reply("r-1", one, "2026-04-01T10:30:00Z", json!({"originMessageId": "m-1"})),
            Some(("m-1", "message_id", 1_800_000)),
        ),
        (
            reply("r-2", other, "2026-04-01T10:30:00Z", json!({"refClient": "order-2"})),
            Some(("m-2", "ref_client", 1_200_000)),
        ),
        (reply("r-3", one, "2026-04-01T10:30:00Z", json!({})), Some(("m-2", "number", 1_200_000))),
        // Longer after it than the window.
        (reply("r-4", one, "2026-04-01T11:10:01Z", json!({})), None),
        // To whom nothing was sent.
        (reply("r-5", "33611111111", "2026-04-01T10:30:00Z", json!({})), None),
        // It names what is not known.
        (reply("r-6", other, "2026-04-01T10:20:00Z", json!({"originMessageId": "gone"})), Some(("m-3", "number", 0))),
    ];
    for (at, (webhook, expected)) in replies.into_iter().enumerate() {
        smscope.post(HOOK, webhook);
        let event = target.wait_for(at + 1).remove(at).event();
        let answers = &event["data"]["answers"];
        let Some((id, matched_by, after)) = expected else {
            assert_eq!(answers, &Value::Null, "{event}");
            continue;
        };
        let reference = id.replace("m-", "order-");
        assert_eq!(answers["message_id"], id, "{event}");
        assert_eq!((&answers["matched_by"], &answers["after_ms"]), (&json!(matched_by), &json!(after)), "{event}");
        assert_eq!(answers["ref_client"], json!(reference), "{event}");
        assert_eq!(answers["campaign_id"], json!(format!("campaign-of-{id}")), "{event}");
    }
}

#[test]
fn where_conversations_are_not_followed_a_reply_carries_what_it_names_and_nothing_else() {
    let target = Target::start();
    let smscope =
        Smscope::with(&format!("[[relay]]\nname = \"app\"\nurl = \"{}\"\nevents = [\"reply\"]\n", target.url("/")));
    smscope.post(HOOK, message("m-1", "33612345678", "order-1", "2026-04-01T10:00:00Z"));
    smscope.post(HOOK, reply("r-1", "33612345678", "2026-04-01T10:30:00Z", json!({"originMessageId": "m-1"})));
    assert_eq!(target.wait_for(1)[0].event()["data"]["answers"]["ref_client"], "order-1");
    smscope.post(HOOK, reply("r-2", "33612345678", "2026-04-01T10:30:00Z", json!({"refClient": "order-1"})));
    assert_eq!(target.wait_for(2)[1].event()["data"]["answers"], Value::Null);
}
