//! Functions of Python's, called on a cluster as tasks.
//!
//! What they are given is packed as for any call that leaves; the first argument is the function's name. Which
//! arguments are refs shows by what they become: a ref is written as its id, and nothing else.

use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::builder::pass_on;
use crate::api::crossing;
use crate::api::object::ObjectRef;
use crate::api::options::Options;
use crate::api::placement::Placement;
use crate::api::port::Way;
use crate::cluster;
use crate::cluster::argument::{self, Packing, unfit};
use crate::cluster::coder;
use crate::cluster::registry::Registered;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::cell::Ref;
use crate::local::{current, default, ids};
use crate::wire::{self, Held};

/// A function of Python's, on the engines `ray`, `dask` and `ipyparallel`: `"module:function"`, or
/// `"module:Class.method"`. The Python of the cluster's workers has to find the module.
///
/// It is called with a tuple of values and refs, and gives a ref like any call. Values cross as MessagePack: numbers,
/// text, lists, `None` for nothing, and a `dict` for a map and for a struct with named fields. Numbers of one type, in
/// a vector, a slice or an array of ndarray, are a NumPy array there, with its shape; the workers need NumPy only
/// then. The other way a NumPy array of one dimension becomes a vector, or an array of ndarray where that is the
/// result's type, and one of more dimensions an array of ndarray.
///
/// ```no_run
/// use mobula::prelude::*;
/// use ndarray::Array2;
///
/// let x = mobula::put(Array2::<f64>::eye(3));
/// let inverse: ObjectRef<Array2<f64>> = mobula::python("numpy.linalg:inv").remote((&x,));
/// let norm: ObjectRef<f64> = mobula::python("numpy.linalg:norm").num_cpus(2).remote((&inverse,));
/// assert_eq!(mobula::get(norm)?, 3_f64.sqrt());
/// # Ok::<(), mobula::Error>(())
/// ```
///
/// # Errors
/// `get` of the ref gives `Value`, if that is no name of a function; `Engine`, on other engines; `Task`, with Python's
/// own error and where it was raised, if the function raises one; `Serialization`, if what it returns is no `T`.
pub fn python(function: impl Into<String>) -> Python {
    Python { function: function.into(), options: Options::new() }
}

/// What [`python`] gives: options, and `remote`.
#[must_use = "the function is called by `.remote(..)`"]
#[derive(Clone)]
pub struct Python {
    function: String,
    options: Options,
}

impl std::fmt::Debug for Python {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Python").field(&self.function).finish()
    }
}

pass_on! {
    [impl [] Python => options]
    {
        /// A name for the task, in errors. Default: that of the function.
        name(name: impl Into<String>);
        /// How many CPUs the task takes.
        num_cpus(num_cpus: impl Into<f64>);
        /// How much of a named resource the task takes.
        resource(name: impl Into<String>, amount: impl Into<f64>);
        /// How often the task is tried again when its worker is lost.
        max_retries(max_retries: u32);
        /// Which of several waiting tasks goes first: the one with the highest.
        priority(priority: i32);
        /// Where on a cluster the task is to run. Only on the engine `ray`.
        placement(placement: impl Into<Placement>);
    }
}

static PYTHON: Function = Function::new("python", module_path!(), file!(), line!());

/// Workers of this program are not asked to run it.
static REGISTERED: Registered = Registered::new(
    || &PYTHON,
    |start, _, body| {
        let here = start.here(&PYTHON);
        let result: Result<()> = Err(unfit("a call of a Python function"));
        crossing::end(here, result, false, body, Way::new().encode, &REGISTERED, None)
    },
    |_| {
        let call = Call { function: &PYTHON, called_at: Location::caller() };
        Ref::<()>::complete(Err(unfit("a call of a Python function")), call).into_any()
    },
    |_| None,
);

impl Python {
    /// Calls the function with a tuple of arguments, each a value or a ref.
    #[track_caller]
    pub fn remote<T>(self, arguments: impl PythonArgs) -> ObjectRef<T>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let call = Call { function: &PYTHON, called_at: Location::caller() };
        self.submit(&arguments, call)
            .unwrap_or_else(|error| Ref::complete(Err(error.through(call)), call))
            .into()
    }

    fn submit<T>(self, arguments: &impl PythonArgs, call: Call) -> Result<Ref<T>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let Self { function, options } = self;
        if !function
            .split_once(':')
            .is_some_and(|(module, name)| !module.is_empty() && !name.is_empty())
        {
            let message =
                format!("{function:?} is no function of Python's: write \"module:function\"");
            return Err(Error::new(ErrorKind::Value, message));
        }
        let place = default::with_current(current::next_place);
        let upstream = cluster::way_to_python()?;
        let mut asked = options.into_asked(None)?;
        asked.python = true;
        asked.name.get_or_insert_with(|| function.clone());
        let wanted = (function, wire::is_array::<T>());
        let pack = |packing: &mut Packing<'_>| {
            packing.value(&wanted)?;
            arguments.pack(packing)
        };
        let way = Way::<T>::new();
        crossing::send_upstream(upstream, &REGISTERED, pack, way, Some(asked), call, &place)
    }
}

/// The arguments of a Python function: a tuple of up to 12 values and refs.
pub trait PythonArgs {
    #[doc(hidden)]
    fn pack(&self, packing: &mut Packing<'_>) -> Result<()>;
}

/// Packs an argument, which is a ref or a value.
fn pack(argument: &impl Serialize, packing: &mut Packing<'_>) -> Result<()> {
    let encoded = wire::encode(argument)?;
    match &encoded.held[..] {
        [] => packing.written(|sink| argument::write(sink, &encoded.bytes).map(|()| Vec::new())),
        [Held { id, .. }] if wire::encode(id)?.bytes == encoded.bytes => {
            let any = ids::find(*id).ok_or_else(|| unfit("a handle of an actor"))?;
            if !coder::is_noted(&any) {
                return Err(unfit("an object that only this process can encode"));
            }
            packing.object(&any)
        }
        _ => {
            let message = "refs inside of values mean nothing to Python: pass them as arguments";
            Err(Error::new(ErrorKind::Serialization, message))
        }
    }
}

impl PythonArgs for () {
    fn pack(&self, _: &mut Packing<'_>) -> Result<()> {
        Ok(())
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Serialize, $($rest: Serialize),*> PythonArgs for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "each value goes by the name of its type")]
            fn pack(&self, packing: &mut Packing<'_>) -> Result<()> {
                let ($first, $($rest,)*) = self;
                pack($first, packing)?;
                $(pack($rest, packing)?;)*
                Ok(())
            }
        }
        tuples! { $($rest)* }
    };
    () => {};
}

tuples! { A B C D E F G H I J K L }
