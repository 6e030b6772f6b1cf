//! The 17 rules of grafana/dashboard-linter, by its names, on classic dashboards.
//!
//! The linter itself is a Go program that is fetched from GitHub; this is what its rules ask for. What is excluded from a
//! rule has its reason here, as the linter wants it.

use regex::Regex;
use serde_json::Value;

use super::board::{Board, Choice, Filling, Language, Target, list, text};
use crate::grafana::{Parsed, Selector, parse};

/// The durations that stand for variables are unlike any other, so that a fixed one is seen.
const RATE_INTERVAL: &str = "7777s";
const FILLING: Filling = Filling { rate_interval: RATE_INTERVAL, range: "8888s", choice: Choice::All };

/// Not excluded from a rule, but from a part of it, by dashboard and panel; empty is every one.
struct Exclusion {
    rule: &'static str,
    path: &'static str,
    panel: &'static str,
    reason: &'static str,
}

const EXCLUSIONS: [Exclusion; 6] = [
    Exclusion {
        rule: "template-datasource-rule",
        path: "dashboards/failures.json",
        panel: "",
        reason: "beside other data sources the linter wants prometheus_datasource; links pass variables on by name, so it \
                 is `datasource` on all dashboards",
    },
    Exclusion { rule: "template-datasource-rule", path: "dashboards/journey.json", panel: "", reason: "as above" },
    Exclusion {
        rule: "template-job-rule",
        path: "",
        panel: "",
        reason: "All is `.*`, not `.+`: series that came by OTLP may have no job",
    },
    Exclusion {
        rule: "template-instance-rule",
        path: "",
        panel: "",
        reason: "All is `.*`, not `.+`: series that came by OTLP may have no instance",
    },
    Exclusion {
        rule: "target-logql-auto-rule",
        path: "dashboards/failures.json",
        panel: "In the provider's own words",
        reason: "an instant query of the whole time range: there $__auto is $__range, and Grafana 10.0 and 10.1 do not \
                 know $__auto",
    },
    Exclusion { rule: "target-logql-auto-rule", path: "dashboards/journey.json", panel: "", reason: "as above" },
];

struct Lint<'a> {
    board: &'a Board,
    targets: Vec<(Target, Parsed)>,
    /// Of the variables that are queries, in their order.
    selectors: Vec<Parsed>,
}

/// What a rule does not like, with the panel that it is about.
type Findings = Vec<(String, String)>;
type Rule = fn(&Lint) -> Findings;

const RULES: [(&str, Rule); 17] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |lint| template(lint, "job")),
    ("template-instance-rule", |lint| template(lint, "instance")),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", template_reload),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", panel_title_description),
    ("panel-units-rule", panel_units),
    ("panel-no-targets-rule", panel_no_targets),
    ("target-promql-rule", |lint| syntax(lint, Language::PromQl)),
    ("target-logql-rule", |lint| syntax(lint, Language::LogQl)),
    ("target-logql-auto-rule", target_logql_auto),
    ("target-rate-interval-rule", target_rate_interval),
    ("target-job-rule", |lint| matcher(lint, "job")),
    ("target-instance-rule", |lint| matcher(lint, "instance")),
    ("target-counter-agg-rule", target_counter_agg),
    ("uneditable-dashboard", uneditable),
];

