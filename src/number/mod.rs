//! Phone numbers as providers write them -> E.164 digits and a country. Pure: the numbering plans are compiled in.

use crate::event::Country;

pub mod mcc;
pub mod networks;
mod plan;

/// A phone number as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// Digits of the E.164 form without `+` when the number is valid in some country's plan, else the trimmed text as it came.
    pub number: String,
    pub country: Option<Country>,
}

/// Digits of a calling code and the longest national number known (Germany's), with a trunk prefix.
const MOST_DIGITS: usize = 20;

/// Reads `+33612345678`, `0033612345678`, `33612345678` (the form that providers use) and, by `region`'s plan, `0612345678`,
/// with spaces, dots, dashes, slashes and brackets anywhere. Digits that fit both as international and as national are
/// international.
///
/// A number that no plan knows still has the country of its calling code, when that code is one country's own and the number was
/// written with `+` or `00` or has a length that exists there: a rejected number is counted for the country that was meant.
pub fn read(text: &str, region: Country) -> Phone {
    let text = text.trim();
    let unread = |country| Phone { number: text.to_owned(), country };
    let Some(written) = Written::of(text) else { return unread(None) };
    let digits = written.digits();
    let (international, explicit) = match digits.strip_prefix("00") {
        Some(rest) => (rest, true),
        None => (digits, written.plus),
    };
    let found =
        plan::international(international).or_else(|| if explicit { None } else { plan::national(digits, region) });
    match found {
        Some(found) => Phone { number: found.digits, country: found.country },
        None => unread(plan::likely_country(international, explicit)),
    }
}

/// One spelling of what [`read`] gives as a number: its digits without punctuation, and without `+` or `00`, also where no plan
/// knows it. What is no number stays.
pub fn plain(number: &str) -> String {
    match Written::of(number) {
        Some(written) => {
            let digits = written.digits();
            digits.strip_prefix("00").filter(|rest| !rest.is_empty()).unwrap_or(digits).to_owned()
        }
        None => number.to_owned(),
    }
}

/// Digits that all forms of a number share at their end. No country has shorter numbers that are full ones.
const SHARED: usize = 6;

/// The digits at the end of a number that are the same in all of its forms. `None`: there are fewer, so it is none.
pub fn last_digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.len().checked_sub(SHARED).map(|start| digits[start..].to_owned())
}

/// Is this written as a full number: 7 digits or more, nothing else but `+`, spaces, dots, dashes and brackets? A short code or a
/// sender name is not.
pub fn is_full(text: &str) -> bool {
    let mut digits = 0;
    text.trim().chars().all(|c| {
        digits += usize::from(c.is_ascii_digit());
        c.is_ascii_digit() || matches!(c, '+' | ' ' | '\u{a0}' | '.' | '-' | '(' | ')')
    }) && digits >= 7
}

/// Whether numbers of this country can be read.
pub fn has_plan(country: Country) -> bool {
    plan::is_known(country)
}

/// The digits of a number without its punctuation, on the stack: this runs for every event.
struct Written {
    plus: bool,
    digits: [u8; MOST_DIGITS],
    length: usize,
}

impl Written {
    /// `None` when there is something else than digits and punctuation, or too many digits.
    fn of(text: &str) -> Option<Self> {
        let mut written = Self { plus: false, digits: [0; MOST_DIGITS], length: 0 };
        for c in text.chars() {
            match c {
                '+' if written.length == 0 && !written.plus => written.plus = true,
                '0'..='9' => {
                    *written.digits.get_mut(written.length)? = c as u8;
                    written.length += 1;
                }
                ' ' | '\u{a0}' | '\u{202f}' | '.' | '-' | '\u{2010}'..='\u{2015}' | '/' | '(' | ')' => {}
                _ => return None,
            }
        }
        (written.length > 0).then_some(written)
    }

