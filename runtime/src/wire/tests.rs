//! The codec: what goes in comes out, whatever else comes in is refused.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use ndarray::{Array0, Array1, Array2, Array3, ArrayD, IxDyn, ShapeBuilder, arr0};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let bytes = encode(value).unwrap().bytes;
    let mut streamed = Vec::new();
    encode_to(value, &mut streamed).unwrap();
    assert!(bytes == streamed);
    bytes
}

#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) -> usize {
    let bytes = bytes_of(&value);
    assert_eq!(decode::<T>(&bytes).unwrap(), value);
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 100) {
        let error = decode::<T>(&bytes[..end]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
    }
    bytes.len()
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum Shape {
    Point,
    Circle(f64),
    Box(f64, u8),
    Polygon { corners: Vec<(f32, f32)>, name: Option<String> },
    Nothing(()),
    Within(Box<Shape>),
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Meters(f64);

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
#[serde(transparent)]
struct Through {
    values: Vec<u16>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Record {
    id: u64,
    name: String,
    values: Vec<f64>,
    table: Array2<f32>,
    parts: (u8, Meters, Through, Unit, ()),
    more: Option<Box<Record>>,
}

#[test]
fn values_come_back() {
    comes_back(());
    comes_back(Unit);
    comes_back(true);
    comes_back('ß');
    comes_back("text".to_owned());
    comes_back("x".repeat(70_000));
    comes_back((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX));
    comes_back((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN));
    comes_back((u128::from(u64::MAX), i128::from(i64::MIN), i128::from(u64::MAX), 0i128, -1i128));
    comes_back((f32::MIN_POSITIVE, f64::MAX, f32::INFINITY, -0.0));
    comes_back(Meters(1.5));
    comes_back([1u64, 2, 3]);
    comes_back((Some(1), None::<u8>, vec![Some("a".to_owned()), None]));
    comes_back(BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    comes_back(HashMap::from([(1u8, vec![1.0]), (2, vec![])]));
    comes_back(HashSet::from(['a', 'b']));
    comes_back(Ok::<u8, String>(1));
    comes_back(Err::<u8, String>("no".to_owned()));
    comes_back(std::time::Duration::from_nanos(1_000_000_001));
    comes_back(uuid::Uuid::from_u128(7));
    comes_back(Arc::new(5));
    let corners = vec![(0.5, 1.0); 3];
    comes_back(vec![
        Shape::Point,
        Shape::Circle(2.0),
        Shape::Box(1.0, 2),
        Shape::Polygon { corners, name: Some("triangle".to_owned()) },
        Shape::Nothing(()),
        Shape::Within(Box::new(Shape::Point)),
    ]);
    let record = Record {
        id: 7,
        name: "seven".to_owned(),
        values: vec![1.0; 1000],
        table: Array2::from_shape_fn((3, 4), |(i, j)| (i * 4 + j) as f32),
        parts: (1, Meters(2.0), Through { values: vec![1, 2] }, Unit, ()),
        more: None,
    };
    comes_back(Record { more: Some(Box::new(record.clone())), ..record });
}

#[test]
fn what_is_around_nothing_comes_back() {
    comes_back(vec![None, Some(None), Some(Some(None)), Some(Some(Some(())))]);
    comes_back([None, Some(()), Some(())]);
    comes_back((Some(Unit), Some(None::<Vec<f64>>), Some(Some(vec![1.0]))));
    comes_back(vec![Some(Some(())); 300]);
    comes_back(BTreeMap::from([(1, Some(None)), (2, None), (3, Some(Some(2)))]));
}

#[test]
fn numbers_lie_raw() {
    macro_rules! raw {
        ($($number:ident)*) => { $(
            let all: Vec<$number> = (0..250).map(|x| (x % 100) as $number).collect();
            let raw = 250 * size_of::<$number>();
            assert!(comes_back(all.clone()) <= raw + 12);
            assert!(comes_back(all.clone().into_boxed_slice()) <= raw + 12);
            assert!(comes_back(VecDeque::from(all.clone())) <= raw + 12);
            assert!(comes_back(Array1::from(all.clone())) <= raw + 25);
            assert!(comes_back(Some(all.clone())) <= raw + 12);
            let arc: Arc<[$number]> = all.clone().into();
            assert!(bytes_of(&arc) == bytes_of(&all));
            assert!(bytes_of(&all[..]) == bytes_of(&all));
            assert!(bytes_of(&&all[..]) == bytes_of(&all));
            assert!(bytes_of(&VecDeque::from(all.clone())) == bytes_of(&all));
            comes_back(Vec::<$number>::new());
        )* };
    }
    raw! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 usize isize }
    assert_eq!(comes_back(vec![true, false, true, true]), 1 + 2 + 4);
    assert!(comes_back(vec![vec![1.0f64; 100]; 3]) < 2500);
    assert!(comes_back(BTreeMap::from([(1u8, vec![1.0f64; 100])])) < 820);
    // In memory they are not one piece.
    let mut ring = VecDeque::from(vec![1.0; 10]);
    ring.rotate_left(3);
    ring.push_front(2.0);
    comes_back(ring);
}

#[test]
fn bits_stay_as_they_are() {
    let strange = vec![f64::from_bits(0x7ff8_dead_beef_0001), -0.0, f64::from_bits(1)];
    let back: Vec<f64> = decode(&bytes_of(&strange)).unwrap();
    assert!(strange.iter().zip(back).all(|(a, b)| a.to_bits() == b.to_bits()));
    let back: f64 = decode(&bytes_of(&strange[0])).unwrap();
    assert_eq!(back.to_bits(), strange[0].to_bits());
}

#[test]
fn long_arrays_come_in_pieces() {
    let long: Vec<f64> = (0..5000).map(f64::from).collect();
    assert!(long.len() * 8 > 2 * raw::PIECE_BYTES_MAX);
    assert!(comes_back(long.clone()) < 5000 * 8 + 60);
    assert!(bytes_of(&VecDeque::from(long.clone())) == bytes_of(&long));
    comes_back(VecDeque::from(long.clone()));
    comes_back((Array1::from(long.clone()), vec![long.clone(), long.clone()], 1));
    comes_back(Array2::from_shape_vec((50, 100), long.clone()).unwrap());
    // Of full pieces only.
    comes_back(vec![1u8; 2 * raw::PIECE_BYTES_MAX]);
    // The second piece is of another kind.
    let mut bytes = bytes_of(&long);
    let second = 1 + 1 + 4 + raw::PIECE_BYTES_MAX + 3;
    assert_eq!(bytes[second] as i8, numbers::Kind::F64 as i8 + 64);
    bytes[second] = numbers::Kind::U64 as u8 + 64;
    assert!(decode::<Vec<f64>>(&bytes).is_err());
}

#[test]
fn arrays_of_every_shape_come_back() {
    comes_back(arr0(5.0));
    comes_back(Array0::from_elem((), "text".to_owned()));
    comes_back(Array2::<f64>::zeros((0, 3)));
    comes_back(Array3::from_shape_fn((2, 3, 4), |(i, j, k)| i + 10 * j + 100 * k));
    comes_back(ArrayD::from_shape_fn(IxDyn(&[2, 1, 2, 3, 1]), |at| at[0] as i32 + at[3] as i32));
    comes_back(Array2::from_shape_fn((3, 5).f(), |(i, j)| i as f64 - j as f64));
    comes_back(Array2::from_shape_fn((3, 5), |(i, j)| i as u8 - j.min(i) as u8).reversed_axes());
    let every_second = Array1::from_iter(0..10).slice_move(ndarray::s![..;2]);
    comes_back(every_second);
}

/// Notes where what is written to it lies, and how long it is.
#[derive(Default)]
struct Addresses(Vec<(*const u8, usize)>);

impl io::Write for Addresses {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push((bytes.as_ptr(), bytes.len()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Addresses {
    fn of<T: Serialize>(value: &T) -> Self {
        let mut sink = Self::default();
        encode_to(value, &mut sink).unwrap();
        sink
    }
}

#[test]
fn long_values_go_to_a_sink_without_a_copy() {
    let array = Array2::from_shape_fn((500, 3), |(i, j)| (3 * i + j) as f64);
    let shared = array.to_shared();
    let text = "x".repeat(2 * raw::PIECE_BYTES_MAX);
    let sink = Addresses::of(&(&array, Some(vec![shared.clone()]), &text));
    for at in [array.as_ptr().cast(), shared.as_ptr().cast(), text.as_ptr()] {
        assert!(sink.0.iter().any(|(address, _)| *address == at), "it was copied");
    }
    // What does not lie in one piece is copied in small parts.
    let scattered = Array2::from_shape_fn((500, 3).f(), |(i, j)| (3 * i + j) as f64);
    assert!(Addresses::of(&scattered).0.iter().all(|(_, bytes)| *bytes < 200));
    assert!(bytes_of(&scattered) == bytes_of(&array));
    assert!(bytes_of(&shared) == bytes_of(&array));
}

#[test]
fn only_arrays_are_taken_for_arrays() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Array {
        v: u8,
        dim: Array1<u16>,
        data: Vec<String>,
    }
    comes_back(Array { v: 1, dim: Array1::from(vec![1, 2]), data: vec!["a".to_owned()] });
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(transparent)]
    struct Around(Array2<f64>);
    let array = Array2::from_shape_fn((5, 3), |(i, j)| (3 * i + j) as f64);
    assert!(bytes_of(&Around(array.clone())) == bytes_of(&array));
    comes_back(Around(array));
}

#[test]
fn an_array_with_a_shape_is_no_list_and_says_what_it_is() {
    let bytes = bytes_of(&Array2::<f64>::zeros((2, 3)));
    let error = decode::<Vec<Vec<f64>>>(&bytes).unwrap_err();
    assert!(error.to_string().contains("`Array2<f64>`"), "{error}");
    // A map is another matter.
    let map = std::collections::BTreeMap::from([("v", 1), ("w", 2), ("x", 3)]);
    assert!(decode::<Vec<u8>>(&bytes_of(&map)).is_err());
    comes_back(std::collections::BTreeMap::from(
        [("v", 1), ("w", 2), ("x", 3)].map(|(key, value)| (key.to_owned(), value)),
    ));
}

#[test]
fn numbers_are_read_as_what_is_asked_for() {
    let bytes = bytes_of(&vec![1u32, 2, 3]);
    assert_eq!(decode::<Vec<u64>>(&bytes).unwrap(), [1, 2, 3]);
    assert_eq!(decode::<Vec<Option<u8>>>(&bytes).unwrap(), [Some(1), Some(2), Some(3)]);
    assert_eq!(decode::<(u8, u16, i64)>(&bytes).unwrap(), (1, 2, 3));
    assert_eq!(decode::<[f64; 3]>(&bytes).unwrap(), [1.0, 2.0, 3.0]);
    assert!(decode::<[f64; 2]>(&bytes).is_err());
    assert!(decode::<Vec<u8>>(&bytes_of(&vec![1u32, 256])).is_err());
    assert!(decode::<Vec<u32>>(&bytes_of(&vec![0.5f32])).is_err());
    assert_eq!(decode::<Vec<f64>>(&bytes_of(&[0.5f64; 3])).unwrap(), [0.5; 3]);
}

/// A sequence that is not what it says.
struct Odd<F>(F);

impl<F: Fn(&mut dyn FnMut(Element)) -> Option<usize>> Serialize for Odd<F> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut elements = Vec::new();
        let announced = (self.0)(&mut |element| elements.push(element));
        let mut sequence = serializer.serialize_seq(announced)?;
        for element in &elements {
            match element {
                Element::Small(number) => sequence.serialize_element(number)?,
                Element::Real(number) => sequence.serialize_element(number)?,
                Element::Text(text) => sequence.serialize_element(text)?,
            }
        }
        sequence.end()
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Element {
    Small(u8),
    Real(f64),
    Text(String),
}

#[test]
fn mixed_sequences_are_written_as_values() {
    use Element::{Real, Small, Text};
    for announced in [None, Some(4)] {
        let mixed = Odd(move |push: &mut dyn FnMut(Element)| {
            push(Small(1));
            push(Small(2));
            push(Real(0.5));
            push(Text("three".to_owned()));
            announced
        });
        let back: Vec<Element> = decode(&bytes_of(&mixed)).unwrap();
        assert_eq!(back, [Small(1), Small(2), Real(0.5), Text("three".to_owned())]);
    }
    let unannounced = Odd(|push: &mut dyn FnMut(Element)| {
        (0..9).for_each(|_| push(Real(0.5)));
        None
    });
    assert_eq!(bytes_of(&unannounced), bytes_of(&vec![0.5; 9]));
    let of_other_length = Odd(|push: &mut dyn FnMut(Element)| {
        (0..9).for_each(|_| push(Real(0.5)));
        Some(1000)
    });
    assert_eq!(bytes_of(&of_other_length), bytes_of(&vec![0.5; 9]));
    let wrong = Odd(|push: &mut dyn FnMut(Element)| {
        push(Text("one".to_owned()));
        Some(2)
    });
    let error = encode(&wrong).err().unwrap();
    assert!(error.message().contains("announced 2 elements and wrote 1"), "{error}");
    comes_back(vec![vec![Small(1), Real(0.5)], vec![Text("a".to_owned())]]);
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
    b: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    c: Vec<f64>,
    d: u8,
    #[serde(skip)]
    never: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<Box<Sparse>>,
    #[serde(skip_serializing_if = "is_seven", default = "seven")]
    f: u32,
}

fn seven() -> u32 {
    7
}

fn is_seven(x: &u32) -> bool {
    *x == 7
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    A { x: f64, more: Option<Vec<f64>> },
    B { y: Vec<u8> },
    C(String, u8),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Flat {
    first: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Flatter {
    first: u8,
    #[serde(flatten)]
    shape: Tagged,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "type")]
enum Tagged {
    A { x: f64, values: Vec<f32> },
    B,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "type", content = "content")]
enum Adjacent {
    A(Vec<u64>),
    B { x: Option<i8> },
}

#[test]
fn serde_attributes_work() {
    let full =
        Sparse { a: Some(1), b: vec!["x".to_owned()], c: vec![1.0], d: 2, never: 0, e: None, f: 8 };
    for a in [None, Some(1)] {
        for c in [vec![], vec![1.0, 2.0]] {
            for f in [7, 8] {
                let inner = Sparse { a, c: c.clone(), f, ..full.clone() };
                comes_back((inner.clone(), 5u8));
                comes_back(vec![inner.clone(), full.clone(), inner.clone()]);
                comes_back(Sparse { e: Some(Box::new(inner.clone())), ..inner });
            }
        }
    }
    let rest = BTreeMap::from([("y".to_owned(), 1.0)]);
    let shape = Tagged::A { x: 1.0, values: vec![0.5; 3] };
    comes_back(Flat { first: 1, rest });
    comes_back(Flatter { first: 1, shape });
    comes_back(vec![Tagged::A { x: 1.0, values: vec![] }, Tagged::B]);
    comes_back(vec![Adjacent::A(vec![1, 2]), Adjacent::B { x: None }, Adjacent::B { x: Some(1) }]);
    comes_back(vec![
        Untagged::A { x: 1.0, more: Some(vec![0.5]) },
        Untagged::B { y: vec![1] },
        Untagged::C("c".to_owned(), 2),
    ]);
    let json: serde_json_value::Value = serde_json_value::sample();
    comes_back(json);
}

/// Something that is read by `deserialize_any`.
mod serde_json_value {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    pub enum Value {
        Nothing(()),
        Bool(bool),
        Whole(i64),
        Real(f64),
        Text(String),
        List(Vec<Value>),
        Map(BTreeMap<String, Value>),
    }

    pub fn sample() -> Value {
        let list = [Value::Nothing(()), Value::Bool(true), Value::Whole(-1), Value::Real(0.5)];
        let map = BTreeMap::from([("a".to_owned(), Value::Text("b".to_owned()))]);
        Value::List(list.into_iter().chain([Value::Map(map), Value::List(vec![])]).collect())
    }
}

#[test]
fn without_arrays_of_numbers_it_is_what_rmp_serde_writes() {
    #[derive(Serialize)]
    struct Plain<'a>(u8, i64, &'a str, Option<f32>, Unit, (), [f64; 3], Shape, Vec<Shape>, char);
    let shapes = vec![Shape::Point, Shape::Box(1.0, 200)];
    let name = Some("x".to_owned());
    let polygon = Shape::Polygon { corners: vec![(1.0, 2.0)], name };
    let plain = Plain(200, -300, "abc", None, Unit, (), [0.5; 3], polygon, shapes, 'x');
    let mut expected = vec![VERSION];
    expected.extend(rmp_serde::to_vec_named(&plain).unwrap());
    assert_eq!(bytes_of(&plain), expected);
    let map = BTreeMap::from([(1, "a"), (1000, "b")]);
    assert_eq!(bytes_of(&map)[1..], rmp_serde::to_vec_named(&map).unwrap());
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct List(Option<Box<List>>);

#[test]
fn depth_is_limited_both_ways() {
    let list = |depth| (0..depth).fold(List(None), |list, _| List(Some(Box::new(list))));
    comes_back(list(DEPTH_MAX / 2));
    let error = encode(&list(DEPTH_MAX + 1)).err().unwrap();
    assert!(error.message().contains("nested more than 1024 deep"), "{error}");
    let mut hostile = vec![VERSION];
    hostile.extend([SOME; 100_000]);
    assert!(decode::<List>(&hostile).is_err());
    hostile.fill(0x91);
    hostile[0] = VERSION;
    assert!(decode::<serde::de::IgnoredAny>(&hostile).is_err());
    assert!(decode::<serde_json_value::Value>(&hostile).is_err());
}

#[test]
fn errors_tell_the_type_the_place_and_what_to_do() {
    let error = decode::<Vec<String>>(&bytes_of(&vec!["a", "b"])[..4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    let text = error.to_string();
    assert!(text.contains("no `alloc::vec::Vec<alloc::string::String>`"), "{text}");
    assert!(text.contains("at byte"), "{text}");
    let error = decode::<u8>(&[9, 0]).unwrap_err();
    assert!(error.message().contains("version 9"), "{error}");
    assert!(decode::<u8>(&[]).is_err());
    let error = decode::<u8>(&[VERSION, 1, 1]).unwrap_err();
    assert!(error.message().contains("1 bytes are left behind"), "{error}");
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("x".repeat(10_000)))
        }
    }
    let mut bytes = vec![1, 2, 3];
    let error = encode_into(&vec![Refuses], &mut bytes).err().unwrap();
    assert_eq!((error.kind(), &bytes[..]), (ErrorKind::Serialization, &[1, 2, 3][..]));
    assert!(error.message().contains("Refuses") && error.message().contains("#[remote(local)]"));
    assert!(error.message().len() < 1000);
}

#[test]
fn what_is_written_as_an_id_is_held() {
    struct Named(u128);
    impl Serialize for Named {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let id = uuid::Uuid::from_u128(self.0);
            hold(id, || self.0);
            // A value may encode others meanwhile: what they hold is theirs.
            assert_eq!(encode(&5).unwrap().held.len(), 0);
            id.serialize(serializer)
        }
    }
    let encoded = encode(&vec![Named(1), Named(2)]).unwrap();
    let held: Vec<_> = encoded
        .held
        .iter()
        .map(|held| (held.id.as_u128(), held.what.downcast_ref().copied()))
        .collect();
    assert_eq!(held, [(1, Some(1u128)), (2, Some(2))]);
    let _ = rmp_serde::to_vec(&Named(3)).unwrap();
    assert_eq!(encode(&1).unwrap().held.len(), 0);
}

#[test]
fn long_arrays_go_to_a_sink_without_a_copy() {
    /// Counts what is written in one go.
    #[derive(Default)]
    struct Longest(usize, usize);
    impl io::Write for Longest {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.max(bytes.len());
            self.1 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let long = vec![1u8; 1 << 20];
    let mut sink = Longest::default();
    encode_to(&(1, vec![long.clone(), long], "text"), &mut sink).unwrap();
    assert!(sink.1 > 2 << 20);
    assert_eq!(sink.0, raw::PIECE_BYTES_MAX);
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("no space left"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = encode_to(&vec![0.5; 100_000], &mut Full).err().unwrap();
    assert!(error.message().contains("no space left"), "{error}");
}
