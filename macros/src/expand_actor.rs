//! The remote form of a type: `remote` and `options` beside its `new`, and a struct of the
//! calls, to which a handle dereferences.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use crate::actor::{Access, Actor, Constructor, Method, Saving, Streaming};
use crate::attributes;
use crate::expand;
use crate::expand_stream;
use crate::fallback::Returns;
use crate::options::{Options, Target};
use crate::signature::{Faulty, Signature};
use crate::stream::Source;
use crate::tick::Tick;

/// Writes what stands beside the `impl` block.
pub(crate) fn expand(actor: &Actor, options: &Options) -> TokenStream {
    let Some(constructor) = &actor.constructor else {
        return TokenStream::new();
    };
    let conditions = attributes::conditions(&actor.attributes);
    let silence = expand::silence();
    let checks = (!options.local).then(|| portable(actor, constructor));
    let clones = cloneable(actor, constructor, options);
    let calls = calls(actor, options.local);
    let (construction, interface) = match &constructor.signature {
        Ok(signature) => {
            (construction(actor, options, signature), interface(actor, constructor, signature))
        }
        Err(faulty) => {
            (faulty_construction(actor, options), faulty_interface(actor, constructor, faulty))
        }
    };
    quote! {
        #(#conditions)*
        #silence
        const _: () = {
            #checks
            #clones
            #interface
            #construction
            #calls
        };
    }
}

/// What makes an actor, for the caller.
fn interface(actor: &Actor, constructor: &Constructor, signature: &Signature) -> TokenStream {
    let (ty, vis) = (&actor.ty, &constructor.vis);
    let (declared, slots) = (signature.declared(), signature.slots());
    quote! {
        impl #ty {
            /// Starts an actor, made by `new`, and returns its handle at once. Each argument is
            /// a value or an `ObjectRef` to one.
            #[track_caller]
            #vis fn remote(#declared) -> ::mobula::__private::ActorHandle<Self> {
                ::mobula::__private::start_actor::<Self>(#slots)
            }

            /// Sets options for an actor that is about to start.
            #vis fn options() -> ::mobula::__private::ActorOptions<Self> {
                ::mobula::__private::ActorOptions::<Self>::new()
            }
        }
    }
}

