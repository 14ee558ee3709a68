//! OpenBLAS, as it was linked: what it is, and how the number of its threads is set.

use std::ffi::{CStr, c_char, c_int};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::{mem, thread};

// Links it.
use openblas_src as _;

use super::budget::LIMIT;
use super::{Info, Scope, Threading};

// SAFETY: as `cblas.h` of every OpenBLAS since 0.2.14 declares them.
unsafe extern "C" {
    safe fn openblas_get_num_threads() -> c_int;
    safe fn openblas_set_num_threads(threads: c_int);
    safe fn openblas_get_parallel() -> c_int;
    safe fn openblas_get_config() -> *const c_char;
    safe fn openblas_get_corename() -> *const c_char;
}

/// Found at its first use.
pub(super) static LIBRARY: LazyLock<Library> = LazyLock::new(Library::find);

pub(super) struct Library {
    threading: Threading,
    control: Control,
    /// How many threads a call has where nobody has said anything.
    default: usize,
}

/// How the number of threads is set.
#[derive(Clone, Copy)]
enum Control {
    Single,
    ProcessWide,
    OpenMp { set: extern "C" fn(c_int), get: extern "C" fn() -> c_int },
    Local { set: extern "C" fn(c_int) -> c_int },
}

impl Library {
    fn find() -> Self {
        // By `openblas_get_parallel` in OpenBLAS's `cblas.h`: 0 sequential, 1 threads, 2 OpenMP.
        let (threading, control) = match openblas_get_parallel() {
            0 => (Threading::None, Control::Single),
            2 => (Threading::OpenMp, Control::of_openmp()),
            _ => (Threading::Own, Control::of_threads()),
        };
        let library =
            Self { threading, control, default: openblas_get_num_threads().max(1) as usize };
        // OpenBLAS does not know all the variables that we do.
        let limit = LIMIT.load(Ordering::Relaxed);
        if limit > 0 {
            library.set_num_threads(limit);
        }
        library
    }

    pub(super) fn default(&self) -> usize {
        self.default
    }

    pub(super) fn num_threads(&self) -> usize {
        let threads = match self.control {
            Control::OpenMp { get, .. } => get(),
            _ => openblas_get_num_threads(),
        };
        threads.max(1) as usize
    }

    pub(super) fn scope(&self) -> Scope {
        match self.control {
            Control::Single => Scope::Single,
            Control::ProcessWide => Scope::ProcessWide,
            Control::OpenMp { .. } | Control::Local { .. } => Scope::PerThread,
        }
    }

    /// Sets the number of threads, in the library's scope.
    pub(super) fn set_num_threads(&self, threads: usize) {
        let threads = c_int::try_from(threads).unwrap_or(c_int::MAX);
        match self.control {
            Control::Single => {}
            Control::ProcessWide => openblas_set_num_threads(threads),
            Control::OpenMp { set, .. } => set(threads),
            Control::Local { set } => drop(set(threads)),
        }
    }

    pub(super) fn info(&self) -> Info {
        // The configuration begins with `OpenBLAS 0.3.21`.
        let config = text(openblas_get_config());
        let version = config.split(' ').nth(1).unwrap_or("of an unknown version").to_owned();
        Info {
            library: "OpenBLAS",
            version,
            core: text(openblas_get_corename()),
            threading: self.threading,
            scope: self.scope(),
        }
    }
}

impl Control {
    /// OpenMP's number is the calling thread's.
    fn of_openmp() -> Self {
        let (set, get) = (symbol(c"omp_set_num_threads"), symbol(c"omp_get_max_threads"));
        let (Some(set), Some(get)) = (set, get) else { return Self::ProcessWide };
        // SAFETY: as the OpenMP specification declares it.
        let set = unsafe { mem::transmute::<*mut (), extern "C" fn(c_int)>(set) };
        // SAFETY: as above.
        let get = unsafe { mem::transmute::<*mut (), extern "C" fn() -> c_int>(get) };
        Self::OpenMp { set, get }
    }

    /// A newer OpenBLAS has a function that promises a number for each thread. Whether it keeps the promise is
    /// tried: what another thread sets must not change ours.
    fn of_threads() -> Self {
        let Some(set) = symbol(c"openblas_set_num_threads_local") else { return Self::ProcessWide };
        // SAFETY: as OpenBLAS's `cblas.h` declares it.
        let set = unsafe { mem::transmute::<*mut (), extern "C" fn(c_int) -> c_int>(set) };
        let before = openblas_get_num_threads();
        let another = if before == 1 { 2 } else { 1 };
        let tried = thread::spawn(move || set(another)).join();
        let after = openblas_get_num_threads();
        openblas_set_num_threads(before);
        let per_thread = tried.is_ok() && after == before;
        if per_thread { Self::Local { set } } else { Self::ProcessWide }
    }
}

/// What the program's libraries have under this name.
fn symbol(name: &CStr) -> Option<*mut ()> {
    // SAFETY: the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found.cast())
}

fn text(pointer: *const c_char) -> String {
    // SAFETY: OpenBLAS gives strings that stay and end with a zero.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
