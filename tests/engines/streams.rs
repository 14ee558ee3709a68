//! What is promised of streams.

use std::path::{Path, PathBuf};

use super::tasks::{square, sum, total};
use super::*;

#[remote(stream)]
fn squares(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(square)
}

#[remote(stream)]
fn windows(values: &[f64], size: usize) -> impl Iterator<Item = Vec<f64>> {
    values.windows(size).map(<[f64]>::to_vec)
}

#[remote(stream)]
fn later(n: u64) -> impl futures::Stream<Item = u64> {
    futures::stream::unfold(0, move |x| async move {
        tokio::task::yield_now().await;
        (x < n).then_some((x, x + 1))
    })
}

#[remote(stream)]
fn parsed(texts: Vec<String>) -> impl Iterator<Item = Result<u64, std::num::ParseIntError>> {
    texts.into_iter().map(|text| text.parse())
}

#[remote(stream)]
fn breaks_at(n: u64) -> impl Iterator<Item = u64> {
    (0..).inspect(move |x| assert!(*x != n, "it broke at {x}"))
}

#[remote(stream)]
fn stored(n: u64) -> impl Iterator<Item = Vec<ObjectRef<u64>>> {
    (0..n).map(|x| vec![mobula::put(x)])
}

#[remote]
fn fails() -> Result<u64, String> {
    Err("no number".to_owned())
}

#[remote]
fn first_of(refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    mobula::get(&refs[0])
}

fn all<T: Clone + Send + Sync + 'static>(
    stream: mobula::ObjectStream<T>,
) -> mobula::Result<Vec<T>> {
    stream.map(mobula::get).collect()
}

pub(crate) fn streams(engine: Engine) -> mobula::Result<()> {
    assert_eq!(all(squares::remote(5))?, [0, 1, 4, 9, 16]);
    assert_eq!(all(squares::options().max_unread(1).remote(40))?.len(), 40);
    assert_eq!(squares::remote(0).count(), 0);
    assert_eq!(all(squares::remote(square::remote(2)))?.len(), 4);
    assert_eq!(all(later::remote(20))?, (0..20).collect::<Vec<_>>());

    // The items are refs like others: what they are given to need not be here.
    let refs: Vec<_> = squares::remote(4).collect();
    assert_eq!(mobula::get(square::remote(&refs[3]))?, 81);
    assert_eq!(mobula::get(sum::remote(refs))?, 14);
    let values = mobula::put(vec![1.0; 100_003]);
    let sums: Vec<_> = windows::options()
        .max_unread(2)
        .remote(&values, 100_000)
        .map(|part| total::remote(part))
        .collect();
    assert_eq!(mobula::get(sums)?, [100_000.0; 4]);
    assert_eq!(all(windows::remote(&values, 100_001))?[2], vec![1.0; 100_001]);
    // What a stream stores goes along with its items.
    for (x, part) in (0..).zip(stored::remote(3)) {
        assert_eq!(mobula::get(first_of::remote(part))?, x);
    }

    let texts = ["1", "two", "3"].map(str::to_owned).to_vec();
    let parsed: Vec<_> = parsed::options().name("reader").remote(texts).map(mobula::get).collect();
    assert_eq!((parsed[0].as_ref().unwrap(), parsed[2].as_ref().unwrap()), (&1, &3));
    let error = parsed[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), parsed.len()), (ErrorKind::Task, 3));
    assert!(error.to_string().contains("reader"), "{error}");

    let mut items: Vec<_> = breaks_at::remote(40).map(mobula::get).collect();
    let error = items.pop().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    assert!(error.to_string().contains("it broke at 40"), "{error}");
    let items: Vec<_> = items.into_iter().collect::<mobula::Result<_>>()?;
    assert_eq!(items, (0..40).collect::<Vec<_>>());

    let mut failed: Vec<_> = squares::remote(fails::remote()).map(mobula::get).collect();
    let error = failed.pop().unwrap().unwrap_err();
    assert!(failed.is_empty());
    assert_eq!((error.kind(), error.message()), (ErrorKind::Task, "no number"));
    if engine == Engine::Ray {
        let asks = squares::options().num_cpus(64).remote(1).next().unwrap();
        assert_eq!(mobula::get(asks).unwrap_err().kind(), ErrorKind::Infeasible);
    }
    Ok(())
}

/// Notes in a file how many items it has made.
#[remote(stream)]
fn counted(path: PathBuf) -> impl Iterator<Item = u64> {
    (1..).inspect(move |x| fs::write(&path, x.to_string()).expect("there is a folder"))
}

pub(crate) fn bounds(engine: Engine) -> mobula::Result<()> {
    let name = format!("mobula-stream-{}-{}", process::id(), engine.name());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).unwrap();
    let outcome = bounds_in(&folder, engine);
    // Who still writes there stops as soon as it sees that it was dropped.
    while fs::remove_dir_all(&folder).is_err() && folder.exists() {
        std::thread::yield_now();
    }
    outcome
}

