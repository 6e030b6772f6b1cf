//! Throttling of failed authentications.
//!
//! A right token always passes, whatever else comes from the same address: a provider behind a shared proxy must not be locked out by
//! an unauthenticated client. So every token is compared, and a limit can only slow wrong ones down: past it the response to a failure is
//! delayed and its connection is closed, so that the next attempt needs a new one. A delayed response holds a connection slot, so few
//! are delayed at a time; a failure past those gets its response at once, and its connection is closed all the same.
//!
//! Memory is fixed: a table with room for [`MAX_ADDRESSES`] addresses. A keyed hash chooses the set of an address, so no client can
//! choose whose entry it evicts; if the set is full, the entry with the fewest failures is evicted.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use tokio::sync::Semaphore;

use crate::process_metrics;

/// Failures of one address before it is throttled, and those that are forgiven per minute. A provider that still uses an old token
/// stays below that or gets its responses late, which does no harm.
const BURST: f32 = 100.0;
const PER_MINUTE: f32 = 30.0;

/// How long the response to a failure past that is delayed.
const DELAY: Duration = Duration::from_secs(1);

/// Addresses in the table.
const MAX_ADDRESSES: usize = 4096;
/// Entries of a set.
const WAYS: usize = 4;
const SETS: usize = MAX_ADDRESSES / WAYS;

pub struct AuthThrottle {
    // A std lock: held by failures only, for a few instructions.
    table: Mutex<Vec<[Option<Failures>; WAYS]>>,
    hasher: RandomState,
    delayed: Semaphore,
    throttled: Counter,
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
        let forgotten = now.saturating_duration_since(self.at).as_secs_f32() / 60.0 * PER_MINUTE;
        (self.count - forgotten).max(0.0)
    }
}

impl AuthThrottle {
    /// `max_delayed`: responses that may be delayed at a time.
    pub fn new(max_delayed: usize) -> Self {
        Self {
            table: Mutex::new(vec![[None; WAYS]; SETS]),
            hasher: RandomState::new(),
            delayed: Semaphore::new(max_delayed),
            throttled: process_metrics::auth_failures_throttled(),
        }
    }

    /// Counts a failure of `client`. Past the limit it resolves after the delay, unless too many are delayed, and gives `true`: the
    /// connection has to be closed.
    pub async fn failed(&self, client: IpAddr) -> bool {
        let throttled = self.count(client, Instant::now());
        if throttled {
            self.throttled.increment(1);
            if let Ok(_held_meanwhile) = self.delayed.try_acquire() {
                tokio::time::sleep(DELAY).await;
            }
        }
        throttled
    }

    /// Whether this failure is past the limit of its address.
    fn count(&self, client: IpAddr, now: Instant) -> bool {
        let network = network(client);
        let set = self.hasher.hash_one(network) as usize % SETS;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let set = &mut table[set];
        let known = set.iter().position(|entry| entry.is_some_and(|failures| failures.network == network));
        let entry = known.unwrap_or_else(|| fewest(set, now));
        let before = known.and(set[entry]).map_or(0.0, |failures| failures.count_at(now));
        let throttled = before + 1.0 > BURST;
        // An address that stops failing is free again after a minute, however many failures it had.
        set[entry] = Some(Failures { network, count: (before + 1.0).min(BURST + PER_MINUTE), at: now });
        throttled
    }
}

fn fewest(set: &[Option<Failures>; WAYS], now: Instant) -> usize {
    let counts = set.iter().map(|entry| entry.map_or(-1.0, |failures| failures.count_at(now)));
    counts.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(at, _)| at)
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is the least that one customer is given.
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
    fn throttled(throttle: &AuthThrottle, client: &str, failures: usize, now: Instant) -> usize {
        (0..failures).filter(|_| throttle.count(address(client), now)).count()
    }

    #[test]
    fn an_address_has_a_hundred_failures_free_and_thirty_more_a_minute() {
        let throttle = AuthThrottle::new(1);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(throttled(&throttle, "192.0.2.1", 100, start), 0);
        assert_eq!(throttled(&throttle, "192.0.2.1", 200, start), 200);
        assert_eq!(throttled(&throttle, "192.0.2.2", 100, start), 0, "another's are its own");
        assert_eq!(throttled(&throttle, "192.0.2.1", 1, after(30)), 1, "what was past the limit counts for a minute");
        assert_eq!(throttled(&throttle, "192.0.2.1", 30, after(121)), 1, "116, less those of 91 s, is 70.5");
        assert_eq!(throttled(&throttle, "192.0.2.1", 101, after(3600)), 1, "all is forgotten");
        assert_eq!(throttled(&throttle, "192.0.2.1", 1, start), 1, "a clock that steps back forgives nothing");
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
    fn the_table_has_a_fixed_size_and_does_not_evict_the_address_with_the_most_failures() {
        let throttle = AuthThrottle::new(1);
        let now = Instant::now();
        assert_eq!(throttled(&throttle, "192.0.2.1", 110, now), 10);
        for other in 0..4 * MAX_ADDRESSES as u32 {
            throttle.count(Ipv4Addr::from_bits(0x0a00_0000 + other).into(), now);
        }
        assert_eq!(throttle.table.lock().unwrap().concat().len(), MAX_ADDRESSES);
        assert_eq!(throttled(&throttle, "192.0.2.1", 1, now), 1, "those that failed once have not evicted it");
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_limit_a_response_is_delayed_and_few_are_at_a_time() {
        let throttle = AuthThrottle::new(2);
        let client = address("192.0.2.1");
        let start = tokio::time::Instant::now();
        for _ in 0..100 {
            assert!(!throttle.failed(client).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let took = async || {
            assert!(throttle.failed(client).await);
            start.elapsed()
        };
        let took: [Duration; 3] = tokio::join!(took(), took(), took()).into();
        assert_eq!(took, [DELAY, DELAY, Duration::ZERO]);
    }
}
