//! One thread's program: it makes tasks, objects and actors that depend on each other at random, waits
//! for some, cancels some, drops some, and tells its model.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mobula::prelude::*;

use crate::actors::{Either, Tally};
use crate::counted::{Counted, combine};
use crate::meter::{call, step};
use crate::model::{Asked, Model, ModelActor, Object, Origin};
use crate::outcome::Kinds;
use crate::random::Random;
use crate::tasks::{
    FOR_EVER, await_two, borrow_two, explode, explode_later, get_two, listen, refuse, report,
    share_all, split, stay, take_all, take_one, tree, tree_value, wait_for_two,
};
use crate::wish::{Wish, call_as};

/// How far back a program looks for what it uses next.
const RECENT: usize = 40;

/// What all drivers of a round are told.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) cpus: usize,
    pub(crate) inline: bool,
    /// Objects that all drivers have, with their values.
    pub(crate) shared: Vec<(u64, ObjectRef<Counted>)>,
}

pub(crate) struct Driver {
    random: Random,
    model: Arc<Mutex<Model>>,
    setting: Setting,
    tally: ActorHandle<Tally>,
}

impl Driver {
    pub(crate) fn new(seed: u64, model: Arc<Mutex<Model>>, setting: Setting) -> Self {
        let driver = Self { random: Random::new(seed), model, setting, tally: Tally::remote() };
        for (value, object) in driver.setting.shared.clone() {
            let object = Object::new(Origin::Value(value), Some(object));
            // The other drivers' models would not know.
            driver.model().add(Object { asked: Asked::Never, ..object });
        }
        driver
    }

    /// Nobody waits for anything while this is locked.
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    /// Does one thing.
    pub(crate) fn step(&mut self) {
        step();
        match self.random.below(100) {
            0..50 => self.call_task(),
            50..67 => self.call_actor(),
            67..83 => self.look(),
            83..90 => self.cancel(),
            90..93 => self.end_actor(),
            _ => {
                let (number, object) = self.pick();
                let held = self.model().objects[number].held.take();
                drop((object, held));
            }
        }
    }

    /// Looks at all that the program still has, and compares it with what it should be.
    pub(crate) fn finish(self) {
        see_all(&self.model);
        let expected = self.model().check();
        // What nobody looked at may still be under way; it needs nothing, so it will come.
        self.doing("waits for the tally", None);
        while get(self.tally.sum()).unwrap() != expected {
            std::thread::yield_now();
        }
    }

    fn doing(&self, what: &'static str, object: Option<usize>) {
        self.model().doing = (what, object);
    }

    /// One of the newest objects that the program still has; made, if there is none.
    fn pick(&mut self) -> (usize, ObjectRef<Counted>) {
        let mut model = self.model.lock().unwrap();
        let newest = model.objects.len().min(RECENT);
        for _ in 0..8 {
            if newest == 0 {
                break;
            }
            let number = model.objects.len() - 1 - self.random.index(newest);
            if let Some(held) = &model.objects[number].held {
                return (number, held.clone());
            }
        }
        let value = self.random.next();
        let object = put(Counted::new(value));
        (model.add(Object::new(Origin::Value(value), Some(object.clone()))), object)
    }

    /// As `pick`; sometimes the program gives its own ref away, so that the value can be moved.
    fn pick_or_give(&mut self) -> (usize, ObjectRef<Counted>) {
        let (number, object) = self.pick();
        if self.random.one_in(4) {
            drop(object);
            let given = self.model().objects[number].held.take();
            return (number, given.expect("it was picked"));
        }
        (number, object)
    }

    fn pick_some(&mut self) -> (Vec<usize>, Vec<ObjectRef<Counted>>) {
        (0..self.random.below(6)).map(|_| self.pick()).unzip()
    }

    fn call_task(&mut self) {
        let wish = Wish::at_random(&mut self.random, self.setting.cpus);
        let may_run_out = wish.as_ref().is_some_and(Wish::may_run_out);
        let (mut object, task) = match self.random.below(4) {
            0 => self.call_async_task(wish.map(Wish::without_cpus)),
            1 => self.call_nesting_task(wish.map(Wish::without_gpus)),
            2 => self.call_failing_task(wish),
            _ => self.call_plain_task(wish),
        };
        if may_run_out {
            object.may_fail = object.may_fail.and(Kinds::TIME_LIMIT);
        }
        // Now and then nobody ever has the ref, and now and then it went through a text.
        object.held = match self.random.below(40) {
            0 => None,
            1 => serde_json::from_str(&serde_json::to_string(&task).unwrap()).ok(),
            _ => Some(task),
        };
        self.model().add(object);
    }

