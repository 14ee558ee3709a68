//! Random streams that depend on what is computed, not on who computes it.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// The generator of piece `index` of a run with this seed. Neighbouring pieces
/// and neighbouring seeds get unrelated streams, since both pass through the
/// generator's own seeding.
pub fn stream(seed: u64, index: u64) -> Pcg64 {
    let start: u64 = Pcg64::seed_from_u64(seed).random();
    Pcg64::seed_from_u64(start.wrapping_add(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, index| stream(seed, index).random::<u64>();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 1));
    }
}
