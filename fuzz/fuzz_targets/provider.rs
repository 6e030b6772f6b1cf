//! A body, as anyone who has the token may send it: it is read or stored as unrecognized, and reads the same each time, in one pass
//! over its text as by way of a tree of values.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use smscope::event::{Country, Event};
use smscope::provider::{DecodeContext, Webhook, default_provider};

fuzz_target!(|body: &[u8]| {
    let zone = TimeZone::get("Europe/Paris").expect("bundled");
    let region = Country::new("FR").expect("a country");
    let stop_keywords = ["STOP".to_owned()];
    let provider = default_provider();
    let context = DecodeContext { zone: &zone, region, stop_keywords: &stop_keywords, start_keywords: &[] };
    let webhook = Webhook { query: "", content_type: Some("application/json"), body };
    let mut decoded = provider.decode(&context, &webhook);
    let has_content = body.iter().any(|byte| !byte.is_ascii_whitespace() && !b"[]\xef\xbb\xbf".contains(byte));
    assert!(!has_content || !decoded.events.is_empty(), "what has content is an event");
    assert_eq!(decoded, provider.decode(&context, &webhook), "decoding is a function");
    if serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_object())
        && decoded.events.iter().all(|event| !matches!(event, Event::Unrecognized(_)))
    {
        // With an escape in a name it is read by way of a tree.
        let escaped = [br#"{"\u0078":null,"#, &body.trim_ascii_start()[1..]].concat();
        assert_eq!(decoded, provider.decode(&context, &Webhook { body: &escaped, ..webhook }), "both ways are the same");
    }
    provider.drop_text(&mut decoded.events, &webhook);
});
