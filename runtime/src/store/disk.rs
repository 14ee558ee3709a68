//! What the store does to the disk where that can fail for want of space, so that tests can run out of it.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Makes files.
pub(crate) trait Disk: Send + Sync + 'static {
    /// A new file, to be written from its beginning to its end.
    fn create(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>>;
}

/// The file system.
pub(crate) struct Files;

impl Disk for Files {
    fn create(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }
}
