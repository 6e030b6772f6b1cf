//! Who is to be erased: a phone number, however it was written.

use std::collections::HashMap;

use serde_json::Value;

use crate::event::{Country, SourceName};
use crate::{json, number};

/// Where the numbers of each source are at home, for those in national form.
#[derive(Clone, Debug)]
pub struct Regions {
    by_source: HashMap<SourceName, Country>,
    /// Of sources that are no longer configured.
    fallback: Country,
}

impl Regions {
    pub fn new(by_source: impl IntoIterator<Item = (SourceName, Country)>, fallback: Country) -> Self {
        Self { by_source: by_source.into_iter().collect(), fallback }
    }

    fn of(&self, source: &str) -> Country {
        SourceName::new(source).and_then(|name| self.by_source.get(&name).copied()).unwrap_or(self.fallback)
    }
}

/// Those whose numbers were given.
#[derive(Clone, Debug)]
pub struct Subjects {
    given: Vec<Given>,
    regions: Regions,
}

#[derive(Clone, Debug)]
struct Given {
    written: String,
    /// Tells at a glance who it cannot be: a number ends in the same digits however it is written.
    last_digits: String,
}

/// How often JSON and parameters may be wrapped into one another.
const MAX_LEVEL: usize = 6;

impl Subjects {
    /// The error says which of them is no phone number.
    pub fn new(numbers: &[String], regions: Regions) -> Result<Self, String> {
        let given = numbers.iter().map(|written| {
            let written = written.trim().to_owned();
            match number::last_digits(&written).filter(|_| number::is_full(&written)) {
                Some(last_digits) => Ok(Given { last_digits, written }),
                None => Err(format!("{written:?} is no phone number; expected one such as +33612345678")),
            }
        });
        Ok(Self { given: given.collect::<Result<_, _>>()?, regions })
    }

    /// The digits under which the store has them, for a source of the default region.
    pub fn stored_forms(&self) -> Vec<String> {
        self.given.iter().map(|given| number::read(&given.written, self.regions.fallback).number).collect()
    }

    /// The last digits of each of their numbers. A number that ends otherwise is none of theirs.
    pub fn last_digits(&self) -> impl Iterator<Item = &str> {
        self.given.iter().map(|given| given.last_digits.as_str())
    }

    /// Whether a number of `source`, in any form, is theirs.
    pub fn have(&self, source: &str, number: &str) -> bool {
        let digits = digits_of(number);
        let mut possible = self.given.iter().filter(|given| digits.ends_with(&given.last_digits)).peekable();
        if possible.peek().is_none() {
            return false;
        }
        let region = self.regions.of(source);
        let read = number::read(number, region).number;
        possible.any(|given| number::read(&given.written, region).number == read)
    }

    /// Whether their number stands somewhere in a query or a body: in JSON, damaged or not, in parameters, or in either of them
    /// wrapped into the other.
    pub fn are_in(&self, source: &str, raw: &[u8]) -> bool {
        self.are_inside(source, raw, 0)
    }

    pub fn are_in_json(&self, source: &str, value: &Value) -> bool {
        self.are_in_value(source, value, 0)
    }

    fn are_inside(&self, source: &str, raw: &[u8], level: usize) -> bool {
        if level > MAX_LEVEL {
            return false;
        }
        if json::looks_like_json(raw)
            && let Ok(read) = json::read(raw)
        {
            let found = read.documents.iter().any(|document| self.are_in_value(source, &document.value, level));
            // What had to be repaired may have lost digits that stand in the text.
            if found || !read.repaired {
                return found;
            }
        }
        let spaced: Vec<u8> = raw.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        let decoded: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
        if self.are_in_text(source, &String::from_utf8_lossy(&decoded)) {
            return true;
        }
        // Encoded twice, or JSON in a parameter or a part: a digit may be written as an escape.
        let inner = match decoded.contains(&b'%') {
            true => Some(&decoded[..]),
            false => decoded.iter().position(|byte| b"{[\"".contains(byte)).map(|start| &decoded[start..]),
        };
        inner.filter(|inner| inner.len() < raw.len()).is_some_and(|inner| self.are_inside(source, inner, level + 1))
    }

