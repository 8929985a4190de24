//! Waiting for the command: until it ends; and while it is stopped, stopping with it, so that a shell sees its job stopped.

use super::end::End;
use super::pty::Window;
use super::signals::Target;
use nix::unistd::{getpgid, getpgrp, getppid, getsid};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, wait, waitid};

/// Milliseconds of processor time, of the command and of what it waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    pub(super) user: u64,
    pub(super) system: u64,
}

/// Waits for the command to end. Whatever else ends is reaped too: as process 1 this one inherits all orphans.
pub(super) fn for_end(pid: Pid, target: &Target, window: &Window) -> (End, Option<Cpu>) {
    loop {
        // This only says that there is something to reap.
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return (End::unknown(&error.into()), None),
        }
        let mut stopped = false;
        // Reaped under the lock that signals are sent under: they never reach another process that has got its number.
        let mut target = target.lock();
        loop {
            let cpu = cpu(pid);
            match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((found, status))) if found == pid && status.stopped() => stopped = true,
                Ok(Some((found, status))) if found == pid => {
                    *target = None;
                    return (End::of(status), cpu);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        drop(target);
        if stopped {
            window.give_back();
            stop();
        }
    }
}

/// Stops this process, if a shell is there that sees it and can continue it.
pub(super) fn stop() {
    let shell = Some(getppid());
    let sees_us = getsid(shell).is_ok_and(|session| getsid(None) == Ok(session));
    if sees_us && getpgid(shell).is_ok_and(|group| group != getpgrp()) {
        let _ = kill_process(getpid(), Signal::STOP);
    }
}

/// Whether this process is still in our group. In a container the group may be one of the outside, and then its number is 0.
pub(super) fn is_in_our_group(pid: Pid) -> bool {
    getpgid(Some(nix::unistd::Pid::from_raw(pid.as_raw_pid()))).is_ok_and(|group| group == getpgrp())
}

/// The times of a process that is not reaped yet; only where the system has them under `/proc`.
fn cpu(pid: Pid) -> Option<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, in brackets, may hold anything, brackets among it. The field after it is the third.
    let fields: Vec<u64> = stat.rsplit_once(") ")?.1.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    let ticks = |own: usize, waited_for: usize| Some(fields.get(own - 3)? + fields.get(waited_for - 3)?);
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Cpu { user: ticks(14, 16)? * 1000 / per_second, system: ticks(15, 17)? * 1000 / per_second })
}
