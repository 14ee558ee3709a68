//! What the builders of calls have in common: setters that pass on to a set of options, and a `remote` for each
//! number of parameters.

/// Setters of each `builder`, which pass on to the options in its `field` and keep its type.
macro_rules! pass_on {
    ([$(impl [$($generics:tt)*] $builder:ty => $field:ident),+] $setters:tt) => {
        $($crate::api::builder::pass_on!(@ [$($generics)*] [$builder] $field $setters);)+
    };
    (@ [$($generics:tt)*] [$builder:ty] $field:ident {
        $($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*);)*
    }) => {
        impl<$($generics)*> $builder { $(
            $(#[$doc])*
            pub fn $name(mut self, $($arg: $type),*) -> Self {
                self.$field = self.$field.$name($($arg),*);
                self
            }
        )* }
    };
}

/// Calls `then` with all lists of parameters that a call may have, and names for their arguments.
macro_rules! for_each_arity {
    ($then:ident) => {
        $then! {
            ()
            (P0 a0)
            (P0 a0, P1 a1)
            (P0 a0, P1 a1, P2 a2)
            (P0 a0, P1 a1, P2 a2, P3 a3)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8, P9 a9)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8, P9 a9, P10 a10)
            (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8, P9 a9, P10 a10, P11 a11)
        }
    };
}

pub(crate) use {for_each_arity, pass_on};
