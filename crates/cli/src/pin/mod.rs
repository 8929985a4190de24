//! The pin: what this user last verified of each ledger, kept in the user's state folder like a known_hosts line.
//!
//! A line is `SIZE ROOT ORIGIN SINCE PATH`, the origin `-` if the log has no name yet; lines of before dates were kept
//! have no `SINCE`. A ledger is known by its path as it was named and by the path that leads to, so that a link put in
//! the place of either is not taken for a ledger never seen. The folder is `$XDG_STATE_HOME/receipt`, else
//! `~/.local/state/receipt` (XDG Base Directory Specification).
//!
//! Whoever changes the file holds a lock, reads it again under the lock, and moves no pin back: verifies that overlap
//! lose nothing of each other, whichever ends first. A file that cannot be read or written stops no verify: the verdict
//! is given, and a warning.

mod file;
mod names;

pub(crate) use file::Pins;
pub(crate) use names::names;

use crate::context::Context;
use receipt_kernel::clock::{Clock, SystemClock};
use receipt_kernel::core::id::NodeHash;
use receipt_kernel::core::merkle::TreeHead;
use receipt_kernel::core::note::KeyName;
use receipt_kernel::{Object, Pinned, Report, Timestamp, Value};
use std::path::Path;

/// What was verified of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) head: TreeHead,
    pub(crate) origin: Option<KeyName>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) path: String,
}

impl Pin {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let size = words.next()?.parse().ok()?;
        let root: NodeHash = words.next()?.parse().ok()?;
        let origin = match words.next()? {
            "-" => None,
            name => Some(name.parse().ok()?),
        };
        let rest = words.next()?;
        // A path of ours begins with a slash, and a date does not.
        let (since, path) = match rest.split_once(' ') {
            Some((since, path)) if !rest.starts_with('/') => (Some(Timestamp::parse(since)?), path),
            _ => (None, rest),
        };
        Some(Self { head: TreeHead { size, root }, origin, since, path: path.to_owned() })
    }

    fn line(&self) -> String {
        let origin = self.origin.as_ref().map_or("-", KeyName::as_str);
        let since = self.since.map(|since| format!("{since} ")).unwrap_or_default();
        format!("{} {} {origin} {since}{}", self.head.size, self.head.root, self.path)
    }

    /// How a report speaks of it.
    fn name(&self) -> String {
        format!("the pin of {}", self.near())
    }

    /// Its path as a person in this folder would name it.
    fn near(&self) -> &str {
        let here = std::env::current_dir().unwrap_or_default();
        Path::new(&self.path).strip_prefix(here).ok().and_then(Path::to_str).unwrap_or(&self.path)
    }

    fn since(&self) -> String {
        self.since.map_or("an unknown day".to_owned(), |since| since.to_string())
    }
}

/// The command that forgets the pin of a path.
fn forget(path: &str) -> String {
    format!("receipt pin forget {}", quoted(path))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%,:".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// What became of what was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// It is pinned, or more than it.
    Yes,
    /// Another verify has pinned meanwhile what this one was not held against.
    Changed,
}

/// The pins of one ledger, while it is verified.
#[derive(Debug)]
pub(crate) struct Pinning {
    names: Vec<String>,
    known: Vec<Pin>,
    /// Why a pin is not known, or was not remembered.
    pub(crate) warnings: Vec<String>,
}

impl Pinning {
    /// Of a ledger that is neither held against what was verified before, nor remembered.
    pub(crate) const fn off() -> Self {
        Self { names: Vec::new(), known: Vec::new(), warnings: Vec::new() }
    }

    /// Of the ledger at this path.
    pub(crate) fn of(ledger: &Path) -> Self {
        let mut pinning = Self { names: names(ledger), ..Self::off() };
        if pinning.names.is_empty() {
            pinning.warnings.push("this ledger is not pinned: its path cannot stand on a line".to_owned());
        } else {
            pinning.read();
        }
        pinning
    }

    /// Reads the pins again.
    pub(crate) fn read(&mut self) {
        let pins = Pins::read();
        self.known = pins.of(&self.names).cloned().collect();
        self.warnings = pins.problems;
    }

    /// What a pin is to a person, by the name that a report has for it.
    pub(crate) fn since(&self, anchor: &str) -> Option<String> {
        let pin = self.known.iter().find(|pin| pin.name() == anchor)?;
        Some(format!("your verify of {}", pin.since()))
    }

