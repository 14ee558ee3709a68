//! Refs that are passed on by whoever has not read them: to tasks, and to actors.

use std::fmt;

use mobula::prelude::*;

#[remote]
fn numbers(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[remote]
fn double(x: u64) -> u64 {
    2 * x
}

/// What its children give, which nobody has read.
#[remote]
fn doubles(count: u64) -> Vec<ObjectRef<u64>> {
    (0..count).map(|x| double::remote(x)).collect()
}

#[remote]
fn stored(count: u64) -> ObjectRef<Vec<u64>> {
    mobula::put((0..count).collect())
}

#[remote]
fn total(parts: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    Ok(mobula::get(parts)?.iter().sum())
}

/// Gives them on.
#[remote]
fn same(parts: Vec<ObjectRef<u64>>) -> Vec<ObjectRef<u64>> {
    parts
}

/// Asks until they are there.
fn poll(objects: &[ObjectRef<u64>]) {
    for object in objects {
        while !object.is_ready() {
            std::thread::yield_now();
        }
    }
}

#[remote]
fn polled(parts: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    let own: Vec<_> = (0..3).map(|x| double::remote(x)).collect();
    poll(&parts);
    poll(&own);
    mobula::get(total::remote([parts, own].concat()))
}

pub(crate) fn asked_for(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(total::remote(vec![mobula::put(1), mobula::put(2)]))?, 3);
    let parts = mobula::get(doubles::remote(10))?;
    poll(&parts);
    assert_eq!(mobula::get(polled::remote(parts))?, 96);
    assert_eq!(mobula::get(polled::remote(mobula::get(doubles::remote(10))?))?, 96);
    Ok(())
}

pub(crate) fn to_tasks(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(total::remote(vec![mobula::put(1), mobula::put(2)]))?, 3);
    // Most often a task runs where the one before it did.
    for _ in 0..5 {
        let parts = mobula::get(doubles::remote(10))?;
        let again = mobula::get(same::remote(parts.clone()))?;
        assert_eq!(mobula::get((total::remote(parts), total::remote(again)))?, (90, 90));
    }
    Ok(())
}

struct Adder {
    last: u64,
}

#[remote]
impl Adder {
    pub fn new() -> Self {
        Self { last: 0 }
    }

    pub fn add(&mut self, values: &[u64]) -> u64 {
        self.last = values.iter().sum();
        self.last
    }

    /// What was there when the call came, and what the ref gives.
    pub fn after(&mut self, other: ObjectRef<u64>) -> mobula::Result<(u64, u64)> {
        let before = self.last;
        self.last = mobula::get(other)?;
        Ok((before, self.last))
    }

    pub fn stored(&mut self, count: u64) -> ObjectRef<Vec<u64>> {
        mobula::put((0..count).collect())
    }
}

pub(crate) fn to_actors(_: Engine) -> mobula::Result<()> {
    let (adder, other) = (Adder::remote(), Adder::remote());
    for count in [10, 100_000] {
        let sum = (0..count).sum::<u64>();
        // Not there yet, or where the program has not been told of it, or read it.
        assert_eq!(mobula::get(adder.add(numbers::remote(count)))?, sum);
        let inside = mobula::get(stored::remote(count))?;
        assert_eq!(mobula::get((adder.add(&inside), other.add(inside)))?, (sum, sum));
        let inside = mobula::get(adder.stored(count))?;
        assert_eq!(mobula::get((other.add(&inside), adder.add(inside)))?, (sum, sum));
    }
    // A ref that the call waits for by itself, of a call before it, and one of another actor's.
    let first = adder.add(vec![1, 2]);
    let second = other.after(first.clone());
    let third = adder.after(first);
    let fourth = adder.add(vec![4, 5]);
    let sum = (0..100_000).sum();
    assert_eq!(mobula::get((second, third, fourth))?, ((sum, 3), (3, 3), 9));
    // Both calls may go at once, and bring the ref with them.
    for number in 0..100 {
        let first = adder.add(vec![number]);
        let both = (other.after(first.clone()), adder.after(first));
        assert_eq!(mobula::get(both).map(|((_, one), (_, two))| (one, two))?, (number, number));
    }
    Ok(())
}

