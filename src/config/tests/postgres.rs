//! The database of a fleet: where it is, its password, and how it is verified.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::certificates::Authority;
use crate::settings::{Durability, Postgres};

const TOKEN: (&str, &str) = ("SMSCOPE_TOKEN", "0123456789abcdef0123456789abcdef");
const LOCAL: &str = "postgresql://smscope:s3cret@127.0.0.1/sms";

/// The database with this URL, and the warnings.
fn database_with(url: &str, store: &str, env: &Env) -> (Postgres, Vec<String>) {
    let env = [&[TOKEN, ("SMSCOPE_STORE_URL", url)], env].concat();
    let loaded = loaded(&format!("[store]\n{store}"), &env);
    (loaded.config.store.postgres.unwrap(), loaded.warnings)
}

fn database(url: &str) -> Postgres {
    database_with(url, "", &[]).0
}

fn rejected_url(url: &str) -> String {
    rejected("", &[TOKEN, ("SMSCOPE_STORE_URL", url)])
}

/// What `smscope check` shows under `key`.
fn shown<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a str) {
    let line = loaded.lines.iter().find(|line| line.key == key).unwrap();
    (&line.value, &line.origin)
}

fn password(database: &Postgres) -> Option<String> {
    let read = database.password.read(&database.url, &database.url.hosts[0]).unwrap();
    read.map(|password| password.reveal().to_owned())
}

#[test]
fn the_url_is_in_the_environment_the_file_or_a_file_of_its_own_and_never_shows_its_password() {
    let folder = TempDir::new().unwrap();
    let own_file = folder.path().join("url");
    fs::write(&own_file, format!("{LOCAL}\n")).unwrap();
    let own_file = own_file.to_str().unwrap();
    let of_file = format!("[store]\nurl = {LOCAL:?}");
    let of_own_file = format!("[store]\nurl_file = {own_file:?}");
    let other = "postgresql://other@127.0.0.1/other";
    for (toml, env, origin) in [
        (&*of_file, None, "smscope.toml"),
        (&of_own_file, None, "smscope.toml"),
        ("", Some(("SMSCOPE_STORE_URL", LOCAL)), "SMSCOPE_STORE_URL"),
        ("", Some(("SMSCOPE_STORE_URL_FILE", own_file)), "SMSCOPE_STORE_URL_FILE"),
        (&of_own_file.replace(own_file, "/nonexistent"), Some(("SMSCOPE_STORE_URL", LOCAL)), "SMSCOPE_STORE_URL"),
        (&of_file.replace(LOCAL, other), Some(("SMSCOPE_STORE_URL_FILE", own_file)), "SMSCOPE_STORE_URL_FILE"),
    ] {
        let env: Vec<_> = [TOKEN].into_iter().chain(env).collect();
        let loaded = loaded(toml, &env);
        let (value, shown_origin) = shown(&loaded, "store.url");
        assert_eq!(value, "postgresql://smscope@127.0.0.1:5432/sms", "{toml} {env:?}");
        assert!(shown_origin.ends_with(origin), "{shown_origin}");
        assert_eq!(password(loaded.config.store.postgres.as_ref().unwrap()).as_deref(), Some("s3cret"));
        assert!(!format!("{loaded:?}").contains("s3cret"));
    }
    let both = rejected("", &[TOKEN, ("SMSCOPE_STORE_URL", LOCAL), ("SMSCOPE_STORE_URL_FILE", own_file)]);
    assert_eq!(both, "SMSCOPE_STORE_URL: SMSCOPE_STORE_URL_FILE is set too; expected one of the two");
}

#[test]
fn without_a_url_there_is_no_fleet() {
    let loaded = loaded("", &[]);
    assert!(loaded.config.store.postgres.is_none());
    assert_eq!(shown(&loaded, "store.url"), ("none", "default"));
    assert!(!loaded.lines.iter().any(|line| line.key == "store.prepare"));
}

