//! Sealed evidence: encrypted to public keys, so that the machine that records can write what it cannot read.
//!
//! The format is age's, version 1 (C2SP `age`), to X25519 and SSH recipients; the `age` program opens it. What is
//! encrypted is the evidence and, behind it, [`TRAILER`] bytes: a line feed, `receipt-seal-1`, a random salt and
//! SHA-256(salt ‖ SHA-256(evidence)) in hexadecimal, and a line feed. Whoever opens the evidence can show by the salt that it is
//! what was sealed; whoever cannot open it learns nothing about it, as no digest of it stands outside.

use crate::error::{Error, Result};
use crate::store::StoreError;
use data_encoding::HEXLOWER;
use receipt_core::id::BlobHash;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Read, Write};

const MARK: &[u8] = b"\nreceipt-seal-1 ";

/// How many bytes stand behind the evidence inside the ciphertext.
pub const TRAILER: usize = MARK.len() + 64 + 1 + 64 + 1;

#[derive(Clone)]
enum Key {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

/// Public keys that evidence is sealed to: at least one.
#[derive(Clone)]
pub struct Recipients {
    names: Vec<String>,
    keys: Vec<Key>,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.names).finish()
    }
}

impl Recipients {
    /// From lines such as `age1…`, `ssh-ed25519 …` and `ssh-rsa …`; empty lines and those that begin with # are passed
    /// over.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] for any other line; [`Error::NoRecipient`] where there is none.
    pub fn parse<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Self> {
        let (mut names, mut keys) = (Vec::new(), Vec::new());
        for line in lines.into_iter().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let bad = |problem: &str| Error::BadRecipient { problem: problem.to_owned() };
            if line.contains("-SECRET-") || line.starts_with("-----") {
                return Err(bad("that is a private key; a recipient is the public one"));
            }
            let x25519 = line.parse().map(Key::X25519).ok();
            let key = x25519.or_else(|| line.parse().map(Key::Ssh).ok());
            keys.push(key.ok_or_else(|| bad("expected age1…, ssh-ed25519 … or ssh-rsa …, and no other kind of key"))?);
            names.push(super::name_of(line));
        }
        if keys.is_empty() { Err(Error::NoRecipient) } else { Ok(Self { names, keys }) }
    }

    /// The public keys, as text.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Seals bytes that are in memory.
    ///
    /// # Errors
    /// Where the machine has no randomness.
    pub fn encrypt(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let failed = |source: io::Error| Error::from(StoreError::io("age", source));
        let mut sealer = self.seal(Vec::new()).map_err(failed)?;
        sealer.push(bytes).map_err(failed)?;
        Ok(sealer.finish().map_err(failed)?.0)
    }

    /// Begins to seal into `out`.
    ///
    /// # Errors
    /// Where `out` cannot be written or the machine has no randomness.
    pub(crate) fn seal<W: Write>(&self, out: W) -> io::Result<Sealer<W>> {
        let keys = self.keys.iter().map(|key| match key {
            Key::X25519(key) => key as &dyn age::Recipient,
            Key::Ssh(key) => key as &dyn age::Recipient,
        });
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
        let encryptor = age::Encryptor::with_recipients(keys).map_err(|error| io::Error::other(error.to_string()))?;
        let stream = encryptor.wrap_output(Hashed { out, hasher: Sha256::new(), len: 0 })?;
        Ok(Sealer { stream, plain: Sha256::new(), salt })
    }
}

/// Hashes and counts what goes through it.
struct Hashed<W> {
    out: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Evidence on its way into a ciphertext.
pub(crate) struct Sealer<W: Write> {
    stream: age::stream::StreamWriter<Hashed<W>>,
    plain: Sha256,
    salt: [u8; 32],
}

impl<W: Write> fmt::Debug for Sealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl<W: Write> Sealer<W> {
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.plain.update(piece);
        self.stream.write_all(piece)
    }

    /// What was written to, the address of the ciphertext, and its length.
    pub(crate) fn finish(mut self) -> io::Result<(W, BlobHash, u64)> {
        self.stream.write_all(&trailer(&self.salt, self.plain))?;
        let Hashed { out, hasher, len } = self.stream.finish()?;
        Ok((out, BlobHash::from_bytes(hasher.finalize().into()), len))
    }
}

