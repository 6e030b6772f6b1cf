//! Where telemetry goes: the OTEL_* variables and `[otlp]` of the file.
//!
//! Sources: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
//! Where these would ignore a bad value with a warning, smscope refuses it, as it does for every setting of its own;
//! only OTEL_RESOURCE_ATTRIBUTES is dropped with a warning. What a switched-off signal was given is not looked at,
//! because platforms set these variables for everybody.
//!
//! A setting of a signal is, in this order: its own variable, the general variable, `[otlp.<signal>]`, `[otlp]`.

use std::time::Duration;

use hyper::http::{HeaderName, HeaderValue, Uri};

use super::file::Table;
use super::setting::Setting;
use super::value::{self, DAY, HOUR};
use super::{ConfigError, Endpoint, Environment, Otlp};

const DEFAULT_SERVICE_NAME: &str = "smscope";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);
const SERVICE_NAME_KEY: &str = "service.name";

/// Reads everything that is about OTLP.
pub(super) fn read(mut table: Table, env: &dyn Environment, warnings: &mut Vec<String>) -> Result<Otlp, ConfigError> {
    let origins = table.origins();
    let disabled = sdk_disabled(env, warnings);
    let (service_name, resource) = resource(&mut table, env, warnings)?;
    let interval_in_file =
        table.take("metric_interval").map(|setting| setting.duration(MILLISECOND..=DAY)).transpose()?;
    let interval = match Setting::of_env(env, "OTEL_METRIC_EXPORT_INTERVAL") {
        Some(setting) if !disabled => {
            table.note("metric_interval", &setting);
            Some(setting.millis(MILLISECOND..=DAY)?)
        }
        _ => interval_in_file,
    };

    let mut logs = table.table("logs")?;
    let mut metrics = table.table("metrics")?;
    let logs_on = exporter_is_on(&mut logs, env, "OTEL_LOGS_EXPORTER")? && !disabled;
    let metrics_on = exporter_is_on(&mut metrics, env, "OTEL_METRICS_EXPORTER")? && !disabled;
    let (logs_file, metrics_file) = (Group::of_file(&mut logs)?.own(), Group::of_file(&mut metrics)?.own());
    logs.finish()?;
    metrics.finish()?;
    let file = Group::of_file(&mut table)?;
    table.finish()?;

    let general = if logs_on || metrics_on { Group::of_env(env, "OTEL_EXPORTER_OTLP")? } else { Group::default() };
    let signal = |on: bool, prefix: &str, file_of_signal: &Group, path: &str| match on {
        true => endpoint([&Group::of_env(env, prefix)?.own(), &general, file_of_signal, &file], path),
        false => Ok(None),
    };
    for (signal, on) in [("logs", logs_on), ("metrics", metrics_on)] {
        match Setting::of_env(env, "OTEL_SDK_DISABLED") {
            Some(setting) if disabled => origins.note(&format!("otlp.{signal}.endpoint"), &setting),
            _ if on => origins.note_endpoint(env, signal),
            _ => {}
        }
    }
    let logs = signal(logs_on, "OTEL_EXPORTER_OTLP_LOGS", &logs_file, "v1/logs")?;
    let metrics = signal(metrics_on, "OTEL_EXPORTER_OTLP_METRICS", &metrics_file, "v1/metrics")?;
    let metric_interval = interval.unwrap_or(DEFAULT_INTERVAL);
    Ok(Otlp { logs, metrics, metric_interval, service_name, resource })
}

/// Whether OTEL_SDK_DISABLED is true; anything else is false, by the specification.
fn sdk_disabled(env: &dyn Environment, warnings: &mut Vec<String>) -> bool {
    let Some(text) = env.get("OTEL_SDK_DISABLED") else { return false };
    let text = text.trim();
    let disabled = text.eq_ignore_ascii_case("true");
    if !disabled && !text.is_empty() && !text.eq_ignore_ascii_case("false") {
        warnings.push(format!("OTEL_SDK_DISABLED = {text:?}: taken as false; expected true or false"));
    }
    disabled
}

