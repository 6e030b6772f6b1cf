//! How far a command is.

use std::io::{self, IsTerminal};

use indicatif::ProgressStyle;

/// A bar on standard error where that is a terminal, nothing elsewhere.
pub struct ProgressBar(Option<indicatif::ProgressBar>);

/// Steps of the bar.
const WHOLE: u64 = 1_000;

impl ProgressBar {
    pub fn new() -> Self {
        Self(io::stderr().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new(WHOLE);
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}") {
                bar.set_style(style);
            }
            bar
        }))
    }

    /// `share` is from 0 to 1.
    pub fn show(&self, phase: &'static str, share: f64) {
        if let Self(Some(bar)) = self {
            bar.set_message(phase);
            bar.set_position((share * WHOLE as f64) as u64);
        }
    }

    pub fn end(&self) {
        if let Self(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}
