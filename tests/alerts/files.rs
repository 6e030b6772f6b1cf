//! The files of alerts/, as data, and the programs that read them.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::tools::{on_path, require_tool};

/// The core, which everyone loads, and what is beside it.
pub const RULES: [&str; 3] =
    ["alerts/smscope.rules.yaml", "alerts/smscope-extra.rules.yaml", "alerts/smscope-features.rules.yaml"];
pub const OVERRIDES: &str = "alerts/overrides.example.rules.yaml";
pub const LOKI: &str = "alerts/loki.rules.yaml";
/// By the order of the rules that each is generated from, Loki's last.
pub const GRAFANA: [&str; 4] = [
    "alerts/grafana/smscope.yaml",
    "alerts/grafana/smscope-extra.yaml",
    "alerts/grafana/smscope-features.yaml",
    "alerts/grafana/smscope-loki.yaml",
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The promtool files of alerts/tests.
pub fn unit_tests() -> Vec<String> {
    let files = fs::read_dir(root().join("alerts/tests")).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.into_iter().map(|name| format!("alerts/tests/{name}")).collect()
}

/// The files of rules for Prometheus, and Loki's.
pub fn all_rules() -> Vec<&'static str> {
    RULES.into_iter().chain([LOKI]).collect()
}

/// The rules of all groups of a file.
pub fn rules(file: &Value) -> Vec<&Value> {
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect()
}

pub fn is_alert(rule: &&Value) -> bool {
    rule["alert"].is_string()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// YAML files, read by the library of grafana/; `None` when that is missing and the test is skipped.
pub fn yaml<P: AsRef<OsStr>>(paths: &[P]) -> Option<Vec<Value>> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| root().join(path.as_ref())).collect();
    let mut arguments: Vec<&OsStr> = vec![OsStr::new("src/yaml.ts")];
    arguments.extend(paths.iter().map(|path| path.as_os_str()));
    Some(serde_json::from_slice(&script(&arguments, "")?.stdout).unwrap())
}

/// How a query is built, by the grammar of the editor of its language.
#[derive(Debug, Deserialize)]
pub struct Parsed {
    pub errors: Vec<String>,
    pub selectors: Vec<Selector>,
    /// Labels that are grouped or joined by.
    pub grouping: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

#[derive(Debug, Deserialize)]
pub struct Matcher {
    pub label: String,
}

/// `language` is promql or logql; `None` when Node.js or its packages are missing and the test is skipped.
pub fn parse(language: &str, queries: &[&str]) -> Option<Vec<Parsed>> {
    let queries: Vec<Value> = queries.iter().map(|expr| json!({"language": language, "expr": expr})).collect();
    let output = script(&[OsStr::new("src/parse.ts")], &json!(queries).to_string())?;
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Runs a script of grafana/, which has to succeed.
pub fn script(arguments: &[&OsStr], input: &str) -> Option<Output> {
    let package = root().join("grafana");
    let tsx = package.join("node_modules/.bin/tsx");
    let tsx = require_tool("the packages of grafana/", tsx.is_file().then_some(tsx), "grafana/setup.sh installs them")?;
    let output = run(Command::new(tsx).args(arguments).current_dir(package), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

pub fn run(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A program of a Debian package; `None` when it is missing and the test is skipped.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    require_tool(name, on_path(name), &format!("Debian has it in the package {package}"))
}
