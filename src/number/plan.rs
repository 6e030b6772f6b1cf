//! The numbering plans of the `phonenumber` crate (Google's libphonenumber metadata), matched with regular expressions of our own.
//!
//! The crate's own parser keeps 100 compiled expressions behind one lock and compiles anew on every miss, a matter of
//! milliseconds when traffic goes to many countries. Here each plan compiles once, when its first number comes.

use std::sync::{LazyLock, OnceLock};

use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;
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
    meta: &'static Metadata,
    country: Option<Country>,
    /// Lengths of national numbers, for any kind of them.
    lengths: Vec<u16>,
    valid: OnceLock<Option<Regex>>,
    leading: OnceLock<Option<Regex>>,
    trunk: OnceLock<Option<Regex>>,
}

/// Plans by calling code; the main country of a shared code comes first, as libphonenumber has it.
static PLANS: LazyLock<Vec<Vec<Plan>>> = LazyLock::new(|| {
    (0..1000_u16).map(|code| DATABASE.by_code(&code).unwrap_or_default().into_iter().map(Plan::of).collect()).collect()
});

/// Reads the digits after `+`.
pub(super) fn international(digits: &str) -> Option<Found> {
    let (code, national, plans) = split(digits)?;
    if let Some(plan) = which(plans, national) {
        return Some(Found { digits: digits.to_owned(), country: plan.country });
    }
    // A trunk prefix kept by mistake, as in +33 (0)6...
    found_without_trunk(plans.first()?, code, national, plans)
}

/// Reads digits as dialled within `region`.
pub(super) fn national(digits: &str, region: Country) -> Option<Found> {
    let code = DATABASE.by_id(region.as_str())?.country_code();
    let plans = PLANS.get(usize::from(code))?;
    let home = plans.iter().find(|plan| plan.country == Some(region))?;
    if let Some(plan) = which(plans, digits) {
        return Some(Found { digits: format!("{code}{digits}"), country: plan.country });
    }
    found_without_trunk(home, &code.to_string(), digits, plans)
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
        let plans = PLANS.get(code.parse::<usize>().ok()?)?;
        (!plans.is_empty() && !code.starts_with('0')).then_some((code, national, plans.as_slice()))
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
    fn of(meta: &'static Metadata) -> Self {
        let mut lengths: Vec<u16> = kinds(meta).flat_map(|kind| kind.possible_length().iter().copied()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Self {
            meta,
            country: Country::new(meta.id()),
            lengths,
            valid: OnceLock::new(),
            leading: OnceLock::new(),
            trunk: OnceLock::new(),
        }
    }

    /// Among the countries of a shared code, is this number this one's? By its leading digits where the plan has them.
    fn claims(&self, national: &str) -> bool {
        match self.meta.leading_digits() {
            Some(leading) => matches(&self.leading, || format!("^(?:{})", leading.as_str()), national),
            None => self.is_valid(national),
        }
    }

    fn is_valid(&self, national: &str) -> bool {
        let any_kind = || {
            let kinds: Vec<_> = kinds(self.meta).map(|kind| kind.national_number().as_str()).collect();
            format!("^(?:{})$", kinds.join("|"))
        };
        self.lengths.contains(&(national.len() as u16)) && matches(&self.valid, any_kind, national)
    }

    /// The number without the prefix that is dialled within the country only; `None` when it has none.
    fn without_trunk(&self, written: &str) -> Option<String> {
        let prefix = match self.meta.national_prefix_for_parsing() {
            Some(prefix) => prefix.as_str(),
            None => self.meta.national_prefix()?,
        };
        let trunk = self.trunk.get_or_init(|| compiled(&format!("^(?:{prefix})"))).as_ref()?;
        let parts = trunk.captures(written.as_bytes())?;
        let rest = &written[parts.get(0)?.end()..];
        // Where the prefix holds part of the number (Argentina's 0 11 15), a rule puts it together again.
        let last_group = trunk.captures_len() - 1;
        match self.meta.national_prefix_transform_rule() {
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

/// What a valid number may be; emergency and short numbers are not written to.
fn kinds(meta: &'static Metadata) -> impl Iterator<Item = &'static phonenumber::metadata::Descriptor> {
    let all = meta.descriptors();
    [
        all.mobile(),
        all.fixed_line(),
        all.toll_free(),
        all.premium_rate(),
        all.shared_cost(),
        all.personal_number(),
        all.voip(),
        all.pager(),
        all.uan(),
        all.voicemail(),
    ]
    .into_iter()
    .flatten()
}

fn matches(regex: &OnceLock<Option<Regex>>, pattern: impl FnOnce() -> String, text: &str) -> bool {
    regex.get_or_init(|| compiled(&pattern())).as_ref().is_some_and(|regex| regex.is_match(text.as_bytes()))
}

/// ASCII only, so that `\d` is ten digits and the automaton small. The metadata's patterns are broken over lines.
fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).ignore_whitespace(true).build().ok()
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
