//! An `impl` block under `#[remote]`.
//!
//! `new` makes the actor, and each `pub` method with `&self` or `&mut self` becomes a call on
//! its handle. `checkpoint` and `restore`, whether they are `pub` or not, also save the state for
//! a restart. Everything else in the block is left alone: private methods help, associated
//! functions and constants stay what they are.

use proc_macro2::{Ident, TokenStream};
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, FnArg, ImplItem, ImplItemFn, ItemImpl, ReceiverKind, ReturnType, Type, Visibility,
};

use crate::error::{Errors, Reported};
use crate::expand;
use crate::method::{self, Own};
use crate::signature::{Faulty, Signature};
use crate::stream::{self, Source};
use crate::tick::{self, Tick};
use crate::types::{self, ReplaceSelf};

/// Method names that a handle uses for itself: a call of them would never reach the actor.
const TAKEN: &[&str] = &["clone", "eq", "into", "ne", "to_owned", "try_into"];

/// Names that the expansion adds to the type.
const ADDED: &[&str] = &["remote", "options"];

/// A type that can be an actor.
pub(crate) struct Actor {
    /// The type, as the block names it.
    pub(crate) ty: Type,
    /// Its last name, for messages.
    pub(crate) ident: Ident,
    /// How it is made; nothing if there is no constructor at all.
    pub(crate) constructor: Option<Constructor>,
    /// Its calls.
    pub(crate) methods: Vec<Method>,
    /// How its state is saved for a restart, if it is.
    pub(crate) saving: Option<Saving>,
    /// What is called every so often.
    pub(crate) ticks: Vec<Tick>,
    /// The conditions under which the block exists.
    pub(crate) attributes: Vec<Attribute>,
}

/// The function `new`.
pub(crate) struct Constructor {
    /// Who may make an actor.
    pub(crate) vis: Visibility,
    /// What it takes; it returns the actor.
    pub(crate) signature: Result<Signature, Faulty>,
}

/// The functions `checkpoint` and `restore`.
pub(crate) struct Saving {
    /// `fn checkpoint(&self) -> C`
    pub(crate) checkpoint: Signature,
    /// `fn restore(&mut self, saved: C)`
    pub(crate) restore: Signature,
}

/// A call on the handle.
pub(crate) struct Method {
    /// Who may call it.
    pub(crate) vis: Visibility,
    /// Its documentation and conditions.
    pub(crate) attributes: Vec<Attribute>,
    /// How it takes the actor.
    pub(crate) access: Access,
    /// What it takes and returns; of a stream, an item of it.
    pub(crate) signature: Result<Signature, Faulty>,
    /// How its items come, if it streams.
    pub(crate) stream: Option<Streaming>,
}

/// How the items of a method come that streams.
pub(crate) struct Streaming {
    /// From where.
    pub(crate) source: Source,
    /// How many of them may be unread, if the attribute says so.
    pub(crate) max_unread: Option<TokenStream>,
}

/// Alone with the actor, or beside other readers.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// `&mut self`
    Exclusive,
    /// `&self`
    Shared,
}

