//! Recipients that get too many messages within an hour are counted.

use crate::support::{HOOK, Smscope, receipt};

const FLOODED: &str = "smscope_recipients_flooded_total";

fn send(smscope: &Smscope, messages: std::ops::Range<usize>) {
    for n in messages {
        for status in ["ENROUTE", "DELIVERED"] {
            assert_eq!(smscope.post(HOOK, receipt(&format!("m{n}"), status)).result(), "accepted");
        }
    }
}

#[test]
fn a_recipient_counts_each_time_it_has_the_configured_number_of_messages() {
    let smscope = Smscope::with("recipient_flood = 5\n");
    let flooded = || smscope.metric(FLOODED, &[("source", "smsmode")]);
    assert_eq!(flooded(), 0.0, "there from the start");
    send(&smscope, 0..4);
    assert_eq!(flooded(), 0.0, "receipts are no messages");
    send(&smscope, 4..10);
    assert_eq!(flooded(), 2.0);
    assert_eq!(smscope.post(HOOK, receipt("m1", "DELIVERED")).result(), "duplicate");
}
