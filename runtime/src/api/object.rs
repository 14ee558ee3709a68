//! Refs to objects: results that are there or will be, and values that were put.

use std::any::type_name;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::api::crossing;
use crate::cluster::coder;
use crate::cluster::upstream;
use crate::error::Result;
use crate::function::{Call, Function};
use crate::local::cell::{AnyRef, Ref};
use crate::local::{ids, objects, waiting};
use crate::store::{self, ObjectInfo};
use crate::wire;

/// A ref to a value of type `T` that is there or will be: the result of a task or of an actor's call,
/// or a value that was [`put`]. Cheap to clone; the object lives as long as a ref to it does.
///
/// Pass it to another remote function in the place of a `T`, [`get`](crate::get) the value, or
/// `.await` it. Two refs are equal if they are refs to the same object.
///
/// A ref may travel inside arguments and results. Serialized (it becomes its id), it can be read back
/// in the process that holds the object, as long as some ref to the object lives.
pub struct ObjectRef<T>(Ref<T>);

/// Names an object for good: no two objects ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId(Uuid);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Uuid> for ObjectId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

static PUT: Function = Function::new("put", module_path!(), file!(), line!());

/// Stores a value in the object store, to be passed to many tasks without a copy.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn total(values: &[f64]) -> f64 {
///     values.iter().sum()
/// }
///
/// let values = mobula::put(vec![1.0; 1000]);
/// let totals: Vec<_> = (0..10).map(|_| total::remote(&values)).collect();
/// assert_eq!(mobula::get(totals)?, [1000.0; 10]);
/// # Ok::<(), mobula::Error>(())
/// ```
#[track_caller]
pub fn put<T: Send + Sync + 'static>(value: T) -> ObjectRef<T> {
    let call = Call { function: &PUT, called_at: Location::caller() };
    Ref::put(value, call).into()
}

/// The objects that live, of all runtimes of this process, the largest first: those of 1 KiB and more that
/// were put or returned. To keep account of smaller ones, and of results that are not there yet, would cost more
/// than they do; they are listed where [`Config::track_objects`](crate::Config::track_objects) asks for it.
///
/// ```
/// use mobula::ObjectState;
///
/// let values = mobula::put(vec![0u8; 10_000]);
/// let objects = mobula::objects();
/// let object = objects.iter().find(|object| object.size() >= 10_000).unwrap();
/// assert_eq!((object.name(), object.refs()), ("put", 1));
/// assert_eq!(object.state(), ObjectState::Memory);
///
/// // 9.8 KiB of `put` (called at src/main.rs:3:14), in memory, with 1 ref
/// println!("{object}");
/// # drop(values);
/// ```
#[must_use]
pub fn objects() -> Vec<ObjectInfo> {
    objects::all()
}

/// Lets objects of the type `T` be weighed and spilled to disk.
///
/// That is so without it for the types that functions and methods with `#[remote]` take and return, unless
/// they are `#[remote(local)]`, and for texts, vectors and ndarray's arrays of numbers. Call it, before
/// objects are made, for other types of large objects that are [`put`].
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Table {
///     columns: Vec<Vec<f64>>,
/// }
///
/// mobula::register::<Table>();
/// let table = mobula::put(Table { columns: vec![vec![0.0; 1000]; 10] });
/// # drop(table);
/// ```
pub fn register<T: Serialize + DeserializeOwned + Send + Sync + 'static>() {
    store::register::<T>();
}

impl<T> ObjectRef<T> {
    /// The object's id, made when first asked for.
    pub fn id(&self) -> ObjectId {
        ObjectId(ids::id_of(self.any()))
    }

    pub(crate) fn any(&self) -> &AnyRef {
        self.0.any()
    }

    pub(crate) fn into_any(self) -> AnyRef {
        self.0.into_any()
    }

    pub(crate) fn into_inner(self) -> Ref<T> {
        self.0
    }

    /// Whether the value, or the failure to make it, is there: then [`get`](crate::get) does not wait. It
    /// becomes true without anybody's waiting for it, also where the value is made in another process.
    pub fn is_ready(&self) -> bool {
        waiting::is_ready(self.any())
    }
}

impl<T: Send + Sync + 'static> ObjectRef<T> {
    /// The ref as it was before `into_any`.
    pub(crate) fn from_any(any: AnyRef) -> Self {
        Self(Ref::from_any(any).expect("the ref has the type it was made with"))
    }

    /// The value of a complete object; moved out where this is the last ref.
    pub(crate) fn into_value(self) -> Result<T>
    where
        T: Clone,
    {
        self.0.into_owned()
    }

    /// A copy of the value of a complete object.
    pub(crate) fn to_value(&self) -> Result<T>
    where
        T: Clone,
    {
        self.0.to_owned()
    }

    /// The value of an object that was shared before.
    pub(crate) fn shared(&self) -> &Arc<T> {
        self.0.shared()
    }

    /// The value of a complete object, shared.
    pub(crate) fn to_shared(&self) -> Result<Arc<T>> {
        self.0.share()
    }

    /// The value of a complete object, moved into an `Arc` of its own where this is the last ref.
    pub(crate) fn into_shared(self) -> Result<Arc<T>> {
        match self.0.take_if_sole() {
            Ok(value) => value.into_shared(),
            Err(shared) => Self(shared).to_shared(),
        }
    }
}

impl<T> From<Ref<T>> for ObjectRef<T> {
    #[inline]
    fn from(inner: Ref<T>) -> Self {
        inner.any().note();
        Self(inner)
    }
}

impl<T> From<&ObjectRef<T>> for ObjectRef<T> {
    fn from(other: &Self) -> Self {
        other.clone()
    }
}

impl<T> Clone for ObjectRef<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for ObjectRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.any().address() == other.any().address()
    }
}

impl<T> Eq for ObjectRef<T> {}

impl<T> Hash for ObjectRef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.any().address().hash(state);
    }
}

impl<T> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = self.any();
        let phase = match (any.is_complete(), any.is_failed(), any.is_running()) {
            (true, true, _) => "failed",
            (true, false, _) => "ready",
            (false, _, true) => "running",
            (false, _, false) => "pending",
        };
        write!(f, "ObjectRef<{}>({}, {phase})", type_name::<T>(), any.hop())
    }
}

impl<T: Serialize + Send + Sync + 'static> Serialize for ObjectRef<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whoever reads it in another process may ask for the value.
        coder::note::<T>(self.any());
        let id = ids::make_findable(self.any());
        wire::hold(id, || self.any().clone());
        id.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for ObjectRef<T>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let id = Uuid::deserialize(deserializer)?;
        if let Some(upstream) = upstream::upstream() {
            return crossing::import(upstream, id).map_err(D::Error::custom);
        }
        let any = ids::find(id).ok_or_else(|| {
            D::Error::custom(format_args!(
                "object {id} is not in this process, or its last ref is gone"
            ))
        })?;
        match Ref::from_any(any.clone()) {
            Some(typed) => Ok(Self(typed)),
            None => match crossing::from_stored(any).map_err(D::Error::custom)? {
                Some(object) => Ok(object),
                None => {
                    Err(D::Error::custom(format_args!("object {id} is no {}", type_name::<T>())))
                }
            },
        }
    }
}
