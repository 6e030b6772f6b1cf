//! How single values are written: durations, sizes, addresses, URLs, lists of pairs, tokens. Pure.

use std::net::IpAddr;
use std::time::Duration;

use hyper::http::Uri;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// Least length of a token that an operator chooses.
const TOKEN_MIN: usize = 16;

/// What [`fits_as_token`] requires, in words.
pub(crate) const TOKEN_EXPECTED: &str = "at least 16 characters of A-Z a-z 0-9 - . _ ~";

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `500ms`, `15s`, `1h30m`, `30d` (a day is 24 hours). `None` without a unit, and when it is zero or too large.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = number.parse::<u64>().ok()?.checked_mul(*millis)?.checked_add(total)?;
        rest = tail;
    }
    (total > 0).then(|| Duration::from_millis(total))
}

/// Writes a duration in the largest unit that divides it: `15s`, `30d`.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, factor) =
        UNITS.iter().rev().find(|(_, factor)| millis.is_multiple_of(u128::from(*factor))).unwrap_or(&UNITS[0]);
    format!("{}{unit}", millis / u128::from(*factor))
}

const BINARY: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads `262144`, `256KiB` (1024) or `10MB` (1000), in any case. `None` when it is too large or not a size.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let decimal =
        [("", 1), ("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    let (_, factor) = decimal.iter().chain(&BINARY).find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a size in the largest binary unit that divides it: `256KiB`, or bytes.
pub fn show_size(bytes: u64) -> String {
    match BINARY.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// Reads a network `192.0.2.0/24`, or a single address as a network of one.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse::<IpNet>().ok().map(|network| network.trunc()),
    }
}

/// Reads an absolute URL with the scheme http or https, a host, and no user, password or fragment.
pub(crate) fn web_url(text: &str) -> Option<Uri> {
    // `Uri` silently drops a fragment, and accepts characters that have to be escaped.
    if text.contains('#') || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let url: Uri = text.parse().ok()?;
    let authority = url.authority()?;
    let port_is_good = authority.as_str() == authority.host() || authority.port_u16().is_some_and(|port| port > 0);
    let fits = matches!(url.scheme_str(), Some("http" | "https"))
        && !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && port_is_good;
    fits.then_some(url)
}

/// A URL as an error may show it: without what may be a secret in it (user and password, query).
pub(crate) fn show_url(text: &str) -> String {
    let text = text.split_once('?').map_or_else(|| text.to_owned(), |(before, _)| format!("{before}?…"));
    match text.rsplit_once('@') {
        None => text,
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…@{host}"),
            None => format!("…@{host}"),
        },
    }
}

/// Reads `key=value,key2=value2`, percent-encoded, as W3C Baggage without its metadata. `None` when any of it is
/// malformed.
///
/// A further `=` belongs to the value: people write `authorization=Basic dTpw==` as it is.
pub(crate) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members
        .map(|member| {
            let (key, value) = member.split_once('=')?;
            let key = percent_decoded(key.trim())?;
            (!key.is_empty()).then_some((key, percent_decoded(value.trim())?))
        })
        .collect()
}

/// `None` for a broken escape and for what is not UTF-8 when decoded.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let escapes = text.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at);
    for at in escapes {
        text.as_bytes().get(at + 1..at + 3)?.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

/// Whether `text` is long enough for a token and needs no escape in a URL (RFC 3986, unreserved characters).
pub(crate) fn fits_as_token(text: &str) -> bool {
    text.len() >= TOKEN_MIN && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units_and_never_zero() {
        for (text, millis) in [
            ("500ms", 500),
            ("15s", 15_000),
            ("10m", 600_000),
            ("72h", 259_200_000),
            ("30d", 2_592_000_000),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "15",
            "s",
            "0s",
            "-1s",
            "1.5h",
            "15 s",
            "1w",
            "15S",
            "99999999999999999999d",
            "9999999999999999d",
            "1sé",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        for (text, bytes) in [
            ("262144", 262_144),
            ("256KiB", 262_144),
            ("10MB", 10_000_000),
            ("1GiB", 1 << 30),
            ("2 mib", 2 << 20),
            ("7B", 7),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "10K", "1.5MiB", "-1", "10 potatoes", "99999999999TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_are_written_as_a_person_would() {
        for text in ["500ms", "15s", "10m", "5h", "30d"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["256KiB", "10GiB", "7B", "0B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }

    #[test]
    fn an_address_is_a_network_of_one_and_host_bits_are_dropped() {
        for (text, network) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(super::network(text).map(|n| n.to_string()).as_deref(), Some(network), "{text}");
        }
        for text in ["", "10.0.0.0/33", "example.org", "192.0.2"] {
            assert_eq!(super::network(text), None, "{text}");
        }
    }

    #[test]
    fn a_url_has_a_scheme_and_a_host_and_no_password() {
        for text in ["http://collector:4318", "https://x.example/otel/", "http://[::1]:4318/v1/logs?a=b"] {
            assert!(web_url(text).is_some(), "{text}");
        }
        for text in [
            "",
            "collector:4318",
            "ftp://x",
            "http://",
            "http:///x",
            "http://x:99999",
            "http://x:",
            "http://x:0",
            "http://u:p@x",
            "http://x/#f",
            "http://é",
            "/x",
        ] {
            assert!(web_url(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_url_shows_without_password_and_query() {
        assert_eq!(show_url("https://user:hidden@x/y?key=hidden"), "https://…@x/y?…");
        assert_eq!(show_url("user:hidden@x"), "…@x");
        assert_eq!(show_url("http://x/y"), "http://x/y");
    }

    #[test]
    fn pairs_are_percent_decoded_and_one_bad_member_spoils_all() {
        let read =
            |text| pairs(text).map(|p| p.into_iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join("|"));
        for (text, expected) in [
            ("a=1", "a:1"),
            (" a = 1 , b=2,", "a:1|b:2"),
            ("a=x%20y%2Cz", "a:x y,z"),
            ("k%3D=é%C3%A9", "k=:éé"),
            ("authorization=Basic dTpw==", "authorization:Basic dTpw=="),
            ("a=", "a:"),
            ("", ""),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["a", "=1", "a=1,b", "a=%zz", "a=%2", "a=%", "a=%ff"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_sixteen_unreserved_characters_or_more() {
        for good in ["0123456789abcdef", "A-Z.a_z~0123456789"] {
            assert!(fits_as_token(good), "{good}");
        }
        for bad in
            ["", "0123456789abcde", "0123456789abcde/", "0123456789abcde f", "0123456789abcdeé", "0123456789%41abcdef"]
        {
            assert!(!fits_as_token(bad), "{bad}");
        }
    }
}
