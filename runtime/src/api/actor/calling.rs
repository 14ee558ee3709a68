//! Calls of actors that live in this process.

use super::{ActorMethod, Body, Held, awaiting};
use crate::api::parameter::Params;
use crate::error::{Error, ErrorKind, Result};
use crate::function::Call;
use crate::local::cell::Ref;
use crate::local::strand::{Access, HostedCall, HostedHandle, Method, MethodOnce, Strand};

/// Calls an actor that computes. Its arguments are kept for another try where there may be one.
#[inline]
pub(super) fn call_strand<M: ActorMethod>(
    strand: &Strand<M::Actor>,
    slots: <M::Params as Params>::Slots,
    call: Call,
) -> Ref<M::Output> {
    match M::body() {
        Body::Alone(body) => {
            let body = move |actor: Access<'_, M::Actor>, held| match actor {
                Access::Alone(actor) => body(actor, held),
                Access::Shared(_) => unreachable!("the method has `&mut self`"),
            };
            call_strand_by::<M, false>(strand, slots, body, call)
        }
        Body::Shared(body) => {
            let body = move |actor: Access<'_, M::Actor>, held| match actor {
                Access::Shared(actor) => body(actor, held),
                Access::Alone(actor) => body(actor, held),
            };
            call_strand_by::<M, true>(strand, slots, body, call)
        }
        Body::AloneLater(_) | Body::SharedLater(_) => {
            unreachable!("an actor with async methods is an async actor")
        }
    }
}

#[inline]
fn call_strand_by<M: ActorMethod, const SHARED: bool>(
    strand: &Strand<M::Actor>,
    slots: <M::Params as Params>::Slots,
    body: impl Fn(Access<'_, M::Actor>, Held<M>) -> Result<M::Output> + Send + 'static,
    call: Call,
) -> Ref<M::Output> {
    let arguments = awaiting::<M::Params>(&slots);
    if strand.max_task_retries() > 0 {
        let mut resolve = match each_try::<M::Params>(slots, M::copiers()) {
            Ok(resolve) => resolve,
            Err(error) => return strand.refuse(error, call, None),
        };
        let body = move |actor: Access<'_, M::Actor>, last: bool| body(actor, resolve(last)?);
        return strand.call(Method::<M::Actor, _, SHARED>::new(body), arguments, call);
    }
    let body = move |actor: Access<'_, M::Actor>| body(actor, M::Params::resolve(slots)?);
    strand.call(MethodOnce::<M::Actor, _, SHARED>::new(body), arguments, call)
}

/// As `call_strand`, of an actor that waits.
pub(super) fn call_hosted<M: ActorMethod>(
    handle: &HostedHandle<M::Actor>,
    slots: <M::Params as Params>::Slots,
    call: Call,
) -> Ref<M::Output> {
    let strand = handle.strand();
    let arguments = awaiting::<M::Params>(&slots);
    if strand.max_task_retries() > 0 {
        return match each_try::<M::Params>(slots, M::copiers()) {
            Ok(resolve) => strand.call(HostedCall::new(resolve, M::body()), arguments, call),
            Err(error) => strand.refuse(error, call, None),
        };
    }
    let mut slots = Some(slots);
    let resolve = move |_| M::Params::resolve(slots.take().expect("the only try comes once"));
    strand.call(HostedCall::new(resolve, M::body()), arguments, call)
}

/// The arguments once more for each try of a call; told that it is the last, it uses them up.
///
/// # Errors
/// `Config`: one of them cannot be copied.
fn each_try<P: Params>(
    slots: P::Slots,
    copiers: P::Copiers,
) -> Result<impl FnMut(bool) -> Result<P::Held> + Send + 'static> {
    let prepared = P::prepare(slots, &copiers).map_err(|parameter| {
        let message = format!(
            "max_task_retries needs argument `{parameter}` again for each try, and its type cannot be \
             cloned: derive `Clone` for it, or take it as a `&` parameter"
        );
        Error::new(ErrorKind::Config, message)
    });
    let mut slots = Some(prepared?);
    Ok(move |last: bool| {
        let again = slots.as_ref().filter(|_| !last).map(|slots| P::copy(slots, &copiers));
        P::resolve(again.or_else(|| slots.take()).expect("the last try comes once"))
    })
}
