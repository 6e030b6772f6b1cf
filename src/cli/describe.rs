//! What `smscope check` prints: the effective configuration, for people, without secrets.

use std::fmt::Display;

use crate::config::{Config, Endpoint, Loaded, Source, Tokens, show_duration, show_size};

/// The effective configuration in aligned lines. Tokens, passwords and header values show as `<token>` or not at all.
pub fn describe(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut page = Page::default();
    page.line("configuration file", loaded.file.as_ref().map_or("none".into(), |file| file.display().to_string()));
    page.line("listen", config.listen);
    page.line("admin_listen", config.admin_listen);
    page.line("data_dir", config.data_dir.display());
    page.line("public_url", config.public_url.as_deref().unwrap_or("none"));

    page.heading("http");
    let http = &config.http;
    page.line("header_timeout", show_duration(http.header_timeout));
    page.line("body_timeout", show_duration(http.body_timeout));
    page.line("write_timeout", show_duration(http.write_timeout));
    page.line("max_body", show_size(http.max_body as u64));
    page.line("max_connections", http.max_connections);
    page.line("shutdown_timeout", show_duration(http.shutdown_timeout));

    page.heading("store");
    let store = &config.store;
    page.line("retention", show_duration(store.retention));
    page.line("horizon", show_duration(store.horizon));
    page.line("export_retention", show_duration(store.export_retention));
    page.line("size_limit", store.size_limit.map_or("none".into(), show_size));

    page.heading("logs");
    page.line("include_text", config.logs.include_text);
    page.line("include_number", config.logs.include_number);

    page.heading("otlp");
    let otlp = &config.otlp;
    page.line("logs", endpoint(otlp.logs.as_ref()));
    page.line("metrics", endpoint(otlp.metrics.as_ref()));
    page.line("metric_interval", show_duration(otlp.metric_interval));
    page.line("service_name", &otlp.service_name);
    let resource = otlp.resource.iter().map(|(key, value)| format!("{key}={value}"));
    page.line("resource", listed(resource, "nothing more"));

    for source in &config.sources {
        describe_source(&mut page, config, source);
    }
    for (at, warning) in loaded.warnings.iter().enumerate() {
        page.text.push_str(if at == 0 { "\n" } else { "" });
        page.text.push_str(&format!("warning: {warning}\n"));
    }
    page.text
}

fn describe_source(page: &mut Page, config: &Config, source: &Source) {
    page.heading(&format!("source {}", source.name));
    page.line("callback URL", config.callback_url(&source.name, "<token>"));
    page.line(
        "tokens",
        match &source.tokens {
            Tokens::Generated => "made once and kept in the data directory".into(),
            Tokens::Given(tokens) => format!("{} given", tokens.len()),
        },
    );
    page.line("allow", listed(&source.allow, "any address"));
    page.line("trusted_proxies", listed(&source.trusted_proxies, "none"));
    page.line("channel_ids", listed(&source.channel_ids, "any"));
    page.line("header", source.header.as_ref().map_or("none".into(), |(name, _)| format!("{name}: <token>")));
    page.line("basic", source.basic.as_ref().map_or("none".into(), |basic| format!("{}:<token>", basic.user)));
    page.line("timezone", source.zone.iana_name().unwrap_or("a fixed offset"));
    page.line("region", source.region.as_str());
    page.line("stop_keywords", listed(&source.stop_keywords, "none"));
}

fn endpoint(endpoint: Option<&Endpoint>) -> String {
    let Some(endpoint) = endpoint else { return "off".to_owned() };
    let compression = if endpoint.gzip { "gzip" } else { "no compression" };
    let headers = endpoint.headers.iter().map(|(name, _)| format!(", header {name}")).collect::<String>();
    let tls = endpoint.tls.as_ref().map_or(String::new(), |tls| {
        let trusted =
            tls.certificate.as_ref().map_or("the system's authorities".into(), |file| file.display().to_string());
        let shown = tls.client_certificate.as_ref().map(|file| format!(", client certificate {}", file.display()));
        format!(", TLS by {trusted}{}", shown.unwrap_or_default())
    });
    let (url, protocol) = (endpoint.shown_url(), endpoint.protocol.as_str());
    let timeout = show_duration(endpoint.timeout);
    format!("{url} by {protocol}, time-out {timeout}, {compression}{tls}{headers}")
}