fn exporter_is_on(table: &mut Table, env: &dyn Environment, variable: &str) -> Result<bool, ConfigError> {
    let in_file = table.take("exporter");
    let in_env = Setting::of_env(env, variable);
    let Some(setting) = in_env.as_ref().or(in_file.as_ref()) else { return Ok(true) };
    let on = setting.parse("otlp or none", |text| match text.trim().to_ascii_lowercase().as_str() {
        "otlp" => Some(true),
        "none" => Some(false),
        _ => None,
    })?;
    // What switches a signal off is why it has no endpoint.
    match in_env {
        _ if on => {}
        Some(setting) => table.note("endpoint", &setting),
        None => table.note_file("endpoint"),
    }
    Ok(on)
}

type Attributes = Vec<(String, String)>;

/// The service's name and the other attributes of the resource.
fn resource(
    table: &mut Table,
    env: &dyn Environment,
    warnings: &mut Vec<String>,
) -> Result<(String, Attributes), ConfigError> {
    const NAME_EXPECTED: &str = "a name that is not empty";
    let name = |setting: Setting| {
        setting.parse(NAME_EXPECTED, |text| (!text.trim().is_empty()).then(|| text.trim().to_owned()))
    };
    let name_in_file = table.take("service_name").map(name).transpose()?;
    let mut attributes = Vec::new();
    for (key, setting) in table.table("resource")?.into_entries() {
        attributes.push((key, setting.text("a text")?.to_owned()));
    }
    let name_in_file = name_in_file.or_else(|| {
        let name = remove(&mut attributes, SERVICE_NAME_KEY)?;
        table.note_file("service_name");
        Some(name)
    });

    let mut name_in_env = None;
    if let Some(setting) = Setting::of_env(env, "OTEL_RESOURCE_ATTRIBUTES") {
        match setting.parse("key=value,key2=value2, percent-encoded", value::pairs) {
            Ok(pairs) => {
                for (key, value) in pairs {
                    remove(&mut attributes, &key);
                    table.note(&format!("resource.{key}"), &setting);
                    attributes.push((key, value));
                }
                name_in_env = remove(&mut attributes, SERVICE_NAME_KEY).filter(|name| !name.is_empty());
                if name_in_env.is_some() {
                    table.note("service_name", &setting);
                }
            }
            Err(error) => warnings.push(format!("{error}; none of it is used")),
        }
    }
    let own_variable = Setting::of_env(env, "OTEL_SERVICE_NAME");
    own_variable.iter().for_each(|setting| table.note("service_name", setting));
    let service_name = own_variable.map(name).transpose()?.or(name_in_env).or(name_in_file);
    Ok((service_name.unwrap_or_else(|| DEFAULT_SERVICE_NAME.to_owned()), attributes))
}

fn remove(attributes: &mut Attributes, key: &str) -> Option<String> {
    let at = attributes.iter().position(|(other, _)| other == key)?;
    Some(attributes.remove(at).1)
}

/// What one place says of endpoints: the general variables, a signal's variables, or a table of the file.
#[derive(Default)]
struct Group {
    endpoint: Option<(Setting, Uri)>,
    headers: Option<Headers>,
    timeout: Option<Duration>,
    gzip: Option<bool>,
    protocol: Option<(Setting, Protocol)>,
    /// Certificates and keys, which only TLS has a use for.
    tls: Option<Setting>,
    /// Whether `endpoint` is a signal's own URL, rather than a base that the signal's path is added to.
    of_one_signal: bool,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    HttpProtobuf,
    /// One that the specification has and smscope has not.
    NotYet,
}

impl Group {
    fn own(self) -> Self {
        Self { of_one_signal: true, ..self }
    }