    fn are_in_value(&self, source: &str, value: &Value, level: usize) -> bool {
        match value {
            Value::String(text) => {
                let may_be_written = json::looks_like_json(text.as_bytes()) || text.contains('%');
                self.are_in_text(source, text)
                    || (may_be_written && self.are_inside(source, text.as_bytes(), level + 1))
            }
            Value::Number(number) => self.have(source, &number.to_string()),
            Value::Array(values) => values.iter().any(|value| self.are_in_value(source, value, level)),
            Value::Object(members) => members
                .iter()
                .any(|(name, value)| self.are_in_text(source, name) || self.are_in_value(source, value, level)),
            Value::Bool(_) | Value::Null => false,
        }
    }

    /// Whether it is among the words of a text: as a run of digits, or of digits and the punctuation of numbers.
    pub fn are_in_text(&self, source: &str, text: &str) -> bool {
        let runs = |belongs: fn(char) -> bool| text.split(move |c: char| !belongs(c));
        let loose = runs(|c| c.is_ascii_digit() || " \u{a0}\u{202f}+.-/()".contains(c));
        let tight = runs(|c| c.is_ascii_digit() || c == '+');
        loose.chain(tight).any(|run| self.have(source, run.trim()))
    }
}

fn digits_of(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(number: &str) -> Subjects {
        let belgian = (SourceName::new("be").unwrap(), Country::new("BE").unwrap());
        Subjects::new(&[number.to_owned()], Regions::new([belgian], Country::new("FR").unwrap())).unwrap()
    }

    #[test]
    fn a_number_is_found_in_each_of_its_forms_and_no_other_is() {
        for given in ["+33612345678", "0033612345678", "33612345678", "06 12 34 56 78", " +33 (0)6-12-34-56-78"] {
            let subjects = subjects(given);
            for own in ["33612345678", "0612345678", "+33 6 12 34 56 78", "612345678"] {
                assert!(subjects.have("smsmode", own), "{given}: {own}");
            }
            for other in ["33612345679", "33712345678", "345678", "ACME", ""] {
                assert!(!subjects.have("smsmode", other), "{given}: {other}");
            }
        }
    }

    #[test]
    fn a_national_form_is_read_by_the_region_of_its_source() {
        let subjects = subjects("+32470123456");
        assert!(subjects.have("be", "0470123456"));
        assert!(!subjects.have("smsmode", "0470123456"), "a French number");
    }

    #[test]
    fn a_number_is_found_in_what_was_not_understood() {
        let subjects = subjects("+33612345678");
        for raw in [
            r#"{"deep":[{"msisdn":"+33 6 12 34 56 78"}]}"#,
            r#"{"n":33612345678}"#,
            r#"{"n":"\u0030612345678"}"#,
            r#"{"33612345678":1}"#,
            "to=%2B33612345678&x=1",
            "to=06+12+34+56+78",
            "who knows: 33612345678, 17 times",
            "{broken \"0612345678\"",
            "{\"a\":\"\\ud83d\",\"to\":\"0612345678\"}",
            "{\"a\":1,\"to\":0033612345678.}",
            "{\"a\":1}\n{\"to\":\"0612345678\"}",
            r#""{\"to\":\"\u0030612345678\"}""#,
            r#"{"payload":"{\"to\":\"\\u0030612345678\"}"}"#,
            r#"{"data":"to=%30612345678&x=1"}"#,
            "payload=%7B%22to%22%3A%22%5Cu0030612345678%22%7D",
            "a=%257B%2522to%2522%253A%25220612345678%2522%257D",
            "--x\r\nContent-Disposition: form-data; name=\"numero\"\r\n\r\n+33612345678\r\n--x--",
        ] {
            assert!(subjects.are_in("smsmode", raw.as_bytes()), "{raw}");
        }
        for raw in ["", "33612345679", r#"{"n":1}"#, "to=%2B33612345", "336123456780"] {
            assert!(!subjects.are_in("smsmode", raw.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in ["", "ACME", "36111", "+"] {
            let refused = Subjects::new(&[bad.to_owned()], Regions::new([], Country::new("FR").unwrap()));
            assert!(refused.unwrap_err().contains("no phone number"), "{bad}");
        }
    }
}
