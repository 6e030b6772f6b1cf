//! Environment variables, behind a small trait: tests hand in a map instead of changing the process.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::likely::likely;

/// The variables of our own that are read.
pub const VARIABLES: [&str; 12] = [
    "SMSCOPE_ADMIN_LISTEN",
    "SMSCOPE_API_KEY",
    "SMSCOPE_API_KEY_FILE",
    "SMSCOPE_CONFIG",
    "SMSCOPE_DATA_DIR",
    "SMSCOPE_LISTEN",
    "SMSCOPE_PUBLIC_URL",
    "SMSCOPE_STORE_HORIZON",
    "SMSCOPE_STORE_RETENTION",
    "SMSCOPE_STORE_SIZE_LIMIT",
    "SMSCOPE_TOKEN",
    "SMSCOPE_TOKEN_FILE",
];

/// Where environment variables are looked up.
pub trait Environment {
    /// The value of a variable; bytes that are not UTF-8 come as U+FFFD.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct Process;

impl Environment for Process {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl<K: Borrow<str> + Ord, V: AsRef<str>> Environment for BTreeMap<K, V> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).map(|value| value.as_ref().to_owned())
    }

    fn names(&self) -> Vec<String> {
        self.keys().map(|name| name.borrow().to_owned()).collect()
    }
}

impl<K: Borrow<str> + Eq + Hash, V: AsRef<str>> Environment for HashMap<K, V> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).map(|value| value.as_ref().to_owned())
    }

    fn names(&self) -> Vec<String> {
        self.keys().map(|name| name.borrow().to_owned()).collect()
    }
}

/// One warning for each variable that looks like ours and is not.
///
/// Kubernetes sets `SMSCOPE_SERVICE_HOST`, `SMSCOPE_PORT_7672_TCP` and the like for a service named smscope: not a word
/// about those.
pub(super) fn unknown_variables(env: &dyn Environment) -> Vec<String> {
    let injected = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
    let mut names = env.names();
    names.retain(|name| name.starts_with("SMSCOPE_") && !injected(name) && !VARIABLES.contains(&name.as_str()));
    names.sort();
    let known = VARIABLES.join(", ");
    let line = |name: String| {
        let question = likely(&name, VARIABLES).map_or(String::new(), |likely| format!(" (did you mean {likely}?)"));
        format!("{name}: unknown variable, not used{question}; expected one of {known}")
    };
    names.into_iter().map(line).collect()
}
