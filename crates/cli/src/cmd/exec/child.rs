//! The command itself, from its start until its output has ended.

use super::end::End;
use super::keep::Keep;
use super::pty::Window;
use super::signals::{Signals, Target};
use super::start::{self, Terminals};
use super::streams::{Shared, Stream, Waits};
use super::wait::{self, Cpu};
use receipt_kernel::clock::{Clock, SystemClock};
use receipt_kernel::{Object, Timestamp, Value};
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the waiting is over; a stream that gave nothing for so long has nothing to give.
const TICK: Duration = Duration::from_millis(50);
/// When a person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long reading the last output may take: the command has ended, so that no more than a pipe holds is left.
const LEAST: Duration = Duration::from_secs(1);

/// How often what has come is saved. A line that is still growing is saved the next time.
const SAVED_EVERY: Duration = Duration::from_millis(500);

/// A command that has ended, and what was kept of it.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: End,
    started_at: Timestamp,
    ended_at: Timestamp,
    duration: Duration,
    cpu: Option<Cpu>,
    shell: Option<&'static str>,
    /// Why the waiting for its output was ended before the output was.
    pub(super) given_up: Option<GivenUp>,
    /// `stdout` and `stderr`.
    pub(super) streams: Vec<Stream>,
}

/// Why the waiting for output was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// A signal came after the command had ended.
    Signal,
    /// It had been as long as it was to be.
    Time(Duration),
}

impl GivenUp {
    /// The note on record about a stream that was still open.
    pub(super) fn why(self, key: &str) -> String {
        match self {
            Self::Signal => format!("{key} was still open when the waiting for it was ended"),
            Self::Time(waited) => format!(
                "{key} was still open {waited:?} after the command had ended: something that the command started holds it, \
                 and what that writes from then on is not on record"
            ),
        }
    }
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
        let cut = self.streams.iter().filter_map(|stream| Some((stream.key, stream.why_cut(self.given_up)?)));
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
            ("shell", Value::from(self.shell)),
            ("not_shown", not_shown.collect::<Object>().into()),
            ("cut", cut.collect::<Object>().into()),
        ])
    }
}

/// How a command is run.
pub(super) struct How<'h> {
    pub(super) signals: Signals,
    pub(super) terminals: Terminals,
    /// Whether both streams are shown on standard error, because standard output is for something else.
    pub(super) on_stderr: bool,
    /// How long its output may go on after it.
    pub(super) wait_output: Duration,
    /// Called once when its output goes on after it.
    pub(super) waiting: &'h dyn Fn(),
}

/// Runs a command to its end.
pub(super) fn run(command: &[OsString], keeps: [Keep; 2], how: How<'_>) -> Ran {
    let How { mut signals, terminals, on_stderr, wait_output, waiting } = how;
    let [stdout, stderr] = keeps;
    let streams = [Shared::new("stdout", stdout), Shared::new("stderr", stderr)];
    let (done, ended) = channel();
    let target = Arc::new(Target::default());
    let window = Arc::clone(&terminals.window);
    let early = signals.until_now();
    let (started_at, clock) = (SystemClock.now(), Instant::now());
    let saving = save_now_and_then(&streams);
    let started = start::start(command, terminals);
    let shell = started.as_ref().ok().and_then(|started| started.shell);
    let (end, cpu) = match started {
        Err(error) => (End::not_started(&error), None),
        Ok(started) => {
            *target.lock() = Some(started.pid);
            let _dismissal = signals.pass_on_to(&target, &window, &early);
            let (out, err) = (io::stdout(), io::stderr());
            let shown = start::shown_on(&out, &err, on_stderr);
            for ((stream, from), to) in streams.iter().zip(started.streams).zip(shown) {
                stream.copy(from, to, &done);
            }
            look_after_keyboard(&window, &target);
            let ended = wait::for_end(started.pid, &target, &window);
            window.give_back();
            ended
        }
    };
    let (ended_at, duration) = (SystemClock.now(), clock.elapsed());
    drop(done);
    let given_up = drain(&ended, &streams, &target, wait_output, waiting);
    drop(saving);
    let streams = streams.iter().map(Shared::end).collect();
    Ran { end, started_at, ended_at, duration, cpu, shell, given_up, streams }
}

/// Saves both streams twice a second, in a thread, until what is returned is dropped.
fn save_now_and_then(streams: &[Shared; 2]) -> Sender<()> {
    let (stop, stopped) = channel();
    let streams = streams.clone();
    // Without the thread nothing is kept for the case that this process is ended.
    let _ = thread::Builder::new().name("saving".to_owned()).spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SAVED_EVERY) {
            streams.iter().for_each(Shared::save);
        }
    });
    stop
}

/// Looks after the keyboard in a thread, for as long as the command runs.
fn look_after_keyboard(window: &Arc<Window>, target: &Arc<Target>) {
    if window.has_keyboard() {
        let (window, target) = (Arc::clone(window), Arc::clone(target));
        // Without the thread a program that draws on the whole screen gets its keys only line by line.
        let _ = thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
            while target.lock().is_some() {
                window.look_after_keyboard();
                thread::sleep(TICK);
            }
            window.give_back();
        });
    }
}

/// Waits until both streams have ended. What the command has started and left behind may hold them open for as long as it
/// likes; after `patience`, or at a signal to this process, the waiting ends. The time in which somebody is slow to take
/// what there is to show does not count: without us the command itself would have waited for them.
fn drain(
    ended: &Receiver<()>,
    streams: &[Shared; 2],
    target: &Target,
    patience: Duration,
    waiting: &dyn Fn(),
) -> Option<GivenUp> {
    let (mut waited, mut told) = (Duration::ZERO, false);
    let since = Instant::now();
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
        if target.enough.load(Ordering::SeqCst) {
            return Some(GivenUp::Signal);
        }
        let open: Vec<Waits> = streams.iter().filter_map(|stream| stream.waits(TICK)).collect();
        if !open.contains(&Waits::ForReader) {
            waited += TICK;
            let all_read = open.iter().all(|waits| *waits == Waits::ForBytes) || waited >= LEAST;
            if waited >= patience && all_read {
                return Some(GivenUp::Time(patience));
            }
        }
        if !told && since.elapsed() > PATIENCE {
            told = true;
            waiting();
        }
    }
    None
}
