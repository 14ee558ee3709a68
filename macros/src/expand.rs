//! Phrases that the expansions of functions and actors share.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::options::Options;
use crate::parameter::{self, Parameter, Passing};
use crate::signature::Signature;
use crate::types;

/// Lints that a user could not satisfy, for the code is not theirs: names and types come from
/// their signature, where the lint has spoken already.
pub(crate) fn silence() -> TokenStream {
    quote! {
        #[allow(
            dead_code,
            deprecated,
            non_camel_case_types,
            non_snake_case,
            private_bounds,
            private_interfaces,
            clippy::exhaustive_enums,
            clippy::impl_trait_in_params,
            clippy::too_many_arguments,
            clippy::unused_unit,
            clippy::used_underscore_binding
        )]
    }
}

/// The static that tells where a function was declared.
pub(crate) fn declaration(ident: &Ident, name: &str) -> TokenStream {
    let line = quote_spanned!(ident.span()=> ::core::line!());
    quote! {
        static FUNCTION: ::mobula::__private::Function = ::mobula::__private::Function::new(
            #name,
            ::core::module_path!(),
            ::core::file!(),
            #line,
        );
    }
}

/// The attribute's options as a builder made at first use; nothing if there are none.
pub(crate) fn defaults(options: &Options, builder: TokenStream) -> Option<TokenStream> {
    let build = options.build(&builder)?;
    Some(quote! {
        fn defaults() -> ::core::option::Option<&'static #builder> {
            static DEFAULTS: ::std::sync::LazyLock<#builder> =
                ::std::sync::LazyLock::new(|| #build);
            ::core::option::Option::Some(&*DEFAULTS)
        }
    })
}

/// The name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

