//! The inputs of a configuration, and what reading them collects: warnings, and the lines of `smscope check`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ConfigError;
use super::error::LeftOut;
use super::given::Given;
use super::likely::likely;
use super::setting::{Declaration, Setting};
use crate::environment::Environment;

/// One setting in effect, as `smscope check` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As the configuration file names it, `store.retention` or `source[0].allow`.
    pub key: String,
    /// For people, without secrets.
    pub value: String,
    /// The path of the file, the variable, the flag, or `default`.
    pub origin: String,
}

impl Line {
    /// The origin of a default.
    pub const DEFAULT: &'static str = "default";
}

/// What was given on the command line.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Configuration file, in TOML [default: none]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where webhooks are accepted [default: 127.0.0.1:7672]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Where metrics and health are shown [default: 127.0.0.1:7673]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub admin_listen: Option<String>,
    /// Where events are stored [default: ./smscope-data]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

pub(crate) struct Inputs<'a> {
    flags: &'a Flags,
    /// All settings there are.
    pub declared: Vec<&'static Declaration>,
    pub env: &'a dyn Environment,
    pub left_out: &'a LeftOut,
    pub file: Option<File>,
    pub warnings: RefCell<Vec<String>>,
    lines: RefCell<Vec<Line>>,
}

/// The configuration file.
pub(crate) struct File {
    /// Its path, as errors show it.
    pub name: Arc<str>,
    /// The base of relative paths in it.
    pub folder: PathBuf,
    pub text: String,
}

impl<'a> Inputs<'a> {
    pub fn new(
        declared: Vec<&'static Declaration>,
        flags: &'a Flags,
        env: &'a dyn Environment,
        left_out: &'a LeftOut,
    ) -> Self {
        let warnings = RefCell::new(unknown_variables(env, &own_variables(declared.iter().copied())));
        Self { flags, declared, env, left_out, file: None, warnings, lines: RefCell::default() }
    }

    /// Reads the configuration file that `named` names.
    ///
    /// # Errors
    /// It cannot be read, or is not TOML.
    pub fn read_file(&mut self, named: &Given, path: &Path) -> Result<toml::Table, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| named.wrong(format_args!("cannot be read: {error}"), "a TOML file in UTF-8"))?;
        let entries = text.parse::<toml::Table>().map_err(|error| {
            // The error's own form quotes the line, and that may hold a token.
            let line = error.span().map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            named.wrong(format_args!("line {line}: {}", error.message().replace('\n', ", ")), "a TOML file")
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.file = Some(File { name: path.display().to_string().into(), folder, text });
        Ok(entries)
    }

    /// The flag or the variable that a setting is given by.
    pub fn outside_the_file<T>(&self, setting: &Setting<T>) -> Option<Given> {
        let of_flag = setting.declaration.flag.and_then(|flag| self.flag(flag));
        of_flag.map(|given| given.declared(&setting.declaration)).or_else(|| self.variable(setting))
    }

    /// The variable that a setting is given by.
    pub fn variable<T>(&self, setting: &Setting<T>) -> Option<Given> {
        self.variable_of(setting, "")
    }

    /// The same where the setting is one of the signal `logs` or `metrics`.
    pub fn variable_of<T>(&self, setting: &Setting<T>, signal: &str) -> Option<Given> {
        let name = setting.declaration.variable?.0.replace("<SIGNAL>", &signal.to_uppercase());
        let given = Given::of_env(self.env, &name).filter(|_| !self.left_out.contains(&name))?;
        Some(given.declared(&setting.declaration))
    }

    fn flag(&self, flag: &str) -> Option<Given> {
        let text = |value: &Option<String>| value.as_deref().map(|value| Given::of_flag(flag, value));
        let path = |value: &Option<PathBuf>| value.as_deref().map(|value| Given::of_path_flag(flag, value));
        let given = match flag {
            "--config" => path(&self.flags.config),
            "--listen" => text(&self.flags.listen),
            "--admin-listen" => text(&self.flags.admin_listen),
            "--data-dir" => path(&self.flags.data_dir),
            _ => None,
        };
        given.filter(|_| !self.left_out.contains(flag))
    }

    pub fn warn(&self, warning: impl Into<String>) {
        self.warnings.borrow_mut().push(warning.into());
    }

    /// Records the value in effect for `smscope check`; `given` is its origin, `None` for a default.
    pub fn line(&self, key: String, value: impl Display, given: Option<&Given>) {
        let origin = given.map_or(Line::DEFAULT, Given::origin).to_owned();
        self.lines.borrow_mut().push(Line { key, value: value.to_string(), origin });
    }

    /// All lines, those of tables before those of lists of tables, and all warnings.
    pub fn finish(self) -> (Vec<Line>, Vec<String>) {
        let mut lines = self.lines.into_inner();
        lines.sort_by_key(|line| line.key.split('.').next().is_some_and(|table| table.ends_with(']')));
        // A setting for all signals is warned about once per signal.
        let (mut warnings, mut remarked) = (self.warnings.into_inner(), BTreeSet::new());
        warnings.retain(|warning| remarked.insert(warning.clone()));
        (lines, warnings)
    }
}

/// The value of one of two settings, of which the second names a file that has it; and the one that was given.
///
/// # Errors
/// Both are given, or the one that is cannot be used.
pub(crate) fn either<T>(
    own: (&Setting<T>, Option<Given>),
    file: (&Setting<T>, Option<Given>),
) -> Result<Option<(Given, T)>, ConfigError> {
    let (setting, given) = match (own, file) {
        ((_, Some(own)), (_, Some(file))) => {
            return Err(own.wrong(format_args!("{} is set too", file.name()), "one of the two"));
        }
        ((setting, Some(given)), _) | (_, (setting, Some(given))) => (setting, given),
        _ => return Ok(None),
    };
    let value = setting.read(&given)?;
    Ok(Some((given, value)))
}

/// The environment variables of `settings` that are smscope's own, in alphabetical order.
pub(crate) fn own_variables(settings: impl Iterator<Item = &'static Declaration>) -> Vec<&'static str> {
    let all = settings.filter_map(|setting| Some(setting.variable?.0));
    let mut own: Vec<_> = all.filter(|name| name.starts_with("SMSCOPE_")).collect();
    own.sort_unstable();
    own
}

/// One warning per variable that has smscope's prefix and is unknown.
///
/// Kubernetes sets `SMSCOPE_SERVICE_HOST`, `SMSCOPE_PORT_7672_TCP` and the like for a service named smscope: no warning
/// about those.
fn unknown_variables(env: &dyn Environment, variables: &[&str]) -> Vec<String> {
    let injected = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
    let mut names = env.names();
    names.retain(|name| name.starts_with("SMSCOPE_") && !injected(name) && !variables.contains(&name.as_str()));
    names.sort();
    let known = variables.join(", ");
    let line = |name: String| {
        let likely = likely(&name, variables.iter().copied());
        let question = likely.map_or(String::new(), |likely| format!(" (did you mean {likely}?)"));
        format!("{name}: unknown variable, not used{question}; expected one of {known}")
    };
    names.into_iter().map(line).collect()
}
