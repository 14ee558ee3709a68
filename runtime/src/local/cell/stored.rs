//! Cells whose values are in the books of the object store (S6).
//!
//! What a value weighs is known where it is written: [`weigh`] looks only at types whose values can be large,
//! which the compiler knows. A listed value sits in its cell, in an `Arc` once somebody shares or writes it,
//! or, as [`Value::Spilled`], on disk. Whoever reads it has the `Arc`, whose count is how the store knows.

use std::any::TypeId;
use std::mem::needs_drop;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{AnyRef, Header, Promise, Ref, Typed};
use crate::error::Error;
use crate::function::{Call, Hop};
use crate::local::lineage::Lineage;
use crate::local::value::Value;
use crate::local::{default, panics, waiting};
use crate::store::{self, Any, Hold, Kind, LISTED_BYTES_MIN, Place, Struck};

/// The object store of a runtime.
pub(crate) type Store = store::Store<Home>;

/// What a cell has if its value is listed.
pub(crate) type Stored = store::Stored<Home>;

/// A cell, as the store has it: it counts for nothing, and is struck off before the cell goes.
pub(crate) struct Home(NonNull<Header>);

// SAFETY: it reaches what a ref reaches; see `AnyRef`.
unsafe impl Send for Home {}

impl Home {
    fn header(&self) -> &Header {
        // SAFETY: what is listed is alive (B3).
        unsafe { self.0.as_ref() }
    }
}

impl Place for Home {
    type Hold = AnyRef;

    fn hold(&self) -> Option<AnyRef> {
        let state = &self.header().state;
        (state.load().is_complete() && state.try_add_ref()).then(|| AnyRef(self.0))
    }

    fn is_read(&self) -> bool {
        let header = self.header();
        // SAFETY: the table is that of the cell, which is alive.
        header.state.load().is_complete() && unsafe { (header.vtable.is_read)(self.0) }
    }

    fn refs(&self) -> usize {
        usize::try_from(self.header().state.load().refs()).unwrap_or(usize::MAX)
    }

    fn hop(&self) -> Hop {
        self.header().hop()
    }

    fn asleep<R>(sleep: impl FnOnce(&mut dyn FnMut(&dyn Fn() -> bool)) -> R) -> R {
        waiting::without_cpu(|nap| {
            sleep(&mut |over| {
                if let Some(cpu) = nap.handed_cpu() {
                    nap.work(cpu, over);
                }
            })
        })
    }
}

impl Hold for AnyRef {
    fn value(&self) -> Option<Any> {
        // SAFETY: the table is that of the cell, which we keep, and which was complete when we got it.
        unsafe { (self.header().vtable.lend)(self.0) }
    }

    fn evict(&self) -> bool {
        // SAFETY: as above.
        unsafe { (self.header().vtable.evict)(self.0) }
    }

    fn put_back(&self, value: Any) {
        // SAFETY: as above.
        unsafe { (self.header().vtable.put_back)(self.0, value) }
    }

    fn release(self) -> Result<(), Self> {
        if !self.header().state.release_ref_of_several() {
            return Err(self);
        }
        std::mem::forget(self);
        Ok(())
    }
}

/// Whether values of this type can be so large that they are listed: known when this is compiled.
pub(crate) const fn may_be_stored<T>() -> bool {
    needs_drop::<T>() || size_of::<T>() >= LISTED_BYTES_MIN
}

/// What a value weighs, if it is to be listed.
#[inline]
pub(super) fn weigh<T: Send + Sync + 'static>(value: &T) -> Option<(usize, Option<&'static Kind>)> {
    if !may_be_stored::<T>() {
        return None;
    }
    let kind = store::kind_of(TypeId::of::<T>());
    let bytes = kind.map_or(size_of::<T>(), |kind| kind.size(value));
    (bytes >= LISTED_BYTES_MIN).then_some((bytes, kind))
}

/// Makes room for a value of the current runtime, if there is one. The caller's CPU is others' meanwhile.
fn reserve(bytes: usize, start: bool) -> Result<Option<Arc<Store>>, Error> {
    let store = if start {
        Some(default::with_current(|local| Arc::clone(local.store())))
    } else {
        default::with_current_if_any(|local| local.map(|local| Arc::clone(local.store())))
    };
    store.map(|store| store.reserve(bytes).map(|()| store)).transpose()
}

