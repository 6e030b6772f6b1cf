//! Loading as a whole, table by table: what was given, and what comes of it.

mod errors;
mod listener_tls;
mod otlp;
mod otlp_headers;
mod otlp_tls;
mod otlp_variables;
mod postgres;
mod provider_api;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hyper::http::HeaderValue;
use tempfile::TempDir;

use super::*;
use crate::provider::smsmode::CALLBACK_URL_MAX;
use crate::settings::{ClientCertificates, Endpoint, Protocol, Recipient, Text};

type Env<'a> = [(&'a str, &'a str)];

/// Loads `toml` as the configuration file under `env`.
fn load(toml: &str, env: &Env) -> Result<Loaded, ConfigError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("smscope.toml");
    std::fs::write(&path, toml).unwrap();
    Config::load(&Flags { config: Some(path), ..Flags::default() }, &BTreeMap::from_iter(env.iter().copied()))
}

fn loaded(toml: &str, env: &Env) -> Loaded {
    load(toml, env).unwrap_or_else(|error| panic!("{toml} {env:?}: {error}"))
}

/// The line, or lines, that loading ends in. The file is /smscope.toml in them.
fn rejected(toml: &str, env: &Env) -> String {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("smscope.toml");
    std::fs::write(&path, toml).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    match Config::load(&flags, &BTreeMap::from_iter(env.iter().copied())) {
        Ok(loaded) => panic!("{toml} {env:?} is taken: {loaded:?}"),
        Err(error) => error.to_string().replace(dir.path().to_str().unwrap(), ""),
    }
}

fn no_env() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[test]
fn without_any_configuration_there_are_defaults() {
    let loaded = Config::load(&Flags::default(), &no_env()).unwrap();
    let config = &loaded.config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:7672");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:7673");
    assert_eq!(config.data_dir, PathBuf::from("./smscope-data"));
    assert_eq!(config.public_url, None);
    assert_eq!(config.http.max_body, 2 << 20);
    assert_eq!(config.store.horizon, 72 * HOUR);
    assert_eq!(config.store.size_limit, None);
    assert_eq!(config.sources[0].privacy, Privacy { recipient: Recipient::Masked, text: Text::Stored });
    assert!(config.otlp.logs.is_none() && config.otlp.metrics.is_none());
    assert_eq!(config.sources.len(), 1);
    assert!(matches!(config.sources[0].tokens, Tokens::Generated));
    assert!(loaded.file.is_none() && loaded.warnings.is_empty());
}

#[test]
fn an_empty_file_equals_no_file() {
    let none = Config::load(&Flags::default(), &no_env()).unwrap();
    assert_eq!(format!("{:?}", loaded("", &[]).config), format!("{:?}", none.config));
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\ndata_dir = \"file\"";
    let env = [
        ("SMSCOPE_LISTEN", "127.0.0.1:11"),
        ("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:12"),
        ("SMSCOPE_DATA_DIR", "environment"),
    ];
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("smscope.toml");
    std::fs::write(&path, file).unwrap();
    let config_flag = Flags { config: Some(path), ..Flags::default() };
    let all_flags = Flags {
        listen: Some("127.0.0.1:21".into()),
        admin_listen: Some("127.0.0.1:22".into()),
        data_dir: Some("flag".into()),
        ..config_flag.clone()
    };
    let env = BTreeMap::from(env);
    // A relative path in the file starts from the file's folder, others from where smscope is started.
    let in_file = dir.path().join("file");
    for (flags, env, port, data_dir) in [
        (&Flags::default(), &BTreeMap::new(), 7672, "./smscope-data"),
        (&config_flag, &BTreeMap::new(), 1, in_file.to_str().unwrap()),
        (&config_flag, &env, 11, "environment"),
        (&all_flags, &env, 21, "flag"),
    ] {
        let config = Config::load(flags, env).unwrap().config;
        assert_eq!((config.listen.port(), config.admin_listen.port()), (port, port + 1));
        assert_eq!(config.data_dir, PathBuf::from(data_dir));
    }
}

