//! Waiting for some of many refs, and for one without holding a thread.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::api::object::ObjectRef;
use crate::error::Result;
use crate::local::completion::Completion;
use crate::local::group::GroupWait;
use crate::local::waiting;

/// Waits until `n` of the refs are ready, or until the timeout, and parts them: first the ready ones,
/// at most `n`, then the rest, each in the order of the input.
///
/// Called in a task and without a timeout, it first runs the awaited tasks that nobody has begun.
///
/// A failed task's ref counts as ready: [`get`](crate::get) it to see the failure. More than there are
/// refs are never waited for. No timeout: as long as it takes, or until the rest can never become ready,
/// because it waits, by whatever way, for the task that waits here; to [`get`](crate::get) one of those then
/// fails with [`Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// let refs: Vec<_> = (0..4).map(|x| square::remote(x)).collect();
/// let (ready, pending) = mobula::wait(&refs, 3, None);
/// assert_eq!((ready.len(), pending.len()), (3, 1));
/// ```
pub fn wait<T>(
    refs: &[ObjectRef<T>],
    n: usize,
    timeout: Option<Duration>,
) -> (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>) {
    let n = n.min(refs.len());
    let is_ready = |object: &&ObjectRef<T>| object.any().is_complete();
    if refs.iter().filter(is_ready).take(n).count() < n {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut group = GroupWait::default();
        group.add(refs.iter().map(|object| object.any().clone()));
        for _ in 0..n {
            if waiting::next_of(&group, deadline).is_err() {
                break;
            }
        }
    }
    let mut missing = n;
    refs.iter().cloned().partition(|object| {
        let ready = missing > 0 && object.any().is_complete();
        missing -= usize::from(ready);
        ready
    })
}

/// Gives the refs in the order in which they become ready; each at once when it does. Where a task asks for
/// the next, it first runs those that nobody has begun.
///
/// If the refs that are left wait, by whatever way, for the task that waits for them, none of them can ever
/// become ready. Then they come as they are: [`get`](crate::get) fails with
/// [`Deadlock`](crate::ErrorKind::Deadlock), and tells the circle.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// let refs: Vec<_> = (0..4).map(|x| square::remote(x)).collect();
/// let mut sum = 0;
/// for ready in mobula::as_completed(refs) {
///     sum += mobula::get(ready)?;
/// }
/// assert_eq!(sum, 14);
/// # Ok::<(), mobula::Error>(())
/// ```
pub fn as_completed<T, R: Into<ObjectRef<T>>>(refs: impl IntoIterator<Item = R>) -> AsCompleted<T> {
    let refs: Vec<_> = refs.into_iter().map(|object| Some(object.into())).collect();
    let any = |object: &Option<ObjectRef<T>>| object.as_ref().map(|object| object.any().clone());
    let mut group = GroupWait::default();
    group.add(refs.iter().filter_map(any));
    AsCompleted { group, left: refs.len(), refs, hopeless: None }
}

/// The iterator of [`as_completed`].
pub struct AsCompleted<T> {
    group: GroupWait,
    refs: Vec<Option<ObjectRef<T>>>,
    left: usize,
    /// None of those from this place on can become ready while this waits.
    hopeless: Option<usize>,
}

impl<T> Iterator for AsCompleted<T> {
    type Item = ObjectRef<T>;

    fn next(&mut self) -> Option<ObjectRef<T>> {
        while self.left > 0 {
            let next = match (self.group.next(), &mut self.hopeless) {
                (Some(index), _) => self.refs[index].take(),
                // To `get` one says why.
                (None, Some(place)) => {
                    *place += 1;
                    self.refs[*place - 1].take()
                }
                (None, hopeless) => match waiting::next_of(&self.group, None) {
                    Ok(index) => self.refs[index].take(),
                    Err(_) => {
                        *hopeless = Some(0);
                        continue;
                    }
                },
            };
            if next.is_some() {
                self.left -= 1;
                return next;
            }
            // It was given out before it was ready.
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for AsCompleted<T> {}

pin_project_lite::pin_project! {
    /// What `.await` on an [`ObjectRef`] waits with. A future may wait for other things, too, so circles
    /// that go through one are not found.
    pub struct ObjectFuture<T> {
        #[pin]
        completion: Completion,
        marker: PhantomData<fn() -> T>,
    }
}

impl<T: Clone + Send + Sync + 'static> Future for ObjectFuture<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.project().completion.poll(context).map(|any| ObjectRef::from_any(any).into_value())
    }
}

impl<T: Clone + Send + Sync + 'static> IntoFuture for ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = ObjectFuture<T>;

    fn into_future(self) -> ObjectFuture<T> {
        ObjectFuture { completion: Completion::of(self.into_any()), marker: PhantomData }
    }
}

impl<T: Clone + Send + Sync + 'static> IntoFuture for &ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = ObjectFuture<T>;

    fn into_future(self) -> ObjectFuture<T> {
        self.clone().into_future()
    }
}

#[cfg(test)]
mod tests;
