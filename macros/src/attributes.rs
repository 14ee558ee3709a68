//! Which of the user's attributes hold for the generated items too.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// The attributes that decide whether the item exists: `cfg`, alone or inside `cfg_attr`.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    keep(attributes, &["cfg"])
}

/// The conditions, and what a reader is told of the item.
pub(crate) fn documentation(attributes: &[Attribute]) -> Vec<&Attribute> {
    keep(attributes, &["cfg", "doc", "deprecated"])
}

/// An expression that is true when the item exists.
pub(crate) fn exists(attributes: &[Attribute]) -> TokenStream {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let conditions = conditions.filter_map(|attribute| attribute.parse_args::<TokenStream>().ok());
    quote!(::core::cfg!(all(#(#conditions),*)))
}

fn keep<'a>(attributes: &'a [Attribute], names: &[&str]) -> Vec<&'a Attribute> {
    attributes.iter().filter(|attribute| is_about(&attribute.meta, names)).collect()
}

/// Whether the attribute is one of these, or a `cfg_attr` of nothing else.
fn is_about(meta: &Meta, names: &[&str]) -> bool {
    if !meta.path().is_ident("cfg_attr") {
        return names.iter().any(|name| meta.path().is_ident(name));
    }
    let Meta::List(list) = meta else { return false };
    let inner = list.parse_args_with(|input: ParseStream<'_>| {
        input.parse::<Meta>()?;
        input.parse::<Token![,]>()?;
        Punctuated::<Meta, Token![,]>::parse_terminated(input)
    });
    inner.is_ok_and(|inner| inner.iter().all(|meta| is_about(meta, names)))
}
