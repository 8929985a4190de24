//! Signed notes and the Ed25519 keys that sign them (C2SP signed-note).
//!
//! A note is text, an empty line, and signature lines `— NAME BASE64(key id || signature)`. A key is known by its name
//! and id together, and signs in one of two ways: type 0x01 signs the text itself, type 0x04 (C2SP tlog-cosignature,
//! `cosignature/v1`) signs it with the second at which a witness saw it. Ed25519 is checked strictly: no small-order
//! keys, no second encodings. Signing is deterministic (RFC 8032) and takes no randomness.

use crate::base64;
use crate::error::Error;
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The largest note that is read, in bytes; Go's `sumdb/note` has the same limit.
pub const MAX_NOTE: usize = 1_000_000;

/// The most signature lines that are read; Go's `sumdb/note` has the same limit.
pub const MAX_SIGNATURES: usize = 100;

const LINE: &str = "\u{2014} ";
const PRIVATE: &str = "PRIVATE+KEY+";

/// The name of a key, and the origin of a log: text without white space, control characters and `+`, such as
/// `example.com/ci`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 256;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        if !fits || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(Error::id("a key name (1 to 256 bytes, no white space, no +), such as example.com/ci", text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The statement of a key's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Type 0x01: over the note's text. A log signs so.
    Note,
    /// Type 0x04: over the text and the second at which it was seen. A witness signs so.
    Cosignature,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosignature => 4,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Note),
            4 => Some(Self::Cosignature),
            _ => None,
        }
    }
}

/// The text that a cosignature signs (C2SP tlog-cosignature).
fn stamped(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

fn key_id(name: &KeyName, kind: KeyKind, public: &[u8; 32]) -> [u8; 4] {
    let hasher = Sha256::new().chain_update(name.as_str()).chain_update([b'\n', kind.byte()]).chain_update(public);
    let hash: [u8; 32] = hasher.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Takes `NAME+ID+BASE64(type || 32 bytes)` apart.
fn parse_key(text: &str) -> Option<(KeyName, [u8; 4], KeyKind, [u8; 32])> {
    let mut parts = text.splitn(3, '+');
    let name = parts.next()?.parse().ok()?;
    let id = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
    let data = base64::decode(parts.next()?)?;
    let (kind, key) = data.split_first()?;
    Some((name, id.try_into().ok()?, KeyKind::of(*kind)?, key.try_into().ok()?))
}

/// A key that checks signatures. Text: `NAME+ID+BASE64(type || public key)`, the C2SP verifier key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: KeyName, kind: KeyKind, key: VerifyingKey) -> Self {
        let id = key_id(&name, kind, key.as_bytes());
        Self { name, kind, id, key }
    }

    /// Names the same public key otherwise, and gives it another kind: that is another key.
    #[must_use]
    pub fn of_kind(&self, name: KeyName, kind: KeyKind) -> Self {
        Self::new(name, kind, self.key)
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// How it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of the public key.
    pub fn public_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether these bytes are its signature of the text.
    fn judge(&self, text: &str, signature: &[u8]) -> Standing {
        self.verify(text, signature).unwrap_or(Standing::Bad)
    }

    fn verify(&self, text: &str, signature: &[u8]) -> Option<Standing> {
        let (time, signed, bytes) = match self.kind {
            KeyKind::Note => (None, text.to_owned(), signature),
            KeyKind::Cosignature => {
                let (time, bytes) = signature.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                (Some(time), stamped(time, text), bytes)
            }
        };
        let signature = ed25519_dalek::Signature::from_bytes(bytes.try_into().ok()?);
        self.key.verify_strict(signed.as_bytes(), &signature).ok().map(|()| Standing::Good { time })
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::id("a verifier key (NAME+ID+BASE64, Ed25519)", text);
        let (name, id, kind, public) = parse_key(text).ok_or_else(refuse)?;
        let key = VerifyingKey::from_bytes(&public).ok().filter(|key| !key.is_weak()).ok_or_else(refuse)?;
        let key = Self::new(name, kind, key);
        if key.id == id { Ok(key) } else { Err(refuse()) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = vec![self.kind.byte()];
        data.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&data))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A key that signs. It never shows its secret; [`Self::to_secret_text`] gives it out for the key's own file.
#[derive(Clone)]
pub struct Signing {
    verifier: VerifierKey,
    key: SigningKey,
}

impl Signing {
    /// The key of 32 secret bytes, which must be random.
    pub fn from_seed(name: KeyName, kind: KeyKind, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        Self { verifier: VerifierKey::new(name, kind, key.verifying_key()), key }
    }

    /// From `PRIVATE+KEY+NAME+ID+BASE64(type || seed)`, the form of Go's `sumdb/note`.
    ///
    /// # Errors
    /// [`Error::Text`], which does not repeat the text.
    pub fn from_secret_text(text: &str) -> Result<Self, Error> {
        let refuse = || Error::text("the private key", "expected PRIVATE+KEY+NAME+ID+BASE64, as keygen writes it");
        let (name, id, kind, seed) = text.strip_prefix(PRIVATE).and_then(parse_key).ok_or_else(refuse)?;
        let key = Self::from_seed(name, kind, &seed);
        if key.verifier.id == id { Ok(key) } else { Err(refuse()) }
    }

    /// The secret, for the key's own file; the caller keeps it from all else.
    pub fn to_secret_text(&self) -> String {
        let mut data = vec![self.verifier.kind.byte()];
        data.extend_from_slice(self.key.as_bytes());
        format!("{PRIVATE}{}+{}+{}", self.verifier.name, HEXLOWER.encode(&self.verifier.id), BASE64.encode(&data))
    }

    /// The key that checks what this one signs.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a note's text. `time` is in seconds since 1970, and is used by a cosignature only.
    pub fn sign(&self, text: &str, time: u64) -> Signature {
        let bytes = match self.verifier.kind {
            KeyKind::Note => self.key.sign(text.as_bytes()).to_bytes().to_vec(),
            KeyKind::Cosignature => {
                let signature = self.key.sign(stamped(time, text).as_bytes());
                [time.to_be_bytes().as_slice(), &signature.to_bytes()].concat()
            }
        };
        Signature { name: self.verifier.name.clone(), id: self.verifier.id, bytes }
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signing({})", self.verifier)
    }
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, data) = line.strip_prefix(LINE)?.split_once(' ')?;
        let data = base64::decode(data)?;
        let (id, bytes) = data.split_first_chunk::<4>()?;
        (!bytes.is_empty()).then_some(())?;
        Some(Self { name: name.parse().ok()?, id: *id, bytes: bytes.to_vec() })
    }

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [self.id.as_slice(), &self.bytes].concat();
        writeln!(f, "{LINE}{} {}", self.name, BASE64.encode(&data))
    }
}

