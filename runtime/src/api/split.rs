//! A task that returns a tuple, with a ref of its own for each part.

use crate::api::object::ObjectRef;
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::cell::Ref;

/// A tuple that can be taken apart: the result of a function with `num_returns`.
#[diagnostic::on_unimplemented(
    message = "a function with `num_returns` returns a tuple",
    label = "not a tuple of 2 to 12 parts"
)]
pub trait Split: Send + Sync + Sized + 'static {
    /// A tuple of refs, one for each part.
    type Refs;
    /// Takes a task's ref apart.
    fn split(whole: ObjectRef<Self>) -> Self::Refs;
}

macro_rules! tuples {
    ($( ($($part:ident $index:tt $reference:ident $promise:ident),*) )*) => { $(
        impl<$($part: Send + Sync + 'static),*> Split for ($($part,)*) {
            type Refs = ($(ObjectRef<$part>,)*);

            fn split(whole: ObjectRef<Self>) -> Self::Refs {
                let call = whole.any().call();
                $(
                    let ($reference, $promise) = Ref::<$part>::promise(call, 0);
                    // So that cancelling a part cancels the task.
                    let _ = $reference.any().extra().producers.set(Box::new([whole.any().clone()]));
                )*
                let mut awaited = Refs::default();
                awaited.add(whole.any());
                let whole = whole.into_inner();
                let hand_out = move || match whole.take_value().into_unshared() {
                    Ok(parts) => { $( $promise.complete(Ok(parts.$index)); )* }
                    Err(error) => { $( $promise.complete(Err(error.clone())); )* }
                };
                Awaited::when_ready(awaited, Then::Run(None, Box::new(hand_out)));
                ($(ObjectRef::from($reference),)*)
            }
        }
    )* };
}

tuples! {
    (A 0 a pa, B 1 b pb)
    (A 0 a pa, B 1 b pb, C 2 c pc)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf, G 6 g pg)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf, G 6 g pg, H 7 h ph)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf, G 6 g pg, H 7 h ph, I 8 i pi)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf, G 6 g pg, H 7 h ph, I 8 i pi,
     J 9 j pj)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf, G 6 g pg, H 7 h ph, I 8 i pi,
     J 9 j pj, K 10 k pk)
    (A 0 a pa, B 1 b pb, C 2 c pc, D 3 d pd, E 4 e pe, F 5 f pf, G 6 g pg, H 7 h ph, I 8 i pi,
     J 9 j pj, K 10 k pk, L 11 l pl)
}