/// A rule, the panel, and what the rule does not like about it.
type Finding = (&'static str, String, String);

/// The findings of each dashboard; `None` when the grammars are missing and the test is skipped.
fn lint(boards: &[Board]) -> Option<Vec<Vec<Finding>>> {
    let targets: Vec<Vec<Target>> = boards.iter().map(Board::targets).collect();
    let mut queries = Vec::new();
    for (board, targets) in boards.iter().zip(&targets) {
        queries.extend(targets.iter().map(|target| (target.language, board.fill(&target.expr, FILLING))));
        queries.extend(selectors(board).map(|selector| (Language::PromQl, board.fill(&selector, FILLING))));
    }
    let mut answers = parse(&queries)?.into_iter();
    let mut findings = Vec::new();
    for (board, targets) in boards.iter().zip(targets) {
        let targets = targets.into_iter().map(|target| (target, answers.next().unwrap())).collect();
        let selectors = selectors(board).map(|_| answers.next().unwrap()).collect();
        let lint = Lint { board, targets, selectors };
        let of = |(rule, check): (&'static str, Rule)| {
            check(&lint).into_iter().map(move |(panel, finding)| (rule, panel, finding)).collect::<Vec<_>>()
        };
        findings.push(RULES.into_iter().flat_map(of).collect());
    }
    Some(findings)
}

/// The selector of the options of each variable that is a query: `label_values(SELECTOR, label)`.
fn selectors(board: &Board) -> impl Iterator<Item = String> {
    let queries = board.variables().iter().filter(|variable| variable["type"] == "query");
    queries.map(|variable| {
        let query = text(&variable["query"]["query"]);
        let call = Regex::new(r"^(?:label_values|query_result|metrics)\((.+), [a-z_]+\)$").unwrap();
        call.captures(query).map_or_else(|| format!("not a query of labels: {query}"), |parts| parts[1].to_owned())
    })
}

#[test]
fn the_rules_of_the_dashboard_linter_hold_but_for_exclusions_with_a_reason() {
    let mut used = [false; EXCLUSIONS.len()];
    let mut found = Vec::new();
    let boards = Board::all();
    let Some(findings) = lint(&boards) else { return };
    for (board, findings) in boards.iter().zip(findings) {
        for (rule, panel, finding) in findings {
            match EXCLUSIONS.iter().position(|exclusion| exclusion.covers(rule, &board.path, &panel)) {
                Some(index) => used[index] = true,
                None => found.push(format!("{rule}: {}, {panel}: {finding}", board.path)),
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (exclusion, used) in EXCLUSIONS.iter().zip(used) {
        assert!(used && !exclusion.reason.is_empty(), "{} of {} excludes nothing", exclusion.rule, exclusion.path);
    }
}

/// A dashboard that breaks a rule and was good before.
type Damage = (&'static str, fn(&mut Value));

#[test]
fn every_rule_finds_what_it_is_for() {
    let damages: [Damage; 17] = [
        ("template-datasource-rule", |json| json["templating"]["list"][0]["name"] = "prometheus".into()),
        ("template-job-rule", |json| json["templating"]["list"][1]["multi"] = false.into()),
        ("template-instance-rule", |json| json["templating"]["list"][2]["label"] = "Target".into()),
        ("template-label-promql-rule", |json| json["templating"]["list"][3]["query"]["query"] = "values(x{, y)".into()),
        ("template-on-time-change-reload-rule", |json| json["templating"]["list"][3]["refresh"] = 1.into()),
        ("panel-datasource-rule", |json| json["panels"][2]["targets"][0]["datasource"]["uid"] = "P1809F7CD0C75".into()),
        ("panel-title-description-rule", |json| json["panels"][2]["description"] = "".into()),
        ("panel-units-rule", |json| json["panels"][2]["fieldConfig"]["defaults"]["unit"] = "messages".into()),
        ("panel-no-targets-rule", |json| json["panels"][2]["targets"] = Value::Array(Vec::new())),
        ("target-promql-rule", |json| expr(json, "sum by (")),
        ("target-logql-rule", |json| loki(json, "{a=}")),
        ("target-logql-auto-rule", |json| loki(json, "sum(count_over_time({a=\"b\"} [5m]))")),
        ("target-rate-interval-rule", |json| expr(json, "rate(x{job=~\"$job\", instance=~\"$instance\"}[5m])")),
        ("target-job-rule", |json| expr(json, "x{job=\"smscope\", instance=~\"$instance\"}")),
        ("target-instance-rule", |json| expr(json, "x{job=~\"$job\"}")),
        ("target-counter-agg-rule", |json| expr(json, "sum(x_total{job=~\"$job\", instance=~\"$instance\"})")),
        ("uneditable-dashboard", |json| json["editable"] = true.into()),
    ];
    assert_eq!(damages.map(|(rule, _)| rule), RULES.map(|(rule, _)| rule));
    let whole = || Board::all().swap_remove(0);
    let damaged = damages.iter().map(|(_, damage)| {
        let mut board = whole();
        damage(&mut board.json);
        board
    });
    let boards: Vec<Board> = [whole()].into_iter().chain(damaged).collect();
    let Some(findings) = lint(&boards) else { return };
    let count = |index: usize, rule: &str| findings[index].iter().filter(|(found, ..)| *found == rule).count();
    for (index, (rule, _)) in damages.iter().enumerate() {
        assert_eq!(count(index + 1, rule), count(0, rule) + 1, "{rule}");
    }
}

fn expr(json: &mut Value, expr: &str) {
    json["panels"][2]["targets"][0]["expr"] = expr.into();
}

fn loki(json: &mut Value, query: &str) {
    expr(json, query);
    json["panels"][2]["targets"][0]["datasource"]["type"] = "loki".into();
}

impl Exclusion {
    fn covers(&self, rule: &str, path: &str, panel: &str) -> bool {
        self.rule == rule
            && [(self.path, path), (self.panel, panel)].iter().all(|(own, is)| own.is_empty() || own == is)
    }
}

/// A finding about the dashboard as a whole.
fn board(finding: String) -> (String, String) {
    (String::new(), finding)
}

fn template_datasource(lint: &Lint) -> Findings {
    let sources: Vec<&Value> = lint.board.variables().iter().filter(|v| v["type"] == "datasource").collect();
    if sources.is_empty() {
        return vec![board("no data source variable".to_owned())];
    }
    let alone = sources.len() == 1;
    let bad = |source: &&Value| {
        let (name, label, query) = (text(&source["name"]), text(&source["label"]), text(&source["query"]));
        let title = format!("{}{} data source", query[..1].to_uppercase(), &query[1..]);
        let name_fits = name == format!("{query}_datasource") || alone && name == "datasource";
        let label_fits = label == title || alone && label == "Data source";
        (!name_fits || !label_fits).then(|| board(format!("variable {name}, {label}, of {query}")))
    };
    sources.iter().filter_map(bad).collect()
}

fn template(lint: &Lint, name: &str) -> Findings {
    let Some(variable) = lint.board.variable(name) else { return vec![board(format!("no variable {name}"))] };
    let title = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
    let checks = [
        ("data source", variable["datasource"]["uid"] == "${datasource}"),
        ("type", variable["type"] == "query"),
        ("label", variable["label"] == title.as_str()),
        ("multi", variable["multi"] == true),
        ("allValue", variable["allValue"] == ".+"),
    ];
    checks.iter().filter(|(_, fits)| !fits).map(|(what, _)| board(format!("{what} of {name}"))).collect()
}

fn queried<'a>(lint: &'a Lint<'a>) -> impl Iterator<Item = &'a Value> {
    lint.board.variables().iter().filter(|variable| variable["type"] == "query")
}

fn template_label_promql(lint: &Lint) -> Findings {
    let wrong = queried(lint).zip(&lint.selectors).filter(|(_, answer)| !answer.errors.is_empty());
    wrong
        .map(|(variable, answer)| board(format!("{}: {}", text(&variable["name"]), answer.errors.join(", "))))
        .collect()
}

/// Options are queried again when the time range changes.
fn template_reload(lint: &Lint) -> Findings {
    queried(lint).filter(|variable| variable["refresh"] != 2).map(|v| board(text(&v["name"]).to_owned())).collect()
}

/// The linter checks some kinds of panel only; here all count.
fn panels(lint: &Lint, finding: impl Fn(&Value) -> Option<String>) -> Findings {
    let findings = |panel: &Value| Some((text(&panel["title"]).to_owned(), finding(panel)?));
    lint.board.panels().filter_map(findings).collect()
}

fn panel_datasource(lint: &Lint) -> Findings {
    let variables = lint.board.variables().iter().filter(|variable| variable["type"] == "datasource");
    let names: Vec<String> = variables.map(|variable| format!("${{{}}}", text(&variable["name"]))).collect();
    panels(lint, |panel| {
        let targets = list(&panel["targets"]).iter().map(|target| &target["datasource"]);
        let mut uids = targets.chain([&panel["datasource"]]).map(|source| text(&source["uid"]).to_owned());
        uids.find(|uid| !names.contains(uid))
    })
}

fn panel_title_description(lint: &Lint) -> Findings {
    panels(lint, |panel| {
        let missing = ["title", "description"].into_iter().find(|key| text(&panel[key]).is_empty());
        missing.map(str::to_owned)
    })
}

/// Of the linter's list, what is in use; and units of our own, for which Grafana has none that people read.
const UNITS: [&str; 13] = [
    "bytes",
    "dateTimeAsSystem",
    "dtdurations",
    "locale",
    "none",
    "percentunit",
    "s",
    "string",
    "suffix:hours",
    "suffix:min",
    "suffix:per hour",
    "suffix:per min",
    "µs",
];

fn panel_units(lint: &Lint) -> Findings {
    panels(lint, |panel| {
        let overrides = list(&panel["fieldConfig"]["overrides"]).iter().flat_map(|own| list(&own["properties"]));
        let own = overrides.filter(|property| property["id"] == "unit").map(|property| text(&property["value"]));
        let mut units = own.chain([text(&panel["fieldConfig"]["defaults"]["unit"])]);
        units.find(|unit| !UNITS.contains(unit)).map(|unit| format!("unit {unit:?}"))
    })
}

fn panel_no_targets(lint: &Lint) -> Findings {
    panels(lint, |panel| list(&panel["targets"]).is_empty().then(String::new))
}

fn targets(lint: &Lint, finding: impl Fn(&Target, &Parsed) -> Option<String>) -> Findings {
    let findings =
        lint.targets.iter().filter_map(|(target, answer)| Some((target.panel.clone(), finding(target, answer)?)));
    findings.collect()
}

fn syntax(lint: &Lint, language: Language) -> Findings {
    targets(lint, |target, answer| {
        let fits = target.language != language || answer.errors.is_empty() && !target.expr.is_empty();
        (!fits).then(|| format!("{}: {}", target.expr, answer.errors.join(", ")))
    })
}

fn target_logql_auto(lint: &Lint) -> Findings {
    targets(lint, |target, answer| {
        let fixed = !answer.ranges.is_empty() && !target.expr.contains("[$__auto]");
        (target.language == Language::LogQl && fixed).then(|| target.expr.clone())
    })
}

fn target_rate_interval(lint: &Lint) -> Findings {
    targets(lint, |target, answer| {
        let fixed = answer.selectors.iter().any(|selector| {
            let rate = matches!(selector.call.as_deref(), Some("rate" | "irate"));
            rate && selector.range.as_deref() != Some(RATE_INTERVAL)
        });
        fixed.then(|| target.expr.clone())
    })
}

fn matcher(lint: &Lint, label: &str) -> Findings {
    // What is durable may have the instance of a fleet as well.
    let all = [".*", ".*|smscope-fleet"];
    targets(lint, |target, answer| {
        let wanted = |selector: &Selector| {
            let is_variable = |value: &str| all.contains(&value);
            selector
                .matchers
                .iter()
                .any(|matcher| matcher.label == label && matcher.op == "=~" && is_variable(&matcher.value))
        };
        let fits = answer.selectors.iter().all(wanted);
        (target.language == Language::PromQl && !fits).then(|| target.expr.clone())
    })
}

fn target_counter_agg(lint: &Lint) -> Findings {
    targets(lint, |target, answer| {
        let bare = answer.selectors.iter().find(|selector| {
            let counted = matches!(selector.call.as_deref(), Some("rate" | "irate" | "increase"));
            selector.metric.ends_with("_total") && !(counted && selector.range.is_some())
        });
        bare.map(|selector| format!("{}: {}", selector.metric, target.expr))
    })
}

fn uneditable(lint: &Lint) -> Findings {
    if lint.board.json["editable"] == false { Vec::new() } else { vec![board("editable".to_owned())] }
}
