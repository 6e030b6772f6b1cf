//! `smscope show`: the journey of a message, for a person to read.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Exit;
use super::store_view::view;
use super::terminal::print;
use crate::config::Loaded;
use crate::number::networks;
use crate::record::{Entry, Kind, Record};
use crate::store::query::Message;
use crate::telemetry::redaction::{full, mask, without_numbers};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Id of the message; or your own reference of it
    #[arg(value_name = "MESSAGE_ID")]
    pub id: String,
    /// Show numbers and texts in full
    #[arg(long)]
    pub full: bool,
}

/// # Errors
/// There is no store, it cannot be read, or there is no such message in it.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let view = view(&loaded.config)?;
    let shown = if arguments.full { Shown::Full } else { Shown::Masked };
    let journeys = view.journeys(&arguments.id).map_err(Exit::failure)?;
    let mut texts: Vec<String> = journeys.iter().map(|(message, events)| journey(message, events, shown)).collect();
    if texts.is_empty()
        && let Some(reply) = view.reply(&arguments.id).map_err(Exit::failure)?
    {
        texts.push(log(&[reply], shown));
    }
    if texts.is_empty() {
        return Err(Exit::Failure("no message with this id or reference is in the store".to_owned()));
    }
    print(&texts.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// How numbers and texts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Numbers masked, no text: fit for a ticket.
    Masked,
    Full,
}

/// A message with its events: a head, then a line per event with the time since the one before.
fn journey(message: &Message, events: &[Entry], shown: Shown) -> String {
    let mut text = format!("message {} of {}\n", message.message_id, message.source);
    let known = |word: &str| (word != "unknown").then(|| word.to_owned());
    let recipient = match (&message.number, message.erased_at) {
        (Some(number), _) => Some(number_of(number, shown)),
        (None, Some(at)) => Some(format!("erased {}", time(at))),
        (None, None) => None,
    };
    let to = [recipient, known(&message.country), known(&message.channel), known(&message.flow)];
    line(&mut text, "to", to.into_iter().flatten().collect::<Vec<_>>().join(", "));
    line(&mut text, "reference", message.ref_client.clone().unwrap_or_default());
    line(&mut text, "campaign", message.campaign_id.clone().unwrap_or_default());
    let reason = message.reason.as_ref().filter(|_| message.state == "failed");
    line(
        &mut text,
        "state",
        [Some(&message.state), reason].into_iter().flatten().cloned().collect::<Vec<_>>().join(": "),
    );
    let reported = events.iter().rev().find_map(|entry| entry.record.network.as_deref());
    line(&mut text, "network", networks::name_and_code(message.mccmnc.as_deref(), reported).unwrap_or_default());
    let parts = message.parts.map(|parts| format!("{parts} part{}", if parts == 1 { "" } else { "s" }));
    let cost = message.cost_micros.map(|micros| {
        format!("{} {}", micros as f64 / 1e6, message.currency.as_deref().unwrap_or_default()).trim_end().to_owned()
    });
    line(&mut text, "cost", [cost, parts].into_iter().flatten().collect::<Vec<_>>().join(", "));
    text.push('\n');
    if events.is_empty() {
        let _infallible = writeln!(text, "first seen {}; its events have expired", time(message.first_seen));
    }
    text + &log(events, shown)
}

/// A line per event.
fn log(events: &[Entry], shown: Shown) -> String {
    let mut text = String::new();
    let mut before: Option<Timestamp> = None;
    for Entry { received_at, record, .. } in events {
        let since = before.map_or(String::new(), |before| {
            format!("+{}", delay(received_at.as_millisecond() - before.as_millisecond()))
        });
        let mut details = vec![what(record.kind).to_owned()];
        match &record.resend {
            Some(resend) => details = vec![format!("{} {resend}", what(record.kind))],
            None => details.extend(failure(record)),
        }
        details.extend(record.replaces.as_ref().map(|replaced| format!("resent for {replaced}")));
        details.extend(record.delivery_ms.map(|ms| format!("{} after it was sent", delay(ms))));
        details.extend(provider_time(record, *received_at));
        details.extend(of_a_reply(record, shown));
        if record.erased {
            details.push("erased".to_owned());
        }
        let _infallible = writeln!(text, "{}  {since:>14}  {}", time(*received_at), details.join(", "));
        before = Some(*received_at);
    }
    text
}

/// The reason, and the provider's own words.
fn failure(record: &Record) -> Vec<String> {
    let reason = record.reason.map(|reason| reason.as_str().replace('_', " "));
    let words = [&record.status, &record.detail].into_iter().flatten().map(|word| without_numbers(word));
    let words = words.collect::<Vec<_>>().join(" ");
    reason.into_iter().chain((!words.is_empty()).then_some(words)).collect()
}

fn line(text: &mut String, name: &str, value: String) {
    if !value.is_empty() {
        let _infallible = writeln!(text, "  {name:<10}{value}");
    }
}

fn number_of(number: &str, shown: Shown) -> String {
    if shown == Shown::Full { full(number) } else { mask(number) }
}

/// The provider's time of the event, if it differs from the arrival by a second or more.
fn provider_time(record: &Record, received_at: Timestamp) -> Option<String> {
    let occurred_at = record.occurred_at?;
    let early = received_at.as_millisecond() - occurred_at.as_millisecond();
    (early.abs() >= 1_000).then(|| format!("by the provider at {}", time(occurred_at)))
}

