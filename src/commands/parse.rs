//! Values of arguments that several commands have.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Exit;
use crate::config::Config;
use crate::serve;
use crate::settings;
use crate::store::erase::Subjects;

pub fn duration(text: &str) -> Result<Duration, String> {
    settings::duration(text).ok_or_else(|| "expected a duration such as 90m, 24h or 7d".to_owned())
}

pub fn subjects(config: &Config, recipients: &[String]) -> Result<Subjects, Exit> {
    Subjects::new(&numbers(recipients)?, serve::regions(config)).map_err(usage)
}

pub fn usage(problem: String) -> Exit {
    Exit::usage(format_args!("--recipient: {problem}"))
}

/// The numbers of the arguments; for `-` those of standard input, one per line.
pub fn numbers(recipients: &[String]) -> Result<Vec<String>, Exit> {
    let mut numbers = Vec::new();
    for recipient in recipients {
        match recipient.as_str() {
            "-" => {
                let lines = io::read_to_string(io::stdin()).map_err(Exit::failure)?;
                numbers.extend(lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
            }
            number => numbers.push(number.to_owned()),
        }
    }
    match numbers.is_empty() {
        true => Err(usage("no phone number was given".to_owned())),
        false => Ok(numbers),
    }
}

/// A day, a time with its zone, or how long ago; UTC without a zone.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let ago = || settings::duration(text).and_then(|age| Timestamp::now().checked_sub(age).ok());
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
