//! What made dashboards look broken in a real Grafana, and must not come back: each test is of one kind of fault, on all panels.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;

use super::board::{Board, Target, list, text};

/// Pixels of the content of a dashboard in a window of 1,600, where the menu is closed, and of the border of a panel.
const CONTENT: u64 = 1_500;
const BORDER: u64 = 18;

/// Each panel that fits, with the name that a failure gives it.
fn panels(boards: &[Board], fits: impl Fn(&Value) -> bool) -> Vec<(String, &Value)> {
    let named = |board: &Board, panel: &Value| format!("{}: {}", board.path, text(&panel["title"]));
    let all = boards.iter().flat_map(|board| board.all_panels().map(move |panel| (named(board, panel), panel)));
    let found: Vec<_> = all.filter(|(_, panel)| fits(panel)).collect();
    assert!(!found.is_empty(), "no panel is of this kind");
    found
}

fn of_kind(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |panel| panel["type"] == kind
}

fn exprs(panel: &Value) -> Vec<&str> {
    list(&panel["targets"]).iter().map(|target| text(&target["expr"])).collect()
}

fn defaults(panel: &Value) -> &Value {
    &panel["fieldConfig"]["defaults"]
}

/// A column of a table: the field that it shows, its name, and a property of its own.
struct Column<'a> {
    field: &'a str,
    name: &'a str,
    properties: &'a [Value],
}

impl Column<'_> {
    fn property(&self, id: &str) -> &Value {
        self.properties.iter().find(|property| property["id"] == id).map_or(&Value::Null, |property| &property["value"])
    }

    /// What a query computed, where other columns are labels or times.
    fn is_value(&self) -> bool {
        self.field.starts_with("Value")
    }
}

fn columns(table: &Value) -> Vec<Column<'_>> {
    let renamed = list(&table["transformations"]).iter().find(|own| own["id"] == "organize").unwrap();
    let fields = renamed["options"]["renameByName"].as_object().unwrap();
    let overrides = list(&table["fieldConfig"]["overrides"]);
    fields
        .iter()
        .map(|(field, name)| Column {
            field,
            name: text(name),
            properties: overrides
                .iter()
                .find(|own| own["matcher"]["options"] == *name)
                .map_or(&[][..], |own| list(&own["properties"])),
        })
        .collect()
}

#[test]
fn a_column_of_labels_is_text_even_if_a_label_is_numeric() {
    for (place, table) in panels(&Board::all(), of_kind("table")) {
        for column in columns(table).iter().filter(|column| !column.is_value()) {
            let unit = text(column.property("unit"));
            let wanted = if column.field == "Time" { "dateTimeAsSystem" } else { "string" };
            assert_eq!(unit, wanted, "{place}: {}", column.name);
        }
    }
}

#[test]
fn the_text_for_no_data_stands_at_no_tick_of_a_logarithmic_axis() {
    let logarithmic = |panel: &Value| defaults(panel)["custom"]["scaleDistribution"]["type"] == "log";
    for (place, panel) in panels(&Board::all(), logarithmic) {
        assert!(defaults(panel)["noValue"].is_null(), "{place}");
    }
}

#[test]
fn no_panel_is_migrated_as_one_of_an_old_grafana() {
    for (place, panel) in panels(&Board::all(), |_| true) {
        assert_eq!(panel["pluginVersion"], "11.0.0", "{place}");
    }
}

#[test]
fn every_column_of_a_table_is_in_sight_at_1600_pixels_with_its_whole_heading() {
    for (place, table) in panels(&Board::all(), of_kind("table")) {
        let width = table["gridPos"]["w"].as_u64().unwrap() * CONTENT / 24 - BORDER;
        // A column is in sight under two field names where its query may be alone.
        let mut seen = BTreeSet::new();
        let all = columns(table);
        let all: Vec<_> = all.iter().filter(|column| seen.insert(column.name)).collect();
        let min = |column: &Column| column.property("custom.minWidth").as_u64().unwrap_or_default();
        for column in &all {
            let letters = column.name.chars().count() as u64;
            assert!(min(column) >= letters * 7 + 16, "{place}: {} has {} pixels", column.name, min(column));
            // An icon in every heading leaves no room for the words.
            let filterable = defaults(table)["custom"]["filterable"] == true;
            assert!(!filterable, "{place}: a filter in every heading");
        }
        let needed: u64 = all.iter().map(|column| min(column)).sum();
        assert!(needed <= width, "{place}: {needed} pixels of {width}");
    }
}