/// Number and text of a reply, as far as they are shown; of a message only its text.
fn of_a_reply(record: &Record, shown: Shown) -> Vec<String> {
    let is_reply = matches!(record.kind, Kind::Reply | Kind::Stop);
    let from = record.number.as_deref().filter(|_| is_reply).map(|number| format!("from {}", number_of(number, shown)));
    let text = record.text.as_deref().filter(|_| shown == Shown::Full).map(|text| format!("{text:?}"));
    from.into_iter().chain(text).collect()
}

pub fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Scheduled => "scheduled",
        Kind::Enroute => "enroute",
        Kind::Delivered => "delivered",
        Kind::Failed => "failed",
        Kind::Read => "read",
        Kind::Expired => "expired, no final receipt in time",
        Kind::Unknown => "a status that is not known",
        Kind::Reply => "reply",
        Kind::Stop => "opt-out (STOP)",
        Kind::Unrecognized => "not recognized",
        Kind::Resend => "to be resent",
    }
}

/// `2026-11-24 08:22:05.221Z`
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// `4.3 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
fn delay(milliseconds: i64) -> String {
    let passed = Duration::from_millis(milliseconds.max(0).unsigned_abs());
    let (minutes, hours, days) = (passed.as_secs() / 60, passed.as_secs() / 3600, passed.as_secs() / 86_400);
    match passed.as_secs() {
        0..60 => format!("{:.1} s", passed.as_secs_f64()),
        60..3600 => format!("{minutes} min {} s", passed.as_secs() % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Reason, SourceName};

    fn message() -> Message {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        Message {
            newest_event: None,
            id: crate::store::ids::MessageRowId(1),
            source: "smsmode".into(),
            message_id: "5f0d8b44-9f4c".into(),
            state: "failed".into(),
            reason: Some("blacklisted".into()),
            channel: "SMS".into(),
            flow: "OTP".into(),
            country: "FR".into(),
            number: Some("33612345678".into()),
            ref_client: Some("order-1042".into()),
            campaign_id: None,
            mccmnc: Some("20801".into()),
            parts: Some(2),
            cost_micros: Some(45_000),
            currency: Some("EUR".into()),
            accepted_at: at("2026-04-01T14:00:00Z"),
            first_seen: at("2026-04-01T14:00:01.5Z"),
            last_event: at("2026-04-01T14:00:09.25Z"),
            settled_at: None,
            erased_at: None,
        }
    }

    fn entry(received_at: &str, record: Record) -> Entry {
        Entry { position: crate::record::Position(1), received_at: received_at.parse().unwrap(), record }
    }

    fn record(kind: Kind) -> Record {
        Record { number: Some("33612345678".into()), ..Record::new(kind, SourceName::new("smsmode").unwrap()) }
    }

    fn events() -> [Entry; 3] {
        let enroute =
            Record { status: Some("ENROUTE".into()), text: Some("your code is 4711".into()), ..record(Kind::Enroute) };
        let failed = Record {
            status: Some("UNDELIVERED".into()),
            detail: Some("BLACKLISTED".into()),
            reason: Some(Reason::Blacklisted),
            network: Some("Orange".into()),
            occurred_at: Some("2026-04-01T14:00:02Z".parse().unwrap()),
            ..record(Kind::Failed)
        };
        let reply = Record { text: Some("why?".into()), ..record(Kind::Reply) };
        [
            entry("2026-04-01T14:00:01.5Z", enroute),
            entry("2026-04-01T14:00:09.25Z", failed),
            entry("2026-04-01T17:10:09.25Z", reply),
        ]
    }

    #[test]
    fn a_journey_is_readable_and_may_be_shown_around() {
        let expected = "\
message 5f0d8b44-9f4c of smsmode
  to        +336•••••678, FR, SMS, OTP
  reference order-1042
  state     failed: blacklisted
  network   Orange (20801)
  cost      0.045 EUR, 2 parts

2026-04-01 14:00:01.500Z                  enroute, ENROUTE
2026-04-01 14:00:09.250Z          +7.8 s  failed, blacklisted, UNDELIVERED BLACKLISTED, by the provider at 2026-04-01 14:00:02.000Z
2026-04-01 17:10:09.250Z     +3 h 10 min  reply, from +336•••••678
";
        assert_eq!(journey(&message(), &events(), Shown::Masked), expected);
    }

    #[test]
    fn numbers_and_texts_are_shown_with_full() {
        let full = journey(&message(), &events(), Shown::Full);
        for shown in ["to        +33612345678", "\"your code is 4711\"", "reply, from +33612345678, \"why?\""] {
            assert!(full.contains(shown), "{shown}: {full}");
        }
    }

    #[test]
    fn an_erased_or_expired_message_is_reported_as_such() {
        let at: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let erased = Message { number: None, ref_client: None, erased_at: Some(at), ..message() };
        let said = journey(&erased, &[], Shown::Full);
        assert!(said.contains("to        erased 2026-05-01 00:00:00.000Z, FR"), "{said}");
        assert!(said.contains("its events have expired"), "{said}");
    }

    #[test]
    fn a_delay_has_the_two_units_that_matter() {
        for (milliseconds, said) in [
            (-5, "0.0 s"),
            (4_330, "4.3 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(delay(milliseconds), said);
        }
    }
}