fn listed(items: impl IntoIterator<Item = impl Display>, when_empty: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { when_empty.to_owned() } else { items.join(", ") }
}

#[derive(Default)]
struct Page {
    text: String,
    indent: &'static str,
}

impl Page {
    fn heading(&mut self, heading: &str) {
        self.indent = "  ";
        self.text.push_str(&format!("\n{heading}\n"));
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let name = format!("{}{name}", self.indent);
        self.text.push_str(&format!("{name:<20}{value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Flags;

    #[test]
    fn the_default_configuration_is_described_line_by_line() {
        let loaded = Config::load(&Flags::default(), &BTreeMap::<String, String>::new()).unwrap();
        let expected = "\
configuration file  none
listen              127.0.0.1:7672
admin_listen        127.0.0.1:7673
data_dir            ./smscope-data
public_url          none

http
  header_timeout    15s
  body_timeout      10s
  write_timeout     10s
  max_body          256KiB
  max_connections   1024
  shutdown_timeout  10s

store
  retention         30d
  horizon           3d
  export_retention  7d
  size_limit        none

logs
  include_text      false
  include_number    false

otlp
  logs              off
  metrics           off
  metric_interval   1m
  service_name      smscope
  resource          nothing more

source smsmode
  callback URL      http://127.0.0.1:7672/hooks/smsmode/<token>
  tokens            made once and kept in the data directory
  allow             any address
  trusted_proxies   none
  channel_ids       any
  header            none
  basic             none
  timezone          Europe/Paris
  region            FR
";
        let described = describe(&loaded);
        let (before_keywords, keywords) = described.split_at(expected.len());
        assert_eq!(before_keywords, expected);
        assert!(keywords.starts_with("  stop_keywords     STOP"), "{keywords}");
        assert_eq!(keywords.lines().count(), 1, "{keywords}");
    }

    #[test]
    fn no_secret_is_described_and_every_warning_is() {
        let env = BTreeMap::from([
            ("SMSCOPE_TOKEN", "hidden-hidden-hidden,hidden-hidden-hidden-too"),
            ("SMSCOPE_LISTN", "hidden"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector:4318/v1/logs?key=hidden"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hidden"),
        ]);
        let described = describe(&Config::load(&Flags::default(), &env).unwrap());
        assert!(!described.contains("hidden"), "{described}");
        for line in [
            "  logs              http://collector:4318/v1/logs by http/protobuf, time-out 10s, no compression, header api-key\n",
            "  tokens            2 given\n",
            "\nwarning: SMSCOPE_LISTN: unknown variable, not used; expected one of ",
        ] {
            assert!(described.contains(line), "{line} in {described}");
        }
    }

    #[test]
    fn the_road_of_each_signal_is_described() {
        let folder = tempfile::TempDir::new().unwrap();
        let authority = crate::certificates::Authority::new("ours");
        let client = authority.client();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name).display().to_string()
        };
        let (ca, certificate) = (file("ca.pem", &authority.pem()), file("client.pem", &client.certificate));
        let key = file("client.key", &client.key);
        let env = BTreeMap::from([
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://collector:4317"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", &certificate),
            ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", &key),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://collector:4318/v1/metrics"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca),
        ]);
        let described = describe(&Config::load(&Flags::default(), &env).unwrap());
        let trusted = format!("TLS by {ca}");
        for line in [
            format!(
                "https://collector:4317/ by grpc, time-out 10s, gzip, {trusted}, client certificate {certificate}\n"
            ),
            format!("https://collector:4318/v1/metrics by http/protobuf, time-out 10s, no compression, {trusted}\n"),
        ] {
            assert!(described.contains(&line), "{line} in {described}");
        }
    }
}