impl Header {
    pub(super) fn stored(&self) -> &Stored {
        let stored = self.extra().and_then(|extra| extra.stored.get());
        stored.expect("what is marked as stored is listed")
    }

    /// Lists the value, for which there is room. The caller is the runner, or the only holder.
    fn list(cell: NonNull<Self>, store: &Arc<Store>, bytes: usize, kind: Option<&'static Kind>) {
        // SAFETY: the caller keeps it.
        let header = unsafe { cell.as_ref() };
        header.state.set_stored();
        let stored = store.list(bytes, kind, Home(cell));
        if header.extra_or_new().stored.set(stored).is_err() {
            unreachable!("a value is listed once");
        }
    }

    /// Strikes the value off, if the caller's ref is the only one there will ever be; else nothing changes.
    /// Then it is the caller's alone (S2). One that is on disk is brought back where it is `wanted`.
    #[cold]
    pub(super) fn strike_if_sole(&self, wanted: bool) -> Struck {
        let sole = || {
            let sole = self.state.load().is_sole_but_stored();
            if sole {
                self.state.clear_stored();
            }
            sole
        };
        self.stored().strike_if(sole, wanted)
    }
}

impl<T: Send + Sync + 'static> Typed<T> {
    /// # Safety
    /// The cell is one with a `T`, complete, and alive.
    pub(super) unsafe fn is_read(cell: NonNull<Header>) -> bool {
        // SAFETY: by the caller's promise.
        let typed = unsafe { cell.cast::<Self>().as_ref() };
        let read = |value: &mut Value<T>| matches!(value, Value::Shared(value) if Arc::strong_count(value) > 1);
        typed.with_value(read).unwrap_or(true)
    }

    /// # Safety
    /// As for `is_read`, and the caller holds it.
    pub(super) unsafe fn lend(cell: NonNull<Header>) -> Option<Any> {
        // SAFETY: by the caller's promise.
        let typed = unsafe { cell.cast::<Self>().as_ref() };
        let lend = |value: &mut Value<T>| {
            if !matches!(value, Value::Inline(_) | Value::Shared(_)) {
                return None;
            }
            let shared = value.share().ok()?;
            (Arc::strong_count(shared) == 1).then(|| Arc::clone(shared) as Any)
        };
        typed.with_value(lend)?
    }

    /// # Safety
    /// As for `lend`.
    pub(super) unsafe fn evict(cell: NonNull<Header>) -> bool {
        // SAFETY: by the caller's promise.
        let typed = unsafe { cell.cast::<Self>().as_ref() };
        let evict = |value: &mut Value<T>| match value {
            Value::Inline(_) => Some(std::mem::replace(value, Value::Spilled)),
            Value::Shared(shared) if Arc::strong_count(shared) == 1 => {
                Some(std::mem::replace(value, Value::Spilled))
            }
            _ => None,
        };
        let evicted = typed.with_value(evict).flatten();
        let any = evicted.is_some();
        panics::drop_quietly(evicted);
        any
    }
}

impl<T: Send + Sync + 'static> Typed<T> {
    /// # Safety
    /// As for `lend`.
    pub(super) unsafe fn put_back(cell: NonNull<Header>, value: Any) {
        // SAFETY: by the caller's promise.
        let typed = unsafe { cell.cast::<Self>().as_ref() };
        typed.with_value(|place| *place = Value::Shared(as_shared(value)));
    }
}

impl AnyRef {
    /// A queued task will need the value of this complete cell.
    #[inline]
    pub(crate) fn look_ahead(&self) {
        if self.header().state.load().is_stored() {
            self.header().stored().look_ahead();
        }
    }
}

impl<T: Send + Sync + 'static> Promise<T> {
    /// Lists a large value, for which room is made first. Where there is none, the value is lost to an error.
    #[cold]
    pub(super) fn store(
        &self,
        value: Value<T>,
        bytes: usize,
        kind: Option<&'static Kind>,
    ) -> Value<T> {
        if self.header().state.load().refs() == 0 {
            // Nobody will ever see it.
            return value;
        }
        match reserve(bytes, false) {
            Ok(Some(store)) => Header::list(self.cell, &store, bytes, kind),
            Ok(None) => {}
            Err(full) => {
                panics::drop_quietly(value);
                return Value::Failed(full.through(self.hop()));
            }
        }
        value
    }
}

