//! Runs a graph once on each engine. A task adds up the results that it needs
//! and goes on from there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Result;
use mobula::prelude::*;
use rayon::Scope;
use tokio::sync::oneshot;

use super::graph::Tasks;
use super::kernel::compute;

/// One task for each of the graph's, as one would write it: with a parameter for
/// each of a few inputs, and a list where there are more.
pub(super) fn on_mobula(tasks: &Tasks, iterations: u64) -> Result<()> {
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
    mobula::get(refs)?;
    Ok(())
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
    compute(iterations, inputs.into_iter().fold(0, u64::wrapping_add))
}

/// One task for each of the graph's, and a channel for each dependence, since a
/// `JoinHandle` gives its result to one only.
pub(super) fn on_tokio(
    runtime: &tokio::runtime::Runtime,
    tasks: &Tasks,
    iterations: u64,
) -> Result<()> {
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
            Ok::<(), oneshot::error::RecvError>(())
        })
    };
    let handles: Vec<_> = receivers.into_iter().zip(senders).map(task).collect();
    runtime.block_on(async {
        for handle in handles {
            handle.await??;
        }
        Ok(())
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
) -> Result<()> {
    let node = |inputs: &Vec<usize>| Node {
        missing: AtomicUsize::new(inputs.len()),
        seed: AtomicU64::new(0),
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
    Ok(())
}

/// A task that misses inputs.
struct Node {
    missing: AtomicUsize,
    /// The sum of the inputs so far.
    seed: AtomicU64,
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
        let seed = self.nodes[task].seed.load(Ordering::Relaxed);
        let result = compute(self.iterations, seed);
        for &output in &self.outputs[task] {
            let node = &self.nodes[output];
            node.seed.fetch_add(result, Ordering::Relaxed);
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

    /// Rayon runs every task: one that misses an input for ever would not run.
    #[test]
    fn every_task_runs_on_rayon() {
        let tasks = Graph { pattern: Pattern::Fft, width: 8, steps: 6 }.tasks();
        let node = |inputs: &Vec<usize>| Node {
            missing: AtomicUsize::new(inputs.len()),
            seed: AtomicU64::new(0),
        };
        let nodes: Vec<Node> = tasks.inputs().iter().map(node).collect();
        let outputs = tasks.outputs();
        let counting = Counting { nodes: &nodes, outputs: &outputs, iterations: 1 };
        start::rayon(2).unwrap().in_place_scope(|scope| {
            (0..8).for_each(|task| scope.spawn(move |scope| counting.run(task, scope)));
        });
        assert!(nodes.iter().all(|node| node.missing.load(Ordering::Relaxed) == 0));
    }
}
