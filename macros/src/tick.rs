//! Methods that are called every so often: `#[remote(every = "1s")]` on a method of an actor.

use proc_macro2::TokenStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, Meta, ReturnType, Token, Type};

use crate::actor::{self, Access};
use crate::argument::Argument;
use crate::error::{Errors, Reported};
use crate::known::{EVERY, Kind};
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

/// Takes `#[remote(..)]` off the methods of the block, which are remote by being public, and gives those that
/// are to be called every so often, by their places in the block.
pub(crate) fn take(block: &mut ItemImpl, errors: &mut Errors) -> Vec<(usize, TokenStream)> {
    let mut taken = Vec::new();
    for (place, item) in block.items.iter_mut().enumerate() {
        let ImplItem::Fn(function) = item else { continue };
        function.attrs.retain(|attribute| {
            let segment = attribute.path().segments.last();
            let ours = segment.is_some_and(|segment| segment.ident == "remote");
            if ours && let Ok(every) = every(attribute, errors) {
                taken.push((place, every));
            }
            !ours
        });
    }
    taken
}

/// How often, by the attribute of a method.
fn every(attribute: &Attribute, errors: &mut Errors) -> Result<TokenStream, Reported> {
    let arguments = match &attribute.meta {
        Meta::List(list) => {
            list.parse_args_with(Punctuated::<Argument, Token![,]>::parse_terminated).ok()
        }
        _ => None,
    };
    let only = arguments.as_ref().filter(|arguments| arguments.len() == 1);
    match only.and_then(|arguments| arguments.first()) {
        Some(argument) if argument.name == EVERY.name => {
            argument.single(Kind::Duration, &EVERY, errors)
        }
        _ => {
            let message = "a method takes no options of its own but `every`: give them to `#[remote]` \
                           on the `impl` block";
            Err(errors.report(attribute, message))
        }
    }
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
