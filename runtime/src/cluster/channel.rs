//! One end of a connection: frames in, frames out, over a socket that both processes inherited or made.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::frame::{self, PREFIX_BYTES, ToDriver, ToWorker};
use crate::error::Result;

/// How much is read at a time.
const READ_BYTES: usize = 64 << 10;
/// How long whoever waits looks before it sleeps: about what falling asleep and waking up would cost.
const LOOK: Duration = Duration::from_micros(50);

/// The end of a connection that reads.
pub(crate) struct Incoming {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// What was received and not yet given out.
    start: usize,
    end: usize,
}

/// Why there is no frame.
#[derive(Debug)]
pub(crate) enum NoFrame {
    /// Not yet.
    Late,
    /// The other side is gone.
    Gone,
    /// What came is none.
    Garbled(crate::error::Error),
}

/// A frame that arrived.
pub(crate) struct Frame<H> {
    pub(crate) head: H,
    /// Where its body is in the buffer.
    pub(crate) body: std::ops::Range<usize>,
}

impl Incoming {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// The body of the frame that was received last.
    pub(crate) fn body<H>(&self, frame: &Frame<H>) -> &[u8] {
        &self.buffer[frame.body.clone()]
    }

    /// The next frame, if it comes in time; None: whenever it comes.
    pub(crate) fn receive<H: DeserializeOwned>(
        &mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<Frame<H>, NoFrame> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(frame) = self.buffered().map_err(NoFrame::Garbled)? {
                return Ok(frame);
            }
            if timeout != Some(Duration::ZERO) && self.look().map_err(|_| NoFrame::Gone)? {
                continue;
            }
            if timeout.is_some() && !self.wait(deadline).map_err(|_| NoFrame::Gone)? {
                return Err(NoFrame::Late);
            }
            self.read().map_err(|_| NoFrame::Gone)?;
        }
    }

    /// What it reads from, to wait without it.
    pub(crate) fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// A whole frame among what was received.
    fn buffered<H: DeserializeOwned>(&mut self) -> Result<Option<Frame<H>>> {
        let received = &self.buffer[self.start..self.end];
        let Some((whole, head)) = frame::lengths(received)? else { return Ok(None) };
        if received.len() < PREFIX_BYTES + whole {
            return Ok(None);
        }
        let head_start = self.start + PREFIX_BYTES;
        let (body_start, end) = (head_start + head, head_start + whole);
        let head = frame::head(&self.buffer[head_start..body_start])?;
        self.start = end;
        Ok(Some(Frame { head, body: body_start..end }))
    }

    /// Reads what comes within a moment, without sleeping. False: nothing did.
    fn look(&mut self) -> io::Result<bool> {
        let until = Instant::now() + LOOK;
        let mut first = [0];
        loop {
            match rustix::net::recv(&self.stream, &mut first, RecvFlags::PEEK | RecvFlags::DONTWAIT)
            {
                Ok(_) => return self.read().map(|()| true),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if Instant::now() < until => std::hint::spin_loop(),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there is something to read. False: the deadline has come.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
            match rustix::event::poll(&mut fds, left.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        // What was given out is done with.
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > 16 * READ_BYTES {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // It grows with what has come, never by what was announced.
        if self.buffer.len() - self.end < READ_BYTES {
            let more = (self.end * 2).max(self.end + READ_BYTES);
            self.buffer.resize(more, 0);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The end of a connection that writes.
pub(crate) struct Outgoing {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Outgoing {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Lets a frame be sent with the next `flush`.
    pub(crate) fn append<H: Serialize>(&mut self, head: &H, body: &[u8]) -> Result<()> {
        frame::append(head, body, &mut self.buffer)
    }

    /// Sends what there is. An error: the other side is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let sent = self.stream.write_all(&self.buffer);
        self.buffer.clear();
        if self.buffer.capacity() > 16 * READ_BYTES {
            self.buffer = Vec::new();
        }
        sent
    }

    pub(crate) fn send<H: Serialize>(&mut self, head: &H, body: &[u8]) -> Result<io::Result<()>> {
        self.append(head, body)?;
        Ok(self.flush())
    }
}

/// How many frames bytes are that arrive, no more than a socket holds, and what ended them.
fn receive_all<H: DeserializeOwned>(bytes: &[u8]) -> io::Result<(usize, NoFrame)> {
    let (mut sender, receiver) = UnixStream::pair()?;
    sender.write_all(bytes)?;
    drop(sender);
    let mut incoming = Incoming::new(receiver);
    let mut frames = 0;
    loop {
        match incoming.receive::<H>(None) {
            Ok(frame) => {
                assert!(incoming.body(&frame).len() <= bytes.len());
                frames += 1;
            }
            Err(end) => return Ok((frames, end)),
        }
    }
}

/// What a driver and what a worker makes of bytes that arrive, for what throws bytes at them: frames, as many as it
/// tells, or an error.
///
/// # Errors
/// Of the connection that the bytes go over, which holds at least 64 KiB.
pub fn look_at(bytes: &[u8]) -> io::Result<[Result<usize>; 2]> {
    let outcome = |(frames, end)| match end {
        NoFrame::Garbled(error) => Err(error),
        NoFrame::Gone | NoFrame::Late => Ok(frames),
    };
    let from_worker = receive_all::<ToDriver>(bytes)?;
    Ok([outcome(from_worker), outcome(receive_all::<ToWorker>(bytes)?)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::frame::FRAME_BYTES_MAX;

    fn outcome(bytes: &[u8]) -> (usize, NoFrame) {
        receive_all::<ToDriver>(bytes).unwrap()
    }

    fn valid() -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::append(&ToDriver::Ready, &[], &mut bytes).unwrap();
        let done = ToDriver::Done {
            ticket: 7,
            outcome: Ok(frame::Part::Inline { start: 0, end: 3 }),
            how: frame::Ended { looked: true, crashed: false },
            let_go: Vec::new(),
        };
        frame::append(&done, &[1, 2, 3], &mut bytes).unwrap();
        frame::append(&ToDriver::Release { ids: vec![(uuid::Uuid::nil(), 1)] }, &[], &mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn frames_come_whole_and_in_order_and_a_cut_one_ends_the_connection() {
        let bytes = valid();
        assert!(matches!(outcome(&bytes), (3, NoFrame::Gone)));
        for length in 0..bytes.len() {
            let (frames, end) = outcome(&bytes[..length]);
            assert!(frames < 3 && matches!(end, NoFrame::Gone), "{length}: {frames}, {end:?}");
        }
    }

    #[test]
    fn lengths_beyond_the_limit_are_refused_before_anything_is_made_of_them() {
        for (whole, head) in [(FRAME_BYTES_MAX + 1, 1), (u32::MAX as usize, 0), (4, 5)] {
            let mut bytes = (whole as u32).to_le_bytes().to_vec();
            bytes.extend((head as u32).to_le_bytes());
            assert!(matches!(outcome(&bytes), (0, NoFrame::Garbled(_))), "{whole}, {head}");
        }
        // What is announced and never comes costs nothing.
        let mut bytes = (FRAME_BYTES_MAX as u32).to_le_bytes().to_vec();
        bytes.extend([1, 0, 0, 0, 0]);
        assert!(matches!(outcome(&bytes), (0, NoFrame::Gone)));
    }

    /// Flips, cuts and inserts bytes, from a seed: whatever comes of it is a frame or an error.
    #[test]
    fn changed_bytes_are_frames_or_errors_and_nothing_else() {
        let valid = valid();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let mut ends = [0; 2];
        for _ in 0..2000 {
            let mut bytes = valid.clone();
            for _ in 0..=random(4) {
                let place = random(bytes.len());
                match random(4) {
                    0 => bytes[place] = random(256) as u8,
                    1 => bytes[place] ^= 1 << random(8),
                    2 => bytes.truncate(place.max(1)),
                    _ => bytes.insert(place, random(256) as u8),
                }
            }
            match outcome(&bytes).1 {
                NoFrame::Late => unreachable!("nobody waits with a deadline"),
                NoFrame::Gone => ends[0] += 1,
                NoFrame::Garbled(error) => {
                    assert_eq!(error.kind(), crate::ErrorKind::Engine);
                    ends[1] += 1;
                }
            }
        }
        assert!(ends.iter().all(|&count| count > 100), "{ends:?}");
    }

    #[test]
    fn the_heads_of_one_direction_are_none_of_the_other() {
        let mut bytes = Vec::new();
        frame::append(&ToWorker::Forget { ids: Vec::new() }, &[], &mut bytes).unwrap();
        assert!(matches!(outcome(&bytes), (0, NoFrame::Garbled(_))));
    }
}