    /// The variables that start with `prefix`.
    fn of_env(env: &dyn Environment, prefix: &str) -> Result<Self, ConfigError> {
        let variable = |suffix: &str| Setting::of_env(env, &format!("{prefix}_{suffix}"));
        let headers = variable("HEADERS").map(Setting::secret).map(|setting| {
            let expected = "key=value,key2=value2, percent-encoded";
            let pairs = setting.parse(expected, value::pairs)?;
            pairs.iter().map(|(name, value)| header(name, value).ok_or_else(|| setting.bad(expected))).collect()
        });
        Ok(Self {
            endpoint: variable("ENDPOINT").map(url).transpose()?,
            headers: headers.transpose()?,
            timeout: variable("TIMEOUT").map(|setting| setting.millis(MILLISECOND..=HOUR)).transpose()?,
            gzip: variable("COMPRESSION").map(compression).transpose()?,
            protocol: variable("PROTOCOL").map(protocol).transpose()?,
            tls: ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"].into_iter().find_map(variable),
            of_one_signal: false,
        })
    }

    /// The keys of `[otlp]`, `[otlp.logs]` or `[otlp.metrics]`.
    fn of_file(table: &mut Table) -> Result<Self, ConfigError> {
        let endpoint = table.take("endpoint").map(url).transpose()?;
        let headers = table.optional_table("headers")?.map(|headers| {
            let header = |(name, setting): (String, Setting)| {
                let read = |value: &str| header(&name, value);
                setting.secret().parse("a header's name and value, of printable characters", read)
            };
            headers.into_entries().into_iter().map(header).collect()
        });
        Ok(Self {
            endpoint,
            headers: headers.transpose()?,
            timeout: table.take("timeout").map(|setting| setting.duration(MILLISECOND..=HOUR)).transpose()?,
            gzip: table.take("compression").map(compression).transpose()?,
            protocol: table.take("protocol").map(protocol).transpose()?,
            tls: None,
            of_one_signal: false,
        })
    }
}

fn url(setting: Setting) -> Result<(Setting, Uri), ConfigError> {
    let setting = setting.url();
    let url = setting.parse("a URL such as http://collector:4318", |text| value::web_url(text.trim()))?;
    Ok((setting, url))
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn compression(setting: Setting) -> Result<bool, ConfigError> {
    setting.parse("gzip or none", |text| match text.trim().to_ascii_lowercase().as_str() {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    })
}

fn protocol(setting: Setting) -> Result<(Setting, Protocol), ConfigError> {
    let protocol = setting.parse("http/protobuf", |text| match text.trim().to_ascii_lowercase().as_str() {
        "http/protobuf" => Some(Protocol::HttpProtobuf),
        "grpc" | "http/json" => Some(Protocol::NotYet),
        _ => None,
    })?;
    Ok((setting, protocol))
}

/// One signal's endpoint from the groups that speak of it, the strongest first. `None` when none of them has one.
fn endpoint(groups: [&Group; 4], path: &str) -> Result<Option<Endpoint>, ConfigError> {
    let Some((group, setting, url)) =
        groups.iter().find_map(|group| group.endpoint.as_ref().map(|(setting, url)| (group, setting, url)))
    else {
        return Ok(None);
    };
    const NO_TLS: &str = "TLS to the collector is not supported yet";
    if url.scheme_str() != Some("http") {
        return Err(setting.wrong(NO_TLS, "http://"));
    }
    if let Some(setting) = groups.iter().find_map(|group| group.tls.as_ref()) {
        return Err(setting.wrong(NO_TLS, "no certificate and an http:// endpoint"));
    }
    if let Some((setting, Protocol::NotYet)) = groups.iter().find_map(|group| group.protocol.as_ref()) {
        return Err(setting.wrong("not supported yet", "http/protobuf"));
    }
    let url = match group.of_one_signal {
        true => url.clone(),
        false => appended(url, path).ok_or_else(|| setting.bad("a URL such as http://collector:4318"))?,
    };
    Ok(Some(Endpoint {
        url,
        headers: groups.iter().find_map(|group| group.headers.clone()).unwrap_or_default(),
        timeout: groups.iter().find_map(|group| group.timeout).unwrap_or(DEFAULT_TIMEOUT),
        gzip: groups.iter().find_map(|group| group.gzip).unwrap_or(false),
    }))
}

/// `base` with `path` added to its own path.
fn appended(base: &Uri, path: &str) -> Option<Uri> {
    let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}/{path}{query}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}