#[test]
fn a_setting_of_a_fleet_without_a_url_is_an_error() {
    for store in [
        "prepare = false",
        "durability = \"storage\"",
        "unsafe = true",
        "accept_any_certificate = true",
        "password_file = \"/nonexistent\"",
    ] {
        let line = rejected(&format!("[store]\n{store}"), &[]);
        assert!(line.ends_with("not used without a URL; expected store.url or SMSCOPE_STORE_URL as well"), "{line}");
    }
}

#[test]
fn a_fleet_needs_tokens_that_are_given() {
    let problem = "missing, and with SMSCOPE_STORE_URL each replica would make another token; expected tokens, token_file, \
                   SMSCOPE_TOKEN or SMSCOPE_TOKEN_FILE";
    let url = ("SMSCOPE_STORE_URL", LOCAL);
    assert_eq!(rejected("", &[url]), format!("source[0].tokens: {problem}"));
    let first = format!("[[source]]\nname = \"a\"\ntokens = [{:?}]\n", TOKEN.1);
    let second = "[[source]]\nname = \"b\"\n";
    assert_eq!(rejected(&format!("{first}{second}"), &[url]), format!("source[1].tokens: {problem}"));
    loaded(&first, &[url]);
}

#[test]
fn a_url_that_cannot_be_used_is_one_line_without_it() {
    for (url, line) in [
        (
            "mysql://u:s3cret@h/d",
            "its scheme is \"mysql\"; expected a URL such as postgresql://smscope@db.example.com/smscope",
        ),
        (
            "postgresql://u:s3cret@/d",
            "no host in it; expected a URL such as postgresql://smscope@db.example.com/smscope",
        ),
        ("u:s3cret@h", "not a URL of PostgreSQL; expected a URL such as postgresql://smscope@db.example.com/smscope"),
        (
            "postgresql://u:s3cret@h/d?sslmode=require",
            "an sslmode that accepts any certificate; expected sslmode=verify-full, with sslrootcert=FILE if the server's \
             authority is not a public one, or store.accept_any_certificate",
        ),
        (
            "postgresql://u:s3cret@h/d?sslmode=verify-ca",
            "sslmode=verify-ca would accept any certificate of a public authority; expected sslmode=verify-full, or \
             sslrootcert=FILE",
        ),
        ("postgresql://u:s3cret@h/d?sslmode=disable&sslcert=c", "sslcert without sslkey; expected sslkey as well"),
    ] {
        assert_eq!(rejected_url(url), format!("SMSCOPE_STORE_URL: {line}"), "{url}");
        assert!(!line.contains("s3cret"));
    }
}

#[test]
fn a_server_elsewhere_is_verified_unless_the_url_says_otherwise() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new("ours");
    let client = authority.client();
    let authorities = file("ca.pem", &authority.pem());
    let (certificate, key) = (file("client.pem", &client.certificate), file("client.key", &client.key));
    let remote = format!("postgresql://u@db/d?sslrootcert={authorities}");
    for (url, store, tls) in [
        (remote.clone(), "", format!("verified, authorities of {authorities}")),
        (format!("{remote}&sslmode=verify-full"), "", format!("verified, authorities of {authorities}")),
        (format!("{remote}&sslmode=verify-ca"), "", format!("under any name, authorities of {authorities}")),
        (
            format!("{remote}&sslcert={certificate}&sslkey={key}"),
            "",
            format!("verified, authorities of {authorities}, client certificate {certificate}"),
        ),
        (format!("{remote}&sslmode=disable"), "", "off".to_owned()),
        ("postgresql://u@db/d?sslmode=require".to_owned(), ACCEPTING, "with any certificate".to_owned()),
        (
            "postgresql://u@db/d?sslmode=prefer".to_owned(),
            ACCEPTING,
            "if the server has it, with any certificate".to_owned(),
        ),
        ("postgresql://u@127.0.0.1,[::1]/d".to_owned(), "", "off".to_owned()),
        ("postgresql://u@%2Frun/d".to_owned(), "", "off".to_owned()),
        ("postgresql://u@localhost/d?sslmode=require".to_owned(), "", "with any certificate".to_owned()),
        (remote.replace("db", "localhost"), "", format!("verified, authorities of {authorities}")),
    ] {
        let (database, warnings) = database_with(&url, store, &[]);
        assert_eq!(database.shown_tls(), tls, "{url}");
        let is_open = url.contains("@db/") && tls == "off";
        let expected = "SMSCOPE_STORE_URL: the connection is not encrypted; expected sslmode=verify-full";
        assert_eq!(
            warnings.iter().map(String::as_str).collect::<Vec<_>>(),
            Vec::from_iter(is_open.then_some(expected)),
            "{url}"
        );
    }
    for (url, line) in [
        (remote.replace("ca.pem", "none.pem"), "SMSCOPE_STORE_URL sslrootcert = \"/none.pem\": cannot be read: "),
        (
            remote.replace("ca.pem", "client.key"),
            "SMSCOPE_STORE_URL sslrootcert = \"/client.key\": no certificate in it; ",
        ),
        (
            format!("{remote}&sslcert={certificate}&sslkey={certificate}"),
            "SMSCOPE_STORE_URL sslkey = \"/client.pem\": no private key in it that can be read; ",
        ),
    ] {
        let rejected = rejected_url(&url).replace(folder.path().to_str().unwrap(), "");
        assert!(rejected.starts_with(line) && rejected.lines().count() == 1, "{rejected}");
    }
}

