//! The end that sends.
//!
//! Who sends a short message writes it at once, where nothing waits before it and the other side has room: to wake a
//! thread costs more than to write. All else waits for a thread: what is long, what finds no room, and calls that come
//! fast, which go many in a frame. So nobody waits for the other side to read, unless [`WAITING_MAX`] messages wait.
//!
//! What is given back is in no hurry: it goes with the next message, or after [`LINGER`]. It stays behind all that was sent
//! before it, which may be about the same refs, and before all that is sent after it, behind which the other side may not
//! read on. Only calls, which are in a hurry, overtake it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::Serialize;

use crate::cluster::bridge::blocks::Blocks;
use crate::cluster::bridge::message::{self, Call, Id};
use crate::cluster::bridge::parcel::Parcel;

/// How many messages may wait to be written; then who sends waits.
const WAITING_MAX: usize = 1 << 16;
/// So much is written without waiting where there is room at all: `PIPE_BUF`, by pipe(7), and sockets say that there is
/// room only where far more is free.
const SHORT_BYTES: usize = 4096;
/// The most calls in a frame.
const CALLS_MAX: usize = 256;
/// Calls that come faster one after the other than this go together.
const GATHER: Duration = Duration::from_micros(100);
/// How long what is given back may wait for a message to go with.
const LINGER: Duration = Duration::from_millis(20);
/// With so much given back, it waits no longer.
const FREED_MAX: usize = 4096;
/// How often memory for long values that was not used goes back to the system.
const KEEP: Duration = Duration::from_secs(10);

/// Where what is given back goes.
enum Freed {
    Before,
    Behind,
}

/// What is to be sent.
enum Outgoing {
    Call(Box<Call>),
    /// A message but for the bytes that are its last part, where it has such.
    Message(Vec<u8>, Option<Parcel>),
    /// Refs that are gone, each with how often its id was told.
    Freed(Vec<(Id, u32)>),
    /// What is left of frames.
    Rest(Vec<u8>),
    /// All before this is to be written, and then this dropped.
    Settled(SyncSender<()>),
}

/// The end that sends. When the last one drops, the other side sees the end.
#[derive(Clone)]
pub(in crate::cluster::bridge) struct Sender {
    end: Arc<End>,
    blocks: Option<Arc<Blocks>>,
}

/// What the thread writes at a time: what waited, and what is given back.
type Batch = (VecDeque<Outgoing>, Vec<(Id, u32)>);

/// What all senders have in common.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.news.notify_one();
    }
}

/// What senders and the thread share.
struct Shared {
    to: File,
    state: Mutex<State>,
    /// There is something for the thread to do.
    news: Condvar,
    /// There is room for more to wait.
    room: Condvar,
    blocks: Option<Arc<Blocks>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Outgoing>,
    /// Refs that are gone; all that was sent before them is written, and nothing after them but calls.
    freed: Vec<(Id, u32)>,
    /// The thread writes what it has taken, and nobody else does.
    writes: bool,
    /// The thread does not look up soon.
    sleeps: bool,
    /// Something was sent since it last did.
    is_lively: bool,
    /// When the last call was sent.
    called: Option<Instant>,
    /// Nobody sends any more, or nobody reads.
    is_over: bool,
}

