//! The export of telemetry: the OTEL_* variables and `[otlp]` of the file.
//!
//! Sources: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
//! Platforms set these variables for all processes of a pod, so one that means nothing to smscope is a warning, as the specification
//! requires, and never prevents the start. Only what a configured endpoint needs can be an error: its URL, its headers, its files. The
//! file is for smscope alone, so each of its values has to be valid. Settings of a disabled signal are not read.
//!
//! A setting of a signal is, in this order: its own variable, the general variable, `[otlp.<signal>]`, `[otlp]`.

mod endpoint;
mod unsupported;

use std::path::PathBuf;
use std::time::Duration;

use hyper::http::Uri;

use super::prelude::*;
use endpoint::{Found, Group, Groups};

pub use endpoint::{Endpoint, Protocol};
pub(crate) use unsupported::UNSUPPORTED;

#[derive(Clone, Debug)]
pub struct Otlp {
    /// `None`: no endpoint is set, or the signal is switched off.
    pub logs: Option<Endpoint>,
    pub metrics: Option<Endpoint>,
    pub metric_interval: Duration,
    /// Whether a success has to be an OTLP response to count as one.
    pub strict_answers: bool,
    pub service_name: String,
    /// Further resource attributes, as the operator gave them.
    pub resource: Vec<(String, String)>,
}

// What the files of TLS need beside them, for the documentation.
const TLS_OF_CA: &str = r#"endpoint = "https://collector:4318""#;
const TLS_OF_CERTIFICATE: &str = "endpoint = \"https://collector:4318\"\ncertificate = \"/etc/smscope/ca.pem\"\n\
    client_key = \"/etc/smscope/client.key\"";
const TLS_OF_KEY: &str = "endpoint = \"https://collector:4318\"\ncertificate = \"/etc/smscope/ca.pem\"\n\
    client_certificate = \"/etc/smscope/client.pem\"";

