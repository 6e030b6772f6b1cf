//! Where each effective value came from, noted while settings are taken.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::setting::Setting;
use super::{Environment, LoadedOrigins};

/// What may be set of one signal's endpoint, by its key in `[otlp]`; the variables end in the same in capitals.
const OF_AN_ENDPOINT: [&str; 8] =
    ["endpoint", "headers", "timeout", "compression", "protocol", "certificate", "client_certificate", "client_key"];

/// The notes, shared by all tables of one file.
#[derive(Clone, Default)]
pub(super) struct Origins {
    file: Option<Rc<str>>,
    noted: Rc<RefCell<BTreeMap<String, String>>>,
}

impl Origins {
    /// Notes for what stands in `file`, as errors and people call it.
    pub fn of_file(file: &str) -> Self {
        Self { file: Some(file.into()), ..Self::default() }
    }

    /// `key` stands in the file.
    pub fn note_file(&self, key: &str) {
        if let Some(file) = &self.file {
            self.noted.borrow_mut().insert(key.to_owned(), file.to_string());
        }
    }

    /// `key` has the value of `setting`, a variable or a flag.
    pub fn note(&self, key: &str, setting: &Setting) {
        self.noted.borrow_mut().insert(key.to_owned(), setting.key.clone());
    }

    /// The same for what a signal's endpoint consists of: its own variable, the general variable, `[otlp.<signal>]`, `[otlp]`.
    pub fn note_endpoint(&self, env: &dyn Environment, signal: &str) {
        for key in OF_AN_ENDPOINT {
            let suffix = key.to_uppercase();
            let own = format!("OTEL_EXPORTER_OTLP_{}_{suffix}", signal.to_uppercase());
            let general = format!("OTEL_EXPORTER_OTLP_{suffix}");
            let of_signal = format!("otlp.{signal}.{key}");
            match Setting::of_env(env, &own).or_else(|| Setting::of_env(env, &general)) {
                Some(setting) => self.note(&of_signal, &setting),
                None if self.has(&format!("otlp.{key}")) => self.note_file(&of_signal),
                None => {}
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.noted.borrow().contains_key(key)
    }

    pub fn finish(&self) -> LoadedOrigins {
        LoadedOrigins(self.noted.borrow().clone())
    }
}
