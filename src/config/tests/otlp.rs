use super::*;

/// What an endpoint is, in a line.
fn shown(endpoint: Option<&Endpoint>) -> String {
    let Some(endpoint) = endpoint else { return "off".to_owned() };
    let headers = endpoint.headers.iter().map(|(name, value)| format!(" {name}={}", value.to_str().unwrap()));
    let gzip = if endpoint.gzip { " gzip" } else { "" };
    let grpc = if endpoint.protocol == Protocol::Grpc { " grpc" } else { "" };
    let timeout = show_duration(endpoint.timeout);
    format!("{}{grpc} {timeout}{gzip}{}", endpoint.url, headers.collect::<String>())
}

fn endpoints(toml: &str, env: &Env) -> (String, String) {
    let otlp = loaded(toml, env).config.otlp;
    (shown(otlp.logs.as_ref()), shown(otlp.metrics.as_ref()))
}

const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
const LOGS: &str = "http://c:4318/v1/logs 10s";
const METRICS: &str = "http://c:4318/v1/metrics 10s";

#[test]
fn a_variable_for_all_signals_yields_to_one_for_a_signal() {
    for (env, logs, metrics) in [
        (&[][..], "off", "off"),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], "off", "off"),
        (&[GENERAL], LOGS, METRICS),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/")],
            "http://c:4318/base/v1/logs 10s",
            "http://c:4318/base/v1/metrics 10s",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c/b?k=v")],
            "http://c/b/v1/logs?k=v 10s",
            "http://c/b/v1/metrics?k=v 10s",
        ),
        (&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://l:1")], "http://l:1/ 10s", "off"),
        (&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m/in?k=v")], "off", "http://m/in?k=v 10s"),
        (&[GENERAL, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://l/x")], "http://l/x 10s", METRICS),
        (&[GENERAL, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "")], LOGS, METRICS),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")],
            "http://c:4318/v1/logs 500ms",
            "http://c:4318/v1/metrics 500ms",
        ),
        (&[GENERAL, ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "500")], "http://c:4318/v1/logs 500ms", METRICS),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2000")],
            "http://c:4318/v1/logs 500ms",
            "http://c:4318/v1/metrics 2s",
        ),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
            "http://c:4318/v1/logs 10s gzip",
            "http://c:4318/v1/metrics 10s gzip",
        ),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"), ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none")],
            LOGS,
            "http://c:4318/v1/metrics 10s gzip",
        ),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b,x=y=")],
            "http://c:4318/v1/logs 10s api-key=a b x=y=",
            "http://c:4318/v1/metrics 10s api-key=a b x=y=",
        ),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"), ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "b=2")],
            "http://c:4318/v1/logs 10s a=1",
            "http://c:4318/v1/metrics 10s b=2",
        ),
        (&[GENERAL, ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/protobuf")], LOGS, METRICS),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "http://c:4317/ grpc 10s",
            "http://c:4317/ grpc 10s",
        ),
        (
            &[GENERAL, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c/"), ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "GRPC")],
            "http://c/ grpc 10s",
            METRICS,
        ),
        (&[GENERAL, ("OTEL_LOGS_EXPORTER", "none")], "off", METRICS),
        (&[GENERAL, ("OTEL_METRICS_EXPORTER", "None")], LOGS, "off"),
        (&[GENERAL, ("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_METRICS_EXPORTER", "")], LOGS, METRICS),
        (&[GENERAL, ("OTEL_SDK_DISABLED", "TRUE")], "off", "off"),
        (&[GENERAL, ("OTEL_SDK_DISABLED", "false")], LOGS, METRICS),
        (&[GENERAL, ("OTEL_SDK_DISABLED", "1")], LOGS, METRICS),
    ] {
        assert_eq!(endpoints("", env), (logs.to_owned(), metrics.to_owned()), "{env:?}");
    }
}

