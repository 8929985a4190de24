//! Names, hashes, references and instants: text that was parsed once and cannot be wrong afterwards.

use crate::error::Error;
use crate::visible::{is_hidden, is_look_alike};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a run: any UTF-8 text, slashes and the empty text among it.
///
/// That is what a ledger may hold; a run that is *started* here is held to [`RunId::for_new_run`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

impl RunId {
    /// The longest id, in bytes, of a run that is started here.
    pub const MAX_LEN: usize = 256;

    /// The id as it stands in a ledger.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into().into())
    }

    /// The id of a run to be started: 1 to [`Self::MAX_LEN`] bytes, no white space at the ends, no `@` and no `run://` in
    /// front (the command line gives those a meaning), and nothing that a person does not see or takes for another
    /// character: two ids that look the same would pass for each other.
    ///
    /// # Errors
    /// [`Error::Id`] otherwise.
    pub fn for_new_run(id: &str) -> Result<Self, Error> {
        let fits = (1..=Self::MAX_LEN).contains(&id.len());
        let means_more = id.starts_with('@') || id.starts_with("run://");
        let is_seen = |character| !is_hidden(character) && !is_look_alike(character);
        if !fits || id.trim() != id || means_more || !id.chars().all(is_seen) {
            return Err(Error::id(
                "a run id (1 to 256 bytes, no white space at the ends, no @ or run:// in front, no character that is \
                 invisible or looks like / : or @)",
                id,
            ));
        }
        Ok(Self(id.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes `bytes` as lower-case hexadecimal into a 64-byte buffer. A hash is written for every event that is verified, so
/// that this is a table: twice as fast as the general encoder.
pub(crate) fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&PAIRS[usize::from(*byte)]);
    }
    out
}

/// The two digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 0xF]];
        byte += 1;
    }
    table
};

/// Whether all are lower-case hexadecimal digits.
pub(crate) fn is_hex(digits: &[u8; 64]) -> bool {
    let is_digit = |byte: u8| byte.wrapping_sub(b'0') < 10 || byte.wrapping_sub(b'a') < 6;
    digits.iter().fold(true, |all, byte| all & is_digit(*byte))
}

/// From exactly 64 lower-case digits. Two hashes are read for every event that is verified, so that this is a table and
/// a loop without branches: four times as fast as the general decoder.
fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut out = [0; 32];
    let mut bad = 0;
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        *byte = (high << 4) | (low & 0xF);
        bad |= high | low;
    }
    (bad < 0x10).then_some(out)
}

/// The value of each lower-case hexadecimal digit; 0xFF for every other byte.
const NIBBLES: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, prefix $prefix:literal, wanted $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// From the 32 raw bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The SHA-256 (FIPS 180-4) of `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }

            /// The 32 raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// From the exact bytes of its text form; `None` for anything else, upper-case digits among it.
            pub fn parse_bytes(text: &[u8]) -> Option<Self> {
                text.strip_prefix($prefix.as_bytes()).and_then(from_hex).map(Self)
            }

            /// The 64 lower-case hexadecimal digits, without any prefix.
            pub fn to_hex(&self) -> String {
                HEXLOWER.encode(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse_bytes(text.as_bytes()).ok_or_else(|| Error::id($wanted, text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&hex(&self.0)).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

digest! {
    /// The hash of a node of the log, its root among them (RFC 6962 section 2.1). Text: 64 digits.
    NodeHash, prefix "", wanted "a tree hash (64 lower-case hexadecimal digits)"
}

digest! {
    /// The hash of an event: SHA-256 of its canonical bytes without `event_hash`. Text: `sha256:` and 64 digits.
    EventHash, prefix "sha256:", wanted "an event hash (sha256: and 64 lower-case hexadecimal digits)"
}

impl EventHash {
    /// Whether `text` is exactly the text form of this one.
    pub(crate) fn is_written(&self, text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"sha256:").and_then(|digits| <&[u8; 64]>::try_from(digits).ok());
        // Without a branch for each byte, which the compiler turns into a few instructions.
        digits.is_some_and(|digits| digits.iter().zip(hex(&self.0)).fold(0, |other, (a, b)| other | (a ^ b)) == 0)
    }
}

digest! {
    /// The address of a blob: SHA-256 of the bytes that are stored. Text: 64 digits, no prefix.
    BlobHash, prefix "", wanted "a blob hash (64 lower-case hexadecimal digits)"
}

digest! {
    /// The digest of a policy: SHA-256 of its canonical JSON. Text: `sha256:` and 64 digits.
    PolicyDigest, prefix "sha256:", wanted "a policy digest (sha256: and 64 lower-case hexadecimal digits)"
}

/// A reference to a blob: `blob://sha256:{hex}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef(pub BlobHash);

impl BlobRef {
    const PREFIX: &'static str = "blob://sha256:";

    /// From text of exactly this form.
    pub fn parse(text: &str) -> Option<Self> {
        BlobHash::parse_bytes(text.strip_prefix(Self::PREFIX)?.as_bytes()).map(Self)
    }
}

impl FromStr for BlobRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| Error::id("a blob reference (blob://sha256: and 64 hexadecimal digits)", text))
    }
}

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