/// Checks the block, and takes attributes out of it that are for this macro only.
pub(crate) fn check(block: &mut ItemImpl, errors: &mut Errors) -> Result<Actor, Reported> {
    let own = method::take(block, errors);
    let ident = check_header(block, errors)?;
    let functions = || block.items.iter().filter_map(function);
    let placed =
        || block.items.iter().enumerate().filter_map(|(i, item)| Some((i, function(item)?)));
    if let Some(clash) = functions().find(|f| ADDED.contains(&expand::plain(&f.sig.ident).as_str()))
    {
        let name = &clash.sig.ident;
        let message = format!("`#[remote]` adds `{ident}::{name}` itself: give yours another name");
        return Err(errors.report(name, message));
    }
    let ty = types::peel(&block.self_ty).clone();
    let constructor = functions().find(|f| f.sig.ident == "new");
    let constructor = constructor.map(|function| check_constructor(function, &ty, errors));
    let streams = |place: &usize| own.get(place).filter(|own| own.stream.is_some());
    for (place, function) in placed() {
        if let Some(Own { stream: Some(stream), .. }) = own.get(&place)
            && (function.sig.ident == "new" || !is_call(function))
        {
            let message = "a stream is a call: make it a `pub` method with `&self` or `&mut self`";
            errors.report(stream, message);
        }
    }
    let methods = placed().filter(|(_, f)| f.sig.ident != "new" && is_call(f));
    let methods = methods.map(|(place, f)| check_method(f, &ty, streams(&place), errors));
    let methods: Vec<_> = methods.collect();
    if constructor.is_none() {
        let message = format!("an actor is made by its constructor: add `fn new(..) -> {ident}`");
        errors.report(&block.self_ty, message);
    }
    if methods.is_empty() {
        let message = "an actor is used through its calls: add a `pub` method with `&self` or \
                       `&mut self`";
        errors.report(&block.self_ty, message);
    }
    let saving = check_saving(block, &ty, errors);
    let ticks = placed().filter_map(|(place, function)| {
        tick::check(function, own.get(&place)?.every.clone()?, &ty, errors)
    });
    let ticks = ticks.collect();
    Ok(Actor { ty, ident, constructor, methods, saving, ticks, attributes: block.attrs.clone() })
}

fn function(item: &ImplItem) -> Option<&ImplItemFn> {
    match item {
        ImplItem::Fn(function) => Some(function),
        _ => None,
    }
}

/// Whether others can call it on an actor: private and associated functions are for the type.
pub(crate) fn is_call(function: &ImplItemFn) -> bool {
    function.sig.receiver().is_some() && !matches!(function.vis, Visibility::Inherited)
}

/// Checks that the block is one of a single type's own methods, and names the type.
fn check_header(block: &ItemImpl, errors: &mut Errors) -> Result<Ident, Reported> {
    if let Some((path, _)) = &block.trait_ {
        let message = "an actor's calls are its own methods: put `#[remote]` on the `impl` block \
                       with `new`, not on one of a trait";
        return Err(errors.report(path, message));
    }
    if !block.generics.params.is_empty() {
        let message = "an actor's type has no generics: write one block for each type it is used \
                       with, such as `impl Stats<f64>`";
        return Err(errors.report(&block.generics.params, message));
    }
    match types::last_segment(&block.self_ty) {
        Some(segment) => Ok(segment.ident.clone()),
        None => Err(errors.report(&block.self_ty, "an actor is a struct or an enum: name it here")),
    }
}

/// Checks what `new` takes, and that it returns the actor.
fn check_constructor(function: &ImplItemFn, ty: &Type, errors: &mut Errors) -> Constructor {
    let vis = function.vis.clone();
    let mut signature = check_signature(function, ty, errors);
    if let Some(receiver) = function.sig.receiver() {
        errors.report(receiver, "`new` makes the actor: it has no `self` to take");
        signature = Err(Faulty::of(&function.sig));
    }
    if let Ok(checked) = &signature
        && !checked.output.written().is_some_and(|written| types::same(written, ty))
    {
        let message = "`new` makes the actor: return `Self` or `Result<Self, E>`";
        match &function.sig.output {
            ReturnType::Default => errors.report(&function.sig.ident, message),
            ReturnType::Type(_, output) => errors.report(output, message),
        };
        signature = Err(Faulty::of(&function.sig));
    }
    Constructor { vis, signature }
}

