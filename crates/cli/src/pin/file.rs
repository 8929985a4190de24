//! The file of pins: read whole, changed under a lock, and replaced whole.

use super::Pin;
use crate::context::show;
use crate::input;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The largest file of pins that is read.
const LARGEST: u64 = 4 << 20;
/// How long the lock is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lines of the file.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    lines: Vec<Line>,
    /// What of the file could not be understood.
    pub(crate) problems: Vec<String>,
}

#[derive(Debug)]
enum Line {
    Pin(Pin),
    /// A line that is no pin; it is kept as it is.
    Other(Vec<u8>),
}

/// A result whose error is told to a person.
type Told<T> = Result<T, String>;

impl Pins {
    /// The pins that can be read; what cannot be is among the problems.
    pub(crate) fn read() -> Self {
        place().and_then(|file| load(&file)).unwrap_or_else(|problem| Self {
            problems: vec![format!("earlier pins are not known: {problem}")],
            ..Self::default()
        })
    }

    /// Changes the pins under the lock. `change` is given what is there now, and says whether it changed anything.
    pub(crate) fn change(change: impl FnOnce(&mut Self) -> bool) -> Told<()> {
        let file = place()?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| at(folder, &error))?;
        let _lock = lock(&file)?;
        let mut pins = load(&file)?;
        if change(&mut pins) { store(&file, folder, &pins) } else { Ok(()) }
    }

    /// Every pin.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.lines.iter().filter_map(|line| match line {
            Line::Pin(pin) => Some(pin),
            Line::Other(_) => None,
        })
    }

    /// The pins of a ledger, by any of its names.
    pub(crate) fn of<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a Pin> {
        self.iter().filter(|pin| names.contains(&pin.path))
    }

    /// Sets a pin, unless one of that path has as many events or more; whether anything is another.
    pub(super) fn raise(&mut self, pin: Pin) -> bool {
        let mut pins = self.lines.iter_mut().filter_map(|line| match line {
            Line::Pin(pin) => Some(pin),
            Line::Other(_) => None,
        });
        if let Some(known) = pins.find(|known| known.path == pin.path && known.head.size >= pin.head.size) {
            // The log was given its name since.
            let is_named = known.head == pin.head && known.origin.is_none() && pin.origin.is_some();
            if is_named {
                known.origin = pin.origin;
            }
            return is_named;
        }
        self.remove(std::slice::from_ref(&pin.path));
        self.lines.push(Line::Pin(pin));
        true
    }

    /// Removes the pins of these names; how many there were.
    pub(crate) fn remove(&mut self, names: &[String]) -> usize {
        let before = self.lines.len();
        self.lines.retain(|line| !matches!(line, Line::Pin(pin) if names.contains(&pin.path)));
        before - self.lines.len()
    }
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", show(path))
}

/// Where the pins lie. A link in the place of the file leads there: what is written replaces the file and not the link.
fn place() -> Told<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    let file = state.ok_or("neither XDG_STATE_HOME nor HOME names a folder")?.join("receipt/pins");
    match file.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => file.canonicalize().map_err(|error| at(&file, &error)),
        _ => Ok(file),
    }
}

fn load(file: &Path) -> Told<Pins> {
    let mut bytes = Vec::new();
    match file.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pins::default()),
        _ => {
            let opened = input::plain_file(file).map_err(|error| error.to_string())?;
            opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| at(file, &error))?;
        }
    }
    if bytes.len() as u64 > LARGEST {
        return Err(at(file, &format!("it is over the limit of {LARGEST} bytes")));
    }
    let mut pins = Pins::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        if let Some(pin) = std::str::from_utf8(line).ok().and_then(Pin::parse) {
            pins.lines.push(Line::Pin(pin));
        } else {
            pins.problems.push(at(file, &format!("line {} is no pin, and is not looked at", index + 1)));
            pins.lines.push(Line::Other(line.to_owned()));
        }
    }
    Ok(pins)
}

/// The lock of the file, held while the value lives. It is a file of its own, as the file of pins is replaced.
fn lock(file: &Path) -> Told<File> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let failed = |error: io::Error| at(&path, &error);
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let mut how = OpenOptions::new();
    let lock =
        how.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(&path).map_err(failed)?;
    let start = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => return Err(at(&path, &"somebody else holds the lock")),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn store(file: &Path, folder: &Path, pins: &Pins) -> Told<()> {
    let failed = |error: io::Error| at(file, &error);
    let mut text = Vec::new();
    for line in &pins.lines {
        match line {
            Line::Pin(pin) => text.extend_from_slice(pin.line().as_bytes()),
            Line::Other(line) => text.extend_from_slice(line),
        }
        text.push(b'\n');
    }
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(&text).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
    new.persist(file).map_err(|error| failed(error.error))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
