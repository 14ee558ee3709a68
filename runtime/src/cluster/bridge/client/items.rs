//! Items of streams that come from the cluster: as objects there, or as values of an actor's call.

use std::sync::Arc;

use uuid::Uuid;

use super::{Client, Import, Wait};
use crate::cluster::Reply;
use crate::cluster::argument::What;
use crate::cluster::bridge::actor::Place;
use crate::cluster::bridge::failure;
use crate::cluster::bridge::message::{self, News, Told};
use crate::cluster::turn::Ticket;
use crate::cluster::upstream::{Pending, Upstream};
use crate::error::{Error, Failed};
use crate::local::abroad;

impl Client {
    /// A stream has an item.
    pub(in crate::cluster::bridge) fn item_came(&'static self, stream: Uuid, news: News) {
        let state = self.lock();
        let reader = state.streams.get(&stream).map(Arc::clone);
        let call = match state.imports.get(&stream).and_then(|import| import.pending.as_ref()) {
            Some(Wait::Call(place, ticket)) => Some((Arc::clone(place), *ticket)),
            _ => None,
        };
        drop(state);
        if let Some((place, ticket)) = call {
            return self.item_of_call(&place, ticket, stream, news);
        }
        let id = news.id;
        let mut news = Some(news);
        let mut tell = |pending: Option<Box<dyn Pending>>| {
            let Some(news) = news.take() else { return };
            // It was told just now, and is there.
            let pending = pending.map(Wait::Cell);
            let import = Import { count: 1, pending, watched: true, ..Import::default() };
            self.lock().imports.insert(id, import);
            let mut free = Vec::new();
            self.told_one(news, &mut free);
            debug_assert!(free.is_empty(), "an item is no call of an actor");
        };
        match reader {
            Some(reader) => reader.came(id, &mut |pending| tell(Some(pending))),
            None => {
                tell(None);
                abroad::Home::let_go(self, &id);
            }
        }
        self.wake_all();
        // Of the items that came before, some may have been dropped unread.
        self.sweep();
    }

    /// A call of an actor has an item.
    fn item_of_call(
        &'static self,
        place: &Place,
        ticket: Ticket,
        call: Uuid,
        News { id, carries, outcome }: News,
    ) {
        let unread = self.deliver(carries);
        let outcome = match outcome {
            Told::Value(bytes) => Ok(bytes.to_vec()),
            Told::Error { encoded, .. } => Err(failure::decode(&encoded, None)),
            Told::Failed { kind, text } => Err(Failed::from(&Error::new(kind, text))),
            Told::Lost { .. } | Told::Remote => {
                Err(Failed::from(&message::garbled("an item that is none")))
            }
        };
        let kept = vec![What::Handle(Arc::new(unread))];
        let is_wanted = place.item(ticket, Reply { outcome, kept });
        self.send(&("free", [(message::id(id), 1)]));
        if !is_wanted {
            // It was asked to stop, and is read to its end.
            self.want_items(call, 1);
        }
    }
}
