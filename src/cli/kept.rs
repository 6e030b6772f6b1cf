//! The command lines of what looks into the store or takes out of it: `show`, `export`, `erase`.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config;
use crate::export::{Format, Table};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ShowArguments {
    /// Id of the message; or your own reference of it
    #[arg(value_name = "MESSAGE_ID")]
    pub id: String,
    /// Show numbers and texts in full
    #[arg(long)]
    pub full: bool,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ExportArguments {
    /// What to export
    #[arg(long, value_enum, default_value_t)]
    pub table: Table,
    /// Only what arrived here, or was first seen, at this time or later: 2026-04-01, 2026-04-01T10:00Z, or 7d ago [default: all]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Only what did so before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
    /// Only the message with this id
    #[arg(long, value_name = "MESSAGE_ID")]
    pub message: Option<String>,
    /// Only what is of this phone number; - reads numbers from standard input, one a line, so that no list of processes shows them
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub recipient: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct EraseArguments {
    /// Phone number, with its country or as it is written in that of the source; several at once take hardly longer. - reads numbers
    /// from standard input, one a line, so that no list of processes shows them
    #[arg(long, value_name = "NUMBER", required = true, allow_hyphen_values = true)]
    pub recipient: Vec<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Say what would be erased, and erase nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// A day, a time with its zone, or how long ago; UTC where no zone is said.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let ago = || config::duration(text).and_then(|age| Timestamp::now().checked_sub(age).ok());
    let day = || TimeZone::UTC.to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok();
    text.parse().ok().or_else(day).or_else(ago).ok_or_else(|| {
        "expected a day such as 2026-04-01, a time such as 2026-04-01T10:00Z, or a duration such as 7d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_an_instant_or_an_age() {
        for (text, instant) in [
            ("2026-04-01", "2026-04-01T00:00:00Z"),
            ("2026-04-01T10:00Z", "2026-04-01T10:00:00Z"),
            ("2026-04-01T10:00:30+02:00", "2026-04-01T08:00:30Z"),
        ] {
            assert_eq!(time(text).unwrap(), instant.parse().unwrap(), "{text}");
        }
        let age = Timestamp::now().duration_since(time("7d").unwrap()).as_secs();
        assert!((604_799..=604_801).contains(&age), "{age}");
        for bad in ["", "yesterday", "2026-13-01", "7"] {
            assert!(time(bad).unwrap_err().starts_with("expected a day"), "{bad}");
        }
    }
}
