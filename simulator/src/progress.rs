//! The progress of a run on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::Tally;
use super::transport::Acknowledgement;

/// How often a line is written without a terminal.
const LINE: Duration = Duration::from_secs(5);

/// Shows the progress of a run.
pub enum Progress {
    Bar(ProgressBar),
    Lines { messages: u64, next: Duration },
}

impl Progress {
    /// For a run of so many messages.
    pub fn new(messages: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Progress::Lines { messages, next: LINE };
        }
        let bar = ProgressBar::new(messages);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} messages  {msg}") {
            bar.set_style(style);
        }
        Progress::Bar(bar)
    }

    /// `open`: messages with webhooks that are not acknowledged; `passed`: time since the start of the run.
    pub fn show(&mut self, tally: &Tally, open: usize, passed: Duration) {
        let message = format!(
            "{} requests: {} accepted, {} duplicates, {} not acknowledged, {open} open",
            tally.requests,
            tally.acknowledged(Acknowledgement::Accepted),
            tally.acknowledged(Acknowledgement::Duplicate),
            tally.failed.values().sum::<u64>(),
        );
        match self {
            Progress::Bar(bar) => {
                bar.set_position(tally.messages);
                bar.set_message(message);
            }
            Progress::Lines { messages, next } if passed >= *next => {
                eprintln!("{:>4} s  {}/{messages} messages, {message}", passed.as_secs(), tally.messages);
                *next += LINE;
            }
            Progress::Lines { .. } => {}
        }
    }

    /// Removes the bar.
    pub fn end(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
