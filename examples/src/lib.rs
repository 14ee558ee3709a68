//! What the examples share: data, a forest, figures of merit, a picture.
//!
//! Nothing here knows of Mobula, so that the programs beside this folder show
//! all of it, and a benchmark can time the same work under another runtime.

pub mod cli;
pub mod data;
pub mod forest;
pub mod metrics;
pub mod plot;
pub mod random;
