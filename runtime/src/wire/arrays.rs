//! ndarray's arrays of numbers, written as what they are.
//!
//! ndarray hands over an array's elements one by one, through an iterator of its own that nobody can look into.
//! But before it does so the codec has seen the array itself, as a [`Subject`]. If that is of one of the types
//! listed here, its numbers go where a slice's go: by one copy, or to the sink without any.

use std::any::TypeId;
use std::sync::LazyLock;

use ndarray::{
    ArrayBase, ArrayViewD, Data, Dimension, Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn, OwnedArcRepr,
    OwnedRepr,
};

use crate::wire::encoder::{Encoder, Outcome};
use crate::wire::numbers::{Kind, Number};

/// What is being serialized: its type, and where it is. It is good as long as that goes on.
pub(super) struct Subject {
    id: TypeId,
    at: *const (),
}

impl Subject {
    #[inline]
    pub(super) fn of<T: ?Sized>(value: &T) -> Self {
        Self { id: typeid::of::<T>(), at: std::ptr::from_ref(value).cast() }
    }
}

/// An array of numbers that is being serialized.
pub(super) struct Array {
    at: *const (),
    write: Write,
}

/// Writes the numbers of the array at an address, whose type it knows.
type Write = unsafe fn(*const (), &mut Encoder<'_>) -> Outcome;

impl Array {
    /// What the subject is, if it is an array of numbers or a reference to one: that is how serde hands elements
    /// over.
    pub(super) fn of(subject: &Subject) -> Option<Self> {
        let nth = TYPES.binary_search_by_key(&subject.id, |known| known.id).ok()?;
        let Known { write, by_reference, .. } = TYPES[nth];
        let at = if by_reference {
            // SAFETY: the subject is a reference, which is a pointer.
            unsafe { *subject.at.cast::<*const ()>() }
        } else {
            subject.at
        };
        Some(Self { at, write })
    }

    /// Writes its numbers, in the order of its indices.
    ///
    /// # Safety
    /// The subject is still being serialized.
    pub(super) unsafe fn write(&self, encoder: &mut Encoder<'_>) -> Outcome {
        // SAFETY: by the caller's promise the array is there, and `of` found the function by its type.
        unsafe { (self.write)(self.at, encoder) }
    }
}

/// Whether a `T` is an array of numbers.
pub(super) fn is_one<T: ?Sized>() -> bool {
    let id = typeid::of::<T>();
    TYPES.binary_search_by_key(&id, |known| known.id).is_ok()
}

/// A type of array, or of a reference to one.
struct Known {
    id: TypeId,
    by_reference: bool,
    write: Write,
}

/// By their ids.
static TYPES: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let mut types = Vec::new();
    macro_rules! numbers {
        ($($number:ident)*) => { $(note_all::<$number>(&mut types);)* };
    }
    numbers! { u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64 bool }
    types.sort_unstable_by_key(|known| known.id);
    types
});

/// Notes the arrays of `A`s.
fn note_all<A: Number>(types: &mut Vec<Known>) {
    macro_rules! dimensions {
        ($($dimension:ident)*) => { $(
            note::<A, OwnedRepr<A>, $dimension>(types);
            note::<A, OwnedArcRepr<A>, $dimension>(types);
        )* };
    }
    dimensions! { Ix0 Ix1 Ix2 Ix3 Ix4 Ix5 Ix6 IxDyn }
}

fn note<A: Number, S: Data<Elem = A> + 'static, D: Dimension + 'static>(types: &mut Vec<Known>) {
    let write = write::<A, S, D>;
    let id = TypeId::of::<ArrayBase<S, D>>();
    types.push(Known { id, by_reference: false, write });
    let id = TypeId::of::<&'static ArrayBase<S, D>>();
    types.push(Known { id, by_reference: true, write });
}

/// # Safety
/// At the address is an array of that type.
unsafe fn write<A: Number, S: Data<Elem = A>, D: Dimension>(
    at: *const (),
    encoder: &mut Encoder<'_>,
) -> Outcome {
    // SAFETY: by the caller's promise.
    let array = unsafe { &*at.cast::<ArrayBase<S, D>>() };
    write_view(array.view().into_dyn(), encoder)
}

fn write_view<A: Number>(array: ArrayViewD<'_, A>, encoder: &mut Encoder<'_>) -> Outcome {
    let kind = Kind::of::<A>().expect("arrays of numbers are listed");
    match array.as_slice() {
        Some(numbers) if cfg!(target_endian = "little") => {
            encoder.numbers(kind, bytemuck::cast_slice(numbers))
        }
        _ => encoder.scattered(kind, array.len(), array.iter().copied()),
    }
}
