//! What `smscope check` prints: the effective configuration and where each value came from, for people, without secrets.

use std::fmt::{Display, Write};
use std::path::PathBuf;

use crate::config::{
    Api, ClientCertificates, Config, DEFAULT_WINDOW, Endpoint, ListenerTls, Loaded, LoadedOrigins, Proxy, Relay,
    Source, Tokens, show_duration, show_size,
};
use crate::route::{Filter, ResendRule, Route};

#[cfg(test)]
mod tests;

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As the configuration file names it, `store.retention` or `source[0].allow`.
    pub key: String,
    /// What stands for it under its heading.
    name: String,
    /// For people, without secrets.
    pub value: String,
    /// The path of the file, the variable, the flag, or `default`.
    pub origin: String,
}

/// The effective configuration in aligned lines: setting, value, origin. Tokens, passwords and header values show as `<token>` or
/// not at all.
pub fn describe(loaded: &Loaded) -> String {
    let sections = sections(loaded);
    let lines = || sections.iter().flat_map(|section| &section.lines);
    let names = lines().map(|line| line.name.chars().count()).max().unwrap_or(0) + 2;
    let rows = lines().flat_map(|line| folded(&line.value)).map(|row| row.chars().count());
    let values = rows.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let mut text = String::new();
    for section in &sections {
        let indent = if section.heading.is_empty() { "" } else { "  " };
        if !section.heading.is_empty() {
            let _infallible = writeln!(text, "\n{}", section.heading);
        }
        for Line { name, value, origin, .. } in &section.lines {
            let mut rows = folded(value).into_iter();
            let first = rows.next().unwrap_or_default();
            let _infallible = writeln!(text, "{:<names$}  {first:<values$}  {origin}", format!("{indent}{name}"));
            for row in rows {
                let _infallible = writeln!(text, "{:<names$}  {row}", "");
            }
        }
    }
    for (at, warning) in loaded.warnings.iter().chain(&exposed(&loaded.config)).enumerate() {
        let _infallible = writeln!(text, "{}warning: {warning}", if at == 0 { "\n" } else { "" });
    }
    text
}

/// What an admin listener shows that leaves this machine without a lock. The start does not say it: in a cluster a network policy may
/// be the lock, and no check sees that.
fn exposed(config: &Config) -> Option<String> {
    let has_clients_certified = |tls: &ListenerTls| tls.client_certificates() == ClientCertificates::Required;
    let is_locked = config.admin.asks_for_credentials() || config.admin.tls.as_ref().is_some_and(has_clients_certified);
    (!config.admin_listen.ip().to_canonical().is_loopback() && !is_locked).then(|| {
        format!(
            "admin_listen = \"{}\": anyone who reaches it can read the metrics and the page; expected admin.basic or \
             admin.bearer_token, or a network policy that lets Prometheus alone reach it",
            config.admin_listen
        )
    })
}

/// A longer list is folded; another long value stands out of its column, rather than pushing all origins off the screen.
const WIDEST: usize = 60;

