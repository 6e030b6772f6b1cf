//! Every setting there is, in words: what docs/configuration.md and the manual page are made of.
//!
//! tests/reference.rs holds this table to the loader, and the document to this table.

mod platform;
mod reactions;

/// A setting that the loader takes.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the file, `store.retention`; `<signal>` is `logs` or `metrics`. Empty when only a variable has it.
    pub key: &'static str,
    /// What kind of value it is.
    pub kind: &'static str,
    /// What `smscope check` shows when nobody gives it; empty when nothing stands in for it.
    pub default: &'static str,
    /// A value that is taken, in TOML.
    pub example: &'static str,
    /// A value that is not, in TOML; one of the variable when there is no key.
    pub wrong: &'static str,
    /// The sister settings that it cannot be without, in TOML.
    pub beside: &'static str,
    /// What other tables have to say for it to be taken, in TOML.
    pub elsewhere: &'static str,
    /// The environment variable and a value for it; `<SIGNAL>` is `LOGS` or `METRICS`.
    pub variable: Option<(&'static str, &'static str)>,
    pub flag: Option<&'static str>,
    /// In one phrase.
    pub meaning: &'static str,
}

/// All settings, those of one table together.
pub fn settings() -> impl Iterator<Item = Setting> {
    SETTINGS.iter().chain(platform::SETTINGS).chain(reactions::SETTINGS).copied()
}

const fn key(key: &'static str, kind: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        key,
        kind,
        default,
        example: "",
        wrong: "",
        beside: "",
        elsewhere: "",
        variable: None,
        flag: None,
        meaning,
    }
}

const fn variable(name: &'static str, kind: &'static str, value: &'static str, meaning: &'static str) -> Setting {
    Setting { variable: Some((name, value)), ..key("", kind, "", meaning) }
}

impl Setting {
    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    const fn wrong(self, wrong: &'static str) -> Self {
        Self { wrong, ..self }
    }

    const fn beside(self, beside: &'static str) -> Self {
        Self { beside, ..self }
    }

    const fn elsewhere(self, elsewhere: &'static str) -> Self {
        Self { elsewhere, ..self }
    }

    const fn variable(self, name: &'static str, value: &'static str) -> Self {
        Self { variable: Some((name, value)), ..self }
    }

    const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    /// The heading that it stands under: its table in the file, empty at the top, or `variables`.
    pub fn section(&self) -> &'static str {
        match self.key.split_once('.') {
            _ if self.key.is_empty() => "variables",
            None => "",
            Some(("otlp", rest)) if rest.starts_with("<signal>.") => "otlp.<signal>",
            Some((table, _)) => table,
        }
    }

    /// Its key within its table in the document.
    pub fn name(&self) -> &'static str {
        self.key.strip_prefix(self.section()).unwrap_or(self.key).trim_start_matches('.')
    }
}

// What the files of TLS are looked at with.
const TLS_OF_LISTENER: &str = "certificate = \"/etc/smscope/tls.pem\"\nkey = \"/etc/smscope/tls.key\"";
const TLS_OF_CLIENTS: &str = "certificate = \"/etc/smscope/tls.pem\"\nkey = \"/etc/smscope/tls.key\"\n\
    client_authorities = \"/etc/smscope/ca.pem\"";
const TLS_OF_CA: &str = r#"endpoint = "https://collector:4318""#;
const TLS_OF_CERTIFICATE: &str = "endpoint = \"https://collector:4318\"\ncertificate = \"/etc/smscope/ca.pem\"\n\
    client_key = \"/etc/smscope/client.key\"";
const TLS_OF_KEY: &str = "endpoint = \"https://collector:4318\"\ncertificate = \"/etc/smscope/ca.pem\"\n\
    client_certificate = \"/etc/smscope/client.pem\"";

const API_KEY: &str = r#"key = "s3cret-key""#;
const A_SOURCE_WITH_KEY: &str = "[[source]]\nname = \"smsmode\"\napi = { key = \"s3cret-key\" }\n";
const A_PUBLIC_URL: &str = "public_url = \"http://sms.example.com\"\n";

