//! The settings of `[store]` that make smscope a replica of a fleet: its PostgreSQL database, and how it is connected to.

mod password;
mod tls;
mod url;

use std::path::Path;

use strum::{IntoStaticStr, VariantArray};

use super::credentials;
use super::prelude::*;
use crate::environment::Environment;

use password::PassFile;
pub(crate) use password::Password;
pub(crate) use tls::PostgresTls;
pub use url::{ChannelBinding, Host, Url};
use url::{URL_EXPECTED, UrlError};

/// The database of a fleet.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The key, the variable or the flag that names it.
    pub setting: String,
    pub url: Url,
    pub(crate) password: Password,
    /// `None`: connections are not encrypted.
    pub(crate) tls: Option<PostgresTls>,
    /// Statements are prepared.
    pub prepares: bool,
    pub durability: Durability,
    /// A server that does not sync its log is accepted.
    pub is_unsafe: bool,
}

/// What makes a commit outlive the server that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Durability {
    /// Synchronous standbys.
    Server,
    /// The storage replicates what is written.
    Storage,
}

/// What each of these settings needs beside it, for the documentation.
const WITH_URL: &str = "url = \"postgresql://smscope@127.0.0.1/smscope\"";
const WITH_TOKENS: &str = "[[source]]\nname = \"smsmode\"\ntokens = [\"0123456789abcdef0123456789abcdef\"]\n";

