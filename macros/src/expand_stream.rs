//! The remote form of a function that streams: a type of the same name, with `remote` and `options`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::attributes;
use crate::expand;
use crate::function::Function;
use crate::options::Options;
use crate::stream::Source;

/// Writes what stands beside the function.
pub(crate) fn expand(function: &Function<'_>, source: Source, options: &Options) -> TokenStream {
    let Function { item, signature, .. } = function;
    let (ident, vis) = (&signature.ident, &item.vis);
    let conditions = attributes::conditions(&item.attrs);
    let silence = expand::silence();
    let name = expand::plain(ident);
    let doc = format!(
        "The remote form of [`{name}`](fn@{name}): `{name}::remote({})` gives a ref to each item, as \
         it is produced.",
        signature.names(),
    );
    let remote_doc = format!(
        "Submits a call of [`{name}`](fn@{name}) and returns at once. Each argument is a value or an \
         `ObjectRef` to one."
    );
    let options_doc = format!("Sets options for a call of [`{name}`](fn@{name}).");
    let checks = (!options.local).then(|| {
        let arguments = signature.portable_arguments(&name);
        let items = signature.portable_result(&name);
        quote!(#arguments #items)
    });
    let (declared, slots, value) =
        (signature.declared(), signature.slots(), signature.output.value());
    let stream = quote!(::mobula::__private::ObjectStream<#value>);
    let remote = quote_spanned!(expand::at(ident)=> fn remote(#declared) -> #stream);
    let task = task(function, source, options, &name);
    quote! {
        #(#conditions)*
        #silence
        #[doc = #doc]
        #vis enum #ident {}

        #(#conditions)*
        #silence
        const _: () = {
            #checks

            impl #ident {
                #[doc = #remote_doc]
                #[track_caller]
                #vis #remote {
                    ::mobula::__private::submit_stream::<Self>(#slots)
                }

                #[doc = #options_doc]
                #vis fn options() -> ::mobula::__private::StreamOptions<Self> {
                    ::mobula::__private::StreamOptions::<Self>::new()
                }
            }

            #task
        };
    }
}

/// What the runtime uses.
fn task(function: &Function<'_>, source: Source, options: &Options, name: &str) -> TokenStream {
    let signature = &function.signature;
    let ident = &signature.ident;
    let (markers, value) = (signature.markers(), signature.output.value());
    let declaration = expand::declaration(ident, name);
    let defaults = expand::defaults(options, quote!(::mobula::__private::StreamConfig));
    let body = body(function, source);
    quote! {
        #[automatically_derived]
        impl ::mobula::__private::StreamFn for #ident {
            type Params = #markers;
            type Item = #value;

            fn function() -> &'static ::mobula::__private::Function {
                #declaration
                &FUNCTION
            }

            #defaults

            fn body() -> ::mobula::__private::StreamBody<Self> {
                #body
            }
        }
    }
}

/// The user's function, and the way from its items to the reader.
fn body(function: &Function<'_>, source: Source) -> TokenStream {
    let signature = &function.signature;
    let (ident, held, passed) = (&signature.ident, signature.held(), signature.passed());
    let outcome = signature.output.outcome(quote!(item));
    let span = expand::at(ident);
    match source {
        Source::Iterator => quote_spanned! {span=>
            ::mobula::__private::StreamBody::<Self>::Compute(|#held, outlet| {
                ::std::boxed::Box::pin(async move {
                    for item in #ident(#passed) {
                        outlet.send(#outcome).await?;
                    }
                    ::core::result::Result::Ok(())
                })
            })
        },
        Source::Stream => quote_spanned! {span=>
            ::mobula::__private::StreamBody::<Self>::Await(|#held, outlet| {
                ::std::boxed::Box::pin(async move {
                    let mut items = ::core::pin::pin!(#ident(#passed));
                    while let ::core::option::Option::Some(item) =
                        ::mobula::__private::next_of(items.as_mut()).await
                    {
                        outlet.send(#outcome).await?;
                    }
                    ::core::result::Result::Ok(())
                })
            })
        },
    }
}
