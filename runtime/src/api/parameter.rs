//! What may be passed for a parameter, and how it becomes what the function takes.
//!
//! The macro names each parameter by a marker: [`Owned<T>`] for `T`, [`Borrowed<T>`] for `&T`. Whatever
//! implements [`Arg`] of that marker may be passed. It becomes a [`Slot`], which the task holds until
//! it runs: the value itself, or refs that are resolved then.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::api::copier::Copier;
use crate::api::object::ObjectRef;
use crate::api::port::Port;
use crate::cluster::argument::{Argument, Packing, unfit};
use crate::cluster::worker::task::Start;
use crate::error::{Error, Result};
use crate::local::arguments::Refs;
use crate::local::cell::{AnyRef, Ref};

/// A parameter that the function takes by value.
pub struct Owned<T>(PhantomData<T>);

/// A parameter that the function takes by reference.
pub struct Borrowed<T: ?Sized>(PhantomData<T>);

/// A parameter, by its marker.
pub trait Param {
    /// What the task holds for it while the function runs.
    type Held: Send + 'static;
}

impl<T: Send + 'static> Param for Owned<T> {
    type Held = T;
}

impl<T: Send + Sync + 'static> Param for Borrowed<T> {
    type Held = Lent<T, T>;
}

impl Param for Borrowed<str> {
    type Held = Lent<String, str>;
}

impl<T: Send + Sync + 'static> Param for Borrowed<[T]> {
    type Held = Lent<Vec<T>, [T]>;
}

/// A value that is lent to a function as `&B`: the task's own, or one shared with the object store.
pub enum Lent<T, B: ?Sized> {
    /// The task's own.
    Own(T, PhantomData<fn() -> *const B>),
    /// One that others have, too.
    Shared(Arc<T>),
    /// The store's, where this ref keeps it.
    Stored(ObjectRef<T>),
}

impl<T, B: ?Sized> Lent<T, B> {
    pub(crate) fn own(value: T) -> Self {
        Self::Own(value, PhantomData)
    }
}

impl<T: Send + Sync + 'static, B: ?Sized> Lent<T, B> {
    /// The value that is lent, whole.
    pub(crate) fn inner(&self) -> &T {
        match self {
            Self::Own(value, _) => value,
            Self::Shared(value) => value,
            Self::Stored(object) => object.shared(),
        }
    }
}

impl<T: Send + Sync + 'static> Deref for Lent<T, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Self::Own(value, _) => value,
            Self::Shared(value) => value,
            Self::Stored(object) => object.shared(),
        }
    }
}

impl Deref for Lent<String, str> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Own(value, _) => value,
            Self::Shared(value) => value,
            Self::Stored(object) => object.shared(),
        }
    }
}

impl<T: Send + Sync + 'static> Deref for Lent<Vec<T>, [T]> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::Own(value, _) => value,
            Self::Shared(value) => value,
            Self::Stored(object) => object.shared(),
        }
    }
}

/// An argument on its way to the function, held by the task.
pub struct Slot<H>(Kind<H>);

pub(crate) enum Kind<H> {
    Value(H),
    Ref(AnyRef, fn(AnyRef) -> Result<H>),
    /// In a box, which keeps small the many arguments that are no lists.
    List(Box<List<H>>),
}

/// Refs, and what makes an argument of their values.
pub(crate) struct List<H> {
    pub(crate) refs: Vec<AnyRef>,
    resolve: fn(Vec<AnyRef>) -> Result<H>,
}

impl<H> List<H> {
    /// The same once more.
    pub(crate) fn again(&self) -> Self {
        Self { refs: self.refs.clone(), resolve: self.resolve }
    }

    /// The argument. All refs are complete.
    pub(crate) fn resolve(self) -> Result<H> {
        (self.resolve)(self.refs)
    }
}

impl<H> Slot<H> {
    pub(crate) fn value(value: H) -> Self {
        Self(Kind::Value(value))
    }

    fn list<T>(
        refs: impl IntoIterator<Item = ObjectRef<T>>,
        resolve: fn(Vec<AnyRef>) -> Result<H>,
    ) -> Self {
        let refs = refs.into_iter().map(ObjectRef::into_any).collect();
        Self(Kind::List(Box::new(List { refs, resolve })))
    }

