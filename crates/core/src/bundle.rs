//! A bundle: one run as a text that can be checked with no ledger at hand. What its lines say, and their order.
//!
//! Each line but an event is one canonical JSON text, so that it can be spelled in one way only: a line is read to a
//! value, and the value written again must give the same bytes. [`Reader`] takes lines one by one, in memory that does
//! not grow with the bundle. It knows form and order; whether the events chain and the blobs hash, its caller checks.
//! The form is stated in docs/FORMAT.md, section 8.

use crate::base64;
use crate::canonical;
use crate::evidence::EvidenceClass;
use crate::id::{BlobHash, EventHash, RunId, Seq};
use crate::json::{self, Limits, Object, Value};
use crate::run::{Cell, RunRow};
use data_encoding::BASE64;
use sha2::digest::consts::U32;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The format that is written and read.
pub const FORMAT: &str = "receipt-bundle/1";

/// The longest line, in bytes, its line feed not counted.
pub const MAX_LINE: usize = 4 << 20;

/// The most blobs that a bundle lists.
pub const MAX_BLOBS: u64 = 1 << 17;

/// The longest run id, in bytes: it stands in every message about its run.
pub const MAX_RUN_ID: usize = 4096;

/// How many bytes of a blob stand in one line; the last line of a blob may have fewer.
pub const PIECE: usize = 48 << 10;

/// The problem with a bundle's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bundle ends before its trailer, or its last line has no line feed.
    #[error("it ends too early")]
    CutOff,
    /// A line that is too long.
    #[error("a line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// A first line that is no header, or one of another format.
    #[error("its first line is not the header of a {FORMAT}; if it is of a newer format, update receipt-kernel")]
    Header,
    /// Not the line that must stand here.
    #[error("expected {wanted}")]
    Line {
        /// The line that must stand here.
        wanted: &'static str,
    },
    /// More blobs than a bundle may list.
    #[error("it lists more than {MAX_BLOBS} blobs")]
    ManyBlobs,
    /// Blobs out of order, or one twice.
    #[error("its blobs are not in the order of their hashes, each once")]
    BlobOrder,
    /// A trailer that is of other lines than these.
    #[error("its trailer is not that of the lines before it")]
    Trailer,
    /// Something after the trailer.
    #[error("something follows its trailer")]
    Trailing,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The run.
    pub run_id: RunId,
    /// How many events it has.
    pub events: u64,
    /// The hash of the last one.
    pub head: EventHash,
    /// The proof that an event is in a log.
    pub proof: Option<Proof>,
}

/// An inclusion proof (C2SP tlog-proof) of one of the run's events. With it all events up to that one are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The event.
    pub seq: Seq,
    /// The proof, with its checkpoint.
    pub text: String,
}

/// The second line: the run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The policy's id.
    pub policy_id: String,
    /// Its version.
    pub policy_version: String,
    /// The stage graph's id.
    pub stage_graph_id: String,
    /// When the run began.
    pub created_at: String,
    /// The writer's own words about the run, as JSON.
    pub meta_json: String,
}

/// Whether a blob's bytes are in the bundle, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They are.
    Live,
    /// Whoever made the bundle left them out, or did not have them: they were recorded by digest.
    Withheld,
    /// They are of class sealed and not encrypted, so that they do not leave their ledger. Ciphertext is live.
    Sealed,
    /// Retention had removed them.
    Expired,
    /// The ledger had no such blob.
    Missing,
}

impl State {
    const ALL: [Self; 5] = [Self::Live, Self::Withheld, Self::Sealed, Self::Expired, Self::Missing];

    /// The word in a bundle.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Withheld => "withheld",
            Self::Sealed => "sealed",
            Self::Expired => "expired",
            Self::Missing => "missing",
        }
    }
}

/// A blob's record; if it is live, its pieces follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The blob.
    pub hash: BlobHash,
    /// Whether its bytes follow.
    pub state: State,
    /// How many bytes it has; 0 if it is missing.
    pub bytes_len: u64,
    /// Its class in the ledger; public if it is missing.
    pub class: EvidenceClass,
    /// Its media type in the ledger; empty if it is missing.
    pub content_type: String,
}

