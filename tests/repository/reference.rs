//! docs/configuration.md says of every setting what the program does with it.
//!
//! The tables there are rendered here, from the declarations in src/settings and src/features. When one was added or changed,
//! `UPDATE_DOCS=1 cargo test --test repository reference` rewrites the document.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use smscope::commands::check::lines;
use smscope::commands::command_line;
use smscope::config::reference::{Declaration, settings};
use smscope::config::{Config, Environment, Flags, Line, Loaded, variables};
use tempfile::TempDir;

use crate::support::certificates::Authority;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const SIGNALS: [&str; 2] = ["logs", "metrics"];

/// A folder that stands for `/etc/smscope`, with the files that examples speak of.
struct Etc(TempDir);

impl Etc {
    fn new() -> Self {
        let etc = Self(TempDir::new().unwrap());
        for name in ["token", "token-new", "token-marketing", "header", "password", "api-key", "webhook-secret"] {
            fs::write(etc.0.path().join(name), TOKEN).unwrap();
        }
        fs::write(etc.0.path().join("webhook-secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        fs::write(etc.0.path().join("store-url"), "postgresql://smscope@127.0.0.1/smscope\n").unwrap();
        let authority = Authority::new("ours");
        let (client, server) = (authority.client(), authority.server());
        for (name, content) in [
            ("smscope.toml", ""),
            ("ca.pem", &authority.pem()),
            ("client.pem", &client.certificate),
            ("client.key", &client.key),
            ("tls.pem", &server.certificate),
            ("tls.key", &server.key),
        ] {
            fs::write(etc.0.path().join(name), content).unwrap();
        }
        etc
    }

    fn here(&self, text: &str) -> String {
        text.replace("/etc/smscope", self.0.path().to_str().unwrap())
    }

    /// Loads `toml` as the configuration file. Errors name files as the document does.
    fn load(&self, toml: &str, env: &dyn Environment) -> Result<Loaded, String> {
        let path = self.0.path().join("given.toml");
        fs::write(&path, self.here(toml)).unwrap();
        let loaded = Config::load(&Flags { config: Some(path), ..Flags::default() }, env);
        loaded.map_err(|error| error.to_string().replace(self.0.path().to_str().unwrap(), "/etc/smscope"))
    }

    fn lines(&self, toml: &str, env: &dyn Environment) -> BTreeMap<String, Line> {
        let loaded = self.load(toml, env).unwrap_or_else(|error| panic!("{error}, in\n{toml}"));
        lines(&loaded).into_iter().map(|line| (line.key.clone(), line)).collect()
    }
}

fn no_env() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// The same for each signal, where the setting is one of a signal.
fn of_each_signal(text: &str) -> Vec<String> {
    let of = |signal: &&str| text.replace("<signal>", signal).replace("<SIGNAL>", &signal.to_uppercase());
    if text.to_lowercase().contains("<signal>") { SIGNALS.iter().map(of).collect() } else { vec![text.to_owned()] }
}

/// A file that gives `value` to a setting, with what the setting cannot be without.
fn file(setting: &Declaration, value: &str) -> String {
    let (table, key) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
    let head = match table {
        "" => String::new(),
        "source" if key == "name" => "[[source]]\n".to_owned(),
        "source" => "[[source]]\nname = \"smsmode\"\n".to_owned(),
        "relay" => {
            let given = format!("{key} = {value}\n{}", setting.beside);
            let required = [("name", "\"app\""), ("url", "\"http://127.0.0.1:9/\"")];
            let is_given = |name: &str| given.lines().any(|line| line.starts_with(&format!("{name} =")));
            let missing = required.iter().filter(|(name, _)| !is_given(name));
            missing.fold("[[relay]]\n".to_owned(), |head, (name, value)| format!("{head}{name} = {value}\n"))
        }
        "resend" if key == "name" => format!("{RESENDING}[[resend]]\n"),
        "resend" => format!("{RESENDING}[[resend]]\nname = \"absent\"\n"),
        _ if table.starts_with("source.") => format!("[[source]]\nname = \"smsmode\"\n[{table}]\n"),
        _ => format!("[{table}]\n"),
    };
    format!("{}{head}{}\n{key} = {value}\n", setting.elsewhere, setting.beside)
}

/// What the loader says to the wrong value. Of the signals the one that is said to stands for both.
fn rejection(etc: &Etc, setting: &Declaration) -> String {
    let loaded = match (setting.key, setting.variable) {
        ("", Some((name, _))) => {
            let env = BTreeMap::from([(name, setting.wrong)]);
            Config::load(&Flags::default(), &env).map_err(|error| error.to_string())
        }
        _ => etc.load(&file(setting, setting.wrong).replace("<signal>", "logs"), &no_env()),
    };
    match loaded {
        Ok(loaded) => match &loaded.warnings[..] {
            [warning] => format!("warning: {warning}"),
            _ => panic!("{setting:?} is not wrong"),
        },
        Err(line) => line,
    }
}

/// The keys under which `smscope check` shows a setting.
fn shown_as(setting: &Declaration) -> Vec<String> {
    let key = match setting.key.split_once('.') {
        Some(("source", rest)) => {
            let own = rest.split('.').next().unwrap();
            let joined = if own.starts_with("token") { "tokens" } else { own };
            format!("source[0].{joined}")
        }
        Some(("admin", own)) if own.starts_with("basic") => "admin.basic".to_owned(),
        Some(("admin", own)) if own.starts_with("bearer_token") => "admin.bearer_token".to_owned(),
        Some(("opt_outs", own)) if own.starts_with("api_token") => "opt_outs.api_token".to_owned(),
        Some(("store", "url_file")) => "store.url".to_owned(),
        Some(("relay", own)) => format!("relay[0].{}", if own.starts_with("secret") { "secret" } else { own }),
        Some(("resend", own)) => format!("resend[0].{own}"),
        // It shows in whether there is an endpoint.
        _ if setting.key == "otlp.<signal>.exporter" => "otlp.<signal>.endpoint".to_owned(),
        Some(("otlp", rest)) if !["metric_interval", "strict_answers", "service_name", "resource"].contains(&rest) => {
            format!("otlp.<signal>.{}", rest.trim_start_matches("<signal>."))
        }
        _ => setting.key.to_owned(),
    };
    of_each_signal(&key)
}

/// What shows the settings of both signals.
const ENDPOINT: &str = "[otlp]\nendpoint = \"http://collector:4318\"\n";

/// What shows the settings of a relay.
const RELAY: &str = "[[relay]]\nname = \"app\"\nurl = \"http://127.0.0.1:9/\"\n";

/// What shows the settings of a fleet.
const FLEET: &str = "[[source]]\nname = \"smsmode\"\ntokens = [\"0123456789abcdef0123456789abcdef\"]\n\
    [store]\nurl = \"postgresql://smscope@127.0.0.1/smscope\"\n";

/// What sending again cannot be without.
const RESENDING: &str = "[opt_outs]\nenabled = true\n[[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"k\"\n";

#[test]
fn the_document_is_made_from_the_settings() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let rendered = rendered(&document);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(DOCUMENT, rendered).unwrap();
        return;
    }
    let differs = rendered.lines().zip(document.lines()).find(|(new, old)| new != old);
    assert!(
        rendered == document,
        "docs/configuration.md is out of date, first at {differs:?}: UPDATE_DOCS=1 cargo test --test repository reference rewrites it"
    );
}

