//! Getting values out of refs, by waiting for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::api::object::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::AnyRef;
use crate::local::waiting::{self, Ended, STRIDE_MAX, Stride};

/// What [`get`] takes: a ref, or a slice, vector, array or tuple of what `get` takes.
#[diagnostic::on_unimplemented(
    message = "`get` cannot take `{Self}`",
    label = "neither an `ObjectRef<T>` with `T: Clone`, nor a slice, vector, array or tuple of such",
    note = "`mobula::get_arc(&object)` shares a value that is not `Clone`"
)]
pub trait Get: HasRefs + Sized {
    /// The values, in the shape of the refs.
    type Output;
    /// The values, which are there.
    #[doc(hidden)]
    fn take(self) -> Result<Self::Output>;
    /// Waits for the values, and takes them.
    #[doc(hidden)]
    fn wait_and_take(self) -> Result<Self::Output> {
        wait_for(&self, None)?;
        self.take()
    }
}

/// Something that consists of refs.
pub trait HasRefs {
    #[doc(hidden)]
    fn refs<'a>(&'a self, into: &mut Refs<'a>);
}

/// The refs of something that [`get`] takes, in order. Most often it is one, which needs no allocation.
#[derive(Default)]
pub struct Refs<'a>(SmallVec<[&'a AnyRef; 2]>);

/// Waits for values and gives them in the shape of the refs: of a ref the value; of a slice, vector,
/// array or tuple the same of values, in order.
///
/// A ref passed by reference keeps its value, and the caller gets a clone. A ref passed by value gives
/// its value up: it is moved out, not cloned, where that was the last ref.
///
/// Called in a task, it first runs the awaited tasks that nobody has begun; while it has to wait,
/// others compute on its CPU. Called outside of tasks, it takes the first of a list of more than 1,024 refs while the
/// last are still to come.
///
/// # Errors
/// The first failure, in the order of the refs: what made the task fail, or the task it depended on. Called
/// in a task, also `Deadlock`, if the wait could never end because what it waits for waits for this task,
/// by whatever way: the error tells the circle. What async code awaits, and locks and channels of the
/// program's own, are not followed.
///
/// ```
/// use mobula::prelude::*;
///
/// let (a, b) = (mobula::put(1), mobula::put("two"));
/// assert_eq!(mobula::get((&a, &b))?, (1, "two"));
/// assert_eq!(mobula::get([a.clone(), a])?, [1, 1]);
/// # Ok::<(), mobula::Error>(())
/// ```
pub fn get<G: Get>(objects: G) -> Result<G::Output> {
    objects.wait_and_take()
}

/// As [`get`], for at most `timeout`.
///
/// # Errors
/// As `get`, and `Timeout` if a value was not there in time; the work goes on.
pub fn get_timeout<G: Get>(objects: G, timeout: Duration) -> Result<G::Output> {
    wait_for(&objects, Instant::now().checked_add(timeout)).map_err(|error| {
        if error.kind() == ErrorKind::Timeout { describe_timeout(&objects, timeout) } else { error }
    })?;
    objects.take()
}

/// Waits for a value and shares it, without a copy.
///
/// # Errors
/// What made the task fail, or the task it depended on.
pub fn get_arc<T: Send + Sync + 'static>(object: &ObjectRef<T>) -> Result<Arc<T>> {
    wait_for(object, None)?;
    object.to_shared()
}

fn wait_for<R: HasRefs + ?Sized>(objects: &R, deadline: Option<Instant>) -> Result<()> {
    wait_for_part(objects, deadline, &mut Stride::default())
}

fn wait_for_part<R: HasRefs + ?Sized>(
    objects: &R,
    deadline: Option<Instant>,
    stride: &mut Stride,
) -> Result<()> {
    let mut refs = Refs::default();
    objects.refs(&mut refs);
    let waited = match refs.0[..] {
        [any] => waiting::wait(any, deadline),
        ref all => waiting::wait_part(all, deadline, stride),
    };
    waited.map_err(|ended| match ended {
        Ended::TimedOut => Error::new(ErrorKind::Timeout, ""),
        Ended::Never(why) => why,
    })
}

/// Whether a list is waited for part by part.
fn may_be_in_parts<T>(list: &[T]) -> bool {
    list.len() > STRIDE_MAX && waiting::is_at_leisure()
}

fn describe_timeout<R: HasRefs>(objects: &R, timeout: Duration) -> Error {
    let mut refs = Refs::default();
    objects.refs(&mut refs);
    let mut pending = refs.0.iter().filter(|any| !any.is_complete());
    let what = match (pending.next(), pending.count()) {
        (None, _) => String::new(),
        (Some(any), 0) => format!(" of {}", any.hop()),
        (Some(any), more) => format!(" of {} and {more} more", any.hop()),
    };
    let message = format!("the result{what} was not there within {timeout:?}; the work goes on");
    Error::new(ErrorKind::Timeout, message)
}

impl<T> HasRefs for ObjectRef<T> {
    fn refs<'a>(&'a self, into: &mut Refs<'a>) {
        into.0.push(self.any());
    }
}

