//! Timestamps as smsmode writes them.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};

/// 2262-01-01T00:00:00Z: OpenTelemetry's nanoseconds end soon after.
const END: i64 = 9_214_646_400;

/// Reads `2025-04-01T16:00:10` (REST v1; a space, a fraction, an offset or `Z`, a zone in brackets allowed), `2010-03-25 09:52:17` and
/// `01012013-122233` (ddMMyyyy-HHmmss; legacy receipts and replies), and seconds (10 digits) or milliseconds (13) since 1970.
///
/// Without an offset and a zone of its own the time is in `zone`: within the hour that a clock repeats it is the first one, within
/// the hour that it skips it moves on by as much. `None` for anything else and for years before 1970 or after 2261.
pub(super) fn parse(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    let time = iso(text, zone).or_else(|| day_first(text, zone)).or_else(|| epoch(text)).or_else(|| zoned(text))?;
    (0..END).contains(&time.as_second()).then_some(time)
}

fn iso(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let mut rest = Digits(text.as_bytes());
    let year = rest.number(4)?;
    rest.skip(b"-")?;
    let month = rest.number(2)?;
    rest.skip(b"-")?;
    let day = rest.number(2)?;
    // A space that was encoded twice is a plus.
    rest.skip(b"Tt +")?;
    let hour = rest.number(2)?;
    rest.skip(b":")?;
    let minute = rest.number(2)?;
    let (mut second, mut nanos) = (0, 0);
    if rest.skip(b":").is_some() {
        second = rest.number(2)?;
        if rest.skip(b".,").is_some() {
            nanos = rest.fraction()?;
        }
    }
    let civil = civil([year, month, day, hour, minute, second], nanos)?;
    while rest.skip(b" ").is_some() {}
    match rest.0 {
        [] => zone.to_timestamp(civil).ok(),
        b"Z" | b"z" => Offset::UTC.to_timestamp(civil).ok(),
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let mut offset = Digits(offset);
            let hours = offset.number(2)?;
            let has_minutes = offset.skip(b":").is_some() || !offset.0.is_empty();
            let minutes = if has_minutes { offset.number(2)? } else { 0 };
            if !offset.0.is_empty() || minutes > 59 {
                return None;
            }
            let seconds = (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 };
            Offset::from_seconds(seconds).ok()?.to_timestamp(civil).ok()
        }
        _ => None,
    }
}

fn day_first(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let mut rest = Digits(text.as_bytes());
    let (day, month, year) = (rest.number(2)?, rest.number(2)?, rest.number(4)?);
    rest.skip(b"-")?;
    let (hour, minute, second) = (rest.number(2)?, rest.number(2)?, rest.number(2)?);
    if !rest.0.is_empty() {
        return None;
    }
    zone.to_timestamp(civil([year, month, day, hour, minute, second], 0)?).ok()
}

