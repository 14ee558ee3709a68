//! The contract of mobula, tested from outside.
