//! A process that serves: it runs the tasks that it is sent, and ends when its driver does.
//!
//! Two threads see to the two connections. The first takes tasks, runs them one after the other, and waits
//! for what they ask for; the second hears what must be heard while a task computes: that it is to stop, that
//! an object has come, and the end of the driver, by which the process ends at once.

use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_int};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use crate::cluster::arena::{self, Page, Writer};
use crate::cluster::channel::{Incoming, Outgoing};
use crate::cluster::frame::{self, Bytes, Part, TaskHead, ToDriver, ToWorker};
use crate::cluster::processes::spawn::{self, Ends, Inherited, Serves};
use crate::cluster::turn;
use crate::cluster::worker::among::Among;
use crate::cluster::worker::home::Connection;
use crate::cluster::worker::task::{Ended, Reader, Replier, Start};
use crate::cluster::{bridge, registry, upstream};
use crate::config::{Config, Engine};
use crate::error::{Failed, Result};
use crate::local::arbiter::Home;
use crate::local::cell::AnyRef;
use crate::local::{abroad, default};

pub(crate) mod among;
pub(in crate::cluster) mod granted;
pub(crate) mod home;
pub(in crate::cluster) mod memory;
pub(crate) mod state;
pub(crate) mod task;

/// The ends that this process inherited, until it serves.
static INHERITED: Mutex<Option<Inherited>> = Mutex::new(None);
static IS_WORKER: OnceLock<()> = OnceLock::new();

/// Whether this process is a worker.
#[inline]
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get().is_some()
}

/// What the loader runs before `main`, with what it gives to `main`.
type Initializer = unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char);

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
static BEFORE_MAIN: Initializer = before_main;

unsafe extern "C" {
    /// Where the list of initializers ends, of which ours is one.
    #[link_name = "__init_array_end"]
    static INITIALIZERS_END: [Initializer; 0];
}

/// Runs the initializers behind ours: they fill registries, and would not come to it any more.
///
/// # Safety
/// The loader is about to run them, with these arguments.
unsafe fn run_what_follows(
    argc: c_int,
    argv: *const *const c_char,
    environment: *const *const c_char,
) {
    let mut next = &raw const BEFORE_MAIN;
    loop {
        next = next.wrapping_add(1);
        if next >= (&raw const INITIALIZERS_END).cast() {
            return;
        }
        // SAFETY: between ours and the end of the list, each is an initializer, or null.
        let initializer = unsafe { next.cast::<Option<Initializer>>().read() };
        if let Some(initializer) = initializer {
            // SAFETY: by the caller's promise.
            unsafe { initializer(argc, argv, environment) };
        }
    }
}

/// Where this process was started as a worker, serves, or lets `init` do so.
unsafe extern "C" fn before_main(
    argc: c_int,
    argv: *const *const c_char,
    environment: *const *const c_char,
) {
    // SAFETY: the loader runs this once, before there can be other threads.
    let Some((serves, ends)) = (unsafe { spawn::inherited() }) else { return };
    let _ = IS_WORKER.set(());
    let Ok(ends) = ends else { end() };
    *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
    if serves == Serves::BeforeMain {
        // SAFETY: we never return to the loader.
        unsafe { run_what_follows(argc, argv, environment) };
        serve_if_worker();
    }
}

/// Serves, where this process is a worker, and never returns then.
pub(crate) fn serve_if_worker() {
    if !is_worker() {
        return;
    }
    let ends = INHERITED.lock().unwrap_or_else(PoisonError::into_inner).take();
    match ends {
        Some(Inherited::FromDriver(ends)) => serve(ends),
        Some(Inherited::FromHost(ends)) => bridge::hosted::serve(ends),
        // It serves already: this is a thread of the program's, or a task.
        None => {}
    }
}