impl Header {
    /// The line, without its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        let proof = self.proof.as_ref().map(|proof| {
            Object::from_iter([("seq", Value::from(proof.seq.get())), ("text", Value::from(proof.text.as_str()))])
        });
        line([
            ("events", Value::from(self.events)),
            ("format", Value::from(FORMAT)),
            ("head", Value::from(self.head.to_string())),
            ("proof", Value::from(proof)),
            ("run_id", Value::from(self.run_id.as_str())),
        ])
    }

    fn parse(value: &Value) -> Option<Self> {
        let proof = match value.get("proof")? {
            Value::Null => None,
            proof => Some(Proof { seq: Seq::new(proof.get("seq")?.as_i64()?)?, text: text(proof, "text")? }),
        };
        Some(Self {
            run_id: text(value, "run_id").filter(|id| id.len() <= MAX_RUN_ID).map(RunId::new)?,
            events: number(value, "events")?,
            head: EventHash::parse_bytes(value.get("head")?.as_str()?.as_bytes())?,
            proof,
        })
    }
}

impl Row {
    /// The line, without its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        line([
            ("created_at", Value::from(self.created_at.as_str())),
            ("meta_json", Value::from(self.meta_json.as_str())),
            ("policy_id", Value::from(self.policy_id.as_str())),
            ("policy_version", Value::from(self.policy_version.as_str())),
            ("stage_graph_id", Value::from(self.stage_graph_id.as_str())),
        ])
    }

    fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            policy_id: text(value, "policy_id")?,
            policy_version: text(value, "policy_version")?,
            stage_graph_id: text(value, "stage_graph_id")?,
            created_at: text(value, "created_at")?,
            meta_json: text(value, "meta_json")?,
        })
    }

    /// From a row of a store; `None` if one of its columns holds no text.
    pub fn from_cells(row: &RunRow<'_>) -> Option<Self> {
        let text = |cell: Cell<'_>| cell.as_str().map(str::to_owned);
        Some(Self {
            policy_id: text(row.policy_id)?,
            policy_version: text(row.policy_version)?,
            stage_graph_id: text(row.stage_graph_id)?,
            created_at: text(row.created_at)?,
            meta_json: text(row.meta_json)?,
        })
    }

    /// The row as a store gives it.
    pub fn cells(&self) -> RunRow<'_> {
        RunRow {
            policy_id: Cell::Text(self.policy_id.as_bytes()),
            policy_version: Cell::Text(self.policy_version.as_bytes()),
            stage_graph_id: Cell::Text(self.stage_graph_id.as_bytes()),
            created_at: Cell::Text(self.created_at.as_bytes()),
            meta_json: Cell::Text(self.meta_json.as_bytes()),
        }
    }
}

impl Blob {
    /// The line, without its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        line([
            ("bytes_len", Value::from(self.bytes_len)),
            ("content_type", Value::from(self.content_type.as_str())),
            ("evidence_class", Value::from(self.class.as_str())),
            ("sha256", Value::from(self.hash.to_string())),
            ("state", Value::from(self.state.as_str())),
        ])
    }

    fn parse(value: &Value) -> Option<Self> {
        let state = value.get("state")?.as_str()?;
        let blob = Self {
            hash: BlobHash::parse_bytes(value.get("sha256")?.as_str()?.as_bytes())?,
            state: State::ALL.into_iter().find(|known| known.as_str() == state)?,
            bytes_len: number(value, "bytes_len")?,
            class: EvidenceClass::parse(value.get("evidence_class")?.as_str()?)?,
            content_type: text(value, "content_type")?,
        };
        (blob.state != State::Missing || blob == Self::missing(blob.hash)).then_some(blob)
    }

    /// The record of a blob that the ledger does not have.
    pub fn missing(hash: BlobHash) -> Self {
        let (class, content_type) = (EvidenceClass::Public, String::new());
        Self { hash, state: State::Missing, bytes_len: 0, class, content_type }
    }
}