/// Metrics of what is off by default, or needs another system.
const OPTIONAL: [&str; 9] = [
    "sms_relay_",
    "sms_resend",
    "sms_opt_outs",
    "sms_messages_after_opt_out",
    "smscope_account_",
    "smscope_self_probe",
    "smscope_tls_",
    "smscope_export_",
    "smscope_fleet_",
];

#[test]
fn optional_parts_are_in_a_closed_row_after_all_others() {
    for board in Board::all() {
        let rows = board.rows();
        let first_closed = rows.iter().position(|row| row.collapsed()).unwrap_or(rows.len());
        assert!(rows[first_closed..].iter().all(|row| row.collapsed()), "{}: open rows after closed ones", board.path);
        for row in &rows {
            let needs_loki = |panel: &Value| panel["datasource"]["type"] == "loki" && board.uid() != "smscope-journey";
            let off = |panel: &Value| OPTIONAL.iter().any(|name| exprs(panel).iter().all(|expr| expr.contains(name)));
            let optional = row.panels.iter().any(|panel| off(panel) && !exprs(panel).is_empty() || needs_loki(panel));
            assert_eq!(row.collapsed(), optional, "{}: {}", board.path, row.title());
        }
    }
}

#[test]
fn missing_data_is_grey() {
    let figure = |panel: &Value| panel["type"] == "stat" || panel["type"] == "bargauge";
    for (place, panel) in panels(&Board::all(), figure) {
        let mappings = list(&defaults(panel)["mappings"]);
        let missing = mappings.iter().find(|mapping| mapping["type"] == "special").unwrap_or(&Value::Null);
        assert_eq!(missing["options"]["match"], "null+nan", "{place}");
        assert_eq!(missing["options"]["result"]["color"], "#7B8087", "{place}");
        // A figure's text is as large as it has room, so a sentence on a narrow one cannot be read.
        let narrow = panel["gridPos"]["w"].as_u64().unwrap() <= 4;
        let letters = text(&defaults(panel)["noValue"]).chars().count();
        assert!(!narrow || letters <= 28, "{place}: {letters} letters");
    }
}

#[test]
fn annotations_are_within_the_time_range_and_of_alerts_that_need_action() {
    for board in Board::all() {
        let annotations = list(&board.json["annotations"]["list"]);
        assert_eq!(annotations.iter().map(|own| text(&own["name"])).collect::<Vec<_>>(), ["Alerts", "Restarts"]);
        for annotation in annotations {
            let (expr, place) = (text(&annotation["expr"]), format!("{}: {}", board.path, text(&annotation["name"])));
            // Releases differ in where they read the query from.
            assert_eq!(text(&annotation["target"]["expr"]), expr, "{place}");
            assert!(!expr.is_empty() && annotation["target"]["refId"] == "Anno", "{place}");
            // The value is the time of the mark: one for each beginning, where the samples of a state are a fence.
            assert_eq!(annotation["useValueForTime"], true, "{place}");
            assert!(expr.ends_with("* 1000 >= $__from"), "{place}: a mark at the left edge for what began earlier");
        }
        let alerts = text(&annotations[0]["expr"]);
        assert!(alerts.contains("ALERTS_FOR_STATE{") && alerts.contains("alertstate=\"firing\""), "{alerts}");
        assert_eq!(alerts.matches("severity=~\"critical|warning\"").count(), 2, "{alerts}");
    }
}

/// What a panel of rates computes.
fn is_delivery_rate(expr: &str) -> bool {
    let first = expr.trim_start_matches('(');
    let parts = expr.contains("sms_messages_failed_total") && expr.contains("\n/\n");
    parts
        && (first.starts_with("sum(increase(sms_messages_delivered")
            || first.starts_with("sum by") && first.contains(") (increase(sms_messages_delivered"))
        && first.find("sms_messages_delivered_total") < first.find("\n/\n")
}