    /// Collects the refs that the task has to wait for.
    pub(crate) fn awaited(&self, into: &mut Awaiting) {
        match &self.0 {
            Kind::Value(_) => {}
            Kind::Ref(any, _) => into.add(any),
            Kind::List(list) => list.refs.iter().for_each(|any| into.add(any)),
        }
    }

    /// The same slot with another form of its value.
    pub(crate) fn map_value(self, map: impl FnOnce(H) -> H) -> Self {
        match self.0 {
            Kind::Value(value) => Self::value(map(value)),
            refs => Self(refs),
        }
    }

    /// The argument once more, its value made by `copy`.
    pub(crate) fn copy_with(&self, copy: impl FnOnce(&H) -> H) -> Self {
        Self(match &self.0 {
            Kind::Value(value) => Kind::Value(copy(value)),
            Kind::Ref(any, resolve) => Kind::Ref(any.clone(), *resolve),
            Kind::List(list) => Kind::List(Box::new(list.again())),
        })
    }

    /// What it holds.
    pub(crate) fn kind(&self) -> &Kind<H> {
        &self.0
    }

    /// The argument itself. All refs are complete.
    pub(crate) fn resolve(self) -> Result<H> {
        match self.0 {
            Kind::Value(value) => Ok(value),
            Kind::Ref(any, resolve) => resolve(any),
            Kind::List(list) => list.resolve(),
        }
    }
}

impl<T: Send + Sync + 'static, B: ?Sized> Slot<Lent<T, B>> {
    /// What is lent of an object.
    pub(crate) fn lent(object: Ref<T>) -> Self {
        Self(Kind::Ref(object.into_any(), lend))
    }
}

/// The value, moved out where this ref is the last.
fn take<T: Clone + Send + Sync + 'static>(any: AnyRef) -> Result<T> {
    ObjectRef::from_any(any).into_value()
}

fn share<T: Send + Sync + 'static>(any: AnyRef) -> Result<Arc<T>> {
    ObjectRef::from_any(any).into_shared()
}

/// The value as it sits in the store; moved out where this ref is the last.
fn lend<T: Send + Sync + 'static, B: ?Sized>(any: AnyRef) -> Result<Lent<T, B>> {
    match ObjectRef::from_any(any).into_inner().take_if_sole() {
        Ok(value) => value.into_kept(Lent::Shared, Lent::own),
        Err(object) => {
            let lent = object.lend()?;
            Ok(lent.map_or_else(|| Lent::Stored(object.into()), Lent::Shared))
        }
    }
}

/// What may be passed where the function has the parameter `P`: a value, an [`ObjectRef`] of one, or a
/// reference to such; where a list is wanted, a list of refs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed for this parameter",
    label = "wants {P}: pass a value of that type, or an `ObjectRef` of one",
    note = "a plain reference cannot outlive the call: store the value with `mobula::put` and pass the ref"
)]
pub trait Arg<P: Param> {
    /// Makes it what the task holds.
    fn into_slot(self) -> Slot<P::Held>;
}

// By value.

impl<T: Send + 'static> Arg<Owned<T>> for T {
    fn into_slot(self) -> Slot<T> {
        Slot::value(self)
    }
}

impl<T: Clone + Send + Sync + 'static> Arg<Owned<T>> for ObjectRef<T> {
    fn into_slot(self) -> Slot<T> {
        Slot(Kind::Ref(self.into_any(), take))
    }
}

impl<T: Clone + Send + Sync + 'static> Arg<Owned<T>> for &ObjectRef<T> {
    fn into_slot(self) -> Slot<T> {
        Arg::<Owned<T>>::into_slot(self.clone())
    }
}

impl<T: Send + Sync + 'static> Arg<Owned<Arc<T>>> for ObjectRef<T> {
    fn into_slot(self) -> Slot<Arc<T>> {
        Slot(Kind::Ref(self.into_any(), share))
    }
}

impl<T: Send + Sync + 'static> Arg<Owned<Arc<T>>> for &ObjectRef<T> {
    fn into_slot(self) -> Slot<Arc<T>> {
        Arg::<Owned<Arc<T>>>::into_slot(self.clone())
    }
}

