//! The command's output: shown and kept at the same time, piece by piece.

use super::child::GivenUp;
use super::keep::{Keep, Kept};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes are read at once: as many as a pipe holds.
const PIECE: usize = 64 << 10;

/// A stream that has ended.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: &'static str,
    pub(super) kept: io::Result<Kept>,
    /// Why it could not be shown to its end.
    pub(super) not_shown: Option<String>,
    /// Whether it was still open when it was last read.
    pub(super) cut: bool,
}

impl Stream {
    /// Why the evidence of it ends before the stream did. `given_up` is why the waiting for output was ended.
    pub(super) fn why_cut(&self, given_up: Option<GivenUp>) -> Option<String> {
        let cut = self.kept.as_ref().ok().and_then(|kept| kept.cut.as_ref());
        let cut = cut.map(|error| not_whole(self.key, error));
        cut.or_else(|| given_up.filter(|_| self.cut).map(|given_up| given_up.why(self.key)))
    }
}

/// The note on record about a stream that was kept up to an error.
pub(super) fn not_whole(key: &str, error: &io::Error) -> String {
    format!("{key} could not be kept to its end: {error}")
}

/// A stream that a thread copies and that is taken out of its hands at the end.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    key: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    keep: Option<Keep>,
    not_shown: Option<String>,
    open: bool,
    doing: Doing,
}

/// The work of the thread, and since when it is at it.
#[derive(Clone, Copy, Debug)]
enum Doing {
    /// The thread waits for the command.
    Reading(Instant),
    /// The thread waits for the reader.
    Showing(Instant),
}

/// Whom a stream that is open waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// There is nothing to read.
    ForBytes,
    /// Nobody takes the bytes that there are.
    ForReader,
    /// Bytes go through it.
    No,
}

impl Shared {
    pub(super) fn new(key: &'static str, keep: Keep) -> Self {
        let doing = Doing::Reading(Instant::now());
        let state = State { keep: Some(keep), not_shown: None, open: false, doing };
        Self { key, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom it has waited for so long; `None` if it has ended.
    pub(super) fn waits(&self, long: Duration) -> Option<Waits> {
        let state = self.lock();
        state.open.then(|| match state.doing {
            Doing::Reading(since) if since.elapsed() >= long => Waits::ForBytes,
            Doing::Showing(since) if since.elapsed() >= long => Waits::ForReader,
            Doing::Reading(_) | Doing::Showing(_) => Waits::No,
        })
    }

    /// Saves the stream so far, for the case that this process is ended.
    pub(super) fn save(&self) {
        let saved = self.lock().keep.as_mut().and_then(Keep::save);
        // Without the lock: the stream goes on meanwhile.
        let _ = saved.map(|saved| saved.sync());
    }

    /// Takes the stream out of the thread's hands. Bytes that it reads from now on go nowhere.
    pub(super) fn end(&self) -> Stream {
        let mut state = self.lock();
        let kept = state.keep.take().map_or_else(|| Err(io::Error::other("it was taken before")), Keep::finish);
        Stream { key: self.key, kept, not_shown: state.not_shown.take(), cut: state.open }
    }

    /// Copies it in a thread, which holds `done` until the stream has ended.
    pub(super) fn copy(&self, from: File, to: BorrowedFd<'_>, done: &Sender<()>) {
        self.lock().open = true;
        // Another handle on a stream of ours, without the buffer that the standard library puts before it.
        let to = to.try_clone_to_owned().map(File::from);
        let (shared, done) = (self.clone(), done.clone());
        let thread = thread::Builder::new().name(self.key.to_owned()).spawn(move || {
            shared.copy_all(from, to);
            drop(done);
        });
        if let Err(error) = thread {
            // The pipe went with the closure that was to read it, so that the command learns of it at its next write.
            self.lock().not_shown = Some(format!("no thread could be started: {error}"));
        }
    }

    /// Copies it to its end, to the record and to whoever looks on. Where nobody does any more, or it cannot be shown, the
    /// reading ends: the command then gets the broken pipe that it would have got from the reader itself.
    fn copy_all(&self, mut from: File, mut to: io::Result<File>) {
        let mut piece = vec![0; PIECE];
        loop {
            self.lock().doing = Doing::Reading(Instant::now());
            let read = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => piece.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A terminal ends so when nobody holds it any more.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => break,
                Err(error) => {
                    self.lock().not_shown = Some(error.to_string());
                    return;
                }
            };
            {
                let mut state = self.lock();
                state.doing = Doing::Showing(Instant::now());
                match &mut state.keep {
                    Some(keep) => keep.push(read),
                    None => return,
                }
            }
            let shown = match &mut to {
                Ok(to) => write_all(to, read),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            if let Err(error) = shown {
                self.lock().not_shown = Some(error.to_string());
                break;
            }
        }
        self.lock().open = false;
    }
}

/// Writes all of it, also to a stream that somebody has made non-blocking.
fn write_all(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let waited = poll(&mut [PollFd::new(to, PollFlags::OUT)], None);
                waited.map(drop).or_else(|error| if error == rustix::io::Errno::INTR { Ok(()) } else { Err(error) })?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
