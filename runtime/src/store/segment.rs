//! Files with objects in them: a large object has one of its own, small ones share one.
//!
//! Nothing about a file is in the file: where an object begins, how long it is and its checksum are in the
//! books. A file is of use to one process only, and goes with the last object in it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::store::disk::Disk;
use crate::store::folder::Folder;
use crate::store::{Any, Kind};
use crate::wire::Held;

/// A file takes no further object from this length on.
const SHARED_BYTES_MAX: u64 = 1 << 20;
/// From this length on a file is mapped instead of read, which spares a copy.
const MAPPED_BYTES_MIN: u64 = 256 << 10;
/// How much is written before another look whether to go on.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// A file, which goes when nobody has it any more.
struct Segment {
    path: PathBuf,
    /// Stays as long as its files do.
    _folder: Arc<Folder>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        // It may be gone already: a folder is open to whoever is its user.
        let _ = fs::remove_file(&self.path);
    }
}

/// An object on disk.
pub(crate) struct Extent {
    segment: Arc<Segment>,
    offset: u64,
    bytes: u64,
    checksum: u32,
    /// What the bytes speak of.
    _held: Vec<Held>,
}

impl Extent {
    /// # Errors
    /// `ObjectLost`, if the bytes are gone or not what they were.
    pub(super) fn read(&self, kind: &Kind) -> Result<Any> {
        let lost = |why: &dyn std::fmt::Display| {
            let message = format!(
                "an object of type `{}` was on disk, in {}, and is lost: {why}",
                kind.name(),
                self.segment.path.display()
            );
            Error::new(ErrorKind::ObjectLost, message)
        };
        let file = File::open(&self.segment.path).map_err(|error| lost(&error))?;
        let length = file.metadata().map_err(|error| lost(&error))?.len();
        if length < self.offset + self.bytes {
            return Err(lost(&"the file was cut short"));
        }
        let bytes = self.bytes_of(file).map_err(|error| lost(&error))?;
        if crc32fast::hash(&bytes) != self.checksum {
            return Err(lost(&"its checksum is wrong: the file was changed, or the disk is bad"));
        }
        let value = guarded(|| kind.read(&bytes));
        value.map_err(|error| lost(&error.message()))
    }

    fn bytes_of(&self, mut file: File) -> io::Result<Bytes> {
        if self.bytes >= MAPPED_BYTES_MIN {
            let length = usize::try_from(self.bytes).map_err(io::Error::other)?;
            let mut options = memmap2::MmapOptions::new();
            options.offset(self.offset).len(length).populate();
            // SAFETY: the file is in a folder that is ours and only open to us, nobody writes to it any more,
            // and it is as long as that.
            return Ok(Bytes::Mapped(unsafe { options.map(&file) }?));
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(self.bytes).read_to_end(&mut bytes)?;
        Ok(Bytes::Read(bytes))
    }
}

/// The contents of a file.
enum Bytes {
    Mapped(memmap2::Mmap),
    Read(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

/// Why an object was not written.
pub(super) enum Unwritten {
    /// It cannot be turned into bytes.
    Refused(Error),
    /// The disk does not take it.
    Trouble(io::Error),
    /// Somebody wants it.
    GaveUp,
}

/// A file that is being written.
pub(super) struct Open {
    segment: Arc<Segment>,
    file: Box<dyn Write + Send>,
    length: u64,
}

impl Open {
    pub(super) fn create(disk: &dyn Disk, folder: &Arc<Folder>) -> io::Result<Self> {
        let path = folder.next_file();
        let file = disk.create(&path)?;
        let segment = Arc::new(Segment { path, _folder: Arc::clone(folder) });
        Ok(Self { segment, file, length: 0 })
    }

    pub(super) fn is_full(&self) -> bool {
        self.length >= SHARED_BYTES_MAX
    }

    /// Writes an object behind what is there. Where that fails, the file is to be let go.
    pub(super) fn write(
        &mut self,
        kind: &Kind,
        value: &Any,
        give_up: &AtomicBool,
    ) -> Result<Extent, Unwritten> {
        let file = &mut *self.file;
        let mut sink =
            Sink { file, give_up, checksum: crc32fast::Hasher::new(), bytes: 0, trouble: None };
        let written = guarded(|| kind.write(&**value, &mut sink));
        let Sink { checksum, bytes, trouble, .. } = sink;
        match (written, trouble) {
            (_, Some(_)) if give_up.load(Ordering::Relaxed) => Err(Unwritten::GaveUp),
            (_, Some(trouble)) => Err(Unwritten::Trouble(trouble)),
            (Err(error), None) => Err(Unwritten::Refused(error)),
            (Ok(held), None) => {
                let (offset, checksum) = (self.length, checksum.finalize());
                self.length += bytes;
                let segment = Arc::clone(&self.segment);
                Ok(Extent { segment, offset, bytes, checksum, _held: held })
            }
        }
    }
}

/// Where the bytes of one object go.
struct Sink<'a> {
    file: &'a mut dyn Write,
    give_up: &'a AtomicBool,
    checksum: crc32fast::Hasher,
    bytes: u64,
    /// The codec makes an error of its own of it.
    trouble: Option<io::Error>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.give_up.load(Ordering::Relaxed) {
            self.trouble = Some(io::Error::other("somebody wants the value"));
            return Err(io::Error::other("somebody wants the value"));
        }
        let piece = &bytes[..bytes.len().min(PIECE_BYTES_MAX)];
        match self.file.write(piece) {
            Ok(0) if !piece.is_empty() => {
                self.trouble = Some(io::Error::from(io::ErrorKind::WriteZero));
                Ok(0)
            }
            Ok(written) => {
                self.checksum.update(&piece[..written]);
                self.bytes += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let text = error.to_string();
                self.trouble = Some(error);
                Err(io::Error::other(text))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Runs the program's code; a panic becomes an error.
fn guarded<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    // What it touched is dropped with it.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        // Its drop may panic in turn; leaking it is the lesser evil.
        std::mem::forget(payload);
        Err(Error::new(ErrorKind::Serialization, "it panicked while it became bytes, or a value"))
    })
}