impl<T: Send + Sync + 'static> Arg<Owned<ObjectRef<T>>> for &ObjectRef<T> {
    fn into_slot(self) -> Slot<ObjectRef<T>> {
        Slot::value(self.clone())
    }
}

impl Arg<Owned<String>> for &str {
    fn into_slot(self) -> Slot<String> {
        Slot::value(self.to_owned())
    }
}

// By reference.

impl<T: Send + Sync + 'static> Arg<Borrowed<T>> for T {
    fn into_slot(self) -> Slot<Lent<T, T>> {
        Slot::value(Lent::own(self))
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<T>> for ObjectRef<T> {
    fn into_slot(self) -> Slot<Lent<T, T>> {
        Slot(Kind::Ref(self.into_any(), lend))
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<T>> for &ObjectRef<T> {
    fn into_slot(self) -> Slot<Lent<T, T>> {
        Arg::<Borrowed<T>>::into_slot(self.clone())
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<T>> for Arc<T> {
    fn into_slot(self) -> Slot<Lent<T, T>> {
        Slot::value(Lent::Shared(self))
    }
}

impl Arg<Borrowed<str>> for &str {
    fn into_slot(self) -> Slot<Lent<String, str>> {
        Slot::value(Lent::own(self.to_owned()))
    }
}

impl Arg<Borrowed<str>> for String {
    fn into_slot(self) -> Slot<Lent<String, str>> {
        Slot::value(Lent::own(self))
    }
}

impl Arg<Borrowed<str>> for ObjectRef<String> {
    fn into_slot(self) -> Slot<Lent<String, str>> {
        Slot(Kind::Ref(self.into_any(), lend))
    }
}

impl Arg<Borrowed<str>> for &ObjectRef<String> {
    fn into_slot(self) -> Slot<Lent<String, str>> {
        Arg::<Borrowed<str>>::into_slot(self.clone())
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<[T]>> for Vec<T> {
    fn into_slot(self) -> Slot<Lent<Vec<T>, [T]>> {
        Slot::value(Lent::own(self))
    }
}

impl<T: Send + Sync + 'static, const N: usize> Arg<Borrowed<[T]>> for [T; N] {
    fn into_slot(self) -> Slot<Lent<Vec<T>, [T]>> {
        Slot::value(Lent::own(self.into()))
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<[T]>> for ObjectRef<Vec<T>> {
    fn into_slot(self) -> Slot<Lent<Vec<T>, [T]>> {
        Slot(Kind::Ref(self.into_any(), lend))
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<[T]>> for &ObjectRef<Vec<T>> {
    fn into_slot(self) -> Slot<Lent<Vec<T>, [T]>> {
        Arg::<Borrowed<[T]>>::into_slot(self.clone())
    }
}

impl<T: Send + Sync + 'static> Arg<Borrowed<[T]>> for Arc<Vec<T>> {
    fn into_slot(self) -> Slot<Lent<Vec<T>, [T]>> {
        Slot::value(Lent::Shared(self))
    }
}

// Lists of refs.

fn take_all<T: Clone + Send + Sync + 'static>(list: Vec<AnyRef>) -> Result<Vec<T>> {
    list.into_iter().map(take).collect()
}

fn share_all<T: Send + Sync + 'static>(list: Vec<AnyRef>) -> Result<Vec<Arc<T>>> {
    list.into_iter().map(share).collect()
}

/// A list that is lent as a slice.
type LentList<T> = Lent<Vec<T>, [T]>;

fn lend_all<T: Send + Sync + 'static>(list: Vec<AnyRef>) -> Result<LentList<Arc<T>>> {
    share_all(list).map(Lent::own)
}

fn lend_taken<T: Clone + Send + Sync + 'static>(list: Vec<AnyRef>) -> Result<Lent<Vec<T>, [T]>> {
    take_all(list).map(Lent::own)
}

/// For each kind of list: where values, shared values, or refs are wanted.
macro_rules! lists {
    ($( [$($generics:tt)*] $list:ty, $self:ident => $refs:expr; )*) => { $(
        impl<T: Clone + Send + Sync + 'static, $($generics)*> Arg<Owned<Vec<T>>> for $list {
            fn into_slot($self) -> Slot<Vec<T>> {
                Slot::list($refs, take_all::<T>)
            }
        }
        impl<T: Send + Sync + 'static, $($generics)*> Arg<Owned<Vec<Arc<T>>>> for $list {
            fn into_slot($self) -> Slot<Vec<Arc<T>>> {
                Slot::list($refs, share_all::<T>)
            }
        }
        impl<T: Send + Sync + 'static, $($generics)*> Arg<Borrowed<[Arc<T>]>> for $list {
            fn into_slot($self) -> Slot<LentList<Arc<T>>> {
                Slot::list($refs, lend_all::<T>)
            }
        }
        impl<T: Clone + Send + Sync + 'static, $($generics)*> Arg<Borrowed<[T]>> for $list {
            fn into_slot($self) -> Slot<Lent<Vec<T>, [T]>> {
                Slot::list($refs, lend_taken::<T>)
            }
        }
    )* };
}

lists! {
    [] Vec<ObjectRef<T>>, self => self;
    [] &Vec<ObjectRef<T>>, self => self.iter().cloned();
    [] &[ObjectRef<T>], self => self.iter().cloned();
    [const N: usize] [ObjectRef<T>; N], self => self;
    [const N: usize] &[ObjectRef<T>; N], self => self.iter().cloned();
}

/// The parameters of a function: a tuple of [`Param`]s.
pub trait Params: 'static {
    /// What the task holds until it runs: a [`Slot`] for each.
    type Slots: Send + 'static;
    /// What it holds while the function runs.
    type Held;
    /// Collects the refs that the task has to wait for.
    #[doc(hidden)]
    fn awaited(slots: &Self::Slots, into: &mut Awaiting);
    /// The arguments themselves.
    #[doc(hidden)]
    fn resolve(slots: Self::Slots) -> Result<Self::Held>;
    /// How each argument crosses to another process.
    #[doc(hidden)]
    type Ports: Copy + Send + Sync + 'static;
    /// Packs all arguments.
    #[doc(hidden)]
    fn pack(slots: &Self::Slots, ports: &Self::Ports, packing: &mut Packing<'_>) -> Result<()>;
    /// Unpacks all arguments.
    #[doc(hidden)]
    fn unpack(
        arguments: &mut dyn Iterator<Item = Argument>,
        ports: &Self::Ports,
        start: &Start<'_>,
    ) -> Result<Self::Slots>;
    /// Which arguments the function borrows.
    #[doc(hidden)]
    fn shares(ports: &Self::Ports) -> Vec<bool>;
    /// How to make each argument a second time.
    #[doc(hidden)]
    type Copiers: Send + 'static;
    /// Makes the arguments such that `copy` can copy them, or names one that cannot be.
    #[doc(hidden)]
    fn prepare(
        slots: Self::Slots,
        copiers: &Self::Copiers,
    ) -> std::result::Result<Self::Slots, &'static str>;
    /// The arguments once more.
    #[doc(hidden)]
    fn copy(slots: &Self::Slots, copiers: &Self::Copiers) -> Self::Slots;
}

/// The refs that a task has to wait for.
#[derive(Default)]
pub struct Awaiting {
    pub(crate) refs: Refs,
    /// Why it need not wait at all: an argument has failed already.
    pub(crate) failure: Option<Error>,
}

impl Awaiting {
    /// Whether the task may start at once.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.refs.is_empty() && self.failure.is_none()
    }

    pub(crate) fn add(&mut self, any: &AnyRef) {
        if !any.is_complete() {
            self.refs.add(any);
            return;
        }
        any.look_ahead();
        if self.failure.is_none() {
            self.failure = any.failure();
        }
    }
}

