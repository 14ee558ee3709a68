//! What is inside of values: refs, and handles of actors, by their ids.
//!
//! A value with an id in it is read some time after it has come, or never, so the id is kept until then; and as long as
//! this process has a ref, or a handle, that was made of it.
//!
//! To the cluster a handle is an object that has no value: whoever has it, has a value with it inside, or has calls to
//! make by it, is counted there as for any object. The driver *lends* it: it keeps the actor until it is told that what
//! was lent is back, because nobody on the cluster has it any more.

use uuid::Uuid;

use super::{Client, Import, State};
use crate::cluster::bridge::parcel::Parcel;
use crate::cluster::bridge::{CLIENT, failure, message};
use crate::cluster::coder;
use crate::error::{Failed, Result};
use crate::local::cell::AnyRef;
use crate::local::{ids, waiting};
use crate::wire::Held;

/// A handle of an actor that others have.
pub(super) struct Lent {
    handle: Held,
    /// How often it was lent since nobody had it.
    count: u32,
}

/// Ids that were told in something that is not read yet.
#[derive(Default)]
pub(in crate::cluster::bridge) struct Unread(Vec<Uuid>);

impl Unread {
    /// Of ids that were delivered just now.
    pub(in crate::cluster::bridge) fn new(ids: Vec<Uuid>) -> Self {
        Self(ids)
    }

    pub(in crate::cluster::bridge) fn ids(&self) -> &[Uuid] {
        &self.0
    }
}

/// It was read, or nobody will: what was made of it keeps the ids from now on. Not while the client's lock is held.
impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(client) = CLIENT.get().filter(|_| !self.0.is_empty()) {
            client.was_read(&self.0);
        }
    }
}

/// What is inside of a value that goes out.
#[derive(Default)]
pub(in crate::cluster::bridge) struct Inside {
    pub(in crate::cluster::bridge) ids: Vec<message::Id>,
    /// Those of handles, to be kept until the value was sent.
    pub(in crate::cluster::bridge) lent: Unread,
}

impl Import {
    /// Whether nothing but a ref may keep it.
    fn is_loose(&self) -> bool {
        self.unread == 0 && self.handles == 0
    }
}

impl State {
    /// An id was told in something.
    fn told_inside(&mut self, id: Uuid) {
        let import = self.imports.entry(id).or_default();
        import.count += 1;
        import.unread += 1;
    }

    /// Takes an object out whose last ref is gone. Where its id was told in something else, that keeps the id.
    pub(super) fn take(&mut self, id: &Uuid) -> Option<Import> {
        let import = self.imports.get_mut(id)?;
        if import.is_loose() {
            return self.imports.remove(id);
        }
        let mut gone = std::mem::take(import);
        import.count = std::mem::take(&mut gone.count);
        (import.unread, import.handles) = (gone.unread, gone.handles);
        Some(gone)
    }
}

impl Client {
    /// Refs and handles came inside of a value.
    pub(in crate::cluster::bridge) fn deliver(&self, carries: Vec<Uuid>) -> Unread {
        if !carries.is_empty() {
            let mut state = self.lock();
            carries.iter().for_each(|id| state.told_inside(*id));
        }
        Unread::new(carries)
    }

    fn was_read(&self, ids: &[Uuid]) {
        let (mut free, mut gone) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        for id in ids {
            let Some(import) = state.imports.get_mut(id) else { continue };
            import.unread = import.unread.saturating_sub(1);
            if import.is_loose() && !ids::is_there(id) {
                free.push((message::id(*id), import.count));
                gone.extend(state.imports.remove(id));
            }
        }
        drop(state);
        self.free(free);
        drop(gone);
    }

    /// This process has a handle that it has made of this id.
    pub(super) fn has_handle(&self, id: Uuid) {
        self.lock().imports.entry(id).or_default().handles += 1;
    }

