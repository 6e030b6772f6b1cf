//! Reads the TOML file: a table is read key by key, and a key that is left is an error.

use std::fmt::Display;

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::given::Given;
use super::inputs::{self, Inputs};
use super::likely::{likely, likely_key};
use super::setting::Setting;

/// A table of the file, and the keys that have been read so far.
pub(crate) struct Table<'a> {
    pub inputs: &'a Inputs<'a>,
    /// `store.` or `source[0].`; empty at the top.
    prefix: String,
    entries: toml::Table,
    known: Vec<&'static str>,
    /// The table itself, if it is given.
    given: Option<Given>,
}

impl<'a> Table<'a> {
    /// The whole file, or no entries where there is none.
    pub fn root(inputs: &'a Inputs<'a>, entries: toml::Table) -> Self {
        Self { entries, ..Self::empty(inputs, String::new()) }
    }

    /// A table that is not given, whose keys begin with `prefix`.
    pub fn empty(inputs: &'a Inputs<'a>, prefix: String) -> Self {
        Self { inputs, prefix, entries: toml::Table::new(), known: Vec::new(), given: None }
    }

    /// The value of a setting: of its flag, else its variable, else the file, else its default. It is recorded for `smscope check`.
    pub fn get<T>(&mut self, setting: &Setting<T>) -> Result<T, ConfigError> {
        let given = self.given(setting);
        self.read(setting, given.as_ref())
    }

    /// The value that is `given` for a setting, or its default.
    pub fn read<T>(&self, setting: &Setting<T>, given: Option<&Given>) -> Result<T, ConfigError> {
        let value = given.map_or_else(|| setting.of_default(), |given| setting.read(given))?;
        self.show(setting.name(), setting.show(&value), given);
        Ok(value)
    }

    /// The same for a setting without a default.
    pub fn read_optional<T>(&self, setting: &Setting<T>, given: Option<&Given>) -> Result<Option<T>, ConfigError> {
        let value = given.map(|given| setting.read(given)).transpose()?;
        let shown = value.as_ref().map_or(setting.declaration.default(), |value| setting.show(value).into());
        self.show(setting.name(), shown, given);
        Ok(value)
    }

    /// What the file has for a setting, and its value.
    pub fn found<T>(&mut self, setting: &Setting<T>) -> Result<Option<(Given, T)>, ConfigError> {
        let Some(given) = self.take(setting) else { return Ok(None) };
        let value = setting.read(&given)?;
        Ok(Some((given, value)))
    }

    /// What was found for a setting, or its default.
    pub fn effective<T>(&self, setting: &Setting<T>, found: Option<(Given, T)>) -> Result<T, ConfigError> {
        let (given, value) = match found {
            Some((given, value)) => (Some(given), value),
            None => (None, setting.of_default()?),
        };
        self.show(setting.name(), setting.show(&value), given.as_ref());
        Ok(value)
    }

    /// The value of a setting, or of the one that names a file that has it.
    pub fn either<T>(&mut self, own: &Setting<T>, file: &Setting<T>) -> Result<Option<(Given, T)>, ConfigError> {
        let (given, in_file) = (self.take(own), self.take(file));
        inputs::either((own, given), (file, in_file))
    }

    /// The same, recorded for `smscope check`.
    pub fn find_either<T>(&mut self, own: &Setting<T>, file: &Setting<T>) -> Result<Option<T>, ConfigError> {
        let (given, value) = self.either(own, file)?.unzip();
        let shown = value.as_ref().map_or(own.declaration.default(), |value| own.show(value).into());
        self.show(own.name(), shown, given.as_ref());
        Ok(value)
    }

    /// The value that enables a setting; `None` if it is off.
    pub fn switched_on(&mut self, setting: &Setting<bool>) -> Result<Option<Given>, ConfigError> {
        let given = self.given(setting);
        let is_on = self.read(setting, given.as_ref())?;
        Ok(given.filter(|_| is_on))
    }

    /// What is given for a setting: by its flag, else its variable, else in the file.
    pub fn given<T>(&mut self, setting: &Setting<T>) -> Option<Given> {
        let in_file = self.take(setting);
        self.inputs.outside_the_file(setting).or(in_file)
    }

    /// What the file has for a setting. Relative paths start from the file's folder.
    pub fn take<T>(&mut self, setting: &Setting<T>) -> Option<Given> {
        let given = self.take_key(setting.name())?.declared(&setting.declaration);
        match &self.inputs.file {
            Some(file) if ["path", "list of paths"].contains(&setting.declaration.kind) => {
                Some(given.relative_to(&file.folder))
            }
            _ => Some(given),
        }
    }

    fn take_key(&mut self, key: &'static str) -> Option<Given> {
        self.known.push(key);
        let value = self.entries.remove(key);
        let key = format!("{}{key}", self.prefix);
        if self.inputs.left_out.contains(&key) {
            return stand_in(&key).map(|text| Given::of_flag(&key, &text));
        }
        Some(self.of_file(key, value?))
    }

    fn of_file(&self, key: String, value: toml::Value) -> Given {
        Given::of_file(key, value, self.inputs.file.as_ref().map(|file| &file.name), self.inputs.left_out)
    }

