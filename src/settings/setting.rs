//! A setting, declared once: what reads it, its default, the variable and the flag that give it, its line in `smscope check`, and its
//! row in docs/configuration.md and the manual page.
//!
//! A new setting is one entry in the `settings!` of its table's file, and the place that reads it: `table.get(&RETENTION)?`.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use strum::VariantArray;
use toml::Value;

use super::ConfigError;
use super::given::Given;
use super::value::{show_duration, show_size};

/// Declares settings, and `SETTINGS`, the list of them in the order of the documentation.
macro_rules! settings {
    ($($name:ident: $type:ty = $setting:expr;)*) => {
        $(pub(crate) static $name: Setting<$type> = $setting;)*

        pub static SETTINGS: &[&Declaration] = &[$(&$name.declaration),*];
    };
}
pub(crate) use settings;

/// The declaration of a setting, whatever its type.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// Its key in the file, `store.retention`; `<signal>` is `logs` or `metrics`. Empty when only a variable has it.
    pub key: &'static str,
    /// What kind of value it is.
    pub kind: &'static str,
    default: Default,
    /// A value that is accepted, in TOML.
    pub example: &'static str,
    /// A value that is not, in TOML; one of the variable when there is no key.
    pub wrong: &'static str,
    /// The sister settings that it requires, in TOML.
    pub beside: &'static str,
    /// What it requires of other tables, in TOML.
    pub elsewhere: &'static str,
    /// The environment variable and a value for it; `<SIGNAL>` is `LOGS` or `METRICS`.
    pub variable: Option<(&'static str, &'static str)>,
    pub flag: Option<&'static str>,
    /// In one phrase.
    pub meaning: &'static str,
    pub(crate) exposure: Exposure,
}

/// What errors show of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    Plain,
    /// Without what may be secret in a URL: user, password and query.
    Url,
    Secret,
}

#[derive(Clone, Copy, Debug)]
enum Default {
    None,
    /// A word for the absence of a value, such as `none`.
    Word(&'static str),
    /// A value, read as if it were given.
    Value(&'static str),
    List(&'static [&'static str]),
}

impl Declaration {
    /// What `smscope check` shows if it is not given; empty if it has no default.
    pub fn default(&self) -> Cow<'static, str> {
        match self.default {
            Default::None => "".into(),
            Default::Word(text) | Default::Value(text) => text.into(),
            Default::List(items) => items.join(", ").into(),
        }
    }

    /// Its heading in the documentation: its table in the file, empty at the top, or `variables`.
    pub fn section(&self) -> &'static str {
        match self.key.split_once('.') {
            _ if self.key.is_empty() => "variables",
            None => "",
            Some(("otlp", rest)) if rest.starts_with("<signal>.") => "otlp.<signal>",
            Some((table, _)) => table,
        }
    }

    /// Its key below that heading.
    pub fn name(&self) -> &'static str {
        self.key.strip_prefix(self.section()).unwrap_or(self.key).trim_start_matches('.')
    }
}

/// A setting whose value is a `T`.
pub(crate) struct Setting<T: 'static> {
    pub declaration: Declaration,
    read: fn(&Given) -> Result<T, ConfigError>,
    show: fn(&T) -> String,
}

impl<T> Setting<T> {
    /// Its key within its own table of the file.
    pub fn name(&self) -> &'static str {
        self.declaration.key.rsplit('.').next().unwrap_or_default()
    }

    /// The name of its environment variable; empty without one.
    pub fn variable_name(&self) -> &'static str {
        self.declaration.variable.map_or("", |(name, _)| name)
    }

    /// # Errors
    /// The setting cannot have this value.
    pub fn read(&self, given: &Given) -> Result<T, ConfigError> {
        (self.read)(given)
    }

    /// Its default.
    ///
    /// # Errors
    /// The declared default is no value, or there is none.
    pub fn of_default(&self) -> Result<T, ConfigError> {
        let Declaration { key, kind, default, .. } = self.declaration;
        let value = match (default, kind) {
            (Default::List(items), _) => Value::Array(items.iter().map(|item| (*item).into()).collect()),
            (Default::Value(text), "number") => text.parse().map_or_else(|_| text.into(), Value::Integer),
            (Default::Value(text), "true or false") => Value::Boolean(text == "true"),
            (Default::None | Default::Word(_), kind) if kind.starts_with("list") => Value::Array(Vec::new()),
            (Default::Value(text) | Default::Word(text), _) => text.into(),
            (Default::None, _) => "".into(),
        };
        self.read(&Given::of_default(key, value))
    }

    /// For people, without secrets. An empty list shows as the word for its absence.
    pub fn show(&self, value: &T) -> String {
        match ((self.show)(value), self.declaration.default) {
            (shown, Default::Word(word)) if shown.is_empty() => word.to_owned(),
            (shown, _) if shown.is_empty() => "none".to_owned(),
            (shown, _) => shown,
        }
    }
}

