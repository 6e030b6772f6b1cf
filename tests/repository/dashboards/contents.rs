//! What the dashboards hold together: names, labels, colours, links, texts.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;
use smscope::event::Reason;
use smscope::process_metrics::WebhookResult;
use smscope::serve::durable_metrics;

use super::board::{Board, Choice, Filling, Language, Target, list, text};
use crate::grafana::parse;
use crate::support::read;

/// The dashboards by their uids: alerts and runbooks link to them.
const UIDS: [(&str, &str); 5] = [
    ("dashboards/deliverability.json", "smscope-deliverability"),
    ("dashboards/failures.json", "smscope-failures"),
    ("dashboards/journey.json", "smscope-journey"),
    ("dashboards/objective.json", "smscope-objective"),
    ("dashboards/self.json", "smscope-self"),
];

/// Metrics of every process, which docs/metrics.md does not list one by one.
const PROCESS: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
];

/// Metrics with their labels, as docs/metrics.md has them; tests/repository/documents/mod.rs holds that to the code.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let document = read("docs/metrics.md");
    let row = Regex::new(r"(?m)^\| `(sms_[a-z_]+|smscope_[a-z_]+)` \|([a-z_ ]*)\|").unwrap();
    let words = |labels: &str| labels.split_whitespace().map(str::to_owned).collect();
    let listed = row.captures_iter(&document).map(|found| (found[1].to_owned(), words(&found[2])));
    listed.chain(PROCESS.map(|name| (name.to_owned(), BTreeSet::new()))).collect()
}

/// Attributes of log records as Loki names them, of docs/logs.md.
fn attributes() -> BTreeSet<String> {
    let document = read("docs/logs.md");
    let name = Regex::new(r"`((?:sms|messaging|error)\.[a-z._]+)`").unwrap();
    name.captures_iter(&document).map(|found| found[1].replace('.', "_")).collect()
}

#[test]
fn each_dashboard_can_be_provisioned_as_it_is_and_has_its_fixed_uid() {
    let boards = Board::all();
    assert_eq!(boards.iter().map(|board| (board.path.as_str(), board.uid())).collect::<Vec<_>>(), UIDS);
    for board in &boards {
        let json = &board.json;
        for key in ["__inputs", "__requires", "__elements", "id", "version", "iteration"] {
            assert!(json[key].is_null(), "{} has {key}", board.path);
        }
        assert_eq!(json["tags"], serde_json::json!(["smscope"]), "{}", board.path);
        assert_eq!(json["graphTooltip"], 1, "{}: the crosshair is shared", board.path);
        assert_eq!(json["schemaVersion"], 42, "{}", board.path);
        let links = list(&json["links"]);
        assert_eq!(links.len(), UIDS.len() - 1, "{}: a link to each other dashboard", board.path);
        for link in links {
            let uid = text(&link["url"]).strip_prefix("/d/").unwrap();
            assert!(uid != board.uid() && UIDS.iter().any(|(_, known)| *known == uid), "{}: {uid}", board.path);
            // A message is searched for in another time range than the one that is shown.
            let own_time = ["smscope-journey", "smscope-objective"].contains(&uid);
            assert_eq!(
                (&link["includeVars"], &link["keepTime"]),
                (&true.into(), &(!own_time).into()),
                "{}",
                board.path
            );
        }
    }
}

#[test]
fn every_dashboard_has_the_variables_that_links_pass_on() {
    for board in Board::all() {
        for name in ["datasource", "job", "instance", "source", "channel", "flow", "country"] {
            let variable = board.variable(name).unwrap_or_else(|| panic!("{} has no ${name}", board.path));
            if name != "datasource" {
                let all = (&variable["includeAll"], &variable["multi"], &variable["allValue"]);
                assert_eq!(all, (&true.into(), &true.into(), &".*".into()), "{}: {name}", board.path);
                assert_eq!(variable["current"]["value"][0], "$__all", "{}: {name}", board.path);
            }
        }
        // An invisible value must not hide anything: what is hidden filters no query. Rows are repeated by currency,
        // and closed ones say how to set the service of log records.
        let hidden = board.variables().iter().filter(|v| v["hide"] == 2).map(|v| text(&v["name"]));
        for name in hidden
            .filter(|name| !["job", "instance", "source", "channel", "country", "currency", "service"].contains(name))
        {
            let uses = |expr: &str| expr.contains(&format!("${name}\""));
            assert!(!board.targets().iter().any(|target| uses(&target.expr)), "{}: hidden ${name}", board.path);
        }
    }
}

