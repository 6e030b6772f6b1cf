//! The reader of the TOML file: a table whose keys are taken one by one, and that complains of what is left over.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::error::LeftOut;
use super::likely::{likely, likely_key};
use super::origin::Origins;
use super::setting::Setting;

/// A table of the file, and the keys that have been asked for so far.
#[derive(Default)]
pub(super) struct Table {
    /// `store.` or `source[0].`; empty at the top.
    prefix: String,
    entries: toml::Table,
    known: Vec<&'static str>,
    /// What relative paths in the file start from: the file's folder.
    folder: PathBuf,
    /// The path of the file and its text.
    file: Option<Rc<(String, String)>>,
    left_out: LeftOut,
    origins: Origins,
}

impl Table {
    /// No table of a file, but what is left out all the same.
    pub fn none(left_out: &LeftOut) -> Self {
        Self { left_out: left_out.clone(), ..Self::default() }
    }

    /// Reads the file that `named` names.
    pub fn read(named: &Setting, path: &Path, left_out: &LeftOut) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| named.wrong(format_args!("cannot be read: {error}"), "a TOML file in UTF-8"))?;
        let entries = text.parse::<toml::Table>().map_err(|error| {
            // The error's own form quotes the line, and that may hold a token.
            let line = error.span().map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            named.wrong(format_args!("line {line}: {}", error.message().replace('\n', ", ")), "a TOML file")
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.display().to_string();
        let origins = Origins::of_file(&name);
        let (file, left_out) = (Some(Rc::new((name, text))), left_out.clone());
        Ok(Self { entries, folder, file, left_out, origins, ..Self::default() })
    }

    /// A table of one entry.
    pub fn with(key: &str, value: &str) -> Self {
        Self { entries: toml::Table::from_iter([(key.to_owned(), value.into())]), ..Self::default() }
    }

    pub fn take(&mut self, key: &'static str) -> Option<Setting> {
        self.known.push(key);
        let value = self.entries.remove(key);
        let key = format!("{}{key}", self.prefix);
        if self.left_out.contains(&key) {
            return stand_in(&key).map(|text| Setting::of_file(key, text.into()));
        }
        let value = value?;
        self.origins.note_file(&key);
        Some(Setting::of_file(key, value).without(&self.left_out))
    }

    /// The path, or the list of paths, under `key`; relative ones start from the file's folder.
    pub fn take_path(&mut self, key: &'static str) -> Option<Setting> {
        let setting = self.take(key)?;
        Some(setting.relative_to(&self.folder))
    }

    /// Where values came from, for noting what is not from the file.
    pub fn origins(&self) -> Origins {
        self.origins.clone()
    }

    /// `setting`, a variable or a flag, is what counts for `key` of this table.
    pub fn note(&self, key: &str, setting: &Setting) {
        self.origins.note(&format!("{}{key}", self.prefix), setting);
    }

    /// The table under `key`, empty when there is none.
    pub fn table(&mut self, key: &'static str) -> Result<Table, ConfigError> {
        let empty = Table {
            prefix: format!("{}{key}.", self.prefix),
            entries: toml::Table::new(),
            known: Vec::new(),
            ..self.beside()
        };
        Ok(self.optional_table(key)?.unwrap_or(empty))
    }

    pub fn optional_table(&mut self, key: &'static str) -> Result<Option<Table>, ConfigError> {
        let setting = self.take(key);
        setting.map(|setting| self.inner(setting)).transpose()
    }

    /// The tables under `key`, each written as `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table>, ConfigError> {
        let Some(setting) = self.take(key) else { return Ok(Vec::new()) };
        setting.secret().items("tables")?.into_iter().map(|setting| self.inner(setting)).collect()
    }

    fn inner(&self, setting: Setting) -> Result<Table, ConfigError> {
        let prefix = format!("{}.", setting.key);
        Ok(Table { prefix, entries: setting.into_table()?, ..self.beside() })
    }

    /// An empty table of the same file.
    fn beside(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            file: self.file.clone(),
            left_out: self.left_out.clone(),
            origins: self.origins.clone(),
            ..Self::default()
        }
    }

    /// Every entry, for a table whose keys are the operator's own.
    pub fn into_entries(self) -> Vec<(String, Setting)> {
        let entry = |(key, value)| {
            let named = format!("{}{key}", self.prefix);
            self.origins.note_file(&named);
            (key, Setting::of_file(named, value))
        };
        let is_left = |(key, _): &(String, _)| !self.left_out.contains(&format!("{}{key}", self.prefix));
        self.entries.into_iter().filter(is_left).map(entry).collect()
    }

    /// Something in the file is what counts for `key` of this table.
    pub fn note_file(&self, key: &str) {
        self.origins.note_file(&format!("{}{key}", self.prefix));
    }

    /// The error for a key that has to be there.
    pub fn missing(&self, key: &str, expected: &str) -> ConfigError {
        let named = format!("{}{key}", self.prefix);
        // What stands there in its place, by a slip of the keyboard.
        if let Some(slip) = self.entries.keys().find(|other| likely(other, [key]).is_some()) {
            let line = self.unknown(slip, Some(key.to_owned()), expected);
            return ConfigError::of(&named, line).and(format!("{}{slip}", self.prefix));
        }
        let error = ConfigError::of(&named, format!("{named}: missing; expected {expected}"));
        // The file that should have it is reported already.
        if self.left_out.contains(&format!("{named}_file")) { error.beside_others() } else { error }
    }

    /// An error if a key is left that nobody asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        let named = |key: &str| format!("{}{key}", self.prefix);
        let Some(key) = self.entries.keys().find(|key| !self.left_out.contains(&named(key))) else { return Ok(()) };
        let meant = likely(key, self.known.iter().copied()).map(str::to_owned).or_else(|| likely_key(key));
        let expected = format!("one of {}", self.known.join(", "));
        Err(ConfigError::of(&named(key), self.unknown(key, meant, &expected)))
    }

    /// `store.retension: unknown key at /etc/smscope.toml:3 (did you mean retention?); expected one of …`.
    fn unknown(&self, key: &str, meant: Option<String>, expected: &str) -> String {
        let place = self
            .file
            .as_deref()
            .map_or(String::new(), |(path, text)| format!(" at {path}:{}", line(text, &self.prefix, key).unwrap_or(1)));
        let question = meant.map_or(String::new(), |meant| format!(" (did you mean {meant}?)"));
        format!("{}{key}: unknown key{place}{question}; expected {expected}", self.prefix)
    }
}

/// What stands for a key that is left out and has to be there, so that what is beside it is still looked at.
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

/// The line of `text` that `key` stands in, in the table whose keys begin with `prefix`, such as `source[0].`.
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
