//! What workers print: each line with the task and the process that it comes from, and lines that repeat told
//! once, with how often.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags};

/// How many of its last lines are told when a worker crashes.
const LAST_LINES_MAX: usize = 12;
/// Longer lines are cut.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Where the lines of all workers of a runtime come together.
#[derive(Default)]
pub(crate) struct Output(Mutex<Repeated>);

/// The line that came last, and how often it came again.
#[derive(Default)]
struct Repeated {
    line: String,
    to_stderr: bool,
    again: usize,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Repeated> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, prefix: &str, line: &str, to_stderr: bool) {
        let mut last = self.lock();
        if last.line == line && last.to_stderr == to_stderr && !line.is_empty() {
            last.again += 1;
            return;
        }
        last.tell();
        print(&format!("{prefix} {line}\n"), to_stderr);
        *last = Repeated { line: line.to_owned(), to_stderr, again: 0 };
    }

    /// Tells what is left to tell.
    pub(crate) fn finish(&self) {
        self.lock().tell();
    }
}

impl Repeated {
    fn tell(&mut self) {
        let again = std::mem::take(&mut self.again);
        if again > 0 {
            let times = if again == 1 { "once more" } else { "more times" };
            let count = if again == 1 { String::new() } else { format!("{again} ") };
            print(&format!("[mobula] the line above came {count}{times}\n"), self.to_stderr);
        }
    }
}

/// Nobody can be told if that fails.
fn print(text: &str, to_stderr: bool) {
    let _ = if to_stderr {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    };
}

/// The last lines that one worker wrote to its standard error.
#[derive(Default)]
pub(crate) struct LastLines(Mutex<VecDeque<String>>);

impl LastLines {
    fn add(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    pub(crate) fn get(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// What passes on the lines of one of a worker's streams.
pub(crate) struct Printer {
    /// The end that is read from, to look whether there is anything.
    stream: OwnedFd,
    /// Whether something was read that has not been printed.
    busy: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Printer {
    /// Begins; `prefix`: what to put before a line.
    pub(crate) fn start(
        stream: OwnedFd,
        to_stderr: bool,
        output: Arc<Output>,
        last: Arc<LastLines>,
        prefix: impl Fn() -> String + Send + 'static,
    ) -> io::Result<Self> {
        let busy = Arc::<AtomicBool>::default();
        let tell = move |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            let line = line.trim_end_matches('\r');
            if to_stderr {
                last.add(line);
            }
            output.line(&prefix(), line, to_stderr);
        };
        let (reading, working) = (File::from(stream.try_clone()?), Arc::clone(&busy));
        let thread = std::thread::Builder::new()
            .name("mobula-output".to_owned())
            .spawn(move || pass_on(reading, &working, tell))?;
        Ok(Self { stream, busy, thread })
    }

    /// Whether all that was written has been printed.
    pub(crate) fn is_done(&self) -> bool {
        // In this order: what was read before we look has made the thread busy.
        let empty = rustix::io::ioctl_fionread(&self.stream).unwrap_or(0) == 0;
        self.thread.is_finished() || (empty && !self.busy.load(Ordering::SeqCst))
    }

    /// Whether the stream has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

fn pass_on(mut stream: File, busy: &AtomicBool, tell: impl Fn(&[u8])) {
    let (mut bytes, mut start) = (vec![0; LINE_BYTES_MAX], 0);
    loop {
        busy.store(false, Ordering::SeqCst);
        let mut fds = [PollFd::new(&stream, PollFlags::IN)];
        let ready = rustix::event::poll(&mut fds, None);
        // Before anything is taken out: see `is_done`.
        busy.store(true, Ordering::SeqCst);
        let read = match ready {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => 0,
            Ok(_) => stream.read(&mut bytes[start..]).unwrap_or(0),
        };
        let end = start + read;
        let mut line = 0;
        while let Some(length) = bytes[line..end].iter().position(|byte| *byte == b'\n') {
            tell(&bytes[line..line + length]);
            line += length + 1;
        }
        // A line without an end, at the end of the stream or of the room.
        if line < end && (read == 0 || (line == 0 && end == bytes.len())) {
            tell(&bytes[line..end]);
            line = end;
        }
        if read == 0 {
            return;
        }
        bytes.copy_within(line..end, 0);
        start = end - line;
    }
}
