//! What the store knows of a type: how large its values are, and how they become bytes.
//!
//! Where an object is made, its type is known, but not which traits that has: `put` takes any value. So the
//! types that functions with `#[remote]` take and return are noted by the macro, which knows that they can
//! leave the process; those of std and ndarray that matter most are noted here; and
//! [`register`](crate::register) notes what the program likes.

use std::any::{self, TypeId, type_name};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use ndarray::{Array1, Array2, Array3, ArrayD};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::size::{self, Size};
use crate::store::Any;
use crate::wire::{self, Held};

/// A type whose objects can be weighed, and written to disk.
pub struct Kind {
    id: fn() -> TypeId,
    name: fn() -> &'static str,
    size: fn(&dyn any::Any) -> usize,
    write: fn(&dyn any::Any, &mut dyn io::Write) -> Result<Vec<Held>>,
    read: fn(&[u8]) -> Result<Any>,
}

impl Kind {
    const fn new<T: Serialize + DeserializeOwned + Send + Sync + 'static>(
        size: fn(&dyn any::Any) -> usize,
    ) -> Self {
        Self {
            id: TypeId::of::<T>,
            name: type_name::<T>,
            size,
            write: |value, sink| wire::encode_to(typed::<T>(value), sink),
            read: |bytes| Ok(Arc::new(wire::decode::<T>(bytes)?)),
        }
    }

    /// A type whose values know their size.
    const fn sized<T: Size + Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self::new::<T>(|value| typed::<T>(value).size())
    }

    /// A type the size of whose values is estimated.
    const fn estimated<T: Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self::new::<T>(|value| size::estimate(typed::<T>(value)))
    }

    /// The type's name.
    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }

    /// How many bytes of memory a value takes.
    pub(crate) fn size(&self, value: &dyn any::Any) -> usize {
        (self.size)(value)
    }

    /// Turns a value into bytes; what is returned has to live as long as they do.
    pub(super) fn write(
        &self,
        value: &dyn any::Any,
        sink: &mut dyn io::Write,
    ) -> Result<Vec<Held>> {
        (self.write)(value, sink)
    }

    /// Turns bytes back into a value.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Any> {
        (self.read)(bytes)
    }
}

fn typed<T: 'static>(value: &dyn any::Any) -> &T {
    value.downcast_ref().expect("a kind is asked about values of its own type")
}

/// A type that the macro has noted, and what is known of it: asked once, when the first object is made.
pub struct KindOf(pub fn() -> Option<Kind>);

inventory::collect!(KindOf);

/// A type of which the macro does not know what traits it has. Method look-up does: see `copier.rs`.
pub struct Noted<T>(PhantomData<fn() -> T>);

impl<T> Noted<T> {
    /// The type.
    #[expect(clippy::new_without_default, reason = "expansions write `new`")]
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// First choice: what can be an object, become bytes, and knows its size.
pub trait NotedIfSized {
    /// What is known of it.
    fn kind(&self) -> Option<Kind>;
}

impl<T: Size + Serialize + DeserializeOwned + Send + Sync + 'static> NotedIfSized for &&Noted<T> {
    fn kind(&self) -> Option<Kind> {
        Some(Kind::sized::<T>())
    }
}

/// Second choice: what does not know its size.
pub trait NotedIfPortable {
    /// What is known of it.
    fn kind(&self) -> Option<Kind>;
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> NotedIfPortable for &Noted<T> {
    fn kind(&self) -> Option<Kind> {
        Some(Kind::estimated::<T>())
    }
}

/// Last choice: what cannot.
pub trait NotedNot {
    /// Nothing.
    fn kind(&self) -> Option<Kind>;
}

impl<T> NotedNot for Noted<T> {
    fn kind(&self) -> Option<Kind> {
        None
    }
}

/// Ids of types are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}

type Kinds = HashMap<TypeId, &'static Kind, BuildHasherDefault<AsItIs>>;

/// Those that the program was linked with.
static LINKED: LazyLock<Kinds> = LazyLock::new(|| {
    let mut kinds: Kinds = OWN.iter().map(|kind| ((kind.id)(), kind)).collect();
    for kind in inventory::iter::<KindOf>.into_iter().filter_map(|noted| (noted.0)()) {
        kinds.entry((kind.id)()).or_insert_with(|| Box::leak(Box::new(kind)));
    }
    kinds
});
/// Those that it has registered since.
static REGISTERED: LazyLock<RwLock<Kinds>> = LazyLock::new(RwLock::default);
static ANY_REGISTERED: AtomicBool = AtomicBool::new(false);

/// What is known of the type, if anything.
pub(crate) fn kind_of(id: TypeId) -> Option<&'static Kind> {
    if let Some(kind) = LINKED.get(&id) {
        return Some(kind);
    }
    // Acquire: pairs with the Release in `register`.
    ANY_REGISTERED
        .load(Ordering::Acquire)
        .then(|| REGISTERED.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied())?
}

/// Lets a type be known from here on.
pub(crate) fn register<T: Serialize + DeserializeOwned + Send + Sync + 'static>() {
    if kind_of(TypeId::of::<T>()).is_none() {
        let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
        registered
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Box::leak(Box::new(Kind::estimated::<T>())));
        drop(registered);
        // Release: whoever sees this sees the map.
        ANY_REGISTERED.store(true, Ordering::Release);
    }
}

macro_rules! own {
    ($($number:ty)*) => {
        &[
            Kind::sized::<String>(),
            $(
                Kind::sized::<Vec<$number>>(),
                Kind::sized::<Array1<$number>>(),
                Kind::sized::<Array2<$number>>(),
                Kind::sized::<Array3<$number>>(),
                Kind::sized::<ArrayD<$number>>(),
            )*
        ]
    };
}

/// Those that most programs put into the store, be there a function that takes them or not.
static OWN: &[Kind] = own! { u8 i8 u16 i16 u32 i32 u64 i64 usize isize f32 f64 bool };
