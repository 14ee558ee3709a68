//! The surface that users and the macro's expansions meet. Each file is one noun of it.

pub(crate) mod actor;
pub(crate) mod actor_pool;
pub(crate) mod builder;
pub(crate) mod cancel;
pub(crate) mod context;
pub(crate) mod copier;
pub(crate) mod crossing;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod map;
pub(crate) mod object;
pub(crate) mod options;
pub(crate) mod parameter;
pub(crate) mod placement;
pub(crate) mod port;
pub(crate) mod portable;
pub(crate) mod python;
pub(crate) mod remote;
pub(crate) mod rng;
pub(crate) mod split;
pub(crate) mod stream;
pub(crate) mod wait;
