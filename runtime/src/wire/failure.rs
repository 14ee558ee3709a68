//! Why a value cannot be encoded or decoded, before the entry makes an error of it.

use std::fmt::{self, Display, Write};

/// How long a reason may be. Some quote the value, and a value may be long.
const BYTES_MAX: usize = 400;

/// A reason, as a fragment.
#[derive(Debug)]
pub(super) struct Failure(Box<str>);

impl Failure {
    #[cold]
    pub(super) fn new(reason: impl Display) -> Self {
        let mut text = Short(String::new());
        // What does not fit is left out.
        let _ = write!(text, "{reason}");
        Self(text.0.into_boxed_str())
    }
}

/// A text that ends where it would become too long.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            if self.0.len() > BYTES_MAX {
                self.0.push_str(" ...");
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl serde::ser::Error for Failure {
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason)
    }
}

impl serde::de::Error for Failure {
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason)
    }
}
