//! What is promised of streams from methods of actors, of those that compute and of those that wait.

use super::tasks::{sum, total};
use super::*;

/// One that computes.
pub(crate) struct Shelf {
    items: Vec<u64>,
    made: u64,
}

#[remote]
impl Shelf {
    pub fn new(items: u64) -> Self {
        Self { items: (0..items).collect(), made: 0 }
    }

    /// What is there, which stays.
    #[remote(stream, max_unread = 2)]
    pub fn list(&self) -> impl Iterator<Item = u64> {
        self.items.iter().copied()
    }

    /// What is there, which goes.
    #[remote(stream, max_unread = 1)]
    pub fn take(&mut self) -> impl Iterator<Item = u64> + '_ {
        std::iter::from_fn(|| self.items.pop())
    }

    #[remote(stream)]
    pub fn parsed(&self, add: &str) -> impl Iterator<Item = Result<u64, std::num::ParseIntError>> {
        self.items.iter().map(move |item| if *item == 1 { add.parse() } else { Ok(*item) })
    }

    #[remote(stream)]
    pub fn rows(&self, width: usize) -> impl Iterator<Item = Vec<f64>> {
        self.items.iter().map(move |item| vec![*item as f64; width])
    }

    /// Refs to what it stores.
    #[remote(stream, max_unread = 1)]
    pub fn stored(&self) -> impl Iterator<Item = Vec<ObjectRef<u64>>> {
        self.items.iter().map(|item| vec![mobula::put(*item)])
    }

    #[remote(stream, max_unread = 3)]
    pub fn endless(&mut self) -> impl Iterator<Item = u64> {
        std::iter::repeat_with(|| {
            self.made += 1;
            self.made
        })
    }

    #[remote(stream)]
    pub fn breaks_at(&mut self, place: u64) -> impl Iterator<Item = u64> {
        (0..).inspect(move |at| assert_ne!(*at, place, "it broke"))
    }

    pub fn made(&self) -> u64 {
        self.made
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }
}

/// One that waits.
pub(crate) struct Well {
    depth: u64,
}

#[remote]
impl Well {
    pub async fn new(depth: u64) -> Self {
        Self { depth }
    }

    #[remote(stream, max_unread = 2)]
    pub fn drops(&self) -> impl futures::Stream<Item = u64> {
        futures::stream::unfold(0, async |at| {
            tokio::task::yield_now().await;
            (at < self.depth).then_some((at, at + 1))
        })
    }

    #[remote(stream, max_unread = 3)]
    pub fn dig(&mut self) -> impl Iterator<Item = u64> {
        std::iter::repeat_with(|| {
            self.depth += 1;
            self.depth
        })
    }

    /// One, and then nobody knows when.
    #[remote(stream)]
    pub fn drips(&mut self) -> impl futures::Stream<Item = u64> {
        let first = futures::stream::iter([self.depth]);
        futures::StreamExt::chain(first, futures::stream::pending())
    }

    #[remote(stream, max_unread = 1)]
    pub fn stored(&self) -> impl Iterator<Item = Vec<ObjectRef<u64>>> {
        (0..self.depth).map(|item| vec![mobula::put(item)])
    }

    #[remote(stream)]
    pub fn breaks_at(&self, place: u64) -> impl Iterator<Item = Result<u64, String>> {
        (0..).map(move |at| {
            assert_ne!(at, place, "it broke");
            if at == 1 { Err("one".to_owned()) } else { Ok(at) }
        })
    }

    pub async fn depth(&self) -> u64 {
        self.depth
    }

    pub fn fill(&mut self) {
        self.depth = 0;
    }
}

pub(crate) fn all<T: Clone + Send + Sync + 'static>(
    stream: mobula::ObjectStream<T>,
) -> mobula::Result<Vec<T>> {
    stream.map(mobula::get).collect()
}

#[remote]
pub(crate) fn one_of(refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    mobula::get(&refs[0])
}

pub(crate) fn streams(_: Engine) -> mobula::Result<()> {
    let shelf = Shelf::remote(40);
    assert!(all(shelf.list())?.into_iter().eq(0..40));
    // The actor is in the middle of it: what is called after it sees what it did.
    let mut taken = shelf.take();
    let later = shelf.len();
    assert_eq!(mobula::get(taken.next().expect("an item"))?, 39);
    assert!(!later.is_ready());
    assert_eq!(taken.count(), 39);
    assert_eq!((mobula::get(later)?, shelf.list().count()), (0, 0));

    // Where `&self` calls run side by side, streams do, too.
    let shelf = Shelf::options().max_concurrency(2).remote(40);
    for (one, other) in shelf.list().zip(shelf.list()) {
        assert_eq!(mobula::get(one)?, mobula::get(other)?);
    }
    let mut endless = shelf.endless();
    for made in 1..=10 {
        assert_eq!(mobula::get(endless.next().expect("an item"))?, made);
    }
    drop(endless);
    assert!((10..=14).contains(&mobula::get(shelf.made())?));
    assert_eq!((shelf.take().count(), shelf.list().count()), (40, 0));

    let shelf = Shelf::remote(3);
    let parsed: Vec<_> = shelf.parsed("x").map(mobula::get).collect();
    assert_eq!((parsed[0].as_ref().unwrap(), parsed[2].as_ref().unwrap()), (&0, &2));
    let error = parsed[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), parsed.len()), (ErrorKind::Task, 3));
    assert!(error.to_string().contains("`Shelf::parsed` (called at"), "{error}");

    // The items are refs like others, long ones and such that hold refs, too.
    let refs: Vec<_> = shelf.list().collect();
    assert_eq!(mobula::get(sum::remote(refs))?, 3);
    let sums: Vec<_> = shelf.rows(100_000).map(|row| total::remote(row)).collect();
    assert_eq!(mobula::get(sums)?, [0.0, 100_000.0, 200_000.0]);
    for (item, refs) in (0..).zip(shelf.stored()) {
        assert_eq!(mobula::get(one_of::remote(refs))?, item);
    }
    // An actor without handles ends when its stream does.
    assert_eq!(all(Shelf::remote(5).list())?, [0, 1, 2, 3, 4]);

    let well = Well::remote(30);
    assert!(all(well.drops())?.into_iter().eq(0..30));
    // Shared calls go on beside it, what needs the state alone waits.
    let mut drops = well.drops();
    assert_eq!(mobula::get(drops.next().expect("an item"))?, 0);
    assert_eq!(mobula::get(well.depth())?, 30);
    let both = well.drops();
    let filled = well.fill();
    assert_eq!((both.count(), drops.count()), (30, 29));
    mobula::get(filled)?;
    assert_eq!(mobula::get(well.depth())?, 0);
    assert_eq!(mobula::get(well.dig().nth(9).expect("an item"))?, 10);
    let well = Well::remote(20);
    for (item, refs) in (0..).zip(well.stored()) {
        assert_eq!(mobula::get(one_of::remote(refs))?, item);
    }
    Ok(())
}