impl Sender {
    /// Starts the thread that writes; `blocks`: where long values go.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(in crate::cluster::bridge) fn start(
        to: impl Into<OwnedFd>,
        blocks: Option<Arc<Blocks>>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            to: File::from(to.into()),
            state: Mutex::default(),
            news: Condvar::new(),
            room: Condvar::new(),
            blocks: blocks.clone(),
        });
        let of_thread = Arc::clone(&shared);
        // It ends when nobody sends any more, or nobody reads.
        let write = move || of_thread.write_all();
        std::thread::Builder::new().name("mobula-bridge-out".to_owned()).spawn(write)?;
        Ok(Self { end: Arc::new(End(shared)), blocks })
    }

    /// What a value is written to that is to be sent.
    pub(in crate::cluster::bridge) fn parcel(&self) -> Parcel {
        Parcel::new(self.blocks.clone())
    }

    fn shared(&self) -> &Shared {
        &self.end.0
    }

    /// Sends a call. If the other side is gone, who reads from it learns that.
    pub(in crate::cluster::bridge) fn call(&self, call: Call) {
        let mut state = self.shared().lock();
        let now = Instant::now();
        let before = state.called.replace(now);
        let alone = before.is_none_or(|before| now - before >= GATHER);
        if alone && state.has_no_other() && call.2.own().is_none_or(is_short) {
            let frame = framed(&message::encode(&("submit", [&call])));
            if self.shared().write_at_once(&mut state, frame, Freed::Behind) {
                self.shared().wrote(&state, &call.2);
                drop(state);
                return call.2.sent();
            }
        }
        self.shared().push(state, Outgoing::Call(Box::new(call)));
    }

    /// Sends a message.
    pub(in crate::cluster::bridge) fn send(&self, message: &impl Serialize) {
        self.message(message::encode(message), None);
    }

    /// Sends a message of which `value` is the last part: it has one part fewer than its length says.
    pub(in crate::cluster::bridge) fn send_with(
        &self,
        parts: u8,
        message: &impl Serialize,
        mut value: Parcel,
    ) {
        let mut encoded = message::encode(message);
        // An array of up to 15 parts tells its length in its first byte.
        encoded[0] = 0x90 | parts;
        value.close();
        self.message(encoded, Some(value));
    }

    fn message(&self, message: Vec<u8>, value: Option<Parcel>) {
        let mut state = self.shared().lock();
        let own = value.as_ref().and_then(Parcel::own);
        if state.has_no_other() && is_short(&message) && own.is_none_or(is_short) {
            let mut frame = Vec::new();
            let written = write_message(&mut frame, message.clone(), value.as_ref());
            if written.is_ok() && self.shared().write_at_once(&mut state, frame, Freed::Before) {
                if let Some(value) = value {
                    self.shared().wrote(&state, &value);
                    drop(state);
                    value.sent();
                }
                return;
            }
        }
        self.shared().push(state, Outgoing::Message(message, value));
    }

    /// Gives refs back, each by its id and how often that was told.
    pub(in crate::cluster::bridge) fn free(&self, freed: impl IntoIterator<Item = (Id, u32)>) {
        let mut state = self.shared().lock();
        if state.is_over {
            return;
        }
        if !state.has_no_other() && state.freed.is_empty() {
            let freed = Vec::from_iter(freed);
            return match (state.waiting.back_mut(), freed.is_empty()) {
                (_, true) => {}
                (Some(Outgoing::Freed(last)), _) => last.extend(freed),
                _ => self.shared().push(state, Outgoing::Freed(freed)),
            };
        }
        state.freed.extend(freed);
        let wakes = state.freed_are_due(state.sleeps);
        drop(state);
        if wakes {
            self.shared().news.notify_one();
        }
    }

    /// Waits until all that was sent so far is written: from then on it gets there, whatever becomes of this process.
    pub(in crate::cluster::bridge) fn settle(&self) {
        let state = self.shared().lock();
        if state.has_no_other() {
            return;
        }
        let (settled, when_settled) = sync_channel(0);
        self.shared().push(state, Outgoing::Settled(settled));
        let _ = when_settled.recv();
    }
}

impl State {
    /// Whether all that was sent before is written.
    fn has_no_other(&self) -> bool {
        self.waiting.is_empty() && !self.writes
    }

    fn freed_are_due(&self, waited: bool) -> bool {
        self.freed.len() >= FREED_MAX || (waited && !self.freed.is_empty())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it wait for the thread, as soon as there is room for that.
    fn push(&self, state: MutexGuard<'_, State>, outgoing: Outgoing) {
        let full = |state: &mut State| state.waiting.len() >= WAITING_MAX && !state.is_over;
        let mut state = self.room.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            drop(state);
            // It may have a block, or somebody who waits.
            return drop(outgoing);
        }
        let was_empty = state.waiting.is_empty();
        if !matches!(outgoing, Outgoing::Call(_)) && !state.freed.is_empty() {
            let freed = std::mem::take(&mut state.freed);
            state.waiting.push_back(Outgoing::Freed(freed));
        }
        state.waiting.push_back(outgoing);
        let wakes = was_empty && !state.writes;
        drop(state);
        if wakes {
            self.news.notify_one();
        }
    }