const STOP_KEYWORDS: &str = "STOP, STOPALL, STOP ALL, STOPSMS, STOP SMS, UNSUBSCRIBE, END, QUIT, CANCEL, OPTOUT, OPT OUT, REVOKE, \
    ARRET, ARRETER, DESABONNEMENT, DESABONNER, DESINSCRIPTION, DESINSCRIRE, BAJA, ALTO, CANCELAR, PARAR, \
    SAIR, CANCELLA, DISISCRIVI, STOPP, ABMELDEN, ABBESTELLEN, AFMELDEN";

const START_KEYWORDS: &str = "START, UNSTOP, RESUME, SUBSCRIBE, OPTIN, OPT IN, REPRENDRE, REABONNER, REABONNEMENT, ALTA, RETOMAR, RIPRENDI, ANMELDEN, AANMELDEN";

static SETTINGS: &[Setting] = &[
    key("listen", "address and port", "127.0.0.1:7672", "where webhooks are taken")
        .example(r#""0.0.0.0:7672""#)
        .wrong(r#""7672""#)
        .variable("SMSCOPE_LISTEN", "0.0.0.0:7672")
        .flag("--listen"),
    key("admin_listen", "address and port", "127.0.0.1:7673", "metrics, health and the page; to anyone who reaches it, unless `[admin]` says otherwise")
        .example(r#""10.0.0.5:7673""#)
        .wrong(r#""localhost""#)
        .variable("SMSCOPE_ADMIN_LISTEN", "10.0.0.5:7673")
        .flag("--admin-listen"),
    key("data_dir", "path", "./smscope-data", "where everything is kept")
        .example(r#""/var/lib/smscope""#)
        .wrong(r#""""#)
        .variable("SMSCOPE_DATA_DIR", "/var/lib/smscope")
        .flag("--data-dir"),
    key("public_url", "URL", "none", "where the provider reaches smscope, if that is not the address of `listen`; a path may follow")
        .example(r#""https://sms.example.com""#)
        .wrong(r#""sms.example.com""#)
        .variable("SMSCOPE_PUBLIC_URL", "https://sms.example.com"),
    key("recipient_flood", "number", "20", "messages to one recipient within an hour at which `smscope_recipients_flooded_total` counts it")
        .example("50")
        .wrong("1"),
    key(
        "http.header_timeout",
        "duration",
        "15s",
        "from the opening of a connection, or the last answer on it, to the end of the next request's head; the handshake of \
         TLS is part of it",
    )
    .example(r#""5s""#)
    .wrong("15"),
    key("http.body_timeout", "duration", "10s", "from there to the end of the body")
        .example(r#""30s""#)
        .wrong(r#""2h""#),
    key("http.write_timeout", "duration", "10s", "how long an answer may wait for the client to read it")
        .example(r#""5s""#)
        .wrong(r#""0s""#),
    key(
        "http.shutdown_timeout",
        "duration",
        "10s",
        "what requests in flight get after SIGTERM; exporters get half of it after that",
    )
    .example(r#""25s""#)
    .wrong(r#""soon""#),
    key("http.max_body", "size", "2MiB", "one body, before and after decompression; all bodies that are being read may hold 64 MiB together, past which the answer is 503")
        .example(r#""4MiB""#)
        .wrong(r#""1GiB""#),
    key("http.max_connections", "number", "1024", "past them the connection that has waited longest for its request is closed; the kernel's queue holds who waits")
        .example("256")
        .wrong("0"),
    key(
        "http.tls.certificate",
        "path",
        "none",
        "with it the listener speaks TLS and nothing else: a PEM file with the certificate, then those that lead to its authority",
    )
    .example(r#""/etc/smscope/tls.pem""#)
    .wrong(r#""/nonexistent/tls.pem""#)
    .beside(r#"key = "/etc/smscope/tls.key""#),
    key("http.tls.key", "path", "", "its key, not encrypted: a PEM file")
        .example(r#""/etc/smscope/tls.key""#)
        .wrong(r#""/etc/smscope/client.key""#)
        .beside(r#"certificate = "/etc/smscope/tls.pem""#),
    key("http.tls.client_authorities", "path", "", "who vouches for clients, which are then asked for a certificate: a PEM file")
        .example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#)
        .beside(TLS_OF_LISTENER),
    key(
        "http.tls.client_certificates",
        "word",
        "",
        "`required`, which is the default where there are `client_authorities`, or `optional`: one that is shown has to be good",
    )
    .example(r#""optional""#)
    .wrong(r#""maybe""#)
    .beside(TLS_OF_CLIENTS),
    key(
        "admin.tls.certificate",
        "path",
        "none",
        "with it the admin listener speaks TLS and nothing else; the four of `[admin.tls]` mean what those of `[http.tls]` do",
    )
    .example(r#""/etc/smscope/tls.pem""#)
    .wrong(r#""/nonexistent/tls.pem""#)
    .beside(r#"key = "/etc/smscope/tls.key""#),
    key("admin.tls.key", "path", "", "its key, not encrypted: a PEM file")
        .example(r#""/etc/smscope/tls.key""#)
        .wrong(r#""/etc/smscope/client.key""#)
        .beside(r#"certificate = "/etc/smscope/tls.pem""#),
    key("admin.tls.client_authorities", "path", "", "who vouches for clients, which are then asked for a certificate: a PEM file")
        .example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#)
        .beside(TLS_OF_LISTENER),
    key("admin.tls.client_certificates", "word", "", "`required` or `optional`")
        .example(r#""optional""#)
        .wrong(r#""maybe""#)
        .beside(TLS_OF_CLIENTS),
    key("admin.basic.user", "text", "", "HTTP basic that everything on the admin listener but `/livez` and `/readyz` asks for, in `[admin.basic]`")
        .example(r#""prometheus""#)
        .wrong(r#""prometheus:s3cret""#)
        .beside(r#"password = "s3cret""#),
    key("admin.basic.password", "secret", "", "its password")
        .example(r#""s3cret""#)
        .wrong(r#""""#)
        .beside(r#"user = "prometheus""#),
    key("admin.basic.password_file", "path", "", "the same from a file")
        .example(r#""/etc/smscope/password""#)
        .wrong(r#""/nonexistent/password""#)
        .beside(r#"user = "prometheus""#),
    key("admin.bearer_token", "token", "none", "the same as a bearer token; where both are given, either is accepted")
        .example(r#""0123456789abcdef0123456789abcdef""#)
        .wrong(r#""s3cret""#),
    key("admin.bearer_token_file", "path", "none", "the same from a file")
        .example(r#""/etc/smscope/token""#)
        .wrong(r#""/nonexistent""#),
    key(
        "store.retention",
        "duration",
        "30d",
        "how long events are kept; message states and duplicate keys at least `horizon` + 48 h",
    )
    .example(r#""60d""#)
    .wrong(r#""forever""#)
    .variable("SMSCOPE_STORE_RETENTION", "60d"),
    key("store.horizon", "duration", "3d", "how long a message may stay pending before it is counted as expired")
        .example(r#""48h""#)
        .wrong(r#""2 days""#)
        .variable("SMSCOPE_STORE_HORIZON", "48h"),
    key(
        "store.export_retention",
        "duration",
        "7d",
        "how old a log record may be and still be exported; an event that waits for its export is kept that long even where \
         `retention` is shorter",
    )
    .example(r#""2d""#)
    .wrong(r#""20y""#),
    key(
        "store.size_limit",
        "size",
        "none",
        "what the database may hold. At the limit the oldest events go early, exported ones only where logs are exported; when \
         that is not enough, webhooks are answered 503",
    )
    .example(r#""20GiB""#)
    .wrong(r#""10KiB""#)
    .variable("SMSCOPE_STORE_SIZE_LIMIT", "20GiB"),
    key(
        "privacy.recipient",
        "word",
        "masked",
        "how numbers leave smscope: `masked` and hashed; `hashed`, without any of their digits, on the page too; or `plain`, where \
         log records have the full number as well, as `sms.recipient.number`",
    )
    .example(r#""hashed""#)
    .wrong(r#""hidden""#),
    key(
        "privacy.text",
        "word",
        "kept",
        "message texts: `dropped` before anything is written, `kept` in the store alone, or `exported` in log records too, as \
         `sms.text`",
    )
    .example(r#""dropped""#)
    .wrong("true"),
    key(
        "source.name",
        "name",
        "smsmode",
        "1 to 32 of `a-z 0-9 - _`, part of the callback URL and the `source` label; not `unknown`. Required in each `[[source]]`",
    )
    .example(r#""smsmode-otp""#)
    .wrong(r#""Marketing""#),
    key("source.tokens", "list of tokens", "made once and kept", "any of them lets in; several for rotation")
        .example(r#"["0123456789abcdef0123456789abcdef"]"#)
        .wrong(r#"["short"]"#),
    key("source.token_file", "path", "", "the same from a file, one token a line")
        .example(r#""/etc/smscope/token""#)
        .wrong(r#""/nonexistent/token""#),
    key("source.token_files", "list of paths", "", "the same from several files")
        .example(r#"["/etc/smscope/token", "/etc/smscope/token-new"]"#)
        .wrong(r#"["/nonexistent/token"]"#),
    key("source.allow", "list of addresses and networks", "any", "who may call")
        .example(r#"["192.0.2.0/24", "2001:db8::1"]"#)
        .wrong(r#"["smsmode.com"]"#),
    key("source.trusted_proxies", "list of addresses and networks", "none", "proxies whose X-Forwarded-For is believed")
        .example(r#"["10.0.0.0/8"]"#)
        .wrong(r#""10.0.0.0/8""#),
    key("source.channel_ids", "list of texts", "any", "smsmode channels that may be spoken of; an event that names none may pass")
        .example(r#"["3f0c5a1e-7a1b-4c59-9c7a-5d3b8e2f6a10"]"#)
        .wrong(r#"[""]"#),
    key("source.header.name", "header", "", "a header that callers must send, in `[source.header]`")
        .example(r#""X-Webhook-Secret""#)
        .wrong(r#""X Webhook Secret""#)
        .beside(r#"value = "s3cret""#),
    key("source.header.value", "secret", "", "its value")
        .example(r#""s3cret""#)
        .wrong(r#""""#)
        .beside(r#"name = "X-Webhook-Secret""#),
    key("source.header.value_file", "path", "", "the same from a file")
        .example(r#""/etc/smscope/header""#)
        .wrong(r#""/nonexistent/header""#)
        .beside(r#"name = "X-Webhook-Secret""#),
    key("source.basic.user", "text", "", "HTTP basic that callers must send, in `[source.basic]`")
        .example(r#""smsmode""#)
        .wrong(r#""smsmode:s3cret""#)
        .beside(r#"password = "s3cret""#),
    key("source.basic.password", "secret", "", "its password")
        .example(r#""s3cret""#)
        .wrong(r#""""#)
        .beside(r#"user = "smsmode""#),
    key("source.basic.password_file", "path", "", "the same from a file")
        .example(r#""/etc/smscope/password""#)
        .wrong(r#""/nonexistent/password""#)
        .beside(r#"user = "smsmode""#),
    key("source.api.key", "secret", "none", "a key of smsmode's API, in `[source.api]`, for what asks smsmode something: `[account]`, `[reconcile]`, `smscope connect`")
        .example(r#""s3cret-key""#)
        .wrong(r#""s3cret key""#)
        .variable("SMSCOPE_API_KEY", "s3cret-key"),
    key("source.api.key_file", "path", "", "the same from a file")
        .example(r#""/etc/smscope/api-key""#)
        .wrong(r#""/nonexistent/api-key""#)
        .variable("SMSCOPE_API_KEY_FILE", "/etc/smscope/api-key"),
    key("source.api.mode", "word", "", "`rest`, which is the default, or `legacy`: the HTTP API, which tells the credit and nothing else")
        .example(r#""legacy""#)
        .wrong(r#""soap""#)
        .beside(API_KEY),
    key("source.api.url", "URL", "", "where it is; by default `https://rest.smsmode.com/`, legacy `https://api.smsmode.com/`")
        .example(r#""http://127.0.0.1:8080/""#)
        .wrong(r#""rest.smsmode.com""#)
        .beside(API_KEY),
    key("source.api.timeout", "duration", "", "of one request, to the end of its answer; by default `10s`")
        .example(r#""5s""#)
        .wrong("5")
        .beside(API_KEY),
    key("source.timezone", "time zone", "Europe/Paris", "of timestamps without an offset")
        .example(r#""UTC""#)
        .wrong(r#""Paris""#),
    key("source.region", "country", "FR", "country of numbers in national form")
        .example(r#""BE""#)
        .wrong(r#""France""#),
    key(
        "source.stop_keywords",
        "list of texts",
        STOP_KEYWORDS,
        "texts that are an opt-out, whatever their case, accents and punctuation, also with a short code behind them",
    )
    .example(r#"["STOP", "ARRET"]"#)
    .wrong(r#""STOP""#),
    key("source.start_keywords", "list", START_KEYWORDS, "texts that take an opt-out back, likewise; `[]` for none")
        .example(r#"["START"]"#)
        .wrong(r#""START""#),
    key("source.recipient", "word", "", "instead of `privacy.recipient`")
        .example(r#""plain""#)
        .wrong(r#""full""#),
    key("source.text", "word", "", "instead of `privacy.text`")
        .example(r#""exported""#)
        .wrong(r#""none""#),
    key("account.enabled", "true or false", "false", "balance, consumption and limits of each source with an API key are looked at")
        .example("true")
        .wrong(r#""yes""#)
        .elsewhere(A_SOURCE_WITH_KEY),
    key("account.interval", "duration", "5m", "between two polls; the first one is spread over a tenth of it")
        .example(r#""1m""#)
        .wrong(r#""2d""#),
    key("self_probe.enabled", "true or false", "false", "the callback URLs under `public_url` are called as the provider would")
        .example("true")
        .wrong("1")
        .elsewhere(A_PUBLIC_URL),
    key("self_probe.interval", "duration", "1m", "between two probes")
        .example(r#""5m""#)
        .wrong(r#""0s""#),
    key("reconcile.enabled", "true or false", "false", "smsmode is asked for messages that are pending for too long")
        .example("true")
        .wrong(r#""on""#)
        .elsewhere(A_SOURCE_WITH_KEY),
    key("reconcile.after", "duration", "6h", "how long a message has to be pending to be asked for")
        .example(r#""30h""#)
        .wrong(r#""60d""#),
    key("reconcile.interval", "duration", "1h", "between two rounds")
        .example(r#""15m""#)
        .wrong(r#""2d""#),
    key("reconcile.max_pages", "number", "100", "pages of 100 messages that one round reads of each source's list, at most")
        .example("500")
        .wrong("0"),
    key("otlp.endpoint", "URL", "off", "where both signals go; `v1/logs` and `v1/metrics` are added. For grpc such as `http://collector:4317`, without a path. `https://` is TLS")
        .example(r#""http://collector:4318""#)
        .wrong(r#""collector:4318""#)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
    key("otlp.headers", "table of texts", "none", "sent along, by grpc as metadata; percent-encoded in the variable")
        .example(r#"{ "api-key" = "s3cret" }"#)
        .wrong(r#"{ "api key" = "s3cret" }"#)
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret,tenant=sms"),
    key("otlp.timeout", "duration", "10s", "of one request; milliseconds in the variable")
        .example(r#""5s""#)
        .wrong("5000")
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
    key("otlp.compression", "word", "none", "`gzip` or `none`")
        .example(r#""gzip""#)
        .wrong(r#""zstd""#)
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    key("otlp.protocol", "word", "http/protobuf", "`http/protobuf` or `grpc`")
        .example(r#""http/protobuf""#)
        .wrong(r#""carrier-pigeon""#)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    key("otlp.certificate", "path", "", "the authorities that are trusted, instead of the system's: a PEM file")
        .example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#)
        .beside(TLS_OF_CA)
        .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/smscope/ca.pem"),
    key("otlp.client_certificate", "path", "", "our own certificate for mutual TLS, with those that lead to its authority: a PEM file")
        .example(r#""/etc/smscope/client.pem""#)
        .wrong(r#""/nonexistent/client.pem""#)
        .beside(TLS_OF_CERTIFICATE)
        .variable("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/smscope/client.pem"),
    key("otlp.client_key", "path", "", "its key, not encrypted: a PEM file")
        .example(r#""/etc/smscope/client.key""#)
        .wrong(r#""/nonexistent/client.key""#)
        .beside(TLS_OF_KEY)
        .variable("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/smscope/client.key"),
    key("otlp.metric_interval", "duration", "1m", "between two pushes of metrics; milliseconds in the variable")
        .example(r#""15s""#)
        .wrong(r#""2d""#)
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
    key(
        "otlp.strict_answers",
        "true or false",
        "false",
        "a success of the endpoint counts only if it is an OTLP response; else any 2xx that is no web page does",
    )
    .example("true")
    .wrong(r#""yes""#),
    key("otlp.service_name", "text", "smscope", "`service.name` of the resource")
        .example(r#""sms-webhooks""#)
        .wrong(r#""""#)
        .variable("OTEL_SERVICE_NAME", "sms-webhooks"),
    key("otlp.resource", "table of texts", "none", "further attributes of the resource; percent-encoded in the variable")
        .example(r#"{ "deployment.environment.name" = "production" }"#)
        .wrong(r#"{ "deployment.environment.name" = 1 }"#)
        .variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production,team=payments"),
    key("otlp.<signal>.exporter", "word", "", "`otlp`, which is the default, or `none`, which switches the signal off")
        .example(r#""none""#)
        .wrong(r#""console""#)
        .variable("OTEL_<SIGNAL>_EXPORTER", "none"),
    key("otlp.<signal>.endpoint", "URL", "", "the full URL of the signal, nothing is added; for grpc without a path")
        .example(r#""http://collector:4318/v1/<signal>""#)
        .wrong(r#""/v1/<signal>""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_ENDPOINT", "http://collector:4318/v1/<signal>"),
    key("otlp.<signal>.headers", "table of texts", "", "instead of all of `otlp.headers`")
        .example(r#"{ "api-key" = "s3cret" }"#)
        .wrong(r#""api-key=s3cret""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_HEADERS", "api-key=s3cret"),
    key("otlp.<signal>.timeout", "duration", "", "of one request; milliseconds in the variable")
        .example(r#""30s""#)
        .wrong(r#""90m""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_TIMEOUT", "30000"),
    key("otlp.<signal>.compression", "word", "", "`gzip` or `none`")
        .example(r#""none""#)
        .wrong("true")
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_COMPRESSION", "none"),
    key("otlp.<signal>.protocol", "word", "", "as `otlp.protocol`")
        .example(r#""http/protobuf""#)
        .wrong(r#""http""#)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_PROTOCOL", "http/protobuf"),
    key("otlp.<signal>.certificate", "path", "", "as `otlp.certificate`")
        .example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#)
        .beside(TLS_OF_CA)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_CERTIFICATE", "/etc/smscope/ca.pem"),
    key("otlp.<signal>.client_certificate", "path", "", "as `otlp.client_certificate`")
        .example(r#""/etc/smscope/client.pem""#)
        .wrong(r#""/nonexistent/client.pem""#)
        .beside(TLS_OF_CERTIFICATE)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_CLIENT_CERTIFICATE", "/etc/smscope/client.pem"),
    key("otlp.<signal>.client_key", "path", "", "as `otlp.client_key`")
        .example(r#""/etc/smscope/client.key""#)
        .wrong(r#""/nonexistent/client.key""#)
        .beside(TLS_OF_KEY)
        .variable("OTEL_EXPORTER_OTLP_<SIGNAL>_CLIENT_KEY", "/etc/smscope/client.key"),
    key("", "path", "", "the configuration file; there is none by default")
        .variable("SMSCOPE_CONFIG", "/etc/smscope/smscope.toml")
        .wrong("/nonexistent.toml")
        .flag("--config"),
    variable("SMSCOPE_TOKEN", "tokens", "0123456789abcdef0123456789abcdef", "of the one source that there is; several with commas between them"),
    variable("SMSCOPE_TOKEN_FILE", "path", "/etc/smscope/token", "the same from a file, one token a line")
        .wrong("/nonexistent/token"),
    variable("OTEL_SDK_DISABLED", "true or false", "true", "`true` switches the export of both signals off")
        .wrong("yes"),
];
