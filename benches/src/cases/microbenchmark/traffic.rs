//! Who calls which actor how often: the same on all engines.

use crate::case::Setting;

/// Callers and servers of one case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Traffic {
    pub(super) callers: Callers,
    pub(super) argument: Argument,
    /// Actors that are called.
    pub(super) servers: usize,
    /// Calls that each caller makes in a round.
    pub(super) calls: usize,
    /// Rounds that are timed together.
    pub(super) rounds: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Callers {
    /// The program itself, which gets each reply before it makes the next call.
    OneByOne,
    /// The program itself, which makes all calls of a round and then gets all.
    Outside,
    /// So many tasks, each of which calls the servers in turn and gets all.
    Tasks(usize),
    /// A task for each server, which calls that one only.
    TaskForEach,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Argument {
    None,
    /// A number, another one for each call.
    Number,
    /// A ref to a number, one for each caller.
    Ref,
}

impl Traffic {
    pub(super) fn callers(&self) -> usize {
        match self.callers {
            Callers::OneByOne | Callers::Outside => 1,
            Callers::Tasks(tasks) => tasks,
            Callers::TaskForEach => self.servers,
        }
    }

    /// The server that the caller number `caller` calls by its call number `call`.
    pub(super) fn server(&self, caller: usize, call: usize) -> usize {
        match self.callers {
            Callers::TaskForEach => caller,
            _ => call % self.servers,
        }
    }

    /// Calls of all callers in all rounds.
    pub(super) fn ops(&self) -> usize {
        self.callers() * self.calls * self.rounds
    }
}

/// Actors that Ray's script calls where it calls several: half as many as CPUs.
pub(super) fn servers(setting: &Setting) -> usize {
    (setting.cpus / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(callers: Callers) -> Traffic {
        Traffic { callers, argument: Argument::None, servers: 3, calls: 7, rounds: 2 }
    }

    #[test]
    fn callers_call_the_servers_in_turn() {
        let traffic = traffic(Callers::Tasks(4));
        let called: Vec<usize> = (0..7).map(|call| traffic.server(2, call)).collect();
        assert_eq!(called, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(traffic.ops(), 4 * 7 * 2);
    }

    #[test]
    fn a_caller_for_each_server_calls_no_other() {
        let traffic = traffic(Callers::TaskForEach);
        assert!((0..3).all(|caller| (0..7).all(|call| traffic.server(caller, call) == caller)));
        assert_eq!(traffic.ops(), 3 * 7 * 2);
    }

    #[test]
    fn the_program_is_one_caller() {
        assert_eq!(traffic(Callers::Outside).ops(), 14);
        assert_eq!(traffic(Callers::OneByOne).ops(), 14);
    }
}
