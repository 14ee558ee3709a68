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

/// Where a call stands that was made in another process, as far as this one knows by itself: a place that is not shown.
static ELSEWHERE: &Location<'static> = Location::caller();

/// A call by the name it goes by, shown as "`name` (called at file:line:column)", and after how many
/// tries, if more than one.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    name: Name,
    called_at: &'static Location<'static>,
    /// That place, where it is one in another process.
    place: Option<Arc<str>>,
    tries: u32,
}

#[derive(Clone, Debug)]
enum Name {
    Function(&'static str),
    Given(Arc<str>),
}

impl Call {
    /// One that was made in another process.
    pub(crate) fn elsewhere(function: &'static Function) -> Self {
        Self { function, called_at: ELSEWHERE }
    }

    /// Where it stands, if that is in this process.
    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        (!std::ptr::eq(self.called_at, ELSEWHERE)).then_some(self.called_at)
    }

    /// The call under the name that it was given.
    pub(crate) fn named(self, name: Arc<str>) -> Hop {
        Hop { name: Name::Given(name), called_at: self.called_at, place: None, tries: 1 }
    }
}

impl Hop {
    pub(crate) fn name(&self) -> &str {
        match &self.name {
            Name::Function(name) => name,
            Name::Given(name) => name,
        }
    }

    pub(crate) fn called_at(&self) -> &'static Location<'static> {
        self.called_at
    }

    /// The call, made at that place in another process, if there is one.
    pub(crate) fn at(self, place: Option<&Arc<str>>) -> Self {
        Self { place: place.filter(|place| !place.is_empty()).cloned(), ..self }
    }

    /// Where the call stands, for another process; empty where nobody knows.
    pub(crate) fn stands_at(&self) -> String {
        self.place().map(ToString::to_string).unwrap_or_default()
    }

    fn place(&self) -> Option<&dyn fmt::Display> {
        match &self.place {
            Some(place) => Some(place),
            None if std::ptr::eq(self.called_at, ELSEWHERE) => None,
            None => Some(&self.called_at),
        }
    }

    /// The call after so many tries.
    pub(crate) fn tried(self, tries: u32) -> Self {
        Self { tries, ..self }
    }
}

impl From<Call> for Hop {
    fn from(call: Call) -> Self {
        let name = Name::Function(call.function.name);
        Self { name, called_at: call.called_at, place: None, tries: 1 }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match (self.place(), self.tries) {
            (place, 1) => f.write_str(&show(name, place)),
            (Some(place), tries) => write!(f, "`{name}` (called at {place}, tried {tries} times)"),
            (None, tries) => write!(f, "`{name}` (tried {tries} times)"),
        }
    }
}

/// A call by its name, and where it stands, if anybody knows.
pub(crate) fn show(name: &str, place: Option<&dyn fmt::Display>) -> String {
    match place {
        Some(place) => format!("`{name}` (called at {place})"),
        None => format!("`{name}`"),
    }
}
