//! Holds back one CPU of an engine, so that what is queued stays queued.

use std::sync::mpsc::{Receiver, RecvError, Sender, channel};

/// Lets go when it is dropped.
pub(crate) struct Blocker {
    begun: Receiver<()>,
    #[expect(dead_code, reason = "its drop is the signal")]
    end: Sender<()>,
}

impl Blocker {
    /// The blocker, and the work that blocks the thread it runs on.
    pub(crate) fn new() -> (Self, impl FnOnce() + Send + 'static) {
        let (begins, begun) = channel();
        let (end, ends) = channel();
        let work = move || {
            // Whoever is no longer there to be told has let go as well.
            let _ = begins.send(());
            let _: Result<(), RecvError> = ends.recv();
        };
        (Blocker { begun, end }, work)
    }

    /// Returns once the work blocks its thread.
    pub(crate) fn wait_until_begun(&self) -> Result<(), RecvError> {
        self.begun.recv()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn it_begins_and_lets_go() {
        let (blocker, work) = Blocker::new();
        let blocked = thread::spawn(work);
        blocker.wait_until_begun().unwrap();
        assert!(!blocked.is_finished());
        drop(blocker);
        blocked.join().unwrap();
    }
}
