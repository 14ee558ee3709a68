//! What the store tells: how much there is, what there is, and why there is no room.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;

use crate::error::{Error, ErrorKind};
use crate::function::Hop;
use crate::store::books::{About, Line};
use crate::store::{Kind, Place, Store};

/// How many objects an error names.
const NAMED_MAX: usize = 5;

/// How much memory the objects of a runtime take, in bytes.
///
/// Objects that are smaller than 1 KiB are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Of the objects in memory.
    pub used: usize,
    /// How much they may take.
    pub limit: usize,
    /// Of the objects that are on disk and not in memory, as it would be in memory.
    pub spilled: usize,
    /// Of the objects in memory that somebody reads at the moment, which keeps them there.
    pub pinned: usize,
    /// How many objects there are, wherever they are.
    pub objects: usize,
    /// How many of them are on disk and not in memory.
    pub objects_spilled: usize,
    /// How many of them somebody reads.
    pub objects_pinned: usize,
}

/// Where the value of an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectState {
    /// Not there yet. Listed only where [`Config::track_objects`](crate::Config::track_objects) says so.
    Pending,
    /// There will be none: what was to make it failed. Listed likewise.
    Failed,
    /// In memory.
    Memory,
    /// In memory, where somebody reads it at the moment.
    Pinned,
    /// On disk, and not in memory.
    Spilled,
    /// Nowhere: it was on disk, and what is there is no longer what was written.
    Lost,
}

/// An object that lives.
#[derive(Clone, Debug)]
pub struct ObjectInfo {
    hop: Hop,
    kind: Option<&'static str>,
    size: usize,
    state: ObjectState,
    refs: usize,
}

impl ObjectInfo {
    pub(crate) fn new(
        hop: Hop,
        kind: Option<&'static Kind>,
        size: usize,
        state: ObjectState,
        refs: usize,
    ) -> Self {
        Self { hop, kind: kind.map(Kind::name), size, state, refs }
    }

    /// How many bytes of memory its value takes, or took before it was spilled: 0 while there is none. Of one that
    /// is smaller than 1 KiB what it owns is not counted.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where its value is.
    #[must_use]
    pub fn state(&self) -> ObjectState {
        self.state
    }

    /// How many refs to it there are.
    #[must_use]
    pub fn refs(&self) -> usize {
        self.refs
    }

    /// What made it: the name of a task or of an actor's method, or `put`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.hop.name()
    }

    /// Where the program asked for it: where the value was put, or the task called.
    #[must_use]
    pub fn created_at(&self) -> &'static Location<'static> {
        self.hop.called_at()
    }

    /// The type of its value, where that can be spilled.
    #[must_use]
    pub fn type_name(&self) -> Option<&'static str> {
        self.kind
    }
}

impl fmt::Display for ObjectInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ObjectState::Pending => "pending",
            ObjectState::Failed => "failed",
            ObjectState::Memory => "in memory",
            ObjectState::Pinned => "in memory and being read",
            ObjectState::Spilled => "on disk",
            ObjectState::Lost => "lost",
        };
        let (size, refs) = (Bytes(self.size), self.refs);
        write!(f, "{size} of {}, {state}, with {refs} ref{}", self.hop, plural(refs))
    }
}

/// A number of bytes, for people.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "people read two digits")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            1024..0x10_0000 => write!(f, "{:.1} KiB", bytes / 1024.0),
            0x10_0000..0x4000_0000 => write!(f, "{:.1} MiB", bytes / 1024f64.powi(2)),
            _ => write!(f, "{:.2} GiB", bytes / 1024f64.powi(3)),
        }
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

impl<P: Place> Line<P> {
    fn state(&self) -> ObjectState {
        match (self.in_memory, self.lost) {
            (_, true) => ObjectState::Lost,
            (false, _) => ObjectState::Spilled,
            (true, _) if self.place.is_read() => ObjectState::Pinned,
            (true, _) => ObjectState::Memory,
        }
    }

    fn info(&self) -> ObjectInfo {
        let About { kind, bytes, .. } = *self.about;
        ObjectInfo::new(self.place.hop(), kind, bytes, self.state(), self.refs())
    }
}

impl<P: Place> Store<P> {
    /// How much there is.
    pub(crate) fn memory(&self) -> Memory {
        let used = self.used.load(Ordering::Relaxed);
        let mut memory = Memory { used, limit: self.settings.limit, ..Memory::default() };
        let books = self.books();
        memory.spilled = books.spilled;
        for line in books.lines.iter().flatten() {
            memory.objects += 1;
            match line.state() {
                ObjectState::Spilled => memory.objects_spilled += 1,
                ObjectState::Pinned => {
                    memory.objects_pinned += 1;
                    memory.pinned += line.about.bytes;
                }
                _ => {}
            }
        }
        memory
    }

    /// What there is, the largest first.
    pub(crate) fn objects(&self) -> Vec<ObjectInfo> {
        let mut objects: Vec<_> = self.books().lines.iter().flatten().map(Line::info).collect();
        objects.sort_by_key(|object| std::cmp::Reverse(object.size));
        objects
    }
}

/// Why there is no room for so many bytes more.
#[cold]
pub(super) fn full<P: Place>(store: &Store<P>, bytes: usize) -> Error {
    let settings = &store.settings;
    let used = store.used.load(Ordering::Relaxed);
    let (trouble, refused) = {
        let books = store.books();
        let refused = books.lines.iter().flatten().find_map(|line| line.refused.clone());
        (books.disk_trouble.clone(), refused)
    };
    let mut message = format!(
        "the object store is full: there is no room for {} more, for {} of its limit of {} are used, and \
         nothing could be freed within {:?}",
        Bytes(bytes),
        Bytes(used),
        Bytes(settings.limit),
        settings.full_after,
    );
    if let Some(trouble) = trouble {
        let place = settings.spill_dir.display();
        message += &format!("; objects cannot be written to {place}: {trouble}");
    }
    if let Some(refused) = refused {
        message += &format!("; {}", refused.message());
    }
    let mut held = store.objects();
    held.retain(|object| matches!(object.state, ObjectState::Memory | ObjectState::Pinned));
    let more = held.len().saturating_sub(NAMED_MAX);
    held.truncate(NAMED_MAX);
    for (i, object) in held.iter().enumerate() {
        message += if i == 0 { "; what holds it: " } else { ", " };
        message += &object.to_string();
        if object.kind.is_none() {
            message += " (of a type that cannot be spilled: see `mobula::register`)";
        }
    }
    if more > 0 {
        message += &format!(", and {more} more");
    }
    Error::new(ErrorKind::StoreFull, message)
}
