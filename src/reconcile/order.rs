//! Whether a list turns out to be newest first, and how far back it has come.

use jiff::Timestamp;

/// The times of a list, as far as it has been read.
#[derive(Debug, Default)]
pub struct Order {
    newest: Option<Timestamp>,
    last: Option<Timestamp>,
    is_broken: bool,
}

impl Order {
    /// Takes the next item's time; an item without one says nothing.
    pub fn see(&mut self, time: Option<Timestamp>) {
        let Some(time) = time else { return };
        self.is_broken |= self.last.is_some_and(|last| time > last);
        self.last = Some(time);
        self.newest.get_or_insert(time);
    }

    /// Whether what follows is older than `time`: the list has only ever gone back, and has gone back beyond it.
    pub fn is_past(&self, time: Timestamp) -> bool {
        let goes_back = !self.is_broken && self.newest > self.last;
        goes_back && self.last.is_some_and(|last| last < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_that_goes_back_and_nothing_but_back_is_left_early() {
        for (seconds, is_past) in [
            (&[][..], false),
            (&[5], false),
            (&[30, 20, 5], true),
            (&[30, 30, 5], true),
            (&[5, 5, 5], false),
            (&[1, 2, 3], false),
            (&[30, 5, 20], false),
            (&[30, 20, 12], false),
        ] {
            let mut order = Order::default();
            for second in seconds {
                order.see(Some(Timestamp::from_second(*second).unwrap()));
                order.see(None);
            }
            assert_eq!(order.is_past(Timestamp::from_second(10).unwrap()), is_past, "{seconds:?}");
        }
    }
}
