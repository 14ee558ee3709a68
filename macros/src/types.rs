//! Questions about a type as it is written, and the replacement of `Self`.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit::Visit;
use syn::visit_mut::VisitMut;
use syn::{
    Expr, GenericArgument, Lifetime, ParenthesizedGenericArguments, Path, PathArguments,
    PathSegment, QSelf, Type, TypeFnPtr, TypeImplTrait, TypeInfer, TypeReference, TypeTraitObject,
};

/// The type without the parentheses, visible or not, around it.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        ty => ty,
    }
}

/// Whether two types are written with the same tokens.
pub(crate) fn same(one: &Type, other: &Type) -> bool {
    peel(one).to_token_stream().to_string() == peel(other).to_token_stream().to_string()
}

/// The last segment of a path type: the `Result` of `std::io::Result<u64>`.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peel(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The first type among a segment's arguments: the `u64` of `Result<u64, Error>`.
pub(crate) fn first_argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// A part that keeps a type from being stored beyond the call that mentions it.
#[derive(Clone, Copy)]
pub(crate) enum Tie<'a> {
    /// A `&T` that is not `&'static T`.
    Reference(&'a TypeReference),
    /// The `'_` of `Ref<'_, T>`.
    Lifetime(&'a Lifetime),
    /// An `impl Trait`, whose type has no name.
    ImplTrait(&'a TypeImplTrait),
    /// A `_`, which the compiler refuses by itself.
    Placeholder,
}

/// The first such part, if there is one.
pub(crate) fn tie(ty: &Type) -> Option<Tie<'_>> {
    let mut search = Search::default();
    search.visit_type(ty);
    search.found
}

#[derive(Default)]
struct Search<'a> {
    found: Option<Tie<'a>>,
}

impl<'a> Search<'a> {
    fn record(&mut self, tie: Tie<'a>) {
        self.found.get_or_insert(tie);
    }
}

impl<'a> Visit<'a> for Search<'a> {
    fn visit_type_reference(&mut self, reference: &'a TypeReference) {
        match &reference.lifetime {
            Some(lifetime) if lifetime.ident == "static" => self.visit_type(&reference.elem),
            _ => self.record(Tie::Reference(reference)),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'a Lifetime) {
        if lifetime.ident != "static" {
            self.record(Tie::Lifetime(lifetime));
        }
    }

    fn visit_type_impl_trait(&mut self, found: &'a TypeImplTrait) {
        self.record(Tie::ImplTrait(found));
    }

    fn visit_type_infer(&mut self, _: &'a TypeInfer) {
        self.record(Tie::Placeholder);
    }

    // The references of `fn(&T)`, `dyn Fn(&T)` and `dyn for<'a> Trait<'a>` belong to calls of
    // theirs, and the length of an array is a value: none of them ties the type to anything.
    fn visit_type_fn_ptr(&mut self, _: &'a TypeFnPtr) {}
    fn visit_type_trait_object(&mut self, _: &'a TypeTraitObject) {}
    fn visit_parenthesized_generic_arguments(&mut self, _: &'a ParenthesizedGenericArguments) {}
    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// Whether a part of the item's signature says `Self`.
pub(crate) fn mentions_self(tokens: impl ToTokens) -> bool {
    tokens.into_token_stream().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "Self",
        TokenTree::Group(group) => mentions_self(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Writes the type's name where a signature says `Self`, so that the signature holds outside
/// the `impl` block. The name takes the place of `Self` in messages too.
pub(crate) struct ReplaceSelf<'a>(pub(crate) &'a Type);

impl ReplaceSelf<'_> {
    fn named_at(&self, span: Span) -> Type {
        Type::Verbatim(respanned(self.0.to_token_stream(), span))
    }

    /// `Self::N` becomes `<Counter>::N`.
    fn qualify(&self, qself: &mut Option<QSelf>, path: &mut Path) {
        if qself.is_some() || path.segments.len() < 2 || path.segments[0].ident != "Self" {
            return;
        }
        let ty = Box::new(self.named_at(path.segments[0].ident.span()));
        let rest = path.segments.iter().skip(1);
        let rest: Path = syn::parse_quote!(::#(#rest)::*);
        *path = rest;
        *qself = Some(QSelf {
            lt_token: Default::default(),
            ty,
            position: 0,
            as_token: None,
            gt_token: Default::default(),
        });
    }
}

impl VisitMut for ReplaceSelf<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(path) = ty {
            if path.qself.is_none() && path.path.is_ident("Self") {
                *ty = self.named_at(path.path.segments[0].ident.span());
                return;
            }
            self.qualify(&mut path.qself, &mut path.path);
        }
        syn::visit_mut::visit_type_mut(self, ty);
    }

    fn visit_expr_path_mut(&mut self, path: &mut syn::ExprPath) {
        self.qualify(&mut path.qself, &mut path.path);
        syn::visit_mut::visit_expr_path_mut(self, path);
    }
}

/// The same tokens, at another place of the source.
fn respanned(tokens: TokenStream, span: Span) -> TokenStream {
    let at_span = tokens.into_iter().map(|token| {
        let mut token = match token {
            TokenTree::Group(group) => {
                let inner = respanned(group.stream(), span);
                TokenTree::Group(Group::new(group.delimiter(), inner))
            }
            token => token,
        };
        token.set_span(span);
        token
    });
    quote!(#(#at_span)*)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn is_tied(ty: Type) -> bool {
        tie(&ty).is_some()
    }

    #[test]
    fn borrowed_parts_tie_a_type() {
        assert!(is_tied(parse_quote!(Option<&T>)));
        assert!(is_tied(parse_quote!([&str; 2])));
        assert!(is_tied(parse_quote!(&'static [&str])));
        assert!(is_tied(parse_quote!(Cow<'_, str>)));
        assert!(is_tied(parse_quote!(Vec<impl Display>)));
    }

    #[test]
    fn owned_and_static_parts_do_not() {
        assert!(!is_tied(parse_quote!(Vec<Option<T>>)));
        assert!(!is_tied(parse_quote!(Cow<'static, str>)));
        assert!(!is_tied(parse_quote!(Option<&'static str>)));
        assert!(!is_tied(parse_quote!([u8; { size_of::<&str>() }])));
    }

    #[test]
    fn references_of_inner_calls_do_not() {
        assert!(!is_tied(parse_quote!(fn(&str) -> &str)));
        assert!(!is_tied(parse_quote!(Box<dyn Fn(&str) -> usize>)));
        assert!(!is_tied(parse_quote!(Box<dyn for<'a> Visit<'a>>)));
    }

    #[test]
    fn self_is_replaced_wherever_a_type_names_it() {
        let mut ty: Type =
            parse_quote!((Option<Self>, [Self::Unit; Self::LENGTH], Box<dyn Fn(Self)>));
        ReplaceSelf(&parse_quote!(Stats<f64>)).visit_type_mut(&mut ty);
        let expected: Type = parse_quote!((
            Option<Stats<f64>>,
            [<Stats<f64>>::Unit; <Stats<f64>>::LENGTH],
            Box<dyn Fn(Stats<f64>)>
        ));
        let plain = |ty: Type| ty.to_token_stream().to_string().replace(' ', "");
        assert_eq!(plain(ty), plain(expected));
    }
}
