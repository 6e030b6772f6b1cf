//! What all outbound HTTP has in common: the client, bounded bodies, backoff, Retry-After, and errors in one line without secrets.

mod backoff;
mod body;
mod client;
mod connector;
#[cfg(test)]
pub mod proxy_stand_in;
pub mod trust;

use std::time::{Duration, SystemTime};

use hyper::http::HeaderMap;
use hyper::http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;

pub use crate::diagnostics::chain;
pub use backoff::Backoff;
pub use body::{Received, receive};
pub use client::{Client, Destination, OUR_USER_AGENT, RequestError, within};

/// The limit of the wait that a server asks for.
pub const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Characters of a server's message that are quoted.
const EXCERPT: usize = 400;

/// Retry-After: seconds, or an HTTP date (a past one means at once), at most [`MAX_WAIT`]. `None` for anything else.
///
/// Source: RFC 9110, section 10.2.3.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wait(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

fn wait(retry_after: &str, now: SystemTime) -> Option<Duration> {
    let text = retry_after.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => date(text)?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_WAIT))
}

/// An HTTP date. A wrong weekday is no reason to retry early.
fn date(text: &str) -> Option<SystemTime> {
    let relaxed = || DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?.try_into().ok();
    httpdate::parse_http_date(text).ok().or_else(relaxed)
}

/// One short line of a server's message, cut after secrets are redacted: half a token is still a secret.
pub fn excerpt<S: AsRef<str>>(text: &str, secrets: &[S]) -> String {
    let clean = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_ref(), "<redacted>"));
    let words: String = clean.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_the_server_repeats_is_not_quoted_even_where_the_excerpt_ends() {
        let secrets = ["c2VjcmV0".to_owned()];
        assert_eq!(excerpt("bad token c2VjcmV0", &secrets), "bad token <redacted>");
        let late = format!("{}c2VjcmV0", "x".repeat(EXCERPT - 4));
        assert!(!excerpt(&late, &secrets).contains("c2Vj"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:07 GMT").unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("86400", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:00:00 GMT", Some(3600)),
            // The obsolete forms, which a recipient must accept too.
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(wait(text, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
