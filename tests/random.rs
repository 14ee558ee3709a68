//! `mobula::random` beside NumPy: `numpy/vectors.json` has what NumPy draws, and all of it must be equal.
//!
//! The file and the tables of the ziggurats are made by the scripts beside it. A difference names the
//! generator, the seed and the call.

use mobula::random::{
    Generator, Integer, Pcg64, Pcg64Dxsm, Philox, Real, Seed, SeedSequence, default_rng,
};
use ndarray::{Array1, Array2, Array3, ArrayD, IxDyn, s};
use rand::{Rng, RngExt, SeedableRng};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Vectors {
    seed_sequences: Vec<SeedVector>,
    bit_streams: Vec<BitStream>,
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct SeedVector {
    seed: SeedValue,
    way: Vec<u64>,
    pool_size: usize,
    u32: Vec<u32>,
    u64: Vec<String>,
    /// The way to a grandchild, and the first word of its state.
    spawned: (Vec<u64>, u32),
}

/// A number of up to 128 bits as a text, or a list of numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum SeedValue {
    Number(String),
    List(Vec<u64>),
}

impl Seed for &SeedValue {
    fn into_seed_sequence(self) -> SeedSequence {
        match self {
            SeedValue::Number(text) => SeedSequence::new(parse::<u128>(text)),
            SeedValue::List(list) => SeedSequence::new(list),
        }
    }
}

#[derive(Deserialize)]
struct BitStream {
    generator: String,
    seed: Option<SeedValue>,
    key: Option<[String; 2]>,
    counter: Option<[String; 4]>,
    steps: Vec<Step>,
}

/// A move, and the bits after it.
#[derive(Deserialize)]
struct Step {
    r#move: String,
    by: String,
    u64: Vec<String>,
    u32: Vec<u32>,
}

#[derive(Deserialize)]
struct Program {
    generator: String,
    seed: SeedValue,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    call: String,
    arguments: Vec<Value>,
    n: usize,
    r#type: Option<String>,
    /// The first values, for people.
    shown: Vec<String>,
    digest: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("numpy/vectors.json")).expect("the vectors can be read")
}

fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number of this kind"))
}

#[test]
fn seed_sequences_and_their_trees_are_numpys() {
    for vector in vectors().seed_sequences {
        let root = SeedSequence::new(&vector.seed).with_pool_size(vector.pool_size).unwrap();
        let mut seed = root.descendant(&vector.way);
        let about = format!("{:?}, {:?}, pool of {}", vector.seed, vector.way, vector.pool_size);
        assert_eq!(seed.generate_state::<u32>(vector.u32.len()), vector.u32, "{about}");
        let words: Vec<String> =
            seed.generate_state::<u64>(vector.u64.len()).iter().map(u64::to_string).collect();
        assert_eq!(words, vector.u64, "{about}");

        // Child by child is the same way, and a pool that changes its size later is the same pool.
        let by_steps = vector.way.iter().fold(root, |seed, index| seed.child(*index));
        assert_eq!(by_steps, seed, "{about}");
        let later = SeedSequence::new(&vector.seed).descendant(&vector.way);
        assert_eq!(later.with_pool_size(vector.pool_size).unwrap(), seed, "{about}");

        assert_eq!(seed.spawn(2).len(), 2);
        let grandchild = seed.spawn(3)[1].spawn(1).remove(0);
        assert_eq!(seed.n_children_spawned(), 5);
        let (way, word) = vector.spawned;
        assert_eq!((grandchild.spawn_key(), grandchild.generate_state(1)), (&way[..], vec![word]));
    }
}

/// What NumPy's bit generators can do beside drawing.
trait Moves: Rng + Clone {
    fn advanced(self, by: u128) -> Self;
    fn jumped(&self, by: u128) -> Self;
}

macro_rules! moves {
    ($($kind:ident, $delta:ident => $by:expr;)*) => {$(
        impl Moves for $kind {
            fn advanced(mut self, $delta: u128) -> Self {
                self.advance($by);
                self
            }

            fn jumped(&self, by: u128) -> Self {
                $kind::jumped(self, by)
            }
        }
    )*};
}

