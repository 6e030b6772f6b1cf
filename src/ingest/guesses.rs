//! What guessing costs.
//!
//! A right token always passes, whoever else calls from the same address: a provider behind a shared proxy must not be locked out by
//! a stranger. So every token has to be looked at, and a limit can only make a wrong one dear: past it, a failure is answered late,
//! and its connection is closed, so that the next guess costs a new one. Late answers hold places of the listener, so there are few
//! at a time; a failure past those is answered at once, and its connection is closed all the same.
//!
//! Memory is fixed: a table with room for [`ROOM`] addresses. An address finds its place by a keyed hash, so nobody can choose
//! whose place is taken; when all places it could have are taken, the one with the fewest failures goes.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use tokio::sync::Semaphore;

use crate::meters;

/// Failures that an address has free at once, and each minute. A provider that still uses an old token stays below that or is answered
/// late, which harms nobody.
const FREE: f32 = 100.0;
const A_MINUTE: f32 = 30.0;

/// How late a failure past that is answered.
const DELAY: Duration = Duration::from_secs(1);

/// Addresses that are remembered.
const ROOM: usize = 4096;
/// Places that an address can have.
const WAYS: usize = 4;
const SETS: usize = ROOM / WAYS;

pub struct Guesses {
    // A std lock: taken by failures only, for a few instructions.
    table: Mutex<Vec<[Option<Failures>; WAYS]>>,
    hasher: RandomState,
    late: Semaphore,
    limited: Counter,
}

/// The failures of one address that still count.
#[derive(Clone, Copy)]
struct Failures {
    network: IpAddr,
    count: f32,
    at: Instant,
}

impl Failures {
    fn count_at(&self, now: Instant) -> f32 {
        let forgotten = now.saturating_duration_since(self.at).as_secs_f32() / 60.0 * A_MINUTE;
        (self.count - forgotten).max(0.0)
    }
}

impl Guesses {
    /// `late`: how many answers may be late at a time.
    pub fn new(late: usize) -> Self {
        Self {
            table: Mutex::new(vec![[None; WAYS]; SETS]),
            hasher: RandomState::new(),
            late: Semaphore::new(late),
            limited: meters::guesses_limited(),
        }
    }

    /// Counts a failure of `client`. Past the limit it takes its time, if it may, and gives `true`: the connection is to be closed.
    pub async fn failed(&self, client: IpAddr) -> bool {
        let limited = self.count(client, Instant::now());
        if limited {
            self.limited.increment(1);
            if let Ok(_held_meanwhile) = self.late.try_acquire() {
                tokio::time::sleep(DELAY).await;
            }
        }
        limited
    }

    /// Whether this failure is past the limit of its address.
    fn count(&self, client: IpAddr, now: Instant) -> bool {
        let network = network(client);
        let set = self.hasher.hash_one(network) as usize % SETS;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let set = &mut table[set];
        let known = set.iter().position(|place| place.is_some_and(|failures| failures.network == network));
        let place = known.unwrap_or_else(|| fewest(set, now));
        let before = known.and(set[place]).map_or(0.0, |failures| failures.count_at(now));
        let limited = before + 1.0 > FREE;
        // Of what is past the limit no more is held against anyone than a minute makes good.
        set[place] = Some(Failures { network, count: (before + 1.0).min(FREE + A_MINUTE), at: now });
        limited
    }
}

fn fewest(set: &[Option<Failures>; WAYS], now: Instant) -> usize {
    let counts = set.iter().map(|place| place.map_or(-1.0, |failures| failures.count_at(now)));
    counts.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(at, _)| at)
}

/// Who counts as one caller: an address, by IPv6 its network of 64 bits, which is what one customer is given at least.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of so many failures at one time are past the limit.
    fn limited(guesses: &Guesses, client: &str, failures: usize, now: Instant) -> usize {
        (0..failures).filter(|_| guesses.count(address(client), now)).count()
    }

    #[test]
    fn an_address_has_a_hundred_failures_free_and_thirty_more_a_minute() {
        let guesses = Guesses::new(1);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limited(&guesses, "192.0.2.1", 100, start), 0);
        assert_eq!(limited(&guesses, "192.0.2.1", 200, start), 200);
        assert_eq!(limited(&guesses, "192.0.2.2", 100, start), 0, "another's are its own");
        assert_eq!(limited(&guesses, "192.0.2.1", 1, after(30)), 1, "what was past the limit counts for a minute");
        assert_eq!(limited(&guesses, "192.0.2.1", 30, after(121)), 1, "116, less those of 91 s, is 70.5");
        assert_eq!(limited(&guesses, "192.0.2.1", 101, after(3600)), 1, "all is forgotten");
        assert_eq!(limited(&guesses, "192.0.2.1", 1, start), 1, "a clock that steps back forgives nothing");
    }

    #[test]
    fn one_caller_is_an_address_or_a_network_of_sixty_four_bits() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "127.0.0.1", false),
        ] {
            assert_eq!(network(address(one)) == network(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn the_table_keeps_its_size_and_whoever_has_failed_most() {
        let guesses = Guesses::new(1);
        let now = Instant::now();
        assert_eq!(limited(&guesses, "192.0.2.1", 110, now), 10);
        for other in 0..4 * ROOM as u32 {
            guesses.count(Ipv4Addr::from_bits(0x0a00_0000 + other).into(), now);
        }
        assert_eq!(guesses.table.lock().unwrap().concat().len(), ROOM);
        assert_eq!(limited(&guesses, "192.0.2.1", 1, now), 1, "it has not been pushed out by those who failed once");
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_limit_an_answer_is_late_and_few_are_at_a_time() {
        let guesses = Guesses::new(2);
        let client = address("192.0.2.1");
        let start = tokio::time::Instant::now();
        for _ in 0..100 {
            assert!(!guesses.failed(client).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let took = async || {
            assert!(guesses.failed(client).await);
            start.elapsed()
        };
        let took: [Duration; 3] = tokio::join!(took(), took(), took()).into();
        assert_eq!(took, [DELAY, DELAY, Duration::ZERO]);
    }
}
