//! Pseudoterminals: where people look at a terminal, the command writes to one too, so that its colours and its progress stay.
//!
//! The command's input and its controlling terminal stay what they are: keys, Ctrl-C and job control reach it as ever. Only
//! what it writes goes through a terminal of its own, one for each stream, so that the streams stay apart. That terminal
//! changes no byte: what the command wrote, what is shown and what is kept are the same.

use nix::unistd::getpgrp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A terminal that the command writes to.
#[derive(Debug)]
pub(super) struct Pty {
    /// The end that the command writes to.
    pub(super) terminal: OwnedFd,
    /// Where that is read.
    pub(super) reader: File,
}

impl Pty {
    /// A terminal of the size and the settings of the one that is shown on, if that is one.
    pub(super) fn like(shown: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        #[cfg(target_os = "linux")]
        let flags = flags | OpenptFlags::CLOEXEC;
        let reader = openpt(flags)?;
        grantpt(&reader)?;
        unlockpt(&reader)?;
        let name = ptsname(&reader, Vec::new())?;
        let terminal = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut settings = tcgetattr(if isatty(shown) { shown } else { terminal.as_fd() })?;
        settings.output_modes -= OutputModes::OPOST;
        tcsetattr(&terminal, OptionalActions::Now, &settings)?;
        if let Ok(size) = tcgetwinsize(shown) {
            tcsetwinsize(&terminal, size)?;
        }
        Ok(Self { terminal, reader: File::from(reader) })
    }
}

/// The command's terminals while it runs: they follow the one that they are shown on, and its keyboard follows them.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<Vec<Followed>>);

#[derive(Debug)]
struct Followed {
    /// Where what the command writes to its terminal is read; its settings are those of the terminal.
    terminal: File,
    /// The terminal of ours that it is shown on.
    shown: OwnedFd,
    /// The settings that it had at first.
    first: Termios,
    /// Whether a pager reads its keys there: it takes the terminal that it complains on for the one of its user.
    has_keys: bool,
    /// The settings that ours had before the command changed them.
    before: Option<Termios>,
}

impl Window {
    /// Lets a terminal follow the one that it is shown on.
    pub(super) fn follow(&self, pty: &Pty, shown: BorrowedFd<'_>, has_keys: bool) -> io::Result<()> {
        let first = tcgetattr(&pty.terminal)?;
        let (terminal, shown) = (pty.reader.try_clone()?, shown.try_clone_to_owned()?);
        self.lock().push(Followed { terminal, shown, first, has_keys, before: None });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives them the size that the other has now; says whether there are any.
    pub(super) fn resize(&self) -> bool {
        let all = self.lock();
        for Followed { terminal, shown, .. } in all.iter() {
            if let Ok(size) = tcgetwinsize(shown) {
                let _ = tcsetwinsize(terminal, size);
            }
        }
        !all.is_empty()
    }

    /// Whether there is a keyboard to look after.
    pub(super) fn has_keyboard(&self) -> bool {
        self.lock().iter().any(|one| isatty(&one.shown))
    }

    /// Looks after the keyboard: a program that wants its keys one by one, and unseen, says so to the terminal that it
    /// writes to, and means the one that the keys come from.
    pub(super) fn look_after_keyboard(&self) {
        for one in self.lock().iter_mut() {
            one.mirror();
        }
    }

    /// Our terminal with its own settings again, as whoever comes next expects it.
    pub(super) fn give_back(&self) {
        self.lock().iter_mut().for_each(Followed::give_back);
    }
}

impl Followed {
    fn mirror(&mut self) {
        let Ok(now) = tcgetattr(&self.terminal) else { return };
        // Whoever is not in the foreground is stopped where it touches the terminal.
        if !tcgetpgrp(&self.shown).is_ok_and(|group| group.as_raw_pid() == getpgrp().as_raw()) {
            return;
        }
        if now.local_modes == self.first.local_modes && now.input_modes == self.first.input_modes {
            return self.give_back();
        }
        let Ok(mut ours) = tcgetattr(&self.shown) else { return };
        let wanted = (now.local_modes, now.input_modes);
        if (ours.local_modes, ours.input_modes) != wanted {
            self.before.get_or_insert_with(|| ours.clone());
            (ours.local_modes, ours.input_modes) = wanted;
            ours.special_codes = now.special_codes.clone();
            let _ = tcsetattr(&self.shown, OptionalActions::Now, &ours);
        }
        if self.has_keys && !now.local_modes.contains(LocalModes::ICANON) {
            let _ = self.pass_keys();
        }
    }

    /// Passes the keys that were pressed to whoever reads them from its own terminal.
    fn pass_keys(&mut self) -> io::Result<()> {
        let mut keys = [0; 256];
        while poll(&mut [PollFd::new(&self.shown, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0 {
            match rustix::io::read(&self.shown, &mut keys)? {
                0 => break,
                count => self.terminal.write_all(&keys[..count])?,
            }
        }
        Ok(())
    }

    fn give_back(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(&self.shown, OptionalActions::Now, &before);
        }
    }
}
