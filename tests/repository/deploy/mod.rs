//! What stands under deploy/: read by the programs that it is meant for, held to what the program has, and run where that can be
//! done without a container engine, a cluster or systemd.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::{read, root};

mod collector;
mod configurations;
mod confined;
mod demo;
mod fleet;
mod kubernetes;
mod names;
mod reader;
mod relabel;
mod systemd;

/// Every file under a folder of the repository, by its path there.
fn files(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let path: PathBuf = entry.unwrap().path();
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        // What npm has put there is not ours.
        if path.ends_with("node_modules") {
            continue;
        }
        if path.is_dir() {
            found.append(&mut files(&name));
        } else {
            let text = read(&name);
            found.insert(name, text);
        }
    }
    found
}

/// The text of what has one: a value that is not a text is a mistake of the test or of the file, and shown.
fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected a text, found {value}"))
}
