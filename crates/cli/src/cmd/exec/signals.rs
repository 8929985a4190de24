//! Signals: this process survives those that would end it, and passes on to the command what the command did not get itself.

use super::pty::Window;
use super::wait;
use super::witness::{Set, Witness};
use rustix::process::{Pid, Signal, kill_process};
use rustix_libc_wrappers::process::SignalExt;
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP,
    SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long whoever signals one process after the other may take from us to the command.
const GRACE: Duration = Duration::from_millis(100);

/// The signals that end a process that does not expect them, those that stop it, and those that only tell it something. Not
/// among them are those of a process's own faults.
pub(super) fn all() -> impl Iterator<Item = i32> {
    let named = [
        SIGHUP, SIGINT, SIGQUIT, SIGTRAP, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGTSTP, SIGCONT, SIGURG,
        SIGXCPU, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGSYS,
    ];
    #[cfg(target_os = "linux")]
    let own = [Signal::POWER.as_raw(), Signal::STKFLT.as_raw()].into_iter().chain(real_time());
    #[cfg(not(target_os = "linux"))]
    let own = std::iter::empty();
    named.into_iter().chain(own)
}

/// The real-time signals, but for those that the C library uses.
#[cfg(target_os = "linux")]
fn real_time() -> impl Iterator<Item = i32> {
    Signal::rt_min().as_raw()..=Signal::rt_max().as_raw()
}

/// A set of one signal.
pub(super) fn bit(signal: i32) -> Set {
    u32::try_from(signal).ok().and_then(|signal| 1_u128.checked_shl(signal)).unwrap_or(0)
}

/// Whether it only tells something to a process that does not expect it.
fn is_harmless(signal: i32) -> bool {
    matches!(signal, SIGCONT | SIGURG | SIGWINCH)
}

/// Whom signals are passed on to.
#[derive(Debug, Default)]
pub(super) struct Target {
    pid: Mutex<Option<Pid>>,
    /// A signal came when the command had ended.
    pub(super) enough: AtomicBool,
}

impl Target {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `heard` says whether the signal came to our whole group.
    fn pass_on(&self, signal: i32, heard: bool) {
        let pid = self.lock();
        match *pid {
            // It came to the command too, if the command is still in our group.
            Some(pid) if heard && wait::is_in_our_group(pid) => {}
            Some(pid) => {
                // It may have ended just now; then there is nothing to pass on.
                let _ = Signal::from_raw(signal).map(|signal| kill_process(pid, signal));
            }
            None if signal == SIGTSTP => wait::stop(),
            None if is_harmless(signal) => {}
            None => self.enough.store(true, Ordering::SeqCst),
        }
    }
}

/// The signals that would end this process. From [`Signals::catch`] on none of them does: the run is to be finalized.
#[derive(Debug)]
pub(super) struct Signals {
    caught: SignalsInfo<WithOrigin>,
    witness: Arc<Mutex<Option<Witness>>>,
}

impl Signals {
    /// Catches them, but for those that whoever started us wants ignored, as `nohup` does.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored_signals();
        // Not to die of a file that has grown to its limit, but to be told; and to be able to wait for the command even
        // where its exit was to be ignored.
        for signal in [SIGXFSZ, SIGCHLD] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        let caught = SignalsInfo::new(std::iter::empty::<i32>())?;
        for signal in all().filter(|signal| ignored & bit(*signal) == 0) {
            caught.add_signal(signal)?;
        }
        // Without a witness it is known of a terminal's signals that the command got them, and guessed of the others that
        // it did not.
        Ok(Self { caught, witness: Arc::new(Mutex::new(Witness::start().ok())) })
    }

    /// To be called just before the command is started: gives the signals that came until now, of which the command can know
    /// nothing.
    pub(super) fn until_now(&mut self) -> Vec<i32> {
        let mut witness = lock(&self.witness);
        if witness.as_mut().is_some_and(|witness| !witness.is_ready()) {
            *witness = None;
        }
        let early = self.caught.pending().map(|origin| origin.signal).filter(|signal| !is_harmless(*signal)).collect();
        if let Some(witness) = witness.as_mut() {
            let _ = witness.heard(Set::MAX);
        }
        early
    }

    /// Passes them on from now on, the early ones first; gives whom to dismiss when the command has ended.
    pub(super) fn pass_on_to(self, target: &Arc<Target>, window: &Arc<Window>, early: &[i32]) -> Dismissal {
        for signal in early {
            target.pass_on(*signal, false);
        }
        let target = Arc::clone(target);
        let window = Arc::clone(window);
        let dismissal = Dismissal(Arc::clone(&self.witness));
        let thread = thread::Builder::new().name("signals".to_owned());
        // Without the thread no signal is passed on and none is deadly: the recording goes on.
        let _ = thread.spawn(move || self.pass_on(&target, &window));
        dismissal
    }

    /// Which of these the witness heard; one that does not answer is not asked again.
    fn heard(&self, signals: Set) -> Option<Set> {
        let mut witness = lock(&self.witness);
        let heard = witness.as_mut()?.heard(signals);
        if heard.is_none() {
            *witness = None;
        }
        heard
    }

    fn pass_on(mut self, target: &Target, window: &Window) {
        loop {
            let mut came: Vec<Origin> = self.caught.wait().collect();
            let runs = target.lock().is_some();
            if runs && !came.is_empty() {
                thread::sleep(GRACE);
                came.extend(self.caught.pending());
            }
            let wanted = came.iter().fold(0, |set, origin| set | bit(origin.signal));
            let heard = if runs { self.heard(wanted) } else { None };
            let mut passed_on = 0;
            for origin in came.into_iter().filter(is_for_the_command) {
                let signal = bit(origin.signal);
                let is_first = passed_on & signal == 0;
                passed_on |= signal;
                let by_kernel = matches!(origin.cause, Cause::Kernel);
                let heard = heard.map_or(by_kernel, |heard| heard & signal != 0);
                // The command must look at its own terminal once more, now that it has the new size.
                let heard = heard && !(origin.signal == SIGWINCH && window.resize());
                if is_first {
                    target.pass_on(origin.signal, heard);
                }
            }
        }
    }
}

fn lock(witness: &Mutex<Option<Witness>>) -> MutexGuard<'_, Option<Witness>> {
    witness.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The witness, which is not needed when the command has ended.
pub(super) struct Dismissal(Arc<Mutex<Option<Witness>>>);

impl Drop for Dismissal {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

/// Whether a signal is for the command too. The kernel tells a process about itself, such as that its processor time is over,
/// and that is no message for another one.
fn is_for_the_command(origin: &Origin) -> bool {
    let by_terminal = matches!(origin.signal, SIGINT | SIGQUIT | SIGHUP | SIGTSTP | SIGCONT | SIGWINCH);
    by_terminal || !matches!(origin.cause, Cause::Kernel)
}

/// The signals that this process ignores; only where the system tells.
fn ignored_signals() -> Set {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| Set::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0) << 1
}
