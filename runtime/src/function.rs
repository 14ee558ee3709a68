//! What is called, and from where: the names that errors, events and contexts speak of.

use std::fmt;
use std::panic::Location;

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

/// One call of a function: shown as "`name` (called at file:line:column)".
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub(crate) function: &'static Function,
    pub(crate) called_at: &'static Location<'static>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (called at {})", self.function.name, self.called_at)
    }
}
