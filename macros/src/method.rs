//! The options that a method of an actor has of its own: `#[remote(stream)]`, `#[remote(every = "1s")]`.

use std::collections::HashMap;

use proc_macro2::{Ident, TokenStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, ImplItem, ItemImpl, Meta, Token};

use crate::argument::Argument;
use crate::error::{Errors, Reported};
use crate::known::{EVERY, Kind, MAX_UNREAD, STREAM};

/// What the attribute of a method says.
#[derive(Default)]
pub(crate) struct Own {
    /// How often it is called by itself, as a `Duration`.
    pub(crate) every: Option<TokenStream>,
    /// Its results come one after the other: where the attribute says so.
    pub(crate) stream: Option<Ident>,
    /// How many of those may be unread.
    pub(crate) max_unread: Option<TokenStream>,
}

/// Takes `#[remote(..)]` off the methods of the block, which are remote by being public, and gives what it says,
/// by their places in the block.
pub(crate) fn take(block: &mut ItemImpl, errors: &mut Errors) -> HashMap<usize, Own> {
    let mut taken = HashMap::new();
    for (place, item) in block.items.iter_mut().enumerate() {
        let ImplItem::Fn(function) = item else { continue };
        function.attrs.retain(|attribute| {
            let segment = attribute.path().segments.last();
            let ours = segment.is_some_and(|segment| segment.ident == "remote");
            if ours && let Ok(own) = Own::parse(attribute, errors) {
                taken.insert(place, own);
            }
            !ours
        });
    }
    taken
}

impl Own {
    fn parse(attribute: &Attribute, errors: &mut Errors) -> Result<Self, Reported> {
        let arguments = match &attribute.meta {
            Meta::List(list) => {
                list.parse_args_with(Punctuated::<Argument, Token![,]>::parse_terminated).ok()
            }
            _ => None,
        };
        let mut own = Self::default();
        for argument in arguments.iter().flatten() {
            let name = &argument.name;
            let before = if name == EVERY.name {
                own.every.replace(argument.single(Kind::Duration, &EVERY, errors)?).is_some()
            } else if name == STREAM.name {
                argument.no_value(&STREAM, errors)?;
                own.stream.replace(name.clone()).is_some()
            } else if name == MAX_UNREAD.name {
                let max_unread = argument.single(MAX_UNREAD.kind, &MAX_UNREAD, errors)?;
                own.max_unread.replace(max_unread).is_some()
            } else {
                return Err(errors.report(attribute, OTHERS));
            };
            if before {
                return Err(errors.report(name, format!("`{name}` is given twice: keep one")));
            }
        }
        match (&own.every, &own.stream, &own.max_unread) {
            (None, None, None) => Err(errors.report(attribute, OTHERS)),
            (Some(_), Some(stream), _) => {
                let message =
                    "nobody reads a stream of what is called every so often: leave one out";
                errors.report(stream, message);
                // The rest of it is as it should be.
                Ok(Self { every: None, ..own })
            }
            (_, None, Some(_)) => {
                Err(errors.report(attribute, "only a stream has unread items: add `stream`"))
            }
            _ => Ok(own),
        }
    }
}

/// What is said of all other options.
const OTHERS: &str = "a method takes no options of its own but `every`, and `stream` with `max_unread`: give them \
                      to `#[remote]` on the `impl` block";
