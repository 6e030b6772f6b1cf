//! Where messages go: countries, their networks, their numbers and what a message costs there.
//!
//! Numbers are of ranges that regulators reserve for fiction, if there are any that show their country (marked below), and otherwise
//! merely valid in their country's plan. Nothing is ever sent to them.

use super::dice::Dice;

/// A mobile network, by its MCCMNC (ITU-T E.212).
#[derive(Debug, PartialEq)]
pub struct Network {
    pub mccmnc: &'static str,
    pub name: &'static str,
    /// Share within the country, in any unit.
    weight: f64,
}

/// One country.
#[derive(Debug, PartialEq)]
pub struct Market {
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// As smsmode's lookup writes it.
    pub name: &'static str,
    pub networks: &'static [Network],
    /// Patterns of E.164 numbers without `+`; each `x` is a digit, two at least.
    numbers: &'static [&'static str],
    /// Price of one SMS part, in millionths of a euro. Some of them, as binary fractions, lie a hair below (0.0628): a cut where
    /// a rounding should be shows.
    pub price: i64,
    /// Price of one SMS part, in millionths of a legacy credit.
    pub credits: i64,
    weight: f64,
}

const fn network(mccmnc: &'static str, name: &'static str, weight: f64) -> Network {
    Network { mccmnc, name, weight }
}

/// All of them; 36 networks, within the 50 that a store keeps apart.
#[rustfmt::skip]
pub const MARKETS: &[Market] = &[
    Market {
        // Reserved for audiovisual works by ARCEP: 06 39 98.
        country: "FR", name: "France", numbers: &["3363998xxxx"],
        networks: &[network("20801", "Orange", 40.0), network("20810", "SFR", 25.0), network("20820", "Bouygues Telecom", 20.0),
            network("20815", "Free Mobile", 15.0)],
        price: 45_000, credits: 1_000_000, weight: 70.0,
    },
    Market {
        country: "BE", name: "Belgium", numbers: &["324700xxxxx"],
        networks: &[network("20601", "Proximus", 45.0), network("20610", "Orange Belgium", 30.0),
            network("20620", "BASE", 25.0)],
        price: 62_800, credits: 1_500_000, weight: 6.0,
    },
    Market {
        country: "CH", name: "Switzerland", numbers: &["417812xxxxx"],
        networks: &[network("22801", "Swisscom", 55.0), network("22802", "Sunrise", 25.0), network("22803", "Salt", 20.0)],
        price: 62_000, credits: 1_500_000, weight: 4.0,
    },
    Market {
        country: "ES", name: "Spain", numbers: &["346000xxxxx"],
        networks: &[network("21407", "Movistar", 40.0), network("21403", "Orange Spain", 35.0),
            network("21401", "Vodafone Spain", 25.0)],
        price: 69_000, credits: 1_500_000, weight: 4.0,
    },
    Market {
        // Reserved for the media by the Bundesnetzagentur: 0171 39200.
        country: "DE", name: "Germany", numbers: &["4917139200xx"],
        networks: &[network("26201", "Telekom Germany", 38.0), network("26202", "Vodafone Germany", 32.0),
            network("26203", "O2 Germany", 30.0)],
        price: 88_000, credits: 2_000_000, weight: 4.0,
    },
    Market {
        country: "IT", name: "Italy", numbers: &["393200xxxxxx"],
        networks: &[network("22201", "TIM", 40.0), network("22210", "Vodafone Italy", 30.0), network("22288", "Wind Tre", 30.0)],
        price: 74_000, credits: 1_500_000, weight: 3.0,
    },
    Market {
        // Ofcom reserves 07700 900xxx for drama, but libphonenumber's plan has these in no country.
        country: "GB", name: "United Kingdom", numbers: &["447400xxxxxx"],
        networks: &[network("23430", "EE", 35.0), network("23410", "O2 UK", 25.0), network("23415", "Vodafone UK", 22.0),
            network("23420", "Three UK", 18.0)],
        price: 49_000, credits: 1_000_000, weight: 3.0,
    },
    Market {
        // Reserved for fiction by the North American Numbering Plan: 555-0100 to 555-0199.
        country: "US", name: "United States", numbers: &["121255501xx", "141555501xx", "131255501xx"],
        networks: &[network("311480", "Verizon", 40.0), network("310410", "AT&T", 30.0), network("310260", "T-Mobile US", 30.0)],
        price: 15_700, credits: 500_000, weight: 2.0,
    },
    Market {
        country: "PT", name: "Portugal", numbers: &["351912xxxxxx"],
        networks: &[network("26806", "MEO", 42.0), network("26801", "Vodafone Portugal", 30.0), network("26803", "NOS", 28.0)],
        price: 41_000, credits: 1_000_000, weight: 1.0,
    },
    Market {
        country: "LU", name: "Luxembourg", numbers: &["352628xxxxxx"],
        networks: &[network("27001", "POST Luxembourg", 100.0)],
        price: 85_000, credits: 1_500_000, weight: 1.0,
    },
    Market {
        country: "MA", name: "Morocco", numbers: &["212650xxxxxx"],
        networks: &[network("60401", "Maroc Telecom", 60.0), network("60400", "Orange Morocco", 40.0)],
        price: 95_000, credits: 2_000_000, weight: 1.0,
    },
    Market {
        country: "SN", name: "Senegal", numbers: &["22177xxxxxxx"],
        networks: &[network("60801", "Orange Senegal", 65.0), network("60802", "Yas Senegal", 35.0)],
        price: 110_000, credits: 2_500_000, weight: 0.5,
    },
    Market {
        country: "RE", name: "Reunion", numbers: &["262692xxxxxx"],
        networks: &[network("64700", "Orange Reunion", 50.0), network("64710", "SFR Reunion", 50.0)],
        price: 58_000, credits: 1_500_000, weight: 0.5,
    },
];

impl Market {
    /// One of [`MARKETS`], mostly France.
    pub fn draw(dice: &mut Dice) -> &'static Self {
        dice.weighted(MARKETS, |market| market.weight)
    }

    pub fn network(&self, dice: &mut Dice) -> &'static Network {
        dice.weighted(self.networks, |network| network.weight)
    }

    /// A number of this country, E.164 without `+`. Two messages whose numbers modulo 4 differ never have the same one.
    pub fn number(&self, dice: &mut Dice, message: u64) -> String {
        let pattern = dice.pick(self.numbers);
        let digits = pattern.bytes().filter(|b| *b == b'x').count();
        let drawn = dice.below(10u64.pow(digits as u32));
        let drawn = drawn - drawn % 4 + message % 4;
        format!("{}{drawn:0digits$}", pattern.trim_end_matches('x'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Stream;

    #[test]
    fn neighbours_have_different_numbers() {
        let market = &MARKETS[0];
        let numbers: std::collections::HashSet<String> =
            (0..4).map(|message| market.number(&mut Dice::new(1, Stream::Contents, 0), message)).collect();
        assert_eq!(numbers.len(), 4);
    }
}
