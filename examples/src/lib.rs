//! Data sets and helpers that the examples share.