pub(crate) const fn setting<T>(
    key: &'static str,
    kind: &'static str,
    read: fn(&Given) -> Result<T, ConfigError>,
    show: fn(&T) -> String,
    meaning: &'static str,
) -> Setting<T> {
    let declaration = Declaration {
        key,
        kind,
        default: Default::None,
        example: "",
        wrong: "",
        beside: "",
        elsewhere: "",
        variable: None,
        flag: None,
        meaning,
        exposure: Exposure::Plain,
    };
    Setting { declaration, read, show }
}

type Read<T> = fn(&Given) -> Result<T, ConfigError>;

pub(crate) const fn duration(key: &'static str, read: Read<Duration>, meaning: &'static str) -> Setting<Duration> {
    setting(key, "duration", read, |duration| show_duration(*duration), meaning)
}

pub(crate) const fn size(key: &'static str, read: Read<u64>, meaning: &'static str) -> Setting<u64> {
    setting(key, "size", read, |size| show_size(*size), meaning)
}

pub(crate) const fn number<T: Display>(key: &'static str, read: Read<T>, meaning: &'static str) -> Setting<T> {
    setting(key, "number", read, T::to_string, meaning)
}

/// One of the names of an enum.
pub(crate) const fn word<T: VariantArray + Copy + Into<&'static str>>(
    key: &'static str,
    meaning: &'static str,
) -> Setting<T> {
    setting(key, "word", |given| given.word(T::VARIANTS), |word| Into::<&str>::into(*word).to_owned(), meaning)
}

/// A switch, off unless it is given.
pub(crate) const fn switch(key: &'static str, meaning: &'static str) -> Setting<bool> {
    setting(key, "true or false", Given::boolean, bool::to_string, meaning).default("false")
}

pub(crate) const fn list<T: Display>(
    key: &'static str,
    kind: &'static str,
    read: Read<Vec<T>>,
    meaning: &'static str,
) -> Setting<Vec<T>> {
    setting(key, kind, read, |items| items.iter().map(T::to_string).collect::<Vec<_>>().join(", "), meaning)
}

/// A secret, or several.
pub(crate) const fn secret<T>(
    key: &'static str,
    kind: &'static str,
    read: Read<T>,
    meaning: &'static str,
) -> Setting<T> {
    setting(key, kind, read, |_| "<token>".to_owned(), meaning).exposed(Exposure::Secret)
}

/// The path of a file that has the secret.
pub(crate) const fn secret_file<T>(key: &'static str, read: Read<T>, meaning: &'static str) -> Setting<T> {
    setting(key, "path", read, |_| "<token>".to_owned(), meaning)
}

/// The path of a file that is read with others, once all of them are known.
pub(crate) const fn file(key: &'static str, meaning: &'static str) -> Setting<PathBuf> {
    setting(key, "path", |given| given.text("a path").map(PathBuf::from), |path| path.display().to_string(), meaning)
}

/// A table whose keys are the operator's own.
pub(crate) const fn texts(key: &'static str, meaning: &'static str) -> Setting<()> {
    setting(key, "table of texts", |_| Ok(()), |()| String::new(), meaning)
}

/// A setting that only an environment variable has, of which `value` is an example.
pub(crate) const fn variable<T>(
    name: &'static str,
    value: &'static str,
    kind: &'static str,
    read: Read<T>,
    meaning: &'static str,
) -> Setting<T> {
    setting("", kind, read, |_| String::new(), meaning).variable(name, value)
}

/// A variable that is read by rules of its own.
pub(crate) const fn raw(name: &'static str, kind: &'static str, meaning: &'static str) -> Setting<Given> {
    variable(name, "", kind, |given| Ok(given.clone()), meaning)
}

impl<T> Setting<T> {
    const fn exposed(mut self, exposure: Exposure) -> Self {
        self.declaration.exposure = exposure;
        self
    }

    /// Errors show it without user, password and query.
    pub const fn url(self) -> Self {
        self.exposed(Exposure::Url)
    }

    /// Errors do not show it.
    pub const fn secret(self) -> Self {
        self.exposed(Exposure::Secret)
    }

    pub const fn default(mut self, value: &'static str) -> Self {
        self.declaration.default = Default::Value(value);
        self
    }

    pub const fn default_list(mut self, items: &'static [&'static str]) -> Self {
        self.declaration.default = Default::List(items);
        self
    }

    /// `word` is shown if it is not given.
    pub const fn absent(mut self, word: &'static str) -> Self {
        self.declaration.default = Default::Word(word);
        self
    }

    pub const fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.declaration.variable = Some((name, value));
        self
    }

    pub const fn flag(mut self, flag: &'static str) -> Self {
        self.declaration.flag = Some(flag);
        self
    }
}

macro_rules! described_by {
    ($($field:ident)*) => {
        impl<T> Setting<T> {
            $(pub const fn $field(mut self, text: &'static str) -> Self {
                self.declaration.$field = text;
                self
            })*
        }
    };
}
described_by! { example wrong beside elsewhere }
