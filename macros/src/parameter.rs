//! One parameter: how the user takes it, and how the runtime holds it until the call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Pat, PatType, Type};

use crate::error::{Errors, Reported};
use crate::expand::at;
use crate::types::{self, Tie};

/// The most parameters a call may have: the length of the tuples that the runtime holds.
pub(crate) const PARAMETERS_MAX: usize = 12;

/// A parameter that can be stored and passed on.
pub(crate) struct Parameter {
    /// What `remote` calls it: the user's name, or one for a pattern.
    pub(crate) name: Ident,
    /// How the user's function takes it.
    pub(crate) passing: Passing,
    /// The type of the value; for a reference, what is behind the `&`.
    pub(crate) ty: Type,
}

/// By value or by reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// `T`: the call owns its value.
    Owned,
    /// `&T`: the call borrows from the store, without a copy.
    Borrowed,
}

impl Parameter {
    /// Checks the parameter at this position, counted from zero.
    pub(crate) fn check(
        typed: &PatType,
        position: usize,
        errors: &mut Errors,
    ) -> Result<Self, Reported> {
        if let Some(attribute) = typed.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
            let message = "a remote parameter cannot depend on `cfg`: put it on the function";
            return Err(errors.report(attribute, message));
        }
        let (passing, ty) = check_type(&typed.ty, errors)?;
        Ok(Self { name: name(&typed.pat, position), passing, ty: ty.clone() })
    }

    /// The marker that tells the runtime how to hold it.
    pub(crate) fn marker(&self) -> TokenStream {
        let ty = &self.ty;
        match self.passing {
            Passing::Owned => quote_spanned!(at(ty)=> ::mobula::__private::Owned<#ty>),
            Passing::Borrowed => quote_spanned!(at(ty)=> ::mobula::__private::Borrowed<#ty>),
        }
    }

    /// The expression that passes what is held in this variable to the user's function.
    pub(crate) fn pass(&self, held: &Ident) -> TokenStream {
        match self.passing {
            Passing::Owned => quote!(#held),
            Passing::Borrowed => quote!(&*#held),
        }
    }

    /// The type that has to cross to another process, if any: the element of a slice, and
    /// nothing of a `str`.
    pub(crate) fn portable(&self) -> Option<&Type> {
        match types::peel(&self.ty) {
            Type::Slice(slice) => Some(&slice.elem),
            Type::Path(path) if self.passing == Passing::Borrowed && path.path.is_ident("str") => {
                None
            }
            ty => Some(ty),
        }
    }
}

/// The name that a pattern binds, or one after its position.
fn name(pattern: &Pat, position: usize) -> Ident {
    match pattern {
        Pat::Ident(binding) => binding.ident.clone(),
        _ => anonymous(position),
    }
}

/// A name for what the user did not name; it clashes with none of theirs.
pub(crate) fn anonymous(position: usize) -> Ident {
    format_ident!("argument_{position}", span = Span::mixed_site())
}

fn check_type<'a>(ty: &'a Type, errors: &mut Errors) -> Result<(Passing, &'a Type), Reported> {
    match types::peel(ty) {
        Type::Reference(reference) => {
            if reference.mutability.is_some() {
                let message = "a remote argument may be shared and cannot be changed in place: \
                               take it by value and return what becomes of it";
                return Err(errors.report(ty, message));
            }
            if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") {
                let message = "a remote argument is borrowed for the length of the call only: \
                               remove the `'static`";
                return Err(errors.report(&reference.lifetime, message));
            }
            refuse_unsized(&reference.elem, errors)?;
            refuse_tied(&reference.elem, errors)?;
            Ok((Passing::Borrowed, types::peel(&reference.elem)))
        }
        ty => {
            refuse_unsized(ty, errors)?;
            refuse_tied(ty, errors)?;
            Ok((Passing::Owned, ty))
        }
    }
}

fn refuse_unsized(ty: &Type, errors: &mut Errors) -> Result<(), Reported> {
    match types::peel(ty) {
        Type::TraitObject(_) => {
            let message = "a remote argument is stored until the call, and a `dyn` type has no \
                           known size: name the type itself";
            Err(errors.report(ty, message))
        }
        _ => Ok(()),
    }
}

fn refuse_tied(ty: &Type, errors: &mut Errors) -> Result<(), Reported> {
    let (place, message): (&dyn ToTokens, _) = match types::tie(ty) {
        None => return Ok(()),
        Some(Tie::ImplTrait(place)) => (
            place,
            "a remote argument is stored until the call, so its type needs a name: write one \
             instead of `impl Trait`",
        ),
        Some(Tie::Reference(place)) => (
            place,
            "a reference inside a remote argument would outlive its caller: own the data here, \
             or make the whole parameter a `&`",
        ),
        Some(Tie::Lifetime(place)) => (
            place,
            "a remote argument that borrows would outlive its caller: own the data here, or \
             make the whole parameter a `&`",
        ),
        Some(Tie::Placeholder) => (ty, "name the type of a remote argument"),
    };
    Err(errors.report(place, message))
}