#[test]
fn every_panel_has_a_description_a_unit_and_a_text_for_no_data() {
    for board in Board::all() {
        let mut ids = BTreeSet::new();
        let headings = board.rows().into_iter().map(|row| row.heading).collect::<Vec<_>>();
        for panel in headings.into_iter().chain(board.all_panels()) {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: {title} has an id twice", board.path);
        }
        let mut titles = BTreeSet::new();
        for panel in board.panels() {
            let title = text(&panel["title"]);
            let place = format!("{}: {title}", board.path);
            assert!(titles.insert(title) && !title.is_empty(), "{place}");
            assert!(text(&panel["description"]).len() > 40, "{place}: a description says how to read it");
            // A figure or a row is of one moment or of the whole time range, a line of all moments in it.
            let once = ["stat", "table", "bargauge"].contains(&text(&panel["type"]));
            let of_records = panel["datasource"]["type"] == "loki" && panel["type"] == "table";
            let fits = |target: &Target| target.instant == once || of_records;
            assert!(board.targets_of(panel).iter().all(fits), "{place}: instant or not");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(!text(&defaults["unit"]).is_empty(), "{place}: unit");
            let logarithmic = defaults["custom"]["scaleDistribution"]["type"] == "log";
            assert!(logarithmic || text(&defaults["noValue"]).len() > 8, "{place}: no-data text");
            // Grafana puts that text into every empty cell of a column that has none of its own.
            let columns = list(&panel["fieldConfig"]["overrides"]).iter().map(|own| list(&own["properties"]));
            let empty =
                |properties: &[Value]| properties.iter().any(|own| own["id"] == "noValue" && own["value"] == "–");
            assert!(panel["type"] != "table" || columns.clone().count() > 1, "{place}: no columns");
            assert!(panel["type"] != "table" || columns.into_iter().all(empty), "{place}: empty cells");
        }
    }
}

#[test]
fn panels_fill_the_grid_without_lying_over_each_other() {
    for board in Board::all() {
        let mut occupied = BTreeMap::new();
        let mut place = |panel: &Value, row: usize| {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{}: {}", board.path, panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (row, x, y))) {
                let other = occupied.insert(cell, text(&panel["title"]).to_owned());
                assert_eq!(other, None, "{}: {} at {cell:?}", board.path, panel["title"]);
            }
        };
        // A closed row has a grid of its own, which is laid below its heading once it is opened.
        for (index, row) in board.rows().iter().enumerate() {
            place(row.heading, 0);
            row.panels.iter().for_each(|panel| place(panel, if row.collapsed() { index + 1 } else { 0 }));
        }
    }
}

/// The colours of outcomes, by the names that series and values have them by.
fn outcome(name: &str) -> Option<&'static str> {
    Some(match name {
        "delivered" | "sms.message.delivered" | "DELIVERED" => "#56A64B",
        "failed" | "sms.message.failed" | "UNDELIVERED" | "UNDELIVERABLE" => "#E02F44",
        "pending" | "enroute" | "sms.message.enroute" | "ENROUTE" => "#FF9830",
        "sms.message.expired" => "#8E8E8E",
        _ => return None,
    })
}

/// Every name that is given a colour, with it: by an override, or by a mapping of values.
fn coloured(panel: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut mappings: Vec<&Value> = list(&panel["fieldConfig"]["defaults"]["mappings"]).iter().collect();
    for own in list(&panel["fieldConfig"]["overrides"]) {
        for property in list(&own["properties"]) {
            match text(&property["id"]) {
                "color" => {
                    let colour = text(&property["value"]["fixedColor"]).to_owned();
                    found.push((text(&own["matcher"]["options"]).to_owned(), colour));
                }
                "mappings" => mappings.extend(list(&property["value"])),
                _ => {}
            }
        }
    }
    for (name, result) in mappings.iter().flat_map(|mapping| mapping["options"].as_object().unwrap()) {
        found.push((name.clone(), text(&result["color"]).to_owned()));
    }
    found
}

