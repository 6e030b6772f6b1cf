//! The output of `smscope check`: the effective configuration and the origin of each value, without secrets.

use std::fmt::Write;

use crate::config::{Config, Line, Loaded};
use crate::settings::{ClientCertificates, ListenerTls};

#[cfg(test)]
mod tests;

/// The effective configuration in aligned lines: setting, value, origin. Tokens, passwords and header values show as `<token>` or
/// not at all.
pub fn describe(loaded: &Loaded) -> String {
    let lines = lines(loaded);
    let names = lines.iter().map(|line| split(&line.key).1.chars().count()).max().unwrap_or(0) + 2;
    let rows = lines.iter().flat_map(|line| folded(&line.value)).map(|row| row.chars().count());
    let values = rows.filter(|width| *width <= MAX_WIDTH).max().unwrap_or(0);
    let (mut text, mut current) = (String::new(), "");
    for Line { key, value, origin } in &lines {
        let (table, name) = split(key);
        if table != current {
            let _infallible = writeln!(text, "\n{}", heading(&lines, table));
            current = table;
        }
        let indent = if table.is_empty() { "" } else { "  " };
        let mut rows = folded(value).into_iter();
        let first = rows.next().unwrap_or_default();
        let _infallible = writeln!(text, "{:<names$}  {first:<values$}  {origin}", format!("{indent}{name}"));
        for row in rows {
            let _infallible = writeln!(text, "{:<names$}  {row}", "");
        }
    }
    for (at, warning) in loaded.warnings.iter().chain(&exposed(&loaded.config)).enumerate() {
        let _infallible = writeln!(text, "{}warning: {warning}", if at == 0 { "\n" } else { "" });
    }
    text
}

/// The table of a key, empty at the top, and its name there.
fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or(("", key))
}

/// `store`, or `source smsmode` for `source[0]`.
fn heading(lines: &[Line], table: &str) -> String {
    let name = format!("{table}.name");
    match (table.split_once('['), lines.iter().find(|line| line.key == name)) {
        (Some((list, _)), Some(name)) => format!("{list} {}", name.value),
        _ => table.to_owned(),
    }
}

/// A warning about an admin listener that other machines can reach without authentication. It is not logged at the start: in a cluster
/// a network policy may protect it, and no check sees that.
fn exposed(config: &Config) -> Option<String> {
    let has_clients_certified = |tls: &ListenerTls| tls.client_certificates() == ClientCertificates::Required;
    let is_locked = config.admin.asks_for_credentials() || config.admin.tls.as_ref().is_some_and(has_clients_certified);
    (!config.admin_listen.ip().to_canonical().is_loopback() && !is_locked).then(|| {
        format!(
            "admin_listen = \"{}\": any client that reaches it can read the metrics and the page; expected admin.basic or \
             admin.bearer_token, or a network policy that lets Prometheus alone reach it",
            config.admin_listen
        )
    })
}

/// A longer list is folded; another long value overflows its column, rather than pushing all origins off the screen.
const MAX_WIDTH: usize = 60;

/// A value in rows that are not too long, broken where a list has a comma.
fn folded(value: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for item in value.split_inclusive(", ") {
        match rows.last_mut() {
            Some(row) if row.chars().count() + item.trim_end().chars().count() <= MAX_WIDTH => row.push_str(item),
            _ => rows.push(item.to_owned()),
        }
    }
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

/// Every setting in effect and each source's callback URL, as [`describe`] shows them.
pub fn lines(loaded: &Loaded) -> Vec<Line> {
    let config = &loaded.config;
    let mut lines = loaded.lines.clone();
    for (at, source) in config.sources.iter().enumerate() {
        let tokens = format!("source[{at}].tokens");
        let behind = lines.iter().position(|line| line.key == tokens).map_or(lines.len(), |tokens| tokens + 1);
        let line = Line {
            key: format!("source[{at}].callback URL"),
            value: config.callback_url(&source.name, "<token>"),
            origin: format!("from {}", if config.public_url.is_some() { "public_url" } else { "listen" }),
        };
        lines.insert(behind, line);
    }
    lines
}