#[test]
fn the_environment_wins_over_the_file_for_the_store_and_the_public_url() {
    let file = "public_url = \"https://file.example\"\n\
                [store]\nretention = \"1d\"\nhorizon = \"1h\"\nsize_limit = \"1GiB\"";
    let env = [
        ("SMSCOPE_PUBLIC_URL", "https://env.example/sms/"),
        ("SMSCOPE_STORE_RETENTION", "2d"),
        ("SMSCOPE_STORE_HORIZON", "2h"),
        ("SMSCOPE_STORE_SIZE_LIMIT", "2GiB"),
    ];
    for (env, url, times) in [(&[][..], "https://file.example", 1), (&env, "https://env.example/sms", 2)] {
        let config = loaded(file, env).config;
        assert_eq!(config.public_url.as_deref(), Some(url));
        assert_eq!(config.store.retention, times * DAY);
        assert_eq!(config.store.horizon, times * HOUR);
        assert_eq!(config.store.size_limit, Some(u64::from(times) << 30));
    }
}

#[test]
fn the_file_may_be_named_by_the_environment_and_the_flag_wins() {
    let dir = TempDir::new().unwrap();
    let named = |name: &str, port: u16| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("listen = \"127.0.0.1:{port}\"")).unwrap();
        path
    };
    let (by_env, by_flag) = (named("env.toml", 1), named("flag.toml", 2));
    let env = BTreeMap::from([("SMSCOPE_CONFIG", by_env.to_str().unwrap())]);
    let flags = Flags { config: Some(by_flag.clone()), ..Flags::default() };
    for (flags, path, port) in [(Flags::default(), by_env.clone(), 1), (flags, by_flag, 2)] {
        let loaded = Config::load(&flags, &env).unwrap();
        assert_eq!(loaded.config.listen.port(), port);
        assert_eq!(loaded.file, Some(path));
    }
}

#[test]
fn every_setting_of_http_and_store_is_read() {
    let config = loaded(
        "[http]\nheader_timeout = \"1s\"\nbody_timeout = \"2s\"\nwrite_timeout = \"3s\"\nshutdown_timeout = \"4s\"\n\
         max_body = 4096\nmax_connections = 7\n\
         [store]\nexport_retention = \"5d\"",
        &[],
    )
    .config;
    let seconds = |duration: Duration| duration.as_secs();
    assert_eq!(seconds(config.http.header_timeout), 1);
    assert_eq!(seconds(config.http.body_timeout), 2);
    assert_eq!(seconds(config.http.write_timeout), 3);
    assert_eq!(seconds(config.http.shutdown_timeout), 4);
    assert_eq!((config.http.max_body, config.http.max_connections), (4096, 7));
    assert_eq!(config.store.export_retention, 5 * DAY);
}

