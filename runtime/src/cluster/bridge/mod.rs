//! Other people's clusters: Ray, Dask and ipyparallel, by their own Python.
//!
//! ```text
//! this program  <->  sidecar: Python beside it  <->  the cluster  <->  host: Python as a task there  <->  this
//!                    that speaks the engine's                                                        program,
//!                    official API                                                                    in worker mode
//! ```
//!
//! The cluster schedules, places, ships, retries and recovers. A call goes to it with its refs by id, and they
//! become its own refs: what one call gives to another goes from node to node and never through here. On both
//! ends the program speaks the same messages, so a call may call, store and wait as the driver may.
//!
//! - `message`, `link` what is said, and how it is written and read;
//! - `blocks`, `spans` memory that both sides share, for long values; `parcel` those that go, `views` those that come;
//! - `sidecar` Python, started;
//! - `client` what a process has on the cluster, whichever end it is;
//! - `actor` the places of actors, as the driver sees them, and `upcalls` what tasks ask of these;
//! - `hosted` this program as a worker, `kept` what its calls have borrowed;
//! - `../python/` all that is in Python, with `protocol.md`.

mod actor;
mod blocks;
mod call;
mod client;
mod failure;
pub(super) mod hosted;
mod kept;
mod link;
mod message;
pub(super) mod parcel;
mod sidecar;
mod spans;
mod upcalls;
mod views;

use std::process::Child;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::client::Client;
use self::link::Reader;
use self::message::Incoming;
use self::sidecar::{Cluster, Sidecar};
use crate::cluster::argument::Asked;
use crate::cluster::{Cargo, Host, engine_error, upstream};
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::AnyRef;
use crate::local::current::Task;
use crate::local::{Local, abroad};

/// How long the sidecar may take for its farewell.
const END_MAX: Duration = Duration::from_secs(4);
/// How often it is looked for.
const END_LOOK: Duration = Duration::from_millis(5);

/// This process's end of the bridge. There is one, whatever runtimes there are.
static CLIENT: OnceLock<&'static Client> = OnceLock::new();
/// The sidecar of the runtime that has one.
static SIDECAR: Mutex<Option<Process>> = Mutex::new(None);

struct Process {
    child: Child,
    reader: JoinHandle<()>,
}

/// Makes `client` that of this process, for good.
fn set_client(client: &'static Client) {
    if CLIENT.set(client).is_ok() {
        upstream::set_upstream(client);
        abroad::set_home(client);
    }
}

/// That of a driver, made when the first runtime joins a cluster.
fn client() -> &'static Client {
    if let Some(client) = CLIENT.get() {
        return client;
    }
    set_client(Box::leak(Box::default()));
    CLIENT.get().expect("it was set just now")
}

/// Whether a runtime of this process has joined a cluster.
pub(super) fn has_joined() -> bool {
    SIDECAR.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Joins the cluster of these settings, which then say what it has.
///
/// # Errors
/// `Engine`, if there is no Python, package or cluster, or if another runtime of this process has one.
pub(super) fn join(settings: &mut Settings, from_init: bool) -> Result<()> {
    let engine = settings.engine.name();
    if settings.event_buffer.is_some() {
        return Err(engine_error(format!(
            "the engine `{engine}` cannot record events: leave them out"
        )));
    }
    let mut sidecar = SIDECAR.lock().unwrap_or_else(PoisonError::into_inner);
    if sidecar.is_some() {
        return Err(engine_error(
            "a process joins one cluster at a time: end the other runtime first",
        ));
    }
    let joined = Sidecar::start(&Cluster {
        engine,
        address: settings.address.as_deref(),
        namespace: settings.namespace.as_deref(),
        num_cpus: settings.num_cpus,
        block_warning: settings.block_warning,
        resources: settings
            .resources
            .iter()
            .map(|(name, amount)| (name.as_str(), amount.as_f64()))
            .collect(),
        serves: if from_init { "from-init" } else { "before-main" },
    })?;
    let Sidecar { process, sender, reader, cpus, .. } = joined;
    settings.num_cpus = (cpus as usize).max(1);
    let client = client();
    client.begin(engine, sender);
    let read = move || client.end(&client::kind_of_end(read(reader, client).err()));
    let reader = std::thread::Builder::new().name("mobula-bridge-in".to_owned()).spawn(read);
    let reader =
        reader.map_err(|error| engine_error(format!("a thread did not start: {error}")))?;
    *sidecar = Some(Process { child: process, reader });
    Ok(())
}

fn read(mut reader: Reader<impl std::io::Read>, client: &'static Client) -> Result<()> {
    while let Some(message) = reader.next()? {
        match message {
            Incoming::Done(news) => client.told(news),
            Incoming::Fetched(news) => client.told(vec![news]),
            Incoming::Item(stream, news) => client.item_came(stream, news),
            Incoming::Lost(actor, text) => client.lost(actor, &text),
            Incoming::Back(actor, count) => client.is_back(actor, count),
            Incoming::Upcall(caller, run) => client.upcall(caller, run),
            Incoming::Cancel(id, children) => client.cancel_upcall(id, children),
            _ => return Err(message::garbled("it came at the wrong time")),
        }
    }
    Ok(())
}

/// Makes an actor on the cluster.
///
/// # Errors
/// Those of its constructor; `Engine`, if there is no cluster any more.
pub(super) fn host(
    local: &Arc<Local>,
    cargo: &dyn Cargo,
    task: &Task,
    in_turn: bool,
    asked: Option<&Asked>,
) -> Result<Box<dyn Host>> {
    actor::start(client(), local, cargo, task, in_turn, asked)
}

/// Whether the value is known to be on the cluster.
pub(super) fn is_there(any: &AnyRef) -> bool {
    CLIENT.get().is_some_and(|client| client.is_there(any))
}

/// Whether the cluster knows it.
pub(super) fn is_known(any: &AnyRef) -> bool {
    CLIENT.get().is_some_and(|client| client.is_known(any))
}

/// Leaves the cluster: what has not come never will.
pub(super) fn leave() {
    let process = SIDECAR.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Process { mut child, reader }) = process else { return };
    if let Some(client) = CLIENT.get() {
        // With its last sender the sidecar sees the end.
        client
            .end(&Error::new(ErrorKind::ShutDown, "the runtime was shut down before it was done"));
    }
    let deadline = Instant::now() + END_MAX;
    while !matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(END_LOOK);
    }
    // It reads to the end of what the sidecar wrote.
    let _ = reader.join();
}
