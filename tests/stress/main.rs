//! Random programs against a sequential model.
//!
//! Each round starts a runtime. A few threads drive it, each with a program of its own ([`driver`]),
//! and in some rounds it ends under way. A program uses all there is: [`tasks`], plain, async and
//! nested, with any options ([`wish`]), and [`actors`] of both kinds. A [`model`] notes what was done. At
//! the end it works out, in the order of the program, what each object may have become ([`outcome`],
//! and [`follow`] for actors), and compares. What a race decides is taken from what was seen; what
//! follows from that is then checked.
//!
//! Nothing may leak: the values count themselves ([`counted`]). Never may more than `num_cpus` compute:
//! a [`meter`] counts. Nothing may hang: a [`watchdog`] says what is pending. Neither the test nor its
//! tasks ever sleep.
//!
//! A failure names the seed of its round, and `MOBULA_STRESS_SEED` begins with that round.
//! `MOBULA_STRESS_OPS` sets how many calls are made, and `MOBULA_NUM_CPUS` and `MOBULA_ENGINE` fix what
//! is random otherwise. The programs are then the same; what the threads make of them may differ.

#![expect(unreachable_pub, reason = "an actor's remote methods are its public ones")]

mod actors;
mod counted;
mod driver;
mod follow;
mod meter;
mod model;
mod outcome;
mod random;
mod tasks;
mod watchdog;
mod wish;

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};
use std::thread;

use mobula::prelude::*;

use crate::counted::Counted;
use crate::driver::{Driver, Setting, see_all};
use crate::model::{Model, Object};
use crate::random::Random;
use crate::tasks::{PLANNED, tree, tree_value};
use crate::watchdog::Watchdog;

/// How many calls are made unless the environment says otherwise, by programs and by their tasks.
const OPERATIONS: u64 = if cfg!(debug_assertions) { 50_000 } else { 500_000 };
/// How many things a driver does in a round.
const ROUND_STEPS: u64 = 1_000;
const DRIVERS_MAX: u64 = 3;
const CPUS: [usize; 6] = [1, 1, 2, 3, 4, 8];

#[test]
fn random_programs_do_what_the_model_says() {
    quiet_planned_panics();
    let mut seed = setting("MOBULA_STRESS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let operations = setting("MOBULA_STRESS_OPS").unwrap_or(OPERATIONS);
    let mut seeds = Random::new(seed);
    let watchdog = Watchdog::start();
    while meter::calls() < operations {
        let _told = Seed(seed);
        round(seed, &watchdog);
        counted::check_all_gone();
        seed = seeds.next();
    }
}

/// A runtime, and drivers that each run a program on it.
fn round(seed: u64, watchdog: &Watchdog) {
    let mut random = Random::new(seed);
    let (runtime, inline) = start_runtime(&mut random);
    let end_early = !inline && random.one_in(4);
    let drivers: Vec<(u64, Arc<Mutex<Model>>)> =
        (0..=random.below(DRIVERS_MAX)).map(|_| (random.next(), Arc::default())).collect();
    let models: Vec<_> = drivers.iter().map(|(_, model)| Arc::clone(model)).collect();
    watchdog.watch(seed, &models);
    let setting = Setting { cpus: runtime.num_cpus(), inline, shared: share(&runtime) };
    thread::scope(|scope| {
        for (seed, model) in drivers {
            let (runtime, setting) = (&runtime, setting.clone());
            scope.spawn(move || {
                let _entered = runtime.enter();
                let mut driver = Driver::new(seed, model, setting);
                (0..ROUND_STEPS).for_each(|_| driver.step());
                if !end_early {
                    driver.finish();
                }
            });
        }
    });
    drop(setting);
    let (cpus, settings) = (runtime.num_cpus() as u64, format!("{runtime:?}"));
    runtime.shutdown();
    let most = meter::most_computing();
    assert!(inline || most <= 1000 * cpus, "{most}/1000 CPUs were computed on: {settings}");
    if end_early {
        models.iter().for_each(|model| check_ended(model));
    }
    watchdog.watch(seed, &[]);
}

/// As the environment says, else at random; and whether it has the inline engine.
fn start_runtime(random: &mut Random) -> (Runtime, bool) {
    let mut config = Config::new().resource("gpu", wish::GPUS);
    let (cpus, inline) = (CPUS[random.index(CPUS.len())], random.one_in(8));
    if env::var_os("MOBULA_NUM_CPUS").is_none() {
        config = config.num_cpus(cpus);
    }
    let inline = match env::var("MOBULA_ENGINE") {
        Ok(engine) => engine == "inline",
        Err(_) => inline,
    };
    let engine = if inline { Engine::Inline } else { Engine::Threads };
    (Runtime::new(config.engine(engine)).unwrap(), inline)
}

/// Objects for all drivers to get at the same time.
fn share(runtime: &Runtime) -> Vec<(u64, ObjectRef<Counted>)> {
    let _entered = runtime.enter();
    (0..5).map(|root| (tree_value(root, 3), tree::remote(root, 3))).collect()
}

/// The runtime has ended, so everything has come to an end, one way or another.
fn check_ended(model: &Mutex<Model>) {
    let held = |object: &Object| object.held.as_ref().is_none_or(ObjectRef::is_ready);
    assert!(model.lock().unwrap().objects.iter().all(held));
    model.lock().unwrap().ended_early = true;
    see_all(model);
    model.lock().unwrap().check();
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to run it again: MOBULA_STRESS_SEED={}", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no whole number")))
}

/// Leaves the panics that are part of the programs out of the output.
fn quiet_planned_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let planned =
            info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with(PLANNED));
        if !planned {
            hook(info);
        }
    }));
}