settings! {
    ENDPOINT: Uri = setting("otlp.endpoint", "URL", endpoint::url, Uri::to_string,
        "where both signals are exported to; `v1/logs` and `v1/metrics` are added. For grpc such as \
         `http://collector:4317`, without a path. `https://` is TLS").url().absent("off")
        .example(r#""http://collector:4318""#).wrong(r#""collector:4318""#)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    HEADERS: () = texts("otlp.headers", "sent along, by grpc as metadata; percent-encoded in the variable")
        .absent("none").example(r#"{ "api-key" = "s3cret" }"#).wrong(r#"{ "api key" = "s3cret" }"#)
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret,tenant=sms");
    TIMEOUT: Duration = duration("otlp.timeout", |given| given.duration(MILLISECOND..=HOUR),
        "of one request; milliseconds in the variable").default("10s").example(r#""5s""#).wrong("5000")
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "5000");
    COMPRESSION: bool = setting("otlp.compression", "word", endpoint::compression,
        |gzip| endpoint::compression_name(*gzip), "`gzip` or `none`").default("none").example(r#""gzip""#)
        .wrong(r#""zstd""#).variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    PROTOCOL: Protocol = setting("otlp.protocol", "word", endpoint::protocol, |protocol| protocol.as_str().to_owned(),
        "`http/protobuf` or `grpc`").default("http/protobuf").example(r#""http/protobuf""#).wrong(r#""carrier-pigeon""#)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    CERTIFICATE: PathBuf = file("otlp.certificate",
        "the authorities that are trusted, instead of the system's: a PEM file").example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#).beside(TLS_OF_CA)
        .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/smscope/ca.pem");
    CLIENT_CERTIFICATE: PathBuf = file("otlp.client_certificate",
        "our own certificate for mutual TLS, with those that lead to its authority: a PEM file")
        .example(r#""/etc/smscope/client.pem""#).wrong(r#""/nonexistent/client.pem""#).beside(TLS_OF_CERTIFICATE)
        .variable("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/smscope/client.pem");
    CLIENT_KEY: PathBuf = file("otlp.client_key", "its key, not encrypted: a PEM file")
        .example(r#""/etc/smscope/client.key""#).wrong(r#""/nonexistent/client.key""#).beside(TLS_OF_KEY)
        .variable("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/smscope/client.key");
    METRIC_INTERVAL: Duration = duration("otlp.metric_interval", |given| given.duration(MILLISECOND..=DAY),
        "between two pushes of metrics; milliseconds in the variable").default("1m").example(r#""15s""#)
        .wrong(r#""2d""#).variable("OTEL_METRIC_EXPORT_INTERVAL", "15000");
    STRICT_ANSWERS: bool = switch("otlp.strict_answers",
        "a success of the endpoint counts only if it is an OTLP response; else any 2xx that is no web page does")
        .example("true").wrong(r#""yes""#);
    SERVICE_NAME: String = setting("otlp.service_name", "text", service_name, String::clone,
        "`service.name` of the resource").default("smscope").example(r#""sms-webhooks""#).wrong(r#""""#)
        .variable("OTEL_SERVICE_NAME", "sms-webhooks");
    RESOURCE: () = texts("otlp.resource", "further attributes of the resource; percent-encoded in the variable")
        .absent("none").example(r#"{ "deployment.environment.name" = "production" }"#)
        .wrong(r#"{ "deployment.environment.name" = 1 }"#)
        .variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production,team=payments");
    EXPORTER: bool = setting("otlp.<signal>.exporter", "word", exporter, |_| String::new(),
        "`otlp`, which is the default, or `none`, which switches the signal off").example(r#""none""#)
        .wrong(r#""console""#).variable("OTEL_<SIGNAL>_EXPORTER", "none");
    SIGNAL_ENDPOINT: Uri = setting("otlp.<signal>.endpoint", "URL", endpoint::url, Uri::to_string,
        "the full URL of the signal, nothing is added; for grpc without a path").url()
        .example(r#""http://collector:4318/v1/<signal>""#).wrong(r#""/v1/<signal>""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_ENDPOINT", "http://collector:4318/v1/<signal>");
    SIGNAL_HEADERS: () = texts("otlp.<signal>.headers", "instead of all of `otlp.headers`")
        .example(r#"{ "api-key" = "s3cret" }"#).wrong(r#""api-key=s3cret""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_HEADERS", "api-key=s3cret");
    SIGNAL_TIMEOUT: Duration = duration("otlp.<signal>.timeout", |given| given.duration(MILLISECOND..=HOUR),
        "of one request; milliseconds in the variable").example(r#""30s""#).wrong(r#""90m""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_TIMEOUT", "30000");
    SIGNAL_COMPRESSION: bool = setting("otlp.<signal>.compression", "word", endpoint::compression,
        |gzip| endpoint::compression_name(*gzip), "`gzip` or `none`").example(r#""none""#).wrong("true")
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_COMPRESSION", "none");
    SIGNAL_PROTOCOL: Protocol = setting("otlp.<signal>.protocol", "word", endpoint::protocol,
        |protocol| protocol.as_str().to_owned(), "as `otlp.protocol`").example(r#""http/protobuf""#).wrong(r#""http""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_PROTOCOL", "http/protobuf");
    SIGNAL_CERTIFICATE: PathBuf = file("otlp.<signal>.certificate", "as `otlp.certificate`")
        .example(r#""/etc/smscope/ca.pem""#).wrong(r#""/nonexistent/ca.pem""#).beside(TLS_OF_CA)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_CERTIFICATE", "/etc/smscope/ca.pem");
    SIGNAL_CLIENT_CERTIFICATE: PathBuf = file("otlp.<signal>.client_certificate", "as `otlp.client_certificate`")
        .example(r#""/etc/smscope/client.pem""#).wrong(r#""/nonexistent/client.pem""#).beside(TLS_OF_CERTIFICATE)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_CLIENT_CERTIFICATE", "/etc/smscope/client.pem");
    SIGNAL_CLIENT_KEY: PathBuf = file("otlp.<signal>.client_key", "as `otlp.client_key`")
        .example(r#""/etc/smscope/client.key""#).wrong(r#""/nonexistent/client.key""#).beside(TLS_OF_KEY)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_CLIENT_KEY", "/etc/smscope/client.key");
    SDK_DISABLED: Given = variable("OTEL_SDK_DISABLED", "true", "true or false", |given| Ok(given.clone()),
        "`true` switches the export of both signals off").wrong("yes");
}

/// Reads everything that is about OTLP.
pub(crate) fn read(mut table: Table, proxies: &Proxies) -> Result<Otlp, ConfigError> {
    let inputs = table.inputs;
    let disabled = sdk_disabled(inputs);
    let (service_name, resource) = resource(&mut table)?;
    let of_file = table.found(&METRIC_INTERVAL)?;
    let of_env = inputs.variable(&METRIC_INTERVAL).filter(|_| disabled.is_none());
    let of_env = of_env.and_then(|given| leniently(inputs, given, |given| given.millis(MILLISECOND..=DAY)));
    let interval = of_env.or(of_file);
    let strict = table.found(&STRICT_ANSWERS)?;
    let strict_answers = strict.as_ref().is_some_and(|(_, strict)| *strict);

    let (mut logs, mut metrics) = (table.table("logs")?, table.table("metrics")?);
    // What disables a signal is the origin of its missing endpoint.
    let logs_off = switched_off(&mut logs, "logs")?;
    let metrics_off = switched_off(&mut metrics, "metrics")?;
    let (logs_off, metrics_off) = match disabled {
        Some(disabled) => (Some(disabled.clone()), Some(disabled)),
        None => (logs_off, metrics_off),
    };
    unsupported::warn(inputs, logs_off.is_none(), metrics_off.is_none());
    let (logs_file, metrics_file) = (Group::of_file(&mut logs, true)?, Group::of_file(&mut metrics, true)?);
    logs.finish()?;
    metrics.finish()?;
    let file = Group::of_file(&mut table, false)?;
    table.finish()?;

    let is_on = logs_off.is_none() || metrics_off.is_none();
    let general = if is_on { Group::of_env(inputs, "")? } else { Group::default() };
    let system = SystemRoots::default();
    let signal = |name: &str, off: Option<Given>, file_of_signal: &Group| {
        if let Some(off) = off {
            table.show(&format!("{name}.endpoint"), "off", Some(&off));
            return Ok(None);
        }
        let of_signal = Group::of_env(inputs, name)?;
        let groups = Groups { groups: [&of_signal, &general, file_of_signal, &file], table: &table, signal: name };
        let endpoint = groups.endpoint(&system, proxies)?;
        Ok(endpoint.map(|endpoint| Endpoint { strict_answers, ..endpoint }))
    };
    let logs = signal("logs", logs_off, &logs_file)?;
    let metrics = signal("metrics", metrics_off, &metrics_file)?;
    let metric_interval = table.effective(&METRIC_INTERVAL, interval)?;
    table.effective(&STRICT_ANSWERS, strict)?;
    let service_name = table.effective(&SERVICE_NAME, service_name)?;
    for (key, (given, value)) in &resource {
        table.show(&format!("{}.{key}", RESOURCE.name()), value, Some(given));
    }
    if resource.is_empty() {
        table.show(RESOURCE.name(), RESOURCE.declaration.default(), None);
    }
    let resource = resource.into_iter().map(|(key, (_, value))| (key, value)).collect();
    Ok(Otlp { logs, metrics, metric_interval, strict_answers, service_name, resource })
}

/// The value of a variable, or a warning that it is not used.
fn leniently<T>(
    inputs: &Inputs,
    given: Given,
    read: impl FnOnce(&Given) -> Result<T, ConfigError>,
) -> Option<(Given, T)> {
    match read(&given) {
        Ok(value) => Some((given, value)),
        Err(error) => {
            inputs.warn(format!("{error}; not used"));
            None
        }
    }
}

/// OTEL_SDK_DISABLED if it is true; anything else is false, by the specification.
fn sdk_disabled(inputs: &Inputs) -> Option<Given> {
    let given = inputs.variable(&SDK_DISABLED)?;
    let text = given.text("").unwrap_or_default();
    let is_true = text.eq_ignore_ascii_case("true");
    if !is_true && !text.eq_ignore_ascii_case("false") {
        inputs.warn(given.remark("read as false; expected true or false"));
    }
    is_true.then_some(given)
}

/// Exporters of the specification and of SDKs that are not OTLP's.
const OTHER_EXPORTERS: [&str; 8] =
    ["prometheus", "console", "logging", "logging-otlp", "stdout", "zipkin", "jaeger", "file"];

/// Whether a signal is exported by OTLP, if it has an endpoint.
fn exporter(given: &Given) -> Result<bool, ConfigError> {
    given.parse("otlp or none", |text| match text.to_ascii_lowercase().as_str() {
        "otlp" => Some(true),
        "none" => Some(false),
        _ => None,
    })
}

/// The setting that disables a signal. The variable may be a list, and name exporters of other processes.
fn switched_off(table: &mut Table, signal: &str) -> Result<Option<Given>, ConfigError> {
    let of_file = table.found(&EXPORTER)?.filter(|(_, is_on)| !is_on).map(|(given, _)| given);
    let Some(given) = table.inputs.variable_of(&EXPORTER, signal) else { return Ok(of_file) };
    let text = given.text("").unwrap_or_default().to_ascii_lowercase();
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let others: Vec<&str> = names.iter().copied().filter(|name| !["otlp", "none"].contains(name)).collect();
    let (on, consequence) = match () {
        () if names.contains(&"otlp") => (true, "is exported by otlp alone"),
        () if names.contains(&"none") => (false, "is not exported"),
        () if others.iter().all(|name| OTHER_EXPORTERS.contains(name)) => (false, "is not exported"),
        () => (of_file.is_none(), "is exported as if the variable were not set"),
    };
    if !others.is_empty() {
        let scrape = if signal == "metrics" { "; metrics can be scraped in any case" } else { "" };
        table.warn(given.remark(format_args!("the signal {consequence}{scrape}; expected otlp or none")));
    }
    Ok((!on).then_some(given))
}

const SERVICE_NAME_KEY: &str = "service.name";

type Attributes = Vec<(String, (Given, String))>;

fn service_name(given: &Given) -> Result<String, ConfigError> {
    given.parse("a name that is not empty", |text| (!text.is_empty()).then(|| text.to_owned()))
}

/// The service's name and the other attributes of the resource.
fn resource(table: &mut Table) -> Result<(Found<String>, Attributes), ConfigError> {
    let inputs = table.inputs;
    let name_in_file = table.found(&SERVICE_NAME)?;
    let mut attributes = Attributes::new();
    for (key, given) in table.table(RESOURCE.name())?.into_entries() {
        let text = given.text("a text")?.to_owned();
        attributes.push((key, (given, text)));
    }
    let name_in_file = name_in_file.or_else(|| remove(&mut attributes, SERVICE_NAME_KEY));

    let mut name_in_env = None;
    if let Some(given) = inputs.variable(&RESOURCE) {
        match given.parse("key=value,key2=value2, percent-encoded", value::pairs) {
            Ok(pairs) => {
                for (key, value) in pairs {
                    remove(&mut attributes, &key);
                    attributes.push((key, (given.clone(), value)));
                }
                name_in_env = remove(&mut attributes, SERVICE_NAME_KEY).filter(|(_, name)| !name.is_empty());
            }
            Err(error) => inputs.warn(format!("{error}; none of it is used")),
        }
    }
    let of_variable = inputs.variable(&SERVICE_NAME).and_then(|given| leniently(inputs, given, service_name));
    Ok((of_variable.or(name_in_env).or(name_in_file), attributes))
}

fn remove(attributes: &mut Attributes, key: &str) -> Found<String> {
    let at = attributes.iter().position(|(other, _)| other == key)?;
    Some(attributes.remove(at).1)
}
