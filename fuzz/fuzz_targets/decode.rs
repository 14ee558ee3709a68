//! Bytes as frames: see `mobula_tests::hostile`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mobula_tests::allocations::Counting;
use mobula_tests::hostile::look_at;

#[global_allocator]
static COUNTING: Counting = Counting;

fuzz_target!(|frame: &[u8]| look_at(frame));