impl<R: HasRefs + ?Sized> HasRefs for &R {
    fn refs<'a>(&'a self, into: &mut Refs<'a>) {
        (**self).refs(into);
    }
}

impl<R: HasRefs> HasRefs for [R] {
    fn refs<'a>(&'a self, into: &mut Refs<'a>) {
        into.0.reserve(self.len());
        self.iter().for_each(|part| part.refs(into));
    }
}

impl<R: HasRefs> HasRefs for Vec<R> {
    fn refs<'a>(&'a self, into: &mut Refs<'a>) {
        self.as_slice().refs(into);
    }
}

impl<R: HasRefs, const N: usize> HasRefs for [R; N] {
    fn refs<'a>(&'a self, into: &mut Refs<'a>) {
        self.as_slice().refs(into);
    }
}

impl<T: Clone + Send + Sync + 'static> Get for ObjectRef<T> {
    type Output = T;
    fn take(self) -> Result<T> {
        self.into_value()
    }
}

impl<T: Clone + Send + Sync + 'static> Get for &ObjectRef<T> {
    type Output = T;
    fn take(self) -> Result<T> {
        self.to_value()
    }
}

impl<G: Get> Get for Vec<G> {
    type Output = Vec<G::Output>;
    fn take(self) -> Result<Self::Output> {
        self.into_iter().map(G::take).collect()
    }
    /// Part by part, where the list is long: so the first are taken while the last are made, and are in the cache
    /// still.
    fn wait_and_take(self) -> Result<Self::Output> {
        if !may_be_in_parts(&self) {
            wait_for(&self, None)?;
            return self.take();
        }
        let (mut values, mut stride) = (Vec::with_capacity(self.len()), Stride::default());
        let mut rest = self.into_iter();
        while !rest.as_slice().is_empty() {
            let part = rest.len().min(STRIDE_MAX);
            wait_for_part(&rest.as_slice()[..part], None, &mut stride)?;
            for object in rest.by_ref().take(part) {
                values.push(object.take()?);
            }
        }
        Ok(values)
    }
}

impl<'l, T: HasRefs> Get for &'l [T]
where
    &'l T: Get,
{
    type Output = Vec<<&'l T as Get>::Output>;
    fn take(self) -> Result<Self::Output> {
        self.iter().map(Get::take).collect()
    }
    /// As of a vector.
    fn wait_and_take(self) -> Result<Self::Output> {
        if !may_be_in_parts(self) {
            wait_for(self, None)?;
            return self.take();
        }
        let (mut values, mut stride) = (Vec::with_capacity(self.len()), Stride::default());
        for part in self.chunks(STRIDE_MAX) {
            wait_for_part(part, None, &mut stride)?;
            for object in part {
                values.push(object.take()?);
            }
        }
        Ok(values)
    }
}

impl<'l, T: HasRefs> Get for &'l Vec<T>
where
    &'l T: Get,
{
    type Output = Vec<<&'l T as Get>::Output>;
    fn take(self) -> Result<Self::Output> {
        self.as_slice().take()
    }
    fn wait_and_take(self) -> Result<Self::Output> {
        self.as_slice().wait_and_take()
    }
}

impl<G: Get, const N: usize> Get for [G; N] {
    type Output = [G::Output; N];
    fn take(self) -> Result<Self::Output> {
        in_array(self.into_iter().map(G::take).collect::<Result<_>>()?)
    }
}

impl<'l, T: HasRefs, const N: usize> Get for &'l [T; N]
where
    &'l T: Get,
{
    type Output = [<&'l T as Get>::Output; N];
    fn take(self) -> Result<Self::Output> {
        in_array(self.as_slice().take()?)
    }
}

fn in_array<T, const N: usize>(values: Vec<T>) -> Result<[T; N]> {
    Ok(values.try_into().unwrap_or_else(|_| unreachable!("as many values as refs")))
}

macro_rules! tuples {
    ($( ($($part:ident $index:tt),*) )*) => { $(
        impl<$($part: HasRefs),*> HasRefs for ($($part,)*) {
            fn refs<'a>(&'a self, into: &mut Refs<'a>) {
                $( self.$index.refs(into); )*
            }
        }
        impl<$($part: Get),*> Get for ($($part,)*) {
            type Output = ($($part::Output,)*);
            fn take(self) -> Result<Self::Output> {
                Ok(($(self.$index.take()?,)*))
            }
        }
        impl<'l, $($part: HasRefs),*> Get for &'l ($($part,)*)
        where
            $( &'l $part: Get, )*
        {
            type Output = ($(<&'l $part as Get>::Output,)*);
            fn take(self) -> Result<Self::Output> {
                Ok(($((&self.$index).take()?,)*))
            }
        }
    )* };
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::function::{Call, Function};
    use crate::local::cell::Ref;

    #[test]
    #[should_panic(expected = "before it was there")]
    fn what_is_not_there_is_not_taken() {
        static FUNCTION: Function = Function::new("f", module_path!(), file!(), line!());
        let call = Call { function: &FUNCTION, called_at: Location::caller() };
        let (object, _promise) = Ref::<u64>::promise(call, 0);
        let _ = ObjectRef::from(object).take();
    }
}