#[test]
fn what_a_signal_that_is_off_was_given_is_not_looked_at() {
    let secure = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    for env in [
        &[secure, grpc, ("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "x")][..],
        &[secure, grpc, ("OTEL_LOGS_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")],
        &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://c"), ("OTEL_LOGS_EXPORTER", "none")],
        &[grpc],
        &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem")],
    ] {
        assert_eq!(endpoints("", env), ("off".to_owned(), "off".to_owned()), "{env:?}");
    }
}

#[test]
fn the_file_has_a_table_for_each_signal() {
    let general = "[otlp]\nendpoint = \"http://f:1\"\ntimeout = \"3s\"\ncompression = \"gzip\"\n\
                   protocol = \"http/protobuf\"\nheaders = { a = \"1\" }\n";
    let logs =
        "[otlp.logs]\nendpoint = \"http://l:1/x\"\ntimeout = \"4s\"\ncompression = \"none\"\nheaders = { b = \"2\" }\n";
    let off = "[otlp.metrics]\nexporter = \"none\"\n";
    let both = format!("{general}{logs}");
    let half = format!("{general}{off}");
    for (toml, env, logs, metrics) in [
        (general, &[][..], "http://f:1/v1/logs 3s gzip a=1", "http://f:1/v1/metrics 3s gzip a=1"),
        (&both, &[], "http://l:1/x 4s b=2", "http://f:1/v1/metrics 3s gzip a=1"),
        (&half, &[], "http://f:1/v1/logs 3s gzip a=1", "off"),
        (
            &half,
            &[("OTEL_METRICS_EXPORTER", "otlp")],
            "http://f:1/v1/logs 3s gzip a=1",
            "http://f:1/v1/metrics 3s gzip a=1",
        ),
        (&both, &[GENERAL], "http://c:4318/v1/logs 4s b=2", "http://c:4318/v1/metrics 3s gzip a=1"),
        (
            &both,
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "9000"), ("OTEL_EXPORTER_OTLP_HEADERS", "c=3")],
            "http://l:1/x 9s c=3",
            "http://f:1/v1/metrics 9s gzip c=3",
        ),
        (&both, &[("OTEL_SDK_DISABLED", "true")], "off", "off"),
    ] {
        assert_eq!(endpoints(toml, env), (logs.to_owned(), metrics.to_owned()), "{toml} {env:?}");
    }
}

#[test]
fn the_metric_interval_is_milliseconds_in_the_environment_and_a_duration_in_the_file() {
    let file = "[otlp]\nmetric_interval = \"5s\"";
    for (toml, env, expected) in [
        ("", &[][..], "1m"),
        (file, &[], "5s"),
        (file, &[("OTEL_METRIC_EXPORT_INTERVAL", "1500")], "1500ms"),
        (file, &[("OTEL_METRIC_EXPORT_INTERVAL", "")], "5s"),
    ] {
        assert_eq!(show_duration(loaded(toml, env).config.otlp.metric_interval), expected, "{toml} {env:?}");
    }
}

