//! Functions and actors of every shape that `#[remote]` accepts.

use std::fmt;
use std::time::Duration;

use mobula::{ObjectRef, remote};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample(Vec<f64>);

/// The wait for one result, as a plain value.
fn got<T: Clone + Send + Sync + 'static>(result: ObjectRef<T>) -> T {
    mobula::get(result).expect("the call succeeds")
}

mod signatures {
    use super::*;

    #[remote]
    fn nothing() {}

    #[remote]
    fn owned(i: u64, n: usize) -> (u64, usize) {
        (i, n)
    }

    #[remote]
    fn borrowed(sample: &Sample, weights: &[f64], name: &str) -> String {
        format!("{name}: {:?} {weights:?}", sample.0)
    }

    #[remote]
    fn patterns(mut first: u8, (second, _): (u8, u8), _: u8, Sample(third): Sample) -> u8 {
        first += second;
        first + third.len() as u8
    }

    #[remote]
    const fn constant(x: u8) -> u8 {
        x
    }

    #[remote]
    async fn waits(text: &str) -> usize {
        std::future::ready(text.len()).await
    }

    #[remote]
    #[expect(clippy::too_many_arguments, reason = "as many as there may be")]
    fn twelve(
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
    ) -> u8 {
        a + b + c + d + e + f + g + h + i + j + k + l
    }

    #[test]
    fn take_values_and_references() {
        got(nothing::remote());
        assert_eq!(got(owned::remote(3, 10)), (3, 10));
        let text = got(borrowed::remote(Sample(vec![1.0]), vec![2.0], "s"));
        assert_eq!(text, "s: [1.0] [2.0]");
        assert_eq!(got(patterns::remote(1, (2, 3), 4, Sample(vec![0.0]))), 4);
        assert_eq!(got(constant::remote(7)), 7);
        assert_eq!(got(waits::remote("manta")), 5);
        assert_eq!(got(twelve::remote(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)), 12);
    }

    #[test]
    fn leave_the_function_as_it_was() {
        const SEVEN: u8 = constant(7);
        assert_eq!(SEVEN, 7);
        assert_eq!(owned(3, 10), (3, 10));
        assert_eq!(borrowed(&Sample(vec![]), &[], "s"), "s: [] []");
    }

    #[test]
    fn take_refs() {
        let i = constant::remote(3);
        let twice = constant::remote(&i);
        assert_eq!(got(constant::remote(twice)), 3);
    }
}

mod results {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Negative(i64);

    impl fmt::Display for Negative {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} is negative", self.0)
        }
    }

    impl std::error::Error for Negative {}

    #[remote]
    fn root(x: i64) -> Result<f64, Negative> {
        if x < 0 { Err(Negative(x)) } else { Ok((x as f64).sqrt()) }
    }

    #[remote]
    async fn parsed(text: String) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
        Ok(std::future::ready(text).await.parse()?)
    }

    #[remote]
    fn written(ok: bool) -> fmt::Result {
        if ok { Ok(()) } else { Err(fmt::Error) }
    }

    #[remote(num_returns = 2)]
    fn halves(text: &str) -> (String, usize) {
        (text.to_owned(), text.len())
    }

    #[remote(num_returns = 3)]
    async fn thirds(x: u8) -> Result<(u8, u16, u32), Negative> {
        Ok((x, x.into(), std::future::ready(x.into()).await))
    }

    #[test]
    fn of_fallible_functions_are_their_values() {
        assert_eq!(got(root::remote(9)), 3.0);
        assert_eq!(got(parsed::remote("7")), 7);
        got(written::remote(true));
    }

    #[test]
    fn of_fallible_functions_are_their_errors() {
        let error = mobula::get(root::remote(-9)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Negative(-9)));
        assert!(mobula::get(parsed::remote("x")).is_err());
        assert!(mobula::get(written::remote(false)).is_err());
    }

    #[test]
    fn come_apart() {
        let (text, length) = halves::remote("manta");
        assert_eq!((got(text), got(length)), ("manta".to_owned(), 5));
        let (a, b, c) = thirds::remote(3);
        assert_eq!((got(a), got(b), got(c)), (3, 3, 3));
    }
}

/// Names that the expansion could clash with, if it were careless.
mod names {
    use super::*;

