//! Where telemetry goes: the OTEL_* variables and `[otlp]` of the file.
//!
//! Sources: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
//! Platforms set these variables for all processes of a pod, so one that means nothing to smscope is a warning, as the specification
//! has it, and never keeps it from starting. An error is only what an endpoint needs that is set: its URL, its headers, its files. The
//! file is for smscope alone, and each of its values has to be good. What a switched-off signal was given is not looked at.
//!
//! A setting of a signal is, in this order: its own variable, the general variable, `[otlp.<signal>]`, `[otlp]`.

use std::time::Duration;

use hyper::http::Uri;

use super::file::Table;
use super::headers::{self, Header};
use super::proxy::Proxies;
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
pub(super) fn read(
    mut table: Table,
    env: &dyn Environment,
    proxies: &Proxies,
    warnings: &mut Vec<String>,
) -> Result<Otlp, ConfigError> {
    let origins = table.origins();
    let disabled = sdk_disabled(env, warnings);
    let (service_name, resource) = resource(&mut table, env, warnings)?;
    let interval_in_file =
        table.take("metric_interval").map(|setting| setting.duration(MILLISECOND..=DAY)).transpose()?;
    let interval = match Setting::of_env(env, "OTEL_METRIC_EXPORT_INTERVAL") {
        Some(setting) if !disabled => {
            let interval = leniently(setting.millis(MILLISECOND..=DAY), warnings);
            interval.inspect(|_| table.note("metric_interval", &setting)).or(interval_in_file)
        }
        _ => interval_in_file,
    };
    let strict_answers = table.take("strict_answers").map_or(Ok(false), |setting| setting.boolean())?;

    let mut logs = table.table("logs")?;
    let mut metrics = table.table("metrics")?;
    let logs_on = exporter_is_on(&mut logs, env, "OTEL_LOGS_EXPORTER", warnings)? && !disabled;
    let metrics_on = exporter_is_on(&mut metrics, env, "OTEL_METRICS_EXPORTER", warnings)? && !disabled;
    unsupported(env, logs_on, metrics_on, warnings);
    let (logs_file, metrics_file) = (Group::of_file(&mut logs)?.own(), Group::of_file(&mut metrics)?.own());
    logs.finish()?;
    metrics.finish()?;
    let file = Group::of_file(&mut table)?;
    table.finish()?;

    let is_on = logs_on || metrics_on;
    let general = if is_on { Group::of_env(env, "OTEL_EXPORTER_OTLP", warnings)? } else { Group::default() };
    let system = SystemRoots::default();
    let mut signal = |on: bool, prefix: &str, file_of_signal: &Group, path: &str| {
        if !on {
            return Ok(None);
        }
        let of_signal = Group::of_env(env, prefix, warnings)?.own();
        let groups = Groups([&of_signal, &general, file_of_signal, &file]);
        let endpoint = groups.endpoint(path, &system, proxies, warnings)?;
        Ok(endpoint.map(|endpoint| Endpoint { strict_answers, ..endpoint }))
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
    Ok(Otlp { logs, metrics, metric_interval, strict_answers, service_name, resource })
}

/// What a variable says, or a warning that it is not used.
fn leniently<T>(read: Result<T, ConfigError>, warnings: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| warnings.push(format!("{error}; not used"))).ok()
}

/// What the specification lets be asked for and smscope has not, the value that asks for what it does anyway, and what that is.
const UNSUPPORTED: [(&str, &str, &str); 11] = [
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative",
        "sums are cumulative; a backend of deltas needs a Collector with the processor cumulativetodelta before it",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "explicit_bucket_histogram",
        "histograms have the explicit buckets of docs/metrics.md",
    ),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "", ATTRIBUTES_WHOLE),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "", ATTRIBUTES_WHOLE),
    ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "", ATTRIBUTES_WHOLE),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "", ATTRIBUTES_WHOLE),
    ("OTEL_BLRP_SCHEDULE_DELAY", "", NO_QUEUE),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "", NO_QUEUE),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "", NO_QUEUE),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "", NO_QUEUE),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "", "a push ends by OTEL_EXPORTER_OTLP_TIMEOUT"),
];
const ATTRIBUTES_WHOLE: &str = "records have at most some thirty attributes, each of them whole";
const NO_QUEUE: &str = "records wait in the store and leave in batches of up to 512, within a second";

