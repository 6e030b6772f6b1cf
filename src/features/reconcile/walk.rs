//! Reads a list of messages: page by page, until all that is searched for has been found, the list ends, or it has become older than that.
//!
//! A list that has been seen to be newest first need not be read from its beginning to what is old in it: pages that are newer than
//! all that is searched for are skipped, by steps that double and then by halves. So one message from yesterday costs some twenty requests,
//! however many have been sent since.

use crate::inbound::{self, DecodedRequest};
use crate::smsmode_api::{Failure, MessageList, PAGE_SIZE};

use super::order::Order;
use super::{Reconciler, RoundError, Search, Tally, time};

/// A list that is being read.
pub(super) struct Walk<'a> {
    reconciler: &'a Reconciler,
    list: &'static MessageList,
    search: Search,
    tally: &'a mut Tally,
    order: Order,
    /// Pages that may still be read.
    left: usize,
    /// The first page that is known to be the last.
    last: Option<usize>,
}

/// Whether there is more to read.
enum Step {
    Done,
    /// From this page on, which has been read.
    At(usize),
}

impl<'a> Walk<'a> {
    pub fn new(
        reconciler: &'a Reconciler,
        list: &'static MessageList,
        search: Search,
        tally: &'a mut Tally,
        limit: usize,
    ) -> Self {
        Self { reconciler, list, search, tally, order: Order::default(), left: limit, last: None }
    }

    pub async fn run(mut self) -> Result<(), RoundError> {
        let mut at = 0;
        loop {
            if !self.read(at + 1).await? {
                return Ok(());
            }
            at += 1;
            if self.ends_with(at) {
                return Ok(());
            }
            if self.is_skipped(at) {
                match self.skip_from(at).await? {
                    Step::Done => return Ok(()),
                    Step::At(page) => at = page,
                }
            }
        }
    }

    /// Whether nothing that is searched for is after this page.
    fn ends_with(&self, page: usize) -> bool {
        self.search.is_satisfied()
            || self.last.is_some_and(|last| last <= page)
            || self.order.is_past(page, self.search.oldest())
    }

    /// Whether nothing that is searched for is on this page or before it.
    fn is_skipped(&self, page: usize) -> bool {
        self.order.is_newer(page, self.search.newest())
    }

    /// From a page that is skipped to the first that is not.
    async fn skip_from(&mut self, page: usize) -> Result<Step, RoundError> {
        let (mut newer, mut step) = (page, 1);
        let mut older = loop {
            let probed = newer + step;
            if !self.read(probed).await? {
                return Ok(Step::Done);
            }
            if !self.is_skipped(probed) {
                break probed;
            }
            newer = probed;
            step *= 2;
        };
        while older - newer > 1 {
            let middle = newer + (older - newer) / 2;
            if !self.read(middle).await? {
                return Ok(Step::Done);
            }
            if self.is_skipped(middle) { newer = middle } else { older = middle }
        }
        Ok(if self.ends_with(older) { Step::Done } else { Step::At(older) })
    }

    /// Reads a page and submits what is searched for; `false` if the limit of pages is reached or all has been found.
    async fn read(&mut self, page: usize) -> Result<bool, RoundError> {
        if self.left == 0 {
            self.tally.is_incomplete = true;
            return Ok(false);
        }
        self.left -= 1;
        let items = match self.reconciler.page(self.list, page).await {
            // The provider may reject a page beyond the end.
            Err(error) if page > 1 && error.failure == Failure::Rejected => Vec::new(),
            read => read?,
        };
        self.tally.read += items.len() as u64;
        if items.len() < PAGE_SIZE {
            self.last = Some(self.last.map_or(page, |last| last.min(page)));
        }
        let source = &self.reconciler.source;
        let messages: Vec<_> = items.iter().filter_map(|item| inbound::api_message(source, "GET", item)).collect();
        self.order.add(page, messages.iter().flat_map(|message| &message.events).filter_map(time));
        let is_wanted = |message: &DecodedRequest<'_>| message.events.iter().any(|event| self.search.matches(event));
        let found: Vec<_> = messages.into_iter().filter(is_wanted).collect();
        self.tally.looked_for += found.len() as u64;
        self.reconciler.store(found, self.tally).await?;
        Ok(!self.search.is_satisfied())
    }
}
