//! A terminal that a program runs in, as under a person's hands.

use crate::common::Place;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ExitStatus};

/// How long what is waited for may take on a machine that is busy.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A program in a session of its own, whose terminal this is.
pub(crate) struct Terminal {
    keyboard: File,
    pub(crate) program: Child,
    /// What was on the screen and not waited for yet.
    screen: String,
}

impl Terminal {
    /// Runs a program in a terminal of 30 rows and 100 columns.
    pub(crate) fn run(place: &Place, program: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let own = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).unwrap();
        let mut command = place.alone("setsid");
        command.args(["--ctty", "--wait", "env", "--default-signal"]).args(program);
        command.stdin(own.try_clone().unwrap()).stdout(own.try_clone().unwrap()).stderr(own);
        Self { keyboard: File::from(keyboard), program: command.spawn().unwrap(), screen: String::new() }
    }

    pub(crate) fn size(&mut self, ws_row: u16, ws_col: u16) {
        tcsetwinsize(&self.keyboard, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What was on the screen until this text came, and the text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut piece = [0; 4096];
        loop {
            if let Some(at) = self.screen.find(text) {
                let rest = self.screen.split_off(at + text.len());
                return std::mem::replace(&mut self.screen, rest);
            }
            let mut wait = [PollFd::new(&self.keyboard, PollFlags::IN)];
            assert!(poll(&mut wait, Some(&PATIENCE)).unwrap() > 0, "{text:?} did not come: {:?}", self.screen);
            let read = self.keyboard.read(&mut piece).unwrap_or(0);
            assert!(read > 0, "{text:?} never came: {:?}", self.screen);
            self.screen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    /// The rest of what comes on the screen, and how the program ended.
    pub(crate) fn end(mut self) -> (String, ExitStatus) {
        let mut piece = [0; 4096];
        while let Ok(read) = self.keyboard.read(&mut piece) {
            if read == 0 {
                break;
            }
            self.screen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        let status = self.program.wait().unwrap();
        (self.screen, status)
    }
}
