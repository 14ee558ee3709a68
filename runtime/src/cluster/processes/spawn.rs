//! Starting a worker: a child that runs this very binary, and inherits its ends of the connection.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};

use rustix::io::FdFlags;
use rustix::process::Signal;

use crate::cluster::arena::{self, PAGE_BYTES};

/// The variable that marks a worker: whether it serves before `main` or from `init` on, and the numbers of
/// the descriptors that it inherited.
const VARIABLE: &str = "MOBULA_WORKER";
/// Lets glibc ask for large pages where it allocates much: https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html.
const TUNABLES: &str = "GLIBC_TUNABLES";
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// What a worker and the driver share.
pub(crate) struct Ends {
    /// Tasks and their results.
    pub(crate) tasks: UnixStream,
    /// What a worker must hear while it computes.
    pub(crate) urgent: UnixStream,
    pub(crate) page: OwnedFd,
    /// Long values for the worker.
    pub(crate) to_worker: OwnedFd,
    /// Long values from it.
    pub(crate) to_driver: OwnedFd,
}

impl Ends {
    fn descriptors(&self) -> [RawFd; 5] {
        let Self { tasks, urgent, page, to_worker, to_driver } = self;
        [
            tasks.as_raw_fd(),
            urgent.as_raw_fd(),
            page.as_raw_fd(),
            to_worker.as_raw_fd(),
            to_driver.as_raw_fd(),
        ]
    }

    /// Both sides' ends.
    fn pair() -> io::Result<(Self, Self)> {
        let (tasks, their_tasks) = UnixStream::pair()?;
        let (urgent, their_urgent) = UnixStream::pair()?;
        let page = arena::file("mobula-turn", PAGE_BYTES)?;
        let to_worker = arena::file("mobula-to-worker", 0)?;
        let to_driver = arena::file("mobula-to-driver", 0)?;
        let theirs = Self {
            tasks: their_tasks,
            urgent: their_urgent,
            page: page.try_clone()?,
            to_worker: to_worker.try_clone()?,
            to_driver: to_driver.try_clone()?,
        };
        Ok((Self { tasks, urgent, page, to_worker, to_driver }, theirs))
    }
}

/// When a worker begins to serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Serves {
    /// Before `main`, which never runs.
    BeforeMain,
    /// Where `main` calls `init`, as the driver's did.
    FromInit,
}

/// Starts a worker; `piped`: what it prints comes to us.
pub(crate) fn spawn(serves: Serves, piped: bool) -> io::Result<(Child, Ends)> {
    let (answer, answered) = mpsc::channel();
    let wish = Wish { serves, piped, answer };
    let ended = || io::Error::other("the thread that starts workers has ended");
    let spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    spawner.send(wish).map_err(|_| ended())?;
    drop(spawner);
    answered.recv().map_err(|_| ended())?
}

struct Wish {
    serves: Serves,
    piped: bool,
    answer: mpsc::Sender<io::Result<(Child, Ends)>>,
}

/// The thread that starts workers. The system ends a worker when the thread that started it ends, so this one
/// lives as long as the process.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Wish>>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Wish>();
    let start = move || {
        for Wish { serves, piped, answer } in receiver {
            // If nobody waits any more, the worker sees that its connection is gone.
            let _ = answer.send(spawn_here(serves, piped));
        }
    };
    // Where it cannot be started, those who ask learn that it has ended.
    let _ = std::thread::Builder::new().name("mobula-spawner".to_owned()).spawn(start);
    Mutex::new(sender)
});

fn spawn_here(serves: Serves, piped: bool) -> io::Result<(Child, Ends)> {
    let (ours, theirs) = Ends::pair()?;
    let descriptors = theirs.descriptors();
    let when = if serves == Serves::BeforeMain { "before-main" } else { "from-init" };
    let numbers = descriptors.map(|descriptor| descriptor.to_string()).join(",");
    let output = || if piped { Stdio::piped() } else { Stdio::inherit() };
    let mut arguments = std::env::args_os();
    let parent = rustix::process::getpid();
    // What `/proc/self/exe` leads to is this binary, even if its file was replaced since.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(arguments.next().unwrap_or_else(|| OsString::from("mobula-worker")))
        .args(arguments)
        .env(VARIABLE, format!("{when}:{numbers}"))
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        // A Ctrl-C at the terminal is the driver's to hear; when it ends, so do its workers.
        .process_group(0);
    if std::env::var_os(TUNABLES).is_none() {
        command.env(TUNABLES, LARGE_PAGES);
    }
    let before_exec = move || {
        // SAFETY: `theirs` keeps them open in the driver, and the child is its copy.
        unsafe { let_inherit(&descriptors) }?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before that was said.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: what runs between fork and exec makes system calls and nothing else.
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn()?;
    drop(theirs);
    Ok((child, ours))
}

/// Lets what a child executes have these, from between its fork and that on.
///
/// # Safety
/// They are open.
pub(crate) unsafe fn let_inherit(descriptors: &[RawFd]) -> io::Result<()> {
    for descriptor in descriptors {
        // SAFETY: by the caller's promise.
        let descriptor = unsafe { BorrowedFd::borrow_raw(*descriptor) };
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    Ok(())
}

/// What a worker is connected to.
pub(crate) enum Inherited {
    FromDriver(Ends),
    /// The Python that hosts it on a cluster.
    FromHost(HostEnds),
}

/// What a worker and its host share.
pub(crate) struct HostEnds {
    pub(crate) channel: UnixStream,
    /// Memory for long values that come here, and for those that go, where there is such.
    pub(crate) blocks: Option<(OwnedFd, OwnedFd)>,
}

/// The ends that this process inherited, if it was started as a worker; and when it is to serve. The variable
/// goes, so that what this process starts in turn is no worker.
///
/// # Safety
/// There is no other thread, and nobody has asked before.
pub(crate) unsafe fn inherited() -> Option<(Serves, io::Result<Inherited>)> {
    let text = std::env::var(VARIABLE).ok()?;
    // SAFETY: by the caller's promise nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(VARIABLE) };
    let (when, numbers) = text.split_once(':')?;
    let serves = if when == "before-main" { Serves::BeforeMain } else { Serves::FromInit };
    let numbers: Option<Vec<RawFd>> =
        numbers.split(',').map(|number| number.parse().ok()).collect();
    let numbers = numbers?;
    let take = |number: RawFd| {
        // SAFETY: a descriptor that is open is looked at; one that is not gives an error.
        let there = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(there, FdFlags::CLOEXEC)?;
        // SAFETY: it is open, was made for us, and by the caller's promise it is taken once.
        io::Result::Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    if let [channel, ref blocks @ ..] = numbers[..]
        && blocks.len() <= 2
    {
        let ends = || {
            let blocks = match *blocks {
                [come, go] => Some((take(come)?, take(go)?)),
                _ => None,
            };
            Ok(Inherited::FromHost(HostEnds { channel: take(channel)?.into(), blocks }))
        };
        return Some((serves, ends()));
    }
    let [tasks, urgent, page, to_worker, to_driver] = numbers.try_into().ok()?;
    let ends = || {
        Ok(Inherited::FromDriver(Ends {
            tasks: take(tasks)?.into(),
            urgent: take(urgent)?.into(),
            page: take(page)?,
            to_worker: take(to_worker)?,
            to_driver: take(to_driver)?,
        }))
    };
    Some((serves, ends()))
}
