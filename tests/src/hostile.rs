//! Frames that nobody meant: whatever the bytes are, decoding them neither panics nor allocates by a length that
//! only they claim.

use std::collections::{BTreeMap, HashMap};

use mobula::__private::frames;
use mobula::__private::wire::{decode, encode};
use ndarray::{Array2, ArrayD};
use serde::{Deserialize, Serialize};

use crate::allocations;

/// A value of every kind.
#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Record {
    id: u128,
    name: String,
    values: Vec<f64>,
    table: Array2<f32>,
    shape: Shape,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Box<Record>>,
    maybe: Option<Option<()>>,
    tags: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum Shape {
    Point,
    Circle(f64),
    Polygon { corners: Vec<(f32, f32)>, closed: bool },
}

/// What serde keeps until it knows which it is.
#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum Any {
    Bool(bool),
    Whole(i64),
    Real(f64),
    Text(String),
    List(Vec<f64>),
    Map(BTreeMap<String, u8>),
    Nothing(()),
}

/// What an error may take, its text and all, and other things that do not grow with the frame.
const FIXED_BYTES: usize = 8 << 10;

/// What a connection reads at a time, three times: a buffer with less room than that grows to twice the size.
const BUFFER_BYTES: usize = 3 * (64 << 10);

/// Decodes the frame as values of many types.
///
/// # Panics
/// If one of them takes more memory meanwhile than so many bytes for each byte of the frame: the least that an
/// element takes in a frame is one byte, and vectors that grow take up to three times what is in them.
pub fn look_at(frame: &[u8]) {
    look_as::<String>(frame, 2);
    look_as::<Vec<u8>>(frame, 3);
    look_as::<Vec<bool>>(frame, 3);
    look_as::<Vec<f64>>(frame, 3 * size_of::<f64>());
    look_as::<Vec<i128>>(frame, 3 * size_of::<i128>());
    look_as::<Array2<f64>>(frame, 3 * size_of::<f64>());
    look_as::<ArrayD<u16>>(frame, 3 * size_of::<usize>());
    look_as::<Vec<String>>(frame, 3 * size_of::<String>());
    look_as::<Vec<Vec<u8>>>(frame, 3 * size_of::<Vec<u8>>());
    look_as::<Vec<[Option<u64>; 4]>>(frame, 3 * size_of::<[Option<u64>; 4]>());
    look_as::<HashMap<u8, Option<Option<bool>>>>(frame, 64);
    look_as::<Record>(frame, 256);
    look_as::<Vec<Any>>(frame, 512);
    // A value says itself what it is, at any depth. Not an `Any` of `Any`: serde copies what is in one at each depth.
    look_as::<serde_json::Value>(frame, 512);
}

/// Lets the bytes arrive at a driver and at a worker, as what the other side has sent.
///
/// # Panics
/// If one of them takes more memory meanwhile than its buffer and, for each byte, what an element of a head takes.
pub fn look_at_arrival(bytes: &[u8]) {
    let (outcome, most) = allocations::most(|| frames::look_at(bytes));
    let limit = BUFFER_BYTES + 512 * bytes.len() + FIXED_BYTES;
    assert!(most <= limit, "{most} bytes for {} that arrived: {outcome:?}", bytes.len());
}

fn look_as<T: for<'de> Deserialize<'de>>(frame: &[u8], bytes_per_byte: usize) {
    let (outcome, most) = allocations::most(|| decode::<T>(frame).err());
    let limit = bytes_per_byte * frame.len() + FIXED_BYTES;
    let name = std::any::type_name::<T>();
    assert!(most <= limit, "{most} bytes for a {name} of {} bytes: {outcome:?}", frame.len());
}

/// Frames as they should be.
#[must_use]
pub fn frames() -> Vec<Vec<u8>> {
    let record = Record {
        id: u128::MAX,
        name: "record".to_owned(),
        values: vec![1.5; 10],
        table: Array2::zeros((2, 3)),
        shape: Shape::Polygon { corners: vec![(0.0, 1.0); 2], closed: true },
        next: None,
        maybe: Some(None),
        tags: BTreeMap::from([("tag".to_owned(), vec![1, 2, 3])]),
    };
    let circle = Record { shape: Shape::Circle(1.0), maybe: Some(Some(())), ..record.clone() };
    let point = Record { shape: Shape::Point, next: Some(Box::new(circle)), ..record.clone() };
    let map = Any::Map(BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let (whole, real, text) = (Any::Whole(-1), Any::Real(0.5), Any::Text("x".to_owned()));
    let any = vec![map, Any::List(vec![0.5; 3]), whole, real, text, Any::Nothing(())];
    let value = serde_json::json!({"a": [-1, 0.5, "x", {"b": null}], "c": {"d": [[true]]}});
    let texts = ["a".to_owned(), "long ".repeat(20)];
    let optional = HashMap::from([(1u8, Some(None)), (2, None), (3, Some(Some(true)))]);
    let all = [
        encode(&record),
        encode(&point),
        encode(&any),
        encode(&value),
        encode(&texts.to_vec()),
        encode(&vec![0.5f64; 100]),
        encode(&vec![true; 10]),
        encode(&vec![i128::MIN, 7]),
        encode(&Array2::<f64>::zeros((3, 4))),
        encode(&ArrayD::<u16>::zeros(vec![2, 1, 3])),
        encode(&vec![vec![1u8, 2], vec![]]),
        encode(&vec![[Some(1u64), None, Some(2), None]; 3]),
        encode(&optional),
        encode(&"text"),
    ];
    all.into_iter().map(|encoded| encoded.expect("they can be encoded").bytes).collect()
}