#[test]
fn a_fall_of_the_delivery_rate_is_seen_on_its_axis() {
    let rate = |panel: &Value| panel["type"] == "timeseries" && exprs(panel).iter().any(|expr| is_delivery_rate(expr));
    for (place, panel) in panels(&Board::all(), rate) {
        let custom = &defaults(panel)["custom"];
        assert_eq!((custom["axisSoftMin"].as_f64(), custom["axisSoftMax"].as_f64()), (Some(0.8), Some(1.0)), "{place}");
        assert!(defaults(panel)["min"].is_null(), "{place}: an axis from 0 makes a fall of ten points a ripple");
    }
    let failing = |panel: &Value| {
        let share = |expr: &&str| expr.starts_with("sum(increase(sms_messages_failed_total") && expr.contains("\n/\n");
        panel["type"] == "timeseries" && exprs(panel).iter().any(share)
    };
    for (place, panel) in panels(&Board::all(), failing) {
        assert_eq!(defaults(panel)["custom"]["axisSoftMax"].as_f64(), Some(0.2), "{place}: noise fills the axis");
    }
}

#[test]
fn a_quantile_is_of_a_window_that_low_traffic_fills() {
    let of_quantile = |panel: &Value| exprs(panel).iter().any(|expr| expr.contains("histogram_quantile("));
    for (place, panel) in panels(&Board::all(), of_quantile) {
        assert!(!exprs(panel).iter().any(|expr| expr.contains("$__rate_interval")), "{place}");
    }
}

#[test]
fn no_more_series_are_shown_than_there_are_distinct_colors() {
    let many =
        |target: &Value| ["{{reason}}", "{{country}}", "{{network_name}}"].contains(&text(&target["legendFormat"]));
    let graph = |panel: &Value| {
        let kind = text(&panel["type"]);
        ["timeseries", "bargauge", "stat"].contains(&kind) && list(&panel["targets"]).iter().any(many)
    };
    for (place, panel) in panels(&Board::all(), graph) {
        let all = exprs(panel);
        assert!(all.iter().all(|expr| expr.contains("topk(")), "{place}");
        if panel["type"] == "timeseries" {
            // What is not among them is shown together, so that the stack is still all.
            assert!(all.len() == 2 && all[1].contains("\nunless on ("), "{place}");
            assert_eq!(panel["targets"][1]["legendFormat"], "all others", "{place}");
        }
    }
}

#[test]
fn a_legend_has_the_values_of_its_series() {
    for (place, panel) in panels(&Board::all(), of_kind("timeseries")) {
        let legend = &panel["options"]["legend"];
        let calcs: BTreeSet<&str> = list(&legend["calcs"]).iter().map(text).collect();
        assert!(calcs.len() >= 2 && calcs.contains("max"), "{place}: {calcs:?}");
        // A table below a graph reduces the height of the graph, and is itself cut off.
        let wide = panel["gridPos"]["w"].as_u64().unwrap() >= 10;
        let form = if wide { ("table", "right") } else { ("list", "bottom") };
        assert_eq!((text(&legend["displayMode"]), text(&legend["placement"])), form, "{place}");
    }
}

#[test]
fn units_are_words_that_people_read() {
    for (place, panel) in panels(&Board::all(), |panel| panel["type"] != "text" && panel["type"] != "alertlist") {
        let overrides = list(&panel["fieldConfig"]["overrides"]).iter().flat_map(|own| list(&own["properties"]));
        let own = overrides.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
        for unit in own.chain([&defaults(panel)["unit"]]).map(text) {
            // "4 K" for 3,964, and "800 mpm".
            let bad = ["short", "mpm", "rpm", "cps", "reqps", "opm"];
            assert!(!bad.contains(&unit), "{place}: {unit}");
            // "1 day, 1 day, 22 hours" are ticks of an axis.
            assert!(panel["type"] != "timeseries" || unit != "dtdurations", "{place}: {unit} on an axis");
        }
    }
}

#[test]
fn no_title_repeats_another() {
    for board in Board::all() {
        assert!(!text(&board.json["title"]).starts_with("smscope /"), "{}: its folder has that name", board.path);
        for row in board.rows() {
            let titles: Vec<&str> = row.panels.iter().map(|panel| text(&panel["title"])).chain([row.title()]).collect();
            for (index, title) in titles.iter().enumerate() {
                let others = titles.iter().enumerate().filter(|(other, _)| *other != index);
                let repeated = others
                    .map(|(_, other)| *other)
                    .find(|other| other.starts_with(&format!("{title},")) || other == title);
                assert_eq!(repeated, None, "{}: {title}", board.path);
                // The axis says per what.
                assert!(!title.ends_with(", an hour") && !title.ends_with(", a minute"), "{}: {title}", board.path);
            }
        }
    }
}