/// Ends this process at once.
pub(in crate::cluster) fn end() -> ! {
    loop {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

fn serve(ends: Ends) -> ! {
    // Without its driver a worker is nothing: whatever goes wrong ends it, and the driver sees that.
    let _ = serve_until_the_end(ends);
    end()
}

fn serve_until_the_end(ends: Ends) -> std::io::Result<()> {
    let Ends { tasks, urgent, page, to_worker, to_driver } = ends;
    memory::keep();
    let page = Arc::new(Page::map(&page)?);
    let outgoing = Outgoing::new(tasks.try_clone()?);
    let connection = Connection::new(
        Incoming::new(tasks),
        outgoing,
        Writer::new(to_driver),
        arena::Reader::new(to_worker),
        Arc::clone(&page),
    );
    let connection: &'static Connection = Box::leak(Box::new(connection));
    std::thread::Builder::new()
        .name("mobula-urgent".to_owned())
        .spawn(move || hear(urgent, connection))?;
    let worker = Worker { connection, page, objects: Objects::default() };
    granted::begin();
    match worker.run() {
        Ok(()) => Ok(()),
        Err(error) => Err(std::io::Error::other(error)),
    }
}

/// Hears what is urgent, until the driver is gone.
fn hear(urgent: UnixStream, connection: &'static Connection) {
    let mut incoming = Incoming::new(urgent);
    while let Ok(frame) = incoming.receive::<ToWorker>(None) {
        let body = incoming.body(&frame);
        match frame.head {
            ToWorker::Cancel { ticket } => connection.running().cancel(ticket),
            ToWorker::Value { id, outcome } => {
                let bytes = Bytes { body, shared: None };
                connection.arrived(id, outcome.map(|part| bytes.part(part)));
            }
            ToWorker::Answered { ticket, answer } => connection.questions().answer(ticket, answer),
            _ => break,
        }
    }
    end()
}

/// Where the calls of an actor go on that wait, once there was one.
static ARBITER: OnceLock<Arc<Home>> = OnceLock::new();

pub(crate) fn arbiter() -> &'static Home {
    ARBITER.get_or_init(|| default::current().arbiters().pick())
}

/// Whether an actor lives here whose calls go on side by side.
pub(in crate::cluster) fn lets_calls_go_aside() -> bool {
    ARBITER.get().is_some() || state::is_beside()
}

/// Drops the state of the actor that lives here, and then tells of it.
pub(in crate::cluster) fn end_state(tell: impl FnOnce() + Send + 'static) {
    state::end();
    match ARBITER.get() {
        None => tell(),
        Some(arbiter) => arbiter.run(move || {
            state::end_shared();
            tell();
        }),
    }
}

struct Worker {
    connection: &'static Connection,
    page: Arc<Page>,
    objects: Objects,
}

/// The objects that tasks borrow: bytes until the first does, then values. Long ones are read from where they came: they
/// come right before a task that borrows them, and lie there until that has its arguments.
#[derive(Default)]
pub(crate) struct Objects(Mutex<HashMap<Uuid, Object>>);

#[derive(Clone)]
pub(crate) enum Object {
    /// In the memory that both sides share.
    Shared(Part),
    Bytes(Arc<dyn AsRef<[u8]> + Send + Sync>),
    Value(AnyRef),
}

impl Objects {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &Uuid) -> Option<Object> {
        self.lock().get(id).cloned()
    }

    pub(crate) fn set(&self, id: Uuid, object: Object) {
        let before = self.lock().insert(id, object);
        drop(before);
    }

    fn forget(&self, ids: &[Uuid]) {
        let mut objects = self.lock();
        let gone: Vec<_> = ids.iter().filter_map(|id| objects.remove(id)).collect();
        drop(objects);
        drop(gone);
    }
}

/// Objects that came since the last task.
#[derive(Default)]
struct Fresh {
    /// Those that lie in shared memory still.
    unread: Vec<Uuid>,
    /// Those that are for the next task only.
    once: Vec<Uuid>,
}