fn bounds_in(folder: &Path, engine: Engine) -> mobula::Result<()> {
    for max_unread in [1, 4] {
        let path = folder.join(max_unread.to_string());
        let stream = counted::options().max_unread(max_unread).remote(path.clone());
        for (taken, item) in (1..=20).zip(stream) {
            assert_eq!(mobula::get(item)?, taken);
            let made = fs::read_to_string(&path).unwrap().parse::<u64>().unwrap_or(0);
            assert!(made <= taken + max_unread as u64, "{made} after {taken}");
        }
        // It was dropped, and its producer has stopped, or will: nobody else writes there.
    }
    let mut stream = counted::options().max_unread(2).remote(folder.join("cancelled"));
    assert_eq!(mobula::get(stream.next().unwrap())?, 1);
    stream.cancel();
    let mut rest: Vec<_> = stream.map(mobula::get).collect();
    let last = rest.pop().unwrap().unwrap_err();
    assert_eq!(last.kind(), ErrorKind::Cancelled, "{last}");
    let rest: Vec<_> = rest.into_iter().collect::<mobula::Result<_>>()?;
    assert!(rest.iter().copied().eq((2..).take(rest.len())) && rest.len() < 20, "{rest:?}");
    // None of them has a CPU any more.
    let both = square::options().num_cpus(if engine == Engine::Ray { 2 } else { 1 });
    assert_eq!(mobula::get(both.remote(3))?, 9);
    Ok(())
}

#[remote]
fn reads(n: u64) -> mobula::Result<u64> {
    let squares: Vec<u64> = all(squares::options().max_unread(2).remote(n))?;
    Ok(squares.iter().sum())
}

/// Passes the items on as refs, long ones and short ones.
#[remote]
fn passes_on(values: &[f64]) -> mobula::Result<(u64, f64)> {
    let refs: Vec<_> = squares::remote(4).collect();
    let sums =
        windows::remote(mobula::put(values.to_vec()), 100_000).map(|part| total::remote(part));
    let sums = mobula::get(sums.collect::<Vec<_>>())?;
    Ok((mobula::get(sum::remote(refs))?, sums.into_iter().sum()))
}

/// How what a stream gives comes to its end: after so many items, with this.
#[remote]
fn breaks(n: u64) -> (u64, String) {
    let mut items: Vec<_> = breaks_at::remote(n).map(mobula::get).collect();
    let error = items.pop().expect("the panic").expect_err("the panic");
    (items.len() as u64, format!("{:?}: {error}", error.kind()))
}

/// Reads so many items, asks the producer to stop if it is to, and says what comes then.
#[remote]
fn stops(path: PathBuf, cancels: bool) -> mobula::Result<Option<String>> {
    let mut stream = counted::options().max_unread(2).remote(path);
    for expected in 1..=5 {
        let item = mobula::get(stream.next().expect("there is no end"))?;
        assert_eq!(item, expected);
    }
    if !cancels {
        return Ok(None);
    }
    stream.cancel();
    let last = stream.map(mobula::get).last().expect("a failure").expect_err("a failure");
    Ok(Some(format!("{:?}", last.kind())))
}

#[remote]
async fn awaits(n: u64) -> mobula::Result<u64> {
    use futures::StreamExt;
    let mut stream = std::pin::pin!(later::remote(n));
    let mut sum = 0;
    while let Some(item) = stream.next().await {
        sum += item.await?;
    }
    Ok(sum)
}

/// A stream of what another one gives.
#[remote(stream)]
fn doubled(n: u64) -> impl Iterator<Item = mobula::Result<u64>> {
    squares::options().max_unread(1).remote(n).map(|square| Ok(2 * mobula::get(square)?))
}

pub(crate) fn nested(engine: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(reads::remote(5))?, 30);
    // As many as there are CPUs, each of which waits for another task.
    let both = [reads::remote(10), reads::remote(20)];
    assert_eq!(mobula::get(both)?, [285, 2470]);
    assert_eq!(mobula::get(passes_on::remote(vec![1.0; 100_002]))?, (14, 300_000.0));
    let (count, error) = mobula::get(breaks::remote(20))?;
    assert!(count == 20 && error.contains("it broke at 20"), "{count}: {error}");
    assert!(error.starts_with("Panic: task `breaks_at` (called at tests/engines"), "{error}");
    let name = format!("mobula-inner-stream-{}-{}", process::id(), engine.name());
    let path = std::env::temp_dir().join(name);
    assert_eq!(mobula::get(stops::remote(path.clone(), true))?, Some("Cancelled".to_owned()));
    assert_eq!(mobula::get(stops::remote(path.clone(), false))?, None);
    assert_eq!(mobula::get(awaits::remote(20))?, 190);
    assert_eq!(all(doubled::remote(5))?, [0, 2, 8, 18, 32]);
    // None of them has a CPU any more.
    let both = square::options().num_cpus(if engine == Engine::Ray { 2 } else { 1 });
    assert_eq!(mobula::get(both.remote(3))?, 9);
    let _ = fs::remove_file(&path);
    Ok(())
}