#[test]
fn an_outcome_has_one_colour_and_shares_it_with_no_other_name() {
    let mut seen = BTreeSet::new();
    for board in Board::all() {
        for panel in board.panels() {
            let colours = coloured(panel);
            // `expired` is an outcome and a reason; where reasons are shown it has that of the reason.
            let of_reasons = colours.iter().any(|(name, _)| name == "blacklisted");
            for (name, colour) in colours {
                let place = format!("{}: {}: {name}", board.path, panel["title"]);
                let wanted = match name.as_str() {
                    "expired" if !of_reasons => Some("#8E8E8E"),
                    name => outcome(name),
                };
                match wanted {
                    Some(wanted) => assert_eq!(colour, wanted, "{place}"),
                    None => assert!(!["#56A64B", "#E02F44", "#FF9830", "#8E8E8E"].contains(&&*colour), "{place}"),
                }
                seen.insert(name);
            }
        }
    }
    for name in ["delivered", "failed", "pending", "expired"] {
        assert!(seen.contains(name), "{name} is shown nowhere");
    }
    for name in Reason::ALL.map(Reason::as_str).into_iter().chain(WebhookResult::ALL.map(WebhookResult::as_str)) {
        assert!(seen.contains(name), "{name} has no colour");
    }
}

#[test]
fn every_query_is_about_metrics_and_labels_that_exist() {
    let metrics = metrics();
    assert!(metrics.len() >= 30 + PROCESS.len(), "docs/metrics.md was not read: {metrics:?}");
    let filling = Filling { rate_interval: "5m", range: "1h", choice: Choice::All };
    for board in Board::all() {
        let targets: Vec<_> = board.targets().into_iter().filter(|t| t.language == Language::PromQl).collect();
        let of_variables = board.variables().iter().map(|variable| text(&variable["query"]["query"]));
        let of_variables = of_variables.filter_map(|query| query.strip_prefix("label_values(")?.rsplit_once(", "));
        let annotations = list(&board.json["annotations"]["list"]).iter().map(|a| text(&a["expr"]));
        let annotations = annotations.filter(|expr| !expr.contains("ALERTS"));
        let queries: Vec<String> = targets
            .iter()
            .map(|target| target.expr.as_str())
            .chain(of_variables.map(|(selector, _)| selector))
            .chain(annotations)
            .map(|expr| board.fill(expr, filling))
            .collect();
        let asked: Vec<_> = queries.iter().map(|query| (Language::PromQl, query.clone())).collect();
        let Some(answers) = parse(&asked) else { return };
        for (query, answer) in queries.iter().zip(answers) {
            let mut all = BTreeSet::from(["job".to_owned(), "instance".to_owned(), "le".to_owned()]);
            for selector in &answer.selectors {
                let suffix =
                    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| selector.metric.strip_suffix(suffix));
                let name = suffix.unwrap_or(&selector.metric);
                let labels = metrics.get(name).unwrap_or_else(|| panic!("{}: no metric {name}: {query}", board.path));
                for matcher in &selector.matchers {
                    let label = matcher.label.as_str();
                    let known = labels.contains(label) || ["job", "instance"].contains(&label);
                    let bucket = label == "le" && selector.metric.ends_with("_bucket");
                    assert!(known || bucket, "{}: {name} has no label {label}: {query}", board.path);
                }
                all.extend(labels.iter().cloned());
            }
            for label in answer.grouping {
                assert!(all.contains(&label), "{}: nothing has a label {label}: {query}", board.path);
            }
        }
    }
}