/// One warning for each variable that asks for what smscope has not.
fn unsupported(env: &dyn Environment, logs_on: bool, metrics_on: bool, warnings: &mut Vec<String>) {
    for (variable, same, instead) in UNSUPPORTED {
        let is_on = if variable.contains("METRIC") { metrics_on } else { logs_on };
        let asks = |setting: &Setting| setting.text("").map_or(true, |text| !text.eq_ignore_ascii_case(same));
        let asked = Setting::of_env(env, variable).filter(|setting| is_on && asks(setting));
        warnings.extend(asked.map(|setting| setting.remark(format_args!("not supported: {instead}"))));
    }
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

/// Exporters of the specification and of SDKs that are not OTLP's.
const OTHER_EXPORTERS: [&str; 8] =
    ["prometheus", "console", "logging", "logging-otlp", "stdout", "zipkin", "jaeger", "file"];

/// Whether a signal goes by OTLP, if it has an endpoint. The variable may be a list, and name what other processes have.
fn exporter_is_on(
    table: &mut Table,
    env: &dyn Environment,
    variable: &str,
    warnings: &mut Vec<String>,
) -> Result<bool, ConfigError> {
    let in_file = table.take("exporter");
    let is_on = |setting: &Setting| {
        setting.parse("otlp or none", |text| match text.to_ascii_lowercase().as_str() {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        })
    };
    let of_file = in_file.as_ref().map(is_on).transpose()?;
    let Some(setting) = Setting::of_env(env, variable) else {
        if of_file == Some(false) {
            table.note_file("endpoint");
        }
        return Ok(of_file.unwrap_or(true));
    };
    let text = setting.text("").unwrap_or_default().to_ascii_lowercase();
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let others: Vec<&str> = names.iter().copied().filter(|name| !["otlp", "none"].contains(name)).collect();
    let (on, consequence) = match () {
        () if names.contains(&"otlp") => (true, "goes by otlp alone"),
        () if names.contains(&"none") => (false, "is not exported"),
        () if others.iter().all(|name| OTHER_EXPORTERS.contains(name)) => (false, "is not exported"),
        () => (of_file.unwrap_or(true), "is exported as if the variable were not set"),
    };
    if !others.is_empty() {
        let scrape = if variable.contains("METRICS") { "; metrics can be scraped in any case" } else { "" };
        warnings.push(setting.remark(format_args!("the signal {consequence}{scrape}; expected otlp or none")));
    }
    // What switches a signal off is why it has no endpoint.
    if !on {
        table.note("endpoint", &setting);
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
    let own_variable = Setting::of_env(env, "OTEL_SERVICE_NAME").and_then(|setting| {
        let name = leniently(name(setting.clone()), warnings)?;
        table.note("service_name", &setting);
        Some(name)
    });
    let service_name = own_variable.or(name_in_env).or(name_in_file);
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
    /// An error only where there is an endpoint to send them to.
    headers: Option<Result<Vec<Header>, ConfigError>>,
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
    fn of_env(env: &dyn Environment, prefix: &str, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let variable = |suffix: &str| Setting::of_env(env, &format!("{prefix}_{suffix}"));
        Ok(Self {
            endpoint: variable("ENDPOINT").map(url).transpose()?,
            headers: variable("HEADERS").map(headers::of_text),
            timeout: variable("TIMEOUT").and_then(|setting| leniently(setting.millis(MILLISECOND..=HOUR), warnings)),
            gzip: variable("COMPRESSION").and_then(|setting| leniently(compression(setting), warnings)),
            protocol: variable("PROTOCOL").and_then(|setting| leniently(protocol(setting), warnings)),
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
            headers: table.optional_table("headers")?.map(headers::of_table).transpose()?.map(Ok),
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
        proxies: &Proxies,
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
        let headers = match self.first(|group| group.headers.as_ref()) {
            Some(headers) => headers.as_deref().map_err(Clone::clone)?,
            None => &[],
        };
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
        let proxy = proxies.of(&url);
        let endpoint = Endpoint {
            protocol,
            url,
            headers: headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            timeout: self.first(|group| group.timeout).unwrap_or(DEFAULT_TIMEOUT),
            gzip: self.first(|group| group.gzip).unwrap_or(false),
            strict_answers: false,
            tls,
            proxy,
        };
        warnings.extend(endpoint.unusual_port().map(|question| setting.remark(question)));
        Ok(Some(endpoint))
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