#[test]
fn currencies_are_never_added_up() {
    let costs = |panel: &Value| exprs(panel).iter().any(|expr| expr.contains("_cost_total{"));
    let boards = Board::all();
    assert!(!panels(&boards, costs).is_empty());
    for board in &boards {
        for row in board.rows() {
            for panel in row.panels.iter().filter(|panel| costs(panel)) {
                let of_one = row.heading["repeat"] == "currency"
                    && exprs(panel).iter().all(|expr| {
                        expr.matches("_cost_total{").count() == expr.matches("currency=~\"$currency\"").count()
                    });
                assert!(of_one, "{}: {}: all its figures are of the currency of its row", board.path, panel["title"]);
            }
        }
    }
}

#[test]
fn a_network_is_shown_by_its_name() {
    let of_networks = |panel: &Value| exprs(panel).iter().any(|expr| expr.contains("sms_network_outcomes_total{"));
    for (place, panel) in panels(&Board::all(), of_networks) {
        assert!(exprs(panel).iter().all(|expr| expr.contains("network_name")), "{place}");
    }
}

#[test]
fn a_link_passes_on_the_other_labels_of_its_row() {
    let filters = ["source", "channel", "flow", "country", "reason"];
    let boards = Board::all();
    let mut followed = 0;
    for (place, table) in panels(&boards, of_kind("table")) {
        let columns = columns(table);
        let named: Vec<_> = columns.iter().filter(|column| filters.contains(&column.field)).collect();
        let Some(reason) = named.iter().find(|column| column.field == "reason") else { continue };
        for link in list(reason.property("links")) {
            let url = text(&link["url"]);
            for column in &named {
                let wanted = format!("var-{}=${{__data.fields[\"{}\"]}}", column.field, column.name);
                assert!(url.contains(&wanted), "{place}: {wanted}: {url}");
            }
            followed += 1;
        }
    }
    assert!(followed > 0);
    let link = Regex::new(r#"__data\.fields\["([^"]+)"\]"#).unwrap();
    for (place, table) in panels(&boards, of_kind("table")) {
        let columns = columns(table);
        for found in link.captures_iter(&table.to_string().replace("\\\"", "\"")) {
            assert!(columns.iter().any(|column| column.name == &found[1]), "{place}: {}", &found[1]);
        }
    }
}

#[test]
fn controls_fit_into_one_row() {
    for board in Board::all() {
        let shown: Vec<&str> = board.controls().map(|variable| text(&variable["name"])).collect();
        assert!(shown.len() <= 8, "{}: {shown:?}", board.path);
        assert!(!shown.contains(&"tempo"), "{}", board.path);
        // Which process stored a message says nothing of the message.
        let of_process = shown.contains(&"job") || shown.contains(&"instance");
        assert_eq!(of_process, board.uid() == "smscope-self", "{}", board.path);
    }
}

/// Shown beside a figure: the windows that it is of.
fn windows(board: &Board, panel: &Value) -> BTreeSet<String> {
    let range = Regex::new(r"\[(\w+)\]").unwrap();
    let of = |target: Target| range.captures_iter(&target.expr).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    board.targets_of(panel).into_iter().flat_map(of).collect()
}

#[test]
fn the_first_row_shows_firing_alerts_and_the_current_state() {
    for board in Board::all() {
        let rows = board.rows();
        let now = &rows[0];
        assert_eq!((now.title(), now.collapsed()), ("Now", false), "{}", board.path);
        let alerts = now.panels[0];
        assert_eq!(alerts["type"], "alertlist", "{}", board.path);
        // Names of alerts change; the labels are those of every rule.
        let filter = text(&alerts["options"]["alertInstanceLabelFilter"]);
        assert_eq!(filter, "{service=\"smscope\", severity=~\"critical|warning\"}", "{}", board.path);
        assert_eq!(alerts["options"]["stateFilter"]["firing"], true, "{}", board.path);
        let figures = &now.panels[1..];
        let seen: BTreeSet<String> = figures.iter().flat_map(|panel| windows(&board, panel)).collect();
        assert!(seen.contains("15m") && seen.contains("1h"), "{}: {seen:?}", board.path);
        assert!(!seen.contains("$__range"), "{}: now is not the time range", board.path);
        if board.uid() != "smscope-self" {
            let names: Vec<&str> =
                figures.iter().flat_map(|panel| list(&panel["targets"])).map(|t| text(&t["legendFormat"])).collect();
            assert!(names.contains(&"{{network_name}}") && names.contains(&"{{country}}"), "{}: {names:?}", board.path);
        }
    }
}

#[test]
fn a_figure_turns_amber_and_red_where_the_alerts_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let ours = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("smscope");
    let rules: String = files.filter(ours).map(|path| fs::read_to_string(path).unwrap()).collect();
    let default = |name: &str| -> f64 {
        let pattern = format!(r"record: smscope:threshold:{name}\s+expr: vector\(([\d.]+)\)");
        let found = Regex::new(&pattern).unwrap();
        found.captures(&rules).unwrap_or_else(|| panic!("no default {name}"))[1].parse().unwrap()
    };
    let (slow, fast) = (default("failure_ratio_elevated"), default("failure_ratio_high"));
    let wanted = [
        ("Delivery rate", vec![1.0 - fast, 1.0 - slow]),
        ("Failure rate", vec![slow, fast]),
        ("Worst network", vec![slow, default("network_failure_ratio")]),
        ("Worst country", vec![slow, default("country_failure_ratio")]),
        ("Delivered share", vec![1.0 - fast, 1.0 - slow]),
    ];
    let boards = Board::all();
    for (title, steps) in wanted {
        for (place, panel) in panels(&boards, |panel| panel["type"] == "stat" && panel["title"] == title) {
            let own = list(&defaults(panel)["thresholds"]["steps"]);
            let own: Vec<f64> = own.iter().filter_map(|step| step["value"].as_f64()).collect();
            assert!(own.len() == 2 && own.iter().zip(&steps).all(|(a, b)| (a - b).abs() < 1e-9), "{place}: {own:?}");
        }
    }
}

