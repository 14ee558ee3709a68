//! Random order: R. A. Fisher and F. Yates's shuffle, from the end to the front (D. E. Knuth, "The Art
//! of Computer Programming", vol. 2, algorithm P).
//!
//! NumPy has it twice, with two ways of drawing the other place. Where it makes the list itself, it draws
//! by Lemire's method; where it is given one, it cuts random words down to as many bits as the place has
//! and takes the first that is not above it.

use rand::Rng;

use super::bounded;

/// Shuffles places `first` and above, each with any place up to it.
pub(super) fn tail<T>(bits: &mut impl Rng, items: &mut [T], first: usize) {
    for place in (first..items.len()).rev() {
        items.swap(place, bounded::up_to(bits, place as u64) as usize);
    }
}

/// Shuffles all of it.
pub(super) fn given<T>(bits: &mut impl Rng, items: &mut [T]) {
    for place in (1..items.len()).rev() {
        items.swap(place, masked_up_to(bits, place as u64) as usize);
    }
}

/// A number from 0 to `limit`, which is not 0.
fn masked_up_to(bits: &mut impl Rng, limit: u64) -> u64 {
    let mask = u64::MAX >> limit.leading_zeros();
    loop {
        let word = match u32::try_from(limit) {
            Ok(_) => u64::from(bits.next_u32()),
            Err(_) => bits.next_u64(),
        };
        if word & mask <= limit {
            return word & mask;
        }
    }
}
