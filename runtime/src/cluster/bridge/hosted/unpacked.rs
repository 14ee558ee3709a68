//! A call on its way to what runs it: its arguments are where they are looked for.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::cluster::argument::{Argument, unfit};
use crate::cluster::bridge::call::{self, CallHead, OfActor};
use crate::cluster::bridge::failure::Through;
use crate::cluster::bridge::kept::Kept;
use crate::cluster::bridge::message::Run;
use crate::cluster::bridge::views::Value;
use crate::cluster::frame::{About, Part};
use crate::cluster::registry::{self, Registered};
use crate::cluster::worker::{Object, Objects, state};
use crate::error::Result;
use crate::wire;

/// A call, ready to be run.
pub(super) struct Unpacked {
    pub(super) call: Through,
    /// None: the actor that lives here is to end.
    pub(super) registered: Option<&'static Registered>,
    pub(super) arguments: Vec<Argument>,
    pub(super) inline: Inline,
    pub(super) objects: Objects,
    /// What may be kept of them, and how many bytes each takes.
    pub(super) borrowed: Vec<(Uuid, usize)>,
    pub(super) about: About,
    /// If it is a call of an actor, the id of its result.
    pub(super) of_actor: Option<Uuid>,
}

impl Unpacked {
    /// Whether it is a call, and not the end, of an actor.
    pub(super) fn is_call_of_actor(&self) -> bool {
        self.of_actor.is_some() && self.registered.is_some()
    }

    /// Whether it is one of an actor whose calls run one after the other.
    pub(super) fn is_in_turn(&self) -> bool {
        let computes = self.registered.is_some_and(|entry| entry.later.is_none());
        self.is_call_of_actor() && computes && !state::is_beside()
    }
}

/// What those arguments lie in that are no objects.
pub(super) struct Inline {
    call: Value,
    /// Where they begin there.
    start: usize,
    /// In the place of it, once there are more.
    longer: Option<Vec<u8>>,
}

impl Inline {
    pub(super) fn bytes(&self) -> &[u8] {
        self.longer.as_deref().unwrap_or(&self.call[self.start..])
    }

    /// Adds a value.
    fn append(&mut self, value: &[u8]) -> Result<Part> {
        let index =
            |place: usize| u32::try_from(place).map_err(|_| unfit("more than fits into one call"));
        let bytes = self.longer.get_or_insert_with(|| self.call[self.start..].to_vec());
        let start = index(bytes.len())?;
        bytes.extend_from_slice(value);
        Ok(Part::Inline { start, end: index(bytes.len())? })
    }
}

/// Puts the values that came with the call where its arguments are looked for.
pub(super) fn unpack(run: Run, kept: &Kept) -> Result<Unpacked> {
    let Run { attempt, call, values, carries, .. } = run;
    let values: Vec<_> = values.into_iter().map(Arc::new).collect();
    let (head, start) = CallHead::open(&call)?;
    let mut inline = Inline { call, start, longer: None };
    let call = Through::from(&head);
    let ends = head.of_actor.is_some() && head.function.is_empty();
    let registered = (!ends).then(|| registry::find(&head.function)).transpose()?;
    let value_with = |id: &Uuid| call::value_of(id, &head.needs, &values).map(Arc::clone);
    let mut uses = HashMap::<Uuid, usize>::new();
    for argument in &head.arguments {
        if let Argument::Object(id) = argument {
            *uses.entry(*id).or_default() += 1;
        }
    }
    let objects = Objects::default();
    let mut borrowed = Vec::new();
    let shares = registered.map(|registered| (registered.nature)().shares);
    let mut shares = shares.unwrap_or_default().into_iter();
    let mut arguments = Vec::with_capacity(head.arguments.len());
    for argument in head.arguments {
        let borrows = shares.next().unwrap_or(false);
        arguments.push(match argument {
            Argument::Value(part) => Argument::Value(part),
            Argument::Object(id) if borrows => {
                let value = value_with(&id)?;
                // Where refs came along, they may be inside of it.
                if carries.is_empty() {
                    borrowed.push((id, value.len()));
                }
                objects.set(id, kept.get(&id).unwrap_or(Object::Bytes(value)));
                Argument::Object(id)
            }
            // It is read from where it lies; one that is borrowed, too, may be no bytes any more then.
            Argument::Object(id) if uses.get(&id) == Some(&1) => {
                objects.set(id, Object::Bytes(value_with(&id)?));
                Argument::Object(id)
            }
            Argument::Object(id) => Argument::Value(inline.append(&value_with(&id)?)?),
            Argument::List(ids) => {
                let values = ids.iter().map(value_with).collect::<Result<Vec<_>>>()?;
                let values: Vec<&[u8]> = values.iter().map(|value| &***value).collect();
                Argument::Value(inline.append(&wire::sequence(&values)?)?)
            }
        });
    }
    let options = head.options;
    let (of_actor, about) = match head.of_actor {
        Some(OfActor { about, id }) => (Some(id), Some(about)),
        None => (None, None),
    };
    let about = about.unwrap_or_else(|| About {
        name: options.as_ref().and_then(|options| options.name.clone()),
        attempt,
        cpus: options.as_ref().and_then(|options| options.num_cpus).unwrap_or(1.0),
        worker: None,
        restarts: None,
        place: head.place,
        time_limit: options.as_ref().and_then(|options| options.timeout),
    });
    Ok(Unpacked { call, registered, arguments, inline, objects, borrowed, about, of_actor })
}
