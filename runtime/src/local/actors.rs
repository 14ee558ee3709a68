//! The actors that live, so that a runtime that ends can end them, and the way from an actor's id to its
//! handle.

use std::any::Any;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{LazyLock, OnceLock};

use dashmap::DashMap;
use uuid::Uuid;

use crate::function::Call;
use crate::local::cell::AnyRef;
use crate::local::counted::{Counted, Weak};
use crate::local::life::ActorEnd;

/// An actor of any type.
pub(crate) trait Living: Send + Sync {
    /// Ends the actor after the calls that run now.
    fn end_at_once(&self, why: ActorEnd);
    /// Whether it may be called: it has not ended, and is not about to.
    fn is_callable(&self) -> bool;
    /// How often it was made anew.
    fn restarts(&self) -> u32;
    /// Its name and where it was started.
    fn call(&self) -> Call;
    /// See [`HeldBack::missing_before`](crate::local::held_back::HeldBack::missing_before).
    fn missing_before(&self, call: usize) -> Option<Vec<AnyRef>>;
    /// Its beginning, if that had to wait for arguments or resources.
    fn birth(&self) -> Option<AnyRef>;
    /// How many calls are before this one in the mailbox, beside the one that runs.
    fn ahead(&self, call: &AnyRef) -> Option<usize>;
    /// The number of the arbiter on whose thread its calls run.
    fn arbiter(&self) -> Option<usize>;
    /// The `&self` calls that keep this cell waiting, if they do: a call in the mailbox, or the actor's life.
    fn reading(&self, cell: usize) -> Option<Reading>;
    /// Whether this is the actor's life: the cell as which it holds resources, until it has ended.
    fn is_life(&self, cell: usize) -> bool;
    /// It has the resources for which it waited in the line.
    fn begin_with_resources(&self);
    /// Runs the actor's calls on this thread until this one is complete, if the actor's turn is nobody's.
    fn help(&self, call: &AnyRef);
    /// Something has happened to the state, where that lives in another process: the turn looks after it.
    fn look(&self);
    /// The constructor may have to wait in another process until there is room for the actor: `let_go` ends that wait,
    /// if the actor is to end.
    fn constructor_waits(&self, let_go: Watcher);
}

/// Somebody who is told how an actor ends.
pub(crate) type Watcher = Box<dyn FnOnce(&ActorEnd) + Send>;

/// `&self` calls that run, and that others in the mailbox wait for.
pub(crate) struct Reading {
    pub(crate) calls: Vec<AnyRef>,
    /// Whether all of them have to end, or one.
    pub(crate) all: bool,
}

/// The actors of one runtime, by their addresses.
#[derive(Default)]
pub(crate) struct Actors(DashMap<usize, Weak<dyn Living>, BuildHasherDefault<AddressHasher>>);

/// Actors made one after the other lie side by side in memory, and are to do so in the table: then it costs few
/// misses of the cache to add them and to remove them. So only the number of a block of memory is spread, and
/// its actors follow each other.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only addresses are hashed")
    }

    fn write_usize(&mut self, address: usize) {
        /// A block has about as many places as actors that fit into it.
        const BLOCK_BITS: u32 = 12;
        const PLACES_BITS: u32 = 4;
        let address = address as u64;
        let mixed = |number: u64| {
            // The golden ratio: it carries every bit into the upper ones.
            let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            product ^ (product >> 32)
        };
        let place = (address >> (BLOCK_BITS - PLACES_BITS)) & ((1 << PLACES_BITS) - 1);
        // The table chooses the place by the lowest bits, tells those near each other apart by the upper seven, and
        // locks the part that the next few name.
        let upper = mixed(address) & (0x7F << 57);
        let lower = mixed(address >> BLOCK_BITS) << PLACES_BITS | place;
        self.0 = upper | (lower & !(0x7F << 57));
    }
}

impl Actors {
    pub(crate) fn add(&self, address: usize, actor: Weak<dyn Living>) {
        self.0.insert(address, actor);
    }

    pub(crate) fn find(&self, address: usize) -> Option<Counted<dyn Living>> {
        self.0.get(&address)?.upgrade()
    }

    pub(crate) fn remove(&self, address: usize) {
        drop(self.0.remove(&address));
    }

    /// Ends them all: the runtime shuts down.
    pub(crate) fn end_all(&self) {
        let living: Vec<_> = self.0.iter().filter_map(|actor| actor.upgrade()).collect();
        for actor in living {
            actor.end_at_once(ActorEnd::ShutDown);
        }
    }
}

/// The actors whose handles were serialized, and the streams that were lent: weak refs of their own types, by id.
static FINDABLE: LazyLock<DashMap<Uuid, Box<dyn Any + Send + Sync>>> = LazyLock::new(DashMap::new);

/// The id of an actor, or a stream, made when somebody asks, and forgotten when that goes.
#[derive(Default)]
pub(crate) struct Identity(OnceLock<Uuid>);

impl Identity {
    /// The id; from now on `find` gives what `weak` makes.
    pub(crate) fn findable<W: Any + Send + Sync>(&self, weak: impl FnOnce() -> W) -> Uuid {
        *self.0.get_or_init(|| {
            let id = Uuid::new_v4();
            FINDABLE.insert(id, Box::new(weak()));
            id
        })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.0.get().map(|id| FINDABLE.remove(id));
    }
}

/// What was made findable under that id, if it is a `W` and `upgrade` can use it.
pub(crate) fn find<W: Any + Clone, H>(
    id: Uuid,
    upgrade: impl FnOnce(&W) -> Option<H>,
) -> Option<H> {
    // Without the table's lock: what is upgraded may be the last hold on the actor, whose drop needs it.
    let weak = FINDABLE.get(&id)?.downcast_ref::<W>()?.clone();
    upgrade(&weak)
}
