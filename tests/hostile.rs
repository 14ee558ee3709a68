//! Some seconds of fuzzing, the same each time: what `cargo xtask fuzz` does at length.

use std::fs;
use std::path::Path;

use mobula_tests::allocations::Counting;
use mobula_tests::hostile::{frames, look_at, look_at_arrival};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the fuzzer found worth keeping for a target.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let mut all: Vec<_> = files.collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

/// With the frames as they should be.
fn corpus() -> Vec<Vec<u8>> {
    let mut all = kept("decode");
    all.extend(frames());
    all
}

#[test]
fn no_frame_of_the_corpus_makes_the_decoder_panic_or_allocate() {
    corpus().iter().for_each(|frame| look_at(frame));
}

#[test]
fn a_length_that_is_only_claimed_allocates_nothing() {
    // Arrays, maps, texts, bytes and extensions of 2^32 - 1, with next to nothing behind.
    for marker in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
        for behind in [&[][..], &[1], &[12, 0], &[0; 100]] {
            let mut frame = vec![1, marker, 0xff, 0xff, 0xff, 0xff];
            frame.extend(behind);
            look_at(&frame);
            // In an array, in a map, in a variant.
            for outer in [&[1, 0x91][..], &[1, 0x81, 0x01], &[1, 0x92, 0xc0]] {
                let mut nested = outer.to_vec();
                nested.extend(&frame[1..]);
                look_at(&nested);
            }
        }
    }
}

#[test]
fn mutated_frames_neither_panic_nor_allocate() {
    each_mutated(&corpus(), look_at);
}

#[test]
fn what_arrives_is_frames_or_an_error_and_allocates_no_more_than_it_is() {
    let corpus = kept("frames");
    corpus.iter().for_each(|bytes| look_at_arrival(bytes));
    each_mutated(&corpus, look_at_arrival);
}

fn each_mutated(corpus: &[Vec<u8>], look: fn(&[u8])) {
    let mut rng = Pcg64::seed_from_u64(6);
    for _ in 0..2_000 {
        let mut frame = corpus.choose(&mut rng).unwrap().clone();
        for _ in 0..rng.random_range(1..4) {
            mutate(&mut frame, corpus, &mut rng);
        }
        look(&frame);
    }
}

fn mutate(frame: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Pcg64) {
    if frame.is_empty() {
        return frame.push(rng.random());
    }
    let at = rng.random_range(0..frame.len());
    match rng.random_range(0..7) {
        0 => frame[at] ^= 1 << rng.random_range(0..8),
        1 => frame[at] = rng.random(),
        // Where the markers are.
        2 => frame[at] = rng.random_range(0xc0..0xe0),
        3 => frame.truncate(at),
        4 => frame.insert(at, rng.random()),
        5 => {
            let end = (at + 4).min(frame.len());
            frame[at..end].fill(0xff);
        }
        _ => {
            let other = corpus.choose(rng).unwrap();
            let from = rng.random_range(0..other.len());
            frame.truncate(at);
            frame.extend(&other[from..]);
        }
    }
}
