//! The `#[remote]` attribute of mobula, which re-exports it.
//!
//! An item goes through four steps, and the files follow them:
//!
//! 1. **Parse.** `options` reads the attribute, each `argument` of it; `syn` reads the item.
//! 2. **Check.** `function` and `actor` turn the item into what the expansion needs: a
//!    `signature` with its `parameter`s and its `output`. Whatever cannot run remotely is
//!    reported here (`error`), at the tokens that have to change.
//! 3. **Expand.** `expand_function`, `expand_stream` and `expand_actor` write the remote form beside the user's
//!    item, which stays as it is. They share the phrases of `expand`.
//! 4. **Fall back.** Where a check failed, `fallback` writes a form of the same shape that does
//!    nothing, so that the callers of a faulty item are not blamed for it.
//!
//! What is written names nothing but `::core`, `::std` and `::mobula::__private`, by absolute
//! paths, and its local variables have the hygiene of the macro: no name of the user's clashes.

use proc_macro::TokenStream;
use quote::quote;
use syn::Item;

use crate::error::Errors;
use crate::options::{Options, Target};

mod actor;
mod argument;
mod attributes;
mod duration;
mod error;
mod expand;
mod expand_actor;
mod expand_function;
mod expand_stream;
mod fallback;
mod function;
mod known;
mod method;
mod options;
mod output;
mod parameter;
mod signature;
mod stream;
mod suggestion;
mod tick;
mod types;

