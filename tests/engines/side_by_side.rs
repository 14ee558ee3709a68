//! What is promised of the `&self` calls of an actor that compute side by side.

use super::tasks::square;
use super::*;

/// Where some meet.
pub(crate) struct Hall {
    barrier: std::sync::Barrier,
    left: u64,
}

#[remote]
impl Hall {
    pub fn new(size: usize) -> Self {
        Self { barrier: std::sync::Barrier::new(size), left: 0 }
    }

    /// Returns when there are as many, each of which calls something.
    pub fn meet(&self, x: u64) -> mobula::Result<(u64, Option<String>)> {
        self.barrier.wait();
        let squared = mobula::get(square::remote(x))?;
        self.barrier.wait();
        Ok((squared, mobula::context().task_id().map(|id| id.to_string())))
    }

    /// Returns when one more has come.
    pub fn greet(&self) {
        self.barrier.wait();
    }

    pub fn leave(&mut self) -> u64 {
        self.left += 1;
        self.left
    }

    pub fn meet_and_panic(&self) {
        self.barrier.wait();
        panic!("boom");
    }

    pub fn meet_and_stop(&self) -> mobula::Result<()> {
        self.barrier.wait();
        loop {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
    }

    pub fn meet_and_exit(&self) -> mobula::Result<()> {
        self.barrier.wait();
        mobula::exit_actor()
    }
}

pub(crate) fn calls() -> mobula::Result<()> {
    let hall = Hall::options().max_concurrency(2).max_restarts(1).remote(2);
    // Of two that meet, the second begins beside the first; what has the state alone comes after them and before others.
    let visits: Vec<_> = (0..8)
        .map(|n| {
            let two = [hall.meet(n), hall.meet(n + 1)];
            (n, two, hall.leave())
        })
        .collect();
    for (n, two, left) in visits {
        for (x, call) in (n..).zip(two) {
            let id = call.id().to_string();
            assert_eq!(mobula::get(call)?, (x * x, Some(id)));
        }
        assert_eq!(mobula::get(left)?, n + 1);
    }
    // One is asked to stop, and the other goes on.
    let stops = hall.meet_and_stop();
    mobula::get(hall.greet())?;
    let meets = [hall.meet(3), hall.meet(4)];
    mobula::cancel(&stops);
    assert_eq!(mobula::get(stops).unwrap_err().kind(), ErrorKind::Cancelled);
    let squares = mobula::get(meets.to_vec())?.into_iter().map(|(squared, _)| squared);
    assert!(squares.eq([9, 16]));
    // A crash is one, whoever has it; what had not begun waits for the actor that is made anew.
    let crashes = [hall.meet_and_panic(), hall.meet_and_panic()];
    let after = hall.leave();
    for crash in crashes {
        assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::Panic);
    }
    assert_eq!(mobula::get(after)?, 1);
    let (end, exits) = (hall.watch(), [hall.meet_and_exit(), hall.meet_and_exit()]);
    mobula::get(exits.to_vec())?;
    assert!(matches!(mobula::get(end)?, ActorEnd::Exited));
    Ok(())
}