/// The document with what stands between the marks rendered again.
fn rendered(document: &str) -> String {
    let etc = Etc::new();
    let mut rest = document;
    let mut text = String::new();
    let mut done = BTreeSet::new();
    while let Some((before, after)) = rest.split_once("<!-- settings: ") {
        let (section, after) = after.split_once(" -->\n").unwrap();
        let (_, after) = after.split_once("<!-- end -->").expect("an end of each table");
        let own: Vec<&Declaration> = settings().filter(|setting| heading(setting) == section).collect();
        text.push_str(&format!("{before}<!-- settings: {section} -->\n{}<!-- end -->", table(&etc, &own)));
        done.insert(section);
        rest = after;
    }
    for setting in settings() {
        assert!(done.contains(heading(setting)), "the document has no place for {setting:?}");
    }
    text + rest
}

fn heading(setting: &Declaration) -> &'static str {
    if setting.section().is_empty() { "top" } else { setting.section() }
}

/// Defaults that are no values.
const WORDS: [&str; 5] = ["", "any", "made once and stored", "none", "off"];

fn table(etc: &Etc, settings: &[&Declaration]) -> String {
    let quoted = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let of_words = |text: &str| if WORDS.contains(&text) { text.to_owned() } else { quoted(text) };
    let names = |setting: &&Declaration| {
        let names = setting.variable.map(|(name, _)| name).into_iter().chain(setting.flag);
        names.map(quoted).collect::<Vec<_>>().join(", ")
    };
    let example = |setting: &&Declaration| match (setting.key, setting.variable) {
        ("", Some((_, value))) => quoted(value),
        _ => quoted(setting.example),
    };
    let mut columns: Vec<(&str, Vec<String>)> = vec![
        ("key", settings.iter().map(|setting| quoted(setting.name())).collect()),
        ("variable, flag", settings.iter().map(names).collect()),
        ("type", settings.iter().map(|setting| setting.kind.to_owned()).collect()),
        ("default", settings.iter().map(|setting| of_words(&setting.default())).collect()),
        ("example", settings.iter().map(example).collect()),
        ("", settings.iter().map(|setting| setting.meaning.to_owned()).collect()),
    ];
    columns.retain(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()));
    let row = |cells: Vec<&str>| format!("|{}\n", cells.iter().map(|cell| format!(" {cell} |")).collect::<String>());
    let mut text = row(columns.iter().map(|(heading, _)| *heading).collect());
    text.push_str(&format!("|{}\n", "---|".repeat(columns.len())));
    for at in 0..settings.len() {
        text.push_str(&row(columns.iter().map(|(_, cells)| cells[at].as_str()).collect()));
    }
    let rejections: Vec<String> =
        settings.iter().filter(|setting| !setting.wrong.is_empty()).map(|s| rejection(etc, s)).collect();
    if !rejections.is_empty() {
        text.push_str(&format!("\n```text\n{}\n```\n", rejections.join("\n")));
    }
    text
}

