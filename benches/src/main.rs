//! Benchmarks of mobula beside its peers.

fn main() {}
