//! Forms that do nothing, for items that were refused.
//!
//! Their callers are not at fault, so they should compile: each form takes as many arguments
//! as the call has, of any types, and returns refs to what the signature says, or to whatever
//! the caller expects. None of them ever runs, for the report has ended the build.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{ItemFn, Visibility};

use crate::attributes;
use crate::expand;
use crate::function::Refused;
use crate::known;
use crate::options::{Options, Target};
use crate::parameter;
use crate::signature::Faulty;

/// The form of a function that was refused.
pub(crate) fn function(item: &ItemFn, options: &Options, refused: Refused) -> TokenStream {
    let Refused::Signature(faulty) = refused else {
        return TokenStream::new();
    };
    let (ident, vis) = (&faulty.ident, &item.vis);
    let conditions = attributes::conditions(&item.attrs);
    let silence = expand::silence();
    let returns = match options.stream {
        Some(_) => Returns::of_stream(&faulty),
        None => Returns::of(&faulty, options.num_returns),
    };
    let remote = returns.method(vis, &format_ident!("remote"), None, faulty.arity);
    let builder = format_ident!("__{}Options", expand::plain(ident));
    let builder_type = returns.builder(&builder, Target::Function, faulty.arity);
    quote! {
        #(#conditions)*
        #silence
        #vis enum #ident {}

        #(#conditions)*
        #silence
        const _: () = {
            #builder_type

            impl #ident {
                #remote

                #vis fn options() -> #builder {
                    #builder
                }

                #vis fn map<Item>(
                    _: impl ::core::iter::IntoIterator,
                ) -> ::core::iter::Empty<::mobula::__private::Result<Item>> {
                    ::core::iter::empty()
                }
            }
        };
    }
}

/// What a form returns, and the type parameters that leave it to the caller.
pub(crate) struct Returns {
    ty: TokenStream,
    open: Vec<TokenStream>,
}

impl Returns {
    /// What a call of a faulty function would return.
    pub(crate) fn of(faulty: &Faulty, num_returns: Option<usize>) -> Self {
        match (num_returns, &faulty.output) {
            (Some(count), _) => {
                let open = (0..count).map(|i| format_ident!("Output{i}").into_token_stream());
                let open: Vec<_> = open.collect();
                let ty = quote!((#(::mobula::__private::ObjectRef<#open>),*));
                Self { ty, open }
            }
            (None, Some(output)) => {
                let value = output.value();
                Self::exactly(quote!(::mobula::__private::ObjectRef<#value>))
            }
            (None, None) => Self {
                ty: quote!(::mobula::__private::ObjectRef<Output>),
                open: vec![quote!(Output)],
            },
        }
    }

    /// What a call of a faulty function that streams would return.
    pub(crate) fn of_stream(faulty: &Faulty) -> Self {
        match &faulty.output {
            Some(output) => {
                let value = output.value();
                Self::exactly(quote!(::mobula::__private::ObjectStream<#value>))
            }
            None => Self {
                ty: quote!(::mobula::__private::ObjectStream<Output>),
                open: vec![quote!(Output: ::core::marker::Send + ::core::marker::Sync + 'static)],
            },
        }
    }

    /// This type and no other.
    pub(crate) fn exactly(ty: TokenStream) -> Self {
        Self { ty, open: Vec::new() }
    }

    /// A function of this name that takes anything.
    pub(crate) fn method(
        &self,
        vis: &Visibility,
        ident: &Ident,
        receiver: Option<TokenStream>,
        arity: usize,
    ) -> TokenStream {
        let Self { ty, open } = self;
        let arguments = (0..arity).map(|i| {
            let name = parameter::anonymous(i);
            quote!(#name: impl ::core::marker::Sized)
        });
        let arguments = receiver.into_iter().chain(arguments);
        quote! {
            #[allow(unused_variables)]
            #vis fn #ident<#(#open),*>(#(#arguments),*) -> #ty {
                ::core::unreachable!()
            }
        }
    }

    /// A builder that takes every option and ends in `remote`.
    pub(crate) fn builder(&self, ident: &Ident, target: Target, arity: usize) -> TokenStream {
        let vis = syn::parse_quote!(pub);
        let remote = self.method(&vis, &format_ident!("remote"), Some(quote!(self)), arity);
        let settings = known::all_for(target).filter_map(|known| {
            let name = format_ident!("{}", known.name);
            let arguments =
                (0..known.builder_arity()?).map(|_| quote!(_: impl ::core::marker::Sized));
            Some(quote!(pub fn #name(self, #(#arguments),*) -> Self { self }))
        });
        quote! {
            pub struct #ident;
            impl #ident {
                #(#settings)*
                #remote
            }
        }
    }
}