    /// A task that computes and waits for nothing but its arguments.
    fn call_plain_task(&mut self, wish: Option<Wish>) -> (Object, ObjectRef<Counted>) {
        let (needs, task) = match self.random.below(6) {
            0 => {
                let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
                (vec![a, b], call_as!(wish, borrow_two(first, &second)))
            }
            1 => {
                let (a, object) = self.pick_or_give();
                (vec![a], call_as!(wish, take_one(object)))
            }
            2 => {
                let (all, objects) = self.pick_some();
                (all, call_as!(wish, take_all(objects)))
            }
            3 => {
                let (all, objects) = self.pick_some();
                (all, call_as!(wish, share_all(&objects)))
            }
            4 => {
                let (a, object) = self.pick_or_give();
                let task = call_as!(wish, listen(object));
                let object = Object::new(Origin::Combined(vec![a]), None);
                return (Object { asked: Asked::Listens, ..object }, task);
            }
            _ => {
                let (a, object) = self.pick_or_give();
                let (first, second) = call_as!(wish, split(object));
                let mut whole = Object::new(Origin::Whole(a), None);
                if wish.as_ref().is_some_and(Wish::may_run_out) {
                    whole.may_fail = Kinds::TIME_LIMIT;
                }
                let whole = self.model().add(whole);
                self.model().add(Object::new(Origin::Part(whole, 0), Some(first)));
                return (Object::new(Origin::Part(whole, 1), None), second);
            }
        };
        (Object::new(Origin::Combined(needs), None), task)
    }

    /// A task that waits for others inside.
    fn call_nesting_task(&mut self, wish: Option<Wish>) -> (Object, ObjectRef<Counted>) {
        let (origin, asked, task) = match self.random.below(3) {
            0 => {
                let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
                let how = self.random.below(4);
                let task = call_as!(wish, get_two(&first, &second, how));
                (Origin::Combined(vec![a, b]), Asked::Listens, task)
            }
            1 => {
                let value = self.random.below(1000);
                // Out of time, it may have reported or not.
                let wish = wish.filter(|wish| !wish.may_run_out());
                let task = call_as!(wish, report(self.tally.clone(), value));
                let mut model = self.model();
                let number = model.objects.len();
                model.reported.push((number, value));
                (Origin::Value(combine([value])), Asked::Never, task)
            }
            _ => {
                let (root, depth) = (self.random.below(50), self.random.below(4));
                let task = call_as!(wish, tree(root, depth));
                (Origin::Value(tree_value(root, depth)), Asked::Listens, task)
            }
        };
        (Object { asked, ..Object::new(origin, None) }, task)
    }

    fn call_async_task(&mut self, wish: Option<Wish>) -> (Object, ObjectRef<Counted>) {
        let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
        let task = if self.random.one_in(2) {
            call_as!(wish, wait_for_two(first, second))
        } else {
            let wish = wish.map(Wish::without_gpus);
            call_as!(wish, await_two(&first, &second))
        };
        let object = Object::new(Origin::Combined(vec![a, b]), None);
        (Object { asked: Asked::Listens, ..object }, task)
    }

    fn call_failing_task(&mut self, wish: Option<Wish>) -> (Object, ObjectRef<Counted>) {
        let (a, object) = self.pick_or_give();
        let mut cancelled = false;
        let (kind, task) = match self.random.below(4) {
            0 => (Kinds::TASK, call_as!(wish, refuse(object))),
            1 => (Kinds::PANIC, call_as!(wish, explode(object))),
            2 => {
                let wish = wish.map(Wish::without_cpus);
                (Kinds::PANIC, call_as!(wish, explode_later(object)))
            }
            // Inline it would have to end before anybody could ask it to.
            _ if self.setting.inline => (Kinds::TASK, call_as!(wish, refuse(object))),
            _ => {
                let task = call_as!(wish, stay(object));
                cancelled = cancel(&task).now();
                (Kinds::CANCELLED, task)
            }
        };
        let object = Object::new(Origin::Fails(a, kind), None);
        (Object { asked: Asked::Listens, cancelled, ..object }, task)
    }