/// What `map` may be given for each call: the argument, or the tuple of arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no item for a function with the parameters {P}",
    note = "an item is the argument, or, where there are several, the tuple of arguments"
)]
pub trait IntoSlots<P: Params> {
    /// Makes it what the task holds.
    fn into_slots(self) -> P::Slots;
}

impl IntoSlots<()> for () {
    fn into_slots(self) {}
}

impl<A: Arg<P>, P: Param + 'static> IntoSlots<(P,)> for A {
    fn into_slots(self) -> (Slot<P::Held>,) {
        (self.into_slot(),)
    }
}

macro_rules! tuples {
    ($( ($($param:ident $arg:ident $index:tt),*) )*) => { $(
        impl<$($param: Param + 'static),*> Params for ($($param,)*) {
            type Slots = ($(Slot<$param::Held>,)*);
            type Held = ($($param::Held,)*);
            fn awaited(slots: &Self::Slots, into: &mut Awaiting) {
                $( slots.$index.awaited(into); )*
            }
            fn resolve(slots: Self::Slots) -> Result<Self::Held> {
                Ok(($(slots.$index.resolve()?,)*))
            }
            type Ports = ($(Port<$param::Held>,)*);
            fn pack(
                slots: &Self::Slots,
                ports: &Self::Ports,
                packing: &mut Packing<'_>,
            ) -> Result<()> {
                $( (ports.$index.pack)(&slots.$index, packing)?; )*
                Ok(())
            }
            fn unpack(
                arguments: &mut dyn Iterator<Item = Argument>,
                ports: &Self::Ports,
                start: &Start<'_>,
            ) -> Result<Self::Slots> {
                Ok(($({
                    let argument = arguments.next().ok_or_else(|| unfit("one argument too few"))?;
                    (ports.$index.unpack)(argument, start)?
                },)*))
            }
            fn shares(ports: &Self::Ports) -> Vec<bool> {
                vec![$(ports.$index.shares),*]
            }
            type Copiers = ($(Copier<$param::Held>,)*);
            fn prepare(
                slots: Self::Slots,
                copiers: &Self::Copiers,
            ) -> std::result::Result<Self::Slots, &'static str> {
                Ok(($(copiers.$index.prepare(slots.$index)?,)*))
            }
            fn copy(slots: &Self::Slots, copiers: &Self::Copiers) -> Self::Slots {
                ($(copiers.$index.copy(&slots.$index),)*)
            }
        }
    )* };
}