/// What makes an actor, for the runtime.
fn construction(actor: &Actor, options: &Options, signature: &Signature) -> TokenStream {
    let ty = &actor.ty;
    let (markers, held) = (signature.markers(), Ident::new("held", Span::mixed_site()));
    let pattern = signature.held();
    let call = signature.call(quote!(<#ty>::new), quote!());
    let construct = if signature.is_async {
        quote!(Later(::std::boxed::Box::pin(async move { #call })))
    } else {
        quote!(Now(#call))
    };
    let defaults = expand::defaults(options, quote!(::mobula::__private::ActorConfig));
    let copiers = signature.copiers();
    let body = quote! {
        #defaults

        fn copiers() -> <#markers as ::mobula::__private::Params>::Copiers {
            #copiers
        }

        fn construct(
            #held: <#markers as ::mobula::__private::Params>::Held,
        ) -> ::mobula::__private::Construct<Self> {
            let #pattern = #held;
            ::mobula::__private::Construct::#construct
        }
    };
    let crossing = (!options.local).then(|| crossing(actor, signature));
    let registers = (!options.local).then(|| registers(actor, signature));
    let actor = implement(actor, options, markers, quote!(#body #crossing));
    quote!(#registers #actor)
}

/// How what makes the actor crosses to another process, and what it saves back.
fn crossing(actor: &Actor, new: &Signature) -> TokenStream {
    let (ports, failure) = (new.ports(), new.failure_way());
    let saved = saved(actor);
    quote! {
        fn crossing() -> ::core::option::Option<::mobula::__private::ActorCrossing<Self>> {
            ::core::option::Option::Some(::mobula::__private::ActorCrossing {
                registered: &REGISTERED,
                ports: #ports,
                saved: ::mobula::__private::way!(#saved),
                failure: #failure,
            })
        }
    }
}

/// What lets other processes ask for the actor's type by its name.
fn registers(actor: &Actor, new: &Signature) -> TokenStream {
    let ty = &actor.ty;
    let fails = new.fails(quote!(#ty));
    quote! {
        ::mobula::__private::register_actor!(#ty);
        #fails
    }
}

/// The type of what `checkpoint` gives.
fn saved(actor: &Actor) -> TokenStream {
    match &actor.saving {
        None => quote!(()),
        Some(Saving { checkpoint, .. }) => {
            let value = checkpoint.output.value();
            quote!(#value)
        }
    }
}

/// The actor's contract, around what depends on the constructor.
fn implement(
    actor: &Actor,
    options: &Options,
    markers: TokenStream,
    body: TokenStream,
) -> TokenStream {
    let (ty, methods) = (&actor.ty, methods_ident(actor));
    let is_async = is_async(actor);
    let saving = saving(actor);
    let ticks = ticks(actor, options.local);
    let declaration = expand::declaration(&actor.ident, &expand::plain(&actor.ident));
    quote! {
        #[automatically_derived]
        impl ::mobula::__private::Actor for #ty {
            type Params = #markers;
            type Methods = #methods;
            const ASYNC: bool = #is_async;

            fn function() -> &'static ::mobula::__private::Function {
                #declaration
                &FUNCTION
            }

            fn shareable() -> ::core::option::Option<::mobula::__private::Shareable<Self>> {
                ::mobula::__private::shareable!(#ty)
            }

            #body
            #saving
            #ticks
        }
    }
}

/// How the state is saved for a restart, if it is.
fn saving(actor: &Actor) -> TokenStream {
    let (saved, saves, save, restore) = match &actor.saving {
        None => {
            let done = || quote!(::core::result::Result::Ok(()));
            (quote!(()), false, done(), done())
        }
        Some(Saving { checkpoint, restore }) => {
            let (ty, pattern) = (&actor.ty, restore.held());
            let value = checkpoint.output.value();
            let save = checkpoint.call(quote!(<#ty>::checkpoint), quote!(self,));
            let restore = restore.call(quote!(<#ty>::restore), quote!(self,));
            let restore = quote! {
                let #pattern = (saved,);
                let restored: ::mobula::__private::Result<_> = #restore;
                restored.map(|_| ())
            };
            (quote!(#value), true, save, restore)
        }
    };
    quote! {
        type Saved = #saved;
        const SAVES: bool = #saves;

        fn save(&self) -> ::mobula::__private::Result<Self::Saved> {
            #save
        }

        #[allow(unused_variables)]
        fn restore(&mut self, saved: Self::Saved) -> ::mobula::__private::Result<()> {
            #restore
        }
    }
}

/// Whether anything of the actor waits, as an expression: methods may come and go with `cfg`.
fn is_async(actor: &Actor) -> TokenStream {
    let new = actor.constructor.iter().filter_map(|new| new.signature.as_ref().ok());
    let new = new.filter(|signature| signature.is_async).map(|_| quote!(true));
    let waits = |method: &&Method| {
        method.signature.as_ref().is_ok_and(|s| s.is_async)
            || method.stream.as_ref().is_some_and(|stream| stream.source == Source::Stream)
    };
    let methods = actor.methods.iter().filter(waits);
    let methods = methods.map(|method| attributes::exists(&method.attributes));
    let ticks = actor.ticks.iter().filter(|tick| tick.signature.is_async);
    let ticks = ticks.map(|tick| attributes::exists(&tick.attributes));
    let any = new.chain(methods).chain(ticks);
    quote!(false #(|| #any)*)
}

/// The struct of the calls.
fn calls(actor: &Actor, local: bool) -> TokenStream {
    let (ty, ident) = (&actor.ty, methods_ident(actor));
    let calls = actor.methods.iter().map(|method| match &method.signature {
        Ok(signature) => call(actor, local, method, signature),
        Err(faulty) => faulty_call(method, faulty),
    });
    let doc = format!("The calls that a handle of [`{}`] has.", actor.ident);
    quote! {
        #[doc = #doc]
        pub struct #ident(::mobula::__private::ActorCell<#ty>);

        impl #ident {
            #(#calls)*
        }

        #[automatically_derived]
        impl ::core::convert::From<::mobula::__private::ActorCell<#ty>> for #ident {
            fn from(cell: ::mobula::__private::ActorCell<#ty>) -> Self {
                Self(cell)
            }
        }

        #[automatically_derived]
        impl ::core::ops::Deref for #ident {
            type Target = dyn ::mobula::__private::ActorControl;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        #[automatically_derived]
        impl ::core::convert::AsRef<::mobula::__private::ActorCell<#ty>> for #ident {
            fn as_ref(&self) -> &::mobula::__private::ActorCell<#ty> {
                &self.0
            }
        }
    }
}

/// One call.
fn call(actor: &Actor, local: bool, method: &Method, signature: &Signature) -> TokenStream {
    let (vis, ident) = (&method.vis, &signature.ident);
    let documentation = attributes::documentation(&method.attributes);
    let (declared, value) = (signature.declared(), signature.output.value());
    let (returned, submission) = match &method.stream {
        None => {
            (quote!(ObjectRef), submission(actor, local, method.access, signature, quote!(&self.0)))
        }
        Some(stream) => {
            (quote!(ObjectStream), stream_call(actor, local, method.access, signature, stream))
        }
    };
    quote! {
        #(#documentation)*
        #[inline]
        #[track_caller]
        #vis fn #ident(&self, #declared) -> ::mobula::__private::#returned<#value> {
            #submission
        }
    }
}

/// What hands the call of a method that streams to the cell, as `submission` does.
fn stream_call(
    actor: &Actor,
    local: bool,
    access: Access,
    signature: &Signature,
    stream: &Streaming,
) -> TokenStream {
    let (ty, ident) = (&actor.ty, &signature.ident);
    let (slots, markers) = (signature.slots(), signature.markers());
    let (held, passed, value) = (signature.held(), signature.passed(), signature.output.value());
    let this = Ident::new("actor", Span::mixed_site());
    let outlet = Ident::new("outlet", Span::mixed_site());
    let body = match access {
        Access::Exclusive => quote!(AloneLater),
        Access::Shared => quote!(SharedLater),
    };
    let items = quote!(<#ty>::#ident(#this, #passed));
    let produce = expand_stream::produce(signature, stream.source, items, &outlet);
    let max_unread = stream.max_unread.as_ref().map(|max_unread| {
        quote! {
            fn max_unread() -> ::core::option::Option<usize> {
                ::core::option::Option::Some(#max_unread)
            }
        }
    });
    let declaration = expand::declaration(ident, &name(actor, signature));
    let (registers, crossing) =
        leaves(local, signature, quote!(register_actor_stream), quote!(ActorStreamCrossing));
    quote! {
        enum __Call {}

        const _: () = {
            #registers

            #[automatically_derived]
            impl ::mobula::__private::ActorStream for __Call {
                type Actor = #ty;
                type Params = #markers;
                type Item = #value;

                fn function() -> &'static ::mobula::__private::Function {
                    #declaration
                    &FUNCTION
                }

                #max_unread

                fn body() -> ::mobula::__private::ProducerBody<Self> {
                    ::mobula::__private::ProducerBody::<Self>::#body(
                        |#this, (#held, #outlet)| #produce,
                    )
                }

                #crossing
            }
        };
        ::mobula::__private::ActorCell::<#ty>::stream::<__Call>(&self.0, #slots)
    }
}

/// What lets other processes ask for a method by its name, and how its calls cross to them, unless it is `local`.
fn leaves(
    local: bool,
    signature: &Signature,
    register: TokenStream,
    crossing: TokenStream,
) -> (Option<TokenStream>, Option<TokenStream>) {
    if local {
        return (None, None);
    }
    let fails = signature.fails(quote!(__Call));
    let registers = quote! {
        ::mobula::__private::#register!(__Call);
        #fails
    };
    let (ports, way, failure) = (signature.ports(), signature.way(), signature.failure_way());
    let crossing = quote! {
        fn crossing() -> ::core::option::Option<::mobula::__private::#crossing<Self>> {
            ::core::option::Option::Some(::mobula::__private::#crossing {
                registered: &REGISTERED,
                ports: #ports,
                way: #way,
                failure: #failure,
            })
        }
    };
    (Some(registers), Some(crossing))
}

/// What hands a call to `cell`: the method as a type of its own, which another process can ask for by its
/// name, and the call.
fn submission(
    actor: &Actor,
    local: bool,
    access: Access,
    signature: &Signature,
    cell: TokenStream,
) -> TokenStream {
    let (ty, ident) = (&actor.ty, &signature.ident);
    let (slots, markers) = (signature.slots(), signature.markers());
    let (held, value) = (signature.held(), signature.output.value());
    let this = Ident::new("actor", Span::mixed_site());
    let call = signature.call(quote!(<#ty>::#ident), quote!(#this,));
    let (body, call) = match (access, signature.is_async) {
        (Access::Exclusive, false) => ("Alone", call),
        (Access::Shared, false) => ("Shared", call),
        (Access::Exclusive, true) => ("AloneLater", boxed(call)),
        (Access::Shared, true) => ("SharedLater", boxed(call)),
    };
    let body = format_ident!("{body}");
    let declaration = expand::declaration(ident, &name(actor, signature));
    let copiers = signature.copiers();
    let (registers, crossing) =
        leaves(local, signature, quote!(register_method), quote!(MethodCrossing));
    quote! {
        enum __Call {}

        const _: () = {
            #registers

            #[automatically_derived]
            impl ::mobula::__private::ActorMethod for __Call {
                type Actor = #ty;
                type Params = #markers;
                type Output = #value;

                #[inline]
                fn function() -> &'static ::mobula::__private::Function {
                    #declaration
                    &FUNCTION
                }

                fn copiers() -> <Self::Params as ::mobula::__private::Params>::Copiers {
                    #copiers
                }

                #[inline]
                fn body() -> ::mobula::__private::MethodBody<Self> {
                    ::mobula::__private::MethodBody::<Self>::#body(|#this, #held| #call)
                }

                #crossing
            }
        };
        ::mobula::__private::ActorCell::<#ty>::call::<__Call>(#cell, #slots)
    }
}

/// What is called every so often, if anything is.
fn ticks(actor: &Actor, local: bool) -> Option<TokenStream> {
    let ticks = actor.ticks.iter().map(|Tick { attributes, access, signature, every }| {
        let conditions = attributes::conditions(attributes);
        let submission = submission(actor, local, *access, signature, quote!(cell));
        quote! {
            #(#conditions)*
            ticks.push(::mobula::__private::Tick::new(#every, |cell| { #submission }));
        }
    });
    (!actor.ticks.is_empty()).then(|| {
        quote! {
            fn ticks() -> ::std::vec::Vec<::mobula::__private::Tick<Self>> {
                let mut ticks = ::std::vec::Vec::new();
                #(#ticks)*
                ticks
            }
        }
    })
}

fn boxed(call: TokenStream) -> TokenStream {
    quote!(::std::boxed::Box::pin(async move { #call }))
}

/// Checks that what the actor is made from, and what its calls take and return, can leave this
/// process. The actor itself never does.
fn portable(actor: &Actor, constructor: &Constructor) -> TokenStream {
    let new = constructor
        .signature
        .iter()
        .map(|signature| signature.portable_arguments(&name(actor, signature)));
    let calls = actor.methods.iter().filter_map(|method| {
        let signature = method.signature.as_ref().ok()?;
        let name = name(actor, signature);
        let conditions = attributes::conditions(&method.attributes);
        let arguments = signature.portable_arguments(&name);
        let result = signature.portable_result(&name);
        Some(quote! {
            #(#conditions)*
            const _: () = { #arguments #result };
        })
    });
    quote!(#(#new)* #(#calls)*)
}

/// Checks that what is needed again for restarts, and for calls that are run again, can be cloned.
fn cloneable(actor: &Actor, constructor: &Constructor, options: &Options) -> TokenStream {
    let restarts = options.asks_for("max_restarts");
    let new =
        constructor.signature.iter().filter(|_| restarts).map(|signature| {
            signature.cloneable_arguments(&name(actor, signature), "max_restarts")
        });
    let retries = options.asks_for("max_task_retries");
    // What streams is not run again.
    let methods = actor.methods.iter().filter(|method| retries && method.stream.is_none());
    let calls = methods.filter_map(|method| {
        let signature = method.signature.as_ref().ok()?;
        let conditions = attributes::conditions(&method.attributes);
        let checks = signature.cloneable_arguments(&name(actor, signature), "max_task_retries");
        Some(quote! {
            #(#conditions)*
            const _: () = { #checks };
        })
    });
    quote!(#(#new)* #(#calls)*)
}

/// `Counter::add`
fn name(actor: &Actor, signature: &Signature) -> String {
    format!("{}::{}", expand::plain(&actor.ident), expand::plain(&signature.ident))
}

/// The struct stands in the scope in which the user's types are named, so its own name is one
/// that no user gives.
fn methods_ident(actor: &Actor) -> Ident {
    format_ident!("__{}Methods", expand::plain(&actor.ident))
}

/// A call that was refused.
fn faulty_call(method: &Method, faulty: &Faulty) -> TokenStream {
    let conditions = attributes::conditions(&method.attributes);
    let returns = match method.stream {
        Some(_) => Returns::of_stream(faulty),
        None => Returns::of(faulty, None),
    };
    let call = returns.method(&method.vis, &faulty.ident, Some(quote!(&self)), faulty.arity);
    quote!(#(#conditions)* #call)
}

/// An actor whose constructor was refused.
fn faulty_construction(actor: &Actor, options: &Options) -> TokenStream {
    let body = quote! {
        fn copiers() {}

        fn construct((): ()) -> ::mobula::__private::Construct<Self> {
            ::core::unreachable!()
        }
    };
    implement(actor, options, quote!(()), body)
}

/// What makes an actor whose constructor was refused, for the caller.
fn faulty_interface(actor: &Actor, constructor: &Constructor, faulty: &Faulty) -> TokenStream {
    let (ty, vis) = (&actor.ty, &constructor.vis);
    let returns = Returns::exactly(quote!(::mobula::__private::ActorHandle<#ty>));
    let remote = returns.method(vis, &format_ident!("remote"), None, faulty.arity);
    let builder = format_ident!("__{}Options", expand::plain(&actor.ident));
    let builder_type = returns.builder(&builder, Target::Actor, faulty.arity);
    quote! {
        #builder_type

        impl #ty {
            #remote

            #vis fn options() -> #builder {
                #builder
            }
        }
    }
}