#[test]
fn the_journey_names_its_input_and_shows_seconds_since_the_start_of_the_message() {
    let boards = Board::all();
    let journey = boards.iter().find(|board| board.uid() == "smscope-journey").unwrap();
    let help = journey.all_panels().find(|panel| panel["type"] == "text").expect("a text that says what to enter");
    for word in ["Message", "message id", "refClient", "smscope hash +33"] {
        assert!(text(&help["options"]["content"]).contains(word), "{word}");
    }
    let steps = journey.panels().find(|panel| panel["title"] == "Step by step").unwrap();
    let first = &columns(steps)[..];
    let after = first.iter().find(|column| column.field == "Value #A").unwrap();
    assert_eq!((after.name, text(after.property("unit"))), ("After", "s"));
    // By the provider's clock, and within one second by the steps of a message.
    let sorted = list(&steps["transformations"]).iter().find(|own| own["id"] == "sortBy").unwrap();
    assert_eq!(sorted["options"]["sort"][0]["field"], "Value #B");
    assert!(exprs(steps)[1].contains("sms_status_time") && exprs(steps)[1].contains(".step"));
}

#[test]
fn the_product_owner_has_an_objective_with_its_budget_by_flow_and_days_and_weeks() {
    let boards = Board::all();
    let board = boards.iter().find(|board| board.uid() == "smscope-objective").expect("a dashboard of the objective");
    let all = |panel: &Value| exprs(panel).join("\n");
    let budget = |panel: &&Value| all(panel).contains("/ (1 - $objective)") && all(panel).contains("[30d]");
    assert!(board.panels().filter(budget).any(|panel| panel["type"] == "stat"));
    assert!(board.panels().filter(budget).any(|panel| all(panel).contains("sum by (flow)")));
    let daily = board.panels().filter(|panel| panel["interval"] == "1d");
    assert!(daily.filter(|panel| all(panel).contains("[1d] offset -1d")).count() >= 3);
    let weekly = |panel: &&Value| all(panel).contains("[7d] offset 3w") && all(panel).contains("sum by (flow)");
    assert!(board.panels().filter(weekly).count() >= 2);
}
