//! The tasks of the programs. Whatever computes goes through the meter.

use std::sync::Arc;
use std::time::Duration;

use mobula::prelude::*;

use crate::actors::Tally;
use crate::counted::{Counted, combine};
use crate::meter::{call, compute};

/// What the panics of these programs begin with.
pub(crate) const PLANNED: &str = "planned: ";
/// A limit that no wait ever reaches, for the ways of waiting that need one.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(86_400);

#[remote(local)]
pub(crate) fn borrow_two(a: &Counted, b: &Counted) -> Counted {
    compute([a.value(), b.value()])
}

#[remote(local)]
pub(crate) fn take_one(a: Counted) -> Counted {
    compute([a.value()])
}

#[remote(local)]
pub(crate) fn take_all(all: Vec<Counted>) -> Counted {
    compute(all.iter().map(Counted::value))
}

#[remote(local)]
pub(crate) fn share_all(all: &[Arc<Counted>]) -> Counted {
    compute(all.iter().map(|value| value.value()))
}

#[remote(local)]
pub(crate) async fn wait_for_two(a: Counted, b: &Counted) -> Counted {
    tokio::task::yield_now().await;
    compute([a.value(), b.value()])
}

/// Waits inside of a task, in one of the ways there are.
#[remote(local)]
pub(crate) fn get_two(
    a: ObjectRef<Counted>,
    b: ObjectRef<Counted>,
    how: u64,
) -> mobula::Result<Counted> {
    let refs = [a, b];
    match how % 4 {
        0 => {}
        1 => {
            let (ready, pending) = wait(&refs, 2, None);
            assert_eq!((ready.len(), pending.len()), (2, 0));
        }
        2 => assert_eq!(as_completed(&refs).count(), 2),
        _ => drop(get_timeout(&refs[1], FOR_EVER)),
    }
    let [a, b]: [Counted; 2] = get(refs)?;
    Ok(compute([a.value(), b.value()]))
}

#[remote(local)]
pub(crate) async fn await_two(
    a: ObjectRef<Counted>,
    b: ObjectRef<Counted>,
) -> mobula::Result<Counted> {
    let (a, b) = (a.await?, (&b).await?);
    Ok(compute([a.value(), b.value()]))
}

#[remote(local)]
pub(crate) fn refuse(_a: &Counted) -> Result<Counted, String> {
    Err("no".to_owned())
}

#[remote(local)]
pub(crate) fn explode(_a: Counted) -> Counted {
    panic!("{PLANNED}a task")
}

#[remote(local)]
pub(crate) async fn explode_later(_a: Counted) -> Counted {
    tokio::task::yield_now().await;
    panic!("{PLANNED}an async task")
}

#[remote(local, num_returns = 2)]
pub(crate) fn split(a: Counted) -> (Counted, Counted) {
    (compute([a.value(), 0]), compute([a.value(), 1]))
}

/// Computes for a while, and stops when it is asked to.
#[remote(local)]
pub(crate) fn listen(a: &Counted) -> mobula::Result<Counted> {
    for _ in 0..100 {
        mobula::check_cancelled()?;
    }
    Ok(compute([a.value()]))
}

/// Computes until it is asked to stop.
#[remote(local)]
pub(crate) fn stay(_a: &Counted) -> mobula::Result<Counted> {
    loop {
        mobula::check_cancelled()?;
        std::thread::yield_now();
    }
}

/// A tree of tasks that wait for their children.
#[remote(local)]
pub(crate) fn tree(root: u64, depth: u64) -> mobula::Result<Counted> {
    if depth == 0 {
        return Ok(compute_root(root));
    }
    let children: Vec<ObjectRef<Counted>> = (0..1 + root % 3)
        .map(|nth| {
            call();
            let below = root + nth;
            match below % 4 {
                0 => tree_later::remote(below, depth - 1),
                1 => mobula::spawn(move || tree_of_one(below, depth - 1)),
                2 => tree::options().num_cpus(0.5).remote(below, depth - 1),
                _ => tree::remote(below, depth - 1),
            }
        })
        .collect();
    let values: Vec<Counted> = match root % 4 {
        0 => get(&children)?,
        1 => get(children)?,
        2 => {
            let (ready, _) = wait(&children, children.len(), None);
            get(ready)?
        }
        _ => children.into_iter().map(get).collect::<mobula::Result<_>>()?,
    };
    Ok(compute(values.iter().map(Counted::value)))
}

#[remote(local)]
pub(crate) async fn tree_later(root: u64, depth: u64) -> mobula::Result<Counted> {
    call();
    tree::remote(root, depth).await
}

fn compute_root(root: u64) -> Counted {
    compute([root])
}

fn tree_of_one(root: u64, depth: u64) -> Counted {
    let expected = tree_value(root, depth);
    drop(compute([]));
    Counted::new(expected)
}

/// What `tree` gives, worked out on the spot.
pub(crate) fn tree_value(root: u64, depth: u64) -> u64 {
    match depth {
        0 => combine([root]),
        _ => combine((0..1 + root % 3).map(|nth| tree_value(root + nth, depth - 1))),
    }
}

/// A task that calls an actor which other tasks call, too.
#[remote(local)]
pub(crate) fn report(tally: ActorHandle<Tally>, value: u64) -> mobula::Result<Counted> {
    call();
    get(tally.add(value))?;
    Ok(compute([value]))
}
