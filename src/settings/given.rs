//! One value as it was given and the name under which it was given, so that an error shows both.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Value;

use super::ConfigError;
use super::error::LeftOut;
use super::setting::{Declaration, Exposure};
use super::value::{self, show_duration, show_size};
use crate::environment::Environment;

/// A value and its origin: a key of the file, an environment variable or a flag.
///
/// Secrets and files that an orchestrator mounts end in a line break more often than not, so white space around a text is no part of
/// it: every reader here gives it without.
#[derive(Clone)]
pub(crate) struct Given {
    /// `store.retention`, `SMSCOPE_LISTEN`, `--listen`.
    pub key: String,
    value: Value,
    /// The path of the file, where the value is from one.
    file: Option<Arc<str>>,
    /// What a flag has, where that is not UTF-8.
    path: Option<PathBuf>,
    exposure: Exposure,
    left_out: LeftOut,
}

impl Given {
    fn of(key: String, value: Value) -> Self {
        let left_out = LeftOut::default();
        Self { key, value, file: None, path: None, exposure: Exposure::Plain, left_out }
    }

    /// A value of the file `file`, without those of its items that are left out.
    pub fn of_file(key: String, value: Value, file: Option<&Arc<str>>, left_out: &LeftOut) -> Self {
        Self { file: file.cloned(), left_out: left_out.clone(), ..Self::of(key, value) }
    }

    pub fn of_flag(flag: &str, value: &str) -> Self {
        Self::of(flag.to_owned(), Value::String(value.to_owned()))
    }

    /// A path, in whatever encoding.
    pub fn of_path_flag(flag: &str, path: &Path) -> Self {
        let given = Self::of_flag(flag, &path.to_string_lossy());
        Self { path: path.to_str().is_none().then(|| path.to_owned()), ..given }
    }

    pub fn of_default(key: &str, value: Value) -> Self {
        Self::of(key.to_owned(), value)
    }

    /// `None` if the variable is unset or empty, which are the same by the OpenTelemetry specification.
    pub fn of_env(env: &dyn Environment, variable: &str) -> Option<Self> {
        let value = env.get(variable).filter(|value| !trimmed(value).is_empty())?;
        Some(Self::of(variable.to_owned(), Value::String(value)))
    }

    /// The same, shown in errors as it is declared.
    pub fn declared(self, declaration: &Declaration) -> Self {
        Self { exposure: declaration.exposure, ..self }
    }

    /// The same, with a value that no error shows.
    pub fn secret(self) -> Self {
        Self { exposure: Exposure::Secret, ..self }
    }

    /// The same, with a value that errors show without user, password and query.
    pub fn url(self) -> Self {
        Self { exposure: Exposure::Url, ..self }
    }

    /// The same, with a path or a list of paths that start from `folder` when they are relative.
    pub fn relative_to(self, folder: &Path) -> Self {
        let joined = |value: Value| match value {
            // An empty one stays so, and is rejected.
            Value::String(path) if !trimmed(&path).is_empty() => match folder.join(trimmed(&path)).to_str() {
                Some(joined) => Value::String(joined.to_owned()),
                None => Value::String(path),
            },
            other => other,
        };
        let value = match self.value {
            Value::Array(paths) => Value::Array(paths.into_iter().map(joined).collect()),
            value => joined(value),
        };
        Self { value, ..self }
    }

    /// The path of the file, the variable or the flag.
    pub fn origin(&self) -> &str {
        self.file.as_deref().unwrap_or(&self.key)
    }

