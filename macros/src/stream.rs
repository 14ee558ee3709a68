//! What a function with `stream` yields.

use syn::{
    AssocType, GenericArgument, Ident, PathArguments, ReturnType, Signature, Token, Type,
    TypeImplTrait, TypeParamBound,
};

use crate::error::{Errors, Reported};
use crate::types;

/// How the items come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// From an `impl Iterator`.
    Iterator,
    /// From an `impl Stream`.
    Stream,
}

/// The signature as if the function returned an item, and how the items come.
pub(crate) fn check(
    signature: &Signature,
    errors: &mut Errors,
) -> Result<(Signature, Source), Reported> {
    if let Some(token) = &signature.asyncness {
        let message = "a stream is begun by a plain `fn`: to wait for its items, return \
                       `impl Stream<Item = T>`";
        return Err(errors.report(token, message));
    }
    let found = match &signature.output {
        ReturnType::Type(_, ty) => items(ty),
        ReturnType::Default => None,
    };
    let Some((source, item)) = found else {
        let message = "a stream yields its results: return `impl Iterator<Item = T>` or \
                       `impl Stream<Item = T>`";
        return Err(match &signature.output {
            ReturnType::Type(_, ty) => errors.report(ty, message),
            ReturnType::Default => errors.report(&signature.ident, message),
        });
    };
    let output = ReturnType::Type(Token![->](signature.ident.span()), Box::new(item.clone()));
    Ok((Signature { output, ..signature.clone() }, source))
}

/// What is in an `impl Iterator<Item = T>`, and whether it is that or a `Stream`.
pub(crate) fn items(ty: &Type) -> Option<(Source, &Type)> {
    let Type::ImplTrait(TypeImplTrait { bounds, .. }) = types::peel(ty) else {
        return None;
    };
    bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let segment = bound.path.segments.last()?;
        let source = source(&segment.ident)?;
        let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Item" => {
                Some((source, ty))
            }
            _ => None,
        })
    })
}

fn source(name: &Ident) -> Option<Source> {
    let iterators = ["Iterator", "DoubleEndedIterator", "ExactSizeIterator", "FusedIterator"];
    match name {
        name if iterators.iter().any(|iterator| name == iterator) => Some(Source::Iterator),
        name if name == "Stream" => Some(Source::Stream),
        _ => None,
    }
}
