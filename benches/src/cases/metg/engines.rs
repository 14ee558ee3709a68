//! Runs a graph once on each engine. A task adds up the results that it needs
//! and goes on from there; a run gives the sum of all results.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Result;
use mobula::prelude::*;
use rayon::Scope;
use tokio::sync::oneshot;

use super::graph::Tasks;
use super::kernel::compute;

/// One task for each of the graph's, as one would write it: with a parameter for
/// each of a few inputs, and a list where there are more.
pub(super) fn on_mobula(tasks: &Tasks, iterations: u64) -> Result<u64> {
    let mut refs: Vec<ObjectRef<u64>> = Vec::with_capacity(tasks.inputs().len());
    for inputs in tasks.inputs() {
        let task = match inputs[..] {
            [] => first::remote(iterations),
            [a] => after_one::remote(iterations, &refs[a]),
            [a, b] => after_two::remote(iterations, &refs[a], &refs[b]),
            [a, b, c] => after_three::remote(iterations, &refs[a], &refs[b], &refs[c]),
            _ => after_many::remote(iterations, inputs.iter().map(|&input| refs[input].clone()).collect::<Vec<_>>()),
        };
        refs.push(task);
    }
    Ok(sum(mobula::get(refs)?))
}

fn sum(results: impl IntoIterator<Item = u64>) -> u64 {
    results.into_iter().fold(0, u64::wrapping_add)
}

#[remote]
fn first(iterations: u64) -> u64 {
    compute(iterations, 0)
}

#[remote]
fn after_one(iterations: u64, a: u64) -> u64 {
    compute(iterations, a)
}

#[remote]
fn after_two(iterations: u64, a: u64, b: u64) -> u64 {
    compute(iterations, a.wrapping_add(b))
}

#[remote]
fn after_three(iterations: u64, a: u64, b: u64, c: u64) -> u64 {
    compute(iterations, a.wrapping_add(b).wrapping_add(c))
}

#[remote]
fn after_many(iterations: u64, inputs: Vec<u64>) -> u64 {
    compute(iterations, sum(inputs))
}

/// One task for each of the graph's, and a channel for each dependence, since a
/// `JoinHandle` gives its result to one only.
pub(super) fn on_tokio(
    runtime: &tokio::runtime::Runtime,
    tasks: &Tasks,
    iterations: u64,
) -> Result<u64> {
    let _entered = runtime.enter();
    let mut senders: Vec<Vec<oneshot::Sender<u64>>> = Vec::new();
    let mut receivers: Vec<Vec<oneshot::Receiver<u64>>> = Vec::new();
    senders.resize_with(tasks.inputs().len(), Vec::new);
    for inputs in tasks.inputs() {
        let channel = |&input: &usize| {
            let (sender, receiver) = oneshot::channel();
            senders[input].push(sender);
            receiver
        };
        receivers.push(inputs.iter().map(channel).collect());
    }
    let task = |(receivers, senders): (Vec<oneshot::Receiver<u64>>, Vec<oneshot::Sender<u64>>)| {
        tokio::spawn(async move {
            let mut seed = 0_u64;
            for input in receivers {
                seed = seed.wrapping_add(input.await?);
            }
            let result = compute(iterations, seed);
            for sender in senders {
                // Whoever needs it is there, or has failed already.
                let _ = sender.send(result);
            }
            Ok::<u64, oneshot::error::RecvError>(result)
        })
    };
    let handles: Vec<_> = receivers.into_iter().zip(senders).map(task).collect();
    runtime.block_on(async {
        let mut total = 0_u64;
        for handle in handles {
            total = total.wrapping_add(handle.await??);
        }
        Ok(total)
    })
}

/// Rayon has no task that waits for others, so each counts the inputs that it
/// misses, and the last of them spawns it. That needs the whole graph in
/// advance, and `outputs`, the way back, is not even timed.
pub(super) fn on_rayon(
    pool: &rayon::ThreadPool,
    tasks: &Tasks,
    outputs: &[Vec<usize>],
    iterations: u64,
) -> Result<u64> {
    let node = |inputs: &Vec<usize>| Node {
        missing: AtomicUsize::new(inputs.len()),
        sum: AtomicU64::new(0),
    };
    let nodes: Vec<Node> = tasks.inputs().iter().map(node).collect();
    let counting = Counting { nodes: &nodes, outputs, iterations };
    pool.in_place_scope(|scope| {
        for (task, inputs) in tasks.inputs().iter().enumerate() {
            if inputs.is_empty() {
                scope.spawn(move |scope| counting.run(task, scope));
            }
        }
    });
    // The scope has waited for all tasks, so all they wrote is there.
    Ok(sum(nodes.into_iter().map(|node| node.sum.into_inner())))
}

/// A task that misses inputs.
struct Node {
    missing: AtomicUsize,
    /// The sum of the inputs so far; in the end the result.
    sum: AtomicU64,
}

/// A run of a graph on rayon.
#[derive(Clone, Copy)]
struct Counting<'graph> {
    nodes: &'graph [Node],
    outputs: &'graph [Vec<usize>],
    iterations: u64,
}

impl<'graph> Counting<'graph> {
    fn run(self, task: usize, scope: &Scope<'graph>) {
        // All inputs were added before the last of them counted, which see below.
        let sum = &self.nodes[task].sum;
        let result = compute(self.iterations, sum.load(Ordering::Relaxed));
        sum.store(result, Ordering::Relaxed);
        for &output in &self.outputs[task] {
            let node = &self.nodes[output];
            node.sum.fetch_add(result, Ordering::Relaxed);
            // Its release pairs with the acquire of the one that counts last,
            // which then spawns the task.
            if node.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                scope.spawn(move |scope| self.run(output, scope));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::metg::graph::{Graph, Pattern};
    use crate::start;

    const ITERATIONS: u64 = 3;

    fn one_after_the_other(tasks: &Tasks) -> u64 {
        let mut results: Vec<u64> = Vec::new();
        for inputs in tasks.inputs() {
            let seed = sum(inputs.iter().map(|&input| results[input]));
            results.push(compute(ITERATIONS, seed));
        }
        sum(results)
    }

    #[test]
    fn all_engines_compute_the_same() {
        let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
        let _entered = runtime.enter();
        let (tokio, rayon) = (start::tokio(2).unwrap(), start::rayon(2).unwrap());
        for pattern in Pattern::ALL {
            let tasks = Graph { pattern, width: 8, steps: 20 }.tasks();
            let expected = one_after_the_other(&tasks);
            let outputs = tasks.outputs();
            assert_eq!(on_mobula(&tasks, ITERATIONS).unwrap(), expected, "{pattern:?}");
            assert_eq!(on_tokio(&tokio, &tasks, ITERATIONS).unwrap(), expected, "{pattern:?}");
            let on_rayon = on_rayon(&rayon, &tasks, &outputs, ITERATIONS).unwrap();
            assert_eq!(on_rayon, expected, "{pattern:?}");
        }
    }
}
