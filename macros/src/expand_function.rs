//! The remote form of a function: a type of the same name, with `remote`, `options` and `map`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::attributes;
use crate::expand;
use crate::function::Function;
use crate::options::Options;

/// Writes what stands beside the function.
pub(crate) fn expand(function: &Function<'_>, options: &Options) -> TokenStream {
    let (item, signature) = (function.item, &function.signature);
    let (ident, vis) = (&signature.ident, &item.vis);
    let conditions = attributes::conditions(&item.attrs);
    let silence = expand::silence();
    let name = expand::plain(ident);
    let doc = format!(
        "The remote form of [`{name}`](fn@{name}): `{name}::remote({})` runs it as a task.",
        signature.names(),
    );
    let checks = (!options.local).then(|| portable(function, &name));
    let retries = options.asks_for("max_retries");
    let clones = retries.then(|| signature.cloneable_arguments(&name, "max_retries"));
    let calls = calls(function, &name);
    let task = task(function, options, &name);
    quote! {
        #(#conditions)*
        #silence
        #[doc = #doc]
        #vis enum #ident {}

        #(#conditions)*
        #silence
        const _: () = {
            #checks
            #clones
            #calls
            #task
        };
    }
}

/// What the caller uses.
fn calls(function: &Function<'_>, name: &str) -> TokenStream {
    let Function { item, signature, .. } = function;
    let (ident, vis) = (&signature.ident, &item.vis);
    let (declared, slots) = (signature.declared(), signature.slots());
    let returns = returns(function);
    let remote_doc = format!(
        "Submits a call of [`{name}`](fn@{name}) and returns at once. Each argument is a value \
         or an `ObjectRef` to one."
    );
    let options_doc = format!("Sets options for a call of [`{name}`](fn@{name}).");
    let map_doc = format!(
        "Calls [`{name}`](fn@{name}) for each item, which is its argument or the tuple of its \
         arguments, and gives the results in order."
    );
    let map = quote! {
        #[doc = #map_doc]
        #[track_caller]
        #vis fn map<I>(items: I) -> ::mobula::__private::Map<Self, I::IntoIter>
        where
            I: ::core::iter::IntoIterator,
            I::Item: ::mobula::__private::IntoSlots<
                <Self as ::mobula::__private::RemoteFn>::Params,
            >,
        {
            ::mobula::__private::map::<Self, I>(items)
        }
    };
    let remote = quote_spanned!(expand::at(ident)=> fn remote(#declared) -> #returns);
    quote! {
        impl #ident {
            #[doc = #remote_doc]
            #[inline]
            #[track_caller]
            #vis #remote {
                ::mobula::__private::submit::<Self>(#slots)
            }

            #[doc = #options_doc]
            #vis fn options() -> ::mobula::__private::TaskOptions<Self> {
                ::mobula::__private::TaskOptions::<Self>::new()
            }

            #map
        }
    }
}

/// What the runtime uses.
fn task(function: &Function<'_>, options: &Options, name: &str) -> TokenStream {
    let signature = &function.signature;
    let ident = &signature.ident;
    let (markers, value, returns) =
        (signature.markers(), signature.output.value(), returns(function));
    let declaration = expand::declaration(ident, name);
    let defaults = expand::defaults(options, quote!(::mobula::__private::Options));
    let (body, split) = (body(function), split(function));
    let copiers = signature.copiers();
    let crossing = (!options.local).then(|| crossing(function));
    let registers = (!options.local).then(|| registers(function));
    quote! {
        #registers

        #[automatically_derived]
        impl ::mobula::__private::RemoteFn for #ident {
            type Params = #markers;
            type Output = #value;
            type Returns = #returns;

            #[inline]
            fn function() -> &'static ::mobula::__private::Function {
                #declaration
                &FUNCTION
            }

            #defaults

            #crossing

            fn copiers() -> <Self::Params as ::mobula::__private::Params>::Copiers {
                #copiers
            }

            #body
            #split
        }
    }
}

/// What lets other processes ask for the function by its name.
fn registers(function: &Function<'_>) -> TokenStream {
    let ident = &function.signature.ident;
    let fails = function.signature.fails(quote!(#ident));
    quote! {
        ::mobula::__private::register_function!(#ident);
        #fails
    }
}

/// How its calls cross to another process.
fn crossing(function: &Function<'_>) -> TokenStream {
    let signature = &function.signature;
    let (ports, way, failure) = (signature.ports(), signature.way(), signature.failure_way());
    quote! {
        fn crossing() -> ::core::option::Option<::mobula::__private::Crossing<Self>> {
            ::core::option::Option::Some(::mobula::__private::Crossing {
                registered: &REGISTERED,
                ports: #ports,
                way: #way,
                failure: #failure,
            })
        }
    }
}

/// The user's function, as one that computes or one that waits.
fn body(function: &Function<'_>) -> TokenStream {
    let signature = &function.signature;
    let (ident, held) = (&signature.ident, signature.held());
    let call = signature.call(quote!(#ident), quote!());
    let body = if signature.is_async {
        quote_spanned! {expand::at(ident)=>
            Await(|#held| ::std::boxed::Box::pin(async move { #call }))
        }
    } else {
        quote!(Compute(|#held| #call))
    };
    quote! {
        #[inline]
        fn body() -> ::mobula::__private::Body<Self> {
            ::mobula::__private::Body::<Self>::#body
        }
    }
}

/// What a caller gets for the task: its ref, or one for each part of its result.
fn split(function: &Function<'_>) -> TokenStream {
    let split = match &function.parts {
        Some(_) => quote!(::mobula::__private::Split::split(task)),
        None => quote!(task),
    };
    quote! {
        #[inline]
        fn returns(task: ::mobula::__private::ObjectRef<Self::Output>) -> Self::Returns {
            #split
        }
    }
}

/// What `remote` returns: a ref, or one for each part of the result.
fn returns(function: &Function<'_>) -> TokenStream {
    match &function.parts {
        Some(parts) => quote!((#(::mobula::__private::ObjectRef<#parts>),*)),
        None => {
            let value = function.signature.output.value();
            quote!(::mobula::__private::ObjectRef<#value>)
        }
    }
}

/// Checks that arguments and results can leave this process.
fn portable(function: &Function<'_>, name: &str) -> TokenStream {
    let arguments = function.signature.portable_arguments(name);
    let results = match &function.parts {
        None => function.signature.portable_result(name),
        Some(parts) => {
            let checks = parts.iter().enumerate().map(|(i, part)| {
                expand::portable_result(&format!("result {} of `{name}`", i + 1), part)
            });
            quote!(#(#checks)*)
        }
    };
    quote!(#arguments #results)
}
