//! What is chosen from and permuted.

use ndarray::{ArrayBase, Data, Ix1};

/// What [`choice`](super::Generator::choice) and [`permutation`](super::Generator::permutation) take
/// their values from: a number `n`, which stands for 0, 1, .. n - 1, or a list, whose values are cloned.
pub trait Population {
    /// One of the values.
    type Item;

    /// How many there are.
    fn count(&self) -> usize;

    /// The value at this place.
    fn item(&self, index: usize) -> Self::Item;
}

impl Population for usize {
    type Item = usize;

    fn count(&self) -> usize {
        *self
    }

    fn item(&self, index: usize) -> usize {
        index
    }
}

impl<T: Clone> Population for &[T] {
    type Item = T;

    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, index: usize) -> T {
        self[index].clone()
    }
}

impl<T: Clone> Population for &Vec<T> {
    type Item = T;

    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, index: usize) -> T {
        self[index].clone()
    }
}

impl<T: Clone, const N: usize> Population for &[T; N] {
    type Item = T;

    fn count(&self) -> usize {
        N
    }

    fn item(&self, index: usize) -> T {
        self[index].clone()
    }
}

impl<S: Data<Elem: Clone>> Population for &ArrayBase<S, Ix1> {
    type Item = S::Elem;

    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, index: usize) -> S::Elem {
        self[index].clone()
    }
}
