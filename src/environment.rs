//! Environment variables, behind a small trait: tests pass a map instead of changing the process.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A source of environment variables.
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