/// A value in rows that are not too long, broken where a list has a comma.
fn folded(value: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for item in value.split_inclusive(", ") {
        match rows.last_mut() {
            Some(row) if row.chars().count() + item.trim_end().chars().count() <= WIDEST => row.push_str(item),
            _ => rows.push(item.to_owned()),
        }
    }
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

/// Every setting in effect, as [`describe`] shows them.
pub fn lines(loaded: &Loaded) -> Vec<Line> {
    sections(loaded).into_iter().flat_map(|section| section.lines).collect()
}

fn sections(loaded: &Loaded) -> Vec<Section<'_>> {
    let config = &loaded.config;
    let section = |heading: &str, prefix: &str| Section::new(&loaded.origins, heading, prefix);

    let mut top = section("", "");
    top.line("configuration file", loaded.file.as_ref().map_or("none".into(), |file| file.display().to_string()));
    top.line("listen", config.listen);
    top.line("admin_listen", config.admin_listen);
    top.line("data_dir", config.data_dir.display());
    top.line("public_url", config.public_url.as_deref().unwrap_or("none"));
    top.line("recipient_flood", config.recipient_flood);

    let mut http = section("http", "http.");
    http.line("header_timeout", show_duration(config.http.header_timeout));
    http.line("body_timeout", show_duration(config.http.body_timeout));
    http.line("write_timeout", show_duration(config.http.write_timeout));
    http.line("shutdown_timeout", show_duration(config.http.shutdown_timeout));
    http.line("max_body", show_size(config.http.max_body as u64));
    http.line("max_connections", config.http.max_connections);
    http.tls(config.tls.as_ref());

    let mut admin = section("admin", "admin.");
    admin.tls(config.admin.tls.as_ref());
    let basic = config.admin.basic.as_ref().map_or("none".into(), |basic| format!("{}:<token>", basic.user));
    admin.line("basic", basic);
    let token = if config.admin.bearer_token.is_some() { "<token>" } else { "none" };
    admin.line_of_any(&["bearer_token", "bearer_token_file"], "bearer_token", token);

    let mut store = section("store", "store.");
    store.line("retention", show_duration(config.store.retention));
    store.line("horizon", show_duration(config.store.horizon));
    store.line("export_retention", show_duration(config.store.export_retention));
    store.line("size_limit", config.store.size_limit.map_or("none".into(), show_size));

    let mut privacy = section("privacy", "privacy.");
    privacy.line("recipient", config.privacy.recipient.as_str());
    privacy.line("text", config.privacy.text.as_str());

    let mut otlp = section("otlp", "otlp.");
    otlp.endpoint("logs", config.otlp.logs.as_ref());
    otlp.endpoint("metrics", config.otlp.metrics.as_ref());
    otlp.line("metric_interval", show_duration(config.otlp.metric_interval));
    otlp.line("strict_answers", config.otlp.strict_answers);
    otlp.line("service_name", &config.otlp.service_name);
    for (key, value) in &config.otlp.resource {
        otlp.line(&format!("resource.{key}"), value);
    }
    if config.otlp.resource.is_empty() {
        otlp.line("resource", "none");
    }

    let sources = config.sources.iter().enumerate().map(|(at, source)| {
        let heading = format!("source {}", source.name);
        let mut section = section(&heading, &format!("source[{at}]."));
        section.source(config, source);
        section
    });
    let mut account = section("account", "account.");
    account.line("enabled", config.account.enabled);
    account.line("interval", show_duration(config.account.interval));

    let mut self_probe = section("self_probe", "self_probe.");
    self_probe.line("enabled", config.self_probe.enabled);
    self_probe.line("interval", show_duration(config.self_probe.interval));

    let mut reconcile = section("reconcile", "reconcile.");
    reconcile.line("enabled", config.reconcile.enabled);
    reconcile.line("after", show_duration(config.reconcile.after));
    reconcile.line("interval", show_duration(config.reconcile.interval));
    reconcile.line("max_pages", config.reconcile.max_pages);

    let mut opt_outs = section("opt_outs", "opt_outs.");
    opt_outs.line("enabled", config.opt_outs.is_some());
    let scope = config.opt_outs.as_ref().map(|opt_outs| opt_outs.scope).unwrap_or_default();
    opt_outs.line("scope", scope.as_str());
    let is_given = config.opt_outs.as_ref().is_some_and(|opt_outs| opt_outs.api_token.is_some());
    let token = if is_given { "<token>" } else { "made once and kept" };
    opt_outs.line_of_any(&["api_token", "api_token_file"], "api_token", token);

    let mut conversations = section("conversations", "conversations.");
    conversations.line("enabled", config.conversations.is_some());
    conversations.line("window", show_duration(config.conversations.unwrap_or(DEFAULT_WINDOW)));

    let asking = [account, self_probe, reconcile, opt_outs, conversations];
    let relays = config.relays.iter().enumerate().map(|(at, relay)| {
        let mut section = section(&format!("relay {}", relay.route.relay), &format!("relay[{at}]."));
        section.relay(relay);
        section
    });
    let resends = config.resends.iter().enumerate().map(|(at, resend)| {
        let mut section = section(&format!("resend {}", resend.name), &format!("resend[{at}]."));
        section.resend(resend);
        section
    });
    let fixed = [top, http, admin, store, privacy, otlp].into_iter().chain(asking);
    fixed.chain(sources).chain(relays).chain(resends).collect()
}

/// The settings of one table.
struct Section<'a> {
    origins: &'a LoadedOrigins,
    heading: String,
    prefix: String,
    lines: Vec<Line>,
}

impl<'a> Section<'a> {
    fn new(origins: &'a LoadedOrigins, heading: &str, prefix: &str) -> Self {
        Self { origins, heading: heading.to_owned(), prefix: prefix.to_owned(), lines: Vec::new() }
    }

    fn line(&mut self, name: &str, value: impl Display) {
        self.line_of_any(&[name], name, value);
    }

    /// A line for a setting that may be given by any of `keys`.
    fn line_of_any(&mut self, keys: &[&str], name: &str, value: impl Display) {
        let origins = keys.iter().map(|key| self.origins.of(&format!("{}{key}", self.prefix)));
        let origin = origins.max_by_key(|origin| *origin != LoadedOrigins::DEFAULT).unwrap_or_default().to_owned();
        let key = format!("{}{name}", self.prefix);
        self.lines.push(Line { key, name: name.to_owned(), value: value.to_string(), origin });
    }

    fn tls(&mut self, tls: Option<&ListenerTls>) {
        let Some(tls) = tls else { return self.line("tls.certificate", "none") };
        let until = tls.identity.validity.not_after;
        self.line("tls.certificate", format_args!("{}, valid until {until}", tls.certificate_file().display()));
        self.line("tls.key", "given");
        if let Some(authorities) = tls.authorities_file() {
            self.line("tls.client_authorities", authorities.display());
        }
        let asked = match tls.client_certificates() {
            ClientCertificates::NotAskedFor => "not asked for",
            ClientCertificates::Optional => "optional",
            ClientCertificates::Required => "required",
        };
        self.line("tls.client_certificates", asked);
    }

