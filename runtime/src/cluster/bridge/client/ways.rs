//! What the rest of the program has to do with it: the way for calls, and the home of what is abroad.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::{Client, Import, Wait};
use crate::cluster::bridge::call::{Head, asks};
use crate::cluster::bridge::{hosted, message};
use crate::cluster::upstream::{Departure, Pending, Streaming, Upstream};
use crate::error::Result;
use crate::local::cell::AnyRef;
use crate::local::waiting::Ended;
use crate::local::{abroad, default};

impl Upstream for Client {
    fn submit(&self, call: Departure<'_>, pending: Box<dyn Pending>) -> Result<()> {
        let Departure { id, registered, pack, options, stands_at, place, streaming } = call;
        let engine = self.lock().engine;
        let mut asks = asks(engine, options.as_ref(), (registered.nature)().waits)?;
        if self.blocks && registered.of_actors {
            asks.of_actors = Some((message::id(hosted::caller()), None));
        }
        if !self.blocks {
            let mut state = self.lock();
            if state.local.strong_count() == 0 {
                state.local = default::with_current(Arc::downgrade);
            }
        }
        if let Some(Streaming { items, unread_max }) = streaming {
            asks.stream = Some(unread_max);
            self.lock().streams.insert(id, items);
        }
        let tries_max = 1 + asks.max_retries.unwrap_or(0);
        let of_actor = asks.of_actors.is_some();
        let import = Import { tries_max, of_actor, ..Import::new(Wait::Cell(pending)) };
        let name = registered.name().to_owned();
        let head = Head { name, options, stands_at, place, of_actor: None };
        let sent = self.send_call(id, head, pack, asks, import);
        if sent.is_err() {
            let stream = self.lock().streams.remove(&id);
            drop(stream);
        }
        sent
    }

    fn import(&self, id: Uuid, pending: Box<dyn Pending>) -> Option<Box<dyn Pending>> {
        let mut state = self.lock();
        let import = state.imports.entry(id).or_default();
        // The object may have been here before.
        let Import { count, unread, handles, .. } = *import;
        let pending = Some(Wait::Cell(pending));
        let new = Import { count, unread, handles, pending, ..Import::default() };
        let before = std::mem::replace(import, new);
        drop(state);
        match before.pending {
            Some(Wait::Cell(pending)) => Some(pending),
            _ => None,
        }
    }

    fn import_again(&self, _: Uuid) {
        // It was counted when it was told.
    }

    fn take_once(&self, id: Uuid) {
        self.has_handle(id);
    }

    fn let_go_once(&self, id: Uuid) {
        self.had_handle(id);
    }

    fn want_items(&self, stream: Uuid, count: usize) {
        self.send(&("more", message::id(stream), count));
    }
}

/// One for all runtimes of this process, for good.
impl abroad::Home for Client {
    fn bring(
        &self,
        refs: &[&AnyRef],
        any: bool,
        deadline: Option<Instant>,
    ) -> Option<Result<(), Ended>> {
        let mut ids = Vec::new();
        self.imports_of(refs, &mut ids);
        self.want(&ids);
        let only = ids.len() == refs.iter().filter(|any| !any.is_complete()).count();
        (self.blocks && only && !ids.is_empty()).then(|| self.wait(refs, &ids, any, deadline))
    }

    fn subscribe(&self, any: &AnyRef) {
        let mut ids = Vec::new();
        self.imports_of(&[any], &mut ids);
        self.want(&ids);
    }

    /// Messages are read all the time.
    fn look(&self, any: &AnyRef) {
        self.subscribe(any);
    }

    fn cancel(&self, any: &AnyRef, children: bool, force: bool) {
        let mut ids = Vec::new();
        self.imports_of(&[any], &mut ids);
        for id in ids {
            self.send(&("cancel", message::id(id), force, children));
        }
    }

    fn is_of_actor(&self, any: &AnyRef) -> bool {
        let state = self.lock();
        any.known_id().and_then(|id| state.imports.get(&id)).is_some_and(|import| import.of_actor)
    }

    fn task_id(&self, task: &AnyRef) -> Option<Uuid> {
        crate::cluster::bridge::hosted::task_id(task)
    }

    fn let_go(&self, id: &Uuid) {
        let mut state = self.lock();
        if state.imports.get(id).is_some_and(|import| import.pending.is_some()) {
            // It is another's by now.
            return;
        }
        let Some(import) = state.take(id) else { return };
        drop(state);
        self.free([(message::id(*id), import.count)]);
    }

    fn cpu(&self) -> Option<usize> {
        crate::cluster::bridge::hosted::cpu()
    }

    fn restarts(&self) -> Option<u32> {
        crate::cluster::bridge::hosted::restarts()
    }

    fn exit_actor(&self) -> bool {
        crate::cluster::bridge::hosted::exit_actor()
    }

    fn leave_actors(&self) {
        self.leave_places();
    }
}