const ACCEPTING: &str = "accept_any_certificate = true";

#[test]
fn the_password_is_in_its_file_the_url_or_a_password_file_in_this_order() {
    let folder = TempDir::new().unwrap();
    let written = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let home = folder.path().to_str().unwrap();
    let own = written("password", "of its file\n", 0o644);
    let pass = written("pass", "*:*:*:*:of PGPASSFILE", 0o600);
    let named = written("named", "*:*:*:*:of passfile", 0o600);
    written(".pgpass", "127.0.0.1:5432:sms:smscope:of home", 0o600);
    let plain = "postgresql://smscope@127.0.0.1/sms";
    let with_passfile = format!("{plain}?passfile={named}");
    let (own_file, pass_file) = (("SMSCOPE_STORE_PASSWORD_FILE", &*own), ("PGPASSFILE", &*pass));
    for (url, env, expected) in [
        (plain, &[own_file, pass_file][..], Some("of its file")),
        (LOCAL, &[pass_file], Some("s3cret")),
        (&with_passfile, &[pass_file], Some("of passfile")),
        (plain, &[pass_file, ("HOME", home)], Some("of PGPASSFILE")),
        (plain, &[("HOME", home)], Some("of home")),
        ("postgresql://smscope@127.0.0.1/other", &[("HOME", home)], None),
        (plain, &[], None),
    ] {
        let (database, _) = database_with(url, "", env);
        assert_eq!(password(&database).as_deref(), expected, "{url} {env:?}");
        assert!(!format!("{database:?}").contains("of "), "{database:?}");
    }
    let both = rejected("", &[TOKEN, ("SMSCOPE_STORE_URL", LOCAL), own_file]);
    assert!(both.ends_with("SMSCOPE_STORE_URL has a password too; expected one of the two"), "{both}");
    fs::set_permissions(Path::new(&pass), fs::Permissions::from_mode(0o640)).unwrap();
    let open = rejected("", &[TOKEN, ("SMSCOPE_STORE_URL", plain), pass_file]);
    assert!(open.starts_with("PGPASSFILE = ") && open.contains("has mode 0640; expected mode 0600"), "{open}");
}

#[test]
fn parameters_that_have_no_effect_are_a_warning_each() {
    let (_, warnings) = database_with(&format!("{LOCAL}?connect_timeout=10&target_session_attrs=read-write"), "", &[]);
    assert_eq!(warnings, ["SMSCOPE_STORE_URL: connect_timeout is not used, smscope sets it itself"]);
}

#[test]
fn the_other_settings_have_defaults() {
    let database = database(LOCAL);
    assert_eq!((database.prepares, database.durability, database.is_unsafe), (true, Durability::Server, false));
    let (database, _) = database_with(LOCAL, "prepare = false\ndurability = \"storage\"\nunsafe = true", &[]);
    assert_eq!((database.prepares, database.durability, database.is_unsafe), (false, Durability::Storage, true));
}