/// The place of an event in its run: 1, 2, 3 and so on to 2^63 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(i64);

impl Seq {
    /// The first event of a run.
    pub const FIRST: Self = Self(1);

    /// The last place that a ledger can hold.
    pub const MAX: Self = Self(i64::MAX);

    /// From a number from 1 on.
    pub const fn new(value: i64) -> Option<Self> {
        if value >= 1 { Some(Self(value)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The place after this one; `None` after the last that a ledger can hold.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reference to an event: `event://{run_id}/{seq}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRef {
    /// The run; it may hold slashes.
    pub run_id: RunId,
    /// The place in it.
    pub seq: Seq,
}

impl EventRef {
    /// From text of exactly this form: the part after the last slash is the seq, without sign, space or leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let (run_id, seq) = text.strip_prefix("event://")?.rsplit_once('/')?;
        let exact = matches!(seq.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
        let seq = exact.then(|| seq.parse().ok()).flatten().and_then(Seq::new)?;
        Some(Self { run_id: RunId::new(run_id), seq })
    }
}

impl FromStr for EventRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| Error::id("an event reference (event://RUN/SEQ)", text))
    }
}

impl fmt::Display for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event://{}/{}", self.run_id, self.seq)
    }
}

/// An instant in UTC, to the microsecond, written as Python's `datetime.isoformat` writes it:
/// `2026-01-01T00:00:00.000001+00:00`, with no fraction at all if the microseconds are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// From microseconds since 1970; clamped to the years that can be written.
    pub fn from_micros(micros: i64) -> Self {
        let limit = if micros < 0 { jiff::Timestamp::UNIX_EPOCH } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_microsecond(micros).unwrap_or(limit))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// From RFC 3339 text with an offset; a time without one names no instant and is refused.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|instant| Self::from_micros(instant.as_microsecond()))
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| Error::id("an instant (2026-01-01T00:00:00.000001+00:00)", text))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = jiff::tz::Offset::UTC.to_datetime(self.0);
        let mut text = *b"0000-00-00T00:00:00.000000+00:00";
        let digits = |place: &mut [u8], number: i32| {
            let mut rest = number.unsigned_abs();
            for digit in place.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        };
        let micros = civil.subsec_nanosecond() / 1000;
        digits(&mut text[0..4], civil.year().into());
        digits(&mut text[5..7], civil.month().into());
        digits(&mut text[8..10], civil.day().into());
        digits(&mut text[11..13], civil.hour().into());
        digits(&mut text[14..16], civil.minute().into());
        digits(&mut text[17..19], civil.second().into());
        digits(&mut text[20..26], micros);
        let text = std::str::from_utf8(&text).unwrap_or_default();
        if micros == 0 {
            f.write_str(&text[..19])?;
            return f.write_str(&text[26..]);
        }
        f.write_str(text)
    }
}