fn epoch(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = text.parse().ok()?;
    match text.len() {
        10 => Timestamp::from_second(number).ok(),
        13 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

/// RFC 9557: `2025-04-01T16:00:10+02:00[Europe/Paris]`. What is in brackets counts where there is no offset.
fn zoned(text: &str) -> Option<Timestamp> {
    // Without brackets it has been tried; jiff would read a leap second too, as the second before it.
    let text = text.ends_with(']').then_some(text)?;
    text.parse().or_else(|_| text.parse().map(|zoned: ZonedDateTime| zoned.timestamp())).ok()
}

/// Year, month, day, hour, minute, second.
fn civil(parts: [i32; 6], nanos: i32) -> Option<DateTime> {
    let [year, month, day, hour, minute, second] = parts;
    DateTime::new(year as i16, month as i8, day as i8, hour as i8, minute as i8, second as i8, nanos).ok()
}

/// Reads from the front.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// Exactly `length` digits, four at most.
    fn number(&mut self, length: usize) -> Option<i32> {
        let (digits, rest) = self.0.split_at_checked(length)?;
        let number = digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i32::from(b - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    /// All digits that come, as nanoseconds; what is finer is dropped.
    fn fraction(&mut self) -> Option<i32> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let nanos = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
        (length > 0).then(|| nanos.fold(0, |sum, b| sum * 10 + i32::from(b - b'0')))
    }

    fn skip(&mut self, any_of: &[u8]) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        any_of.contains(first).then(|| self.0 = rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").unwrap()
    }

    #[test]
    fn every_form_of_timestamp_is_read() {
        for (text, expected) in [
            ("2025-04-01T16:00:10", "2025-04-01T14:00:10Z"),
            ("2025-01-01T16:00:10", "2025-01-01T15:00:10Z"),
            (" 2025-04-01 16:00:10 ", "2025-04-01T14:00:10Z"),
            ("2025-04-01+16:00:10", "2025-04-01T14:00:10Z"),
            ("2025-04-01T16:00", "2025-04-01T14:00:00Z"),
            ("2025-04-01T16:00:10.5", "2025-04-01T14:00:10.5Z"),
            ("2025-04-01T16:00:10,123456789123", "2025-04-01T14:00:10.123456789Z"),
            ("2025-04-01T16:00:10Z", "2025-04-01T16:00:10Z"),
            ("2025-04-01t16:00:10.250z", "2025-04-01T16:00:10.25Z"),
            ("2025-04-01T16:00:10+02:00", "2025-04-01T14:00:10Z"),
            ("2025-04-01T16:00:10.000+0200", "2025-04-01T14:00:10Z"),
            ("2025-04-01T16:00:10 -05", "2025-04-01T21:00:10Z"),
            ("2025-04-01T16:00:10-05:30", "2025-04-01T21:30:10Z"),
            ("2026-01-01T12:00:00+01:00[Europe/Paris]", "2026-01-01T11:00:00Z"),
            ("2026-01-01T11:00:00.000Z[UTC]", "2026-01-01T11:00:00Z"),
            ("2026-01-01T12:00[Europe/Paris]", "2026-01-01T11:00:00Z"),
            ("2026-01-01T06:00:00[America/New_York]", "2026-01-01T11:00:00Z"),
            ("2026-01-01T12:00:00+01:00[Europe/Paris][u-ca=iso8601]", "2026-01-01T11:00:00Z"),
            // The offset counts: zones change their rules, and an instant does not move with them.
            ("2026-07-01T12:00:00+01:00[Europe/Paris]", "2026-07-01T11:00:00Z"),
            ("2026-01-01T12:00:00+01:00[Mars/Olympus]", "2026-01-01T11:00:00Z"),
            // The night without 02:30, and the one with two of them.
            ("2025-03-30T02:30:00", "2025-03-30T01:30:00Z"),
            ("2025-10-26T02:30:00", "2025-10-26T00:30:00Z"),
            ("2010-03-25 09:52:17", "2010-03-25T08:52:17Z"),
            ("01012013-122233", "2013-01-01T11:22:33Z"),
            ("1743516010", "2025-04-01T14:00:10Z"),
            ("1743516010123", "2025-04-01T14:00:10.123Z"),
            ("2261-12-31T23:59:59Z", "2261-12-31T23:59:59Z"),
        ] {
            assert_eq!(parse(text, &paris()), expected.parse().ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2025-04-01",
            "2025-13-01T16:00:10",
            "2025-02-29T16:00:10",
            "2025-04-01T24:00:10",
            "2025-04-01T16:00:60",
            "2025-04-01T16:00:10.",
            "2025-04-01T16:00:10+",
            "2025-04-01T16:00:10+02:",
            "2025-04-01T16:00:10+02:60",
            "2025-04-01T16:00:10+99:00",
            "2025-04-01T16:00:10 Europe",
            "2025-04-01T16:00:10[Europe/Atlantis]",
            "2025-04-01T16:00:10+02:00[",
            "2025-04-01T16:00:10[]",
            "2025-04-01T16:00:10Zz",
            "32012013-122233",
            "01012013-1222334",
            "1969-12-31T23:59:59Z",
            "2262-01-01T00:00:00Z",
            "9999-12-31T23:59:59",
            "0000-00-00 00:00:00",
            "0",
            "174351601",
            "17435160101",
            "99999999999999999999",
            "-1743516010",
            "２０２５-04-01T16:00:10",
        ] {
            assert_eq!(parse(text, &paris()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            any in "\\PC{0,40}",
            near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{0,12})?(Z|[+-][0-9:]{0,6})?(\\[[A-Z/=!-]{0,9}\\]?)?",
        ) {
            parse(&any, &paris());
            parse(&near, &paris());
        }
    }
}