/// The signatures of one key under a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No signature by it.
    Unsigned,
    /// A line that claims to be its signature and is not. The whole note is to be refused.
    Bad,
    /// Its signature; of a cosignature with the second, since 1970, at which it was made.
    Good {
        /// When, for a cosignature.
        time: Option<u64>,
    },
}

/// Text with signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A note of this text, signed by nobody yet.
    ///
    /// # Errors
    /// [`Error::Text`] if it does not end with a line feed, or has other control characters.
    pub fn new(text: String) -> Result<Self, Error> {
        let problem = if !text.ends_with('\n') {
            "its text must end with a line feed"
        } else if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            "a control character that is no line feed"
        } else {
            return Ok(Self { text, signatures: Vec::new() });
        };
        Err(Error::text("the note", problem))
    }

    /// From the whole of its bytes.
    ///
    /// # Errors
    /// [`Error::Text`] for what is no signed note, or is over a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::text("the note", problem);
        if bytes.len() > MAX_NOTE {
            return Err(refuse("over the limit of 1,000,000 bytes"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| refuse("not UTF-8"))?;
        let (_, lines) = whole.rsplit_once("\n\n").ok_or_else(|| refuse("no empty line before its signatures"))?;
        // The text keeps its own line feed, not that of the empty line.
        let mut note = Self::new(whole[..whole.len() - lines.len() - 1].to_owned())?;
        let lines = lines.strip_suffix('\n').ok_or_else(|| refuse("its last line does not end"))?;
        for line in lines.split('\n') {
            if note.signatures.len() == MAX_SIGNATURES {
                return Err(refuse("more than 100 signatures"));
            }
            let signature = Signature::parse(line).ok_or_else(|| refuse("a line that is no signature"))?;
            note.signatures.push(signature);
        }
        Ok(note)
    }

    /// The text that is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a signature.
    pub fn add(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// Signs it.
    #[must_use]
    pub fn signed(mut self, key: &Signing, time: u64) -> Self {
        let signature = key.sign(&self.text, time);
        self.add(signature);
        self
    }

    /// Finds the signatures of this key. Of several lines each must hold; the latest time counts.
    pub fn standing(&self, key: &VerifierKey) -> Standing {
        let mut found = Standing::Unsigned;
        for signature in self.signatures.iter().filter(|signature| signature.is_of(key)) {
            found = match (found, key.judge(&self.text, &signature.bytes)) {
                (_, Standing::Bad) => return Standing::Bad,
                (Standing::Good { time: old }, Standing::Good { time }) => Standing::Good { time: old.max(time) },
                (_, now) => now,
            };
        }
        found
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}