settings! {
    URL: Url = setting("store.url", "URL", url_of, Url::to_string,
        "the PostgreSQL database of a fleet: several smscope share it. Without it the store is SQLite, in `data_dir`")
        .secret().absent("none").example(r#""postgresql://smscope@db.example.com/smscope?sslrootcert=/etc/smscope/ca.pem""#)
        .wrong(r#""mysql://smscope:s3cret@db.example.com/smscope""#).elsewhere(WITH_TOKENS)
        .variable("SMSCOPE_STORE_URL", "postgresql://smscope@127.0.0.1/smscope");
    URL_FILE: Url = setting("store.url_file", "path", url_of_file, Url::to_string, "the same from a file")
        .example(r#""/etc/smscope/store-url""#).wrong(r#""/nonexistent/store-url""#).elsewhere(WITH_TOKENS)
        .variable("SMSCOPE_STORE_URL_FILE", "/etc/smscope/store-url");
    PASSWORD_FILE: Password = setting("store.password_file", "path", password_of,
        |_| String::new(), "the password, if it is not in the URL; read for each connection, so that a new one needs no restart")
        .absent("none").example(r#""/etc/smscope/password""#).wrong(r#""/nonexistent/password""#).beside(WITH_URL)
        .elsewhere(WITH_TOKENS).variable("SMSCOPE_STORE_PASSWORD_FILE", "/etc/smscope/password");
    ACCEPT_ANY_CERTIFICATE: bool = switch("store.accept_any_certificate",
        "permits `sslmode=require` and `prefer` on other machines: encrypted, and anyone in between can read it")
        .example("true").wrong(r#""yes""#).beside(WITH_URL).elsewhere(WITH_TOKENS);
    PREPARE: bool = switch("store.prepare",
        "prepares statements. `false` for a pooler in transaction mode that does not support it, such as PgBouncer before 1.21")
        .default("true").example("false").wrong(r#""no""#).beside(WITH_URL).elsewhere(WITH_TOKENS);
    DURABILITY: Durability = word("store.durability",
        "`server`: smscope warns if the server has standbys and commits wait for none; `storage`: the storage replicates, \
         as that of Aurora and AlloyDB does, so standbys do not matter")
        .default("server").example(r#""storage""#).wrong(r#""disk""#).beside(WITH_URL).elsewhere(WITH_TOKENS);
    UNSAFE: bool = switch("store.unsafe", "accepts a server with `fsync = off`, which loses what was acknowledged")
        .example("true").wrong(r#""yes""#).beside(WITH_URL).elsewhere(WITH_TOKENS);
    PGPASSFILE: Given = raw("PGPASSFILE", "path",
        "libpq's file of passwords, of mode 0600, used if there is no other password; by default `~/.pgpass`");
}

/// Reads these settings; `None` without a URL.
pub(crate) fn read(table: &mut Table) -> Result<Option<Postgres>, ConfigError> {
    let pass_file = table.inputs.variable(&PGPASSFILE);
    let found = {
        let in_file = table.either(&URL, &URL_FILE);
        let (own, file) = (table.inputs.variable(&URL), table.inputs.variable(&URL_FILE));
        inputs::either((&URL, own), (&URL_FILE, file))?.map_or(in_file, |found| Ok(Some(found)))?
    };
    let password_file = table.given(&PASSWORD_FILE);
    let Some((given, url)) = found else {
        table.show(URL.name(), URL.declaration.default(), None);
        let others = [
            password_file,
            table.take(&ACCEPT_ANY_CERTIFICATE),
            table.take(&PREPARE),
            table.take(&DURABILITY),
            table.take(&UNSAFE),
        ];
        return match others.into_iter().flatten().next() {
            Some(alone) => {
                Err(alone.wrong("not used without a URL", "store.url or SMSCOPE_STORE_URL as well").beside_others())
            }
            None => Ok(None),
        };
    };
    table.show(URL.name(), &url, Some(&given));
    for unused in &url.unused {
        table.warn(given.remark(format_args!("{unused} is not used, smscope sets it itself")));
    }
    let password = password(table, &given, &url, password_file, pass_file)?;
    let accepts_any = table.get(&ACCEPT_ANY_CERTIFICATE)?;
    let tls = tls::read(&url, &given, accepts_any)?;
    if tls.is_none() && !url.is_local() {
        table.warn(given.remark("the connection is not encrypted; expected sslmode=verify-full"));
    }
    Ok(Some(Postgres {
        setting: given.key.clone(),
        url,
        password,
        tls,
        prepares: table.get(&PREPARE)?,
        durability: table.get(&DURABILITY)?,
        is_unsafe: table.get(&UNSAFE)?,
    }))
}

impl Postgres {
    /// The database that a flag names. Its password is in the URL or in libpq's file.
    pub(crate) fn of_flag(flag: &str, url: &str, env: &dyn Environment) -> Result<Self, ConfigError> {
        let given = Given::of_flag(flag, url);
        let url = parsed(&given, url)?;
        let variable = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let named = url.password_file.as_ref().map(|path| part(&given, "passfile", path));
        let named = named.or_else(|| Some(Given::of_flag(PGPASSFILE.name(), &variable(PGPASSFILE.name())?)));
        let password = match (&url.password, named, variable("HOME")) {
            (Some(password), ..) => Password::Fixed(password.clone()),
            (None, Some(path), _) => Password::PassFile(PassFile::named(path)),
            (None, None, Some(home)) if Path::new(&home).is_absolute() => Password::PassFile(PassFile::of_home(&home)),
            _ => Password::None,
        };
        let tls = tls::read(&url, &given, false)?;
        let setting = flag.to_owned();
        Ok(Self { setting, url, password, tls, prepares: true, durability: Durability::Server, is_unsafe: false })
    }

    /// How connections are encrypted, for people.
    pub fn shown_tls(&self) -> String {
        self.tls.as_ref().map_or("off".to_owned(), PostgresTls::to_string)
    }

    /// The error for a replica that would make tokens of its own.
    pub(crate) fn needs_tokens(&self, source: &str) -> ConfigError {
        let expected = "tokens, token_file, SMSCOPE_TOKEN or SMSCOPE_TOKEN_FILE";
        let problem = format!("missing, and with {} each replica would make another token", self.setting);
        ConfigError::of(source, format!("{source}: {problem}; expected {expected}")).beside_others()
    }
}

/// Where the password is: in its own file, in the URL, else in libpq's file. What can be read now is read once, so that an error is one
/// of the start.
fn password(
    table: &Table,
    given: &Given,
    url: &Url,
    file: Option<Given>,
    pass_file: Option<Given>,
) -> Result<Password, ConfigError> {
    let named = url.password_file.as_ref().map(|path| part(given, "passfile", path)).or(pass_file);
    let home = || table.inputs.env.get("HOME").filter(|home| Path::new(home).is_absolute());
    let shown = file.as_ref().map_or_else(
        || PASSWORD_FILE.declaration.default(),
        |file| file.text("").unwrap_or_default().to_owned().into(),
    );
    table.show(PASSWORD_FILE.name(), shown, file.as_ref());
    let password = match (file, &url.password, named) {
        (Some(file), Some(_), _) => {
            return Err(file.wrong(format_args!("{} has a password too", given.name()), "one of the two"));
        }
        (Some(file), None, _) => PASSWORD_FILE.read(&file)?,
        (None, Some(password), _) => Password::Fixed(password.clone()),
        (None, None, Some(path)) => Password::PassFile(PassFile::named(path)),
        (None, None, None) => match home() {
            Some(home) => Password::PassFile(PassFile::of_home(&home)),
            None => Password::None,
        },
    };
    for host in &url.hosts {
        password.read(url, host).map_err(|error| match &password {
            Password::PassFile(_) => error.within(&given.key),
            _ => error,
        })?;
    }
    Ok(password)
}

fn password_of(given: &Given) -> Result<Password, ConfigError> {
    credentials::password_file(given).map(|_| Password::File(given.clone()))
}

fn url_of(given: &Given) -> Result<Url, ConfigError> {
    parsed(given, given.text(URL_EXPECTED)?)
}

fn url_of_file(given: &Given) -> Result<Url, ConfigError> {
    parsed(given, &given.file("a file with the URL in it")?)
}

fn parsed(given: &Given, text: &str) -> Result<Url, ConfigError> {
    Url::parse(text).map_err(|UrlError { problem, expected }| given.wrong(problem, expected))
}

/// A parameter of the URL, under a name of its own.
fn part(url: &Given, name: &str, value: &str) -> Given {
    Given::of_flag(&format!("{} {name}", url.key), value)
}
