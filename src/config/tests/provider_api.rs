//! `[source.api]`, `[account]`, `[self_probe]` and `[reconcile]`.

use super::*;
use crate::settings::ApiMode;

const KEY: &str = "[[source]]\nname = \"a\"\napi = { key = \"s3cret\" }\n";

#[test]
fn no_outbound_job_is_enabled_by_default() {
    let config = loaded("", &[]).config;
    assert!(config.sources[0].api.is_none());
    assert!(!config.account.enabled && !config.self_probe.enabled && !config.reconcile.enabled);
}

#[test]
fn a_key_comes_from_the_file_the_environment_or_a_file_of_its_own() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, " of-the-file\n").unwrap();
    let path = path.to_str().unwrap();
    let in_file = format!("[[source]]\nname = \"a\"\n[source.api]\nkey_file = {path:?}\n");
    for (toml, env, key, origin) in [
        (KEY, &[][..], "s3cret", ".toml"),
        (in_file.as_str(), &[], "of-the-file", ".toml"),
        ("", &[("SMSCOPE_API_KEY", "of-the-variable")], "of-the-variable", "SMSCOPE_API_KEY"),
        ("", &[("SMSCOPE_API_KEY_FILE", path)], "of-the-file", "SMSCOPE_API_KEY_FILE"),
        (
            "[[source]]\nname = \"a\"\n[source.api]\ntimeout = \"2s\"\n",
            &[("SMSCOPE_API_KEY", "of-the-variable")],
            "of-the-variable",
            "SMSCOPE_API_KEY",
        ),
    ] {
        let loaded = loaded(toml, env);
        let api = loaded.config.sources[0].api.as_ref().unwrap();
        assert_eq!(api.key.reveal(), key);
        let line = loaded.lines.iter().find(|line| line.key == "source[0].api").unwrap();
        assert!(line.origin.ends_with(origin), "{toml}");
        assert!(!api.shown().contains(key) && !format!("{api:?}").contains(key));
    }
    let both = loaded(KEY, &[("SMSCOPE_API_KEY", "of-the-variable")]);
    assert_eq!(both.config.sources[0].api.as_ref().unwrap().key.reveal(), "s3cret");
    assert_eq!(both.warnings, ["SMSCOPE_API_KEY: not used, the source has a key of its own"]);
}

#[test]
fn the_default_url_of_the_api_depends_on_its_mode() {
    for (mode, url, expected) in [
        ("rest", None, "https://rest.smsmode.com/"),
        ("legacy", None, "https://api.smsmode.com/"),
        ("rest", Some("http://127.0.0.1:1/base"), "http://127.0.0.1:1/base"),
    ] {
        let url = url.map(|url| format!("url = {url:?}\n")).unwrap_or_default();
        let toml = format!("[[source]]\nname = \"a\"\n[source.api]\nkey = \"k\"\nmode = {mode:?}\n{url}");
        let config = loaded(&toml, &[]).config;
        let api = config.sources[0].api.as_ref().unwrap();
        assert_eq!((api.url.to_string().as_str(), api.mode.into_str()), (expected, mode));
        assert_eq!(api.tls.is_some(), expected.starts_with("https"));
        assert_eq!(api.timeout, Duration::from_secs(10));
    }
    assert_eq!(loaded(KEY, &[]).config.sources[0].api.as_ref().unwrap().mode, ApiMode::Rest);
}

#[test]
fn what_cannot_be_done_is_refused_in_a_line() {
    let two = "[[source]]\nname = \"a\"\n[[source]]\nname = \"b\"\n";
    let legacy = "[[source]]\nname = \"a\"\napi = { key = \"s3cret\", mode = \"legacy\" }\n[reconcile]\nenabled = true";
    for (toml, env, line) in [
        (
            "[account]\nenabled = true",
            &[][..],
            "account.enabled = true: no source has an API key; expected a key in [source.api], or SMSCOPE_API_KEY",
        ),
        (
            legacy,
            &[],
            "reconcile.enabled = true: no source has a key of the REST API; expected a key in [source.api], or SMSCOPE_API_KEY",
        ),
        (
            "[self_probe]\nenabled = true",
            &[],
            "self_probe.enabled = true: there is no public_url; expected public_url, or SMSCOPE_PUBLIC_URL",
        ),
        (
            "[[source]]\nname = \"a\"\n[source.api]\nmode = \"rest\"",
            &[],
            "source[0].api.key: missing; expected it or key_file, or SMSCOPE_API_KEY",
        ),
        (
            "[[source]]\nname = \"a\"\napi = { key = \"k\", key_file = \"k\" }",
            &[],
            "source[0].api.key: key_file is set too; expected one of the two",
        ),
        ("", &[("SMSCOPE_API_KEY", "s3 cret")], "SMSCOPE_API_KEY: expected an API key: printable ASCII without spaces"),
        (
            "",
            &[("SMSCOPE_API_KEY", "k"), ("SMSCOPE_API_KEY_FILE", "k")],
            "SMSCOPE_API_KEY: SMSCOPE_API_KEY_FILE is set too; expected one of the two",
        ),
        (
            two,
            &[("SMSCOPE_API_KEY", "k")],
            "SMSCOPE_API_KEY: the configuration file has 2 sources; expected a key in [source.api] of each",
        ),
        (
            "[[source]]\nname = \"a\"\napi = { key = \"k\", url = \"https://u:s3cret@x?s3cret\" }",
            &[],
            "source[0].api.url = \"https://…@x?…\": expected a base URL without a query, such as https://rest.smsmode.com/",
        ),
    ] {
        // A file that is named beside is looked at as well.
        assert_eq!(rejected(toml, env).lines().next(), Some(line), "{toml}");
    }
}

#[test]
fn a_public_url_of_the_command_line_replaces_that_of_the_configuration() {
    let config = loaded("public_url = \"https://sms.example.com\"", &[]).config;
    let (other, tls) = config.under_public_url("--public-url", "http://127.0.0.1:1/x/").unwrap();
    assert_eq!(other.callback_url(&config.sources[0].name, "t"), "http://127.0.0.1:1/x/hooks/smsmode/t");
    assert!(tls.is_none());
    let rejected = config.under_public_url("--public-url", "sms.example.com").unwrap_err().to_string();
    assert!(rejected.starts_with("--public-url = \"sms.example.com\": expected an http or https URL"), "{rejected}");
}
