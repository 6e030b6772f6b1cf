//! Why a configuration is invalid, and the search for all errors behind the first.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Why a configuration cannot be used: a line for each setting that cannot, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .lines.join("\n"))]
pub struct ConfigError {
    /// What can be left out: the key, the variable or the flag.
    setting: Option<String>,
    /// What is left out with it.
    beside: Option<String>,
    lines: Vec<String>,
    /// Whether a change of another setting would fix it.
    depends: bool,
}

impl ConfigError {
    /// Of the setting of this name.
    pub(crate) fn of(setting: &str, line: String) -> Self {
        Self { setting: Some(setting.to_owned()), ..Self::general(line) }
    }

    /// Of no setting in particular.
    pub(crate) fn general(line: String) -> Self {
        Self { setting: None, beside: None, lines: vec![one_line(&line)], depends: false }
    }

    /// The same, about another setting as well.
    pub(crate) fn and(self, other: String) -> Self {
        Self { beside: Some(other), ..self }
    }

    /// The same, of the setting that the one in the line is a part of.
    pub(crate) fn within(self, setting: &str) -> Self {
        Self { setting: Some(setting.to_owned()), ..self }
    }

    /// The same, for a setting that is valid by itself and does not fit others. Not reported once a setting was left out.
    pub(crate) fn beside_others(self) -> Self {
        Self { depends: true, ..self }
    }
}

/// Control characters, which a key in quotes may hold, as escapes.
fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}

/// Settings that are read as if they were not given, since they are reported already.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut(Arc<BTreeSet<String>>);

impl LeftOut {
    pub fn contains(&self, setting: &str) -> bool {
        self.0.contains(setting)
    }
}

/// More errors are not searched for.
const MAX_ERRORS: usize = 100;

/// Loads by `load`, and again without each invalid setting, until there are no more errors.
///
/// # Errors
/// All errors that were found, in order. A setting that only fails because of another that was left out is not among them.
pub(crate) fn all_errors<T>(load: impl Fn(&LeftOut) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
    let mut left_out = LeftOut::default();
    let mut lines = Vec::new();
    loop {
        let error = match load(&left_out) {
            Ok(loaded) if lines.is_empty() => return Ok(loaded),
            Ok(_) => break,
            Err(error) => error,
        };
        let is_known = error.setting.as_ref().is_some_and(|setting| left_out.contains(setting));
        // A required setting is missing once it is left out.
        if !is_known && (lines.is_empty() || !error.depends) {
            lines.extend(error.lines);
        }
        Arc::make_mut(&mut left_out.0).extend(error.beside);
        let mut setting = error.setting;
        while setting.as_ref().is_some_and(|setting| left_out.contains(setting)) {
            setting = setting.and_then(|setting| table_of(&setting).map(str::to_owned));
        }
        let Some(setting) = setting.filter(|_| lines.len() < MAX_ERRORS) else { break };
        Arc::make_mut(&mut left_out.0).insert(setting);
    }
    Err(ConfigError { setting: None, beside: None, lines, depends: false })
}

/// The table or list of a key.
fn table_of(key: &str) -> Option<&str> {
    key.rfind(['.', '[']).map(|at| &key[..at])
}
