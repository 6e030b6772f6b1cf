//! What is done by the code that generates the dashboards: writing them, and parsing queries by the editors' grammars.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::board::Language;
use crate::tools::{require_tool, run_with_input};

#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Where the grammar does not fit.
    pub errors: Vec<String>,
    /// Of PromQL.
    pub selectors: Vec<Selector>,
    /// Labels that are grouped or joined by.
    pub grouping: Vec<String>,
    /// Ranges of LogQL.
    pub ranges: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    pub range: Option<String>,
    pub call: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    pub op: String,
    pub value: String,
}

/// How the queries are built; `None` when Node.js or its packages are missing and the test is skipped.
pub fn parse(queries: &[(Language, String)]) -> Option<Vec<Answer>> {
    let queries = queries.iter().map(|(language, expr)| match language {
        Language::PromQl => json!({"language": "promql", "expr": expr}),
        Language::LogQl => json!({"language": "logql", "expr": expr}),
    });
    let output = run(&["src/parse.ts"], &json!(queries.collect::<Vec<_>>()).to_string())?;
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Runs a script of grafana/, which has to succeed.
fn run(arguments: &[&str], input: &str) -> Option<Output> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana");
    let tsx = installed("tsx")?;
    let output = run_with_input(Command::new(tsx).args(arguments).current_dir(package), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

/// A program of the packages of grafana/.
fn installed(program: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/node_modules/.bin").join(program);
    require_tool("the packages of grafana/", path.is_file().then_some(path), "grafana/setup.sh installs them")
}

#[test]
fn the_dashboards_are_what_the_generator_writes() {
    let folder = TempDir::new().unwrap();
    if run(&["src/generate.ts", folder.path().to_str().unwrap()], "").is_none() {
        return;
    }
    let files = |root: &Path| {
        let names = fs::read_dir(root.join("dashboards")).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| name.to_str().unwrap().ends_with(".json")).collect();
        names.sort();
        names
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(files(folder.path()), files(root));
    for name in files(root) {
        let file = Path::new("dashboards").join(name);
        let [written, committed] = [folder.path(), root].map(|root| fs::read_to_string(root.join(&file)).unwrap());
        assert!(written == committed, "{} is not what `npm run generate` in grafana/ writes", file.display());
    }
}

#[test]
fn the_generator_is_correct_by_its_types() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana");
    let Some(compiler) = installed("tsc") else { return };
    let output = Command::new(compiler).current_dir(package).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_grammars_see_what_is_wrong_and_how_a_query_is_built() {
    let [right, wrong, log, bad_log] = [
        (Language::PromQl, r#"sum by (a) (increase(x_total{job=~".*", b="c"}[1h] offset 1w)) / on () group_left () y"#),
        (Language::PromQl, "sum by ("),
        (Language::LogQl, r#"sum(count_over_time({a="b"} | c="" and d!="e" [5m]))"#),
        (Language::LogQl, "{a=}"),
    ]
    .map(|(language, expr)| (language, expr.to_owned()));
    let Some(answers) = parse(&[right, wrong, log, bad_log]) else { return };
    assert_eq!(answers.iter().map(|answer| answer.errors.is_empty()).collect::<Vec<_>>(), [true, false, true, false]);
    let [counter, y] = &answers[0].selectors[..] else { panic!("{answers:?}") };
    assert_eq!((counter.metric.as_str(), y.metric.as_str()), ("x_total", "y"));
    assert_eq!((counter.range.as_deref(), counter.call.as_deref()), (Some("1h"), Some("increase")));
    assert_eq!(counter.matchers[1], Matcher { label: "b".into(), op: "=".into(), value: "c".into() });
    assert_eq!(answers[0].grouping, ["a"]);
    assert_eq!(answers[2].ranges, ["5m"]);
}