    fn endpoint(&mut self, signal: &str, endpoint: Option<&Endpoint>) {
        let mut line = |key: &str, value: String| self.line(&format!("{signal}.{key}"), value);
        let Some(endpoint) = endpoint else { return line("endpoint", "off".to_owned()) };
        line("endpoint", by_way_of(endpoint.shown_url(), endpoint.proxy.as_ref()));
        line("headers", listed(endpoint.headers.iter().map(|(name, _)| format!("{name}: <token>")), "none"));
        line("timeout", show_duration(endpoint.timeout));
        line("compression", if endpoint.gzip { "gzip" } else { "none" }.to_owned());
        line("protocol", endpoint.protocol.as_str().to_owned());
        let Some(tls) = &endpoint.tls else { return };
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        line("certificate", file(&tls.certificate).unwrap_or_else(|| "the system's".to_owned()));
        if let Some(certificate) = file(&tls.client_certificate) {
            line("client_certificate", certificate);
            line("client_key", "given".to_owned());
        }
    }

    fn relay(&mut self, relay: &Relay) {
        let Route { relay: name, format, filter, is_fallback, max_age } = &relay.route;
        self.line("name", name);
        self.line("url", by_way_of(relay.shown_url(), relay.proxy.as_ref()));
        self.line("format", format.as_str());
        self.line("events", listed(filter.kinds.iter().map(|kind| kind.as_str()), "any"));
        self.filter_of_messages(filter);
        self.line("keywords", listed(&filter.keywords, "any"));
        self.line("pattern", filter.pattern.as_ref().map_or("any", |pattern| pattern.as_str()));
        self.line("fallback", is_fallback);
        self.line_of_any(&["secret", "secret_file"], "secret", relay.secret.as_ref().map_or("none", |_| "<token>"));
        self.line("headers", listed(relay.headers.iter().map(|(name, _)| format!("{name}: <token>")), "none"));
        self.line("timeout", show_duration(relay.timeout));
        self.line("max_age", show_duration(*max_age));
        self.line("concurrency", relay.concurrency);
        self.line("networks", listed(&relay.networks, "public"));
        if let Some(tls) = &relay.tls {
            let file = tls.certificate.as_ref().map(|path| path.display().to_string());
            self.line("certificate", file.unwrap_or_else(|| "the system's".to_owned()));
        }
    }

    fn filter_of_messages(&mut self, filter: &Filter) {
        self.line("reasons", listed(filter.reasons.iter().map(|reason| reason.as_str()), "any"));
        self.line("sources", listed(&filter.sources, "any"));
        for (key, wanted) in [
            ("channels", &filter.channels),
            ("flows", &filter.flows),
            ("countries", &filter.countries),
            ("campaigns", &filter.campaigns),
        ] {
            self.line(key, listed(wanted, "any"));
        }
    }

    fn resend(&mut self, rule: &ResendRule) {
        let ResendRule { name, filter, through, is_dry_run, delay, attempts, useful_for, budget } = rule;
        self.line("name", name);
        self.filter_of_messages(filter);
        self.line("through", through.as_str());
        self.line("delay", show_duration(*delay));
        self.line("attempts", attempts);
        self.line("useful_for", show_duration(*useful_for));
        self.line("budget", budget);
        self.line("dry_run", is_dry_run);
    }

    fn source(&mut self, config: &Config, source: &Source) {
        self.line("name", &source.name);
        let tokens = match &source.tokens {
            Tokens::Generated => "made once and kept".into(),
            Tokens::Given(tokens) => vec!["<token>"; tokens.len()].join(", "),
        };
        self.line_of_any(&["tokens", "token_file", "token_files"], "tokens", tokens);
        let url = config.callback_url(&source.name, "<token>");
        self.lines.push(Line {
            key: "callback URL".to_owned(),
            name: "callback URL".to_owned(),
            value: url,
            origin: format!("from {}", if config.public_url.is_some() { "public_url" } else { "listen" }),
        });
        self.line("allow", listed(&source.allow, "any"));
        self.line("trusted_proxies", listed(&source.trusted_proxies, "none"));
        self.line("channel_ids", listed(&source.channel_ids, "any"));
        self.line("header", source.header.as_ref().map_or("none".into(), |(name, _)| format!("{name}: <token>")));
        self.line("basic", source.basic.as_ref().map_or("none".into(), |basic| format!("{}:<token>", basic.user)));
        self.line("api", source.api.as_ref().map_or("none".into(), Api::shown));
        self.line("timezone", source.zone.iana_name().unwrap_or("a fixed offset"));
        self.line("region", source.region.as_str());
        self.line("recipient", source.privacy.recipient.as_str());
        self.line("text", source.privacy.text.as_str());
        self.line("stop_keywords", listed(&source.stop_keywords, "none"));
        self.line("start_keywords", listed(&source.start_keywords, "none"));
    }
}

fn by_way_of(url: String, proxy: Option<&Proxy>) -> String {
    proxy.map_or(url.clone(), |proxy| format!("{url}, by way of {proxy}"))
}

fn listed(items: impl IntoIterator<Item = impl Display>, when_empty: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { when_empty.to_owned() } else { items.join(", ") }
}
