//! What is promised of streams from methods of actors where tasks and other actors read them, which have handles.

use super::actor_streams::{Shelf, Well, all, all_of, one_of};
use super::handles::Latch;
use super::tasks::{sum, total};
use super::*;

#[remote]
fn reads(shelf: ActorHandle<Shelf>, well: ActorHandle<Well>) -> mobula::Result<u64> {
    let listed: u64 = all(shelf.list())?.into_iter().sum();
    let some: u64 = all_of(&mut shelf.endless(), 3)?.into_iter().sum();
    let dropped: u64 = all(well.drops())?.into_iter().sum();
    // What fails is one of the items.
    let parsed: Vec<_> = shelf.parsed("x").map(mobula::get).collect();
    assert_eq!(parsed.len(), shelf.list().count());
    let failed: Vec<_> = parsed.into_iter().filter_map(Result::err).collect();
    assert_eq!((failed.len(), failed[0].kind()), (1, ErrorKind::Task), "{failed:?}");
    assert!(failed[0].to_string().contains("`Shelf::parsed` (called at"), "{failed:?}");
    Ok(listed + some + dropped)
}

/// The items are refs like others, long ones and such that hold refs, too.
#[remote]
fn passes_on(shelf: ActorHandle<Shelf>, well: ActorHandle<Well>) -> mobula::Result<f64> {
    let sums: Vec<_> = shelf.rows(100_000).map(|row| total::remote(row)).collect();
    let whole: f64 = mobula::get(sums)?.into_iter().sum();
    for (item, refs) in (0..).zip(shelf.stored()) {
        assert_eq!(mobula::get(one_of::remote(refs))?, item);
    }
    for (item, refs) in (0..).zip(well.stored()) {
        assert_eq!(mobula::get(mobula::get(refs)?.remove(0))?, item);
    }
    Ok(whole)
}

#[remote]
fn refs(shelf: ActorHandle<Shelf>) -> Vec<ObjectRef<u64>> {
    shelf.list().collect()
}

#[remote]
async fn awaits(shelf: ActorHandle<Shelf>, well: ActorHandle<Well>) -> mobula::Result<u64> {
    awaited(&shelf, &well).await
}

async fn awaited(shelf: &ActorHandle<Shelf>, well: &ActorHandle<Well>) -> mobula::Result<u64> {
    use futures::StreamExt;

    let mut both = StreamExt::chain(shelf.list(), well.drops());
    let mut sum = 0;
    while let Some(item) = both.next().await {
        sum += item.await?;
    }
    Ok(sum)
}

/// Has a stream between its calls.
struct Reader {
    shelf: ActorHandle<Shelf>,
    stream: Option<mobula::ObjectStream<u64>>,
}

#[remote]
impl Reader {
    pub fn new(shelf: ActorHandle<Shelf>) -> Self {
        Self { shelf, stream: None }
    }

    pub fn begin(&mut self) {
        self.stream = Some(self.shelf.endless());
    }

    pub fn read(&mut self, count: usize) -> mobula::Result<Vec<u64>> {
        all_of(self.stream.as_mut().expect("it has begun"), count)
    }
}

/// Reads several at a time.
struct Readers;

#[remote]
impl Readers {
    pub async fn new() -> Self {
        Self
    }

    pub async fn read(
        &self,
        shelf: ActorHandle<Shelf>,
        well: ActorHandle<Well>,
    ) -> mobula::Result<u64> {
        awaited(&shelf, &well).await
    }
}

pub(crate) fn read(_: Engine) -> mobula::Result<()> {
    let (shelf, well) = (Shelf::remote(10), Well::remote(5));
    // Where there are no actors, that says so.
    mobula::get(shelf.len())?;
    assert_eq!(mobula::get(reads::remote(&shelf, &well))?, 45 + 6 + 10);
    assert_eq!(mobula::get(passes_on::remote(&shelf, &well))?, 45.0 * 100_000.0);
    assert_eq!(mobula::get(sum::remote(mobula::get(refs::remote(&shelf))?))?, 45);
    assert_eq!(mobula::get(awaits::remote(&shelf, &well))?, 45 + 10);
    let readers = Readers::remote();
    let sums: Vec<_> = (0..3).map(|_| readers.read(&shelf, &well)).collect();
    assert_eq!(mobula::get(sums)?, [55; 3]);

    // It goes on where the call before has left it, and goes with the actor that reads it.
    let reader = Reader::remote(&shelf);
    let made = mobula::get(shelf.made())?;
    mobula::get(reader.begin())?;
    assert_eq!(mobula::get(reader.read(1))?, [made + 1]);
    assert_eq!(mobula::get(reader.read(5))?, [2, 3, 4, 5, 6].map(|more| made + more));
    drop(reader);
    let more = mobula::get(shelf.made())? - made;
    assert!((6..=10).contains(&more), "{more}");
    // An actor without other handles ends when its stream does.
    assert_eq!(mobula::get(refs::remote(Shelf::remote(3)))?.len(), 3);
    Ok(())
}

/// Reads one item, says so, and reads on until the stream ends.
#[remote]
fn reads_on(shelf: ActorHandle<Shelf>, has: ActorHandle<Latch>) -> mobula::Result<u64> {
    let mut stream = shelf.endless();
    let mut last = mobula::get(stream.next().expect("an item"))?;
    mobula::get(has.open())?;
    for item in stream {
        mobula::check_cancelled()?;
        last = mobula::get(item)?;
    }
    Ok(last)
}

/// Waits for an item that does not come.
#[remote]
fn waits(well: ActorHandle<Well>, has: ActorHandle<Latch>) -> mobula::Result<u64> {
    let mut stream = well.drips();
    let first = mobula::get(stream.next().expect("an item"))?;
    mobula::get(has.open())?;
    mobula::get(stream.last().expect("how it ends")).map(|last| first + last)
}

