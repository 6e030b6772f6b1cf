//! The validity period of a certificate, which rustls does not expose.
//!
//! Source: RFC 5280, section 4.1. Nothing else of a certificate is read here, and nothing is trusted because of it: rustls
//! verifies certificates.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// From when until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

impl Validity {
    /// That of a certificate in DER; `None` for anything else.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut outer = certificate;
        let mut signed = contents(&mut outer, SEQUENCE)?;
        let mut fields = contents(&mut signed, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            contents(&mut fields, VERSION)?;
        }
        let _serial_number = contents(&mut fields, INTEGER)?;
        let _signature_algorithm = contents(&mut fields, SEQUENCE)?;
        let _issuer = contents(&mut fields, SEQUENCE)?;
        let mut validity = contents(&mut fields, SEQUENCE)?;
        Some(Self { not_before: time(&mut validity)?, not_after: time(&mut validity)? })
    }

    /// The time in which both hold.
    pub fn and(self, other: Self) -> Self {
        Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) }
    }
}

/// Reads one element of DER, which has to have this tag, and returns its contents.
fn contents<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, inside) = element(der)?;
    (found == tag).then_some(inside)
}

fn element<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // So many bytes of length follow. Four are 4 GiB.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((*tag, inside))
}

fn time(der: &mut &[u8]) -> Option<Timestamp> {
    let (tag, text) = element(der)?;
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        // Two digits of a year: from 1950 to 2049.
        (UTC_TIME, 12) => {
            let year: i16 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let time = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    // 99991231235959Z, which stands for no end at all, is a day past what a timestamp can be.
    Some(TimeZone::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::certificates::Authority;

    fn signed_until(year: i32) -> CertificateDer<'static> {
        let signed = Authority::new("ours").sign(&["localhost"], year, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_either_form_of_time() {
        for (year, end) in
            [(2020, "2020-01-01T00:00:00Z"), (2049, "2049-01-01T00:00:00Z"), (2099, "2099-01-01T00:00:00Z")]
        {
            let validity = Validity::of(&signed_until(year)).unwrap();
            assert_eq!(validity.not_after, end.parse().unwrap());
            assert!(validity.not_before < validity.not_after);
        }
    }

    #[test]
    fn times_are_read_to_the_second_and_what_is_no_time_is_none() {
        for (tag, text, expected) in [
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "20240229120000Z", Some("2024-02-29T12:00:00Z")),
            (GENERALIZED_TIME, "20230229120000Z", None),
            (GENERALIZED_TIME, "20501301000000Z", None),
            (GENERALIZED_TIME, "205001010000Z", None),
            (GENERALIZED_TIME, "20500101000000", None),
            (UTC_TIME, "20500101000000Z", None),
            (UTC_TIME, "+91231235959Z", None),
            (UTC_TIME, "é91231235959Z", None),
            (SEQUENCE, "491231235959Z", None),
        ] {
            let der = [&[tag, text.len() as u8], text.as_bytes()].concat();
            assert_eq!(time(&mut &der[..]), expected.map(|time| time.parse().unwrap()), "{text}");
        }
        let no_end = [&[GENERALIZED_TIME, 15], &b"99991231235959Z"[..]].concat();
        assert_eq!(time(&mut &no_end[..]), Some(Timestamp::MAX));
    }

    #[test]
    fn what_is_cut_short_or_damaged_is_none_or_a_time_and_never_a_panic() {
        let whole = signed_until(2099);
        for length in 0..whole.len() {
            // Cut behind the times it would still be readable; but its outermost length is then wrong.
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len().min(200) {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = whole.to_vec();
                damaged[at] = byte;
                let _any = Validity::of(&damaged);
            }
        }
    }
}