    /// Writes a frame, and what is given back with it, if that is done without waiting. Nothing waits before it.
    fn write_at_once(&self, state: &mut State, frame: Vec<u8>, place: Freed) -> bool {
        if !is_short(&frame) || !self.has_room() {
            return false;
        }
        let freed = Some(&state.freed).filter(|freed| !freed.is_empty());
        let freed = freed.map(|freed| framed(&message::encode(&("free", freed))));
        let both = match (freed, place) {
            (None, _) => frame,
            (Some(freed), Freed::Before) => [freed, frame].concat(),
            (Some(freed), Freed::Behind) => [frame, freed].concat(),
        };
        if !is_short(&both) {
            return false;
        }
        match (&self.to).write(&both) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return false,
            Ok(written) if written < both.len() => {
                state.waiting.push_back(Outgoing::Rest(both[written..].to_vec()));
                self.news.notify_one();
            }
            // Where it is broken, who reads learns that.
            _ => state.is_lively = true,
        }
        state.freed.clear();
        true
    }

    /// A value was written at once. If it lies in a block, the thread looks after the memory from now on.
    fn wrote(&self, state: &State, value: &Parcel) {
        if value.own().is_none() && state.sleeps {
            self.news.notify_one();
        }
    }

    /// Whether [`SHORT_BYTES`] can be written without waiting.
    fn has_room(&self) -> bool {
        let mut asked = [PollFd::new(&self.to, PollFlags::OUT)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let answers = rustix::event::poll(&mut asked, Some(&at_once));
        answers == Ok(1) && asked[0].revents() == PollFlags::OUT
    }

    /// The thread: writes what waits.
    fn write_all(&self) {
        let mut to = BufWriter::with_capacity(1 << 16, &self.to);
        while let Some((waiting, freed)) = self.next() {
            if write_batch(&mut to, waiting, &freed).is_err() {
                break;
            }
        }
        let mut state = self.lock();
        state.is_over = true;
        state.writes = false;
        state.freed = Vec::new();
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.room.notify_all();
        drop(left);
    }

    /// What there is to write, as soon as there is. None: nobody sends any more.
    fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        state.writes = false;
        let mut waited = false;
        while state.waiting.is_empty() && !state.freed_are_due(waited) {
            if state.is_over {
                return None;
            }
            let soon = std::mem::take(&mut state.is_lively) || !state.freed.is_empty();
            let blocks = self.blocks.as_ref().filter(|blocks| blocks.has_pages());
            let longest = if soon { Some(LINGER) } else { blocks.map(|_| KEEP) };
            state.sleeps = !soon;
            let timed_out;
            (state, timed_out) = match longest {
                Some(longest) => {
                    let waited = self.news.wait_timeout(state, longest);
                    let (state, timed) = waited.unwrap_or_else(PoisonError::into_inner);
                    (state, timed.timed_out())
                }
                None => (self.news.wait(state).unwrap_or_else(PoisonError::into_inner), false),
            };
            state.sleeps = false;
            waited = timed_out && soon;
            if let Some(blocks) = blocks.filter(|_| timed_out && !soon) {
                drop(state);
                blocks.give_back();
                state = self.lock();
            }
        }
        state.writes = true;
        if state.waiting.len() >= WAITING_MAX {
            self.room.notify_all();
        }
        Some((std::mem::take(&mut state.waiting), std::mem::take(&mut state.freed)))
    }
}