    /// Records for `smscope check` the value in effect of `name` in this table, and its origin.
    pub fn show(&self, name: &str, value: impl Display, given: Option<&Given>) {
        self.inputs.line(format!("{}{name}", self.prefix), value, given);
    }

    /// Where this table is given.
    pub fn origin(&self) -> Option<&Given> {
        self.given.as_ref()
    }

    pub fn warn(&self, warning: impl Into<String>) {
        self.inputs.warn(warning);
    }

    /// The table under `key`, empty when there is none.
    pub fn table(&mut self, key: &'static str) -> Result<Table<'a>, ConfigError> {
        let table = self.optional_table(key)?;
        Ok(table.unwrap_or_else(|| Table::empty(self.inputs, format!("{}{key}.", self.prefix))))
    }

    pub fn optional_table(&mut self, key: &'static str) -> Result<Option<Table<'a>>, ConfigError> {
        let given = self.take_key(key);
        given.map(|given| self.inner(given)).transpose()
    }

    /// The tables under `key`, each written as `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table<'a>>, ConfigError> {
        let Some(given) = self.take_key(key) else { return Ok(Vec::new()) };
        given.secret().items("tables")?.into_iter().map(|given| self.inner(given)).collect()
    }

    fn inner(&self, given: Given) -> Result<Table<'a>, ConfigError> {
        let prefix = format!("{}.", given.key);
        Ok(Table { prefix, given: Some(given.clone()), ..Table::root(self.inputs, given.into_table()?) })
    }

    /// Every entry, for a table whose keys are the operator's own.
    pub fn into_entries(mut self) -> Vec<(String, Given)> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let given = entries.map(|(key, value)| {
            let named = format!("{}{key}", self.prefix);
            (key, self.of_file(named, value))
        });
        given.filter(|(_, given)| !self.inputs.left_out.contains(&given.key)).collect()
    }

    /// The error for a key that has to be there.
    pub fn missing(&self, key: &str, expected: &str) -> ConfigError {
        let named = format!("{}{key}", self.prefix);
        // The key that was meant, misspelled.
        if let Some(slip) = self.entries.keys().find(|other| likely(other, [key]).is_some()) {
            let line = self.unknown(slip, Some(key.to_owned()), expected);
            return ConfigError::of(&named, line).and(format!("{}{slip}", self.prefix));
        }
        let error = ConfigError::of(&named, format!("{named}: missing; expected {expected}"));
        // The file that should contain it is reported already.
        if self.inputs.left_out.contains(&format!("{named}_file")) { error.beside_others() } else { error }
    }

    /// An error if a key is left that was not read.
    pub fn finish(&self) -> Result<(), ConfigError> {
        let named = |key: &str| format!("{}{key}", self.prefix);
        let Some(key) = self.entries.keys().find(|key| !self.inputs.left_out.contains(&named(key))) else {
            return Ok(());
        };
        let meant = likely(key, self.known.iter().copied())
            .map(str::to_owned)
            .or_else(|| likely_key(key, &self.inputs.declared));
        let expected = format!("one of {}", self.known.join(", "));
        Err(ConfigError::of(&named(key), self.unknown(key, meant, &expected)))
    }

    /// `store.retension: unknown key at /etc/smscope.toml:3 (did you mean retention?); expected one of …`.
    fn unknown(&self, key: &str, meant: Option<String>, expected: &str) -> String {
        let place = self.inputs.file.as_ref().map_or(String::new(), |file| {
            format!(" at {}:{}", file.name, line(&file.text, &self.prefix, key).unwrap_or(1))
        });
        let question = meant.map_or(String::new(), |meant| format!(" (did you mean {meant}?)"));
        format!("{}{key}: unknown key{place}{question}; expected {expected}", self.prefix)
    }
}

/// The value of a required key that is left out, so that the keys beside it are still checked.
fn stand_in(key: &str) -> Option<String> {
    let (table, name) = key.rsplit_once('.')?;
    let at = table.split_once('[').map_or("", |(_, at)| at.trim_end_matches(']'));
    match (table.rsplit(['.', '[']).next()?, name) {
        ("header" | "basic", "name" | "value" | "user" | "password") => Some("x".to_owned()),
        (_, "name") => Some(format!("left-out-{at}")),
        (_, "url") if table.starts_with("relay[") => Some("http://127.0.0.1:9".to_owned()),
        _ => None,
    }
}

/// The line of `text` with `key`, in the table whose keys begin with `prefix`, such as `source[0].`.
fn line(text: &str, prefix: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    for name in prefix.split_terminator('.') {
        let (name, at) = match name.split_once('[') {
            Some((name, at)) => (name, at.trim_end_matches(']').parse::<usize>().ok()),
            None => (name, None),
        };
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        let value = match (value.get_ref(), at) {
            (DeValue::Array(items), Some(at)) => items.get(at)?.get_ref(),
            (value, _) => value,
        };
        let DeValue::Table(inner) = value else { return None };
        table = inner;
    }
    let (found, _) = table.iter().find(|(other, _)| other.get_ref() == key)?;
    Some(1 + text[..found.span().start].matches('\n').count())
}
