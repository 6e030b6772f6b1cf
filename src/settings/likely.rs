//! What was likely meant by a name that is not known.

use strsim::damerau_levenshtein;

use super::setting::Declaration;

/// The one of `known` that `given` is a slip of the keyboard away from.
pub(crate) fn likely<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let given = plain(given);
    let slips = known.into_iter().map(|name| (damerau_levenshtein(&given, &plain(name)), name));
    let (slips, name) = slips.min_by_key(|(slips, _)| *slips)?;
    // A third of a name is another name.
    (slips <= (given.chars().count() / 3).max(1)).then_some(name)
}

/// The key of another table that ends as `given` does, if only one does.
pub(crate) fn likely_key(given: &str, settings: &[&Declaration]) -> Option<String> {
    let mut found = settings
        .iter()
        .map(|setting| setting.key)
        .filter(|key| key.rsplit_once('.').is_some_and(|(_, name)| name == given));
    let key = found.next()?;
    found.next().is_none().then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_is_recognized_and_another_name_is_not() {
        let known = ["retention", "horizon", "size_limit", "export_retention"];
        for (given, meant) in [
            ("retension", Some("retention")),
            ("retnetion", Some("retention")),
            ("Size-Limit", Some("size_limit")),
            ("horizn", Some("horizon")),
            ("compression", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(likely(given, known), meant, "{given}");
        }
        assert_eq!(likely("a", []), None);
    }

    #[test]
    fn a_key_in_the_wrong_table_is_found_in_its_own() {
        let settings: Vec<_> = crate::config::reference::settings().collect();
        assert_eq!(likely_key("horizon", &settings).as_deref(), Some("store.horizon"));
        for given in ["unheard-of", "interval", ""] {
            assert_eq!(likely_key(given, &settings), None, "{given}");
        }
    }
}
