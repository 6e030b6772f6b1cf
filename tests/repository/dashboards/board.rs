//! Dashboards as they are committed, and their queries as Grafana sends them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::{Captures, Regex};
use serde_json::Value;

pub struct Board {
    /// For example `dashboards/failures.json`.
    pub path: String,
    pub json: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    PromQl,
    LogQl,
}

pub struct Row<'a> {
    pub heading: &'a Value,
    pub panels: Vec<&'a Value>,
}

impl Row<'_> {
    pub fn title(&self) -> &str {
        text(&self.heading["title"])
    }

    pub fn collapsed(&self) -> bool {
        self.heading["collapsed"] == true
    }
}

/// One query of a panel.
#[derive(Clone, Debug)]
pub struct Target {
    /// Dashboard, panel and query, to be named in a failure.
    pub place: String,
    pub panel: String,
    pub language: Language,
    /// As it is written, with variables.
    pub expr: String,
    /// Of one moment, where others are of the whole time range.
    pub instant: bool,
}

/// What stands for the variables of a query.
#[derive(Clone, Copy)]
pub struct Filling {
    pub rate_interval: &'static str,
    pub range: &'static str,
    pub choice: Choice,
}

#[derive(Clone, Copy)]
pub enum Choice {
    All,
    /// Two values chosen, which Grafana makes an alternative of.
    Two,
}

impl Board {
    pub fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
        let names: BTreeSet<String> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        // Beside them is what makes ConfigMaps of them.
        let names = names.into_iter().filter(|name| name.ends_with(".json"));
        let paths = names.map(|name| format!("dashboards/{name}"));
        paths.map(|path| Self { json: read(&path), path }).collect()
    }

    pub fn uid(&self) -> &str {
        text(&self.json["uid"])
    }

    /// Its rows with their panels, in the order in which they are read.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for panel in list(&self.json["panels"]) {
            if panel["type"] == "row" {
                rows.push(Row { heading: panel, panels: list(&panel["panels"]).iter().collect() });
            } else {
                rows.last_mut().expect("panels stand in rows").panels.push(panel);
            }
        }
        rows
    }

    /// All panels, those of closed rows too; headings of rows left out.
    pub fn all_panels(&self) -> impl Iterator<Item = &Value> {
        self.rows().into_iter().flat_map(|row| row.panels)
    }

    /// The panels that show data of queries: all but texts and Grafana's list of alerts.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.all_panels().filter(|panel| !["text", "alertlist"].contains(&text(&panel["type"])))
    }

    pub fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables().iter().find(|variable| variable["name"] == name)
    }

    pub fn targets(&self) -> Vec<Target> {
        self.panels().flat_map(|panel| self.targets_of(panel)).collect()
    }

    pub fn targets_of(&self, panel: &Value) -> Vec<Target> {
        let target = |target: &Value| Target {
            place: format!("{}, {}, {}", self.path, text(&panel["title"]), text(&target["refId"])),
            panel: text(&panel["title"]).to_owned(),
            language: match text(&target["datasource"]["type"]) {
                "prometheus" => Language::PromQl,
                "loki" => Language::LogQl,
                other => panic!("{}: data source {other}", self.path),
            },
            expr: text(&target["expr"]).to_owned(),
            instant: target["instant"] == true || target["queryType"] == "instant",
        };
        list(&panel["targets"]).iter().map(target).collect()
    }

    /// The visible variables, in their order.
    pub fn controls(&self) -> impl Iterator<Item = &Value> {
        self.variables().iter().filter(|variable| variable["hide"] != 2)
    }

    /// `expr` with its variables filled in as Grafana does it.
    pub fn fill(&self, expr: &str, filling: Filling) -> String {
        let value = |name: &str| match name {
            "__rate_interval" => filling.rate_interval.to_owned(),
            "__range" => filling.range.to_owned(),
            "__from" => "0".to_owned(),
            name => {
                let variable = self.variable(name).unwrap_or_else(|| panic!("{}: there is no ${name}", self.path));
                match (text(&variable["type"]), filling.choice) {
                    ("textbox", _) => text(&variable["query"]).to_owned(),
                    ("custom", _) => text(&variable["current"]["value"]).to_owned(),
                    (_, Choice::All) => text(&variable["allValue"]).to_owned(),
                    (_, Choice::Two) => "(one|another)".to_owned(),
                }
            }
        };
        let variables = Regex::new(r"\$(?:\{([A-Za-z_]+)\}|([A-Za-z_]+))").unwrap();
        let name = |found: &Captures| found.get(1).or(found.get(2)).map(|name| name.as_str().to_owned());
        variables.replace_all(expr, |found: &Captures| value(&name(found).unwrap())).into_owned()
    }
}

fn read(path: &str) -> Value {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A text that has to be there.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, empty where there is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