/// Waits for a stream that begins when the one before it has ended.
#[remote]
fn waits_in_line(shelf: ActorHandle<Shelf>, has: ActorHandle<Latch>) -> mobula::Result<u64> {
    let mut stream = shelf.endless();
    mobula::get(has.open())?;
    mobula::get(stream.next().expect("how it ends"))
}

/// Has a stream of which nobody reads more than one item.
#[remote]
fn holds(
    shelf: ActorHandle<Shelf>,
    has: ActorHandle<Latch>,
    may: ActorHandle<Latch>,
    dies: bool,
) -> mobula::Result<u64> {
    let mut stream = shelf.endless();
    let first = mobula::get(stream.next().expect("an item"))?;
    mobula::get(has.open())?;
    mobula::get(may.pass())?;
    if dies {
        std::process::abort();
    }
    Ok(first)
}

/// How a stream ends that is cancelled or whose actor is, in a task.
#[remote]
fn ends(
    shelf: ActorHandle<Shelf>,
    well: ActorHandle<Well>,
    cancels: bool,
) -> mobula::Result<Vec<ErrorKind>> {
    let mut streams = [shelf.endless(), well.dig()];
    for stream in &mut streams {
        let first = mobula::get(stream.next().expect("an item"))?;
        assert!(first > 0);
        if cancels {
            stream.cancel();
        }
    }
    if !cancels {
        mobula::kill(&shelf);
        mobula::kill(&well);
    }
    let last = |stream: mobula::ObjectStream<u64>| {
        let mut rest: Vec<_> = stream.map(mobula::get).collect();
        let last = rest.pop().expect("a failure").expect_err("a failure");
        rest.into_iter().collect::<mobula::Result<Vec<_>>>().map(|_| last.kind())
    };
    streams.into_iter().map(last).collect()
}

#[remote]
fn breaks(shelf: ActorHandle<Shelf>, well: ActorHandle<Well>) -> Vec<Option<ErrorKind>> {
    let kind = |item: mobula::Result<u64>| item.err().map(|error| error.kind());
    let of_shelf = shelf.breaks_at(2).map(|item| kind(mobula::get(item)));
    let of_shelf: Vec<_> = of_shelf.collect();
    of_shelf.into_iter().chain(well.breaks_at(2).map(|item| kind(mobula::get(item)))).collect()
}

pub(crate) fn end(engine: Engine) -> mobula::Result<()> {
    let (shelf, well, has, may) =
        (Shelf::remote(3), Well::remote(1), Latch::remote(), Latch::remote());
    // Where there are no actors, that says so.
    mobula::get(shelf.len())?;
    assert_eq!(mobula::get(reads::remote(&shelf, &well))?, 3 + 6);
    // It goes with the task that has it, and the actor was at most so far ahead.
    let before = mobula::get(shelf.made())?;
    let held = holds::remote(&shelf, &has, &may, false);
    mobula::get(has.pass())?;
    mobula::get(may.open())?;
    assert_eq!(mobula::get(held)?, before + 1);
    let made = mobula::get(shelf.made())? - before;
    assert!((1..=5).contains(&made), "{made}");

    assert_eq!(mobula::get(ends::remote(&shelf, &well, true))?, [ErrorKind::Cancelled; 2]);
    // Both live.
    mobula::get((shelf.len(), well.fill()))?;

    // With the task that reads.
    let (on, waiting) = (reads_on::remote(&shelf, &has), waits::remote(&well, &has));
    mobula::get([has.pass(), has.pass()])?;
    for task in [on, waiting] {
        mobula::cancel(&task);
        assert_eq!(mobula::get(task).unwrap_err().kind(), ErrorKind::Cancelled);
    }
    mobula::get((shelf.len(), well.fill()))?;
    if matches!(engine, Engine::Processes | Engine::Ray) {
        let dies = holds::remote(&shelf, &has, &may, true);
        mobula::get(has.pass())?;
        mobula::get(may.open())?;
        assert_eq!(mobula::get(dies).unwrap_err().kind(), ErrorKind::WorkerCrashed);
        mobula::get(shelf.len())?;
        let killed = holds::remote(&shelf, &has, &may, false);
        mobula::get(has.pass())?;
        mobula::cancel(&killed).force()?;
        assert_eq!(mobula::get(killed).unwrap_err().kind(), ErrorKind::Cancelled);
        mobula::get(shelf.len())?;
    }

    // Somebody kills the actor for which the task waits, or the task does so itself.
    let before = shelf.endless();
    let waiting = waits_in_line::remote(&shelf, &has);
    mobula::get(has.pass())?;
    mobula::kill(&shelf);
    assert_eq!(mobula::get(waiting).unwrap_err().kind(), ErrorKind::ActorDied);
    drop(before);
    let shelf = Shelf::remote(3);
    assert_eq!(mobula::get(ends::remote(&shelf, &well, false))?, [ErrorKind::ActorDied; 2]);

    let (shelf, well) = (Shelf::options().max_restarts(1).remote(2), Well::remote(2));
    let kinds = mobula::get(breaks::remote(&shelf, &well))?;
    let panic = Some(ErrorKind::Panic);
    assert_eq!(kinds, [None, None, panic, None, Some(ErrorKind::Task), panic]);
    assert_eq!(mobula::get(shelf.len())?, 2);
    let kinds = mobula::get(breaks::remote(&shelf, &well))?;
    assert_eq!(kinds, [None, None, panic, Some(ErrorKind::ActorDied)]);
    Ok(())
}