fn write_batch(
    to: &mut impl Write,
    waiting: VecDeque<Outgoing>,
    freed: &[(Id, u32)],
) -> io::Result<()> {
    let mut waiting = waiting.into_iter().peekable();
    while let Some(outgoing) = waiting.next() {
        match outgoing {
            Outgoing::Message(message, value) => {
                write_message(to, message, value.as_ref())?;
                value.into_iter().for_each(Parcel::sent);
            }
            Outgoing::Freed(freed) => {
                write_frame(to, &message::encode(&("free", freed)), &[])?;
            }
            Outgoing::Rest(bytes) => to.write_all(&bytes)?,
            Outgoing::Settled(settled) => {
                to.flush()?;
                drop(settled);
            }
            Outgoing::Call(call) => {
                let mut calls = vec![*call];
                while calls.len() < CALLS_MAX
                    && let Some(Outgoing::Call(call)) =
                        waiting.next_if(|next| matches!(next, Outgoing::Call(_)))
                {
                    calls.push(*call);
                }
                write_frame(to, &message::encode(&("submit", &calls)), &[])?;
                calls.into_iter().for_each(|(_, _, call, ..)| call.sent());
            }
        }
    }
    if !freed.is_empty() {
        write_frame(to, &message::encode(&("free", freed)), &[])?;
    }
    to.flush()
}

/// Writes a message as a frame; `value`: its last part.
fn write_message(
    to: &mut impl Write,
    mut message: Vec<u8>,
    value: Option<&Parcel>,
) -> io::Result<()> {
    match value.map(|value| (value, value.own())) {
        None => write_frame(to, &message, &[]),
        Some((_, Some(own))) => {
            rmp::encode::write_bin_len(&mut message, length(own.len())?)
                .map_err(io::Error::other)?;
            write_frame(to, &message, own)
        }
        Some((value, None)) => {
            message.extend(message::encode(value));
            write_frame(to, &message, &[])
        }
    }
}

/// Whether it can be written at once.
fn is_short(bytes: &[u8]) -> bool {
    bytes.len() <= SHORT_BYTES
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// A short message as a frame.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(super::LENGTH_BYTES + message.len());
    // A vector takes all, and what is too long for a frame is not written at once.
    let _ = write_frame(&mut frame, message, &[]);
    frame
}