    fn call_actor(&mut self) {
        let mut living = Vec::new();
        for (number, actor) in self.model().actors.iter().enumerate() {
            living.extend(actor.handle.clone().map(|handle| (number, handle)));
        }
        call();
        if living.is_empty() || self.random.one_in(20) {
            let (waits, start) = (self.random.one_in(2), self.random.next());
            let handle = Some(Either::start(waits, start));
            self.model().actors.push(ModelActor { handle, start, killed: false });
            return;
        }
        let (actor, handle) = living.swap_remove(self.random.index(living.len()));
        let waits = matches!(handle, Either::Waiting(_));
        let mut asked = if waits { Asked::Listens } else { Asked::Deaf };
        let (origin, object) = match self.random.below(40) {
            0 => {
                // Whether it ended the actor, or was stopped before, nobody could tell.
                asked = if waits { Asked::Never } else { Asked::Deaf };
                (Origin::Explodes { actor }, handle.explode())
            }
            1..4 => (Origin::Refuses { actor }, handle.refuse()),
            4..10 => {
                let (needs, value) = self.pick_or_give();
                asked = Asked::Listens;
                (Origin::Adds { actor, needs, made: true }, handle.add_made(value))
            }
            _ => {
                let (needs, value) = self.pick_or_give();
                (Origin::Adds { actor, needs, made: false }, handle.add(value))
            }
        };
        self.model().add(Object { asked, ..Object::new(origin, Some(object)) });
    }

    /// Waits for something, one way or another.
    fn look(&mut self) {
        let (number, object) = self.pick();
        self.doing("gets an object, or waits for others", Some(number));
        let result = match self.random.below(8) {
            0 => get(&object),
            1 => {
                drop(self.model().objects[number].held.take());
                get(object)
            }
            2 => get_arc(&object).map(|value| (*value).clone()),
            3 => get_timeout(object, FOR_EVER),
            4 => futures::executor::block_on(object.into_future()),
            5 => match get_timeout(object, Duration::ZERO) {
                Err(error) if error.kind() == ErrorKind::Timeout => return,
                result => result,
            },
            6 => return self.wait_for_some(),
            _ => return self.take_as_completed(),
        };
        self.model().see(number, result);
    }

    fn wait_for_some(&mut self) {
        let (_, objects) = self.pick_some();
        let n = self.random.index(4);
        let (ready, pending) = if self.random.one_in(2) {
            let (ready, pending) = wait(&objects, n, None);
            assert_eq!(ready.len(), n.min(objects.len()));
            (ready, pending)
        } else {
            wait(&objects, n, Some(Duration::ZERO))
        };
        assert_eq!(ready.len() + pending.len(), objects.len());
        assert!(ready.iter().all(ObjectRef::is_ready));
    }

    fn take_as_completed(&mut self) {
        let (_, objects) = self.pick_some();
        // Sometimes it is given up half-way.
        let limit = self.random.index(8);
        let expected = objects.len().min(limit);
        let came: Vec<_> = as_completed(objects).take(limit).collect();
        assert_eq!(came.len(), expected);
        assert!(came.iter().all(ObjectRef::is_ready));
    }

    fn cancel(&mut self) {
        let (number, object) = self.pick();
        if self.model().objects[number].asked != Asked::Never {
            let unstarted = cancel(&object).now();
            self.model().cancelled(number, unstarted);
        }
    }

    /// Lets an actor's last handle go, or kills it.
    fn end_actor(&mut self) {
        let kill = self.random.one_in(3);
        let mut model = self.model.lock().unwrap();
        if model.actors.is_empty() {
            return;
        }
        let nth = self.random.index(model.actors.len());
        let actor = &mut model.actors[nth];
        let Some(handle) = actor.handle.take() else { return };
        actor.killed = kill;
        drop(model);
        if kill {
            handle.kill();
        }
    }
}

/// Waits for all that a program still has.
pub(crate) fn see_all(model: &Mutex<Model>) {
    let model = || model.lock().unwrap();
    let count = model().objects.len();
    for number in 0..count {
        let held = model().objects[number].held.take();
        if let Some(object) = held {
            model().doing = ("gets an object", Some(number));
            let result = get(object);
            model().see(number, result);
        }
    }
}