    /// It has one less.
    pub(super) fn had_handle(&self, id: Uuid) {
        let mut state = self.lock();
        let Some(import) = state.imports.get_mut(&id) else { return };
        import.handles = import.handles.saturating_sub(1);
        let gone = if import.is_loose() { state.imports.remove(&id) } else { None };
        drop(state);
        if let Some(import) = gone {
            self.free([(message::id(id), import.count)]);
        }
    }

    /// Lets the cluster know an object of this process, value and all.
    pub(super) fn export(&self, id: Uuid, any: &AnyRef) -> Result<()> {
        if self.lock().imports.contains_key(&id) {
            return Ok(());
        }
        // Of a part of what a call returns, the call's result has to be here first.
        waiting::wait_for_good(any)?;
        let sender = self.sender()?;
        let mut value = sender.parcel();
        let (status, value, mut held) = match coder::encode(any, &mut value) {
            Ok(held) => (0, value, held),
            Err(why) if any.is_failed() => {
                (1, Parcel::from(failure::encode(&Failed::from(&why), None)?), Vec::new())
            }
            Err(why) => return Err(why),
        };
        let inside = self.export_held(&mut held)?;
        sender.send_with(5, &("put", message::id(id), status, &inside.ids), value);
        drop(inside);
        // Only now: who finds it known sends what needs it at once. Another thread that has not found it may have put it,
        // too, and is counted as well.
        self.lock().imports.entry(id).or_default().count += 1;
        Ok(())
    }

    /// The same, for what is inside of a value. Handles are lent.
    pub(in crate::cluster::bridge) fn export_held(&self, held: &mut Vec<Held>) -> Result<Inside> {
        let mut ids = Vec::new();
        let mut lent = Unread::default();
        for one in std::mem::take(held) {
            let id = one.id;
            let one = match self.lend(one, &mut lent)? {
                Some(one) => one,
                None => continue,
            };
            if let Some(any) = ids::find(id) {
                self.export(id, &any)?;
            }
            // It may be a handle that nobody has told this process.
            if self.lock().imports.get(&id).is_some_and(|import| import.count > 0) {
                ids.push(message::id(id));
            }
            held.push(one);
        }
        ids.extend(lent.ids().iter().copied().map(message::id));
        Ok(Inside { ids, lent })
    }

    /// In a driver: lends what is a handle, or stands for one in what is passed on. Gives what is none.
    fn lend(&self, one: Held, lent: &mut Unread) -> Result<Option<Held>> {
        if self.blocks {
            return Ok(Some(one));
        }
        let sender = self.sender()?;
        let id = one.id;
        let mut state = self.lock();
        let is_known = state.imports.contains_key(&id) || ids::is_there(&id);
        let again = match state.lent.get_mut(&id) {
            Some(lent) => {
                lent.count += 1;
                Some(one)
            }
            None if is_known => return Ok(Some(one)),
            None => {
                state.lent.insert(id, Lent { handle: one, count: 1 });
                None
            }
        };
        // Elsewhere nothing can be done by handles, and nobody tells that they are gone.
        let counts = state.engine == "ray";
        if counts {
            state.told_inside(id);
            lent.0.push(id);
        }
        drop(state);
        drop(again);
        if counts {
            sender.send(&("lend", message::id(id)));
        }
        Ok(None)
    }

    /// Nobody on the cluster has any more what was lent so often.
    pub(in crate::cluster::bridge) fn is_back(&self, id: Uuid, count: u32) {
        let mut state = self.lock();
        let Some(lent) = state.lent.get_mut(&id) else { return };
        lent.count = lent.count.saturating_sub(count);
        let gone = if lent.count == 0 { state.lent.remove(&id) } else { None };
        let local = state.local.upgrade();
        drop(state);
        match (gone, local) {
            // It may be the last, and this thread hears the cluster.
            (Some(Lent { handle, .. }), Some(local)) => local.spawn_blocking(move || drop(handle)),
            (gone, _) => drop(gone),
        }
    }
}