/// Private keys that open sealed evidence.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// From the text of an age identity file, or of an SSH private key without a passphrase.
    ///
    /// # Errors
    /// [`Error::BadIdentity`], which says nothing of what the text was.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let bad = |problem: &str| Error::BadIdentity { problem: problem.to_owned() };
        if text.starts_with(b"-----BEGIN") {
            let identity =
                age::ssh::Identity::from_buffer(text, None).map_err(|_| bad("it is no SSH key that is known"))?;
            return match identity {
                age::ssh::Identity::Unencrypted(_) => Ok(Self(vec![Box::new(identity)])),
                age::ssh::Identity::Encrypted(_) => Err(bad("the SSH key has a passphrase: use the age program")),
                age::ssh::Identity::Unsupported(_) => Err(bad("that kind of SSH key is not supported")),
            };
        }
        let file = age::IdentityFile::from_buffer(text).map_err(|_| bad("it is no age identity file"))?;
        let identities = file.into_identities().map_err(|_| bad("it holds a key that cannot be used"))?;
        if identities.is_empty() { Err(bad("there is no private key in it")) } else { Ok(Self(identities)) }
    }
}

/// Opens a ciphertext into `out` and checks it against its commitment, in memory that does not grow with it. What is
/// written is to be thrown away where this fails: open it into [`io::sink`] first.
///
/// # Errors
/// [`Error::NotOpened`] where no identity fits, the ciphertext was changed, or what it holds was not sealed here;
/// [`Error::Io`] where `out` cannot be written.
pub fn open(ciphertext: impl Read, identities: &Identities, out: &mut dyn Write) -> Result<u64> {
    let failed = |problem: String| Error::NotOpened { problem };
    let decryptor = age::Decryptor::new(ciphertext).map_err(|error| failed(unopened(&error)))?;
    let keys = identities.0.iter().map(|identity| identity.as_ref() as &dyn age::Identity);
    let mut plain = decryptor.decrypt(keys).map_err(|error| failed(unopened(&error)))?;
    let mut buffer = vec![0; (64 << 10) + TRAILER];
    let (mut kept, mut len) = (0, 0);
    let mut hasher = Sha256::new();
    loop {
        let read = plain.read(&mut buffer[kept..]).map_err(|error| failed(error.to_string()))?;
        kept += read;
        if read == 0 {
            break;
        }
        let ready = kept.saturating_sub(TRAILER);
        if ready > 0 {
            hasher.update(&buffer[..ready]);
            out.write_all(&buffer[..ready]).map_err(output)?;
            buffer.copy_within(ready..kept, 0);
            (kept, len) = (TRAILER, len + ready as u64);
        }
    }
    let salt = buffer[..kept].strip_prefix(MARK).and_then(|rest| HEXLOWER.decode(rest.get(..64)?).ok());
    match salt {
        Some(salt) if trailer(&salt, hasher) == buffer[..kept] => Ok(len),
        _ => Err(failed("what it holds was not sealed here, or is not what was sealed".to_owned())),
    }
}

/// Why a ciphertext does not open, for whoever holds the wrong key or the wrong evidence.
fn unopened(error: &age::DecryptError) -> String {
    use age::DecryptError::{InvalidHeader, InvalidMac, Io, NoMatchingKeys, UnknownFormat};
    match error {
        NoMatchingKeys => "it was sealed to other keys than the one given".to_owned(),
        Io(_) | InvalidHeader | UnknownFormat => {
            "it is not sealed: without an identity it is written as it is".to_owned()
        }
        InvalidMac => "its ciphertext was changed".to_owned(),
        error => error.to_string(),
    }
}

/// What stands behind the evidence.
fn trailer(salt: &[u8], plain: Sha256) -> Vec<u8> {
    let commitment = Sha256::new_with_prefix(salt).chain_update(plain.finalize()).finalize();
    [MARK, HEXLOWER.encode(salt).as_bytes(), b" ", HEXLOWER.encode(&commitment).as_bytes(), b"\n"].concat()
}

fn output(source: io::Error) -> Error {
    Error::Io { path: "the output".into(), source }
}
