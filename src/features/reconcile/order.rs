//! Whether a list turns out to be newest first, and how far back each of its pages is.
//!
//! No order is documented. So it is judged by what has been read: hardly any step from one message to the next is forward in time,
//! and no page is newer than one before it. A few messages out of place are no evidence against that, since a list may be in the order
//! of another time of its messages, such as that of sending. A list in no order has as many steps forward as back.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Steps back for each step forward, at least, in a list that is newest first.
const STEPS_BACK: usize = 10;

/// The times of a list, as far as it has been read.
#[derive(Debug, Default)]
pub struct Order {
    pages: BTreeMap<usize, Span>,
    forward: usize,
    back: usize,
}

/// The times of a page's messages.
#[derive(Clone, Copy, Debug)]
struct Span {
    newest: Timestamp,
    oldest: Timestamp,
}

impl Order {
    /// Adds a page's times, in its order; messages without a time are no evidence.
    pub fn add(&mut self, page: usize, times: impl IntoIterator<Item = Timestamp>) {
        let mut span: Option<Span> = None;
        let mut last: Option<Timestamp> = None;
        for time in times {
            self.forward += usize::from(last.is_some_and(|last| time > last));
            self.back += usize::from(last.is_some_and(|last| time < last));
            last = Some(time);
            let known = span.get_or_insert(Span { newest: time, oldest: time });
            *known = Span { newest: known.newest.max(time), oldest: known.oldest.min(time) };
        }
        if let Some(span) = span {
            self.pages.insert(page, span);
        }
    }

    fn is_newest_first(&self) -> bool {
        let mut back = self.back;
        for (earlier, later) in self.pages.values().zip(self.pages.values().skip(1)) {
            if later.newest > earlier.newest || later.oldest > earlier.oldest {
                return false;
            }
            back += usize::from(later.newest < earlier.newest);
        }
        back > 0 && self.forward * STEPS_BACK <= back
    }

    fn span(&self, page: usize) -> Option<&Span> {
        self.pages.get(&page).filter(|_| self.is_newest_first())
    }

    /// Whether what follows this page is older than `time`: the page has come to it, or is wholly older where messages are out of
    /// place.
    pub fn is_past(&self, page: usize, time: Timestamp) -> bool {
        self.span(page).is_some_and(|span| span.newest < time || (self.forward == 0 && span.oldest < time))
    }

    /// Whether this page and all before it are newer than `time`.
    pub fn is_newer(&self, page: usize, time: Timestamp) -> bool {
        self.span(page).is_some_and(|span| span.oldest > time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn order(pages: &[&[i64]]) -> Order {
        let mut order = Order::default();
        for (at, page) in pages.iter().enumerate() {
            order.add(at + 1, page.iter().copied().map(second));
        }
        order
    }

    #[test]
    fn only_a_list_that_is_newest_first_is_left_early() {
        let long: Vec<i64> = (20..60).rev().collect();
        let mut swapped = long.clone();
        swapped.swap(3, 4);
        let shuffled: Vec<i64> = (20..60).map(|at| 20 + at * 17 % 40).collect();
        for (pages, is_past, why) in [
            (&[&[][..]][..], false, "nothing is known"),
            (&[&[5]], false, "one message has no order"),
            (&[&[30, 20, 5]], true, "newest first, and there"),
            (&[&[30, 30, 5]], true, "some at the same time"),
            (&[&[5, 5, 5]], false, "all at the same time"),
            (&[&[30, 30], &[5, 5]], true, "all of a page at the same time"),
            (&[&[1, 2, 3]], false, "oldest first"),
            (&[&[30, 5, 20]], false, "no order"),
            (&[&[30, 20, 12]], false, "not there yet"),
            (&[&long, &[11, 9]], true, "there, on the second page"),
            (&[&swapped, &[11, 9]], false, "one is out of place, so another may be behind"),
            (&[&swapped, &[9, 8]], true, "one is out of place, but the whole page is older"),
            (&[&shuffled, &[9, 8]], false, "no order, though the second page is older"),
            (&[&[9, 8], &long], false, "pages in another order"),
        ] {
            assert_eq!(order(pages).is_past(pages.len(), second(10)), is_past, "{why}");
        }
    }

    #[test]
    fn a_page_is_skipped_only_in_a_list_that_is_newest_first() {
        let order_of = |pages: &[&[i64]]| order(pages).is_newer(1, second(10));
        assert!(order_of(&[&[30, 20, 11]]));
        assert!(!order_of(&[&[30, 20, 10]]), "it may be in it");
        assert!(!order_of(&[&[11, 20, 30]]));
        assert!(!order_of(&[&[30, 20, 11], &[40, 35]]));
    }
}
