//! What is done by the code in grafana/: generating, reading YAML, and parsing queries by the editors' grammars.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::dashboards::board::Language;
use crate::support::{package, root, run_with_input};

/// How a query is built.
#[derive(Debug, Deserialize)]
pub struct Parsed {
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

/// By the grammar of the editor of its language; `None` if Node.js or its packages are missing and the test is skipped.
pub fn parse(queries: &[(Language, impl AsRef<str>)]) -> Option<Vec<Parsed>> {
    let queries = queries.iter().map(|(language, expr)| match language {
        Language::PromQl => json!({"language": "promql", "expr": expr.as_ref()}),
        Language::LogQl => json!({"language": "logql", "expr": expr.as_ref()}),
    });
    let output = script(&["src/parse.ts"], &json!(queries.collect::<Vec<_>>()).to_string())?;
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// YAML files; `None` if the library is missing and the test is skipped.
pub fn yaml<P: AsRef<OsStr>>(paths: &[P]) -> Option<Vec<Value>> {
    let paths = paths.iter().map(|path| root().join(path.as_ref()));
    let arguments: Vec<PathBuf> = std::iter::once("src/yaml.ts".into()).chain(paths).collect();
    Some(serde_json::from_slice(&script(&arguments, "")?.stdout).unwrap())
}

/// Runs a script, which has to succeed.
pub fn script(arguments: &[impl AsRef<OsStr>], input: &str) -> Option<Output> {
    let tsx = package("tsx")?;
    let output = run_with_input(Command::new(tsx).args(arguments).current_dir(root().join("grafana")), input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

#[test]
fn the_grammars_see_what_is_wrong_and_how_a_query_is_built() {
    let queries = [
        (Language::PromQl, r#"sum by (a) (increase(x_total{job=~".*", b="c"}[1h] offset 1w)) / on () group_left () y"#),
        (Language::PromQl, "sum by ("),
        (Language::LogQl, r#"sum(count_over_time({a="b"} | c="" and d!="e" [5m]))"#),
        (Language::LogQl, "{a=}"),
    ];
    let Some(parsed) = parse(&queries) else { return };
    assert_eq!(parsed.iter().map(|parsed| parsed.errors.is_empty()).collect::<Vec<_>>(), [true, false, true, false]);
    let [counter, y] = &parsed[0].selectors[..] else { panic!("{parsed:?}") };
    assert_eq!((counter.metric.as_str(), y.metric.as_str()), ("x_total", "y"));
    assert_eq!((counter.range.as_deref(), counter.call.as_deref()), (Some("1h"), Some("increase")));
    assert_eq!(counter.matchers[1], Matcher { label: "b".into(), op: "=".into(), value: "c".into() });
    assert_eq!(parsed[0].grouping, ["a"]);
    assert_eq!(parsed[2].ranges, ["5m"]);
}