/// An environment that remembers what it was asked for.
#[derive(Default)]
struct Listening(RefCell<BTreeSet<String>>);

impl Environment for Listening {
    fn get(&self, name: &str) -> Option<String> {
        self.0.borrow_mut().insert(name.to_owned());
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn the_loader_reads_exactly_the_listed_variables() {
    let env = Listening::default();
    Config::load(&Flags::default(), &env).unwrap();
    let asked = env.0.into_inner();
    let listed: BTreeSet<String> =
        settings().filter_map(|setting| setting.variable).flat_map(|(name, _)| of_each_signal(name)).collect();
    let missing: Vec<_> = asked.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&asked).collect();
    assert!(missing.is_empty(), "not declared: {missing:?}");
    assert!(unknown.is_empty(), "declared, and the loader asks for no such variable: {unknown:?}");
    let ours: BTreeSet<&str> = listed.iter().map(String::as_str).filter(|name| name.starts_with("SMSCOPE_")).collect();
    assert_eq!(ours, BTreeSet::from_iter(variables()), "VARIABLES");
}

#[test]
fn the_flags_that_are_listed_are_the_global_ones() {
    let listed: BTreeSet<String> = settings().filter_map(|s| s.flag).map(str::to_owned).collect();
    let command = command_line();
    let global = command.get_arguments().filter(|argument| argument.is_global_set());
    let real: BTreeSet<String> = global.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
    assert_eq!(listed, real);
}

#[test]
fn each_default_is_shown_when_nothing_is_given() {
    let etc = Etc::new();
    let (bare, with_endpoint) = (etc.lines("", &no_env()), etc.lines(ENDPOINT, &no_env()));
    let (with_relay, with_fleet) = (etc.lines(RELAY, &no_env()), etc.lines(FLEET, &no_env()));
    let with_resend = etc.lines(&format!("{RESENDING}[[resend]]\nname = \"absent\"\n"), &no_env());
    for setting in settings().filter(|setting| !setting.default().is_empty()) {
        for key in shown_as(setting) {
            let all = [&bare, &with_endpoint, &with_relay, &with_resend, &with_fleet];
            let line = all.into_iter().find_map(|lines| lines.get(&key));
            let line = line.unwrap_or_else(|| panic!("smscope check does not show {key}"));
            assert_eq!((&*line.value, &*line.origin), (&*setting.default(), Line::DEFAULT), "{}", setting.key);
        }
    }
}

#[test]
fn each_example_is_accepted_and_shown_as_the_files() {
    let etc = Etc::new();
    for setting in settings().filter(|setting| !setting.key.is_empty()) {
        for signal in SIGNALS {
            let mut toml = file(setting, setting.example).replace("<signal>", signal);
            if setting.section().starts_with("otlp") && !toml.contains("\nendpoint") {
                let endpoint = "endpoint = \"http://collector:4318\"\n";
                toml = toml.replacen("]\n", &format!("]\n{endpoint}"), 1);
            }
            let lines = etc.lines(&toml, &no_env());
            let shown = shown_as(setting).into_iter().filter(|key| !key.starts_with("otlp.") || key.contains(signal));
            for key in shown {
                let line = lines.get(&key).unwrap_or_else(|| panic!("{key} is not shown for\n{toml}"));
                assert!(line.origin.ends_with("/given.toml"), "{line:?} for\n{toml}");
            }
        }
    }
}

#[test]
fn each_example_of_a_variable_is_accepted_and_shown_under_its_name() {
    let etc = Etc::new();
    for setting in settings() {
        let Some((name, value)) = setting.variable else { continue };
        if value.is_empty() {
            continue;
        }
        for (name, value) in of_each_signal(name).into_iter().zip(of_each_signal(value).into_iter().cycle()) {
            let env = BTreeMap::from([(name.clone(), etc.here(&value))]);
            let toml = match setting.beside {
                beside if setting.key.starts_with("store.") => format!("{}[store]\n{beside}\n", setting.elsewhere),
                _ if !setting.key.starts_with("otlp.") || name.ends_with("_ENDPOINT") => String::new(),
                "" => ENDPOINT.to_owned(),
                beside => {
                    let signal = SIGNALS.iter().find(|signal| name.contains(&format!("_{}_", signal.to_uppercase())));
                    format!("[otlp{}]\n{beside}", signal.map_or(String::new(), |signal| format!(".{signal}")))
                }
            };
            let lines = match name.as_str() {
                "SMSCOPE_CONFIG" => {
                    let loaded = Config::load(&Flags::default(), &env).unwrap();
                    lines(&loaded).into_iter().map(|line| (line.key.clone(), line)).collect()
                }
                _ => etc.lines(&toml, &env),
            };
            let named: Vec<&Line> = lines.values().filter(|line| line.origin == name).collect();
            assert!(!named.is_empty(), "nothing is shown to come from {name}={value}");
            let expected = shown_as(setting);
            for line in named.iter().filter(|_| !setting.key.is_empty()) {
                let own = expected.iter().any(|key| line.key.starts_with(key.as_str()));
                assert!(own, "{} is shown to come from {name}", line.key);
            }
        }
    }
}

#[test]
fn each_wrong_value_is_one_line_that_names_it() {
    let etc = Etc::new();
    for setting in settings().filter(|setting| !setting.key.is_empty() || !setting.wrong.is_empty()) {
        let line = rejection(&etc, setting);
        let named = match (setting.key, setting.variable) {
            ("", Some((name, _))) => name.to_owned(),
            (key, _) => key
                .replace("<signal>", "logs")
                .replace("source.", "source[0].")
                .replace("relay.", "relay[0].")
                .replace("resend.", "resend[0]."),
        };
        assert!(
            line.trim_start_matches("warning: ").starts_with(&named) && line.contains("expected"),
            "{}: {line}",
            setting.key
        );
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.contains("s3cret"), "{line}");
    }
}
