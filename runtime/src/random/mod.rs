//! Random numbers that equal NumPy's, bit for bit.
//!
//! [`default_rng`] gives the stream of `np.random.default_rng`, and its methods have NumPy's names:
//!
//! ```
//! use mobula::random::default_rng;
//! use ndarray::Array2;
//!
//! let mut rng = default_rng(1);
//! // What NumPy gives for rng.normal(10, 2), then rng.random(2), then rng.random((2, 2)).
//! let one = rng.normal(10.0, 2.0, ())?;
//! let list: Vec<f64> = rng.random(2);
//! let table: Array2<f64> = rng.random((2, 2));
//! assert_eq!(one, 10.691168384129572);
//! assert_eq!(list, [0.9504636963259353, 0.14415961271963373]);
//! assert_eq!(table[[1, 0]], 0.42332644897257565);
//! # Ok::<(), mobula::Error>(())
//! ```
//!
//! # Streams for parallel work
//!
//! [`SeedSequence::spawn`] makes a seed for each task from one for all; [`Pcg64::jumped`] makes
//! generators that are far apart in one stream. Both give the same numbers on 1 and on 64 CPUs, if each
//! task has its own. [`mobula::rng`](crate::rng) gives each its own unasked, by the first way.
//!
//! # What is equal, and to what
//!
//! All draws of bits and of whole numbers, and all that is made from them by +, -, *, / and square root,
//! equal NumPy's on every platform where its compiler does not fuse multiplications and additions, such
//! as x86-64. Draws that need a logarithm, an exponential function or a power ask the C library, as NumPy
//! does, and equal a NumPy that runs on the same one; with another one, a value may differ in its last bit.
//! The tests compare with NumPy 2.4 on Linux, x86-64.
//!
//! What NumPy has and this has not: parameters that are arrays; `axis` (choose or permute indices, and
//! `select` by them); and `Generator.spawn`, because a generator does not keep its seed sequence.
//!
//! NumPy promises that bit generators and `SeedSequence` stay as they are; the methods of `Generator` may
//! change with a version of it (NumPy Enhancement Proposal 19), and then differ from these.
//!
//! # For maintainers
//!
//! Reading order: `seed_sequence` and `pool`; `pcg64`, `pcg64_dxsm`, `philox` and `halves` (bits);
//! `generator` and `size` (what is called); then each distribution in the file of its name. All of
//! them are written over `rand`'s `Rng`.

mod beta;
mod binomial;
mod bounded;
mod btpe;
mod choice;
mod exponential;
mod exponential_tables;
mod gamma;
mod generator;
mod halves;
mod integers;
mod normal;
mod normal_tables;
mod pcg64;
mod pcg64_dxsm;
mod philox;
mod poisson;
mod pool;
mod population;
mod real;
mod seed;
mod seed_sequence;
mod shuffle;
mod size;

pub use choice::Choice;
pub use generator::{Generator, default_rng};
pub use integers::Integer;
pub use pcg64::Pcg64;
pub use pcg64_dxsm::Pcg64Dxsm;
pub use philox::Philox;
pub(crate) use pool::Pool;
pub use population::Population;
pub use real::Real;
pub use seed::{Seed, SeedNumber};
pub use seed_sequence::{SeedSequence, StateWord};
pub use size::Size;
