//! Memory that two processes share, for values that are too long to be sent.
//!
//! One side writes and the other reads, and each value is read before the next is written: frames tell where
//! it lies and when it is there. The pages are kept and used again, since fresh ones cost more than the copy.
//! A value is copied twice: into the arena by its encoding, and out of it by its decoding.
//!
//! The writer makes the file grow, and a seal keeps it from ever shrinking, so that what was there once can
//! be read. The other process may write what it likes, so a reader checks what it reads as it goes, and
//! makes no references to it that outlive the reading of one value.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::Resource;

/// It grows by no less.
const GROW_BYTES_MIN: usize = 1 << 20;

/// Whether the file cannot shrink, and has so many bytes: then they can be read at any time.
pub(crate) fn has_for_good(file: &OwnedFd, bytes: usize) -> bool {
    let seals = rustix::fs::fcntl_get_seals(file);
    let size = rustix::fs::fstat(file).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    seals.is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) && size >= bytes
}

/// A file in memory that is not to shrink.
pub(crate) fn file(name: &str, bytes: usize) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    resize(&file, bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK)?;
    Ok(file)
}

/// Beyond the limit of this process it would be ended by a signal (`SIGXFSZ`).
fn resize(file: &OwnedFd, bytes: usize) -> io::Result<()> {
    let bytes = bytes as u64;
    if let Some(limit) = rustix::process::getrlimit(Resource::Fsize).current
        && bytes > limit
    {
        let message = format!(
            "memory for long values is a file to the system, and files of this process may have {limit} bytes, not \
             {bytes}: raise `ulimit -f`"
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(rustix::fs::ftruncate(file, bytes)?)
}

/// A part of this process's memory that shows a file.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is memory like any other; who may touch it when is its users' affair.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// One that may be written to.
    pub(crate) fn to_write(file: &OwnedFd, bytes: usize) -> io::Result<Self> {
        Self::new(file, bytes, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// One that is only read.
    pub(crate) fn to_read(file: &OwnedFd, bytes: usize) -> io::Result<Self> {
        Self::new(file, bytes, ProtFlags::READ)
    }

    fn new(file: &OwnedFd, bytes: usize, prot: ProtFlags) -> io::Result<Self> {
        let anywhere = std::ptr::null_mut();
        // SAFETY: a new mapping at a place that the kernel chooses takes nothing from anybody.
        let start = unsafe { rustix::mm::mmap(anywhere, bytes, prot, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).expect("a mapping is never at address 0");
        Ok(Self { start, bytes })
    }

    /// Where so many bytes from `start` on are. None: they are not all in it.
    pub(crate) fn at(&self, start: usize, bytes: usize) -> Option<NonNull<u8>> {
        let end = start.checked_add(bytes)?;
        // SAFETY: it is within the mapping, or right behind it.
        (end <= self.bytes).then(|| unsafe { self.start.add(start) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is ours, and whoever had a slice of it borrowed it.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

/// The end that writes.
pub(crate) struct Writer {
    file: OwnedFd,
    mapping: Option<Mapping>,
    written: usize,
}

impl Writer {
    pub(crate) fn new(file: OwnedFd) -> Self {
        Self { file, mapping: None, written: 0 }
    }

    /// How much was written since `rewind`.
    pub(crate) fn written(&self) -> u64 {
        self.written as u64
    }

    /// Begins at the front. All that was written has been read.
    pub(crate) fn rewind(&mut self) {
        self.written = 0;
    }

    /// What was written after that was not told of, and is not there.
    pub(crate) fn take_back(&mut self, written: u64) {
        self.written = self.written.min(usize::try_from(written).unwrap_or(usize::MAX));
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = self.written.checked_add(bytes.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        if self.mapping.as_ref().is_none_or(|mapping| mapping.bytes < end) {
            self.grow(end)?;
        }
        let mapping = self.mapping.as_ref().expect("it was made just now");
        // SAFETY: `written` is within the mapping.
        let place = unsafe { mapping.start.add(self.written) };
        // SAFETY: there is room up to `end`; what is ours is no part of a mapping; and the other side reads
        // nothing behind what it was told of.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        self.written = end;
        Ok(())
    }

    fn grow(&mut self, least: usize) -> io::Result<()> {
        let before = self.mapping.as_ref().map_or(0, |mapping| mapping.bytes);
        let bytes = least.max(before + before / 2).next_multiple_of(GROW_BYTES_MIN);
        resize(&self.file, bytes)?;
        self.mapping = Some(Mapping::to_write(&self.file, bytes)?);
        Ok(())
    }
}

/// The end that reads.
pub(crate) struct Reader {
    file: OwnedFd,
    mapping: Mutex<Vec<Arc<Mapping>>>,
    /// The newest mapping, which shows most.
    start: AtomicPtr<u8>,
    bytes: AtomicUsize,
}

impl Reader {
    pub(crate) fn new(file: OwnedFd) -> Self {
        let mapping = Mutex::default();
        Self { file, mapping, start: AtomicPtr::default(), bytes: AtomicUsize::new(0) }
    }

    /// The bytes at that place. None: there are none.
    pub(crate) fn get(&self, start: u64, end: u64) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        let bytes = end.checked_sub(start)?;
        if end > self.bytes.load(Ordering::Relaxed) {
            self.map(end).ok()?;
        }
        let mapped = NonNull::new(self.start.load(Ordering::Relaxed))?;
        // SAFETY: `start` is within the mapping.
        let place = unsafe { mapped.add(start) };
        // SAFETY: the mapping shows so many bytes of a file that cannot shrink, and stays as long as we do. The
        // other side does not write to them until it is told that they were read.
        Some(unsafe { NonNull::slice_from_raw_parts(place, bytes).as_ref() })
    }

    /// Shows all that there is, which must be `least`.
    fn map(&self, least: usize) -> io::Result<()> {
        let bytes = usize::try_from(rustix::fs::fstat(&self.file)?.st_size).unwrap_or(0);
        if bytes < least {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mapping = Mapping::to_read(&self.file, bytes)?;
        let mut mappings = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        self.start.store(mapping.start.as_ptr(), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        // Earlier ones stay: somebody may read there. Each is half as long as the next, at most.
        mappings.push(Arc::new(mapping));
        Ok(())
    }
}

/// Words that both processes see: which task has its turn, and how much the driver has read; or flags of blocks, over a
/// bridge.
pub(crate) struct Page(Mapping);

/// How long it is.
pub(crate) const PAGE_BYTES: usize = 4096;

impl Page {
    pub(crate) fn map(file: &OwnedFd) -> io::Result<Self> {
        if rustix::fs::fstat(file)?.st_size < PAGE_BYTES as i64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(Mapping::to_write(file, PAGE_BYTES)?))
    }

    fn word(&self, nth: usize) -> &AtomicU64 {
        // SAFETY: the page holds many words.
        let place = unsafe { self.0.start.cast::<AtomicU64>().add(nth) };
        // SAFETY: it is aligned, mapped as long as we are, zero at first, and only used as an atomic.
        unsafe { place.as_ref() }
    }

    /// The task that may begin; see `turn.rs`.
    pub(crate) fn turn(&self) -> &AtomicU64 {
        self.word(0)
    }

    /// How many frames with values in shared memory the driver has done with.
    pub(crate) fn taken(&self) -> &AtomicU64 {
        self.word(8)
    }

    /// A flag, of which there are [`PAGE_BYTES`].
    pub(crate) fn flag(&self, nth: usize) -> &AtomicU8 {
        let place = self.0.at(nth, 1).expect("the page holds so many flags");
        // SAFETY: it is mapped as long as we are, and only used as an atomic.
        unsafe { place.cast::<AtomicU8>().as_ref() }
    }
}