impl Signature {
    /// The tuple of markers that tells the runtime how to hold the arguments.
    pub(crate) fn markers(&self) -> TokenStream {
        let markers = self.parameters.iter().map(Parameter::marker);
        quote!((#(#markers,)*))
    }

    /// The parameters of `remote`: whatever can become the argument.
    pub(crate) fn declared(&self) -> TokenStream {
        let declared = self.parameters.iter().map(|parameter| {
            let (name, marker) = (&parameter.name, parameter.marker());
            quote_spanned!(at(&parameter.ty)=> #name: impl ::mobula::__private::Arg<#marker>)
        });
        quote!(#(#declared),*)
    }

    /// The arguments of `remote`, as the runtime stores them.
    pub(crate) fn slots(&self) -> TokenStream {
        let slots = self.parameters.iter().map(|parameter| {
            let (name, marker) = (&parameter.name, parameter.marker());
            quote_spanned! {at(&parameter.ty)=>
                ::mobula::__private::Arg::<#marker>::into_slot(#name)
            }
        });
        quote!((#(#slots,)*))
    }

    /// How to make each argument once more.
    pub(crate) fn copiers(&self) -> TokenStream {
        let copiers = self.parameters.iter().map(|parameter| {
            let (name, marker) = (plain(&parameter.name), parameter.marker());
            quote!(::mobula::__private::copier!(#name, #marker))
        });
        quote!((#(#copiers,)*))
    }

    /// How each argument crosses to another process.
    pub(crate) fn ports(&self) -> TokenStream {
        let ports = self.parameters.iter().map(|parameter| {
            let marker = parameter.marker();
            quote!(::mobula::__private::port!(#marker))
        });
        quote!((#(#ports,)*))
    }

    /// How what the call returns crosses back.
    pub(crate) fn way(&self) -> TokenStream {
        let value = self.output.value();
        quote!(::mobula::__private::way!(#value))
    }

    /// How what the call fails with crosses back, where `Self` is what [`fails`](Self::fails) speaks of.
    pub(crate) fn failure_way(&self) -> TokenStream {
        if self.output.fallible {
            let failure = self.output.failure();
            quote!(::mobula::__private::failure_way!(Self, #failure))
        } else {
            quote!(::core::option::Option::None)
        }
    }

    /// What makes an error again of what a call of `owner` failed with.
    pub(crate) fn fails(&self, owner: TokenStream) -> Option<TokenStream> {
        let failure = self.output.fallible.then(|| self.output.failure())?;
        Some(quote! {
            #[automatically_derived]
            impl ::mobula::__private::Fails for #owner {
                type Failure = #failure;

                fn to_error(failure: Self::Failure) -> ::mobula::__private::Error {
                    ::mobula::__private::failure!(failure)
                }
            }
        })
    }

    /// The pattern that takes the arguments out again.
    pub(crate) fn held(&self) -> TokenStream {
        let held = (0..self.parameters.len()).map(parameter::anonymous);
        quote!((#(#held,)*))
    }

    /// The arguments of the user's function, out of what [`held`](Self::held) bound.
    pub(crate) fn passed(&self) -> TokenStream {
        let parameters = self.parameters.iter().enumerate();
        let passed = parameters.map(|(i, parameter)| parameter.pass(&parameter::anonymous(i)));
        quote!(#(#passed),*)
    }

    /// The call of a function with these leading arguments, as a `Result<value, mobula::Error>`;
    /// for an async function, to be evaluated in an async block.
    pub(crate) fn call(&self, function: TokenStream, leading: TokenStream) -> TokenStream {
        let passed = self.passed();
        let wait = self.is_async.then(|| quote!(.await));
        self.output.outcome(quote!(#function(#leading #passed) #wait))
    }

    /// The parameters by name, for a line of documentation.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.parameters.iter().map(|p| plain(&p.name)).collect();
        names.join(", ")
    }

    /// Checks that what a call takes can leave this process.
    pub(crate) fn portable_arguments(&self, owner: &str) -> TokenStream {
        let checks = self.parameters.iter().filter_map(|parameter| {
            let name = plain(&parameter.name);
            let ty = parameter.portable()?;
            let check = portable(&format!("argument `{name}` of `{owner}`"), ty);
            let list = match types::peel(&parameter.ty) {
                Type::Slice(_) => noted(&syn::parse_quote!(::std::vec::Vec<#ty>)),
                _ => noted(ty),
            };
            Some(quote!(#check #list))
        });
        quote!(#(#checks)*)
    }

    /// Checks that what a call takes by value can be taken again, as `option` wants it.
    pub(crate) fn cloneable_arguments(&self, owner: &str, option: &str) -> TokenStream {
        let owned = self.parameters.iter().filter(|p| p.passing == Passing::Owned);
        let checks = owned.map(|parameter| {
            let name = plain(&parameter.name);
            cloneable(&format!("argument `{name}` of `{owner}`"), &parameter.ty, option)
        });
        quote!(#(#checks)*)
    }

    /// Checks that what a call returns can leave this process.
    pub(crate) fn portable_result(&self, owner: &str) -> TokenStream {
        portable_result(&format!("the result of `{owner}`"), &self.output.value())
    }
}

/// Checks that one type can leave this process.
fn portable(what: &str, ty: &Type) -> TokenStream {
    let message = format!("{what} cannot leave this process");
    let label = "`{Self}` needs serde's `Serialize` and `Deserialize`";
    let note = "derive both for it and what it is made of, or stay in this process with \
                `#[remote(local)]`";
    let requirement = (quote!(LeavesProcess), quote!(::mobula::__private::Portable));
    check(ty, requirement, &message, label, note)
}

/// Checks that a result can leave this process.
pub(crate) fn portable_result(what: &str, ty: &Type) -> TokenStream {
    let (check, noted) = (portable(what, ty), noted(ty));
    quote!(#check #noted)
}

/// Lets the object store know a type, which it may find in an object.
fn noted(ty: &Type) -> TokenStream {
    quote!(::mobula::__private::note_type!(#ty);)
}

/// Checks that one type can be cloned, for another try.
fn cloneable(what: &str, ty: &Type, option: &str) -> TokenStream {
    let message = format!("{what} cannot be passed again for another try");
    let label = "`{Self}` needs `Clone`";
    let note = format!("derive it, take the argument as a `&` parameter, or leave `{option}` out");
    let requirement = (quote!(PassedAgain), quote!(::core::clone::Clone));
    check(ty, requirement, &message, label, &note)
}

/// Checks that one type has a trait. Another trait is made anew each time, so that its message can say
/// what the value is to the user.
fn check(
    ty: &Type,
    (name, bound): (TokenStream, TokenStream),
    message: &str,
    label: &str,
    note: &str,
) -> TokenStream {
    let span = at(ty);
    quote_spanned! {span=>
        const _: () = {
            #[diagnostic::on_unimplemented(message = #message, label = #label, note = #note)]
            trait #name {
                const CHECKED: () = ();
            }
            #[diagnostic::do_not_recommend]
            impl<T: ?Sized + #bound> #name for T {}
            <#ty as #name>::CHECKED
        };
    }
}

/// The place of the user's tokens, for code that is not theirs: a message about it points
/// there.
pub(crate) fn at(place: &impl Spanned) -> Span {
    Span::call_site().located_at(place.span())
}
