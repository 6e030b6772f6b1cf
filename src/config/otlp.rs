//! Where telemetry goes: the OTEL_* variables and `[otlp]` of the file.
//!
//! Sources: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
//! Where these would ignore a bad value with a warning, smscope refuses it, as it does for every setting of its own;
//! only OTEL_RESOURCE_ATTRIBUTES is dropped with a warning. What a switched-off signal was given is not looked at,
//! because platforms set these variables for everybody.
//!
//! A setting of a signal is, in this order: its own variable, the general variable, `[otlp.<signal>]`, `[otlp]`.

use std::time::Duration;

use hyper::http::Uri;

use super::file::Table;
use super::headers::{self, Header};
use super::setting::Setting;
use super::tls::{self, SystemRoots};
use super::value::{self, DAY, HOUR};
use super::{ConfigError, Endpoint, Environment, Otlp, Protocol};

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
    let system = SystemRoots::default();
    let mut signal = |on: bool, prefix: &str, file_of_signal: &Group, path: &str| {
        if !on {
            return Ok(None);
        }
        let of_signal = Group::of_env(env, prefix)?.own();
        Groups([&of_signal, &general, file_of_signal, &file]).endpoint(path, &system, warnings)
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
    headers: Option<Vec<Header>>,
    timeout: Option<Duration>,
    gzip: Option<bool>,
    protocol: Option<Protocol>,
    certificate: Option<Setting>,
    client_certificate: Option<Setting>,
    client_key: Option<Setting>,
    /// Whether `endpoint` is a signal's own URL, rather than a base that the signal's path is added to.
    of_one_signal: bool,
}

impl Group {
    fn own(self) -> Self {
        Self { of_one_signal: true, ..self }
    }

    /// The variables that start with `prefix`.
    fn of_env(env: &dyn Environment, prefix: &str) -> Result<Self, ConfigError> {
        let variable = |suffix: &str| Setting::of_env(env, &format!("{prefix}_{suffix}"));
        Ok(Self {
            endpoint: variable("ENDPOINT").map(url).transpose()?,
            headers: variable("HEADERS").map(headers::of_text).transpose()?,
            timeout: variable("TIMEOUT").map(|setting| setting.millis(MILLISECOND..=HOUR)).transpose()?,
            gzip: variable("COMPRESSION").map(compression).transpose()?,
            protocol: variable("PROTOCOL").map(protocol).transpose()?,
            certificate: variable("CERTIFICATE"),
            client_certificate: variable("CLIENT_CERTIFICATE"),
            client_key: variable("CLIENT_KEY"),
            of_one_signal: false,
        })
    }

    /// The keys of `[otlp]`, `[otlp.logs]` or `[otlp.metrics]`.
    fn of_file(table: &mut Table) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoint: table.take("endpoint").map(url).transpose()?,
            headers: table.optional_table("headers")?.map(headers::of_table).transpose()?,
            timeout: table.take("timeout").map(|setting| setting.duration(MILLISECOND..=HOUR)).transpose()?,
            gzip: table.take("compression").map(compression).transpose()?,
            protocol: table.take("protocol").map(protocol).transpose()?,
            certificate: table.take_path("certificate"),
            client_certificate: table.take_path("client_certificate"),
            client_key: table.take_path("client_key"),
            of_one_signal: false,
        })
    }
}

const URL: &str = "a URL such as http://collector:4318";
const URL_OF_GRPC: &str = "a URL without a path, such as http://collector:4317";

fn url(setting: Setting) -> Result<(Setting, Uri), ConfigError> {
    let setting = setting.url();
    let url = setting.parse(URL, |text| value::web_url(text.trim()))?;
    Ok((setting, url))
}

fn compression(setting: Setting) -> Result<bool, ConfigError> {
    setting.parse("gzip or none", |text| match text.trim().to_ascii_lowercase().as_str() {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    })
}

fn protocol(setting: Setting) -> Result<Protocol, ConfigError> {
    let all = [Protocol::HttpProtobuf, Protocol::Grpc];
    setting.parse("http/protobuf or grpc", |text| {
        all.into_iter().find(|protocol| text.trim().eq_ignore_ascii_case(protocol.as_str()))
    })
}

/// The groups that speak of one signal, the strongest first.
struct Groups<'a>([&'a Group; 4]);

impl<'a> Groups<'a> {
    fn first<T>(&self, of: impl Fn(&'a Group) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|group| of(group))
    }

    /// The signal's endpoint; `None` when no group has one.
    fn endpoint(
        &self,
        path: &str,
        system: &SystemRoots,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Endpoint>, ConfigError> {
        let given = |group: &'a Group| group.endpoint.as_ref().map(|(setting, url)| (group, setting, url));
        let Some((group, setting, url)) = self.first(given) else { return Ok(None) };
        let protocol = self.first(|group| group.protocol).unwrap_or(Protocol::HttpProtobuf);
        let url = match protocol {
            // The services of gRPC have paths of their own.
            Protocol::Grpc if url.path() == "/" && url.query().is_none() => url.clone(),
            Protocol::Grpc => return Err(setting.wrong("the protocol is grpc", URL_OF_GRPC)),
            Protocol::HttpProtobuf if group.of_one_signal => url.clone(),
            Protocol::HttpProtobuf => appended(url, path).ok_or_else(|| setting.bad(URL))?,
        };
        let headers = self.first(|group| group.headers.as_deref()).unwrap_or_default();
        if protocol == Protocol::Grpc {
            headers.iter().try_for_each(Header::check_as_metadata)?;
        }
        let tls = tls::Given {
            certificate: self.first(|group| group.certificate.as_ref()),
            client_certificate: self.first(|group| group.client_certificate.as_ref()),
            client_key: self.first(|group| group.client_key.as_ref()),
        };
        let tls = match url.scheme_str() {
            Some("https") => Some(tls::read(tls, setting, system)?),
            _ => {
                let [a, b, c] = [tls.certificate, tls.client_certificate, tls.client_key];
                warnings.extend(a.or(b).or(c).map(|unused| {
                    format!("{}: not used with {}, which is not https", unused.key, value::show_url(&url.to_string()))
                }));
                None
            }
        };
        Ok(Some(Endpoint {
            protocol,
            url,
            headers: headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            timeout: self.first(|group| group.timeout).unwrap_or(DEFAULT_TIMEOUT),
            gzip: self.first(|group| group.gzip).unwrap_or(false),
            tls,
        }))
    }
}

/// `base` with `path` added to its own path.
fn appended(base: &Uri, path: &str) -> Option<Uri> {
    let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}/{path}{query}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}
