//! `mobula::random` beside NumPy: `numpy/vectors.json` has what NumPy draws, and all of it must be equal.
//!
//! The file and the tables of the ziggurats are made by the scripts beside it. A difference names the
//! generator, the seed and the call.

use mobula::ErrorKind;
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
    /// What the C library gave that NumPy asked, for each precision.
    library: Library,
    seed_sequences: Vec<SeedVector>,
    bit_streams: Vec<BitStream>,
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Library {
    f64: String,
    f32: String,
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
    let Vectors { programs, library, .. } = vectors();
    assert!(programs.len() > 20);
    let library = SameLibrary::find(&library);
    let wrong: Vec<String> = programs
        .iter()
        .flat_map(|program| match program.generator.as_str() {
            "PCG64" => run(Pcg64::new(&program.seed), program, library),
            "PCG64DXSM" => run(Pcg64Dxsm::new(&program.seed), program, library),
            "Philox" => run(Philox::new(&program.seed), program, library),
            other => panic!("no generator is called `{other}`"),
        })
        .collect();
    let shown = &wrong[..wrong.len().min(20)];
    assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), shown.join("\n"));
}

/// Whether this machine's C library rounds as the one did that NumPy asked.
#[derive(Clone, Copy)]
struct SameLibrary {
    f64: bool,
    f32: bool,
}

impl SameLibrary {
    fn find(library: &Library) -> Self {
        let (f64, f32) = library_digests();
        let same = Self { f64: f64 == library.f64, f32: f32 == library.f32 };
        for (same, type_name) in [(same.f64, "f64"), (same.f32, "f32")] {
            if !same {
                eprintln!(
                    "this C library rounds {type_name} otherwise than that of the vectors: where one of \
                     its functions decides, a difference is no mistake; numpy/make_vectors.py makes \
                     vectors for it"
                );
            }
        }
        same
    }

    /// Whether this call must give the very same bits.
    fn decides(self, call: &Call) -> bool {
        const NEVER_ASKED: [&str; 8] = [
            "random",
            "uniform",
            "integers",
            "choice",
            "shuffle",
            "permutation",
            "permutation_of",
            "bytes",
        ];
        let same =
            if call.r#type.as_deref() == Some("f32") { self.f32 && self.f64 } else { self.f64 };
        same || NEVER_ASKED.contains(&call.call.as_str())
    }
}

/// What this machine's C library gives, for both precisions: `library` in `make_vectors.py`.
fn library_digests() -> (String, String) {
    let places = (0..4096).map(|k| (f64::from(k) + 0.5) / 4096.0);
    let doubles =
        places.clone().flat_map(|x| [(-8.0 * x).exp(), x.ln(), (-x).ln_1p(), x.powf(3.3)]);
    let singles = places.flat_map(|x| {
        let x = x as f32;
        [(-8.0 * x).exp(), x.ln(), (-x).ln_1p(), x.powf(3.3)]
    });
    (seen(&doubles.collect::<Vec<f64>>()).1, seen(&singles.collect::<Vec<f32>>()).1)
}

