//! The part of a function that a caller sees, checked for what a remote call can do.

use proc_macro2::Ident;
use syn::{FnArg, GenericParam, Safety};

use crate::error::{Errors, Reported};
use crate::output::Output;
use crate::parameter::{PARAMETERS_MAX, Parameter};

/// What it takes to store a call now and make it later.
pub(crate) struct Signature {
    /// The function's name.
    pub(crate) ident: Ident,
    /// Whether the call returns a future.
    pub(crate) is_async: bool,
    /// The parameters, without `self`.
    pub(crate) parameters: Vec<Parameter>,
    /// The result.
    pub(crate) output: Output,
}

/// What can be said of a signature that cannot run remotely.
pub(crate) struct Faulty {
    /// The function's name.
    pub(crate) ident: Ident,
    /// How many arguments a call has.
    pub(crate) arity: usize,
    /// The result, unless that is the fault.
    pub(crate) output: Option<Output>,
}

impl Faulty {
    /// A signature of which nothing but its shape is used.
    pub(crate) fn of(signature: &syn::Signature) -> Self {
        let arity = signature.inputs.iter().filter_map(typed).count();
        Self { ident: signature.ident.clone(), arity, output: None }
    }
}

impl Signature {
    /// Checks everything but the receiver.
    pub(crate) fn check(signature: &syn::Signature, errors: &mut Errors) -> Result<Self, Faulty> {
        let arguments: Vec<_> = signature.inputs.iter().filter_map(typed).collect();
        let qualifiers = check_qualifiers(signature, errors);
        let generics = check_generics(signature, errors);
        if let Some(thirteenth) = arguments.get(PARAMETERS_MAX) {
            let message = format!(
                "a remote call takes at most {PARAMETERS_MAX} arguments: join some in a struct"
            );
            errors.report(thirteenth, message);
        }
        // The types of a generic function are not the mistake: they would be fine once named.
        let parameters = generics.and_then(|()| {
            let checked = arguments.iter().enumerate();
            let checked = checked.map(|(i, typed)| Parameter::check(typed, i, errors));
            all(checked.collect())
        });
        let output = generics.and_then(|()| Output::check(&signature.output, errors));
        let (ident, arity) = (signature.ident.clone(), arguments.len());
        match (qualifiers, parameters, output) {
            (Ok(()), Ok(parameters), Ok(output)) if arity <= PARAMETERS_MAX => {
                let is_async = signature.asyncness.is_some();
                Ok(Self { ident, is_async, parameters, output })
            }
            (_, _, output) => Err(Faulty { ident, arity, output: output.ok() }),
        }
    }
}

/// The parameter, if it is not the receiver.
fn typed(argument: &FnArg) -> Option<&syn::PatType> {
    match argument {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    }
}

/// All the values, or the first report; each has been made by now.
fn all<T>(results: Vec<Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    results.into_iter().collect()
}

fn check_qualifiers(signature: &syn::Signature, errors: &mut Errors) -> Result<(), Reported> {
    if let Some(variadic) = &signature.variadic {
        return Err(errors.report(variadic, "a remote call has a fixed number of arguments"));
    }
    if let Safety::Unsafe(token) = &signature.safety {
        let message = "a remote call cannot promise what an `unsafe` function asks of its \
                       caller: wrap it in a safe one";
        return Err(errors.report(token, message));
    }
    if let Some(abi) = &signature.abi {
        let message = "a remote function has Rust's own calling convention: wrap this one in a \
                       plain `fn`";
        return Err(errors.report(abi, message));
    }
    Ok(())
}

fn check_generics(signature: &syn::Signature, errors: &mut Errors) -> Result<(), Reported> {
    let params = &signature.generics.params;
    if params.is_empty() {
        return Ok(());
    }
    let lifetimes_only = params.iter().all(|param| matches!(param, GenericParam::Lifetime(_)));
    let message = if lifetimes_only {
        "a remote function has no lifetimes: a `&` parameter borrows for the length of the call \
         without one"
    } else {
        "a remote function has no generics, for a worker finds it by its name: write one \
         function for each type it is used with"
    };
    Err(errors.report(params, message))
}