#[test]
fn a_bad_value_in_the_file_ends_in_a_line_with_key_value_and_what_is_expected() {
    const TIMEOUT: &str = "a duration such as 500ms, 15s or 72h, from 1ms to 1h";
    for (toml, line) in [
        ("listen = \"foo\"", r#"listen = "foo": expected an address and port such as 127.0.0.1:7672"#.into()),
        ("listen = 7672", "listen = 7672: expected an address and port such as 127.0.0.1:7672".into()),
        ("listen = [1]", "listen = […]: expected an address and port such as 127.0.0.1:7672".into()),
        ("listen = 2020-01-01", "listen = 2020-01-01: expected an address and port such as 127.0.0.1:7672".into()),
        (
            "admin_listen = \"localhost:1\"",
            r#"admin_listen = "localhost:1": expected an address and port such as 127.0.0.1:7673"#.into(),
        ),
        (
            "admin_listen = \"0.0.0.0:7672\"",
            r#"admin_listen = "0.0.0.0:7672": has the same port as listen; expected a port of its own"#.into(),
        ),
        (
            "listen = \"127.0.0.1:7673\"",
            r#"listen = "127.0.0.1:7673": has the same port as admin_listen; expected a port of its own"#.into(),
        ),
        ("data_dir = \"\"", r#"data_dir = "": expected a path in UTF-8"#.into()),
        (
            "public_url = \"sms.example.com\"",
            "public_url = \"sms.example.com\": \
             expected an http or https URL without user or query, such as https://sms.example.com"
                .into(),
        ),
        (
            "public_url = \"https://u:hidden@x/?hidden\"",
            "public_url = \"https://…@x/?…\": \
             expected an http or https URL without user or query, such as https://sms.example.com"
                .into(),
        ),
        ("http = 1", "http: expected a table".into()),
        ("[http]\nheader_timeout = \"15\"", format!("http.header_timeout = \"15\": expected {TIMEOUT}")),
        ("[http]\nheader_timeout = 15", format!("http.header_timeout = 15: expected {TIMEOUT}")),
        ("[http]\nbody_timeout = \"0s\"", format!("http.body_timeout = \"0s\": expected {TIMEOUT}")),
        ("[http]\nwrite_timeout = \"2h\"", format!("http.write_timeout = \"2h\": expected {TIMEOUT}")),
        ("[http]\nshutdown_timeout = 1.5", format!("http.shutdown_timeout = 1.5: expected {TIMEOUT}")),
        (
            "[http]\nmax_body = \"32MiB\"",
            r#"http.max_body = "32MiB": expected a size such as 262144, 256KiB or 10GiB, from 1KiB to 16MiB"#.into(),
        ),
        (
            "[http]\nmax_body = -1",
            "http.max_body = -1: expected a size such as 262144, 256KiB or 10GiB, from 1KiB to 16MiB".into(),
        ),
        ("[http]\nmax_connections = 0", "http.max_connections = 0: expected a number from 1 to 65536".into()),
        ("[http]\nmax_connections = \"9\"", r#"http.max_connections = "9": expected a number from 1 to 65536"#.into()),
        (
            "[store]\nretention = \"forever\"",
            "store.retention = \"forever\": expected a duration such as 500ms, 15s or 72h, from 1s to 3650d".into(),
        ),
        (
            "[store]\nhorizon = \"10ms\"",
            r#"store.horizon = "10ms": expected a duration such as 500ms, 15s or 72h, from 1s to 365d"#.into(),
        ),
        (
            "[store]\nexport_retention = true",
            "store.export_retention = true: expected a duration such as 500ms, 15s or 72h, from 1s to 3650d".into(),
        ),
        (
            "[store]\nsize_limit = \"10 potatoes\"",
            "store.size_limit = \"10 potatoes\": \
             expected a size such as 262144, 256KiB or 10GiB, from 1MiB to 1024TiB"
                .into(),
        ),
        ("[privacy]\ntext = \"yes\"", r#"privacy.text = "yes": expected dropped, stored or exported"#.into()),
    ] {
        assert_eq!(rejected(toml, &[]), line);
    }
}

#[test]
fn an_unknown_key_is_named_with_those_that_are_known() {
    for (toml, line) in [
        (
            "[store]\nretenton = \"1d\"",
            "store.retenton: unknown key at /smscope.toml:2 (did you mean retention?); expected one of retention, horizon, size_limit, \
             export_retention, url, url_file, password_file, accept_any_certificate, prepare, durability, unsafe",
        ),
        (
            "lisen = 1",
            "lisen: unknown key at /smscope.toml:1 (did you mean listen?); expected one of listen, admin_listen, data_dir, public_url, recipient_flood, http, admin, store, privacy, otlp, \
             source, account, self_probe, reconcile, conversations, opt_outs, relay, resend",
        ),
        ("[privacy]\nnumber = true", "privacy.number: unknown key at /smscope.toml:2; expected one of recipient, text"),
        (
            "[[source]]\nname = \"a\"\n[source.basic]\nuser = \"u\"\npassword = \"p\"\nrealm = \"r\"",
            "source[0].basic.realm: unknown key at /smscope.toml:6; expected one of user, password, password_file",
        ),
        (
            "[privacy]\n\nhorizon = '2d'",
            "privacy.horizon: unknown key at /smscope.toml:3 (did you mean store.horizon?); expected one of recipient, text",
        ),
        (
            "[[relay]]\nname = \"a\"\nur1 = \"http://127.0.0.1:1\"",
            "relay[0].ur1: unknown key at /smscope.toml:3 (did you mean url?); expected an http or https URL without user, \
             such as http://127.0.0.1:8080/sms",
        ),
        (
            "[otlp.logs]\ninterval = 1",
            "otlp.logs.interval: unknown key at /smscope.toml:2; expected one of exporter, endpoint, headers, timeout, compression, \
             protocol, certificate, client_certificate, client_key",
        ),
    ] {
        assert_eq!(rejected(toml, &[]), line);
    }
}

#[test]
fn a_bad_value_in_the_environment_or_a_flag_is_named_as_it_was_given() {
    for (variable, value, expected) in [
        ("SMSCOPE_LISTEN", "foo", "an address and port such as 127.0.0.1:7672"),
        ("SMSCOPE_ADMIN_LISTEN", "foo", "an address and port such as 127.0.0.1:7673"),
        ("SMSCOPE_DATA_DIR", "\u{fffd}", "a path in UTF-8"),
        ("SMSCOPE_PUBLIC_URL", "foo", "an http or https URL without user or query, such as https://sms.example.com"),
        ("SMSCOPE_STORE_RETENTION", "x", "a duration such as 500ms, 15s or 72h, from 1s to 3650d"),
        ("SMSCOPE_STORE_HORIZON", "x", "a duration such as 500ms, 15s or 72h, from 1s to 365d"),
        ("SMSCOPE_STORE_SIZE_LIMIT", "1", "a size such as 262144, 256KiB or 10GiB, from 1MiB to 1024TiB"),
    ] {
        assert_eq!(rejected("", &[(variable, value)]), format!("{variable} = {value:?}: expected {expected}"));
    }
    let flags = Flags { listen: Some("foo".into()), ..Flags::default() };
    assert_eq!(
        Config::load(&flags, &no_env()).unwrap_err().to_string(),
        r#"--listen = "foo": expected an address and port such as 127.0.0.1:7672"#
    );
    let flags = Flags { admin_listen: Some("127.0.0.1:7672".into()), ..Flags::default() };
    assert_eq!(
        Config::load(&flags, &no_env()).unwrap_err().to_string(),
        r#"--admin-listen = "127.0.0.1:7672": has the same port as listen; expected a port of its own"#
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_as_it_was_given() {
    let missing = "/nonexistent/smscope.toml";
    let line =
        format!("\"{missing}\": cannot be read: No such file or directory (os error 2); expected a TOML file in UTF-8");
    let flags = Flags { config: Some(missing.into()), ..Flags::default() };
    assert_eq!(Config::load(&flags, &no_env()).unwrap_err().to_string(), format!("--config = {line}"));
    let env = BTreeMap::from([("SMSCOPE_CONFIG", missing)]);
    assert_eq!(Config::load(&Flags::default(), &env).unwrap_err().to_string(), format!("SMSCOPE_CONFIG = {line}"));
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line_and_nothing_of_its_content() {
    for toml in [
        "\n[[source]]\ntokens = [\"hidden-hidden-hidden\"",
        "\n\ntokens = hidden-hidden-hidden",
        "\n\n\"hidden-hidden-hidden\"",
        "\n\ntoken = \"hidden-hidden-hidden",
        "\n\nhidden-hidden-hidden",
        "\n\ntoken = \"\\hidden-hidden-hidden\"",
    ] {
        let line = rejected(toml, &[]);
        assert!(line.starts_with("--config = \"/"), "{line}");
        assert!(line.contains("smscope.toml\": line 3: "), "{line}");
        assert!(line.ends_with("; expected a TOML file"), "{line}");
        assert!(!line.contains("hidden") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn every_error_is_one_line_however_long_the_value() {
    let toml = format!("listen = \"\"\"\nfoo\n{}\"\"\"", "é".repeat(500));
    let line = rejected(&toml, &[]);
    assert!(line.starts_with(r#"listen = "foo\né"#), "{line}");
    assert!(line.chars().count() < 300 && !line.contains('\n'), "{line}");
    // Found by fuzzing: a key in quotes may hold anything.
    let line = rejected(r#"otlp.logs.headers = { "a\rb\u001b[2J" = "c" }"#, &[]);
    assert!(line.starts_with(r"otlp.logs.headers.a\rb\u{1b}[2J: "), "{line}");
}

#[test]
fn an_unknown_variable_is_a_warning_unless_kubernetes_sets_it() {
    let env = [
        ("SMSCOPE_LISTN", "127.0.0.1:1"),
        ("SMSCOPE_SERVICE_HOST", "10.0.0.1"),
        ("SMSCOPE_SERVICE_PORT_HTTP", "7672"),
        ("SMSCOPE_PORT", "tcp://10.0.0.1:7672"),
        ("SMSCOPE_PORT_7672_TCP_ADDR", "10.0.0.1"),
        ("SMSCOPE_DATA_DIR", "known"),
        ("PATH", "/bin"),
    ];
    assert_eq!(
        loaded("", &env).warnings,
        [format!(
            "SMSCOPE_LISTN: unknown variable, not used (did you mean SMSCOPE_LISTEN?); expected one of {}",
            variables().join(", ")
        )]
    );
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let env: Vec<_> = variables().into_iter().filter(|name| *name != "SMSCOPE_TOKEN").map(|name| (name, "")).collect();
    let (unset, empty) = (loaded("", &[]), loaded("", &env));
    assert_eq!(format!("{:?}", empty.config), format!("{:?}", unset.config));
    assert!(empty.warnings.is_empty());
}

#[test]
fn a_callback_url_is_the_public_one_or_the_listeners_own() {
    for (settings, url) in [
        ("", "http://127.0.0.1:7672/hooks/smsmode/T"),
        ("listen = \"0.0.0.0:80\"", "http://127.0.0.1:80/hooks/smsmode/T"),
        ("listen = \"[::]:80\"", "http://127.0.0.1:80/hooks/smsmode/T"),
        ("listen = \"10.0.0.1:80\"", "http://10.0.0.1:80/hooks/smsmode/T"),
        ("public_url = \"https://x.example\"", "https://x.example/hooks/smsmode/T"),
        ("public_url = \"https://x.example:8443/a/b/\"", "https://x.example:8443/a/b/hooks/smsmode/T"),
    ] {
        let config = loaded(settings, &[]).config;
        assert_eq!(config.callback_url(&config.sources[0].name, "T"), url, "{settings}");
    }
}

#[test]
fn a_callback_url_that_the_provider_would_not_take_is_refused() {
    let url = |length: usize| format!("https://x.example/{}", "p".repeat(length - "https://x.example/".len()));
    let path = "/hooks/smsmode/".len();
    let public = url(CALLBACK_URL_MAX - GENERATED_TOKEN_MAX - path);
    loaded(&format!("public_url = {public:?}"), &[]);
    let line = rejected(&format!("public_url = \"{public}p\""), &[]);
    assert!(line.starts_with(r#"public_url = "https://x.example/pppp"#), "{line}");
    assert!(
        line.ends_with(
            "the callback URL of source \"smsmode\" has 256 characters; expected 255 at most, token included"
        ),
        "{line}"
    );
    let own = "http://127.0.0.1:7672/hooks/smsmode/".len();
    loaded("", &[("SMSCOPE_TOKEN", &"t".repeat(255 - own))]);
    assert_eq!(
        rejected("", &[("SMSCOPE_TOKEN", &"t".repeat(256 - own))]),
        "the callback URL of source \"smsmode\" has 256 characters; expected 255 at most, token included"
    );
}
