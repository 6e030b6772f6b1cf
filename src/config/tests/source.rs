use super::*;
use crate::secret::CandidateDigest;

const TOKEN: &str = "hidden-hidden-hidden";
const OTHER: &str = "hidden-hidden-hidden-too";

/// A file of secrets, its directory kept with it.
fn secret_file(content: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn tokens(source: &Source) -> Vec<&str> {
    match &source.tokens {
        Tokens::Generated => Vec::new(),
        Tokens::Given(tokens) => tokens.iter().map(|token| token.reveal()).collect(),
    }
}

#[test]
fn tokens_come_from_the_variable_or_its_file_several_for_rotation() {
    let (_one, one) = secret_file(&format!("{TOKEN}\n"));
    let (_two, two) = secret_file(&format!("{TOKEN}\r\n\n {OTHER}"));
    let both = format!("{TOKEN}, {OTHER}");
    for (variable, value, expected) in [
        ("SMSCOPE_TOKEN", TOKEN, &[TOKEN][..]),
        ("SMSCOPE_TOKEN", &both, &[TOKEN, OTHER]),
        ("SMSCOPE_TOKEN_FILE", &one, &[TOKEN]),
        ("SMSCOPE_TOKEN_FILE", &two, &[TOKEN, OTHER]),
    ] {
        for file in ["", "[[source]]\nname = \"mine\""] {
            let config = loaded(file, &[(variable, value)]).config;
            assert_eq!(tokens(&config.sources[0]), expected, "{variable} {file}");
        }
    }
}

#[test]
fn the_tokens_of_a_source_are_those_of_all_its_keys() {
    let (_one, one) = secret_file("cccccccccccccccc\n");
    let (_two, two) = secret_file("dddddddddddddddd\neeeeeeeeeeeeeeee\n");
    let toml = format!(
        "[[source]]\nname = \"a\"\ntokens = [\"aaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbb\"]\ntoken_file = {one:?}\n\
         token_files = [{two:?}]\n[[source]]\nname = \"b\""
    );
    let config = loaded(&toml, &[]).config;
    let expected = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc", "dddddddddddddddd", "eeeeeeeeeeeeeeee"];
    assert_eq!(tokens(&config.sources[0]), expected);
    assert!(matches!(config.sources[1].tokens, Tokens::Generated));
}

#[test]
fn a_source_with_tokens_keeps_them_and_the_variable_is_warned_about() {
    let toml = format!("[[source]]\nname = \"mine\"\ntokens = [{TOKEN:?}]");
    let loaded = loaded(&toml, &[("SMSCOPE_TOKEN", OTHER)]);
    assert_eq!(tokens(&loaded.config.sources[0]), [TOKEN]);
    assert_eq!(loaded.warnings, ["SMSCOPE_TOKEN: not used, source \"mine\" has tokens of its own"]);
}

#[test]
fn an_empty_token_variable_is_warned_about() {
    let loaded = loaded("", &[("SMSCOPE_TOKEN", "")]);
    assert!(matches!(loaded.config.sources[0].tokens, Tokens::Generated));
    assert_eq!(loaded.warnings, ["SMSCOPE_TOKEN: empty, so not used"]);
}

#[test]
fn a_bad_token_is_refused_and_never_shown() {
    let sixteen = "at least 16 characters of A-Z a-z 0-9 - . _ ~";
    let (_bad, bad_file) = secret_file(&format!("{TOKEN}\nhidden/hidden/hidden\n"));
    let (_empty, empty_file) = secret_file("\n");
    let (_good, good_file) = secret_file(TOKEN);
    let two_sources = "[[source]]\nname = \"a\"\n[[source]]\nname = \"b\"";
    let listed = format!("SMSCOPE_TOKEN: expected tokens of {sixteen}, with commas between them");
    for (toml, env, line) in [
        ("", &[("SMSCOPE_TOKEN", "hidden")][..], listed.clone()),
        ("", &[("SMSCOPE_TOKEN", "hidden/hidden/hidden")], listed.clone()),
        ("", &[("SMSCOPE_TOKEN", "hidden-hidden-hidden,")], listed),
        (
            "",
            &[("SMSCOPE_TOKEN", TOKEN), ("SMSCOPE_TOKEN_FILE", &good_file)],
            "SMSCOPE_TOKEN: SMSCOPE_TOKEN_FILE is set too; expected one of the two".into(),
        ),
        (
            "",
            &[("SMSCOPE_TOKEN_FILE", &bad_file)],
            format!("SMSCOPE_TOKEN_FILE = {bad_file:?}: line 2 is not a token; expected {sixteen}"),
        ),
        (
            "",
            &[("SMSCOPE_TOKEN_FILE", &empty_file)],
            format!("SMSCOPE_TOKEN_FILE = {empty_file:?}: no token in it; expected one token a line"),
        ),
        (
            "",
            &[("SMSCOPE_TOKEN_FILE", "/nonexistent")],
            "SMSCOPE_TOKEN_FILE = \"/nonexistent\": cannot be read: No such file or directory (os error 2); \
             expected a file with one token a line"
                .into(),
        ),
        (
            two_sources,
            &[("SMSCOPE_TOKEN", TOKEN)],
            "SMSCOPE_TOKEN: the configuration file has 2 sources; expected tokens in each [[source]]".into(),
        ),
        ("[[source]]\nname = \"a\"\ntokens = [\"hidden\"]", &[], format!("source[0].tokens[0]: expected {sixteen}")),
        (
            "[[source]]\nname = \"a\"\ntokens = \"hidden-hidden-hidden\"",
            &[],
            "source[0].tokens: expected a list of tokens".into(),
        ),
        (
            "[[source]]\nname = \"a\"\ntoken_files = [\"/nonexistent\"]",
            &[],
            "source[0].token_files[0] = \"/nonexistent\": cannot be read: No such file or directory (os error 2); \
             expected a file with one token a line"
                .into(),
        ),
    ] {
        let rejected = rejected(toml, env);
        assert_eq!(rejected, line);
        assert!(!rejected.contains("hidden"), "{rejected}");
    }
}

#[test]
fn every_setting_of_a_source_is_read() {
    let (_value, value) = secret_file("from a file\n");
    let toml = format!(
        "[[source]]\nname = \"mine\"\nallow = [\"192.0.2.1\", \"10.1.2.3/8\"]\ntrusted_proxies = [\"::1\"]\n\
         channel_ids = [\"b\", \"a\"]\nheader = {{ name = \"X-Secret\", value_file = {value:?} }}\n\
         basic = {{ user = \"u\", password = \"p:q\" }}\ntimezone = \"UTC\"\nregion = \"BE\"\n\
         stop_keywords = [\"stop\", \" halt \"]"
    );
    let config = loaded(&toml, &[]).config;
    let source = &config.sources[0];
    let shown = |networks: &[ipnet::IpNet]| networks.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(source.name.as_str(), "mine");
    assert_eq!(shown(&source.allow), ["192.0.2.1/32", "10.0.0.0/8"]);
    assert_eq!(shown(&source.trusted_proxies), ["::1/128"]);
    assert_eq!(Vec::from_iter(&source.channel_ids), ["a", "b"]);
    let (name, secret) = source.header.as_ref().unwrap();
    assert_eq!(name, "x-secret");
    assert!(secret.matches(&CandidateDigest::of(b"from a file")));
    let basic = source.basic.as_ref().unwrap();
    assert_eq!((basic.user.as_str(), basic.password.reveal()), ("u", "p:q"));
    assert_eq!(source.zone.iana_name(), Some("UTC"));
    assert_eq!(source.region.as_str(), "BE");
    assert_eq!(source.stop_keywords, ["STOP", "HALT"]);
}

#[test]
fn without_settings_a_source_lets_anybody_with_the_token_in_and_is_french() {
    let config = loaded("", &[]).config;
    let source = &config.sources[0];
    assert_eq!(source.name.as_str(), "smsmode");
    assert!(source.allow.is_empty() && source.trusted_proxies.is_empty() && source.channel_ids.is_empty());
    assert!(source.header.is_none() && source.basic.is_none());
    assert_eq!(source.zone.iana_name(), Some("Europe/Paris"));
    assert_eq!(source.region.as_str(), "FR");
    assert!(source.stop_keywords.iter().any(|keyword| keyword == "STOP"));
}

#[test]
fn a_bad_setting_of_a_source_ends_in_a_line_with_key_value_and_what_is_expected() {
    for (settings, line) in [
        ("name = \"Mine\"", r#"source[0].name = "Mine": expected 1 to 32 of a-z 0-9 - _"#),
        ("tokens = []", "source[0].name: missing; expected 1 to 32 of a-z 0-9 - _"),
        ("name = \"unknown\"", r#"source[0].name = "unknown": reserved; expected another name"#),
        (
            "name = \"a\"\n[[source]]\nname = \"a\"",
            r#"source[1].name = "a": already the name of source[0]; expected a name of its own"#,
        ),
        (
            "name = \"a\"\nallow = [\"::1\", \"10.0.0.0/33\"]",
            r#"source[0].allow[1] = "10.0.0.0/33": expected an address or a network such as 192.0.2.0/24"#,
        ),
        ("name = \"a\"\nallow = \"::1\"", r#"source[0].allow = "::1": expected a list of addresses and networks"#),
        (
            "name = \"a\"\ntrusted_proxies = [1]",
            "source[0].trusted_proxies[0] = 1: expected an address or a network such as 192.0.2.0/24",
        ),
        ("name = \"a\"\nchannel_ids = [\" \"]", r#"source[0].channel_ids[0] = " ": expected a text that is not empty"#),
        ("name = \"a\"\nstop_keywords = \"STOP\"", r#"source[0].stop_keywords = "STOP": expected a list of keywords"#),
        (
            "name = \"a\"\ntimezone = \"Paris\"",
            r#"source[0].timezone = "Paris": expected a time zone such as Europe/Paris"#,
        ),
        (
            "name = \"a\"\nregion = \"fr\"",
            r#"source[0].region = "fr": expected a country of two capital letters such as FR"#,
        ),
        (
            "name = \"a\"\nregion = \"XX\"",
            r#"source[0].region = "XX": expected a country of two capital letters such as FR"#,
        ),
        ("name = \"a\"\nheader = \"hidden\"", "source[0].header: expected a table"),
        (
            "name = \"a\"\nheader = { name = \"a b\", value = \"hidden\" }",
            r#"source[0].header.name = "a b": expected the name of a header such as X-Webhook-Secret"#,
        ),
        (
            "name = \"a\"\nheader = { name = \"x\", value = \"hid\\nden\" }",
            "source[0].header.value: expected a text that is not empty, of printable characters",
        ),
        (
            "name = \"a\"\nheader = { name = \"x\", value = \"hidden\", value_file = \"f\" }",
            "source[0].header.value: value_file is set too; expected one of the two",
        ),
        ("name = \"a\"\nheader = { name = \"x\" }", "source[0].header.value: missing; expected it or value_file"),
        (
            "name = \"a\"\nheader = { value = \"hidden\" }",
            "source[0].header.name: missing; expected the name of a header such as X-Webhook-Secret",
        ),
        (
            "name = \"a\"\nbasic = { user = \"u:hidden\", password = \"hidden\" }",
            "source[0].basic.user: expected a user name without a colon",
        ),
        (
            "name = \"a\"\nbasic = { user = \"u\", password = 5 }",
            "source[0].basic.password: expected a text that is not empty, of printable characters",
        ),
        (
            "name = \"a\"\nbasic = { user = \"u\", password_file = \"/nonexistent\" }",
            "source[0].basic.password_file = \"/nonexistent\": cannot be read: No such file or directory \
             (os error 2); expected a file with the secret in it",
        ),
        (
            "name = \"a\"\nbasic = { user = \"u\", pass = \"hidden\" }",
            "source[0].basic.password: missing; expected it or password_file\n\
             source[0].basic.pass: unknown key at /smscope.toml:3; expected one of user, password, password_file",
        ),
        (
            "name = \"a\"\ntoken = \"hidden\"",
            "source[0].token: unknown key at /smscope.toml:3 (did you mean tokens?); expected one of name, tokens, token_file, token_files, allow, \
             trusted_proxies, channel_ids, header, basic, api, timezone, region, stop_keywords, start_keywords, recipient, text",
        ),
    ] {
        assert_eq!(rejected(&format!("[[source]]\n{settings}"), &[]), line);
    }
    assert_eq!(rejected("source = \"hidden\"", &[]), "source: expected a list of tables");
    assert_eq!(rejected("source = [\"hidden\"]", &[]), "source[0]: expected a table");
}

#[test]
fn no_secret_shows_in_the_debug_form_of_a_configuration() {
    let toml = "[[source]]\nname = \"a\"\ntokens = [\"hidden-hidden-hidden\"]\n\
                header = { name = \"x\", value = \"hidden\" }\nbasic = { user = \"u\", password = \"hidden\" }\n\
                [otlp]\nendpoint = \"http://collector/?key=hidden\"\nheaders = { api-key = \"hidden\" }";
    let shown = format!("{:?}", loaded(toml, &[]));
    assert!(shown.contains("collector") && !shown.contains("hidden"), "{shown}");
    let shown = format!("{:?}", loaded("", &[("SMSCOPE_TOKEN", TOKEN)]));
    assert!(shown.contains("<token>") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn a_source_has_the_privacy_of_all_or_its_own() {
    let both = |privacy: Privacy| (privacy.recipient, privacy.text);
    for (toml, expected) in [
        ("", (Recipient::Masked, Text::Stored)),
        ("[privacy]\ntext = \"dropped\"", (Recipient::Masked, Text::Dropped)),
        ("[[source]]\nname = \"a\"\nrecipient = \"hashed\"", (Recipient::Hashed, Text::Stored)),
        (
            "[privacy]\nrecipient = \"plain\"\ntext = \"dropped\"\n[[source]]\nname = \"a\"\ntext = \"exported\"",
            (Recipient::Plain, Text::Exported),
        ),
    ] {
        assert_eq!(both(loaded(toml, &[]).config.sources[0].privacy), expected, "{toml}");
    }
}
