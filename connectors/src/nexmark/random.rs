//! Random numbers that depend on nothing but a seed, an event and a field, so that any event can be made by anybody.

/// Letters that strings are cut from: more than the longest string.
const POOL_BYTES: usize = 1 << 17;
/// Strings begin among the first of them: few enough to stay in the nearest cache.
const STARTS: usize = 1 << 14;

/// The source of all randomness of one table.
#[derive(Debug)]
pub(super) struct Random {
    seed: u64,
    pool: String,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut pool = String::with_capacity(POOL_BYTES);
        let mut state = mix(seed ^ 0x5bd1_e995);
        while pool.len() < POOL_BYTES {
            state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            // One in thirteen is a space, as in the official generator.
            for byte in state.to_le_bytes().into_iter().take(6) {
                let letter = if byte % 13 == 0 { b' ' } else { b'a' + byte % 26 };
                pool.push(char::from(letter));
            }
        }
        pool.truncate(POOL_BYTES);
        Self { seed, pool }
    }

    /// 64 random bits for a field of an event.
    pub(super) fn bits(&self, event: u64, field: u64) -> u64 {
        mix(self.seed.wrapping_add(event.wrapping_mul(64).wrapping_add(field).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number in `0 .. below`; 0 where that is empty.
    pub(super) fn below(&self, event: u64, field: u64, below: u64) -> u64 {
        // The high half of the product: uniform enough, and cheaper than a remainder.
        let wide = u128::from(self.bits(event, field)) * u128::from(below);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A price in cents: 100 to 100,000,000, equally likely in each power of ten.
    pub(super) fn price(&self, event: u64, field: u64) -> i64 {
        let unit = (self.bits(event, field) >> 11) as f64 / (1_u64 << 53) as f64;
        // Ten to the power of six units.
        ((unit * 6.0 * std::f64::consts::LOG2_10).exp2() * 100.0 + 0.5) as i64
    }

    /// `length` letters, in ASCII.
    pub(super) fn letters(&self, event: u64, field: u64, length: usize) -> &str {
        let start = self.below(event, field, STARTS.min(POOL_BYTES - length.min(POOL_BYTES)) as u64) as usize;
        self.pool.get(start..start + length).unwrap_or_default()
    }

    /// Three letters at least, fewer than `below`.
    pub(super) fn word(&self, event: u64, field: u64, below: u64) -> &str {
        let length = 3 + self.bits(event, field) % (below - 3);
        self.letters(event, field + 1, length as usize)
    }

    /// Letters that bring an event that misses so many bytes near the average, give or take a fifth.
    pub(super) fn filler(&self, event: u64, field: u64, missing: u64) -> &str {
        let spread = missing / 5;
        let length = missing - spread + self.below(event, field, 2 * spread);
        self.letters(event, field + 1, length as usize)
    }
}

/// The output function of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_and_repeatable() {
        let random = Random::new(1);
        let draws: Vec<u64> = (0..10_000).map(|event| random.below(event, 3, 10)).collect();
        for number in 0..10 {
            let count = draws.iter().filter(|draw| **draw == number).count();
            assert!((850..1150).contains(&count), "{number} came {count} times");
        }
        assert_eq!(Random::new(1).letters(7, 1, 20), random.letters(7, 1, 20));
        assert!((0..1000).all(|event| (100..=100_000_000).contains(&random.price(event, 0))));
    }
}
