//! The reader that tests/manifests/build.sh builds: YAML to JSON, by the types of the program that reads it.

use std::process::Command;

use serde_json::Value;

use crate::support::{built, require_tool};
use crate::support::{read, root};

/// One YAML document; `None` when there is no reader and the test is skipped.
pub fn yaml(path: &str) -> Option<Value> {
    run("yaml", path)
}

/// A Compose file with all its profiles, paths made absolute.
pub fn compose(path: &str) -> Option<Value> {
    run("compose", path)
}

/// The objects of a manifest, or of a kustomization where it is a folder.
pub fn kubernetes(path: &str) -> Option<Vec<Value>> {
    match run("kubernetes", path)? {
        Value::Array(objects) => Some(objects),
        other => panic!("expected objects, found {other}"),
    }
}

fn run(kind: &str, path: &str) -> Option<Value> {
    let sources = ["go.mod", "go.sum", "main.go"].map(|name| read(&format!("tests/manifests/{name}"))).concat();
    let binary = built("manifests", sources.as_bytes(), "smscope-test-manifests");
    let binary = require_tool("the reader of manifests", binary, "tests/manifests/build.sh builds it with Go")?;
    let output = Command::new(binary).args([kind, path]).current_dir(root()).env_clear().output().unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