pub(crate) fn bounds(_: Engine) -> mobula::Result<()> {
    let shelf = Shelf::remote(3);
    let well = Well::remote(0);
    for read in [0, 1, 20] {
        // It is dropped, and the actor is free.
        let before = mobula::get(shelf.made())?;
        let mut stream = shelf.endless();
        let items: Vec<u64> = all_of(&mut stream, read)?;
        assert!(items.into_iter().eq(before + 1..=before + read as u64));
        drop(stream);
        let made = mobula::get(shelf.made())? - before;
        assert!(made <= read as u64 + 4, "{made} for {read}");

        let before = mobula::get(well.depth())?;
        let mut stream = well.dig();
        let items: Vec<u64> = all_of(&mut stream, read)?;
        assert!(items.into_iter().eq(before + 1..=before + read as u64));
        drop(stream);
        let made = mobula::get(well.depth())? - before;
        assert!(made <= read as u64 + 4, "{made} for {read}");
    }
    for mut stream in [shelf.endless(), well.dig()] {
        let first = mobula::get(stream.next().expect("an item"))?;
        stream.cancel();
        let mut rest: Vec<_> = stream.map(mobula::get).collect();
        let last = rest.pop().expect("a failure").expect_err("a failure");
        assert_eq!(last.kind(), ErrorKind::Cancelled, "{last}");
        let rest: Vec<_> = rest.into_iter().collect::<mobula::Result<_>>()?;
        assert!(rest.iter().copied().eq((first + 1..).take(rest.len())), "{rest:?}");
        assert!(rest.len() <= 4, "{rest:?}");
    }
    // Both live.
    assert_eq!(mobula::get(shelf.len())?, 3);
    mobula::get(well.fill())
}

pub(crate) fn all_of<T: Clone + Send + Sync + 'static>(
    stream: &mut mobula::ObjectStream<T>,
    count: usize,
) -> mobula::Result<Vec<T>> {
    stream.take(count).map(mobula::get).collect()
}

pub(crate) fn ends(_: Engine) -> mobula::Result<()> {
    let shelf = Shelf::options().max_restarts(1).max_task_retries(3).remote(2);
    mobula::get(shelf.len())?;
    let mut items: Vec<_> = shelf.breaks_at(20).map(mobula::get).collect();
    let error = items.pop().expect("the panic").expect_err("the panic");
    if error.kind() == ErrorKind::Engine {
        return Err(error);
    }
    assert_eq!((error.kind(), items.len()), (ErrorKind::Panic, 20), "{error}");
    assert!(error.to_string().contains("it broke"), "{error}");
    // It is not run again, and the actor was made anew.
    assert_eq!(mobula::get(shelf.len())?, 2);
    let waits = shelf.breaks_at(0);
    let later = shelf.list();
    assert_eq!(mobula::get(waits.last().expect("the panic")).unwrap_err().kind(), ErrorKind::Panic);
    let last = mobula::get(later.last().expect("a failure")).unwrap_err();
    assert_eq!(last.kind(), ErrorKind::ActorDied, "{last}");

    let well = Well::options().max_restarts(1).remote(2);
    let items: Vec<_> = well.breaks_at(3).map(mobula::get).collect();
    let kinds = items.iter().map(|item| item.as_ref().err().map(mobula::Error::kind));
    let expected = [None, Some(ErrorKind::Task), None, Some(ErrorKind::Panic)];
    assert!(kinds.eq(expected), "{items:?}");
    assert_eq!(mobula::get(well.depth())?, 2);

    // Who kills the actor ends its streams, be they read or not.
    for wait_first in [true, false] {
        let (shelf, well) = (Shelf::remote(3), Well::remote(3));
        let (mut of_shelf, mut of_well) = (shelf.endless(), well.dig());
        if wait_first {
            mobula::get(of_shelf.next().expect("an item"))?;
            mobula::get(of_well.next().expect("an item"))?;
        }
        mobula::kill(&shelf);
        mobula::kill(&well);
        assert!(matches!(mobula::get(shelf.watch())?, ActorEnd::Killed));
        assert!(matches!(mobula::get(well.watch())?, ActorEnd::Killed));
        for stream in [of_shelf, of_well] {
            let last = mobula::get(stream.last().expect("a failure")).unwrap_err();
            assert_eq!(last.kind(), ErrorKind::ActorDied, "{last}");
        }
    }
    Ok(())
}