    /// The pins as anchors.
    pub(crate) fn anchors(&self) -> Vec<Pinned> {
        let pinned = |pin: &Pin| Pinned { name: pin.name(), origin: pin.origin.clone(), head: pin.head };
        self.known.iter().map(pinned).collect()
    }

    /// Pins what was verified, by each name.
    pub(crate) fn remember(&mut self, origin: Option<&KeyName>, head: TreeHead) -> Remembered {
        if self.names.is_empty() {
            return Remembered::Yes;
        }
        let mut remembered = Remembered::Yes;
        let changed = Pins::change(|pins| {
            let newer =
                |pin: &&Pin| !self.known.contains(pin) && (pin.head.size, pin.head.root) != (head.size, head.root);
            if pins.of(&self.names).filter(newer).any(|pin| pin.head.size <= head.size) {
                remembered = Remembered::Changed;
                return false;
            }
            let since = Some(SystemClock.now());
            let pin = |path: &String| Pin { head, origin: origin.cloned(), since, path: path.clone() };
            self.names.iter().fold(false, |any, path| pins.raise(pin(path)) | any)
        });
        if let Err(problem) = changed {
            self.warnings.push(format!("what was verified could not be pinned: {problem}"));
        }
        remembered
    }

    /// Notes that others kept on pinning while this ledger was verified.
    pub(crate) fn give_up(&mut self) {
        let problem = "not pinned: others verified this ledger at the same time; the next verify pins it";
        self.warnings.push(problem.to_owned());
    }

    /// The pins that a report speaks against.
    fn fired<'a>(&'a self, report: &'a Report) -> impl Iterator<Item = &'a Pin> {
        let speaks = |pin: &&Pin| {
            let name = format!("{} ", pin.name());
            let reasons =
                report.checks.iter().filter(|check| check.verdict.is_failure()).flat_map(|check| &check.reasons);
            reasons.into_iter().any(|reason| reason.msg.starts_with(&name))
        };
        self.known.iter().filter(speaks)
    }

    /// Says of each pin that fired since when it stands, and how to forget it.
    pub(crate) fn lines(&self, report: &Report) -> Vec<String> {
        let line = |pin: &Pin| {
            format!(
                "the pin fired: since {} you have verified {} events of {}; if that ledger was replaced on purpose: {}",
                pin.since(),
                pin.head.size,
                pin.near(),
                forget(pin.near())
            )
        };
        self.fired(report).map(line).collect()
    }

    /// The pins as a report has them in JSON.
    pub(crate) fn to_value(&self, report: &Report) -> Value {
        let fired: Vec<&Pin> = self.fired(report).collect();
        let value = |pin: &Pin| {
            let mut object = pin.to_object();
            object.insert("fired", fired.contains(&pin));
            object.insert("forget", forget(&pin.path));
            Value::from(object)
        };
        Value::Array(self.known.iter().map(value).collect())
    }

    /// Tells the warnings to a person; in JSON they are part of the answer.
    pub(crate) fn warn(&self, context: &Context) {
        self.warnings.iter().for_each(|warning| context.warn(warning));
    }
}

impl Pin {
    /// As JSON.
    pub(crate) fn to_object(&self) -> Object {
        Object::from_iter([
            ("size", Value::from(self.head.size)),
            ("root", self.head.root.to_hex().into()),
            ("origin", Value::from(self.origin.as_ref().map(KeyName::as_str))),
            ("since", Value::from(self.since.map(|since| since.to_string()))),
            ("ledger", self.path.clone().into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_forms_are_read_and_written_as_they_were() {
        let root = "ab".repeat(32);
        for line in [
            format!("36 {root} - /srv/a b/ledger.db"),
            format!("36 {root} example.com/ci /srv/ledger.db"),
            format!("36 {root} example.com/ci 2026-11-28T16:00:00+00:00 /srv/a b/ledger.db"),
        ] {
            assert_eq!(Pin::parse(&line).map(|pin| pin.line()), Some(line));
        }
        for line in ["", "36", "36 abc - /x", "x y z w"] {
            assert_eq!(Pin::parse(line), None);
        }
    }

    #[test]
    fn a_path_is_quoted_for_a_shell() {
        assert_eq!(quoted("/srv/ledger.db"), "/srv/ledger.db");
        assert_eq!(quoted("/it's $here"), r"'/it'\''s $here'");
    }
}
