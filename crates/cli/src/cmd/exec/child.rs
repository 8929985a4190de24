//! The command itself: started, shown, kept, waited for; signals that are meant for it are passed on.

use super::keep::{Keep, Kept};
use receipt_kernel::clock::{Clock, SystemClock};
use receipt_kernel::{Object, Timestamp, Value};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much is read from a pipe at once: what a pipe holds.
const PIECE: usize = 64 << 10;

/// How a command ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started, or nobody could say how it ended; with the status that a shell gives for that.
    Error(String, u8),
}

impl End {
    /// The exit status that a shell gives for it.
    pub(super) fn status(&self) -> u8 {
        match self {
            // What does not fit is no success.
            Self::Code(code) => u8::try_from(*code).unwrap_or(u8::MAX),
            Self::Signal(signal) => u8::try_from(*signal).map_or(u8::MAX, |signal| signal.saturating_add(128)),
            Self::Error(_, status) => *status,
        }
    }

    fn not_started(error: &io::Error) -> Self {
        Self::Error(error.to_string(), if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
    }

    fn of(waited: io::Result<ExitStatus>) -> Self {
        match waited.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => Self::Code(code),
            Ok((None, Some(signal))) => Self::Signal(signal),
            Ok((None, None)) => Self::Error("nobody could say how the command ended".to_owned(), 126),
            Err(error) => Self::Error(format!("nobody could say how the command ended: {error}"), 126),
        }
    }
}

/// A command that has ended, and what was kept of it.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: End,
    started_at: Timestamp,
    ended_at: Timestamp,
    duration: Duration,
    cpu: Option<Cpu>,
    /// `stdout` and `stderr`.
    pub(super) streams: [Stream; 2],
}

/// What was kept of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: &'static str,
    pub(super) kept: io::Result<Kept>,
    /// Why it could not be shown to its end.
    not_shown: Option<String>,
    /// Whether it was still open when it was last read.
    pub(super) cut: bool,
}

/// Milliseconds of processor time, of the command and of what it waited for.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    user: u64,
    system: u64,
}

impl Ran {
    /// The evidence `exit_status`.
    pub(super) fn to_object(&self) -> Object {
        let (code, signal, error) = match &self.end {
            End::Code(code) => (Some(*code), None, None),
            End::Signal(signal) => (None, Some(*signal), None),
            End::Error(error, _) => (None, None, Some(error.as_str())),
        };
        let not_shown = self.streams.iter().filter_map(|stream| Some((stream.key, stream.not_shown.as_deref()?)));
        let millis = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        Object::from_iter([
            ("code", Value::from(code)),
            ("signal", Value::from(signal)),
            ("error", Value::from(error)),
            ("started_at", Value::from(self.started_at.to_string())),
            ("ended_at", Value::from(self.ended_at.to_string())),
            ("duration_ms", Value::from(millis)),
            ("user_ms", Value::from(self.cpu.map(|cpu| cpu.user))),
            ("system_ms", Value::from(self.cpu.map(|cpu| cpu.system))),
            ("not_shown", not_shown.collect::<Object>().into()),
        ])
    }
}

/// How the command's streams are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Each where it belongs.
    Both,
    /// Both on standard error: standard output is for something else.
    OnStderr,
}

/// Runs a command to its end. `waiting` is called once where the command has ended and its output has not.
pub(super) fn run(command: &[OsString], keeps: [Keep; 2], signals: Signals, show: Show, waiting: &dyn Fn()) -> Ran {
    let (started_at, clock) = (SystemClock.now(), Instant::now());
    let [stdout, stderr] = keeps;
    let [stdout, stderr] = [Shared::new("stdout", stdout), Shared::new("stderr", stderr)];
    let (done, ended) = channel();
    let spawned = spawn(command);
    let target = Arc::new(Target::default());
    let (end, cpu) = match spawned {
        Err(error) => (End::not_started(&error), None),
        Ok(mut child) => {
            let pid = Pid::from_child(&child);
            target.set(Some(pid));
            signals.pass_on_to(&target);
            let out = if show == Show::Both { own(&io::stdout()) } else { own(&io::stderr()) };
            copy_in_thread(child.stdout.take(), out, &stdout, &done);
            copy_in_thread(child.stderr.take(), own(&io::stderr()), &stderr, &done);
            wait(&mut child, pid, &target)
        }
    };
    let (ended_at, duration) = (SystemClock.now(), clock.elapsed());
    drop(done);
    drain(&ended, &target, waiting);
    Ran { end, started_at, ended_at, duration, cpu, streams: [stdout.end(), stderr.end()] }
}

fn spawn(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(ErrorKind::NotFound)?;
    Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Waits for the command. It is reaped under the lock that signals are sent under: they never reach another process that
/// has got its number.
fn wait(child: &mut Child, pid: Pid, target: &Target) -> (End, Option<Cpu>) {
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
    let cpu = cpu(pid);
    let mut target = target.lock();
    let end = End::of(child.wait());
    *target = None;
    (end, cpu)
}

/// The times of a process that has ended and is not reaped yet; only where the system has them under `/proc`.
fn cpu(pid: Pid) -> Option<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, in brackets, may hold anything, brackets among it. The field behind it is the third.
    let fields: Vec<u64> = stat.rsplit_once(") ")?.1.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    let ticks = |own: usize, waited_for: usize| Some(fields.get(own - 3)? + fields.get(waited_for - 3)?);
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Cpu { user: ticks(14, 16)? * 1000 / per_second, system: ticks(15, 17)? * 1000 / per_second })
}

