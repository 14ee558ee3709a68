//! One end of a bridge: messages in frames. Long values do not go through the stream, where both sides share memory:
//! frames say where they lie.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use crate::cluster::bridge::message::{self, Incoming};
use crate::cluster::bridge::views::Views;
use crate::error::Result;

mod sender;

pub(super) use self::sender::Sender;

/// In front of each frame.
const LENGTH_BYTES: usize = 4;
/// How much room is made for a frame before its bytes come.
const ROOM_BYTES_MAX: usize = 1 << 20;
/// The end that reads.
pub(super) struct Reader<R> {
    from: BufReader<R>,
    views: Option<Arc<Views>>,
}

impl<R: Read> Reader<R> {
    /// `views`: where long values lie.
    pub(super) fn new(from: R, views: Option<Arc<Views>>) -> Self {
        Self { from: BufReader::new(from), views }
    }

    /// The next message. None: the other side has ended.
    ///
    /// # Errors
    /// `Engine`, if what came is no message, or only a part of one.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>> {
        let Some(body) = self.frame().map_err(message::garbled)? else { return Ok(None) };
        Incoming::decode(&body, self.views.as_ref()).map(Some)
    }

    fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; LENGTH_BYTES];
        let mut have = 0;
        while have < LENGTH_BYTES {
            match self.from.read(&mut length[have..])? {
                0 if have == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => have += more,
            }
        }
        let length = u32::from_le_bytes(length) as usize;
        // Memory grows with what comes, not with what is announced.
        let mut body = Vec::with_capacity(length.min(ROOM_BYTES_MAX));
        let read = (&mut self.from).take(length as u64).read_to_end(&mut body)?;
        if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(body)) }
    }
}

#[cfg(test)]
mod tests {
    use super::sender::framed;
    use super::*;
    use crate::cluster::bridge::blocks::{self, Blocks};
    use crate::cluster::bridge::message::{Lies, News, Run, Told};
    use crate::cluster::bridge::spans::Span;
    use crate::cluster::bridge::views::Value;
    use crate::error::ErrorKind;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use uuid::Uuid;

    fn news() -> Vec<u8> {
        let id = message::id(Uuid::from_u128(7));
        let item = (id, 0, [id], serde_bytes::Bytes::new(b"value"));
        framed(&message::encode(&("done", [item])))
    }

    #[test]
    fn messages_come_whole_and_in_order_and_a_cut_one_is_an_error() {
        let mut bytes = news();
        bytes.extend(framed(&message::encode(&("cancel", message::id(Uuid::from_u128(9)), false))));
        let mut reader = Reader::new(&bytes[..], None);
        let outcome = Told::Value(Value::Own(b"value".to_vec()));
        let id = Uuid::from_u128(7);
        let told = Incoming::Done(vec![News { id, carries: vec![id], outcome }]);
        assert_eq!(reader.next().unwrap(), Some(told));
        assert_eq!(reader.next().unwrap(), Some(Incoming::Cancel(Uuid::from_u128(9), false)));
        assert_eq!(reader.next().unwrap(), None);
        for length in 1..news().len() {
            let error = Reader::new(&bytes[..length], None).next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Engine, "{length}");
        }
    }

    #[test]
    fn streams_and_their_items_are_told_apart() {
        let [stream, item] = [7, 9].map(|id| message::id(Uuid::from_u128(id)));
        let told = ("item", stream, item, 2, [stream], 100);
        let mut bytes = framed(&message::encode(&told));
        bytes.extend(framed(&message::encode(&("more", stream))));
        let mut reader = Reader::new(&bytes[..], None);
        let [stream, id] = [7, 9].map(Uuid::from_u128);
        let news = News { id, carries: vec![stream], outcome: Told::Remote };
        assert_eq!(reader.next().unwrap(), Some(Incoming::Item(stream, news)));
        assert_eq!(reader.next().unwrap(), Some(Incoming::More(stream)));
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn an_announced_length_costs_nothing_until_the_bytes_come() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0x91];
        assert!(Reader::new(&bytes[..], None).next().is_err());
    }

    /// What is sent with the value is read, and how many bytes went through the stream.
    fn sent(value: &[u8], shares: bool) -> (Incoming, usize) {
        let file = blocks::file().unwrap();
        let shared = Blocks::new(file.try_clone().unwrap()).unwrap();
        let (mut from, to) = UnixStream::pair().unwrap();
        let sender = Sender::start(to, shares.then_some(shared)).unwrap();
        let mut parcel = sender.parcel();
        value.chunks(100_000).for_each(|part| parcel.write_all(part).unwrap());
        let id = message::id(Uuid::from_u128(7));
        sender.send_with(5, &("fetched", id, 0, [id]), parcel);
        drop(sender);
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        let mut reader = Reader::new(&bytes[..], Some(Views::new(&file).unwrap()));
        (reader.next().unwrap().unwrap(), bytes.len())
    }

    #[test]
    fn long_values_do_not_go_through_the_stream_where_memory_is_shared() {
        let id = Uuid::from_u128(7);
        for (length, shares, goes) in
            [(1_000_000, true, 0), (1_000_000, false, 1_000_000), (100, true, 100)]
        {
            let value: Vec<u8> = (0..length).map(|nth| nth as u8).collect();
            let (message, bytes) = sent(&value, shares);
            let outcome = Told::Value(Value::Own(value));
            assert_eq!(message, Incoming::Fetched(News { id, carries: vec![id], outcome }));
            assert!((goes..goes + 200).contains(&bytes), "{bytes}");
        }
    }

    /// Whatever is said of where a value lies, it is read or refused.
    #[test]
    fn changed_places_are_values_or_errors_and_nothing_else() {
        let views = Views::new(&blocks::file().unwrap()).unwrap();
        let id = message::id(Uuid::from_u128(7));
        let lies = Lies(Span { slot: 3, start: 1 << 16, bytes: 20 });
        let valid = framed(&message::encode(&("run", id, 1, lies, [lies], [id])));
        let mut outcomes = [0; 2];
        for place in LENGTH_BYTES..valid.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = valid.clone();
                bytes[place] = byte;
                let read = Reader::new(&bytes[..], Some(Arc::clone(&views))).next();
                outcomes[usize::from(read.is_err())] += 1;
                if let Ok(Some(Incoming::Run(Run { call, values, .. }))) = read {
                    let all = values.iter().chain([&call]).flat_map(|value| value.last());
                    assert!(all.count() <= 2);
                }
                assert!(Reader::new(&bytes[..], None).next().is_err(), "no memory is shared");
            }
        }
        assert!(outcomes.into_iter().all(|count| count > 1000), "{outcomes:?}");
    }

    /// Whatever comes of changed bytes is a message or an error.
    #[test]
    fn changed_bytes_are_messages_or_errors_and_nothing_else() {
        let valid = news();
        let mut errors = 0;
        for place in LENGTH_BYTES..valid.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = valid.clone();
                bytes[place] = byte;
                errors += u32::from(Reader::new(&bytes[..], None).next().is_err());
            }
        }
        assert!(errors > 1000, "{errors}");
    }
}
