//! The legacy interface: a query, and a form after the first line feed.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use smscope::event::Country;
use smscope::provider::{DecodeContext, Webhook, default_provider};

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Ok(query) = std::str::from_utf8(&input[..end]) else { return };
    let body = input.get(end + 1..).unwrap_or_default();
    let zone = TimeZone::get("Europe/Paris").expect("bundled");
    let region = Country::new("FR").expect("a country");
    let stop_keywords = ["STOP".to_owned()];
    let provider = default_provider();
    let context = DecodeContext { zone: &zone, region, stop_keywords: &stop_keywords, start_keywords: &[] };
    let webhook = Webhook { query, content_type: Some("application/x-www-form-urlencoded"), body };
    let mut decoded = provider.decode(&context, &webhook);
    assert_eq!(decoded, provider.decode(&context, &webhook), "decoding is a function");
    provider.drop_text(&mut decoded.events, &webhook);
});
