//! Fibonacci numbers the slow way: nothing but calls that wait for two calls.

use std::pin::Pin;

use anyhow::{Result, ensure};
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "fib",
    about: "fib(27), where each call makes two and waits for both",
    unit: Unit::NanosPerOp,
    contenders,
};

const N: usize = 27;
const N_QUICK: usize = 17;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let (n, cpus) = (setting.size(N, N_QUICK) as u64, setting.cpus);
    let calls = calls(n);
    let right = move |answer| {
        ensure!(answer == expected(n), "fib({n}) is not {answer}");
        Ok(())
    };
    Ok(vec![
        start::on_mobula(cpus, calls, || Ok(move || right(mobula::get(fib::remote(n))?)))?,
        start::on_tokio(cpus, calls, move |runtime| {
            right(runtime.block_on(runtime.spawn(fib_tokio(n)))??)
        })?,
        start::on_rayon(cpus, calls, move |pool| right(pool.install(|| fib_rayon(n))))?,
    ])
}

/// The number itself, by the quick way.
fn expected(n: u64) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

/// Calls that it takes to compute fib(n), the first included.
fn calls(n: u64) -> usize {
    2 * expected(n + 1) as usize - 1
}

#[remote]
fn fib(n: u64) -> mobula::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let (a, b) = mobula::get((fib::remote(n - 1), fib::remote(n - 2)))?;
    Ok(a + b)
}

type Boxed = Pin<Box<dyn Future<Output = Result<u64>> + Send>>;

fn fib_tokio(n: u64) -> Boxed {
    Box::pin(async move {
        if n < 2 {
            return Ok(n);
        }
        let (a, b) = (tokio::spawn(fib_tokio(n - 1)), tokio::spawn(fib_tokio(n - 2)));
        Ok(a.await?? + b.await??)
    })
}

/// `join` runs one half itself and offers the other: it makes half the tasks.
fn fib_rayon(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = rayon::join(|| fib_rayon(n - 1), || fib_rayon(n - 2));
    a + b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_calls_are_counted() {
        fn counted(n: u64) -> usize {
            if n < 2 { 1 } else { 1 + counted(n - 1) + counted(n - 2) }
        }
        (0..20).for_each(|n| assert_eq!(calls(n), counted(n)));
        assert_eq!(expected(27), 196_418);
    }
}
