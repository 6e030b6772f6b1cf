//! Several settings that cannot be used, and white space around those that can.

use super::*;
use crate::smsmode::API_KEY;

#[test]
fn all_that_cannot_be_used_is_reported_a_line_each_and_nothing_that_only_follows_from_it() {
    let toml = "listen = \"here\"\nlisten_admin = 1\n[store]\nretension = \"1d\"\nhorizon = \"soon\"\n\
                [[source]]\nname = \"a\"\nallow = [\"10.0.0.1\", \"x\", \"y\"]\n[source.basic]\nuser = \"u\"\n\
                [[source]]\nname = \"B\"\n\
                [[relay]]\nname = \"r\"\nurl = \"nowhere\"\nsources = [\"B\"]\nconcurrency = 0\n\
                [[relay]]\nname = \"s\"\nurl = \"http://127.0.0.1:1\"\nmax_age = \"x\"\n";
    let lines = rejected(toml, &[("SMSCOPE_STORE_SIZE_LIMIT", "big"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:1")]);
    let named: Vec<&str> = lines.lines().map(|line| line.split([' ', ':']).next().unwrap()).collect();
    assert_eq!(
        named,
        [
            "listen",
            "store.horizon",
            "SMSCOPE_STORE_SIZE_LIMIT",
            "store.retension",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "source[0].allow[1]",
            "source[0].allow[2]",
            "source[0].basic.password",
            "source[1].name",
            "relay[0].url",
            "relay[0].concurrency",
            "relay[1].max_age",
            "listen_admin",
        ],
        "{lines}"
    );
    assert!(lines.contains("store.retension: unknown key at /smscope.toml:4 (did you mean retention?); "), "{lines}");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_what_is_wrong_beside_it() {
    let flags = Flags {
        config: Some("/nonexistent.toml".into()),
        listen: Some("here".to_owned()),
        data_dir: Some("a\nb".into()),
        ..Flags::default()
    };
    let env = BTreeMap::from([("SMSCOPE_TOKEN", "short"), ("SMSCOPE_ADMIN_LISTEN", "there")]);
    let lines = Config::load(&flags, &env).unwrap_err().to_string();
    let named: Vec<&str> = lines.lines().map(|line| line.split([' ', ':']).next().unwrap()).collect();
    assert_eq!(named, ["--config", "--listen", "SMSCOPE_ADMIN_LISTEN", "--data-dir", "SMSCOPE_TOKEN"], "{lines}");
}

#[test]
fn white_space_around_a_value_is_no_part_of_it() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let token = file("token", "\u{feff}0123456789abcdef\r\n");
    let key = file("key", &format!("{API_KEY}\n\n"));
    for end in ["\n", "\r\n", " \n\t", "\u{feff}"] {
        let ended = |text: &str| format!("{text}{end}");
        let values = [
            ("SMSCOPE_LISTEN", ended("127.0.0.1:1")),
            ("SMSCOPE_ADMIN_LISTEN", ended("127.0.0.1:2")),
            ("SMSCOPE_DATA_DIR", ended("/var/lib/smscope")),
            ("SMSCOPE_PUBLIC_URL", ended("https://sms.example.com")),
            ("SMSCOPE_STORE_RETENTION", ended("2d")),
            ("SMSCOPE_STORE_HORIZON", ended("3h")),
            ("SMSCOPE_STORE_SIZE_LIMIT", ended("2GiB")),
            ("SMSCOPE_TOKEN_FILE", ended(&token)),
            ("SMSCOPE_API_KEY_FILE", ended(&key)),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ended("http://c:4318")),
            ("OTEL_EXPORTER_OTLP_HEADERS", ended("a=b")),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", ended("gzip")),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", ended("1000")),
            ("OTEL_SERVICE_NAME", ended("sms")),
        ];
        let env: BTreeMap<&str, &str> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let loaded = Config::load(&Flags::default(), &env).unwrap();
        assert_eq!(loaded.warnings, [""; 0], "{end:?}");
        let config = loaded.config;
        assert_eq!((config.listen.port(), config.admin_listen.port()), (1, 2));
        assert_eq!(config.data_dir, PathBuf::from("/var/lib/smscope"));
        assert_eq!(config.public_url.as_deref(), Some("https://sms.example.com"));
        assert_eq!(config.sources[0].api.as_ref().unwrap().key.reveal(), API_KEY);
        let Tokens::Given(tokens) = &config.sources[0].tokens else { panic!("no token") };
        assert_eq!(tokens[0].reveal(), "0123456789abcdef");
        let logs = config.otlp.logs.unwrap();
        assert_eq!((logs.url.to_string().as_str(), logs.gzip), ("http://c:4318/v1/logs", true));
        assert_eq!(logs.headers[0].1, "b");
        assert_eq!(config.otlp.service_name, "sms");

        let flags = Flags {
            data_dir: Some(ended("data").into()),
            listen: Some(ended("127.0.0.1:3")),
            config: Some(file("smscope.toml", "admin_listen = \" 127.0.0.1:4\\n\"\ndata_dir = \"x\\n\"").into()),
            ..Flags::default()
        };
        let config = Config::load(&flags, &no_env()).unwrap().config;
        assert_eq!((config.listen.port(), config.admin_listen.port()), (3, 4));
        assert_eq!(config.data_dir, PathBuf::from("data"));
        let path = flags.config.unwrap().to_str().unwrap().to_owned();
        let env = BTreeMap::from([("SMSCOPE_CONFIG", ended(&path))]);
        assert_eq!(Config::load(&Flags::default(), &env).unwrap().config.data_dir, dir.path().join("x"));
    }
}

#[test]
fn a_password_keeps_its_spaces_and_loses_its_line_break() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, " pass word \r\n").unwrap();
    let by_file = format!("password_file = {path:?}");
    for password in ["password = \" pass word \\n\"", by_file.as_str()] {
        let toml = format!("[[source]]\nname = \"a\"\n[source.basic]\nuser = \"u\\n\"\n{password}");
        let basic = loaded(&toml, &[]).config.sources[0].basic.clone().unwrap();
        assert_eq!((basic.user.as_str(), basic.password.reveal()), ("u", " pass word "));
    }
}

#[test]
fn a_control_character_inside_a_value_is_an_error_that_names_the_key() {
    for (variable, value) in [
        ("SMSCOPE_DATA_DIR", "/var/lib\n/smscope"),
        ("SMSCOPE_PUBLIC_URL", "https://sms\n.example.com"),
        ("SMSCOPE_API_KEY", "hidden\u{1b}key"),
        ("SMSCOPE_TOKEN", "0123456789abcdef\n0123456789abcdef"),
    ] {
        let line = rejected("", &[(variable, value)]);
        assert!(
            line.starts_with(variable) && line.contains("a line break or another control character in it"),
            "{line}"
        );
        assert!(!line.contains("hidden") && line.lines().count() == 1, "{line}");
    }
}