/// Waits until both streams have ended. What the command has started and left behind may hold them open for as long as
/// it likes; a signal to this process ends the waiting.
fn drain(ended: &Receiver<()>, target: &Target, waiting: &dyn Fn()) {
    let patience = Duration::from_secs(2);
    let since = Instant::now();
    let mut told = false;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(50)) {
        if target.enough.load(Ordering::SeqCst) {
            return;
        }
        if !told && since.elapsed() > patience {
            told = true;
            waiting();
        }
    }
}

/// A stream that a thread copies and that is taken out of its hands at the end.
#[derive(Clone, Debug)]
struct Shared {
    key: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    keep: Option<Keep>,
    not_shown: Option<String>,
    open: bool,
}

impl Shared {
    fn new(key: &'static str, keep: Keep) -> Self {
        let state = State { keep: Some(keep), not_shown: None, open: false };
        Self { key, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> Stream {
        let mut state = self.lock();
        let kept = state.keep.take().map_or_else(|| Err(io::Error::other("it was taken before")), Keep::finish);
        Stream { key: self.key, kept, not_shown: state.not_shown.take(), cut: state.open }
    }
}

/// Another handle on one of our own streams, without the buffer that the standard library puts before it.
fn own(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

fn copy_in_thread(from: Option<impl Read + Send + 'static>, to: io::Result<File>, shared: &Shared, done: &Sender<()>) {
    let Some(from) = from else { return };
    shared.lock().open = true;
    let thread = {
        let (shared, done) = (shared.clone(), done.clone());
        thread::Builder::new().name(shared.key.to_owned()).spawn(move || {
            copy(from, to, &shared);
            // Held until here: when all of them are gone, all streams have ended.
            drop(done);
        })
    };
    if let Err(error) = thread {
        // The pipe went with the closure that was to read it, so that the command learns of it at its next write.
        shared.lock().not_shown = Some(format!("no thread could be started: {error}"));
    }
}

/// Copies a stream to its end, to the record and to whoever looks on. Where nobody does any more, or it cannot be shown,
/// the reading ends: the command then gets the broken pipe that it would have got from the reader itself.
fn copy(mut from: impl Read, mut to: io::Result<File>, shared: &Shared) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                shared.lock().not_shown = Some(error.to_string());
                return;
            }
        };
        match &mut shared.lock().keep {
            Some(keep) => keep.push(read),
            None => return,
        }
        let shown = match &mut to {
            Ok(to) => write_all(to, read),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        if let Err(error) = shown {
            shared.lock().not_shown = Some(error.to_string());
            break;
        }
    }
    shared.lock().open = false;
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

/// Whom signals are passed on to.
#[derive(Debug, Default)]
struct Target {
    pid: Mutex<Option<Pid>>,
    /// A signal came when the command had ended.
    enough: AtomicBool,
}

impl Target {
    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pid: Option<Pid>) {
        *self.lock() = pid;
    }

    fn pass_on(&self, signal: i32) {
        let pid = self.lock();
        match (*pid, Signal::from_named_raw(signal)) {
            // It may have ended just now; then there is nothing to pass on.
            (Some(pid), Some(signal)) => drop(kill_process(pid, signal)),
            _ => self.enough.store(true, Ordering::SeqCst),
        }
    }
}

/// The signals that would end this process. From [`Signals::catch`] on none of them does: the run is to be finalized.
#[derive(Debug)]
pub(super) struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Catches them, but for those that whoever started us wants ignored, as `nohup` does.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored_signals();
        let wanted = [SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2];
        // Not to die of a file that has grown to its limit, but to be told; and to be able to wait for the command even
        // where its exit was to be ignored.
        for signal in [SIGXFSZ, SIGCHLD] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        let caught = wanted.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        Ok(Self(SignalsInfo::new(caught)?))
    }

    /// Passes them on from now on, those that came before among them.
    fn pass_on_to(self, target: &Arc<Target>) {
        let target = Arc::clone(target);
        let Self(mut signals) = self;
        let thread = thread::Builder::new().name("signals".to_owned());
        // Without the thread no signal is passed on and none is deadly: the recording goes on.
        let _ = thread.spawn(move || {
            let mut from_terminal = 0_u32;
            for origin in signals.forever() {
                from_terminal += u32::from(is_from_terminal(&origin));
                // The command is in our process group: the terminal has told it already. One that asks twice means it.
                if !is_from_terminal(&origin) || from_terminal > 1 || target.lock().is_none() {
                    target.pass_on(origin.signal);
                }
            }
        });
    }
}

fn is_from_terminal(origin: &Origin) -> bool {
    matches!(origin.cause, Cause::Kernel) && matches!(origin.signal, SIGINT | SIGQUIT)
}

/// The signals that this process ignores, bit 0 for signal 1; only where the system tells.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
