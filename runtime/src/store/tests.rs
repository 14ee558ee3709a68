//! The store with places that are no cells, and a disk that is full when a test likes it to be.

use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::disk::Disk;
use super::{Any, Hold, Place, Store, Stored, Struck, kind_of};
use crate::config::StoreSettings;
use crate::error::ErrorKind;
use crate::function::{Call, Function, Hop};

/// A place for vectors of bytes.
#[derive(Clone)]
struct Shelf(Arc<Mutex<Option<Any>>>);

impl Place for Shelf {
    type Hold = Self;

    fn hold(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn is_read(&self) -> bool {
        self.0.lock().unwrap().as_ref().is_some_and(|value| Arc::strong_count(value) > 1)
    }

    fn refs(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn hop(&self) -> Hop {
        static FUNCTION: Function = Function::new("test", "", file!(), line!());
        Call { function: &FUNCTION, called_at: Location::caller() }.into()
    }

    fn asleep<R>(sleep: impl FnOnce(&mut dyn FnMut(&dyn Fn() -> bool)) -> R) -> R {
        sleep(&mut |_| {})
    }
}

impl Hold for Shelf {
    fn value(&self) -> Option<Any> {
        if self.is_read() { None } else { self.0.lock().unwrap().clone() }
    }

    fn evict(&self) -> bool {
        !self.is_read() && self.0.lock().unwrap().take().is_some()
    }

    fn put_back(&self, value: Any) {
        *self.0.lock().unwrap() = Some(value);
    }

    fn release(self) -> Result<(), Self> {
        Ok(())
    }
}

/// A disk with room for some bytes.
struct Small(Arc<AtomicUsize>);

struct SmallFile(std::fs::File, Arc<AtomicUsize>);

impl Disk for Small {
    fn create(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>> {
        Ok(Box::new(SmallFile(std::fs::File::create_new(path)?, Arc::clone(&self.0))))
    }
}

impl io::Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1.load(Ordering::Relaxed);
        if room == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let written = self.0.write(&bytes[..bytes.len().min(room)])?;
        self.1.fetch_sub(written, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A store with a disk that has room for so much, and what it made.
struct Fixture {
    store: Arc<Store<Shelf>>,
    disk: Arc<AtomicUsize>,
    folder: PathBuf,
}

const LIMIT: usize = 64 << 10;
const SIZE: usize = 8 << 10;

impl Fixture {
    fn new(room: usize) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("mobula-store-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let settings =
            StoreSettings { limit: LIMIT, spill_dir: folder.clone(), full_after: Duration::ZERO };
        let disk = Arc::new(AtomicUsize::new(room));
        Self { store: Store::new(settings, Box::new(Small(Arc::clone(&disk)))), disk, folder }
    }

    fn put(&self, byte: u8) -> crate::Result<(Shelf, Stored<Shelf>)> {
        let value: Any = Arc::new(vec![byte; SIZE]);
        let kind = kind_of(std::any::TypeId::of::<Vec<u8>>()).unwrap();
        self.store.reserve(SIZE)?;
        let shelf = Shelf(Arc::new(Mutex::new(Some(value))));
        let stored = self.store.list(SIZE, Some(kind), shelf.clone());
        Ok((shelf, stored))
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.store.close();
        if !std::thread::panicking() {
            assert!(!self.folder.exists(), "nothing is left on disk");
        }
    }
}

/// The value, wherever it is.
fn value_of((shelf, stored): &(Shelf, Stored<Shelf>)) -> crate::Result<Vec<u8>> {
    loop {
        if let Some(value) = shelf.0.lock().unwrap().clone() {
            return Ok(value.downcast_ref::<Vec<u8>>().unwrap().clone());
        }
        let put_back = |value: crate::Result<Any>| {
            let value = value?;
            *shelf.0.lock().unwrap() = Some(Arc::clone(&value));
            Ok(value.downcast_ref::<Vec<u8>>().unwrap().clone())
        };
        if let Some(restored) = stored.restore(Err, put_back) {
            return restored;
        }
    }
}

#[test]
fn a_disk_with_room_takes_what_memory_does_not() {
    let fixture = Fixture::new(usize::MAX);
    let objects: Vec<_> = (0..32).map(|byte| fixture.put(byte).unwrap()).collect();
    let memory = fixture.store.memory();
    assert!(memory.used <= LIMIT && memory.spilled >= 32 * SIZE - LIMIT, "{memory:?}");
    for (byte, object) in (0..).zip(&objects) {
        assert_eq!(value_of(object).unwrap(), [byte; SIZE]);
    }
    for (_, stored) in &objects {
        stored.strike();
    }
    let memory = fixture.store.memory();
    assert_eq!((memory.used, memory.spilled, memory.objects), (0, 0, 0));
}

#[test]
fn a_full_disk_keeps_objects_in_memory_and_says_so() {
    // It takes three objects, and a part of the fourth.
    let fixture = Fixture::new(3 * SIZE + SIZE / 2);
    let mut objects = Vec::new();
    let error = loop {
        match fixture.put(u8::try_from(objects.len()).unwrap()) {
            Ok(object) => objects.push(object),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::StoreFull);
    let text = error.to_string();
    let says = [fixture.folder.to_str().unwrap(), "64.0 KiB", "`test`"];
    assert!(says.iter().all(|part| text.contains(part)), "{text}");
    assert!((8..=11).contains(&objects.len()), "{} objects", objects.len());
    for (byte, object) in (0..).zip(&objects) {
        assert_eq!(value_of(object).unwrap(), [byte; SIZE], "none is lost");
    }
    // The disk is cleared, and all goes on.
    fixture.disk.store(usize::MAX, Ordering::Relaxed);
    objects.extend((0..8).map(|byte| fixture.put(100 + byte).unwrap()));
    assert!(fixture.store.memory().used <= LIMIT);
    objects.iter().for_each(|(_, stored)| stored.strike());
}

#[test]
fn what_is_read_stays_and_what_is_struck_off_comes_along() {
    let fixture = Fixture::new(usize::MAX);
    let objects: Vec<_> = (0..8).map(|byte| fixture.put(byte).unwrap()).collect();
    let read: Vec<_> =
        objects.iter().map(|(shelf, _)| shelf.0.lock().unwrap().clone().unwrap()).collect();
    let error = fixture.put(8).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::StoreFull);
    assert_eq!(fixture.store.memory().pinned, LIMIT);
    drop(read);
    let more: Vec<_> = (8..16).map(|byte| fixture.put(byte).unwrap()).collect();
    for (byte, (shelf, stored)) in (0..).zip(objects.iter().chain(&more)) {
        assert!(matches!(stored.strike_if(|| false, true), Struck::Shared));
        let value = match stored.strike_if(|| true, true) {
            Struck::OnDisk(value) => value.unwrap(),
            Struck::InMemory => shelf.0.lock().unwrap().clone().unwrap(),
            Struck::Shared => unreachable!("it is ours"),
        };
        assert_eq!(*value.downcast_ref::<Vec<u8>>().unwrap(), [byte; SIZE]);
    }
    assert_eq!(fixture.store.memory().used, 0);
}
