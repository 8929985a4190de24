//! The witness: a process that stands in the command's process group and says which signals came there.
//!
//! A signal to the group, or to all of a control group, reaches the command without our help; one to our process alone does
//! not. Nothing in a signal tells the two apart. But the witness gets the first kind and not the second: a signal that
//! it has heard is not passed on. `timeout` signals its child and then the group, systemd one process after the
//! other, so that it is asked after a moment, and asked about everything since the last time.
//!
//! It is this program again, under a name by which nobody looks for this program or for the command.

use super::signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::iterator::Signals;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The name of the witness, as its first argument and on the process list.
const NAME: &str = "signal-witness";
/// How long an answer may take on a machine that is busy; then the witness counts as gone.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// How long a signal is remembered that the witness has heard before we have.
const MEMORY: Duration = Duration::from_secs(1);

/// Signals, bit 0 for signal 0.
pub(super) type Set = u128;

/// How long it may take to leave.
const FAREWELL: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// Our end of the witness.
#[derive(Debug)]
pub(super) struct Witness {
    process: Child,
    ask: Option<ChildStdin>,
    answer: ChildStdout,
    /// The signals that it heard last and that nobody has asked about.
    unclaimed: (Set, Instant),
}

impl Witness {
    /// Starts it, in this process's group.
    pub(super) fn start() -> io::Result<Self> {
        let this = Path::new("/proc/self/exe");
        let this =
            if this.exists() { this.to_owned() } else { std::env::current_exe().unwrap_or_else(|_| PathBuf::new()) };
        let mut command = Command::new(this);
        command.arg0(NAME).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let (Some(ask), Some(answer)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { process, ask: Some(ask), answer, unclaimed: (0, Instant::now()) })
    }

    /// Waits until it listens. What it heard before is forgotten: the command is not there yet.
    pub(super) fn is_ready(&mut self) -> bool {
        self.read().is_ok()
    }

    /// Which of these signals came to the command's group since the last question; `None` if nobody can say any more.
    pub(super) fn heard(&mut self, signals: Set) -> Option<Set> {
        self.ask.as_mut()?.write_all(b"?").ok()?;
        let (earlier, since) = self.unclaimed;
        let earlier = if since.elapsed() < MEMORY { earlier } else { 0 };
        let heard = self.read().ok()?;
        self.unclaimed = (heard & !signals, Instant::now());
        Some((heard | earlier) & signals)
    }

    fn read(&mut self) -> io::Result<Set> {
        while let Err(error) = poll(&mut [PollFd::new(&self.answer, PollFlags::IN)], Some(&PATIENCE)).and_then(some) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        let mut set = [0; size_of::<Set>()];
        self.answer.read_exact(&mut set)?;
        Ok(Set::from_le_bytes(set))
    }
}

/// It leaves when nobody can ask any more; and before us, so that nothing of ours is left in the command's group.
impl Drop for Witness {
    fn drop(&mut self) {
        self.ask = None;
        let mut gone = [PollFd::new(&self.answer, PollFlags::empty())];
        if poll(&mut gone, Some(&FAREWELL)).is_ok_and(|gone| gone > 0) {
            let _ = self.process.wait();
        }
    }
}

fn some(ready: usize) -> rustix::io::Result<()> {
    if ready > 0 { Ok(()) } else { Err(rustix::io::Errno::TIMEDOUT) }
}

/// Whether this process was started as a witness.
pub(crate) fn is_asked() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
}

/// Answers as the witness, until whoever asks is gone.
pub(crate) fn run() -> ExitCode {
    match listen() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn listen() -> io::Result<()> {
    let mut signals = Signals::new(std::iter::empty::<i32>())?;
    for signal in signals::all() {
        // A signal that the C library keeps to itself cannot be caught.
        let _ = signals.add_signal(signal);
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"signal-witness");
    // Not to hold up whoever unmounts the command's folder.
    let _ = std::env::set_current_dir("/");
    let (mut asked, mut answer) = (io::stdin().lock(), io::stdout().lock());
    let mut heard: Set = 0;
    loop {
        answer.write_all(&heard.to_le_bytes())?;
        answer.flush()?;
        let mut question = [0];
        match asked.read_exact(&mut question) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            done => done?,
        }
        heard = signals.pending().fold(0, |heard, signal| heard | signals::bit(signal));
    }
}