macro_rules! items {
    ($( ($($param:ident $arg:ident $index:tt),*) )*) => { $(
        impl<$($param: Param + 'static, $arg: Arg<$param>),*> IntoSlots<($($param,)*)> for ($($arg,)*) {
            fn into_slots(self) -> ($(Slot<$param::Held>,)*) {
                ($(self.$index.into_slot(),)*)
            }
        }
    )* };
}

impl Params for () {
    type Slots = ();
    type Held = ();
    fn awaited((): &(), _: &mut Awaiting) {}
    fn resolve((): ()) -> Result<()> {
        Ok(())
    }
    type Ports = ();
    fn pack((): &(), (): &(), _: &mut Packing<'_>) -> Result<()> {
        Ok(())
    }
    fn unpack(_: &mut dyn Iterator<Item = Argument>, (): &(), _: &Start<'_>) -> Result<()> {
        Ok(())
    }
    fn shares((): &()) -> Vec<bool> {
        Vec::new()
    }
    type Copiers = ();
    fn prepare((): (), (): &()) -> std::result::Result<(), &'static str> {
        Ok(())
    }
    fn copy((): &(), (): &()) {}
}

tuples! {
    (P0 A0 0)
}

macro_rules! several {
    ($($tuple:tt)*) => {
        tuples! { $($tuple)* }
        items! { $($tuple)* }
    };
}

several! {
    (P0 A0 0, P1 A1 1)
    (P0 A0 0, P1 A1 1, P2 A2 2)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5, P6 A6 6)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5, P6 A6 6, P7 A7 7)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5, P6 A6 6, P7 A7 7, P8 A8 8)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5, P6 A6 6, P7 A7 7, P8 A8 8, P9 A9 9)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5, P6 A6 6, P7 A7 7, P8 A8 8, P9 A9 9,
     P10 A10 10)
    (P0 A0 0, P1 A1 1, P2 A2 2, P3 A3 3, P4 A4 4, P5 A5 5, P6 A6 6, P7 A7 7, P8 A8 8, P9 A9 9,
     P10 A10 10, P11 A11 11)
}
