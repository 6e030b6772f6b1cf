//! The reader of the TOML file: a table whose keys are taken one by one, and that complains of what is left over.

use std::path::{Path, PathBuf};

use super::ConfigError;
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
    origins: Origins,
}

impl Table {
    /// Reads the file that `named` names.
    pub fn read(named: &Setting, path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| named.wrong(format_args!("cannot be read: {error}"), "a TOML file in UTF-8"))?;
        let entries = text.parse::<toml::Table>().map_err(|error| {
            // The error's own form quotes the line, and that may hold a token.
            let line = error.span().map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            named.wrong(format_args!("line {line}: {}", error.message().replace('\n', ", ")), "a TOML file")
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let origins = Origins::of_file(&path.display().to_string());
        Ok(Self { entries, folder, origins, ..Self::default() })
    }

    /// A table of one entry.
    pub fn with(key: &str, value: &str) -> Self {
        Self { entries: toml::Table::from_iter([(key.to_owned(), value.into())]), ..Self::default() }
    }

    pub fn take(&mut self, key: &'static str) -> Option<Setting> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        let key = format!("{}{key}", self.prefix);
        self.origins.note_file(&key);
        Some(Setting::of_file(key, value))
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
            folder: self.folder.clone(),
            origins: self.origins.clone(),
            ..Table::default()
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
        let (folder, origins) = (self.folder.clone(), self.origins.clone());
        Ok(Table { prefix, entries: setting.into_table()?, known: Vec::new(), folder, origins })
    }

    /// Every entry, for a table whose keys are the operator's own.
    pub fn into_entries(self) -> Vec<(String, Setting)> {
        let entry = |(key, value)| {
            let named = format!("{}{key}", self.prefix);
            self.origins.note_file(&named);
            (key, Setting::of_file(named, value))
        };
        self.entries.into_iter().map(entry).collect()
    }

    /// Something in the file is what counts for `key` of this table.
    pub fn note_file(&self, key: &str) {
        self.origins.note_file(&format!("{}{key}", self.prefix));
    }

    /// The error for a key that has to be there.
    pub fn missing(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError(format!("{}{key}: missing; expected {expected}", self.prefix))
    }

    /// An error if a key is left that nobody asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        match self.entries.keys().next() {
            None => Ok(()),
            Some(key) => Err(ConfigError(format!(
                "{}{key}: unknown key; expected one of {}",
                self.prefix,
                self.known.join(", ")
            ))),
        }
    }
}