impl<T: Send + Sync + 'static> Promise<T> {
    /// Keeps the lineage of a value that was listed, and drops that of another.
    #[cold]
    pub(super) fn keep_lineage(&self, lineage: Lineage) {
        if self.header().state.load().is_stored() {
            // It is set once, as the value is.
            let _ = self.header().extra_or_new().lineage.set(lineage);
        }
    }
}

impl<T: Send + Sync + 'static> Ref<T> {
    /// A cell for a value that was put.
    pub(crate) fn put(value: T, call: Call) -> Self {
        let Some((bytes, kind)) = weigh(&value) else { return Self::complete(Ok(value), call) };
        match reserve(bytes, true) {
            Ok(store) => {
                let this = Self::complete(Ok(value), call);
                store.inspect(|store| Header::list(this.any.0, store, bytes, kind));
                this
            }
            Err(full) => {
                panics::drop_quietly(value);
                Self::complete(Err(full.through(call)), call)
            }
        }
    }

    /// The value of a complete cell that is listed, brought back from disk if need be.
    #[cold]
    pub(super) fn read_stored(&self) -> Result<Arc<T>, Error> {
        let stored = self.any.header().stored();
        stored.touch();
        loop {
            let look = |value: &mut Value<T>| match value {
                Value::Spilled => None,
                value => Some(value.share().map(Arc::clone)),
            };
            if let Some(found) = self.typed().with_value(look).expect("it is not shared for good") {
                return found;
            }
            let again = |why| self.make_again(why);
            let restored = stored.restore(again, |value| {
                let value = value.map(as_shared::<T>);
                let found = value.clone();
                let put_back = |place: &mut Value<T>| *place = value.into_value();
                self.typed().with_value(put_back);
                found
            });
            if let Some(value) = restored {
                return value;
            }
        }
    }

    /// Makes a value again that is lost, where there is a way.
    fn make_again(&self, why: Error) -> Result<Any, Error> {
        let lineage = self.any.header().extra().and_then(|extra| extra.lineage.get());
        lineage
            .map_or_else(|| Err(why.clone()), |lineage| lineage.make_again(&self.any, why.clone()))
    }

    /// Strikes the value off and has it in the cell, if this is the only ref to it. False: it is not.
    #[cold]
    pub(super) fn strike_if_sole(&self) -> bool {
        match self.any.header().strike_if_sole(true) {
            Struck::Shared => return false,
            Struck::InMemory => {}
            Struck::OnDisk(value) => {
                let value = value.or_else(|why| self.make_again(why));
                // SAFETY: the value is ours alone (S2).
                let place = unsafe { &mut *self.typed().value() };
                *place = value.map(as_shared::<T>).into_value();
            }
        }
        true
    }

    /// Takes the value out, whatever other refs there are.
    #[cold]
    pub(super) fn take_stored(&self) -> Value<T> {
        let header = self.any.header();
        let struck = header.stored().strike_anyway(|| header.state.clear_stored());
        let in_cell = self.typed().with_value(|value| std::mem::replace(value, Value::Empty));
        match struck {
            Struck::OnDisk(value) => {
                let value = value.or_else(|why| self.make_again(why));
                value.map(as_shared::<T>).into_value()
            }
            _ => in_cell.expect("nobody shares what is to be taken"),
        }
    }
}

/// What a cell has for a shared value, or for why there is none.
trait IntoValue<T> {
    fn into_value(self) -> Value<T>;
}

impl<T> IntoValue<T> for Result<Arc<T>, Error> {
    fn into_value(self) -> Value<T> {
        self.map_or_else(Value::Failed, Value::Shared)
    }
}

/// The type that it was made with.
fn as_shared<T: Send + Sync + 'static>(value: Any) -> Arc<T> {
    Arc::downcast(value).unwrap_or_else(|_| unreachable!("a kind reads what it has written"))
}
