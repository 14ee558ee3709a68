//! How arguments, results and errors cross to another process, where their types allow it.
//!
//! The macro knows a parameter's type but cannot ask which traits it has, so method look-up asks, as in
//! `copier.rs`: what serde can turn into bytes and back gets a way, the rest gets none. That a function whose
//! types have no way does not compile is seen to by `portable.rs`, in words of its own.

use std::any::TypeId;
use std::io::Write;
use std::marker::PhantomData;
use std::slice;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::parameter::{Borrowed, Kind, Lent, Owned, Param, Slot};
use crate::cluster::argument::{Argument, Packing, unfit};
use crate::cluster::coder;
use crate::cluster::worker::Object;
use crate::cluster::worker::task::Start;
use crate::error::{Error, Result};
use crate::function::{Call, Function};
use crate::local::cell::{AnyRef, Ref};
use crate::local::waiting;
use crate::wire::{self, Held};

/// How an argument that a task holds as an `H` crosses.
pub struct Port<H> {
    pub(crate) pack: fn(&Slot<H>, &mut Packing<'_>) -> Result<()>,
    pub(crate) unpack: fn(Argument, &Start<'_>) -> Result<Slot<H>>,
    /// Whether the function borrows it, so that one copy does for all tasks of a worker.
    pub(crate) shares: bool,
}

impl<H> Clone for Port<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Port<H> {}

/// A parameter by its marker.
pub struct Porting<P>(PhantomData<fn() -> P>);

impl<P> Porting<P> {
    /// That parameter.
    #[expect(clippy::new_without_default, reason = "the macro calls it")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// First choice: what serde knows.
pub trait PortEach<H> {
    /// How it crosses.
    fn port(&self) -> Port<H>;
}

impl<T: Serialize + DeserializeOwned + Send + 'static> PortEach<T> for &Porting<Owned<T>> {
    fn port(&self) -> Port<T> {
        Port { pack: pack_owned, unpack: unpack_owned, shares: false }
    }
}

impl<T, B: ?Sized> PortEach<Lent<T, B>> for &Porting<Borrowed<B>>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    Borrowed<B>: Param<Held = Lent<T, B>>,
{
    fn port(&self) -> Port<Lent<T, B>> {
        Port { pack: pack_borrowed, unpack: unpack_borrowed, shares: true }
    }
}

/// Last choice: what it does not.
pub trait PortNone<H> {
    /// That there is no way.
    fn port(&self) -> Port<H>;
}

impl<P: Param> PortNone<P::Held> for Porting<P> {
    fn port(&self) -> Port<P::Held> {
        Port { pack: |_, _| Err(no_way()), unpack: |_, _| Err(no_way()), shares: false }
    }
}

fn no_way() -> Error {
    unfit("a value that cannot leave its process")
}

fn pack_owned<T: Serialize + Send + 'static>(
    slot: &Slot<T>,
    packing: &mut Packing<'_>,
) -> Result<()> {
    match slot.kind() {
        Kind::Value(value) => packing.value(value),
        Kind::Ref(any, _) if go_by_id(slice::from_ref(any), packing)? => packing.object(any),
        Kind::List(list) if go_by_id(&list.refs, packing)? => packing.list(&list.refs),
        // Most often the object is of the very type, and is read where it lies.
        Kind::Ref(any, _) if any.value_type() == TypeId::of::<T>() && coder::is_noted(any) => {
            packing.encoded(any)
        }
        Kind::Ref(any, resolve) => packing.value(&resolve(any.clone())?),
        Kind::List(list) => packing.value(&list.again().resolve()?),
    }
}

/// Whether refs may go by their ids. One whose value only this process can encode may not: that value is waited
/// for here, if need be, and goes itself. Its failure shows where it is resolved.
fn go_by_id(refs: &[AnyRef], packing: &Packing<'_>) -> Result<bool> {
    if !packing.is_by_id() {
        return Ok(false);
    }
    let mut noted = true;
    for any in refs.iter().filter(|any| !coder::is_noted(any)) {
        waiting::wait_for_good(any)?;
        noted = false;
    }
    Ok(noted)
}

fn unpack_owned<T: DeserializeOwned>(argument: Argument, start: &Start<'_>) -> Result<Slot<T>> {
    match argument {
        Argument::Value(part) => Ok(Slot::value(wire::decode(start.bytes.part(part)?)?)),
        Argument::Object(id) => match start.objects.get(&id) {
            Some(Object::Bytes(bytes)) => Ok(Slot::value(wire::decode((*bytes).as_ref())?)),
            _ => Err(unfit("a ref")),
        },
        Argument::List(_) => Err(unfit("a list of refs")),
    }
}

fn pack_borrowed<T, B: ?Sized>(slot: &Slot<Lent<T, B>>, packing: &mut Packing<'_>) -> Result<()>
where
    T: Serialize + Send + Sync + 'static,
{
    match slot.kind() {
        Kind::Value(lent) => packing.value(lent.inner()),
        Kind::Ref(any, _) => {
            coder::note::<T>(any);
            packing.object(any)
        }
        Kind::List(list) if go_by_id(&list.refs, packing)? => packing.list(&list.refs),
        Kind::List(list) => packing.value(list.again().resolve()?.inner()),
    }
}

static BORROWED: Function = Function::new("put", module_path!(), file!(), line!());

fn unpack_borrowed<T, B: ?Sized>(argument: Argument, start: &Start<'_>) -> Result<Slot<Lent<T, B>>>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let id = match argument {
        Argument::Value(part) => {
            return Ok(Slot::value(Lent::own(wire::decode(start.bytes.part(part)?)?)));
        }
        Argument::Object(id) => id,
        Argument::List(_) => return Err(unfit("a list of refs")),
    };
    let object = start.objects.get(&id).ok_or_else(|| unfit("an object that did not come"))?;
    let value = match object {
        Object::Value(any) => return lend(any),
        Object::Bytes(bytes) => wire::decode((*bytes).as_ref())?,
        Object::Shared(part) => wire::decode(start.bytes.part(part)?)?,
    };
    let call = Call::elsewhere(&BORROWED);
    let any = Ref::<T>::complete(Ok(value), call).into_any();
    start.objects.set(id, Object::Value(any.clone()));
    lend(any)
}

fn lend<T: Send + Sync + 'static, B: ?Sized>(any: AnyRef) -> Result<Slot<Lent<T, B>>> {
    match Ref::<T>::from_any(any) {
        Some(object) => Ok(Slot::lent(object)),
        None => Err(unfit("an object of another type")),
    }
}