impl Worker {
    fn run(&self) -> Result<()> {
        let mut later = VecDeque::new();
        let mut fresh = Fresh::default();
        self.welcome()?;
        loop {
            // What came while a task waited goes first.
            self.connection.take_backlog(&mut later);
            let (head, body) = match later.pop_front() {
                Some(next) => next,
                None => self.connection.receive()?,
            };
            match head {
                ToWorker::Task(head) => self.task(*head, &body, &mut fresh)?,
                ToWorker::Object { id, value, once } => {
                    if once {
                        fresh.once.push(id);
                    }
                    if value.is_shared() {
                        self.objects.set(id, Object::Shared(value));
                        fresh.unread.push(id);
                    } else {
                        let bytes = self.connection.bytes(&body).part(value)?;
                        self.objects.set(id, Object::Bytes(Arc::new(bytes.to_vec())));
                    }
                }
                ToWorker::Forget { ids } => self.objects.forget(&ids),
                ToWorker::More { ticket, wanted } => {
                    self.connection.running().more(ticket, wanted);
                }
                ToWorker::Cancel { ticket } => self.connection.running().cancel(ticket),
                ToWorker::EndActor => self.end_actor(),
                _ => return Err(frame::garbled("it came at the wrong time")),
            }
        }
    }

    fn welcome(&self) -> Result<()> {
        let (ToWorker::Welcome { num_cpus, block_warning }, _) = self.connection.receive()? else {
            return Err(frame::garbled("it is no welcome"));
        };
        let config = Config::new().num_cpus(num_cpus).engine(Engine::Processes);
        let config = config.block_warning(block_warning);
        let settings = config.resolve(|name| std::env::var(name).ok())?;
        // The process-wide runtime, for good.
        std::mem::forget(default::start(settings)?);
        upstream::set_upstream(self.connection);
        abroad::set_home(Box::leak(Box::new(home::Home(self.connection))));
        self.connection.send(&ToDriver::Ready, &[]);
        Ok(())
    }

    fn end_actor(&self) {
        let connection = self.connection;
        let tell = move || {
            let _ = std::io::stdout().flush();
            connection.send(&ToDriver::ActorEnded, &[]);
        };
        // Calls for which nobody waits any more are about to stop, and to drop what they have.
        end_state(move || connection.running().after_all(tell));
    }

    /// Forgets what was for one task, and copies what was not read, before the driver writes something else there.
    fn keep(&self, fresh: &mut Fresh) -> Result<()> {
        self.objects.forget(&std::mem::take(&mut fresh.once));
        for id in fresh.unread.drain(..) {
            if let Some(Object::Shared(part)) = self.objects.get(&id) {
                let bytes = self.connection.bytes(&[]).part(part)?;
                self.objects.set(id, Object::Bytes(Arc::new(bytes.to_vec())));
            }
        }
        Ok(())
    }

    fn task(&self, head: TaskHead, body: &[u8], fresh: &mut Fresh) -> Result<()> {
        let TaskHead { ticket, function, arguments, about } = head;
        if !turn::begin(self.page.turn(), ticket) {
            return self.keep(fresh);
        }
        let running = self.connection.running();
        running.begin(ticket);
        let beside = state::is_beside();
        if let Ok(registered) = registry::find(&function)
            && let Some(later) = registered.later.or(registered.beside.filter(|_| beside))
        {
            let bytes = self.connection.bytes(body);
            let start = Start {
                about: &about,
                bytes,
                objects: &self.objects,
                running,
                ticket,
                reader: Reader::Driver(self.connection),
            };
            let begin = later(start, arguments);
            self.keep(fresh)?;
            let replier = Replier::ToDriver { connection: self.connection, ticket };
            if beside {
                let among = Among { ticket, cpu: about.worker };
                granted::lend();
                let run = move || granted::among(among, || begin(replier));
                default::current().spawn_blocking(move || granted::beside(about.cpus, run));
            } else {
                arbiter().run(move || begin(replier));
            }
            return Ok(());
        }
        let mut lease = self.connection.borrow_writer();
        let ended = match registry::find(&function) {
            Ok(registered) => {
                let bytes = self.connection.bytes(body);
                let objects = &self.objects;
                let reader = Reader::Driver(self.connection);
                let start = Start { about: &about, bytes, objects, running, ticket, reader };
                let body = &mut lease.body;
                granted::in_turn(about.cpus, || (registered.run)(start, arguments, body))
            }
            Err(error) => {
                let outcome = Err(Failed::from(&error));
                Ended { outcome, held: Vec::new(), how: frame::Ended::default(), retry: false }
            }
        };
        running.end();
        self.keep(fresh)?;
        // What it printed without ending the line.
        let _ = std::io::stdout().flush();
        self.connection.done(ticket, ended, lease);
        Ok(())
    }
}