    fn digits(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn country(code: &str) -> Country {
        Country::new(code).unwrap()
    }

    #[track_caller]
    fn check(region: &str, text: &str, number: &str, expected: Option<&str>) {
        let phone = read(text, country(region));
        assert_eq!((phone.number.as_str(), phone.country.as_ref().map(Country::as_str)), (number, expected), "{text}");
    }

    #[test]
    fn every_way_of_writing_a_number_gives_the_same_digits() {
        for text in [
            "+33612345678",
            "0033612345678",
            "33612345678",
            "0612345678",
            "612345678",
            "06 12 34 56 78",
            "06.12.34.56.78",
            "+33 (0)6 12-34-56-78",
            "  33612345678\t",
            "06\u{a0}12\u{202f}34 56 78",
            "06\u{2011}12\u{2013}34 56 78",
            "(+33) 6 12 34 56 78",
            "+330612345678",
        ] {
            check("FR", text, "33612345678", Some("FR"));
        }
    }

    #[test]
    fn all_forms_of_a_number_end_in_the_same_digits() {
        for text in ["+33 (0)6 12-34-56-78", "0612345678", "345678"] {
            assert_eq!(last_digits(text).as_deref(), Some("345678"), "{text}");
        }
        for text in ["", "ACME", "36111"] {
            assert_eq!(last_digits(text), None, "{text}");
        }
    }

    #[test]
    fn countries_that_share_a_calling_code_are_distinguished() {
        for (text, expected) in [
            ("12025550123", "US"),
            ("+16135550123", "CA"),
            ("+18768120123", "JM"),
            ("+17872345678", "PR"),
            ("+13459492311", "KY"),
            ("+18002345678", "US"),
            ("447912345678", "GB"),
            ("+447781123456", "GG"),
            ("+447797712345", "JE"),
            ("+447624123456", "IM"),
            ("79123456789", "RU"),
            ("+77010001234", "KZ"),
            ("+390236618300", "IT"),
            ("393123456789", "IT"),
            ("+390669812345", "VA"),
            ("+358412345678", "FI"),
            ("+4740612345", "NO"),
            ("+4779123456", "SJ"),
            ("+61412345678", "AU"),
            ("+262692123456", "RE"),
            ("+262639012345", "YT"),
            ("590690001234", "GP"),
            ("596696201234", "MQ"),
            ("+212650123456", "MA"),
            ("+59995181234", "CW"),
            ("+5993181234", "BQ"),
            ("+38343201234", "XK"),
        ] {
            let digits = text.trim_start_matches('+');
            check("FR", text, digits, Some(expected));
        }
    }

    #[test]
    fn ordinary_numbers_of_many_countries_are_read() {
        for (text, expected) in [
            ("32470123456", "BE"),
            ("41781234567", "CH"),
            ("352628123456", "LU"),
            ("34612345678", "ES"),
            ("4915123456789", "DE"),
            ("351912345678", "PT"),
            ("31612345678", "NL"),
            ("436641234567", "AT"),
            ("48512345678", "PL"),
            ("21650123456", "TN"),
            ("213551234567", "DZ"),
            ("221701234567", "SN"),
            ("2250123456789", "CI"),
            ("5511961234567", "BR"),
            ("5491123456789", "AR"),
            ("8613123456789", "CN"),
            ("918123456789", "IN"),
            ("819012345678", "JP"),
            ("971501234567", "AE"),
            ("972502345678", "IL"),
            ("905012345678", "TR"),
        ] {
            check("FR", text, text, Some(expected));
        }
    }

    #[test]
    fn national_forms_follow_the_region() {
        for (region, text, number) in [
            ("FR", "0612345678", "33612345678"),
            ("BE", "0470123456", "32470123456"),
            ("GB", "07912345678", "447912345678"),
            ("IT", "0236618300", "390236618300"),
            ("IT", "3123456789", "393123456789"),
            ("ES", "612345678", "34612345678"),
            ("US", "(202) 555-0123", "12025550123"),
            ("US", "1 202 555 0123", "12025550123"),
            ("RU", "8 912 345-67-89", "79123456789"),
            ("HU", "06 20 123 4567", "36201234567"),
            ("MX", "2221234567", "522221234567"),
            ("AR", "011 15-2345-6789", "5491123456789"),
        ] {
            check(region, text, number, Some(region));
        }
        check("CA", "2025550123", "12025550123", Some("US"));
    }

    #[test]
    fn what_is_no_valid_number_stays_as_it_came() {
        for (text, expected) in [
            ("36111", None),
            ("Boutique", None),
            ("", None),
            ("+", None),
            ("0", None),
            ("00", None),
            ("+0612345678", None),
            ("0000000000", None),
            ("+999123456789", None),
            ("123456789012345678901234567890", None),
            ("٠٦١٢٣٤٥٦٧٨", None),
            ("06123", None),
            ("+33 6 12", Some("FR")),
            ("0033", Some("FR")),
            ("33000000000", Some("FR")),
            ("33000", None),
            ("+1 2530000", None),
            ("+80012340000", None),
        ] {
            let number = if text == "+80012340000" { "80012340000" } else { text };
            check("FR", text, number, expected);
        }
    }

    #[test]
    fn a_number_that_no_plan_knows_has_one_spelling_too() {
        for (text, spelling) in [
            ("+33 6 12 34 56 78", "33612345678"),
            ("+999 12-345", "99912345"),
            ("00999 12345", "99912345"),
            ("99912345", "99912345"),
            ("36111", "36111"),
            ("00", "00"),
            ("0", "0"),
            ("Boutique", "Boutique"),
            ("+", "+"),
            ("", ""),
        ] {
            assert_eq!(plain(&read(text, country("FR")).number), spelling, "{text}");
        }
    }

    #[test]
    fn a_full_number_has_seven_digits_and_nothing_but_punctuation() {
        for full in ["33612345678", "+33 6 12 34 56 78", "06.12.34.56.78", "(202) 555-0123", "1234567"] {
            assert!(is_full(full), "{full}");
        }
        for short in ["", "36111", "123456", "BOUTIQUE", "Shop1234567", "33612345678x", "٠٦١٢٣٤٥٦٧٨"] {
            assert!(!is_full(short), "{short}");
        }
    }

    /// The library is the reference: what we call valid as written it calls valid, with the same digits and country. Not the other way round:
    /// its patterns are not anchored at the end, so it lets +39 892 00000 pass for +39 892 000. (And it takes the 8 of +7 860 000 0000
    /// for a trunk prefix, so Russia is left out below.)
    #[track_caller]
    fn agrees_with_the_library(text: &str) {
        let ours = read(text, country("FR"));
        if ours.number != text[1..] {
            return;
        }
        let theirs = phonenumber::parse(None, text).unwrap();
        assert!(theirs.is_valid(), "{text}");
        assert_eq!(ours.number, format!("{}{}", theirs.code().value(), theirs.national()), "{text}");
        // It reads a number without its leading zeros, and so misses the Vatican's.
        if theirs.national().zeros() == 0 {
            assert_eq!(ours.country, theirs.country().id().and_then(|id| Country::new(id.as_ref())), "{text}");
        }
    }

    #[test]
    fn the_example_numbers_of_every_plan_are_valid_and_read_as_the_library_reads_them() {
        for meta in phonenumber::metadata::DATABASE.iter() {
            let kinds = meta.descriptors();
            for example in [kinds.mobile(), kinds.fixed_line()].into_iter().flatten() {
                let Some(national) = example.example() else { continue };
                let text = format!("+{}{national}", meta.country_code());
                assert_eq!(read(&text, country("FR")).number, text[1..], "{}", meta.id());
                agrees_with_the_library(&text);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_number_that_we_call_valid_is_read_as_the_library_reads_it(
            code in prop::sample::select(vec!["1", "33", "44", "39", "49", "34", "590", "262"]),
            national in "[2-9][0-9]{7,10}",
        ) {
            agrees_with_the_library(&format!("+{code}{national}"));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,30}", digits in "[+]?[0-9 .()-]{0,24}") {
            for text in [&text, &digits] {
                read(text, country("FR"));
                read(text, country("AR"));
                read(text, country("ZZ"));
            }
        }
    }
}