#[test]
fn the_resource_is_put_together_and_the_service_name_has_its_own_variable() {
    let file =
        "[otlp]\nservice_name = \"file\"\n[otlp.resource]\n\"deployment.environment.name\" = \"test\"\nteam = \"sms\"";
    let in_resource = "[otlp.resource]\n\"service.name\" = \"file-resource\"";
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=attribute,team=a%2Cb,k=v");
    for (toml, env, name, resource) in [
        ("", &[][..], "smscope", ""),
        (file, &[], "file", "deployment.environment.name=test team=sms"),
        (in_resource, &[], "file-resource", ""),
        ("", &[attributes], "attribute", "team=a,b k=v"),
        (file, &[attributes], "attribute", "deployment.environment.name=test team=a,b k=v"),
        (file, &[attributes, ("OTEL_SERVICE_NAME", "own")], "own", "deployment.environment.name=test team=a,b k=v"),
        (file, &[("OTEL_SERVICE_NAME", "")], "file", "deployment.environment.name=test team=sms"),
        ("", &[("OTEL_RESOURCE_ATTRIBUTES", "")], "smscope", ""),
        ("", &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=")], "smscope", ""),
    ] {
        let otlp = loaded(toml, env).config.otlp;
        let pairs: Vec<String> = otlp.resource.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!((otlp.service_name.as_str(), pairs.join(" ").as_str()), (name, resource), "{toml} {env:?}");
    }
}

#[test]
fn malformed_resource_attributes_and_a_strange_boolean_are_warnings() {
    let loaded = loaded("", &[("OTEL_RESOURCE_ATTRIBUTES", "team=sms,broken"), ("OTEL_SDK_DISABLED", "yes")]);
    assert!(loaded.config.otlp.resource.is_empty());
    assert_eq!(
        loaded.warnings,
        [
            "OTEL_SDK_DISABLED = \"yes\": read as false; expected true or false",
            "OTEL_RESOURCE_ATTRIBUTES = \"team=sms,broken\": expected key=value,key2=value2, percent-encoded; \
             none of it is used",
        ]
    );
}

#[test]
fn what_an_endpoint_cannot_do_with_ends_in_a_line_that_names_it_and_never_shows_a_header() {
    const URL: &str = "expected a URL such as http://collector:4318";
    let pairs = "expected key=value,key2=value2, percent-encoded";
    for (variable, value, problem) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317", format!(" = \"c:4317\": {URL}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:hidden@c", format!(" = \"http://…@c\": {URL}")),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "grpc://c?hidden", format!(" = \"grpc://c?…\": {URL}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hidden", format!(": {pairs}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hidden", format!(": {pairs}")),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a=hidden%0A", format!(": {pairs}")),
    ] {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), (variable, value)];
        let line = rejected("", &env);
        let first = line.lines().next().unwrap();
        assert_eq!(first, format!("{variable}{problem}"));
        assert!(!line.contains("hidden"), "{line}");
    }
}