/// How a result of type `T` crosses.
pub struct Way<T> {
    pub(crate) encode: fn(&T, &mut dyn Write) -> Result<Vec<Held>>,
    pub(crate) decode: fn(&[u8]) -> Result<T>,
    /// Lets the value of an object be encoded by who does not know its type.
    pub(crate) note: fn(&AnyRef),
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Way<T> {
    pub(crate) fn new() -> Self {
        let encode = |value: &T, sink: &mut dyn Write| wire::encode_to(value, sink);
        Self { encode, decode: |bytes| wire::decode(bytes), note: coder::note::<T> }
    }
}

impl<T> Clone for Way<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Way<T> {}

/// A result by its type.
pub struct Returning<T>(PhantomData<fn() -> T>);

impl<T> Returning<T> {
    /// A result of that type.
    #[expect(clippy::new_without_default, reason = "the macro calls it")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// First choice: what serde knows.
pub trait WayBack<T> {
    /// How it crosses.
    fn way(&self) -> Way<T>;
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> WayBack<T> for &Returning<T> {
    fn way(&self) -> Way<T> {
        Way::new()
    }
}

/// Last choice: what it does not.
pub trait NoWayBack<T> {
    /// That there is no way.
    fn way(&self) -> Way<T>;
}

impl<T> NoWayBack<T> for Returning<T> {
    fn way(&self) -> Way<T> {
        Way { encode: |_, _| Err(no_way()), decode: |_| Err(no_way()), note: |_| {} }
    }
}

/// How the program's own error value crosses, so that it can be asked for over here.
#[derive(Clone, Copy)]
pub struct FailureWay {
    pub(crate) encode: fn(&Error) -> Option<Vec<u8>>,
    /// The value by itself: it is made an error again by the function's own way.
    pub(crate) decode: fn(&[u8]) -> Option<Error>,
}

/// What knows the type of a function's error, and makes an [`Error`] of one.
pub trait Fails {
    /// The error's type.
    type Failure: 'static;
    /// Makes an error of it.
    fn to_error(failure: Self::Failure) -> Error;
}

/// A function by what it fails with.
pub struct Failing<F, E>(PhantomData<fn() -> (F, E)>);

impl<F, E> Failing<F, E> {
    /// That function, which fails with an `E`.
    #[expect(clippy::new_without_default, reason = "the macro calls it")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// First choice: what serde knows.
pub trait FailureCrosses {
    /// How it crosses.
    fn way(&self) -> Option<FailureWay>;
}

impl<F, E> FailureCrosses for &Failing<F, E>
where
    F: Fails<Failure = E>,
    E: Serialize + DeserializeOwned + 'static,
{
    fn way(&self) -> Option<FailureWay> {
        let encode = |error: &Error| {
            let encoded = wire::encode(error.downcast_ref::<E>()?).ok()?;
            Some(encoded.bytes)
        };
        Some(FailureWay { encode, decode: |bytes| Some(F::to_error(wire::decode(bytes).ok()?)) })
    }
}

/// Last choice: of what it does not, the text is told.
pub trait FailureIsTold {
    /// That there is no way.
    fn way(&self) -> Option<FailureWay>;
}

impl<F, E> FailureIsTold for Failing<F, E> {
    fn way(&self) -> Option<FailureWay> {
        None
    }
}
