//! Starts the command as a shell would: its output goes into pipes or terminals, and a file without `#!` is a script.

use super::pty::{Pty, Window};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// The program that runs a file that the system cannot run by itself.
const SHELL: &str = "/bin/sh";
/// How many bytes of such a file are looked at: as many as shells do.
const SAMPLE: u64 = 80;

/// The terminals that the command writes to; a pipe stands where there is none.
#[derive(Debug, Default)]
pub(super) struct Terminals {
    ptys: [Option<Pty>; 2],
    pub(super) window: Arc<Window>,
}

impl Terminals {
    /// One for each stream that `wanted` says, like the terminal that the stream is shown on.
    pub(super) fn open(wanted: [bool; 2], shown: [BorrowedFd<'_>; 2]) -> io::Result<Self> {
        let mut terminals = Self::default();
        for (index, ((pty, wanted), shown)) in terminals.ptys.iter_mut().zip(wanted).zip(shown).enumerate() {
            if wanted {
                let opened = Pty::like(shown)?;
                terminals.window.follow(&opened, shown, index == 1)?;
                *pty = Some(opened);
            }
        }
        Ok(terminals)
    }

    /// The streams that have one.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let named = ["stdout", "stderr"].into_iter().zip(&self.ptys);
        named.filter_map(|(name, pty)| pty.as_ref().map(|_| name)).collect()
    }
}

/// A command that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    /// Its standard output and standard error.
    pub(super) streams: [File; 2],
    /// The shell that runs it, if the system could not.
    pub(super) shell: Option<&'static str>,
}

/// Starts a command.
pub(super) fn start(argv: &[OsString], terminals: Terminals) -> io::Result<Started> {
    let (program, arguments) = argv.split_first().ok_or(ErrorKind::NotFound)?;
    let Terminals { ptys, window: _ } = terminals;
    let mut command = Command::new(program);
    let (spawned, shell) = match spawn(command.args(arguments), &ptys) {
        Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            let script = script(program, error)?;
            (spawn(Command::new(SHELL).arg(script).args(arguments), &ptys), Some(SHELL))
        }
        spawned => (spawned, None),
    };
    let mut child = spawned?;
    let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    let mut streams = pipes.into_iter().zip(ptys).filter_map(|(pipe, pty)| match pty {
        Some(Pty { reader, terminal: _ }) => Some(reader),
        None => pipe.map(File::from),
    });
    let (Some(out), Some(err)) = (streams.next(), streams.next()) else { return Err(ErrorKind::BrokenPipe.into()) };
    Ok(Started { pid: Pid::from_child(&child), streams: [out, err], shell })
}

fn spawn(command: &mut Command, [out, err]: &[Option<Pty>; 2]) -> io::Result<Child> {
    let stdio = |pty: &Option<Pty>| match pty {
        Some(pty) => Ok(Stdio::from(pty.terminal.try_clone()?)),
        None => Ok::<_, io::Error>(Stdio::piped()),
    };
    let child = command.stdout(stdio(out)?).stderr(stdio(err)?).spawn();
    // Our own hold on the terminals, without which their end would never come.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    child
}

/// The path of a script that the system could not run; of any other file, `error` or why it is no script.
fn script(program: &OsStr, error: io::Error) -> io::Result<PathBuf> {
    let path = found(program).ok_or(error)?;
    let mut sample = Vec::new();
    File::open(&path)?.take(SAMPLE).read_to_end(&mut sample)?;
    if sample.iter().take_while(|byte| **byte != b'\n').any(|byte| *byte == 0) {
        return Err(io::Error::other("cannot execute binary file"));
    }
    // The shell takes a name that begins with a hyphen for an option.
    Ok(if path.as_os_str().as_bytes().starts_with(b"-") { Path::new(".").join(path) } else { path })
}

/// The file that a command's name stands for.
fn found(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| Path::new(".").join(folder).join(program));
    files.find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
}

/// The fd of a stream of our own.
pub(super) fn shown_on<'s>(
    stdout: &'s io::Stdout,
    stderr: &'s io::Stderr,
    both_on_stderr: bool,
) -> [BorrowedFd<'s>; 2] {
    let out = if both_on_stderr { stderr.as_fd() } else { stdout.as_fd() };
    [out, stderr.as_fd()]
}