/// Makes a function run as a task, or a type live as an actor.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn mean(sample: &[f64], name: &str) -> Result<f64, String> {
///     if sample.is_empty() {
///         return Err(format!("{name} has no values"));
///     }
///     Ok(sample.iter().sum::<f64>() / sample.len() as f64)
/// }
///
/// assert_eq!(mean(&[1.0, 2.0], "lengths"), Ok(1.5)); // Still a plain function.
///
/// let sample = mobula::put(vec![1.0, 2.0]);
/// let result: ObjectRef<f64> = mean::remote(&sample, "lengths"); // Returns at once.
/// assert_eq!(mobula::get(result)?, 1.5);
/// # Ok::<(), mobula::Error>(())
/// ```
///
/// # Functions
///
/// The function stays as it is. Beside it stands a type of the same name and visibility, so
/// that `use path::mean` brings both, with three functions:
///
/// - `mean::remote(..)` submits a call and returns an `ObjectRef` to its result. Each argument
///   is a value or an `ObjectRef` to one, which is resolved before the call.
/// - `mean::options()` sets options for one call: `mean::options().num_cpus(2).remote(..)`.
/// - `mean::map(items)` calls it for each item of an iterator and gives an iterator of the
///   results; where there are several parameters, an item is a tuple.
///
/// **Parameters** are taken by value, or as `&T`, `&[T]` or `&str`, which borrow from the object
/// store without a copy. There are at most twelve.
///
/// **Results** are owned. A function whose return type is named `Result` gives what is in its
/// `Ok`, the first argument of that type; an `Err` makes the call fail with an error of kind
/// `Task`, from which `downcast_ref` brings it back. With `num_returns = 2` a result `(A, B)` becomes two refs, one for each part.
///
/// With `stream` the function returns `impl Iterator<Item = T>`, and a call gives an `ObjectStream<T>`: a ref for
/// each item, as it is produced. Where `T` is a `Result`, the refs are to what is in its `Ok`, and an `Err` makes
/// that one ref fail. A function that returns `impl Stream<Item = T>` waits for its items, as an `async fn` does.
///
/// An `fn` computes, on a thread that is its own for that time; an `async fn` waits, and shares
/// its thread.
///
/// # Actors
///
/// ```
/// use mobula::prelude::*;
///
/// struct Counter(u64);
///
/// #[remote]
/// impl Counter {
///     pub fn new(start: u64) -> Self {
///         Self(start)
///     }
///     pub fn add(&mut self, by: u64) -> u64 {
///         self.0 += by;
///         self.0
///     }
/// }
///
/// let counter: ActorHandle<Counter> = Counter::remote(0);
/// let total: ObjectRef<u64> = counter.add(5);
/// assert_eq!(mobula::get(total)?, 5);
/// # Ok::<(), mobula::Error>(())
/// ```
///
/// The block holds `new`, which returns `Self` or `Result<Self, E>` and may be `async`. Each
/// method that is `pub`, to whatever extent, and takes `&self` or `&mut self` is a call on the
/// handle, as visible as the method. Calls with `&mut self` run alone; those with `&self` may
/// run beside each other. Private methods and other associated functions stay what they are.
/// One `async fn` makes the actor an async one, whose calls interleave where they wait.
///
/// A handle also has `stop` and `watch`, see `ActorControl`; a method of the actor of such a name goes
/// first. An actor with `max_restarts` that has `fn checkpoint(&self) -> C` and
/// `fn restore(&mut self, saved: C)`, `pub` or not, is restored after a restart: `new` makes it, and
/// `restore` puts back what `checkpoint` gave last, which was after its last `&mut self` call, or
/// the last of every `checkpoint_every` of them. Both may return a `Result`.
///
/// # Options
///
/// | option | on | value |
/// | --- | --- | --- |
/// | `num_cpus = 2` | functions, actors | CPUs that it takes, in parts if need be: `0.5`, or `0`; of an actor, that each call takes, or on the engine `ray` the actor for its life |
/// | `resource("gpu", 1.0)` | functions, actors | how much it takes of a resource; may come again, for another resource; an actor has it for its life |
/// | `max_retries = 3` | functions | how often it is tried again when it fails and `retry_if` says so |
/// | `retry_if = is_transient` | functions | which failures are worth another try: a path or a closure, of type `Fn(&Error) -> bool` |
/// | `retry_delay = "100ms"` | functions | how long to wait before another try: a length of time, from which it grows, or an expression of type `RetryDelay` |
/// | `timeout = "30s"` | functions | how long it may run: a number with `ns`, `us`, `ms`, `s`, `m` or `h`, or an expression of type `Duration` |
/// | `priority = 1` | functions | which of several waiting calls goes first: the highest |
/// | `name = "fit"` | functions, actors | what it is called in errors and events; an actor is found by it |
/// | `namespace = "lab"` | actors | in which namespace it is found |
/// | `max_restarts = 3` | actors | how often it is made anew after a crash |
/// | `restart_window = "60s"` | actors | the time for which `max_restarts` counts, else the whole life: "3 in 60 s" |
/// | `max_task_retries = 1` | actors | how often a call is run again that crashed it |
/// | `checkpoint_every = 100` | actors | after how many `&mut self` calls `checkpoint` is called |
/// | `max_concurrency = 8` | actors | how many of its calls may run at once |
/// | `max_pending_calls = 1000` | actors | how many of its calls may wait |
/// | `block_when_full` | actors | a call waits for its place among those instead of failing |
/// | `detached` | actors | it outlives the program, on a cluster |
/// | `every = "1s"` | methods of actors | how often it is called beside calls by handles: see below |
/// | `num_returns = 2` | functions | how many refs a call returns |
/// | `stream` | functions, methods of actors | its results come one after the other, each with a ref |
/// | `max_unread = 4` | what streams | how many items may be there unread before it waits for its reader |
/// | `local` | functions, actors | it stays in this process, and its types need no serde |
///
/// A value may be any expression, except that of `num_returns`. Options that are set for one
/// call come before those of the attribute.
///
/// `#[remote(every = "1s")]` on a method of an actor, public or not, has it called so often, for the first time
/// when that time has gone by since the actor was started. It takes no arguments, and returns nothing or
/// `Result<(), E>`; a panic in it is a crash like any other. The next call is made no sooner than the last has
/// ended. Such calls end with the actor, and do not keep it.
///
/// `#[remote(stream)]` on a public method that returns `impl Iterator<Item = T>` or `impl Stream<Item = T>`, which
/// may borrow from `self`, makes its call give an `ObjectStream<T>`, as it does for functions. The actor is in the
/// middle of that call until the stream ends or is dropped. An `impl Stream` makes the actor an async one.
///
/// # What it refuses
///
/// A call is stored before it runs, perhaps on another machine, where it is found by its name.
/// Therefore the macro refuses, with a message at the place:
///
/// - generics, lifetimes, `impl Trait` and `dyn` parameters: which function is it, and how
///   large are its arguments?
/// - `&mut` parameters, references inside a parameter (`Option<&T>`), and results that borrow:
///   what they point to may be elsewhere by then;
/// - types without serde's `Serialize` and `Deserialize`, unless the option `local` is given;
/// - `unsafe` and `extern` functions, and those with a variable number of arguments;
/// - on methods of an actor, all of these, and `self` by value.
///
/// The type beside a function takes its name among types and modules: a function cannot be
/// named like a module or a crate that is used next to it.
#[proc_macro_attribute]
pub fn remote(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_item(arguments.into(), item.into()).into()
}

/// The user's item, its remote form, and the mistakes in it.
fn expand_item(
    arguments: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> proc_macro2::TokenStream {
    let mut errors = Errors::default();
    let expanded = match syn::parse2(item.clone()) {
        Ok(Item::Fn(function)) => {
            let options = Options::parse(arguments, Target::Function, &mut errors);
            let remote = match function::check(&function, &options, &mut errors) {
                Ok(checked) => match checked.source {
                    None => expand_function::expand(&checked, &options),
                    Some(source) => expand_stream::expand(&checked, source, &options),
                },
                Err(refused) => fallback::function(&function, &options, refused),
            };
            quote!(#item #remote)
        }
        Ok(Item::Impl(mut block)) => {
            let options = Options::parse(arguments, Target::Actor, &mut errors);
            let remote = match actor::check(&mut block, &mut errors) {
                Ok(checked) => expand_actor::expand(&checked, &options),
                Err(_) => proc_macro2::TokenStream::new(),
            };
            quote!(#block #remote)
        }
        Ok(_) => {
            errors.report_use("`#[remote]` goes on a function or on an actor's `impl` block");
            item
        }
        Err(error) => {
            errors.adopt(error);
            item
        }
    };
    quote!(#expanded #errors)
}
