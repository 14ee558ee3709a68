//! Bytes that arrive over a connection: see `mobula_tests::hostile`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mobula_tests::allocations::Counting;
use mobula_tests::hostile::look_at_arrival;

#[global_allocator]
static COUNTING: Counting = Counting;

fuzz_target!(|bytes: &[u8]| look_at_arrival(bytes));
