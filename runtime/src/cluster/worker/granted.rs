//! With how much a call computes that came to this process: with as many threads of BLAS and of rayon as whoever sent it
//! has granted it CPUs.

use std::cell::Cell;

use crate::local::grant;
use crate::millis::Millis;

thread_local! {
    static IS_FIRST: Cell<bool> = const { Cell::new(false) };
}

/// This thread, the process's first, takes the calls and runs them.
pub(in crate::cluster) fn begin() {
    IS_FIRST.set(true);
    grant::begin_elsewhere();
}

/// Whether this thread is the first, or stands for it.
pub(super) fn is_first() -> bool {
    IS_FIRST.get()
}

/// Runs a call for the first thread: there, or where there are more threads of rayon, while it waits.
pub(in crate::cluster) fn in_turn<R: Send>(cpus: f64, run: impl FnOnce() -> R + Send) -> R {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            IS_FIRST.set(self.0);
        }
    }
    with_threads(cpus, || {
        let _leave = Leave(IS_FIRST.replace(true));
        run()
    })
}

/// The first thread lets others run calls side by side, and has none.
pub(in crate::cluster) fn lend() {
    grant::lend_elsewhere();
}

/// Runs a call that is one of several side by side.
pub(in crate::cluster) fn beside<R: Send>(cpus: f64, run: impl FnOnce() -> R + Send) -> R {
    with_threads(cpus, run)
}

fn with_threads<R: Send>(cpus: f64, run: impl FnOnce() -> R + Send) -> R {
    grant::elsewhere(Millis::from_f64(cpus).unwrap_or(Millis::ONE), run)
}
