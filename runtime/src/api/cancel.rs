//! Stopping what was asked for.

use std::fmt;
use std::iter::FusedIterator;

use crate::api::context::check_cancelled;
use crate::api::object::ObjectRef;
use crate::error::Result;
use crate::local::cell::AnyRef;
use crate::local::{cancelling, default};

/// Cancels a task, and whatever it has submitted.
///
/// What has not begun never will: it fails at once with [`Cancelled`](crate::ErrorKind::Cancelled), and so
/// does every task that needs its result. An `async fn` that has begun is dropped at its next await. A
/// `fn` that computes is asked to stop: it sees that by [`check_cancelled`] or
/// [`cancellable`], and its ref stays pending until it has really ended. What is done stays done.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn count_for_ever() -> mobula::Result<u64> {
///     let mut count = 0;
///     loop {
///         mobula::check_cancelled()?;
///         count += 1;
///     }
/// }
///
/// let task = count_for_ever::remote();
/// mobula::cancel(&task);
/// assert_eq!(mobula::get(task).unwrap_err().kind(), ErrorKind::Cancelled);
/// ```
pub fn cancel<T>(object: &ObjectRef<T>) -> Cancel<'_> {
    Cancel { task: Some(object.any()), children: true }
}

/// A cancellation, carried out when it drops: at the end of the statement `cancel(&r);`.
pub struct Cancel<'a> {
    /// Gone once carried out.
    task: Option<&'a AnyRef>,
    children: bool,
}

impl Cancel<'_> {
    /// Whether what the task has submitted is cancelled too, and what that has, and so on. Default: yes.
    pub fn children(mut self, children: bool) -> Self {
        self.children = children;
        self
    }

    /// Cancels here and now, and tells whether the task had not begun, and never will.
    pub fn now(mut self) -> bool {
        self.carry_out()
    }

    /// Cancels at once, and where the task runs kills its process, so that it ends whether it listens or not.
    /// Its ref then fails with [`Cancelled`](crate::ErrorKind::Cancelled), whatever its `max_retries`. Tells
    /// whether there was a process to kill; what has not begun never will, as with [`now`](Self::now). Tasks that it has
    /// submitted are killed, too, unless [`children`](Self::children) are spared, which on `ray` they cannot be: there they
    /// end with the process that has submitted them. Calls of actors that it has made are asked to stop; on `ray` they go
    /// on.
    ///
    /// # Errors
    /// `Engine`, where tasks run in this process, on `dask` and `ipyparallel`, and on `ray` for calls of actors and with
    /// `children(false)`: it can only be cancelled without `force`, and is not.
    pub fn force(mut self) -> Result<bool> {
        let Some(task) = self.task.take() else { return Ok(false) };
        let local = default::current();
        let mut killed = false;
        for task in task.producers().unwrap_or(std::slice::from_ref(task)) {
            // It says whether it can before anything is done.
            local.can_kill(task, self.children)?;
            killed |= cancelling::force(task, self.children, &local);
        }
        Ok(killed)
    }

    fn carry_out(&mut self) -> bool {
        self.task.take().is_some_and(|task| cancel_any(task, self.children))
    }
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        self.carry_out();
    }
}

impl fmt::Debug for Cancel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("children", &self.children).finish_non_exhaustive()
    }
}

/// As [`cancel`], whatever the type. What is made of other tasks' results goes with those tasks.
pub(crate) fn cancel_any(any: &AnyRef, children: bool) -> bool {
    let mut none_had_begun = true;
    for task in any.producers().unwrap_or(std::slice::from_ref(any)) {
        none_had_begun &= cancelling::cancel(task, children);
    }
    none_had_begun
}

/// Lets a task stop between the items of an iterator when it is cancelled: gives each item as an `Ok`,
/// and at a cancellation one `Err`, and no more.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn sum(numbers: Vec<u64>) -> mobula::Result<u64> {
///     mobula::cancellable(numbers).sum()
/// }
///
/// assert_eq!(mobula::get(sum::remote(vec![1, 2, 3]))?, 6);
/// # Ok::<(), mobula::Error>(())
/// ```
pub fn cancellable<I: IntoIterator>(items: I) -> Cancellable<I::IntoIter> {
    Cancellable { items: Some(items.into_iter()) }
}

/// What [`cancellable`] gives.
#[derive(Clone, Debug)]
pub struct Cancellable<I> {
    /// Gone at the end.
    items: Option<I>,
}

impl<I: Iterator> Iterator for Cancellable<I> {
    type Item = Result<I::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_mut()?;
        let next = match check_cancelled() {
            Ok(()) => items.next().map(Ok),
            Err(cancelled) => Some(Err(cancelled)),
        };
        if !matches!(next, Some(Ok(_))) {
            self.items = None;
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // It may end at any time, with one item more.
        let most = self.items.as_ref().map_or(Some(0), |items| items.size_hint().1?.checked_add(1));
        (0, most)
    }
}

impl<I: Iterator> FusedIterator for Cancellable<I> {}
