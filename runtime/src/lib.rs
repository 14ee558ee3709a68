//! A Ray-style runtime for Rust.
