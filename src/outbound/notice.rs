//! How often the same complaint is worth a line.

use std::time::Duration;

use tokio::time::Instant;

const AGAIN: Duration = Duration::from_secs(600);

/// Lets a text through when it is new, or was last let through ten minutes ago.
#[derive(Debug, Default)]
pub struct Notice {
    last: Option<(String, Instant)>,
}

impl Notice {
    pub fn is_due(&mut self, text: &str) -> bool {
        if self.last.as_ref().is_some_and(|(said, when)| said == text && when.elapsed() < AGAIN) {
            return false;
        }
        self.last = Some((text.to_owned(), Instant::now()));
        true
    }

    /// Whether something was complained of since the last time that all was well.
    pub fn all_is_well(&mut self) -> bool {
        self.last.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_complaint_is_made_once_in_ten_minutes_unless_it_changes() {
        let mut notice = Notice::default();
        assert!(!notice.all_is_well());
        assert!(notice.is_due("answered 401"));
        assert!(!notice.is_due("answered 401"));
        assert!(notice.is_due("answered 403"));
        tokio::time::advance(AGAIN).await;
        assert!(notice.is_due("answered 403"));
        assert!(notice.all_is_well());
        assert!(notice.is_due("answered 403"));
    }
}
