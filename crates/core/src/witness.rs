//! The witnesses that must have cosigned a checkpoint: a policy in the text form of C2SP tlog-policy.

use crate::checkpoint::SignedCheckpoint;
use crate::error::Error;
use crate::note::{KeyKind, Standing, VerifierKey};
use std::collections::{HashMap, HashSet};

/// The most lines of a policy that name a log, a witness or a group.
pub const MAX_ENTRIES: usize = 1000;

/// Logs, witnesses, groups of them, and the quorum.
#[derive(Clone, Debug)]
pub struct WitnessPolicy {
    logs: Vec<VerifierKey>,
    members: Vec<Member>,
    quorum: Quorum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    /// No witness is asked for.
    Nobody,
    /// The member at this place.
    Member(usize),
}

#[derive(Clone, Debug)]
enum Member {
    Witness(Box<VerifierKey>),
    /// At least so many of those that stand before it.
    Group {
        wanted: usize,
        of: Vec<usize>,
    },
}

/// The answer of witnesses to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Whether the quorum is met.
    pub quorum: bool,
    /// The names of the keys whose cosignatures hold.
    pub good: Vec<String>,
    /// The names of the keys under whose name a line stands that is not their cosignature.
    pub bad: Vec<String>,
    /// The names of the keys that signed the checkpoint as its log: they witness nothing.
    pub own: Vec<String>,
}

impl WitnessPolicy {
    /// From its text.
    ///
    /// # Errors
    /// [`Error::Text`] with the line; there is no policy that asks for less than its text does.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            let refuse = |problem: String| Error::text("the witness policy", format!("line {}: {problem}", index + 1));
            if line.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7F) {
                return Err(refuse("a control character".to_owned()));
            }
            reader.line(&words).map_err(refuse)?;
        }
        let Reader { logs, members, quorum, .. } = reader;
        let quorum = quorum.ok_or_else(|| Error::text("the witness policy", "there is no quorum line"))?;
        Ok(Self { logs, members, quorum })
    }

    /// The keys of the logs that it accepts; none if the log is known from elsewhere.
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Whether it asks for any witness.
    pub fn asks_for_witnesses(&self) -> bool {
        self.quorum != Quorum::Nobody
    }

    /// Asks what the witnesses say to this checkpoint. A bad line meets no quorum, whoever else signed, nor does the log's own
    /// key under a witness's name.
    pub fn check(&self, checkpoint: &SignedCheckpoint) -> Cosigned {
        let mut found = Cosigned { quorum: false, good: Vec::new(), bad: Vec::new(), own: Vec::new() };
        let mut seen: Vec<bool> = Vec::new();
        for member in &self.members {
            seen.push(match member {
                Member::Group { wanted, of } => of.iter().filter(|place| seen[**place]).count() >= *wanted,
                Member::Witness(key) if signed_as_log(key, checkpoint) => {
                    found.own.push(key.name().to_string());
                    false
                }
                Member::Witness(key) => match checkpoint.note().standing(key) {
                    Standing::Good { .. } => {
                        found.good.push(key.name().to_string());
                        true
                    }
                    Standing::Bad => {
                        found.bad.push(key.name().to_string());
                        false
                    }
                    Standing::Unsigned => false,
                },
            });
        }
        let met = match self.quorum {
            Quorum::Nobody => true,
            Quorum::Member(place) => seen[place],
        };
        found.quorum = met && found.bad.is_empty() && found.own.is_empty();
        found
    }
}

/// Whether a witness's key is the one that signed the checkpoint as its log.
fn signed_as_log(key: &VerifierKey, checkpoint: &SignedCheckpoint) -> bool {
    let log = key.of_kind(checkpoint.checkpoint().origin.clone(), KeyKind::Note);
    checkpoint.note().standing(&log) != Standing::Unsigned
}

#[derive(Default)]
struct Reader {
    logs: Vec<VerifierKey>,
    members: Vec<Member>,
    names: HashMap<String, usize>,
    keys: HashSet<[u8; 32]>,
    grouped: HashSet<usize>,
    quorum: Option<Quorum>,
}

impl Reader {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        if self.logs.len() + self.members.len() >= MAX_ENTRIES {
            return Err("more than 1000 entries".to_owned());
        }
        match words {
            ["log", key] | ["log", key, _] => {
                let key = Self::key(key, KeyKind::Note)?;
                if self.logs.iter().any(|log| log.public_bytes() == key.public_bytes()) {
                    return Err("this log is named before".to_owned());
                }
                if self.keys.contains(key.public_bytes()) {
                    return Err("this log's key is that of a witness".to_owned());
                }
                self.logs.push(key);
                Ok(())
            }
            ["witness", name, key] | ["witness", name, key, _] => {
                let key = Self::key(key, KeyKind::Cosignature)?;
                if self.logs.iter().any(|log| log.public_bytes() == key.public_bytes()) {
                    return Err("this witness's key is that of a log".to_owned());
                }
                if !self.keys.insert(*key.public_bytes()) {
                    return Err("this witness is named before".to_owned());
                }
                self.define(name, Member::Witness(Box::new(key)))
            }
            ["group", name, wanted, of @ ..] => {
                let of = of.iter().map(|name| self.member(name)).collect::<Result<Vec<_>, _>>()?;
                let wanted = match *wanted {
                    "any" => 1,
                    "all" => of.len(),
                    number => number.parse().map_err(|_| format!("{number:?} is not any, all or a number"))?,
                };
                if !(1..=of.len()).contains(&wanted) {
                    return Err("a group wants from 1 to as many as it has".to_owned());
                }
                self.define(name, Member::Group { wanted, of })
            }
            ["quorum", name] => {
                let quorum = if *name == "none" { Quorum::Nobody } else { Quorum::Member(self.known(name)?) };
                if self.quorum.replace(quorum).is_some() {
                    return Err("a second quorum line".to_owned());
                }
                Ok(())
            }
            _ => Err("not a log, witness, group or quorum line".to_owned()),
        }
    }

    fn key(text: &str, kind: KeyKind) -> Result<VerifierKey, String> {
        let key: VerifierKey = text.parse().map_err(|error: Error| error.to_string())?;
        if key.kind() == kind { Ok(key) } else { Err("the key is of the other kind (log or witness)".to_owned()) }
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.names.insert(name.to_owned(), self.members.len()).is_some() {
            return Err(format!("the name {name:?} is taken"));
        }
        self.members.push(member);
        Ok(())
    }

    fn known(&self, name: &str) -> Result<usize, String> {
        self.names.get(name).copied().ok_or_else(|| format!("no line before this one defines {name:?}"))
    }

    fn member(&mut self, name: &str) -> Result<usize, String> {
        let place = self.known(name)?;
        if self.grouped.insert(place) { Ok(place) } else { Err(format!("{name:?} is in a group before")) }
    }
}
