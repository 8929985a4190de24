//! Checkpoints: a log's origin, size and root as a signed note (C2SP tlog-checkpoint), and the two texts that carry a
//! proof beside one: C2SP tlog-proof for inclusion, and the request body of C2SP tlog-witness for consistency.

use crate::base64;
use crate::error::Error;
use crate::id::{EventHash, NodeHash};
use crate::merkle::{MAX_PROOF, MAX_SIZE, ProofProblem, TreeHead};
use crate::note::{KeyName, MAX_NOTE, Note, Signing};
use data_encoding::BASE64;
use std::fmt;
use std::fmt::Write as _;

/// The text that a log signs: the first three lines of a checkpoint, and whatever lines follow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is also the name of the key that signs.
    pub origin: KeyName,
    /// Its size and root.
    pub head: TreeHead,
    /// Further lines, not empty; we write none and keep those of others.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without further lines.
    pub fn new(origin: KeyName, head: TreeHead) -> Self {
        Self { origin, head, extensions: Vec::new() }
    }

    /// From a note's text.
    ///
    /// # Errors
    /// [`Error::Text`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::text("the checkpoint", problem);
        let body = text.strip_suffix('\n').ok_or_else(|| refuse("its last line does not end"))?;
        let mut lines = body.split('\n');
        let mut next = || lines.next().ok_or_else(|| refuse("fewer than three lines"));
        let origin = next()?.parse().map_err(|_| refuse("its first line is no origin"))?;
        let size = number(next()?).ok_or_else(|| refuse("its second line is no size of a log"))?;
        let root = node(next()?).ok_or_else(|| refuse("its third line is no root"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(refuse("an empty line"));
        }
        Ok(Self { origin, head: TreeHead { size, root }, extensions })
    }

    /// Signs it.
    ///
    /// # Errors
    /// [`Error::Text`] for a further line that no note can hold.
    pub fn sign(self, keys: &[&Signing]) -> Result<SignedCheckpoint, Error> {
        let note = Note::new(self.to_string())?;
        let note = keys.iter().fold(note, |note, key| note.signed(key, 0));
        Ok(SignedCheckpoint { checkpoint: self, note })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.head.size, BASE64.encode(self.head.root.as_bytes()))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A decimal number without sign and leading zeros, up to [`MAX_SIZE`].
fn number(text: &str) -> Option<u64> {
    let exact = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    exact.then(|| text.parse().ok()).flatten().filter(|size| *size <= MAX_SIZE)
}

fn node(text: &str) -> Option<NodeHash> {
    let bytes = base64::decode(text)?;
    Some(NodeHash::from_bytes(bytes.try_into().ok()?))
}

/// A checkpoint with the note that it came in. Whether a signature on it holds, [`Note::standing`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// From the whole of its bytes.
    ///
    /// # Errors
    /// [`Error::Text`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// The checkpoint that was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with its signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds a signature, such as that of a witness.
    #[must_use]
    pub fn signed(self, key: &Signing, time: u64) -> Self {
        Self { note: self.note.signed(key, time), ..self }
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// An inclusion proof with the checkpoint that it leads to (C2SP tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The maker's note about the leaf. Nothing binds it. We put the event's reference there.
    pub extra: Option<Vec<u8>>,
    /// The leaf's place.
    pub index: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<NodeHash>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl InclusionProof {
    const HEADER: &str = "c2sp.org/tlog-proof@v1";

    /// From the whole of its bytes.
    ///
    /// # Errors
    /// [`Error::Text`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::text("the inclusion proof", problem);
        let (head, checkpoint) = split(bytes).ok_or_else(|| refuse("no checkpoint behind an empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(Self::HEADER) {
            return Err(refuse("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra =
            extra.map(|line| base64::decode(&line.as_bytes()[6..]).ok_or_else(|| refuse("extra is not base64")));
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(number);
        let index = index.ok_or_else(|| refuse("it has no index"))?;
        let path = path(lines).ok_or_else(|| refuse("a hash that is none, or too many"))?;
        Ok(Self { extra: extra.transpose()?, index, path, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// Checks that `event` is the leaf. Who signed the checkpoint is for the caller to check.
    ///
    /// # Errors
    /// The problem with the proof.
    pub fn check(&self, event: &EventHash) -> Result<(), ProofProblem> {
        self.checkpoint.checkpoint.head.check_inclusion(event, self.index, &self.path)
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Self::HEADER)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        write!(f, "index {}\n{}\n{}", self.index, lines(&self.path), self.checkpoint)
    }
}

/// A consistency proof with the newer checkpoint, as C2SP tlog-witness sends it: `old SIZE`, the hashes, an empty line,
/// the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The size of the older log.
    pub old: u64,
    /// The hashes (RFC 6962 section 2.1.2).
    pub path: Vec<NodeHash>,
    /// The newer checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl ConsistencyProof {
    /// From the whole of its bytes.
    ///
    /// # Errors
    /// [`Error::Text`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::text("the consistency proof", problem);
        let (head, checkpoint) = split(bytes).ok_or_else(|| refuse("no checkpoint behind an empty line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(number);
        let old = old.ok_or_else(|| refuse("its first line is not `old SIZE`"))?;
        let path = path(lines).ok_or_else(|| refuse("a hash that is none, or too many"))?;
        Ok(Self { old, path, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// Checks that the log of `old` is a beginning of the checkpoint's.
    ///
    /// # Errors
    /// The problem with the proof, or that it starts from another size.
    pub fn check(&self, old: &TreeHead) -> Result<(), ProofProblem> {
        if self.old != old.size {
            return Err(ProofProblem::OutOfRange);
        }
        self.checkpoint.checkpoint.head.check_consistency(old, &self.path)
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "old {}\n{}\n{}", self.old, lines(&self.path), self.checkpoint)
    }
}

/// The proof's own lines, and the bytes of the checkpoint after the first empty line.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_NOTE)?;
    let (head, checkpoint) = text.split_once("\n\n")?;
    Some((head, checkpoint.as_bytes()))
}

fn path<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<NodeHash>> {
    let path: Vec<NodeHash> = lines.take(MAX_PROOF + 1).map(node).collect::<Option<_>>()?;
    (path.len() <= MAX_PROOF).then_some(path)
}

fn lines(path: &[NodeHash]) -> String {
    path.iter().fold(String::new(), |mut out, hash| {
        let _ = writeln!(out, "{}", BASE64.encode(hash.as_bytes()));
        out
    })
}
