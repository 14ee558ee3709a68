//! A folder for the files of one store, and the end of those whose process is dead.
//!
//! A folder has a file in it on which its store holds a lock as long as it lives; the system lets go of the
//! lock with the process, however that ends. So a folder whose lock can be had belongs to nobody, and goes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of such folders begin with.
const PREFIX: &str = "mobula-spill-";
/// The file in it that the lock is on.
const LOCK: &str = "lock";
/// How often to try again where somebody took a new folder for a dead one's.
const TRIES_MAX: usize = 100;

/// The folder of one store. It goes with the last file in it.
pub(crate) struct Folder {
    path: PathBuf,
    /// What it is in, if that was made for it.
    made: Option<PathBuf>,
    files: AtomicU64,
    /// Locked as long as it is open.
    _lock: File,
}

impl Folder {
    /// A new folder in `parent`, which is made if need be.
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let made = (!parent.try_exists()?).then(|| parent.to_owned());
        fs::create_dir_all(parent)?;
        let mut trouble = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TRIES_MAX {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{PREFIX}{}-{count}", std::process::id()));
            match Self::create_at(&path) {
                Ok(lock) => return Ok(Self { path, made, files: AtomicU64::new(0), _lock: lock }),
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    /// Whoever removes leftovers may come in between; then there is an error, and no folder.
    fn create_at(path: &Path) -> io::Result<File> {
        create_private(path)?;
        let lock = File::create_new(path.join(LOCK))?;
        if lock.try_lock().is_err() || !path.join(LOCK).try_exists()? {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        Ok(lock)
    }

    /// Where another file goes.
    pub(super) fn next_file(&self) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{number}.objects"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is a leftover, and goes at another start.
        let _ = fs::remove_dir_all(&self.path);
        // Unless others have come.
        let _ = self.made.as_ref().map(fs::remove_dir);
    }
}

/// A folder that only this user can look into.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes the folders in `parent` whose process is dead.
pub(crate) fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            remove_if_dead(&entry.path());
        }
    }
}

fn remove_if_dead(path: &Path) {
    match File::open(path.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => drop(fs::remove_dir_all(path)),
            // Somebody lives there, or this system has no locks.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        },
        // Its process died before it had a lock, or has not got as far: then it sees that the folder is gone.
        Err(_) => drop(fs::remove_dir(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_and_what_is_in_use_stays() {
        let parent = std::env::temp_dir().join(format!("mobula-folder-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let used = Folder::create(&parent).unwrap();
        fs::write(used.next_file(), "a").unwrap();
        for dead in ["mobula-spill-1-0", "mobula-spill-1-1"] {
            fs::create_dir(parent.join(dead)).unwrap();
        }
        fs::write(parent.join("mobula-spill-1-0/lock"), "").unwrap();
        fs::write(parent.join("mobula-spill-1-0/0.objects"), "b").unwrap();
        fs::create_dir(parent.join("other")).unwrap();
        remove_leftovers(&parent);
        let mut left: Vec<_> =
            fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        assert_eq!(left, [used.path.clone(), parent.join("other")]);
        drop(used);
        fs::remove_dir(parent.join("other")).unwrap();
        fs::remove_dir(&parent).expect("the folder went with its owner");
        drop(Folder::create(&parent).unwrap());
        assert!(!parent.exists(), "what was made for it goes with it");
    }
}