#[test]
fn what_is_durable_is_shown_of_the_fleet_whichever_replica_is_chosen() {
    let durable: BTreeSet<&str> = durable_metrics().map(|metric| metric.name).collect();
    let filling = Filling { rate_interval: "5m", range: "1h", choice: Choice::Two };
    let mut seen = BTreeSet::new();
    for board in Board::all() {
        let targets = board.targets().into_iter().filter(|target| target.language == Language::PromQl);
        let queries: Vec<_> = targets.map(|target| (Language::PromQl, board.fill(&target.expr, filling))).collect();
        let Some(answers) = parse(&queries) else { return };
        for selector in answers.iter().flat_map(|answer| &answer.selectors) {
            let instance = selector.matchers.iter().find(|matcher| matcher.label == "instance").unwrap();
            let of_the_fleet = instance.value.ends_with("|smscope-fleet");
            assert_eq!(of_the_fleet, durable.contains(&*selector.metric), "{}: {}", board.path, selector.metric);
            seen.extend(of_the_fleet.then(|| selector.metric.clone()));
        }
    }
    assert!(seen.contains("sms_messages_total") && seen.contains("smscope_store_size_bytes"), "{seen:?}");
}

#[test]
fn every_query_is_one_whatever_is_chosen() {
    for board in Board::all() {
        let targets = board.targets();
        for choice in [Choice::All, Choice::Two] {
            let filling = Filling { rate_interval: "5m", range: "1h", choice };
            let queries: Vec<_> = targets.iter().map(|t| (t.language, board.fill(&t.expr, filling))).collect();
            let Some(answers) = parse(&queries) else { return };
            for (target, answer) in targets.iter().zip(answers) {
                assert_eq!(answer.errors, [""; 0], "{}: {}", target.place, target.expr);
            }
        }
    }
}

#[test]
fn every_queried_attribute_of_a_log_record_exists() {
    let attributes = attributes();
    let name = Regex::new(r"\b(?:sms|messaging|error)_[a-z_]+").unwrap();
    let mut asked = BTreeSet::new();
    for board in Board::all() {
        for panel in board.panels().filter(|panel| panel["datasource"]["type"] == "loki") {
            let text = panel.to_string();
            for found in name.find_iter(&text) {
                assert!(attributes.contains(found.as_str()), "{}: {}", board.path, found.as_str());
                asked.insert(found.as_str().to_owned());
            }
        }
    }
    assert!(asked.contains("messaging_message_id") && asked.contains("error_type"), "{asked:?}");
}

#[test]
fn every_link_leads_to_a_dashboard_that_knows_what_it_is_given() {
    let boards = Board::all();
    let link = Regex::new(r"^/d/([a-z-]+)\?(.+)$").unwrap();
    let mut followed = 0;
    for board in &boards {
        for panel in board.panels() {
            let overrides = list(&panel["fieldConfig"]["overrides"]).iter().flat_map(|own| list(&own["properties"]));
            let links = overrides.filter(|property| property["id"] == "links").flat_map(|links| list(&links["value"]));
            for url in links.map(|link| text(&link["url"])) {
                let place = format!("{}: {}: {url}", board.path, panel["title"]);
                if let Some(panes) = url.strip_prefix("/explore?schemaVersion=1&panes=") {
                    // What Grafana fills in has to be as it is, all else encoded.
                    assert!(panes.contains("${tempo}") && panes.contains("${__value.raw}"), "{place}");
                    let panes = percent_encoding::percent_decode_str(panes).decode_utf8().unwrap();
                    let panes: Value = serde_json::from_str(&panes).unwrap_or_else(|error| panic!("{place}: {error}"));
                    assert_eq!(panes["trace"]["queries"][0]["query"], "${__value.raw}", "{place}");
                    assert!(board.variable("tempo").is_some(), "{place}");
                    continue;
                }
                let parts = link.captures(url).unwrap_or_else(|| panic!("{place}"));
                let there = boards.iter().find(|board| board.uid() == &parts[1]).unwrap_or_else(|| panic!("{place}"));
                for parameter in parts[2].split('&') {
                    let passed = parameter.strip_prefix("${").and_then(|rest| rest.strip_suffix(":queryparam}"));
                    let set = parameter.strip_prefix("var-").and_then(|rest| rest.split('=').next());
                    if let Some(name) = passed {
                        assert!(board.variable(name).is_some(), "{place}: {name} is not known here");
                    }
                    if let Some(name) = passed.or(set) {
                        assert!(there.variable(name).is_some(), "{place}: {name} is not known there");
                    }
                }
                followed += 1;
            }
        }
    }
    assert!(followed > 10, "{followed}");
}
