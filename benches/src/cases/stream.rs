//! Items that come one after the other: a producer, a reader, and at most 16
//! between the two. A stream of mobula gives a ref to each.

use std::hint::black_box;
use std::sync::mpsc;

use anyhow::{Result, ensure};
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "stream",
    about: "a producer yields numbers, at most 16 ahead of the reader who adds them up",
    unit: Unit::NanosPerOp,
    contenders,
};

const ITEMS: u64 = 200_000;
const ITEMS_QUICK: u64 = 2_000;
const UNREAD_MAX: usize = 16;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let items = setting.size(ITEMS as usize, ITEMS_QUICK as usize);
    let (count, cpus) = (items as u64, setting.cpus);
    let runtime = start::mobula(cpus)?;
    let mobula = move || {
        let _entered = runtime.enter();
        let mut sum = 0;
        for item in numbers::options().max_unread(UNREAD_MAX).remote(count) {
            sum += mobula::get(item)?;
        }
        check(count, sum)
    };
    let runtime = start::tokio(cpus)?;
    let tokio = move || {
        let (send, mut receive) = tokio::sync::mpsc::channel(UNREAD_MAX);
        let producer = async move {
            for x in 0..count {
                if send.send(black_box(x)).await.is_err() {
                    break;
                }
            }
        };
        runtime.spawn(producer);
        let mut sum = 0;
        while let Some(x) = receive.blocking_recv() {
            sum += x;
        }
        check(count, sum)
    };
    let threads = move || {
        let (send, receive) = mpsc::sync_channel(UNREAD_MAX);
        let producer = std::thread::spawn(move || {
            (0..count).all(|x| send.send(black_box(x)).is_ok());
        });
        let sum = receive.into_iter().sum();
        ensure!(producer.join().is_ok(), "the producer panicked");
        check(count, sum)
    };
    Ok(vec![
        Contender::timed(MOBULA, items, mobula),
        Contender::timed("tokio_mpsc", items, tokio),
        Contender::timed("std_mpsc", items, threads),
    ])
}

#[remote(stream)]
fn numbers(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(black_box)
}

fn check(count: u64, sum: u64) -> Result<()> {
    ensure!(sum == count * (count - 1) / 2, "an item was lost");
    Ok(())
}
