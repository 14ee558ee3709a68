//! The remote form of a function that streams: a type of the same name, with `remote` and `options`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use crate::attributes;
use crate::expand;
use crate::function::Function;
use crate::options::Options;
use crate::signature::Signature;
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
    let registers = (!options.local).then(|| {
        let fails = signature.fails(quote!(#ident));
        quote! {
            ::mobula::__private::register_stream!(#ident);
            #fails
        }
    });
    let crossing = (!options.local).then(|| {
        let (ports, way, failure) = (signature.ports(), signature.way(), signature.failure_way());
        quote! {
            fn crossing() -> ::core::option::Option<::mobula::__private::StreamCrossing<Self>> {
                ::core::option::Option::Some(::mobula::__private::StreamCrossing {
                    registered: &REGISTERED,
                    ports: #ports,
                    way: #way,
                    failure: #failure,
                })
            }
        }
    });
    quote! {
        #registers

        #[automatically_derived]
        impl ::mobula::__private::StreamFn for #ident {
            type Params = #markers;
            type Item = #value;

            fn function() -> &'static ::mobula::__private::Function {
                #declaration
                &FUNCTION
            }

            #defaults

            #crossing

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
    let outlet = Ident::new("outlet", Span::mixed_site());
    let produce = produce(signature, source, quote!(#ident(#passed)), &outlet);
    let kind = match source {
        Source::Iterator => quote!(Compute),
        Source::Stream => quote!(Await),
    };
    quote_spanned! {expand::at(ident)=>
        ::mobula::__private::StreamBody::<Self>::#kind(|#held, #outlet| #produce)
    }
}

/// The future that hands `items` to the outlet, one after the other.
pub(crate) fn produce(
    signature: &Signature,
    source: Source,
    items: TokenStream,
    outlet: &Ident,
) -> TokenStream {
    let outcome = signature.output.outcome(quote!(item));
    let span = expand::at(&signature.ident);
    let each = match source {
        Source::Iterator => quote_spanned! {span=>
            for item in #items {
                #outlet.send(#outcome).await?;
            }
        },
        Source::Stream => quote_spanned! {span=>
            let mut items = ::core::pin::pin!(#items);
            while let ::core::option::Option::Some(item) =
                ::mobula::__private::next_of(items.as_mut()).await
            {
                #outlet.send(#outcome).await?;
            }
        },
    };
    quote_spanned! {span=>
        ::std::boxed::Box::pin(async move {
            #each
            ::core::result::Result::Ok(())
        })
    }
}
