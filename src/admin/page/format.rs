//! How numbers, shares, sizes and times are written for people.

use std::fmt;

use indicatif::HumanCount;
use jiff::Timestamp;

/// A count, its thousands apart: `4,810`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub i64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "−" } else { "" };
        write!(f, "{sign}{}", HumanCount(self.0.unsigned_abs()))
    }
}

/// A share in per cent to one decimal, rounded down, so that only all is `100%`; `None` of nothing.
pub fn percent(part: i64, whole: i64) -> Option<String> {
    let mille = i128::from(part.max(0)) * 1_000 / i128::from(whole.max(1));
    (whole > 0).then(|| match (mille / 10, mille % 10) {
        (whole, 0) => format!("{whole}%"),
        (whole, tenth) => format!("{whole}.{tenth}%"),
    })
}

/// Bytes, to three figures or so: `4.2 MiB`.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes.max(0) as f64, 0);
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 10.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A time as seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Timestamp,
    pub now: Timestamp,
}

impl Moment {
    /// For `datetime` attributes: `2026-04-01T14:00:10Z`.
    pub fn machine(&self) -> String {
        self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// In UTC: the time of day where the day is today's, else with its date.
    pub fn clock(&self) -> String {
        let day = |time: Timestamp| time.strftime("%F").to_string();
        let format = if day(self.at) == day(self.now) { "%H:%M:%S UTC" } else { "%-d %b %Y, %H:%M UTC" };
        self.at.strftime(format).to_string()
    }

    /// The date alone, in UTC.
    pub fn date(&self) -> String {
        self.at.strftime("%-d %b %Y").to_string()
    }

    /// In the largest unit that fits: `12 s`. What a clock that is off puts into the future is `0 s`.
    pub fn age(&self) -> String {
        let seconds = self.now.duration_since(self.at).as_secs().max(0);
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3_600 => format!("{} min", seconds / 60),
            3_600..172_800 => format!("{} h", seconds / 3_600),
            _ => format!("{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        for (count, text) in [
            (0, "0"),
            (7, "7"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
            (-1_234, "−1,234"),
            (i64::MIN, "−9,223,372,036,854,775,808"),
        ] {
            assert_eq!(Count(count).to_string(), text);
        }
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        for (part, whole, text) in [
            (0, 0, None),
            (5, 0, None),
            (0, 5, Some("0%")),
            (5, 5, Some("100%")),
            (9_999, 10_000, Some("99.9%")),
            (1, 3, Some("33.3%")),
            (1, 2, Some("50%")),
            (-1, 2, Some("0%")),
            (i64::MAX, i64::MAX, Some("100%")),
        ] {
            assert_eq!(percent(part, whole).as_deref(), text, "{part} of {whole}");
        }
    }

    #[test]
    fn sizes_are_in_the_unit_that_reads_best() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KiB"),
            (4_404_019, "4.2 MiB"),
            (150 << 20, "150 MiB"),
            (10 << 30, "10 GiB"),
            (i64::MAX, "8388608 TiB"),
            (-1, "0 B"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_moment_has_an_age_and_a_clock_time() {
        let now: Timestamp = "2026-04-01T14:00:10.9Z".parse().unwrap();
        for (at, age, clock) in [
            ("2026-04-01T14:00:10Z", "0 s", "14:00:10 UTC"),
            ("2026-04-01T14:00:11Z", "0 s", "14:00:11 UTC"),
            ("2026-04-01T13:59:11Z", "59 s", "13:59:11 UTC"),
            ("2026-04-01T13:59:10Z", "1 min", "13:59:10 UTC"),
            ("2026-04-01T12:30:00Z", "1 h", "12:30:00 UTC"),
            ("2026-03-31T14:00:10Z", "24 h", "31 Mar 2026, 14:00 UTC"),
            ("2026-03-30T14:00:10Z", "2 days", "30 Mar 2026, 14:00 UTC"),
        ] {
            let moment = Moment { at: at.parse().unwrap(), now };
            assert_eq!((&*moment.age(), &*moment.clock(), &*moment.machine()), (age, clock, at));
        }
    }
}
