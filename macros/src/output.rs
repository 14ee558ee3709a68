//! What a call returns, and what of it goes into an `ObjectRef`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{ReturnType, Type};

use crate::error::{Errors, Reported};
use crate::expand::at;
use crate::stream;
use crate::types::{self, Tie};

/// The result of a call.
pub(crate) struct Output {
    /// The declared return type.
    ty: Box<Type>,
    /// Whether it is a `Result`: then its `Ok` is the value, and an `Err` fails the call.
    pub(crate) fallible: bool,
}

impl Output {
    /// Checks that the result can outlive the call.
    pub(crate) fn check(declared: &ReturnType, errors: &mut Errors) -> Result<Self, Reported> {
        let ty = match declared {
            ReturnType::Default => Box::new(syn::parse_quote!(())),
            ReturnType::Type(_, ty) => ty.clone(),
        };
        refuse_tied(&ty, errors)?;
        if let Type::Never(never) = types::peel(&ty) {
            return Err(errors.report(never, "a remote call has to come back: return a type"));
        }
        let fallible = types::last_segment(&ty).is_some_and(|segment| segment.ident == "Result");
        Ok(Self { ty, fallible })
    }

    /// The value's type, the `T` of `ObjectRef<T>`.
    pub(crate) fn value(&self) -> Type {
        let ty = &self.ty;
        let projected = || {
            Type::Verbatim(quote_spanned! {at(ty)=>
                <#ty as ::mobula::__private::Fallible>::Ok
            })
        };
        self.written().cloned().unwrap_or_else(projected)
    }

    /// The type of what it fails with, where it is a `Result`.
    pub(crate) fn failure(&self) -> Type {
        let ty = &self.ty;
        Type::Verbatim(quote_spanned! {at(ty)=>
            <#ty as ::mobula::__private::Fallible>::Err
        })
    }

    /// The value's type as the user wrote it, where it can be seen: not in `std::fmt::Result`.
    pub(crate) fn written(&self) -> Option<&Type> {
        if self.fallible {
            types::last_segment(&self.ty).and_then(types::first_argument)
        } else {
            Some(&self.ty)
        }
    }

    /// The parts of a tuple of this many, for `num_returns`.
    pub(crate) fn parts(&self, wanted: usize, errors: &mut Errors) -> Result<Vec<Type>, Reported> {
        match types::peel(self.written().unwrap_or(&self.ty)) {
            Type::Tuple(tuple) if tuple.elems.len() == wanted => {
                Ok(tuple.elems.iter().cloned().collect())
            }
            Type::Tuple(tuple) if !tuple.elems.is_empty() => {
                let found = tuple.elems.len();
                let message =
                    format!("`num_returns` is {wanted}, but this tuple has {found} parts");
                Err(errors.report(tuple, message))
            }
            ty => {
                let message = format!(
                    "with `num_returns = {wanted}` the result is a tuple of {wanted}: write it \
                     out here"
                );
                Err(errors.report(ty, message))
            }
        }
    }

    /// Turns the user's call into a `Result<value, mobula::Error>`.
    pub(crate) fn outcome(&self, call: TokenStream) -> TokenStream {
        if !self.fallible {
            return quote!(::core::result::Result::Ok(#call));
        }
        quote! {
            match #call {
                ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
                ::core::result::Result::Err(error) => {
                    ::core::result::Result::Err(::mobula::__private::failure!(error))
                }
            }
        }
    }
}

fn refuse_tied(ty: &Type, errors: &mut Errors) -> Result<(), Reported> {
    let (place, message): (&dyn ToTokens, _) = match types::tie(ty) {
        None => return Ok(()),
        Some(Tie::ImplTrait(place)) if stream::items(ty).is_some() => (
            place,
            "a remote result is stored, and an iterator cannot be: write `#[remote(stream)]` for a ref to \
             each item, or return a `Vec`",
        ),
        Some(Tie::ImplTrait(place)) => (
            place,
            "a remote result is stored, so its type needs a name: write one instead of \
             `impl Trait`",
        ),
        Some(Tie::Reference(place)) => {
            (place, "a remote result outlives the call and cannot borrow: return an owned value")
        }
        Some(Tie::Lifetime(place)) => {
            (place, "a remote result outlives the call and cannot borrow: return an owned value")
        }
        Some(Tie::Placeholder) => (ty, "name the type of a remote result"),
    };
    Err(errors.report(place, message))
}
