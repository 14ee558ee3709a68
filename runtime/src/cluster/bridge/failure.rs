//! Why a call on the cluster failed, and through which calls the failure came there.
//!
//! Who made a call shows it as he knows it, with how often it was tried. Whoever has its result from a value, or from
//! another call, knows only its id, and is told here whose result it was.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::cluster::bridge::call::CallHead;
use crate::cluster::registry;
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::function::{self, Hop};
use crate::local::cell::AnyRef;
use crate::wire;

/// The error, for programs only; the calls, of which hosts add those that never began because of it; and how many of these
/// are left out.
#[derive(Serialize, Deserialize)]
struct Sent(ByteBuf, Vec<Through>, usize);

/// A call: its function, where it stands, and the name that it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Through(String, String, Option<String>);

impl From<&CallHead> for Through {
    fn from(head: &CallHead) -> Self {
        let name = head.options.as_ref().and_then(|options| options.name.clone());
        Self(head.function.clone(), head.stands_at.clone(), name)
    }
}

impl From<&Hop> for Through {
    fn from(hop: &Hop) -> Self {
        Self(String::new(), hop.stands_at(), Some(hop.name().to_owned()))
    }
}

impl Through {
    fn show(self) -> String {
        let Self(function, stands_at, name) = self;
        let found = || registry::find(&function).map(|found| found.function().name().to_owned());
        let name = name.or_else(|| found().ok()).unwrap_or_else(|| function.clone());
        function::show(&name, (!stands_at.is_empty()).then_some(&stands_at))
    }
}

/// The failure of a call, as it is sent.
///
/// # Errors
/// `Serialization`.
pub(super) fn encode(failed: &Failed, call: Option<Through>) -> Result<Vec<u8>> {
    let sent = Sent(ByteBuf::from(wire::encode(failed)?.bytes), Vec::from_iter(call), 0);
    rmp_serde::to_vec(&sent).map_err(|why| Error::new(ErrorKind::Serialization, why.to_string()))
}

/// The failure that was sent; `needs`: the call failed because one of these had.
pub(super) fn decode(encoded: &[u8], needs: Option<&[AnyRef]>) -> Failed {
    let told = || -> Result<Failed> {
        let Sent(error, mut calls, cut) = rmp_serde::from_slice(encoded)
            .map_err(|why| Error::new(ErrorKind::Serialization, format!("no failure: {why}")))?;
        let mut failed: Failed = wire::decode(&error)?;
        failed.call = calls.pop().map(Through::show);
        calls.into_iter().for_each(|call| failed.came_through(call.show()));
        failed.cut(cut);
        Ok(failed)
    };
    needs.and_then(way_of).unwrap_or_else(|| told().unwrap_or_else(|error| Failed::from(&error)))
}

/// The failure of the first of these that has failed, with its way, as far as this process knows it.
pub(super) fn way_of(needs: &[AnyRef]) -> Option<Failed> {
    needs.iter().find_map(AnyRef::failure).map(|error| Failed::from(&error))
}
