//! Where calls stand that tasks in other processes make, as messages tell it: where the program's source has them, or
//! nowhere, but never in the runtime's own.

use std::time::Duration;

use mobula::get_actor;
use mobula::prelude::*;

fn runtime() -> Runtime {
    Runtime::new(Config::new().num_cpus(2).engine(Engine::Processes)).unwrap()
}

#[remote]
async fn never() -> u64 {
    std::future::pending().await
}

#[remote(stream)]
fn counts(up_to: u64) -> impl Iterator<Item = u64> {
    0..up_to
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Counter(u64);

#[remote]
impl Counter {
    pub fn new(start: u64) -> Self {
        Self(start)
    }

    pub fn get(&self) -> u64 {
        self.0
    }
}

fn failure<T: Clone + Send + Sync + 'static>(failed: ObjectRef<T>) -> String {
    mobula::get(failed).err().unwrap().to_string()
}

/// What is said of what it was given and of what is not there, and then of what it does wrong itself.
#[remote]
fn tells(given: Vec<ObjectRef<u64>>) -> (Vec<String>, Vec<String>) {
    let given = &given[0];
    let timeout = mobula::get_timeout(given, Duration::ZERO).unwrap_err().to_string();
    let nobody = get_actor::<Counter>("nobody").err().unwrap().to_string();
    let placeless = vec![timeout, given.explain().to_string(), format!("{given:?}"), nobody];
    let stream = counts::options().num_cpus(64).remote(1).next().unwrap();
    let large = Counter::options().num_cpus(64).remote(1);
    let twice = [(); 2].map(|()| Counter::options().name("taken").remote(1));
    (placeless, vec![failure(stream), failure(large.get()), failure(twice[1].get())])
}

#[test]
fn messages_name_the_places_of_the_program_or_none() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let given = never::remote();
    let (placeless, own) = mobula::get(tells::remote(vec![given.clone()])).unwrap();
    mobula::cancel(&given);
    for told in placeless.iter().chain(&own) {
        assert!(!told.contains("runtime/src"), "{told}");
    }
    for told in own {
        assert!(told.contains("(called at tests/places.rs:"), "{told}");
    }
}

#[remote]
fn calls_one_for_good() -> Vec<ObjectRef<u64>> {
    vec![never::remote()]
}

#[test]
fn a_call_that_a_task_made_stands_where_it_made_it() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let pending = mobula::get(calls_one_for_good::remote()).unwrap().remove(0);
    let timeout = mobula::get_timeout(&pending, Duration::ZERO).unwrap_err().to_string();
    let all = [pending.explain().to_string(), timeout, format!("{pending:?}")];
    mobula::cancel(&pending);
    for told in all {
        assert!(told.contains("`never` (called at tests/places.rs:"), "{told}");
    }
}