moves! {
    Pcg64, by => by;
    Pcg64Dxsm, by => by;
    Philox, by => [by as u64, (by >> 64) as u64, 0, 0];
}

#[test]
fn bits_halves_advances_and_jumps_are_numpys() {
    for stream in vectors().bit_streams {
        match (stream.generator.as_str(), &stream.seed) {
            ("PCG64", Some(seed)) => compare_bits(Pcg64::new(seed), &stream),
            ("PCG64DXSM", Some(seed)) => compare_bits(Pcg64Dxsm::new(seed), &stream),
            ("Philox", Some(seed)) => compare_bits(Philox::new(seed), &stream),
            ("Philox", None) => {
                let key = stream.key.as_ref().unwrap().each_ref().map(|word| parse(word));
                let counter = stream.counter.as_ref().unwrap().each_ref().map(|word| parse(word));
                compare_bits(Philox::from_key(key, counter), &stream);
            }
            (other, _) => panic!("no generator is called `{other}`"),
        }
    }
}

fn compare_bits(mut bits: impl Moves, stream: &BitStream) {
    for (nth, step) in stream.steps.iter().enumerate() {
        bits = match step.r#move.as_str() {
            "stay" => bits,
            "advance" => bits.advanced(parse(&step.by)),
            "jumped" => bits.jumped(parse(&step.by)),
            other => panic!("no move is called `{other}`"),
        };
        let whole: Vec<String> = step.u64.iter().map(|_| bits.next_u64().to_string()).collect();
        let halves: Vec<u32> = step.u32.iter().map(|_| bits.next_u32()).collect();
        let about = format!("{}, seed {:?}, step {nth}", stream.generator, stream.seed);
        assert_eq!((whole, &halves), (step.u64.clone(), &step.u32), "{about}");
    }
}

#[test]
fn distributions_are_numpys() {
    let programs = vectors().programs;
    assert!(programs.len() > 20);
    let wrong: Vec<String> = programs
        .iter()
        .flat_map(|program| match program.generator.as_str() {
            "PCG64" => run(Pcg64::new(&program.seed), program),
            "PCG64DXSM" => run(Pcg64Dxsm::new(&program.seed), program),
            "Philox" => run(Philox::new(&program.seed), program),
            other => panic!("no generator is called `{other}`"),
        })
        .collect();
    let shown = &wrong[..wrong.len().min(20)];
    assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), shown.join("\n"));
}

/// Makes the calls of a program, and tells the first that differs.
fn run(bits: impl Rng, program: &Program) -> Option<String> {
    let mut rng = Generator::new(bits);
    for (nth, call) in program.calls.iter().enumerate() {
        let (shown, digest) = make(&mut rng, call);
        if digest != call.digest {
            return Some(format!(
                "{}, seed {:?}, call {nth}: {}({:?}) of {:?}: {shown:?}, but in NumPy {:?}",
                program.generator, program.seed, call.call, call.arguments, call.r#type, call.shown
            ));
        }
    }
    None
}

/// The first values and the digest of what a call draws.
fn make(rng: &mut Generator<impl Rng>, call: &Call) -> (Vec<String>, String) {
    match (call.call.as_str(), call.r#type.as_deref()) {
        ("integers", Some(kind)) => integers(rng, call, kind),
        (_, Some("f64")) => real::<f64>(rng, call),
        (_, Some("f32")) => real::<f32>(rng, call),
        (_, Some(kind)) => panic!("no type is called `{kind}`"),
        (_, None) => plain(rng, call),
    }
}

fn real<T: Real + DeserializeOwned + Bytes>(
    rng: &mut Generator<impl Rng>,
    call: &Call,
) -> (Vec<String>, String) {
    let n = call.n;
    let drawn: Vec<T> = match call.call.as_str() {
        "random" => rng.random(n),
        "standard_normal" => rng.standard_normal(n),
        "standard_exponential" => rng.standard_exponential(n),
        "standard_gamma" => rng.standard_gamma(argument(call, 0), n).unwrap(),
        other => panic!("nothing is called `{other}`"),
    };
    seen(&drawn)
}