/// The line that says how many blobs follow, without its line feed.
pub fn blobs_line(blobs: u64) -> Vec<u8> {
    line([("blobs", Value::from(blobs))])
}

/// A piece of a blob as its line, without its line feed, in place of what `out` held.
pub fn write_piece(out: &mut Vec<u8>, piece: &[u8]) {
    out.clear();
    out.resize(BASE64.encode_len(piece.len()) + 2, b'"');
    let end = out.len() - 1;
    BASE64.encode_mut(piece, &mut out[1..end]);
}

fn line<const N: usize>(members: [(&'static str, Value); N]) -> Vec<u8> {
    // A line holds only text and numbers, so that no limit can be in the way.
    canonical::to_bytes(&Object::from_iter(members).into(), Limits::READ).unwrap_or_default()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn number(value: &Value, key: &str) -> Option<u64> {
    u64::try_from(value.get(key)?.as_i64()?).ok()
}

/// Reads a line to what it says, and holds it to its one spelling.
fn exact<T>(line: &[u8], parse: impl Fn(&Value) -> Option<T>, write: impl Fn(&T) -> Vec<u8>) -> Option<T> {
    let read = parse(&json::parse(line, Limits::READ).ok()?)?;
    (write(&read) == line).then_some(read)
}

/// The digest over a bundle's lines that its trailer states: all but the pieces of blobs, which their blob's hash binds.
/// `H` is SHA-256, by whatever works it out.
#[derive(Clone, Debug, Default)]
pub struct LinesDigest<H = Sha256> {
    hasher: H,
    events: u64,
    blobs: u64,
}

impl<H: Digest<OutputSize = U32>> LinesDigest<H> {
    /// The next line.
    pub fn line(&mut self, line: &[u8]) {
        self.hasher.update(line);
        self.hasher.update(b"\n");
    }

    /// The next line, an event.
    pub fn event(&mut self, line: &[u8]) {
        self.events += 1;
        self.line(line);
    }

    /// The next line, a blob's record.
    pub fn blob(&mut self, line: &[u8]) {
        self.blobs += 1;
        self.line(line);
    }

    /// The trailer, without its line feed.
    pub fn trailer(self) -> Vec<u8> {
        line([
            ("blobs", Value::from(self.blobs)),
            ("events", Value::from(self.events)),
            ("sha256", Value::from(BlobHash::from_bytes(self.hasher.finalize().into()).to_hex())),
        ])
    }
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'r> {
    /// The header.
    Header(Header),
    /// The run's row.
    Row(Row),
    /// An event: its stored text as it stands.
    Event(&'r [u8]),
    /// How many blobs follow; all events have been read.
    Blobs(u64),
    /// A blob, whose pieces follow if it is live.
    Blob(Blob),
    /// The next bytes of that blob.
    Piece(&'r [u8]),
    /// The trailer, which is right.
    End,
}

/// The line that must come next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Header,
    Row,
    Event { left: u64 },
    Blobs,
    Blob { left: u64 },
    Piece { bytes: u64, blobs: u64 },
    Trailer,
    Nothing,
}

/// Reads a bundle line by line. `H` is SHA-256, by whatever works it out.
#[derive(Debug)]
pub struct Reader<H = Sha256> {
    next: Next,
    digest: LinesDigest<H>,
    events: u64,
    last_blob: Option<BlobHash>,
    piece: Vec<u8>,
}

impl<H: Default> Default for Reader<H> {
    fn default() -> Self {
        Self { next: Next::Header, digest: LinesDigest::default(), events: 0, last_blob: None, piece: Vec::new() }
    }
}

impl<H: Digest<OutputSize = U32> + Default> Reader<H> {
    /// The next line, without its line feed.
    ///
    /// # Errors
    /// The problem with the line. Nothing after it can be read.
    pub fn line<'r>(&'r mut self, line: &'r [u8]) -> Result<Item<'r>, Problem> {
        if line.len() > MAX_LINE {
            return Err(Problem::LongLine);
        }
        match self.next {
            Next::Header => self.header(line),
            Next::Row => self.row(line),
            Next::Event { left } => {
                self.digest.event(line);
                self.next = events_next(left - 1);
                Ok(Item::Event(line))
            }
            Next::Blobs => self.blobs(line),
            Next::Blob { left } => self.blob(line, left),
            Next::Piece { bytes, blobs } => self.piece(line, bytes, blobs),
            Next::Trailer => {
                let trailer = std::mem::take(&mut self.digest).trailer();
                self.next = Next::Nothing;
                if line == trailer { Ok(Item::End) } else { Err(Problem::Trailer) }
            }
            Next::Nothing => Err(Problem::Trailing),
        }
    }

    /// Whether the trailer has been read, and was right.
    ///
    /// # Errors
    /// [`Problem::CutOff`] if it was not.
    pub fn finish(&self) -> Result<(), Problem> {
        if matches!(self.next, Next::Nothing) { Ok(()) } else { Err(Problem::CutOff) }
    }

    fn header(&mut self, line: &[u8]) -> Result<Item<'_>, Problem> {
        let header = exact(line, Header::parse, Header::to_line).ok_or(Problem::Header)?;
        self.digest.line(line);
        self.events = header.events;
        self.next = Next::Row;
        Ok(Item::Header(header))
    }

    fn row(&mut self, line: &[u8]) -> Result<Item<'_>, Problem> {
        let wanted = Problem::Line { wanted: "the run's row" };
        let row = exact(line, Row::parse, Row::to_line).ok_or(wanted)?;
        self.digest.line(line);
        self.next = events_next(self.events);
        Ok(Item::Row(row))
    }

    fn blobs(&mut self, line: &[u8]) -> Result<Item<'_>, Problem> {
        let wanted = Problem::Line { wanted: "the number of blobs: there are more events than the header says" };
        let blobs = exact(line, |value| number(value, "blobs"), |blobs| blobs_line(*blobs)).ok_or(wanted)?;
        if blobs > MAX_BLOBS {
            return Err(Problem::ManyBlobs);
        }
        self.digest.line(line);
        self.next = blobs_next(blobs);
        Ok(Item::Blobs(blobs))
    }

    fn blob(&mut self, line: &[u8], left: u64) -> Result<Item<'_>, Problem> {
        let blob = exact(line, Blob::parse, Blob::to_line).ok_or(Problem::Line { wanted: "a blob's record" })?;
        if self.last_blob.is_some_and(|last| last >= blob.hash) {
            return Err(Problem::BlobOrder);
        }
        self.digest.blob(line);
        self.last_blob = Some(blob.hash);
        let bytes = if blob.state == State::Live { blob.bytes_len } else { 0 };
        self.next = pieces_next(bytes, left - 1);
        Ok(Item::Blob(blob))
    }

    fn piece(&mut self, line: &[u8], bytes: u64, blobs: u64) -> Result<Item<'_>, Problem> {
        let wanted = Problem::Line { wanted: "a piece of a blob, in base64 and full but for the last" };
        let inner = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).ok_or(wanted)?;
        if inner.len() > base64::encoded_len(PIECE) || !base64::decode_into(inner, &mut self.piece) {
            return Err(wanted);
        }
        let due = bytes.min(PIECE as u64);
        if self.piece.len() as u64 != due {
            return Err(wanted);
        }
        self.next = pieces_next(bytes - due, blobs);
        Ok(Item::Piece(&self.piece))
    }
}

fn events_next(left: u64) -> Next {
    if left > 0 { Next::Event { left } } else { Next::Blobs }
}

fn blobs_next(left: u64) -> Next {
    if left > 0 { Next::Blob { left } } else { Next::Trailer }
}

fn pieces_next(bytes: u64, blobs: u64) -> Next {
    if bytes > 0 { Next::Piece { bytes, blobs } } else { blobs_next(blobs) }
}
