//! The contract of mobula, tested from outside. What several tests use, and the fuzzer, is here.

pub mod allocations;
pub mod hostile;
pub mod processes;
