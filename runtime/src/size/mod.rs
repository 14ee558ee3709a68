//! How much memory a value takes.
//!
//! Three ways lead to an answer, the best first:
//!
//! 1. The type implements [`Size`], as those of std and ndarray do: the answer is exact.
//! 2. It implements serde's `Serialize`: [`estimate`] walks through the value, and adds up what its parts are
//!    known to take. It looks at so many parts and no more; of longer sequences it takes the average.
//! 3. Neither: then only [`size_of`](std::mem::size_of) is known.
//!
//! Which way a type goes is asked where the type is known and its traits are: by method look-up in the
//! macro's expansion.

mod estimate;
mod ours;

pub use self::estimate::estimate;

/// A type whose values know how much memory they take.
///
/// It is implemented for the types of std and for ndarray's arrays. Implement it for your own where the
/// object store's account of memory should be exact; without it, their size is estimated.
///
/// ```
/// use mobula::Size;
///
/// struct Table {
///     name: String,
///     columns: Vec<Vec<f64>>,
/// }
///
/// impl Size for Table {
///     fn heap_size(&self) -> usize {
///         self.name.heap_size() + self.columns.heap_size()
///     }
/// }
///
/// let table = Table { name: "prices".to_owned(), columns: vec![vec![0.0; 1000]] };
/// assert_eq!(table.columns.heap_size(), size_of::<Vec<f64>>() + 8000);
/// assert_eq!(table.size(), size_of::<Table>() + 6 + size_of::<Vec<f64>>() + 8000);
/// ```
pub trait Size {
    /// Whether no value of the type owns anything on the heap. Then vectors of it are not walked through.
    const FLAT: bool = false;

    /// How many bytes on the heap the value owns, those that are reserved and not in use included. What
    /// it shares with others, by an `Arc`, is counted as if it were its own.
    fn heap_size(&self) -> usize;

    /// How many bytes of memory the value takes: its own, and those on the heap.
    fn size(&self) -> usize {
        size_of_val(self) + self.heap_size()
    }
}
