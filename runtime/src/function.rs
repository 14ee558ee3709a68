//! What is called, and from where: the names that errors, events and contexts speak of.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A remote function's name and place in the source.
#[derive(Debug)]
pub struct Function {
    name: &'static str,
    module: &'static str,
    file: &'static str,
    line: u32,
}

impl Function {
    /// The macro calls this.
    pub const fn new(
        name: &'static str,
        module: &'static str,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self { name, module, file, line }
    }

    /// Its name as written, without the module.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The path of the module that holds it.
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// The file that holds it.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line at which it begins.
    pub fn line(&self) -> u32 {
        self.line
    }
}

/// One call of a function.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub(crate) function: &'static Function,
    pub(crate) called_at: &'static Location<'static>,
}

/// A call by the name it goes by, shown as "`name` (called at file:line:column)".
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    name: Name,
    called_at: &'static Location<'static>,
}

#[derive(Clone, Debug)]
enum Name {
    Function(&'static str),
    Given(Arc<str>),
}

impl Call {
    /// The call under the name that it was given.
    pub(crate) fn named(self, name: Arc<str>) -> Hop {
        Hop { name: Name::Given(name), called_at: self.called_at }
    }
}

impl From<Call> for Hop {
    fn from(call: Call) -> Self {
        Self { name: Name::Function(call.function.name), called_at: call.called_at }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: &str = match &self.name {
            Name::Function(name) => name,
            Name::Given(name) => name,
        };
        write!(f, "`{name}` (called at {})", self.called_at)
    }
}
