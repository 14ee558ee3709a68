//! The memory of a process that serves. Fresh pages are most of what a long array costs, so what one leaves is there
//! for the next, and what nobody wants goes back to the system after a while.

/// Lets this process's `malloc` keep what is freed, where that is glibc's: its manual tells the parameters,
/// https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(in crate::cluster) fn keep() {
    use std::ffi::c_int;
    use std::time::Duration;

    unsafe extern "C" {
        /// Sets a parameter; 0: it could not.
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
        /// Gives all pages of the heap that are free back to the system, but for so many bytes at its end.
        fn malloc_trim(pad: usize) -> c_int;
    }

    /// How much stays at the end of the heap when it is freed.
    const TRIM_THRESHOLD: (c_int, c_int) = (-1, 256 << 20);
    /// How many allocations have pages of their own, which they would take along when they go.
    const MMAP_MAX: (c_int, c_int) = (-4, 0);
    /// How long what is free stays with the process.
    const KEEP: Duration = Duration::from_secs(10);

    for (parameter, value) in [TRIM_THRESHOLD, MMAP_MAX] {
        // SAFETY: parameters may be set at any time, by any thread.
        let _ = unsafe { mallopt(parameter, value) };
    }
    let give_back = || {
        loop {
            std::thread::sleep(KEEP);
            // SAFETY: it may be called at any time, by any thread.
            let _ = unsafe { malloc_trim(0) };
        }
    };
    // Without it the memory stays, until the process ends.
    let _ = std::thread::Builder::new().name("mobula-memory".to_owned()).spawn(give_back);
}

/// Other allocators have ways of their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(in crate::cluster) fn keep() {}
