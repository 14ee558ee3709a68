//! What the macro's checks ask of types.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values can cross a process boundary.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross a process boundary",
    label = "needs `serde::Serialize` and `serde::Deserialize`",
    note = "derive both, or keep the function in this process with `#[remote(local)]`"
)]
pub trait Portable {}

impl<T: Serialize + DeserializeOwned> Portable for T {}

/// A `Result` of any name.
pub trait Fallible {
    /// What a success gives.
    type Ok;
    /// What a failure gives.
    type Err;
}

impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
    type Err = E;
}
