//! A function under `#[remote]`.

use std::borrow::Cow;

use syn::{ItemFn, Type};

use crate::error::Errors;
use crate::options::Options;
use crate::signature::{Faulty, Signature};
use crate::stream::{self, Source};
use crate::types;

/// A function that can run as a task.
pub(crate) struct Function<'a> {
    /// The user's function.
    pub(crate) item: &'a ItemFn,
    /// Its signature.
    pub(crate) signature: Signature,
    /// The types of its results, one for each `ObjectRef` that `num_returns` asks for.
    pub(crate) parts: Option<Vec<Type>>,
    /// How its items come, if it streams: then the signature's result is an item.
    pub(crate) source: Option<Source>,
}

/// Why there is no task: a faulty signature, or an item that stands in the wrong place.
pub(crate) enum Refused {
    /// The function has a remote form, but not with this signature.
    Signature(Faulty),
    /// The item belongs to an `impl` block, where no other items may stand beside it.
    Place,
}

/// Checks a function and its `num_returns`.
pub(crate) fn check<'a>(
    item: &'a ItemFn,
    options: &Options,
    errors: &mut Errors,
) -> Result<Function<'a>, Refused> {
    if let Some(receiver) = item.sig.receiver() {
        let message = "a method runs on an actor: put `#[remote]` on its `impl` block";
        errors.report(receiver, message);
        return Err(Refused::Place);
    }
    if types::mentions_self(&item.sig) {
        let message = "a function that needs `Self` cannot run by itself: put `#[remote]` on its \
                       `impl` block, or move it out";
        errors.report(&item.sig.ident, message);
        return Err(Refused::Place);
    }
    let (declared, source) = match &options.stream {
        None => (Cow::Borrowed(&item.sig), None),
        Some(_) => match stream::check(&item.sig, errors) {
            Ok((items, source)) => (Cow::Owned(items), Some(source)),
            Err(_) => return Err(Refused::Signature(Faulty::of(&item.sig))),
        },
    };
    let signature = Signature::check(&declared, errors).map_err(Refused::Signature)?;
    let parts = options.num_returns.map(|wanted| signature.output.parts(wanted, errors));
    match parts.transpose() {
        Ok(parts) => Ok(Function { item, signature, parts, source }),
        Err(_) => Err(Refused::Signature(Faulty::of(&item.sig))),
    }
}