#[remote]
fn fails(number: u64) -> u64 {
    panic!("no {number}")
}

/// One that failed, and one that never began because of another.
#[remote]
fn failed() -> Vec<ObjectRef<u64>> {
    vec![fails::remote(1), double::options().name("twice").remote(fails::remote(2))]
}

#[remote]
fn called(adder: ActorHandle<Adder>) -> Vec<ObjectRef<(u64, u64)>> {
    vec![adder.after(fails::remote(3))]
}

#[remote]
fn refused() -> Vec<ObjectRef<u64>> {
    vec![
        double::options().resource("nowhere", 1.0).remote(1),
        double::options().num_cpus(1e-5).remote(2),
    ]
}

#[remote]
fn kinds(parts: Vec<ObjectRef<u64>>) -> Vec<Option<ErrorKind>> {
    parts.iter().map(|part| mobula::get(part).err().map(|why| why.kind())).collect()
}

/// Refs of calls that never began are refs, too.
pub(crate) fn refusals(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(total::remote(vec![mobula::put(1), mobula::put(2)]))?, 3);
    let expected = [ErrorKind::Infeasible, ErrorKind::Config].map(Some);
    let own = vec![
        double::options().resource("nowhere", 1.0).remote(1),
        double::options().num_cpus(1e-5).remote(2),
    ];
    for parts in [own, mobula::get(refused::remote())?] {
        for _ in 0..2 {
            assert_eq!(mobula::get(kinds::remote(parts.clone()))?, expected);
            let here: Vec<_> =
                parts.iter().map(|part| mobula::get(part).err().map(|why| why.kind())).collect();
            assert_eq!(here, expected);
        }
    }
    Ok(())
}

#[remote]
fn ask(adder: ActorHandle<Adder>) -> mobula::Result<u64> {
    mobula::get(adder.add(vec![1]))
}

/// The same of handles.
pub(crate) fn refused_handles(_: Engine) -> mobula::Result<()> {
    mobula::get(Adder::remote().add(vec![1]))?;
    let adder = Adder::options().resource("nowhere", 1.0).remote();
    let why = mobula::get(ask::remote(&adder)).expect_err("nobody has that");
    assert_eq!(why.kind(), ErrorKind::Infeasible, "{why}");
    Ok(())
}

/// The calls on the way of the failure, as its message shows them.
fn way<T: Clone + fmt::Debug + Send + Sync + 'static>(failed: &ObjectRef<T>) -> Vec<String> {
    let message = mobula::get(failed).expect_err("it failed").to_string();
    let (_, calls) = message.split_once("task ").expect("a call");
    let names = calls.split('`').skip(1).step_by(2).map(str::to_owned);
    let places = message.matches(file!()).count();
    let names: Vec<_> = names.collect();
    assert_eq!(places, names.len() + 1, "each call has a place, and so has the panic: {message}");
    names
}

pub(crate) fn ways_of_tasks(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(total::remote(vec![mobula::put(1), mobula::put(2)]))?, 3);
    let parts = mobula::get(failed::remote())?;
    // Before and after they were read.
    for _ in 0..2 {
        assert_eq!(way(&double::remote(&parts[0])), ["fails", "double"]);
        assert_eq!(way(&total::remote(parts[1..].to_vec())), ["fails", "twice", "total"]);
        assert_eq!(way(&parts[0]), ["fails"]);
        assert_eq!(way(&parts[1]), ["fails", "twice"]);
    }
    Ok(())
}

pub(crate) fn ways_of_actors(_: Engine) -> mobula::Result<()> {
    let adder = Adder::remote();
    assert_eq!(mobula::get(adder.add(vec![1]))?, 1);
    let parts = mobula::get(failed::remote())?;
    assert_eq!(way(&adder.after(parts[1].clone())), ["fails", "twice", "Adder::after"]);
    let calls = mobula::get(called::remote(&adder))?;
    assert_eq!(way(&calls[0]), ["fails", "Adder::after"]);
    Ok(())
}
