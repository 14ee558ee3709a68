//! Where calls go that leave this process for whoever runs them: from a worker to its driver, from a driver to
//! a cluster, and from a program on a cluster to the same.
//!
//! What comes back is an *import*: a cell whose promise is kept on the way until the value, or the reason why
//! there is none, has come.

use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::cluster::argument::{Asked, Packing};
use crate::cluster::registry::Registered;
use crate::cluster::worker;
use crate::error::{Failed, Result};

/// A cell whose value comes from elsewhere.
pub(crate) trait Pending: Send {
    /// The value has come, or the reason why there is none, after so many tries.
    fn complete(self: Box<Self>, answer: std::result::Result<&[u8], Failed>, tries: u32);
}

/// The reader's end of a stream that is produced elsewhere.
pub(crate) trait Items: Send + Sync {
    /// An item is there, of that id: makes its cell, has `tell` say what came of it, and lets the reader have it.
    fn came(&self, id: Uuid, tell: &mut dyn FnMut(Box<dyn Pending>));
}

/// What a call that gives a stream is told besides.
#[derive(Clone)]
pub(crate) struct Streaming {
    pub(crate) items: Arc<dyn Items>,
    /// How many items may lie over there that nobody has asked for.
    pub(crate) unread_max: usize,
}

/// A call that leaves.
pub(crate) struct Departure<'a> {
    /// The id that the result is to have.
    pub(crate) id: Uuid,
    pub(crate) registered: &'static Registered,
    /// Packs the arguments. It runs the program's code.
    pub(crate) pack: &'a mut dyn FnMut(&mut Packing<'_>) -> Result<()>,
    pub(crate) options: Option<Asked>,
    /// Where the call stands in the source.
    pub(crate) stands_at: String,
    /// Its place in the tree of random streams.
    pub(crate) place: Vec<u32>,
    /// Where its items go, if it gives a stream. Its result then is the end of that.
    pub(crate) streaming: Option<Streaming>,
}

/// The way to whoever runs the calls.
pub(crate) trait Upstream: Send + Sync {
    /// Sends a call; `pending` is where its result goes.
    ///
    /// # Errors
    /// Those of packing, and `Engine`, by name, for what is asked for and cannot be honoured.
    fn submit(&self, call: Departure<'_>, pending: Box<dyn Pending>) -> Result<()>;
    /// Notes that this process was given a ref, which is `pending` because it is new. Gives what was pending of an object
    /// of that id that has no ref any more, to be dropped while no lock is held.
    fn import(&self, id: Uuid, pending: Box<dyn Pending>) -> Option<Box<dyn Pending>>;
    /// Notes that this process was given a ref again that it has already.
    fn import_again(&self, id: Uuid);
    /// Notes that this process has made a handle of that id, which counts by itself.
    fn take_once(&self, id: Uuid);
    /// Notes that it has let go of such a handle.
    fn let_go_once(&self, id: Uuid);
    /// So many more items of the stream of that id are wanted here.
    fn want_items(&self, stream: Uuid, count: usize);
}

static UPSTREAM: OnceLock<&'static dyn Upstream> = OnceLock::new();

/// Where calls go from here. None: no runtime of this process has such a way.
pub(crate) fn upstream() -> Option<&'static dyn Upstream> {
    UPSTREAM.get().copied()
}

/// Where calls go of actors that are not here. None: there are no others than those that are.
pub(crate) fn to_owner() -> Option<&'static dyn Upstream> {
    if worker::is_worker() { upstream() } else { None }
}

/// Sets it, for good.
pub(super) fn set_upstream(upstream: &'static dyn Upstream) {
    let _ = UPSTREAM.set(upstream);
}
