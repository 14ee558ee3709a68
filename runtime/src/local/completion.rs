//! Waiting for a cell without holding a thread.

use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::local::abroad;
use crate::local::cell::AnyRef;
use crate::local::waiters::{Node, Waiter};

/// A future that is done when the cell is complete, and gives the ref back.
pub(crate) struct Completion {
    /// Gone once given back.
    any: Option<AnyRef>,
    node: Option<Node>,
    _pinned: PhantomPinned,
}

impl Completion {
    pub(crate) fn of(any: AnyRef) -> Self {
        Self { any: Some(any), node: None, _pinned: PhantomPinned }
    }

    fn leave_list(&mut self) {
        if let (Some(node), Some(any)) = (&self.node, &self.any) {
            any.remove_waiter(node);
        }
        self.node = None;
    }
}

impl Future for Completion {
    type Output = AnyRef;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AnyRef> {
        // SAFETY: the node is not moved out: it is dropped in place, after it left the list.
        let this = unsafe { self.get_unchecked_mut() };
        let any = this.any.as_ref().expect("a completion is not polled once it is done");
        let waits = match &this.node {
            _ if any.is_complete() => false,
            Some(node) => {
                any.renew_waker(node, context.waker());
                !any.is_complete()
            }
            None => {
                abroad::subscribe(any);
                let node = Node::new(Waiter::Future(context.waker().clone()));
                // SAFETY: the node stays in the pinned future until it has left the list.
                unsafe { any.add_waiter(this.node.insert(node)) }
            }
        };
        if waits {
            return Poll::Pending;
        }
        this.leave_list();
        Poll::Ready(this.any.take().expect("it was there just now"))
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.leave_list();
    }
}