    /// Its name within its table; a variable's own.
    pub fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or_default()
    }

    /// `listen = "foo": expected an address`.
    pub fn bad(&self, expected: impl Display) -> ConfigError {
        ConfigError::of(&self.key, format!("{}: expected {expected}", self.named()))
    }

    /// `source[0].name = "unknown": reserved; expected another name`.
    pub fn wrong(&self, problem: impl Display, expected: impl Display) -> ConfigError {
        ConfigError::of(&self.key, format!("{}: {problem}; expected {expected}", self.named()))
    }

    /// `listen = "foo": text`, which is no error.
    pub fn remark(&self, text: impl Display) -> String {
        format!("{}: {text}", self.named())
    }

    fn named(&self) -> String {
        match (self.exposure, &self.value) {
            (Exposure::Secret, _) => self.key.clone(),
            (Exposure::Url, Value::String(text)) => format!("{} = {:?}", self.key, shortened(&value::show_url(text))),
            (_, Value::String(text)) => format!("{} = {:?}", self.key, shortened(text)),
            (_, Value::Integer(number)) => format!("{} = {number}", self.key),
            (_, Value::Float(number)) => format!("{} = {number}", self.key),
            (_, Value::Boolean(truth)) => format!("{} = {truth}", self.key),
            (_, Value::Datetime(time)) => format!("{} = {time}", self.key),
            (_, Value::Array(_)) => format!("{} = […]", self.key),
            (_, Value::Table(_)) => format!("{} = {{…}}", self.key),
        }
    }

    /// The text on its one line, without white space around it.
    pub fn text(&self, expected: impl Display) -> Result<&str, ConfigError> {
        match self.value.as_str().map(trimmed) {
            Some(text) if text.contains(|c: char| c.is_control() && c != '\t') => {
                Err(self.wrong("a line break or another control character in it", expected))
            }
            Some(text) => Ok(text),
            None => Err(self.bad(expected)),
        }
    }

    /// The text with the spaces around it and all that is in it, but for line breaks at its end: of a password, of a pattern.
    pub fn verbatim(&self, expected: impl Display) -> Result<&str, ConfigError> {
        self.value.as_str().map(without_line_end).ok_or_else(|| self.bad(expected))
    }

    /// The text of the file that is named, without white space around it.
    pub fn file(&self, expected: &str) -> Result<String, ConfigError> {
        Ok(trimmed(&self.file_verbatim(expected)?).to_owned())
    }

    /// The same, but for nothing else than line breaks at its end.
    pub fn file_verbatim(&self, expected: &str) -> Result<String, ConfigError> {
        let text = std::fs::read_to_string(self.text("a path")?)
            .map_err(|error| self.wrong(format_args!("cannot be read: {error}"), expected))?;
        Ok(without_line_end(&text).trim_start_matches(BYTE_ORDER_MARK).to_owned())
    }

    /// The text as `read` parses it; `None` from it is an error.
    pub fn parse<T>(&self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        read(self.text(expected)?).ok_or_else(|| self.bad(expected))
    }

    pub fn boolean(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.bad("true or false"))
    }

    /// One of `all`, by its name.
    pub fn word<T: Copy + Into<&'static str>>(&self, all: &[T]) -> Result<T, ConfigError> {
        let names = all.iter().map(|word| (*word).into()).collect::<Vec<&str>>().join(", ");
        // The last one after an "or".
        let expected = names.rsplit_once(", ").map_or(names.clone(), |(others, last)| format!("{others} or {last}"));
        self.parse(&expected, |text| all.iter().copied().find(|word| (*word).into() == text))
    }

    /// A path. One of the environment that was not UTF-8 is rejected, since its bytes are lost.
    pub fn path(&self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        let fits = |text: &str| !text.is_empty() && !text.contains([char::REPLACEMENT_CHARACTER, '\0']);
        self.parse("a path in UTF-8", |text| fits(text).then(|| PathBuf::from(text)))
    }

    pub fn number<T: TryFrom<i64> + PartialOrd + Display>(&self, range: RangeInclusive<T>) -> Result<T, ConfigError> {
        let number = self.value.as_integer().and_then(|number| T::try_from(number).ok());
        self.within(number, &range, "a number", T::to_string)
    }

    pub fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        let duration = self.value.as_str().map(trimmed).and_then(value::duration);
        self.within(duration, &range, "a duration such as 500ms, 15s or 72h,", |duration| show_duration(*duration))
    }

    /// A whole number of milliseconds, as the OpenTelemetry variables have it.
    pub fn millis(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        let duration = self.value.as_str().and_then(|text| trimmed(text).parse().ok()).map(Duration::from_millis);
        self.within(duration, &range, "a number of milliseconds", |duration| duration.as_millis().to_string())
    }

    pub fn size(&self, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let size = match &self.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => value::size(trimmed(text)),
            _ => None,
        };
        self.within(size, &range, "a size such as 262144, 256KiB or 10GiB,", |size| show_size(*size))
    }

    /// `value`, if it is in `range`.
    fn within<T: PartialOrd>(
        &self,
        value: Option<T>,
        range: &RangeInclusive<T>,
        expected: &str,
        show: fn(&T) -> String,
    ) -> Result<T, ConfigError> {
        let (start, end) = (show(range.start()), show(range.end()));
        let fits = value.filter(|value| range.contains(value));
        fits.ok_or_else(|| self.bad(format_args!("{expected} from {start} to {end}")))
    }

    /// The items of a list of `what`, each under its own name (`source[0].allow[1]`).
    pub fn items(&self, what: &str) -> Result<Vec<Given>, ConfigError> {
        let Value::Array(values) = &self.value else {
            return Err(self.bad(format_args!("a list of {what}")));
        };
        let keyed = values.iter().enumerate().map(|(at, value)| (format!("{}[{at}]", self.key), value.clone()));
        let present = keyed.filter(|(key, _)| !self.left_out.contains(key));
        Ok(present.map(|(key, value)| Given { key, value, ..self.clone() }).collect())
    }

    /// The items of a list, each parsed by `read`.
    pub fn list<T>(&self, what: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ConfigError> {
        self.items(what)?.iter().map(|item| item.parse(expected, &read)).collect()
    }

    /// The items of a list of texts, none of them empty.
    pub fn texts(&self, what: &str) -> Result<Vec<String>, ConfigError> {
        self.list(what, "a text that is not empty", |text| (!text.is_empty()).then(|| text.to_owned()))
    }

    pub fn into_table(self) -> Result<toml::Table, ConfigError> {
        match self.value {
            Value::Table(table) => Ok(table),
            // A value in the place of a table may be a value of that table, such as a password.
            _ => Err(self.secret().bad("a table")),
        }
    }
}

/// What Windows' editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK)
}

fn without_line_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// One line has to stay readable whatever was pasted into it.
fn shortened(text: &str) -> String {
    const MAX: usize = 120;
    match text.char_indices().nth(MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
