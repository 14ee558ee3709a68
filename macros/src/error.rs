//! The mistakes found in one use of the attribute.
//!
//! A check goes on after a mistake, so that one compilation shows them all. What it could not
//! make of the faulty part it returns as [`Reported`], a value that only a report creates:
//! nothing is left out of an expansion without a message that says why.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The reports so far; as tokens, one `compile_error!` for each.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

/// Evidence that the user has been told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported(());

impl Errors {
    /// Reports a mistake at the tokens that have to change.
    pub(crate) fn report(&mut self, place: impl ToTokens, message: impl Display) -> Reported {
        self.adopt(syn::Error::new_spanned(place, message))
    }

    /// Reports a mistake at the attribute itself.
    pub(crate) fn report_use(&mut self, message: impl Display) -> Reported {
        self.adopt(syn::Error::new(Span::call_site(), message))
    }

    /// Takes over a mistake that the parser found.
    pub(crate) fn adopt(&mut self, error: syn::Error) -> Reported {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
        Reported(())
    }
}

impl ToTokens for Errors {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some(errors) = &self.0 {
            errors.to_compile_error().to_tokens(tokens);
        }
    }
}
