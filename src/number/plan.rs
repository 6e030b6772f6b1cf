//! The numbering plans of the `phonenumber` crate (Google's libphonenumber metadata), matched with regular expressions of our own.
//!
//! The crate unpacks all of its metadata for its first number, which takes 50 ms and 6 MB, and its parser caches 100 compiled expressions
//! behind one lock and compiles again on every miss, which takes milliseconds if traffic is for many countries. So the build script
//! extracts the plans, and each is compiled once, for its first number.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::event::Country;

/// A valid number: digits of E.164 without `+`.
pub(super) struct Found {
    pub digits: String,
    /// `None` for the codes that are no country's, such as 800 or 883.
    pub country: Option<Country>,
}

/// One country's plan within its calling code.
struct Plan {
    code: u16,
    country: Option<Country>,
    /// Lengths of national numbers, for any kind of them.
    lengths: &'static [u16],
    valid: Pattern,
    /// What the country's numbers begin with, where that tells it from others of its calling code.
    leading: Option<Pattern>,
    trunk: Option<Pattern>,
    /// Where the trunk prefix holds part of the number: how to put it together again.
    transform: Option<&'static str>,
}

/// Compiled when it is first needed.
struct Pattern {
    text: &'static str,
    regex: OnceLock<Option<Regex>>,
}

// PLANS, by calling code; the main country of a shared code comes first, as libphonenumber has it.
include!(concat!(env!("OUT_DIR"), "/plans.rs"));

/// Reads the digits after `+`.
pub(super) fn international(digits: &str) -> Option<Found> {
    let (code, national, plans) = split(digits)?;
    if let Some(plan) = which(plans, national) {
        return Some(Found { digits: digits.to_owned(), country: plan.country });
    }
    // A trunk prefix left in by mistake, as in +33 (0)6...
    found_without_trunk(plans.first()?, code, national, plans)
}

/// Reads digits as dialled within `region`.
pub(super) fn national(digits: &str, region: Country) -> Option<Found> {
    let home = of_country(region)?;
    let plans = of_code(home.code);
    if let Some(plan) = which(plans, digits) {
        return Some(Found { digits: format!("{}{digits}", home.code), country: plan.country });
    }
    found_without_trunk(home, &home.code.to_string(), digits, plans)
}

/// Whether there is a plan of this country.
pub(super) fn is_known(country: Country) -> bool {
    of_country(country).is_some()
}

fn of_country(country: Country) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.country == Some(country))
}

fn of_code(code: u16) -> &'static [Plan] {
    let begin = PLANS.partition_point(|plan| plan.code < code);
    let count = PLANS[begin..].partition_point(|plan| plan.code == code);
    &PLANS[begin..begin + count]
}

/// The one country of the calling code that `digits` begins with, when its plan knows such a length or `explicit` says that this is
/// a calling code.
pub(super) fn likely_country(digits: &str, explicit: bool) -> Option<Country> {
    let (_, national, plans) = split(digits)?;
    match plans {
        [plan] if explicit || plan.lengths.contains(&(national.len() as u16)) => plan.country,
        _ => None,
    }
}

/// Calling code, national number and the plans of the code. No code begins another one.
fn split(digits: &str) -> Option<(&str, &str, &'static [Plan])> {
    (1..=3).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        let plans = of_code(code.parse().ok()?);
        (!plans.is_empty() && !code.starts_with('0')).then_some((code, national, plans))
    })
}

/// The plan in which this national number is valid.
fn which<'a>(plans: &'a [Plan], national: &str) -> Option<&'a Plan> {
    let plan = match plans {
        [plan] => plan,
        _ => plans.iter().find(|plan| plan.claims(national))?,
    };
    plan.is_valid(national).then_some(plan)
}

fn found_without_trunk(home: &Plan, code: &str, written: &str, plans: &[Plan]) -> Option<Found> {
    let national = home.without_trunk(written)?;
    let plan = which(plans, &national)?;
    Some(Found { digits: format!("{code}{national}"), country: plan.country })
}

impl Plan {
    /// Among the countries of a shared code, is this number this one's? By its leading digits where the plan has them.
    fn claims(&self, national: &str) -> bool {
        match &self.leading {
            Some(leading) => leading.matches(national),
            None => self.is_valid(national),
        }
    }

    fn is_valid(&self, national: &str) -> bool {
        self.lengths.contains(&(national.len() as u16)) && self.valid.matches(national)
    }

    /// The number without the prefix that is dialled within the country only; `None` when it has none.
    fn without_trunk(&self, written: &str) -> Option<String> {
        let trunk = self.trunk.as_ref()?.regex()?;
        let parts = trunk.captures(written.as_bytes())?;
        let rest = &written[parts.get(0)?.end()..];
        // Where the prefix holds part of the number (Argentina's 0 11 15), a rule puts it together again.
        let last_group = trunk.captures_len() - 1;
        match self.transform {
            Some(rule) if last_group > 0 && parts.get(last_group).is_some() => {
                let mut national = Vec::new();
                parts.expand(braced(rule).as_bytes(), &mut national);
                national.extend_from_slice(rest.as_bytes());
                String::from_utf8(national).ok()
            }
            _ => Some(rest.to_owned()),
        }
    }
}

impl Pattern {
    const fn new(text: &'static str) -> Self {
        Self { text, regex: OnceLock::new() }
    }

    fn matches(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text.as_bytes()))
    }

    /// ASCII only, so that `\d` is ten digits and the automaton small.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| RegexBuilder::new(self.text).unicode(false).build().ok()).as_ref()
    }
}

/// `9$1` as `9${1}`: a digit may follow the group's number.
fn braced(rule: &str) -> String {
    let mut braced = String::with_capacity(rule.len() + 4);
    let mut rest = rule.chars();
    while let Some(c) = rest.next() {
        braced.push(c);
        if c == '$' {
            braced.push('{');
            braced.extend(rest.next());
            braced.push('}');
        }
    }
    braced
}
