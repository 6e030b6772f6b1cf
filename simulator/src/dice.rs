//! Reproducible chance: the same seed gives the same draws.
//!
//! Each message has dice of its own, thrown from the seed and the message's number, so that what one message does never moves
//! another's draws.

/// What a stream of draws is for: streams of one message do not influence each other.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// Who writes to whom, and what.
    Contents,
    /// What becomes of it.
    Story,
    /// Its ids.
    Ids,
    /// The id that messages of one call share.
    SharedIds,
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The draws of message `number` under `seed`.
    pub fn new(seed: u64, stream: Stream, number: u64) -> Self {
        let mixed = mix(seed ^ mix(number ^ mix(stream as u64)));
        Self(fastrand::Rng::with_seed(mixed))
    }

    /// Uniform from 0 (included) to 1 (not).
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// True in `share` of all cases, from 0 to 1.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Uniform from 0 to `limit - 1`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.0.u64(..limit) }
    }

    /// Uniform in the logarithm: as often between 1 and 10 as between 10 and 100.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// Log-normal: half of all draws are below `median`; `sigma` is the standard deviation of the natural logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller; 1 - unit is never 0.
        let (radius, angle) = ((-2.0 * (1.0 - self.unit()).ln()).sqrt(), std::f64::consts::TAU * self.unit());
        median * (sigma * radius * angle.cos()).exp()
    }

    /// One of `items`, which are not empty, each as likely.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// One of `items`, which are not empty, by their weights.
    pub fn weighted<'a, T>(&mut self, items: &'a [T], weight: impl Fn(&T) -> f64) -> &'a T {
        let mut left = self.unit() * items.iter().map(&weight).sum::<f64>();
        for item in items {
            left -= weight(item);
            if left < 0.0 {
                return item;
            }
        }
        &items[items.len() - 1]
    }

    pub fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid().to_string()
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

/// Spreads near numbers far apart (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws_and_streams_differ() {
        let draws = |seed, stream, number| {
            let mut dice = Dice::new(seed, stream, number);
            [dice.below(u64::MAX), dice.below(u64::MAX)]
        };
        assert_eq!(draws(1, Stream::Story, 7), draws(1, Stream::Story, 7));
        for (seed, stream, number) in [(2, Stream::Story, 7), (1, Stream::Ids, 7), (1, Stream::Story, 8)] {
            assert_ne!(draws(1, Stream::Story, 7), draws(seed, stream, number));
        }
    }

    #[test]
    fn the_log_normal_has_its_median_and_its_spread() {
        let mut dice = Dice::new(1, Stream::Story, 0);
        let mut draws: Vec<f64> = (0..20_000).map(|_| dice.log_normal(4.0, 0.8)).collect();
        draws.sort_by(f64::total_cmp);
        let at = |share: f64| draws[(draws.len() as f64 * share) as usize];
        assert!((3.8..4.2).contains(&at(0.5)), "{}", at(0.5));
        // One standard deviation above: 4 e^0.8 = 8.9.
        assert!((8.4..9.4).contains(&at(0.8413)), "{}", at(0.8413));
    }

    #[test]
    fn weights_are_kept() {
        let mut dice = Dice::new(1, Stream::Story, 0);
        let often = (0..10_000).filter(|_| dice.weighted(&[("a", 3.0), ("b", 1.0)], |item| item.1).0 == "a").count();
        assert!((7_300..7_700).contains(&often), "{often}");
    }
}
