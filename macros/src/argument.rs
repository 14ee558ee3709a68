//! One argument of the attribute, and the values that it may have.
//!
//! Literals are checked here, where the message can show how the option is written; any other
//! expression is for the compiler to check.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitFloat, Token, UnOp, parenthesized};

use crate::duration;
use crate::error::{Errors, Reported};
use crate::known::{Kind, Known};
use crate::parameter::PARAMETERS_MAX;

/// `local`, `num_cpus = 2` or `resource("gpu", 1.0)`.
pub(crate) struct Argument {
    /// The option's name.
    pub(crate) name: Ident,
    value: Value,
}

/// What follows an option's name.
enum Value {
    None,
    Equals(Box<Expr>),
    List(Punctuated<Expr, Token![,]>),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Equals(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let list;
            parenthesized!(list in input);
            Value::List(Punctuated::parse_terminated(&list)?)
        } else {
            Value::None
        };
        Ok(Self { name, value })
    }
}

impl Argument {
    /// What may come only once: an option, or a resource of one name.
    pub(crate) fn identity(&self) -> String {
        let name = &self.name;
        match &self.value {
            Value::List(list) => format!("{name} {}", list.first().to_token_stream()),
            Value::None | Value::Equals(_) => name.to_string(),
        }
    }

    /// Checks that there is no value.
    pub(crate) fn no_value(&self, known: &Known, errors: &mut Errors) -> Result<(), Reported> {
        match self.value {
            Value::None => Ok(()),
            Value::Equals(_) | Value::List(_) => {
                let message = format!("`{}` takes no value: write it alone", known.name);
                Err(errors.report(self.place(), message))
            }
        }
    }

    /// The value after `=`, for the builder.
    pub(crate) fn single(
        &self,
        kind: Kind,
        known: &Known,
        errors: &mut Errors,
    ) -> Result<TokenStream, Reported> {
        check(kind, known, self.expression(known, errors)?, errors)
    }

    /// The name and the amount in parentheses, for the builder.
    pub(crate) fn resource(
        &self,
        known: &Known,
        errors: &mut Errors,
    ) -> Result<Vec<TokenStream>, Reported> {
        match &self.value {
            Value::List(list) if list.len() == 2 => {
                let name = check(Kind::Text, known, peel(&list[0]), errors)?;
                let amount = check(Kind::Amount, known, peel(&list[1]), errors)?;
                Ok(vec![name, amount])
            }
            _ => Err(self.misshapen(known, errors)),
        }
    }

    /// The number of results, which the macro has to know.
    pub(crate) fn returns(&self, known: &Known, errors: &mut Errors) -> Result<usize, Reported> {
        let value = self.expression(known, errors)?;
        let number = match literal(value) {
            Some((false, Lit::Int(number))) => number.base10_parse().ok(),
            _ => None,
        };
        match number {
            Some(returns @ 2..=PARAMETERS_MAX) => Ok(returns),
            _ => {
                let message = format!("`num_returns` is a number from 2 to {PARAMETERS_MAX}");
                Err(errors.report(value, message))
            }
        }
    }

    fn expression(&self, known: &Known, errors: &mut Errors) -> Result<&Expr, Reported> {
        match &self.value {
            Value::Equals(value) => Ok(peel(value)),
            Value::None | Value::List(_) => Err(self.misshapen(known, errors)),
        }
    }

    /// Reports a value that is missing, or one that is not where it should be.
    fn misshapen(&self, known: &Known, errors: &mut Errors) -> Reported {
        errors.report(self.place(), format!("write `{}`", known.example))
    }

    /// The value, or where it should stand.
    fn place(&self) -> &dyn ToTokens {
        match &self.value {
            Value::Equals(value) => value,
            Value::List(list) if !list.is_empty() => list,
            Value::None | Value::List(_) => &self.name,
        }
    }
}

/// The builder's argument, if the value makes sense.
fn check(
    kind: Kind,
    known: &Known,
    value: &Expr,
    errors: &mut Errors,
) -> Result<TokenStream, Reported> {
    let Some((negative, lit)) = literal(value) else {
        return Ok(value.to_token_stream());
    };
    let name = known.name;
    let wrong = match (kind, lit) {
        (Kind::Text, Lit::Str(_)) | (Kind::Integer, Lit::Int(_)) => {
            return Ok(value.to_token_stream());
        }
        (Kind::Count(least), Lit::Int(number)) => match number.base10_parse::<u64>() {
            Ok(count) if !negative && count >= least => return Ok(value.to_token_stream()),
            _ if least == 0 => format!("`{name}` cannot be negative"),
            _ => format!("`{name}` is at least {least}"),
        },
        (Kind::Amount, Lit::Int(_) | Lit::Float(_)) if negative => {
            format!("`{name}` cannot be negative")
        }
        (Kind::Amount, Lit::Float(_)) => return Ok(value.to_token_stream()),
        (Kind::Amount, Lit::Int(number)) => {
            let float = format!("{}.0", number.base10_digits());
            return Ok(LitFloat::new(&float, number.span()).to_token_stream());
        }
        (Kind::Duration, Lit::Str(text)) => match duration::parse(&text.value()) {
            Ok(duration) => {
                let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
                let span = text.span();
                return Ok(quote_spanned!(span=> ::core::time::Duration::new(#seconds, #nanos)));
            }
            Err(advice) => format!("`{name}` takes a length of time: {advice}"),
        },
        (Kind::Duration, _) => format!("`{name}` takes a length of time with its unit"),
        (Kind::Count(_) | Kind::Integer, _) => format!("`{name}` takes a whole number"),
        (Kind::Amount, _) => format!("`{name}` takes a number"),
        (Kind::Text, _) => format!("`{name}` takes a text"),
        (Kind::Function, _) => format!("`{name}` takes a function"),
        (Kind::Local | Kind::Flag | Kind::Stream | Kind::Returns | Kind::Resource, _) => {
            unreachable!("has no such value")
        }
    };
    Err(errors.report(value, format!("{wrong}\nwrite `{}`", known.example)))
}

/// A literal, and whether a minus stands before it.
fn literal(expr: &Expr) -> Option<(bool, &Lit)> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some((false, lit)),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
            literal(peel(expr)).map(|(negative, lit)| (!negative, lit))
        }
        _ => None,
    }
}

/// The expression without invisible groups around it.
fn peel(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => peel(&group.expr),
        expr => expr,
    }
}