/// Checks how the actor saves its state: by a `checkpoint` that takes nothing and a `restore`. Functions of these
/// names that take something else are the program's own.
fn check_saving(block: &ItemImpl, ty: &Type, errors: &mut Errors) -> Option<Saving> {
    let named = |name: &str| {
        block.items.iter().filter_map(function).find(|function| function.sig.ident == name)
    };
    let (checkpoint, restore) = (named("checkpoint")?, named("restore")?);
    if !takes(checkpoint, 0) || !matches!(access(checkpoint), Some(Access::Shared)) {
        return None;
    }
    if !takes(restore, 1) || !matches!(access(restore), Some(Access::Exclusive)) {
        let message = "beside `fn checkpoint(&self) -> C` it is `fn restore(&mut self, saved: C)`, which puts \
                       back what was saved into an actor just made by `new`";
        errors.report(&restore.sig, message);
        return None;
    }
    if let Some(token) = checkpoint.sig.asyncness.or(restore.sig.asyncness) {
        errors.report(token, "what saves and restores an actor is a plain `fn`");
        return None;
    }
    // What is wrong with a call was reported before.
    let mut reported = Errors::default();
    let mut signature = |function: &ImplItemFn| {
        let errors = if is_call(function) { &mut reported } else { &mut *errors };
        check_signature(function, ty, errors).ok()
    };
    Some(Saving { checkpoint: signature(checkpoint)?, restore: signature(restore)? })
}

/// Whether it has so many parameters beside `self`.
pub(crate) fn takes(function: &ImplItemFn, parameters: usize) -> bool {
    function.sig.inputs.iter().filter(|input| matches!(input, FnArg::Typed(_))).count()
        == parameters
}

/// Checks a call: how it takes the actor, its name, and what else it takes and returns.
fn check_method(
    function: &ImplItemFn,
    ty: &Type,
    own: Option<&Own>,
    errors: &mut Errors,
) -> Method {
    let access = check_receiver(function, errors);
    let name = check_name(function, errors);
    let (signature, stream) = match own {
        None => (check_signature(function, ty, errors), None),
        Some(own) => check_stream(function, ty, own, errors),
    };
    let (access, signature) = match (access, name) {
        (Ok(access), Ok(())) => (access, signature),
        _ => (Access::Shared, Err(Faulty::of(&function.sig))),
    };
    let (vis, attributes) = (function.vis.clone(), function.attrs.clone());
    Method { vis, attributes, access, signature, stream }
}

/// As `check_signature`, of a method that streams.
fn check_stream(
    function: &ImplItemFn,
    ty: &Type,
    own: &Own,
    errors: &mut Errors,
) -> (Result<Signature, Faulty>, Option<Streaming>) {
    let signature = without_self(function, ty);
    let (max_unread, iterator) = (own.max_unread.clone(), Source::Iterator);
    match stream::check(&signature, errors) {
        Ok((of_item, source)) => {
            (Signature::check(&of_item, errors), Some(Streaming { source, max_unread }))
        }
        Err(_) => (Err(Faulty::of(&signature)), Some(Streaming { source: iterator, max_unread })),
    }
}

fn check_receiver(function: &ImplItemFn, errors: &mut Errors) -> Result<Access, Reported> {
    access(function).ok_or_else(|| {
        let message = "a call leaves the actor where it is: take `&self` or `&mut self`, or make \
                       the method private";
        errors.report(function.sig.receiver(), message)
    })
}

/// How a method takes the actor, if it leaves it where it is.
pub(crate) fn access(function: &ImplItemFn) -> Option<Access> {
    match &function.sig.receiver()?.kind {
        ReceiverKind::Reference(_, None, Some(_)) => Some(Access::Exclusive),
        ReceiverKind::Reference(_, None, None) => Some(Access::Shared),
        _ => None,
    }
}

fn check_name(function: &ImplItemFn, errors: &mut Errors) -> Result<(), Reported> {
    let ident = &function.sig.ident;
    if TAKEN.iter().any(|taken| ident == taken) {
        let message =
            format!("`{ident}` on a handle concerns the handle itself: choose another name");
        return Err(errors.report(ident, message));
    }
    Ok(())
}

/// Checks the rest of a signature, with the type's name in place of `Self`.
pub(crate) fn check_signature(
    function: &ImplItemFn,
    ty: &Type,
    errors: &mut Errors,
) -> Result<Signature, Faulty> {
    Signature::check(&without_self(function, ty), errors)
}

/// The signature, with the type's name in place of `Self`.
fn without_self(function: &ImplItemFn, ty: &Type) -> syn::Signature {
    let mut signature = function.sig.clone();
    ReplaceSelf(ty).visit_signature_mut(&mut signature);
    signature
}