#[test]
fn a_bad_key_of_the_file_ends_in_a_line_that_names_it_and_never_shows_a_header() {
    for (toml, line) in [
        ("endpoint = \"c\"", r#"otlp.endpoint = "c": expected a URL such as http://collector:4318"#),
        (
            "endpoint = \"http://c\"\nprotocol = \"http/json\"",
            r#"otlp.protocol = "http/json": expected http/protobuf or grpc"#,
        ),
        ("headers = \"hidden\"", "otlp.headers: expected a table"),
        ("headers = { \"a\" = 5 }", "otlp.headers.a: expected a header's name and value, of printable characters"),
        (
            "headers = { \"a b\" = \"hidden\" }",
            "otlp.headers.a b: expected a header's name and value, of printable characters",
        ),
        ("timeout = 10000", "otlp.timeout = 10000: expected a duration such as 500ms, 15s or 72h, from 1ms to 1h"),
        ("compression = true", "otlp.compression = true: expected gzip or none"),
        (
            "metric_interval = \"2d\"",
            r#"otlp.metric_interval = "2d": expected a duration such as 500ms, 15s or 72h, from 1ms to 1d"#,
        ),
        ("service_name = \" \"", r#"otlp.service_name = " ": expected a name that is not empty"#),
        ("resource = { team = 5 }", "otlp.resource.team = 5: expected a text"),
        ("logs = { exporter = \"stdout\" }", r#"otlp.logs.exporter = "stdout": expected otlp or none"#),
        (
            "metrics = { timeout = \"x\" }",
            "otlp.metrics.timeout = \"x\": expected a duration such as 500ms, 15s or 72h, from 1ms to 1h",
        ),
    ] {
        assert_eq!(rejected(&format!("[otlp]\n{toml}"), &[]), line);
    }
}

#[test]
fn variables_for_other_processes_are_warnings_and_the_rest_stays_in_effect() {
    let millis = |most: u32| format!("expected a number of milliseconds from 1 to {most}; not used");
    let off = "off";
    for (variable, value, logs, metrics, warning) in [
        (
            "OTEL_METRICS_EXPORTER",
            "prometheus",
            LOGS,
            off,
            "the signal is not exported; metrics can be scraped in any case; expected otlp or none",
        ),
        (
            "OTEL_METRICS_EXPORTER",
            "otlp,prometheus",
            LOGS,
            METRICS,
            "the signal is exported by otlp alone; metrics can be scraped in any case; expected otlp or none",
        ),
        (
            "OTEL_METRICS_EXPORTER",
            " Prometheus , OTLP ",
            LOGS,
            METRICS,
            "the signal is exported by otlp alone; metrics can be scraped in any case; expected otlp or none",
        ),
        (
            "OTEL_METRICS_EXPORTER",
            "console,none",
            LOGS,
            off,
            "the signal is not exported; metrics can be scraped in any case; expected otlp or none",
        ),
        ("OTEL_LOGS_EXPORTER", "console", off, METRICS, "the signal is not exported; expected otlp or none"),
        ("OTEL_LOGS_EXPORTER", "logging", off, METRICS, "the signal is not exported; expected otlp or none"),
        (
            "OTEL_LOGS_EXPORTER",
            "oltp",
            LOGS,
            METRICS,
            "the signal is exported as if the variable were not set; expected otlp or none",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", LOGS, METRICS, "expected http/protobuf or grpc; not used"),
        (
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
            "carrier pigeon",
            LOGS,
            METRICS,
            "expected http/protobuf or grpc; not used",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", LOGS, METRICS, "expected gzip or none; not used"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "snappy", LOGS, METRICS, "expected gzip or none; not used"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", LOGS, METRICS, &millis(3_600_000)),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "0", LOGS, METRICS, &millis(3_600_000)),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60s", LOGS, METRICS, &millis(86_400_000)),
        (
            "OTEL_SERVICE_NAME",
            "a\u{7}b",
            LOGS,
            METRICS,
            "a line break or another control character in it; expected a name that is not empty; not used",
        ),
    ] {
        let env = [GENERAL, (variable, value)];
        assert_eq!(endpoints("", &env), (logs.to_owned(), metrics.to_owned()), "{env:?}");
        let loaded = loaded("", &env);
        assert_eq!(loaded.warnings, [format!("{variable} = {value:?}: {warning}")]);
        assert_eq!(loaded.config.otlp.metric_interval, DEFAULT_INTERVAL);
        // Nobody asked for an endpoint, and nothing is in the way of the rest.
        super::loaded("", &[(variable, value)]);
    }
    super::loaded("", &[("OTEL_EXPORTER_OTLP_HEADERS", "malformed")]);
    let of_file = "[otlp]\nendpoint = \"http://f\"\nmetric_interval = \"5s\"\nmetrics.exporter = \"none\"";
    let otlp = loaded(of_file, &[("OTEL_METRIC_EXPORT_INTERVAL", "x"), ("OTEL_METRICS_EXPORTER", "oltp")]).config.otlp;
    assert_eq!((show_duration(otlp.metric_interval).as_str(), otlp.metrics.is_none()), ("5s", true));
}

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

#[test]
fn an_unsupported_variable_is_a_warning() {
    for (variable, same, other) in [
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Cumulative", "delta"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "lowmemory"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
            "base2_exponential_bucket_histogram",
        ),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "", "128"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "", "16"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "", "128"),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "", "16"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "", "5000"),
        ("OTEL_BLRP_EXPORT_TIMEOUT", "", "5000"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "", "2048"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "", "64"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "", "5000"),
    ] {
        assert_eq!(loaded("", &[(variable, same)]).warnings, [""; 0], "{variable}={same}");
        let warnings = loaded("", &[(variable, other)]).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(&format!("{variable} = {other:?}: not supported: ")), "{warnings:?}");
        let off = ("OTEL_SDK_DISABLED", "true");
        assert_eq!(loaded("", &[off, (variable, other)]).warnings, [""; 0], "{variable}");
    }
}

#[test]
fn the_port_of_the_other_protocol_is_a_warning() {
    for (protocol, url, question) in [
        ("http/protobuf", "http://c:4317", "is it port 4318, or the protocol grpc?"),
        ("grpc", "http://c:4318", "is it port 4317, or the protocol http/protobuf?"),
        ("http/protobuf", "http://c:4318", ""),
        ("grpc", "http://c:4317", ""),
        ("grpc", "http://c", ""),
    ] {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let warnings = loaded("", &env).warnings;
        match question {
            "" => assert_eq!(warnings, [""; 0]),
            // One for both signals.
            _ => assert!(warnings.len() == 1 && warnings[0].ends_with(question), "{warnings:?}"),
        }
    }
}
