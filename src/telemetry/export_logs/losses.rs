//! Log records that were dropped are one line, however many they are: their number and the last reason.

use std::time::Duration;

use tokio::time::Instant;

/// From one line to the next.
const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Losses {
    count: u64,
    why: String,
    /// Of the first that no line has reported.
    since: Option<Instant>,
    reported: Option<Instant>,
}

impl Losses {
    pub fn add(&mut self, count: u64, why: &str) {
        if count == 0 {
            return;
        }
        self.count += count;
        why.clone_into(&mut self.why);
        self.since.get_or_insert_with(Instant::now);
    }

    /// The line, if one is due: a run of losses has ended (`ended`), or continues for longer than the interval.
    pub fn due(&mut self, ended: bool) -> Option<String> {
        let waited = self.since?.elapsed() >= INTERVAL;
        let quiet = self.reported.is_none_or(|at| at.elapsed() >= INTERVAL);
        if waited || (ended && quiet) { self.line() } else { None }
    }

    /// What no line has reported yet.
    pub fn line(&mut self) -> Option<String> {
        self.since.take()?;
        self.reported = Some(Instant::now());
        let (count, why) = (std::mem::take(&mut self.count), std::mem::take(&mut self.why));
        Some(format!("log records dropped: {count}, the last one because {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_of_losses_is_one_line_with_their_number_and_the_last_reason() {
        let mut losses = Losses::default();
        assert_eq!(losses.due(true), None);
        for number in 0..20 {
            losses.add(1, &format!("it has no place for {number}"));
            assert_eq!(losses.due(false), None);
        }
        let line = "log records dropped: 20, the last one because it has no place for 19";
        assert_eq!(losses.due(true).as_deref(), Some(line));
        assert_eq!((losses.due(true), losses.line()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_line_comes_after_a_minute_even_if_the_losses_go_on() {
        let mut losses = Losses::default();
        losses.add(1, "first");
        assert!(losses.due(true).is_some());
        losses.add(2, "second");
        assert_eq!(losses.due(true), None);
        tokio::time::advance(INTERVAL).await;
        losses.add(3, "third");
        assert_eq!(losses.due(false).as_deref(), Some("log records dropped: 5, the last one because third"));
        losses.add(1, "at the end");
        assert_eq!(losses.line().as_deref(), Some("log records dropped: 1, the last one because at the end"));
    }
}
