//! The random numbers of a task.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::local::caller::Lent;
use crate::local::current;
use crate::random::{Generator, Real, Size};

/// The random numbers of the task, or of the call of an actor, that runs here: a stream of its own, made
/// from the runtime's seed and from the place of the call in the tree of calls. The same seed gives the same
/// numbers on any number of CPUs, on every engine, in a further try of the task, and in
/// [`map`](crate::map()) with chunks of any size.
///
/// ```
/// use mobula::prelude::*;
/// use mobula::random::{Generator, Pcg64, SeedSequence};
///
/// #[remote]
/// fn mean(n: usize) -> f64 {
///     let draws: Vec<f64> = mobula::rng().standard_normal(n);
///     draws.iter().sum::<f64>() / n as f64
/// }
///
/// let runtime = Runtime::new(Config::new().num_cpus(2).seed(42))?;
/// let _entered = runtime.enter();
/// let means: Vec<_> = (0..10).map(|_| mean::remote(1000)).collect();
///
/// // The tasks of a loop have the streams that NumPy gives by SeedSequence(42).spawn(10).
/// let child = &SeedSequence::new(42).spawn(10)[7];
/// let draws: Vec<f64> = Generator::new(Pcg64::new(child)).standard_normal(1000);
/// assert_eq!(mobula::get(&means[7])?, draws.iter().sum::<f64>() / 1000.0);
/// # Ok::<(), mobula::Error>(())
/// ```
///
/// # Which stream
///
/// That of `np.random.default_rng(np.random.SeedSequence(seed, spawn_key=way))`, where `way` are the indices
/// of the calls that led here, each counted by its caller from 0, whatever was called:
///
/// | where | `way` |
/// |---|---|
/// | the thread that started the runtime, outside of tasks | `()` |
/// | the `i`th call of that thread: of a function, a closure, a constructor or a method | `(i,)` |
/// | the `j`th call of that task | `(i, j)` |
/// | item `k` of a `map` that was the `i`th call | `(i, k)` |
/// | the `t`th other thread outside of tasks, from 1, in the order of their first calls | `(2**64 - t,)` |
///
/// A call that fails at once, because it can never be granted what it asks for, counts like any other. A
/// `map` counts where it is made, and an actor's restart begins its constructor's stream again.
///
/// # More than one
///
/// What is drawn here is not drawn again: once the generator is dropped, the next call in the same task goes
/// on where it was left. While it is held, further ones are streams of their own, as if the task had called
/// something at this point.
///
/// The seed is [`Config::seed`](crate::Config::seed), else `MOBULA_SEED`, else another one for each runtime;
/// [`Runtime::seed`](crate::Runtime::seed) tells it. Outside of tasks this starts the default runtime, if
/// there is none.
#[must_use = "it draws nothing by itself"]
pub fn rng() -> TaskRng {
    TaskRng(current::lend_stream())
}

/// What [`rng`] gives: a [`Generator`] of [`Pcg64`](crate::random::Pcg64) numbers, for as long as it is held.
/// It may be held across an await, and passed on as `&mut Generator`.
pub struct TaskRng(Lent);

impl TaskRng {
    /// Uniform numbers from 0 to below 1: [`Generator::random`], also where `rand`'s method of this name is
    /// in scope.
    pub fn random<T: Real, S: Size<T>>(&mut self, size: S) -> S::Output {
        self.0.generator.random(size)
    }
}

impl Deref for TaskRng {
    type Target = Generator;

    fn deref(&self) -> &Generator {
        &self.0.generator
    }
}

impl DerefMut for TaskRng {
    fn deref_mut(&mut self) -> &mut Generator {
        &mut self.0.generator
    }
}

impl fmt::Debug for TaskRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskRng").field(&self.0.generator).finish()
    }
}
