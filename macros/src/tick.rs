//! Methods that are called every so often: `#[remote(every = "1s")]` on a method of an actor.

use proc_macro2::TokenStream;
use syn::{Attribute, ImplItemFn, ReturnType, Type};

use crate::actor::{self, Access};
use crate::error::Errors;
use crate::signature::Signature;
use crate::types;

/// A method, and how often it is called.
pub(crate) struct Tick {
    /// Its conditions, among others.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) access: Access,
    pub(crate) signature: Signature,
    /// A `Duration`.
    pub(crate) every: TokenStream,
}

/// Checks a method that nobody calls with arguments, and from which nobody takes a result.
pub(crate) fn check(
    function: &ImplItemFn,
    every: TokenStream,
    ty: &Type,
    errors: &mut Errors,
) -> Option<Tick> {
    let Some(access) = actor::access(function) else {
        let message = "what is called every so often is a method: take `&self` or `&mut self`";
        errors.report(&function.sig, message);
        return None;
    };
    if !actor::takes(function, 0) {
        let message = "nobody gives arguments to what is called every so often: take `&self` or \
                       `&mut self` alone";
        errors.report(&function.sig.inputs, message);
        return None;
    }
    // What is wrong with a call was reported before.
    let mut reported = Errors::default();
    let errors_of_signature = if actor::is_call(function) { &mut reported } else { &mut *errors };
    let signature = actor::check_signature(function, ty, errors_of_signature).ok()?;
    let unit = |ty: &Type| matches!(types::peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty());
    if !signature.output.written().is_some_and(unit) {
        let message = "nobody takes a result of what is called every so often: return nothing, or \
                       `Result<(), E>`";
        match &function.sig.output {
            ReturnType::Default => errors.report(&function.sig.ident, message),
            ReturnType::Type(_, output) => errors.report(output, message),
        };
        return None;
    }
    Some(Tick { attributes: function.attrs.clone(), access, signature, every })
}
