//! What calls have borrowed, kept by a program on a cluster for those that borrow it after them.
//!
//! An object is the same for good, so what one call has decoded serves the next one. What has refs inside is not kept:
//! they would keep other objects alive on the cluster.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::cluster::worker::Object;

/// How many objects are kept.
const OBJECTS_MAX: usize = 64;
/// How many bytes they are in all, encoded.
const BYTES_MAX: usize = 256 << 20;

/// Decoded objects, the one that was borrowed last at the end.
#[derive(Default)]
pub(super) struct Kept {
    objects: VecDeque<(Uuid, Object, usize)>,
    bytes: usize,
}

impl Kept {
    /// The object, if it is here.
    pub(super) fn get(&self, id: &Uuid) -> Option<Object> {
        let found = self.objects.iter().find(|(kept, ..)| kept == id);
        found.map(|(_, object, _)| object.clone())
    }

    /// Keeps an object that takes so many bytes encoded, and lets go of those that nobody has borrowed for longest.
    pub(super) fn keep(&mut self, id: Uuid, object: Object, bytes: usize) {
        if !matches!(object, Object::Value(_)) || bytes > BYTES_MAX {
            return;
        }
        if let Some(place) = self.objects.iter().position(|(kept, ..)| *kept == id) {
            self.bytes -= self.objects.remove(place).map_or(0, |(.., bytes)| bytes);
        }
        self.objects.push_back((id, object, bytes));
        self.bytes += bytes;
        while self.objects.len() > OBJECTS_MAX || self.bytes > BYTES_MAX {
            let Some((.., bytes)) = self.objects.pop_front() else { break };
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Call, Function};
    use crate::local::cell::Ref;

    static FUNCTION: Function = Function::new("kept", module_path!(), file!(), line!());

    fn object() -> Object {
        let call = Call { function: &FUNCTION, called_at: std::panic::Location::caller() };
        Object::Value(Ref::complete(Ok(7_u64), call).into_any())
    }

    #[test]
    fn what_was_borrowed_last_stays_within_the_bounds() {
        let mut kept = Kept::default();
        let ids: Vec<_> = (0..OBJECTS_MAX as u128 + 1).map(Uuid::from_u128).collect();
        for id in &ids {
            kept.keep(*id, object(), 1);
            // Borrowed again by each, so it is never the one that goes.
            kept.keep(ids[0], object(), 1);
        }
        assert_eq!((kept.objects.len(), kept.bytes), (OBJECTS_MAX, OBJECTS_MAX));
        assert!(kept.get(&ids[0]).is_some() && kept.get(&ids[1]).is_none());
        kept.keep(ids[1], object(), BYTES_MAX);
        assert_eq!((kept.objects.len(), kept.bytes), (1, BYTES_MAX));
        kept.keep(ids[2], object(), BYTES_MAX + 1);
        kept.keep(ids[3], Object::Bytes(std::sync::Arc::new([])), 1);
        assert_eq!(kept.objects.len(), 1);
    }
}