fn write_frame(to: &mut impl Write, message: &[u8], bytes: &[u8]) -> io::Result<()> {
    to.write_all(&length(message.len() + bytes.len())?.to_le_bytes())?;
    to.write_all(message)?;
    to.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _, pipe};

    use uuid::Uuid;

    use super::*;
    use crate::cluster::bridge::link::Reader;
    use crate::cluster::bridge::message::Incoming;

    const ID: Uuid = Uuid::from_u128(7);

    fn started() -> (PipeReader, Sender) {
        let (from, to) = pipe().unwrap();
        (from, Sender::start(to, None).unwrap())
    }

    fn cancel(number: usize) -> (&'static str, Id, bool) {
        ("cancel", message::id(Uuid::from_u128(number as u128)), true)
    }

    fn call(number: usize) -> Call {
        let id = message::id(Uuid::from_u128(number as u128));
        let value = Parcel::from(vec![0; 10]);
        (id, "function".to_owned(), value, Vec::new(), Vec::new(), message::Asks::default())
    }

    /// The frames, each by its message's name.
    fn names(bytes: &[u8]) -> Vec<String> {
        let mut rest = bytes;
        let mut names = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (mut frame, after) = after.split_at(u32::from_le_bytes(*length) as usize);
            rmp::decode::read_array_len(&mut frame).unwrap();
            let length = rmp::decode::read_str_len(&mut frame).unwrap() as usize;
            names.push(String::from_utf8(frame[..length].to_vec()).unwrap());
            rest = after;
        }
        names
    }

    /// All that comes until the other side has ended.
    fn all(mut from: PipeReader) -> Vec<u8> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_short_message_is_there_when_it_was_sent() {
        let (mut from, sender) = started();
        sender.send(&cancel(7));
        let room = rustix::io::ioctl_fionread(&from).unwrap();
        let mut bytes = vec![0; room as usize];
        from.read_exact(&mut bytes).unwrap();
        assert_eq!(Reader::new(&bytes[..], None).next().unwrap(), Some(Incoming::Cancel(ID, true)));
    }

    /// Many more than a pipe takes, some of them long, from several threads: each thread's come whole and in its order.
    #[test]
    fn what_waits_stays_in_order() {
        const EACH: usize = 5_000;
        let (from, sender) = started();
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        let number = 2 * number + thread;
                        if number % 100 < 2 {
                            let long = Parcel::from(vec![1; 20_000]);
                            let (_, id, _) = cancel(number);
                            sender.send_with(5, &("fetched", id, 0, [id]), long);
                        } else {
                            sender.send(&cancel(number));
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let mut reader = Reader::new(from, None);
        let mut next = [0, 1];
        while let Some(message) = reader.next().unwrap() {
            let number = match message {
                Incoming::Cancel(id, _) => id.as_u128() as usize,
                Incoming::Fetched(news) => news.id.as_u128() as usize,
                other => panic!("{other:?}"),
            };
            assert_eq!(number, next[number % 2]);
            next[number % 2] += 2;
        }
        assert_eq!(next, [2 * EACH, 2 * EACH + 1]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn what_is_given_back_goes_before_messages_and_behind_calls() {
        let (from, sender) = started();
        for (name, place) in [("cancel", Freed::Before), ("submit", Freed::Behind)] {
            let mut state = sender.shared().lock();
            state.freed = vec![(message::id(ID), 1)];
            let frame = framed(&message::encode(&(name,)));
            assert!(sender.shared().write_at_once(&mut state, frame, place));
            assert!(state.freed.is_empty());
        }
        drop(sender);
        assert_eq!(names(&all(from)), ["free", "cancel", "submit", "free"]);
    }

    /// Whatever waits.
    #[test]
    fn what_is_given_back_stays_behind_what_was_sent_before() {
        let (from, sender) = started();
        while !sender.shared().lock().sleeps {
            std::thread::yield_now();
        }
        let free = || sender.free([(message::id(ID), 1)]);
        // As if the thread were at something else.
        sender.shared().lock().writes = true;
        sender.send(&cancel(1));
        free();
        free();
        sender.send(&cancel(2));
        sender.shared().lock().freed = vec![(message::id(ID), 1)];
        sender.call(call(1));
        free();
        sender.send(&cancel(3));
        sender.shared().lock().writes = false;
        sender.shared().news.notify_one();
        drop(sender);
        let expected = ["cancel", "free", "cancel", "submit", "free", "cancel"];
        assert_eq!(names(&all(from)), expected);
    }

    /// Nothing else is ever sent.
    #[test]
    fn what_is_given_back_is_sent_in_the_end() {
        let (mut from, sender) = started();
        for _ in 0..3 {
            sender.free([(message::id(ID), 1), (message::id(ID), 2)]);
            let mut length = [0; 4];
            from.read_exact(&mut length).unwrap();
            let mut frame = vec![0; u32::from_le_bytes(length) as usize];
            from.read_exact(&mut frame).unwrap();
            assert_eq!(names(&[&length[..], &frame].concat()), ["free"]);
        }
        drop(sender);
        assert!(all(from).is_empty());
    }

    #[test]
    fn calls_that_come_fast_go_together() {
        const CALLS: usize = 1_000;
        let (mut from, sender) = started();
        // As if the thread were at something else, and calls were just being made.
        while !sender.shared().lock().sleeps {
            std::thread::yield_now();
        }
        sender.shared().lock().writes = true;
        for number in 0..CALLS {
            sender.shared().lock().called = Some(Instant::now() + Duration::from_secs(60));
            sender.call(call(number));
        }
        sender.shared().lock().writes = false;
        sender.shared().news.notify_one();
        let reads = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            names(&bytes).len()
        });
        drop(sender);
        assert_eq!(reads.join().unwrap(), CALLS.div_ceil(CALLS_MAX));
    }

    #[test]
    fn where_nobody_reads_nothing_is_waited_for() {
        let (from, sender) = started();
        drop(from);
        for number in 0..2 * WAITING_MAX {
            sender.send(&cancel(number));
        }
        sender.free([(message::id(ID), 1)]);
        sender.settle();
    }

    #[test]
    fn what_is_settled_is_there() {
        let (mut from, sender) = started();
        let sends = std::thread::spawn(move || {
            let long = Parcel::from(vec![1; 1_000_000]);
            sender.send_with(2, &("long",), long);
            sender.settle();
            sender
        });
        let mut bytes = vec![0; 1_000_000];
        from.read_exact(&mut bytes).unwrap();
        let sender = sends.join().unwrap();
        drop(sender);
        assert!(all(from).len() < 100);
    }
}