    #[remote]
    fn task(task: &str) -> String {
        task.to_owned()
    }

    #[remote]
    fn value(error: u8, argument_0: u8, items: u8) -> Result<u8, String> {
        error.checked_add(argument_0).and_then(|sum| sum.checked_add(items)).ok_or_else(String::new)
    }

    #[remote]
    fn submit(held: u8) -> u8 {
        held
    }

    #[remote]
    fn r#type(r#loop: u8) -> u8 {
        r#loop
    }

    #[derive(Clone, Serialize, Deserialize)]
    struct Portable(u8);

    /// What the expansion means by these names is not what is in scope here.
    mod decoys {
        use ::mobula::remote;

        use super::Portable;

        struct Box;
        struct Err;
        struct Ok;
        struct Option;
        struct Some;
        mod core {}
        mod mobula {}
        mod std {}

        #[remote(max_retries = 0)]
        pub(super) async fn shadowed(portable: Portable) -> u8 {
            let _ = (Box, Err, Ok, Option, Some);
            portable.0
        }
    }

    #[test]
    fn do_not_clash() {
        assert_eq!(got(task::remote("manta")), "manta");
        assert_eq!(got(value::remote(1, 2, 3)), 6);
        assert_eq!(got(submit::remote(1)), 1);
        assert_eq!(got(r#type::remote(1)), 1);
        assert_eq!(got(decoys::shadowed::remote(Portable(1))), 1);
    }
}

mod places {
    use super::*;

    mod inner {
        use mobula::remote;

        #[remote]
        pub(super) fn visible(x: u8) -> u8 {
            hidden(x)
        }

        #[remote]
        pub(in crate::accepted) fn visible_above(x: u8) -> u8 {
            super::got(hidden::remote(x))
        }

        #[remote]
        fn hidden(x: u8) -> u8 {
            x
        }

        #[cfg(any())]
        #[remote]
        pub(super) fn visible(x: Absent) -> Absent {
            x
        }
    }

    use inner::{visible, visible_above as renamed};

    macro_rules! doubling {
        ($name:ident, $type:ty) => {
            #[remote]
            fn $name(x: $type, _: &$type) -> $type {
                x + x
            }
        };
    }

    doubling!(double, u16);

    #[test]
    fn modules_and_imports() {
        assert_eq!(visible(1), 1);
        assert_eq!(got(visible::remote(1)), 1);
        assert_eq!(got(renamed::remote(1)), 1);
    }

    #[test]
    fn function_bodies() {
        #[derive(Clone, Serialize, Deserialize)]
        struct Local(u8);

        #[remote]
        fn local(x: Local) -> u8 {
            x.0
        }
        assert_eq!(local(Local(1)), 1);
        assert_eq!(got(local::remote(Local(1))), 1);
    }

    #[test]
    fn macros() {
        assert_eq!(got(double::remote(2, 3)), 4);
    }
}

mod options {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[remote(num_cpus = 1, resource("memory", 0), max_retries = 3, timeout = "30s", priority = -1)]
    fn literals(x: u8) -> u8 {
        x
    }

    #[remote(num_cpus = 1.0 / 2.0, timeout = LIMIT * 2, name = format!("{}", 1 + 1), local)]
    fn expressions(x: u8) -> u8 {
        x
    }

    /// Neither of its types knows of serde.
    struct Opaque(Box<dyn Fn(&str) -> usize + Send + Sync>);

    #[remote(local)]
    fn opaque(call: Opaque) -> Opaque {
        call
    }

    #[test]
    fn come_from_the_attribute() {
        let _: [ObjectRef<u8>; 2] = [literals::remote(1), expressions::remote(1)];
    }

    #[test]
    fn come_with_the_call() {
        let _: ObjectRef<u8> = literals::options().num_cpus(0.5).name("x").remote(1);
    }

    #[test]
    fn lift_the_need_for_serde() {
        let length = opaque::remote(Opaque(Box::new(str::len)));
        assert_eq!(mobula::get_arc(&length).map(|length| (length.0)("manta")).unwrap(), 5);
    }
}

mod many {
    use super::*;

    #[remote]
    fn square(x: u64) -> u64 {
        x * x
    }

    #[remote]
    fn product(a: u64, b: u64) -> u64 {
        a * b
    }

    #[test]
    fn map_calls_for_each() {
        let squares: mobula::Result<Vec<u64>> = square::map(0..4).collect();
        assert_eq!(squares.unwrap(), [0, 1, 4, 9]);
        let products: mobula::Result<Vec<u64>> = product::map([(1, 2), (3, 4)]).collect();
        assert_eq!(products.unwrap(), [2, 12]);
    }
}

mod actors {
    use super::*;

    struct Counter {
        value: u64,
    }

    #[remote]
    impl Counter {
        const LENGTH: usize = 2;

        /// Starts from here.
        fn new(start: u64) -> Self {
            Self { value: start }
        }

        /// Adds, and tells the sum.
        pub(crate) fn add(&mut self, by: u64) -> u64 {
            self.value += by;
            self.value
        }

        pub(crate) fn value(&self) -> u64 {
            self.value.min(Self::limit())
        }

        pub(crate) fn checked(&self, least: &u64) -> Result<u64, String> {
            if self.value < *least { Err("too little".to_owned()) } else { Ok(self.value) }
        }

        pub(crate) fn sum(&mut self, parts: [u64; Self::LENGTH], actor: &str, _: &[u8]) -> String {
            self.value += parts.iter().sum::<u64>();
            self.describe(actor)
        }

        #[cfg(any())]
        pub(crate) async fn absent(&self, _: Absent) -> Absent {}

        fn describe(&self, prefix: &str) -> String {
            format!("{prefix}{}", self.value)
        }

        pub(super) fn limit() -> u64 {
            u64::MAX
        }
    }

    struct Server<T>(T);

    struct Solver;

    #[remote(num_cpus = 2, resource("gpu", 0.5), resource("memory", 1), max_restarts = 1)]
    impl Solver {
        pub fn new() -> Self {
            Self
        }

        pub fn solve(&self, x: f64) -> f64 {
            x.sqrt()
        }
    }

    #[remote(local)]
    impl Server<String> {
        pub(crate) async fn new(name: &str) -> Result<Self, fmt::Error> {
            if name.is_empty() { Err(fmt::Error) } else { Ok(Self(name.to_owned())) }
        }

        pub(crate) async fn rename(&mut self, name: String) -> String {
            std::mem::replace(&mut self.0, std::future::ready(name).await)
        }

        pub(crate) async fn greet(&self, guest: &str) -> Result<String, fmt::Error> {
            if guest.is_empty() { Err(fmt::Error) } else { Ok(format!("{} {guest}", self.0)) }
        }

        pub(crate) fn length(&self) -> usize {
            self.0.len()
        }
    }

    #[test]
    fn compute() {
        let counter = Counter::remote(1);
        assert_eq!(got(counter.add(2)), 3);
        assert_eq!(got(counter.value()), 3);
        assert_eq!(got(counter.checked(1)), 3);
        assert!(mobula::get(counter.checked(9)).is_err());
        assert_eq!(got(counter.sum([1, 1], "=", vec![7])), "=5");
    }

    #[test]
    fn wait() {
        let server = Server::<String>::remote("manta");
        assert_eq!(got(server.rename("mobula".to_owned())), "manta");
        assert_eq!(got(server.greet("ray")), "mobula ray");
        assert!(mobula::get(server.greet("")).is_err());
        assert_eq!(got(server.length()), 6);
    }

    #[test]
    fn start_with_options() {
        let counter = Counter::options().remote(1);
        assert_eq!(got(counter.add(2)), 3);
    }

    #[test]
    fn ask_for_what_is_there() {
        // Here is none of it.
        let solver = Solver::options().num_cpus(1).remote();
        let error = mobula::get(solver.solve(2.0)).unwrap_err();
        assert!(error.to_string().contains("resource \"gpu\" = 0.5"), "{error}");
        let solver = Solver::options().placement(mobula::Placement::spread()).remote();
        let error = mobula::get(solver.solve(2.0)).unwrap_err();
        assert!(error.to_string().contains("`placement`"), "{error}");
    }

    #[test]
    fn leave_the_type_as_it_was() {
        let mut counter = Counter::new(1);
        assert_eq!((counter.add(2), Counter::limit()), (3, u64::MAX));
    }
}
