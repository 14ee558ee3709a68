//! How many values a draw is for, and what they come in: NumPy's `size` and `out` in one argument.

use ndarray::{Array, ArrayBase, DataMut, Dim, Dimension, IntoDimension, IxDyn};

/// How many values are wanted, and in what: the last argument of the methods of
/// [`Generator`](super::Generator).
///
/// | size | result |
/// |---|---|
/// | `()` | one value |
/// | `n` | a `Vec` of `n` values |
/// | `(n,)`, `(rows, columns)`, .. or `[rows, columns]`, .. | an [`ndarray::Array`] of that shape |
/// | `ndarray::IxDyn(&shape)` | an array with a number of axes known at run time |
/// | `&mut [x, ..]`, `&mut vec`, `&mut array` | nothing: all places are filled |
///
/// Arrays are filled in logical order, the last axis first, as NumPy fills its own.
///
/// ```
/// use mobula::random::default_rng;
/// use ndarray::{Array2, Array3};
///
/// let mut rng = default_rng(1);
/// let one: f64 = rng.random(());
/// let list: Vec<f32> = rng.random(3);
/// let table: Array2<f64> = rng.random((2, 3));
/// let mut cube = Array3::<f32>::zeros([2, 3, 4]);
/// rng.random(&mut cube);
/// # let _ = (one, list, table);
/// ```
pub trait Size<T>: sealed::Sealed {
    /// What the values come in.
    type Output;

    /// How many values there are.
    fn count(&self) -> usize;

    /// Draws them, in order.
    #[doc(hidden)]
    fn fill(self, draw: impl FnMut() -> T) -> Self::Output;
}

impl<T> Size<T> for () {
    type Output = T;

    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn fill(self, mut draw: impl FnMut() -> T) -> T {
        draw()
    }
}

impl<T> Size<T> for usize {
    type Output = Vec<T>;

    fn count(&self) -> usize {
        *self
    }

    #[inline]
    fn fill(self, mut draw: impl FnMut() -> T) -> Vec<T> {
        (0..self).map(|_| draw()).collect()
    }
}

impl<T> Size<T> for &mut [T] {
    type Output = ();

    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn fill(self, mut draw: impl FnMut() -> T) {
        self.iter_mut().for_each(|place| *place = draw());
    }
}

impl<T> Size<T> for &mut Vec<T> {
    type Output = ();

    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn fill(self, draw: impl FnMut() -> T) {
        Size::fill(self.as_mut_slice(), draw);
    }
}

impl<T, const N: usize> Size<T> for &mut [T; N] {
    type Output = ();

    fn count(&self) -> usize {
        N
    }

    #[inline]
    fn fill(self, draw: impl FnMut() -> T) {
        Size::fill(self.as_mut_slice(), draw);
    }
}

impl<T, S: DataMut<Elem = T>, D: Dimension> Size<T> for &mut ArrayBase<S, D> {
    type Output = ();

    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn fill(self, mut draw: impl FnMut() -> T) {
        match self.as_slice_mut() {
            Some(places) => Size::fill(places, draw),
            None => self.iter_mut().for_each(|place| *place = draw()),
        }
    }
}

impl<T> Size<T> for IxDyn {
    type Output = Array<T, IxDyn>;

    fn count(&self) -> usize {
        self.size()
    }

    #[inline]
    fn fill(self, draw: impl FnMut() -> T) -> Self::Output {
        array(self, draw)
    }
}

fn array<T, D: Dimension>(shape: D, draw: impl FnMut() -> T) -> Array<T, D> {
    let values = Size::fill(checked_size(&shape), draw);
    Array::from_shape_vec(shape, values).expect("there are as many values as places")
}

/// The number of places.
///
/// # Panics
///
/// If memory cannot have so many: it would for a `Vec` of that length, too.
fn checked_size(shape: &impl Dimension) -> usize {
    let size = shape.slice().iter().try_fold(1_usize, |size, axis| size.checked_mul(*axis));
    size.unwrap_or_else(|| panic!("an array of shape {:?} has too many places", shape.slice()))
}

macro_rules! shapes {
    ($($shape:ty, $axes:literal;)*) => {$(
        impl<T> Size<T> for $shape {
            type Output = Array<T, Dim<[usize; $axes]>>;

            fn count(&self) -> usize {
                checked_size(&self.into_dimension())
            }

            #[inline]
            fn fill(self, draw: impl FnMut() -> T) -> Self::Output {
                array(self.into_dimension(), draw)
            }
        }

        impl sealed::Sealed for $shape {}
    )*};
}

shapes! {
    (usize,), 1;
    (usize, usize), 2;
    (usize, usize, usize), 3;
    (usize, usize, usize, usize), 4;
    (usize, usize, usize, usize, usize), 5;
    (usize, usize, usize, usize, usize, usize), 6;
    [usize; 1], 1;
    [usize; 2], 2;
    [usize; 3], 3;
    [usize; 4], 4;
    [usize; 5], 5;
    [usize; 6], 6;
}

mod sealed {
    use ndarray::{ArrayBase, IxDyn, RawData};

    pub trait Sealed {}
    impl Sealed for () {}
    impl Sealed for usize {}
    impl<T> Sealed for &mut [T] {}
    impl<T> Sealed for &mut Vec<T> {}
    impl<T, const N: usize> Sealed for &mut [T; N] {}
    impl<S: RawData, D> Sealed for &mut ArrayBase<S, D> {}
    impl Sealed for IxDyn {}
}