/// Makes the calls of a program, and tells the first that differs. With another C library a program ends
/// where that makes a difference: what follows is drawn from other bits.
fn run(bits: impl Rng, program: &Program, library: SameLibrary) -> Option<String> {
    let mut rng = Generator::new(bits);
    for (nth, call) in program.calls.iter().enumerate() {
        let (shown, digest) = make(&mut rng, call);
        if digest != call.digest {
            if !library.decides(call) {
                return None;
            }
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

#[test]
fn every_size_takes_the_same_draws_in_logical_order() {
    let expected: Vec<f64> = default_rng(1).random(6);
    let drawn: Array2<f64> = default_rng(1).random((2, 3));
    assert_eq!(drawn.iter().copied().collect::<Vec<_>>(), expected);
    let drawn: Array3<f64> = default_rng(1).random([1, 3, 2]);
    assert_eq!(drawn.iter().copied().collect::<Vec<_>>(), expected);
    let drawn: Array1<f64> = default_rng(1).random((6,));
    assert_eq!(drawn.to_vec(), expected);
    let drawn: ArrayD<f64> = default_rng(1).random(IxDyn(&[3, 1, 2]));
    assert_eq!(
        (drawn.shape(), drawn.iter().copied().collect()),
        (&[3, 1, 2][..], expected.clone())
    );

    let mut rng = default_rng(1);
    assert_eq!((0..6).map(|_| rng.random(())).collect::<Vec<f64>>(), expected);
    let mut places = [0.0; 6];
    default_rng(1).random(&mut places);
    assert_eq!(places[..], expected);
    let mut places = vec![0.0; 6];
    default_rng(1).random(&mut places);
    assert_eq!(places, expected);
    default_rng(1).random(&mut places[1..]);
    assert_eq!(places[1..], expected[..5]);

    // A part of an array: every other column, and the rows and columns exchanged.
    let mut table = Array2::<f64>::zeros((2, 6));
    default_rng(1).random(&mut table.slice_mut(s![.., ..;2]));
    let filled: Vec<f64> = table.slice(s![.., ..;2]).iter().copied().collect();
    assert_eq!((filled, table.column(1).sum()), (expected.clone(), 0.0));
    let mut table = Array2::<f64>::zeros((3, 2)).reversed_axes();
    default_rng(1).random(&mut table);
    assert_eq!(table.iter().copied().collect::<Vec<_>>(), expected);
    let nothing: Array2<f64> = default_rng(1).random((0, 3));
    assert_eq!(nothing.dim(), (0, 3));
}

#[test]
fn machine_words_are_drawn_as_their_fixed_widths() {
    let wide: Vec<usize> = default_rng(1).integers(3.., 100).unwrap();
    let fixed: Vec<u64> = default_rng(1).integers(3..=u64::MAX, 100).unwrap();
    assert_eq!(wide.iter().map(|x| *x as u64).collect::<Vec<_>>(), fixed);
    let wide: Vec<isize> = default_rng(1).integers(-5..1000, 100).unwrap();
    let fixed: Vec<i64> = default_rng(1).integers(-5..1000, 100).unwrap();
    assert_eq!(wide.iter().map(|x| *x as i64).collect::<Vec<_>>(), fixed);
    let all: Vec<i8> = default_rng(1).integers(.., 100).unwrap();
    let ends: Vec<i8> = default_rng(1).integers(-128..=127, 100).unwrap();
    assert_eq!(all, ends);
}

#[test]
fn the_rand_crates_work_on_the_bits() {
    fn same_start<B: Rng + SeedableRng + PartialEq + std::fmt::Debug>(made: B, bytes: &[u8]) {
        assert_eq!(B::seed_from_u64(42), made);
        let mut seed = B::Seed::default();
        seed.as_mut().copy_from_slice(bytes);
        assert_eq!(B::from_seed(seed), made);
    }
    let words = SeedSequence::new(42).generate_state::<u64>(4);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    same_start(Pcg64::new(42), &bytes);
    same_start(Pcg64Dxsm::new(42), &bytes);
    same_start(Philox::new(42), &bytes[..16]);

    // The same bits give the same numbers, from a generator and from what it runs on.
    let (mut rng, mut bits) = (default_rng(42), Pcg64::new(42));
    for _ in 0..100 {
        let x: f64 = rng.sample(rand_distr::StandardNormal);
        let y: f64 = bits.sample(rand_distr::StandardNormal);
        assert_eq!(x, y);
        assert_eq!(rng.random_range(0..1000), bits.random_range(0..1000));
    }
    let (mut a, mut b) = ([0; 21], [0; 21]);
    rng.fill_bytes(&mut a);
    bits.fill_bytes(&mut b);
    assert_eq!((a, rng.bit_generator()), (b, &bits));

    // And any generator of `rand` will do.
    let mut other = Generator::new(rand_pcg::Pcg32::seed_from_u64(1));
    let x: f64 = other.standard_normal(());
    assert!(x.is_finite());
}

#[test]
fn states_travel_in_the_middle_of_a_word_and_of_a_block() {
    fn travels<B: Rng + serde::Serialize + DeserializeOwned>(bits: B) {
        let mut rng = Generator::new(bits);
        let _: Vec<f64> = rng.random(5);
        let _: f32 = rng.random(());
        let text = serde_json::to_string(&rng).unwrap();
        let mut arrived: Generator<B> = serde_json::from_str(&text).unwrap();
        for _ in 0..10 {
            let (x, y): (f32, f32) = (rng.random(()), arrived.random(()));
            let (u, v): (f64, f64) = (rng.random(()), arrived.random(()));
            assert_eq!((x, u), (y, v));
        }
    }
    travels(Pcg64::new(1));
    travels(Pcg64Dxsm::new(1));
    travels(Philox::new(1));

    let mut seed = SeedSequence::new([7, 8]).with_pool_size(6).unwrap().descendant(&[3, 1 << 40]);
    seed.spawn(5);
    let text = serde_json::to_string(&seed).unwrap();
    let mut arrived: SeedSequence = serde_json::from_str(&text).unwrap();
    assert_eq!(arrived, seed);
    assert_eq!(arrived.spawn(1), seed.spawn(1));
    let too_small = text.replace("\"pool_size\":6", "\"pool_size\":1");
    let error = serde_json::from_str::<SeedSequence>(&too_small).unwrap_err();
    assert!(error.to_string().contains("at least 4 words"), "{error}");
}

#[test]
fn parameters_that_make_no_sense_are_told() {
    fn refused<T: std::fmt::Debug>(result: mobula::Result<T>, says: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value, "{error}");
        assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
    }
    let rng = &mut default_rng(1);
    refused(rng.normal(0.0, -1.0, ()), "scale is -1, and must be 0 or more");
    refused(rng.normal(0.0, f64::NAN, ()), "scale is NaN");
    refused(rng.uniform(1.0, 0.0, 2), "high - low is -1");
    refused(rng.uniform(f64::MIN, f64::MAX, 2), "high - low is inf");
    refused(rng.exponential(-0.5, (2, 2)), "scale is -0.5");
    refused(rng.standard_gamma(-1.0_f32, ()), "shape is -1");
    refused(rng.gamma(1.0, f64::NAN, ()), "scale is NaN");
    refused(rng.gamma(-1.0, 1.0, ()), "shape is -1");
    refused(rng.beta(0.0, 1.0, ()), "a is 0, and must be above 0");
    refused(rng.beta(1.0, f64::NAN, ()), "b is NaN");
    refused(rng.chisquare(0.0, ()), "df is 0");
    refused(rng.poisson(-1.0, ()), "lam is -1");
    refused(rng.poisson(9.3e18, ()), "at most");
    refused(rng.poisson(f64::NAN, ()), "lam is NaN");
    refused(rng.binomial(-1, 0.5, ()), "n is -1");
    refused(rng.binomial(1, 1.1, ()), "p is 1.1, and must be from 0 to 1");
    refused(rng.binomial(1, f64::NAN, ()), "p is NaN");
    refused(rng.integers(5..5, ()), "no whole number");
    refused(rng.integers(..i8::MIN, ()), "no whole number");
    refused(rng.choice(0).draw(1), "empty population");
    refused(rng.choice(3).replace(false).draw(4), "4 of 3 cannot be chosen without replacement");
    refused(rng.choice(3).p(&[0.5, 0.5]).draw(1), "2 probabilities for a population of 3");
    refused(rng.choice(2).p(&[0.5, 0.6]).draw(1), "sum to 1.1");
    refused(rng.choice(2).p(&[1.5, -0.5]).draw(1), "-0.5 is not a probability");
    refused(rng.choice(2).p(&[f64::NAN, 1.0]).draw(1), "NaN is not a probability");
    refused(
        rng.choice(2).p(&[1.0, 0.0]).replace(false).draw(2),
        "only 1 probabilities are above 0",
    );
    refused(SeedSequence::new(1).with_pool_size(3), "at least 4 words");

    // None of them has drawn anything.
    assert_eq!(rng, &mut default_rng(1));
    // Nothing can be chosen from nothing.
    assert!(rng.choice(0).draw(0).unwrap().is_empty());
}

#[test]
#[should_panic(expected = "the seed -1 is negative")]
fn a_negative_seed_is_refused() {
    default_rng(-1);
}

#[test]
fn lists_are_chosen_from_and_permuted_by_their_places() {
    let letters = ["a", "b", "c", "d", "e"];
    let place = |place: usize| letters[place];
    let places: Vec<usize> = default_rng(1).choice(5).draw(9).unwrap();
    let expected: Vec<&str> = places.into_iter().map(place).collect();
    assert_eq!(default_rng(1).choice(&letters).draw(9).unwrap(), expected);
    assert_eq!(default_rng(1).choice(&letters[..]).draw(9).unwrap(), expected);
    assert_eq!(default_rng(1).choice(&letters.to_vec()).draw(9).unwrap(), expected);
    let array = Array1::from_vec(letters.to_vec());
    let table = default_rng(1).choice(&array).draw((3, 3)).unwrap();
    assert_eq!(table.into_raw_vec_and_offset().0, expected);
    assert_eq!(default_rng(1).choice(&array).draw(()).unwrap(), expected[0]);

    let mut shuffled = letters;
    default_rng(1).shuffle(&mut shuffled);
    assert_eq!(default_rng(1).permutation(&letters), shuffled);
}

#[test]
fn seeds_from_the_operating_system_differ_and_can_be_made_again() {
    let (a, b) = (SeedSequence::from_os().unwrap(), SeedSequence::from_os().unwrap());
    assert_ne!(a, b);
    assert_eq!(SeedSequence::new(a.entropy()), a);
}
