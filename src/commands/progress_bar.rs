//! How far a command is.

use indicatif::ProgressStyle;

/// A bar on standard error; indicatif hides it where that is no terminal.
pub struct ProgressBar(indicatif::ProgressBar);

/// Steps of the bar.
const WHOLE: u64 = 1_000;

impl ProgressBar {
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}");
        Self(indicatif::ProgressBar::new(WHOLE).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// `share` is from 0 to 1.
    pub fn show(&self, phase: &'static str, share: f64) {
        self.0.set_message(phase);
        self.0.set_position((share * WHOLE as f64) as u64);
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