fn plain(rng: &mut Generator<impl Rng>, call: &Call) -> (Vec<String>, String) {
    let n = call.n;
    let pair = || (argument::<f64>(call, 0), argument::<f64>(call, 1));
    let places: Vec<i64> = (0..n as i64).collect();
    match call.call.as_str() {
        "uniform" => seen(&rng.uniform(pair().0, pair().1, n).unwrap()),
        "normal" => seen(&rng.normal(pair().0, pair().1, n).unwrap()),
        "gamma" => seen(&rng.gamma(pair().0, pair().1, n).unwrap()),
        "beta" => seen(&rng.beta(pair().0, pair().1, n).unwrap()),
        "exponential" => seen(&rng.exponential(argument(call, 0), n).unwrap()),
        "chisquare" => seen(&rng.chisquare(argument(call, 0), n).unwrap()),
        "poisson" => seen(&rng.poisson(argument(call, 0), n).unwrap()),
        "binomial" => seen(&rng.binomial(argument(call, 0), argument(call, 1), n).unwrap()),
        "choice" => choice(rng, call),
        "shuffle" => {
            let mut items = places;
            rng.shuffle(&mut items);
            seen(&items)
        }
        "permutation" => seen(&as_i64(&rng.permutation(n))),
        "permutation_of" => seen(&rng.permutation(&places)),
        "bytes" => seen(&rng.bytes(n)),
        other => panic!("nothing is called `{other}`"),
    }
}

fn choice(rng: &mut Generator<impl Rng>, call: &Call) -> (Vec<String>, String) {
    let p: Option<Vec<f64>> = argument(call, 2);
    let choice = rng.choice(argument::<usize>(call, 0)).replace(argument(call, 1));
    let choice = choice.shuffle(argument(call, 3));
    let choice = match &p {
        Some(p) => choice.p(p),
        None => choice,
    };
    seen(&as_i64(&choice.draw(call.n).unwrap()))
}

fn integers(rng: &mut Generator<impl Rng>, call: &Call, kind: &str) -> (Vec<String>, String) {
    fn within<T: Integer + Bytes + std::str::FromStr>(
        rng: &mut Generator<impl Rng>,
        call: &Call,
    ) -> (Vec<String>, String) {
        let end = |at: usize| parse::<T>(&argument::<String>(call, at));
        seen(&rng.integers(end(0)..=end(1), call.n).unwrap())
    }
    match kind {
        "i8" => within::<i8>(rng, call),
        "u8" => within::<u8>(rng, call),
        "i16" => within::<i16>(rng, call),
        "u16" => within::<u16>(rng, call),
        "i32" => within::<i32>(rng, call),
        "u32" => within::<u32>(rng, call),
        "i64" => within::<i64>(rng, call),
        "u64" => within::<u64>(rng, call),
        other => panic!("no type is called `{other}`"),
    }
}

fn argument<T: DeserializeOwned>(call: &Call, at: usize) -> T {
    T::deserialize(&call.arguments[at]).expect("the argument has the right type")
}

/// NumPy's indices.
fn as_i64(indices: &[usize]) -> Vec<i64> {
    indices.iter().map(|index| *index as i64).collect()
}

/// A number as NumPy keeps it in memory.
trait Bytes: Copy + std::fmt::Display {
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! bytes {
    ($($number:ty)*) => {$(
        impl Bytes for $number {
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

bytes!(f64 f32 i8 u8 i16 u16 i32 u32 i64 u64);

fn seen<T: Bytes>(values: &[T]) -> (Vec<String>, String) {
    let mut bytes = Vec::with_capacity(size_of_val(values));
    values.iter().for_each(|value| value.append(&mut bytes));
    let digest: String =
        Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    (values.iter().take(3).map(T::to_string).collect(), digest)
}
