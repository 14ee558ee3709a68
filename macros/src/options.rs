//! The options of one attribute: `#[remote(num_cpus = 2, resource("gpu", 1.0), local)]`.
//!
//! Those that the macro does not need itself become calls of builder methods of the same name,
//! with the user's spans: a value whose type is wrong is an error at that value.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::Token;
use syn::parse::Parser;
use syn::punctuated::Punctuated;

use crate::argument::Argument;
use crate::error::{Errors, Reported};
use crate::known::{self, KNOWN, Kind, Known};
use crate::suggestion;

/// What the attribute stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A function.
    Function,
    /// An actor's `impl` block.
    Actor,
}

/// The options of one attribute, without those that were faulty.
#[derive(Default)]
pub(crate) struct Options {
    /// The call stays in this process: its types need no serde.
    pub(crate) local: bool,
    /// The results come one after the other: where the attribute says so.
    pub(crate) stream: Option<Ident>,
    /// How many `ObjectRef`s a call returns, if not one.
    pub(crate) num_returns: Option<usize>,
    settings: Vec<Setting>,
}

/// A call of a builder method.
struct Setting {
    name: Ident,
    values: Vec<TokenStream>,
}

impl Options {
    /// Reads the attribute's arguments and reports what is wrong with each.
    pub(crate) fn parse(arguments: TokenStream, target: Target, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let parser = Punctuated::<Argument, Token![,]>::parse_terminated;
        let arguments = match parser.parse2(arguments) {
            Ok(arguments) => arguments,
            Err(error) => {
                errors.adopt(error);
                return options;
            }
        };
        let mut seen = Vec::new();
        for argument in &arguments {
            let Ok(known) = find(&argument.name, target, errors) else {
                continue;
            };
            if seen.contains(&argument.identity()) {
                let message = format!("`{}` is given twice: keep one", known.name);
                errors.report(&argument.name, message);
                continue;
            }
            seen.push(argument.identity());
            // What is wrong with a value has been reported, and the item goes on without it.
            let _ = options.take(known, argument, errors);
        }
        options.fit(errors);
        options
    }

    /// Removes what does not go together.
    fn fit(&mut self, errors: &mut Errors) {
        let Some(stream) = &self.stream else {
            self.settings.retain(|Setting { name, .. }| {
                let fits = name != "max_unread";
                if !fits {
                    errors.report(name, "only a stream has unread items: add `stream`");
                }
                fits
            });
            return;
        };
        if self.num_returns.take().is_some() {
            let message = "a stream gives a ref for each item: leave `num_returns` out";
            errors.report(stream, message);
        }
        self.settings.retain(|Setting { name, .. }| {
            let message = match name.to_string().as_str() {
                "max_retries" | "retry_if" | "retry_delay" => {
                    "a stream is not tried again, for its reader has some of its items already"
                }
                "timeout" => {
                    "how long a stream takes is up to its reader, so it has no time limit: stop \
                     it by dropping it"
                }
                _ => return true,
            };
            errors.report(name, message);
            false
        });
    }

    /// The builder, set: `Options::new().num_cpus(2.0)`. Nothing if nothing was set.
    pub(crate) fn build(&self, builder: &TokenStream) -> Option<TokenStream> {
        let calls = self.settings.iter().map(|Setting { name, values }| {
            let values = quote_spanned!(name.span()=> (#(#values),*));
            quote!(.#name #values)
        });
        (!self.settings.is_empty()).then(|| quote!(#builder::new()#(#calls)*))
    }

    /// Whether the attribute itself gives this option a number other than 0; an expression may or may not.
    pub(crate) fn asks_for(&self, option: &str) -> bool {
        let asks = |value: &TokenStream| {
            let count = syn::parse2::<syn::LitInt>(value.clone());
            count.is_ok_and(|count| count.base10_digits() != "0")
        };
        let mut settings = self.settings.iter().filter(|setting| setting.name == option);
        settings.any(|setting| setting.values.iter().any(asks))
    }

    /// Checks one option and keeps it.
    fn take(
        &mut self,
        known: &Known,
        argument: &Argument,
        errors: &mut Errors,
    ) -> Result<(), Reported> {
        let values = match known.kind {
            Kind::Local => {
                self.local = true;
                return argument.no_value(known, errors);
            }
            Kind::Stream => {
                self.stream = Some(argument.name.clone());
                return argument.no_value(known, errors);
            }
            Kind::Returns => {
                self.num_returns = Some(argument.returns(known, errors)?);
                return Ok(());
            }
            Kind::Flag => {
                argument.no_value(known, errors)?;
                Vec::new()
            }
            Kind::Resource => argument.resource(known, errors)?,
            kind => vec![argument.single(kind, known, errors)?],
        };
        self.settings.push(Setting { name: argument.name.clone(), values });
        Ok(())
    }
}

/// Finds the option of this name, or tells which there are.
fn find(name: &Ident, target: Target, errors: &mut Errors) -> Result<&'static Known, Reported> {
    let word = name.to_string();
    if let Some(known) = known::all_for(target).find(|known| known.name == word) {
        return Ok(known);
    }
    let (this, other) = match target {
        Target::Function => ("a function", "an actor"),
        Target::Actor => ("an actor", "a function"),
    };
    let all: Vec<_> = known::all_for(target).map(|known| known.name).collect();
    let problem = if KNOWN.iter().any(|known| known.name == word) {
        format!("`{word}` is an option of {other}, not of {this}")
    } else if let Some(near) = suggestion::closest(&word, all.iter().copied()) {
        format!("no option is named `{word}`: did you mean `{near}`?")
    } else {
        format!("no option is named `{word}`")
    };
    Err(errors.report(name, format!("{problem}\n{this} takes: {}", all.join(", "))))
}
