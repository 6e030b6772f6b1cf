//! The command lines of `smscope events` and `smscope hash`.

use clap::Args;
use jiff::Timestamp;

use super::kept::time;
use crate::event::Reason;
use crate::record::Kind;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct EventsArguments {
    /// Go on with what arrives, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// As a JSON object per line
    #[arg(long)]
    pub json: bool,
    /// The newest so many of those that are meant
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    pub limit: usize,
    /// Only what arrived here at this time or later: 2026-04-01, 2026-04-01T10:00Z, or 7d ago [default: all]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Only what did so before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "follow")]
    pub until: Option<Timestamp>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only of these kinds or outcomes, with commas between them: delivered, failed, enroute, scheduled, read, expired, unknown,
    /// reply, stop, unrecognized, resend
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub kind: Vec<Kind>,
    /// Only of this country: FR
    #[arg(long, value_name = "COUNTRY")]
    pub country: Option<String>,
    /// Only of this network, by its name or its code: SFR, 20810
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// Only failures of this reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<String>,
    /// Only of the message or reply with this id, and replies to it
    #[arg(long, value_name = "MESSAGE_ID")]
    pub message_id: Option<String>,
    /// Only of this phone number; - reads it from standard input, so that no list of processes shows it
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub recipient: Vec<String>,
    /// Only with this reference of your own (refClient)
    #[arg(long, value_name = "REFERENCE")]
    pub ref_client: Option<String>,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct HashArguments {
    /// Phone number, with its country or as it is written in that of the first source; - reads numbers from standard input, one a line,
    /// so that no list of processes shows them
    #[arg(value_name = "NUMBER", required = true, allow_hyphen_values = true)]
    pub numbers: Vec<String>,
}

/// `failed`, `message.failed` or `sms.message.failed`.
fn kind(text: &str) -> Result<Kind, String> {
    let text = text.trim();
    let short = |kind: &Kind| match kind {
        Kind::Reply => "reply",
        Kind::Resend => "resend",
        other => other.as_str().rsplit('.').next().unwrap_or_default(),
    };
    let found = Kind::ALL.into_iter().find(|kind| [kind.event_name(), kind.as_str(), short(kind)].contains(&text));
    found.ok_or_else(|| format!("expected one of {}", Kind::ALL.map(|kind| short(&kind)).join(", ")))
}

fn reason(text: &str) -> Result<String, String> {
    let found = Reason::ALL.into_iter().map(|reason| reason.as_str()).find(|reason| *reason == text);
    found.map(str::to_owned).ok_or_else(|| {
        let all: Vec<&str> = Reason::ALL.into_iter().map(|reason| reason.as_str()).collect();
        format!("expected one of {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_in_short_or_in_full() {
        for (text, expected) in [
            ("failed", Kind::Failed),
            ("message.failed", Kind::Failed),
            ("sms.message.failed", Kind::Failed),
            ("reply", Kind::Reply),
            ("stop", Kind::Stop),
            ("unrecognized", Kind::Unrecognized),
            ("resend", Kind::Resend),
        ] {
            assert_eq!(kind(text), Ok(expected), "{text}");
        }
        assert!(kind("lost").unwrap_err().starts_with("expected one of scheduled, enroute, delivered, failed"));
        assert!(reason("lost").unwrap_err().contains("spam_filtered"));
        assert_eq!(reason("credit").as_deref(), Ok("credit"));
    }
}
