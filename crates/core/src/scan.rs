//! One pass over an envelope's text: it is in one of the two exact forms, and here is where its members stand.
//!
//! The events of a run differ mostly in their hashes, payload, refs, seq and ts. What stands around those, the *frame*, is
//! remembered of the last few events; where it is the same bytes again it is compared and not scanned.

use crate::canonical::{Buffers, Form, Scanner, Scratch};
use crate::error::{Error, JsonProblem};
use std::ops::Range;

/// The members of an envelope, version 1, in the order in which they are hashed.
pub(crate) const MEMBERS: [&str; 12] = [
    "actor",
    "event_hash",
    "event_schema_version",
    "event_type",
    "payload",
    "policy",
    "prev_event_hash",
    "refs",
    "run_id",
    "seq",
    "stage",
    "ts",
];

// Their places in `MEMBERS`.
pub(crate) const ACTOR: usize = 0;
pub(crate) const EVENT_HASH: usize = 1;
pub(crate) const EVENT_SCHEMA_VERSION: usize = 2;
pub(crate) const EVENT_TYPE: usize = 3;
pub(crate) const PAYLOAD: usize = 4;
pub(crate) const POLICY: usize = 5;
pub(crate) const PREV_EVENT_HASH: usize = 6;
pub(crate) const REFS: usize = 7;
pub(crate) const RUN_ID: usize = 8;
pub(crate) const SEQ: usize = 9;
pub(crate) const STAGE: usize = 10;
pub(crate) const TS: usize = 11;

/// Where each member of version 1 stands in the compact form, by its index in [`MEMBERS`].
/// A member that is not there has an empty place, which no value has.
pub(crate) type Places = [Range<usize>; MEMBERS.len()];

/// What one pass over an envelope's text shows.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) form: Form,
    pub(crate) places: Places,
    /// Where `event_hash` stands in the compact form, with its comma.
    pub(crate) hash_member: Range<usize>,
    /// Whether its frame is one that was remembered: then the members in it have been found sound before.
    pub(crate) framed: bool,
    /// Where the members stand in the stored text; empty where the frame was remembered.
    stored: Places,
    /// Whether it has members beyond those of version 1.
    extra: bool,
}

/// Scans an envelope's text into `found`, which is empty.
///
/// # Errors
/// [`Error::Json`] for text in neither form; [`Error::Draft`] where there is no `event_hash`.
pub(crate) fn scan(stored: &[u8], scratch: &mut Scratch, found: &mut Scanned) -> Result<(), Error> {
    let Scratch { buffers, frames, .. } = scratch;
    if frames.scan(stored, buffers, found).is_some() {
        return Ok(());
    }
    *found = Scanned::default();
    let mut scanner = Scanner::new(stored, buffers);
    let passed = scan_members(&mut scanner, stored, found);
    passed.and_then(|()| scanner.end()).map_err(|problem| scanner.error(problem))?;
    found.form = scanner.form();
    if found.hash_member.is_empty() {
        let problem = "it is missing".to_owned();
        return Err(Error::Draft { field: "event_hash", problem });
    }
    Ok(())
}

fn scan_members(scanner: &mut Scanner<'_, '_>, stored: &[u8], found: &mut Scanned) -> Result<(), JsonProblem> {
    scanner.enter_object()?;
    if scanner.take(b'}') {
        return Ok(());
    }
    let mut last_key = None;
    let mut last_is_extra = false;
    let mut expected = 0;
    loop {
        let from = scanner.place();
        // Members are sorted, so that the one looked for is nearly always the next one.
        let known = match MEMBERS.get(expected).filter(|_| !last_is_extra) {
            Some(name) => scanner.known_key(name)?,
            None => None,
        };
        let key = match known {
            Some(key) => key,
            None => scanner.key(last_key.take())?,
        };
        let begin = scanner.offset();
        let value = scanner.value()?;
        let name = &stored[key.start + 1..key.end - 1];
        let member = MEMBERS[expected..].iter().position(|member| member.as_bytes() == name);
        last_is_extra = member.is_none();
        found.extra |= last_is_extra;
        let member = member.map(|index| expected + index);
        if let Some(member) = member {
            found.places[member] = value;
            found.stored[member] = begin..scanner.offset();
            expected = member + 1;
        }
        if scanner.take(b'}') {
            if member == Some(EVENT_HASH) {
                // Last: the comma before it goes with it.
                found.hash_member = from.saturating_sub(1).max(1)..scanner.place() - 1;
            }
            return Ok(());
        }
        scanner.separator(b',')?;
        if member == Some(EVENT_HASH) {
            found.hash_member = from..scanner.place();
        }
        last_key = Some(key);
    }
}

/// The members whose values differ from one event to the next.
const VARYING: [usize; 6] = [EVENT_HASH, PAYLOAD, PREV_EVENT_HASH, REFS, SEQ, TS];

/// The others, each with the index of the piece of the frame that it stands in.
const STEADY: [(usize, usize); 6] =
    [(ACTOR, 0), (EVENT_SCHEMA_VERSION, 1), (EVENT_TYPE, 1), (POLICY, 2), (RUN_ID, 4), (STAGE, 5)];

/// A frame longer than this is not remembered.
const MAX_FRAME: usize = 4096;

/// How many frames are remembered: one for each type of event, say.
const MAX_FRAMES: usize = 8;

/// What stands around the varying members of an envelope, from behind its `{` to its end. It is remembered only of
/// envelopes that have all members of version 1, no others, and were found sound.
#[derive(Debug)]
struct Frame {
    form: Form,
    /// The pieces before, between and behind the varying values, one after the other; as stored, and compact.
    stored: Pieces,
    compact: Pieces,
    /// Where each of [`STEADY`] stands in its piece of `compact`.
    steady: [Range<usize>; STEADY.len()],
    hash_member: Range<usize>,
}

#[derive(Debug, Default)]
struct Pieces {
    text: Vec<u8>,
    ends: [usize; VARYING.len() + 1],
}

impl Pieces {
    /// Cuts a text at the varying members.
    fn of(text: &[u8], places: &Places) -> Self {
        let mut pieces = Self::default();
        let mut from = 1;
        let behind = text.len()..text.len();
        let cuts = VARYING.iter().map(|member| &places[*member]).chain([&behind]);
        for (end, cut) in pieces.ends.iter_mut().zip(cuts) {
            pieces.text.extend_from_slice(&text[from..cut.start]);
            *end = pieces.text.len();
            from = cut.end;
        }
        pieces
    }

    fn piece(&self, index: usize) -> &[u8] {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[index]]
    }
}

/// The frames of the last envelopes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    known: Vec<Frame>,
    /// Which of them fitted last.
    last: usize,
    /// Which of them came behind each: likely the next one.
    behind: [usize; MAX_FRAMES],
}

impl Frames {
    /// Remembers the frame of an envelope that was found sound.
    pub(crate) fn learn(&mut self, stored: &[u8], compact: &[u8], scanned: &Scanned) {
        let Scanned { form, places, hash_member, .. } = scanned;
        let varying: usize = VARYING.iter().map(|member| scanned.stored[*member].len()).sum();
        let first = scanned.stored[PREV_EVENT_HASH].len() != QUOTED_HASH;
        if scanned.extra || first || stored.len() - varying > MAX_FRAME {
            return;
        }
        let start = |piece: usize| piece.checked_sub(1).map_or(1, |before| places[VARYING[before]].end);
        let steady = STEADY.map(|(member, piece)| {
            let place = &places[member];
            place.start - start(piece)..place.end - start(piece)
        });
        let frame = Frame {
            form: *form,
            stored: Pieces::of(stored, &scanned.stored),
            compact: Pieces::of(compact, places),
            steady,
            hash_member: hash_member.clone(),
        };
        let index = if self.known.len() < MAX_FRAMES { self.known.len() } else { (self.last + 1) % MAX_FRAMES };
        match self.known.get_mut(index) {
            Some(other) => *other = frame,
            None => self.known.push(frame),
        }
        self.behind[self.last] = index;
        self.last = index;
    }

    /// The frame that fits up to the payload, and perhaps further.
    fn candidate(&self, stored: &[u8]) -> Option<usize> {
        let fits = |index: &usize| {
            let pieces = &self.known[*index].stored;
            let behind = 1 + pieces.ends[0] + QUOTED_HASH;
            stored.get(behind..).is_some_and(|rest| rest.starts_with(pieces.piece(1)))
        };
        let likely = self.behind[self.last];
        if likely < self.known.len() && fits(&likely) { Some(likely) } else { (0..self.known.len()).find(fits) }
    }

    /// Scans an envelope by a frame that is remembered; `None` where none fits, whatever the text may be.
    fn scan(&mut self, stored: &[u8], buffers: &mut Buffers, found: &mut Scanned) -> Option<()> {
        let index = self.candidate(stored)?;
        self.known[index].scan(stored, buffers, found)?;
        self.behind[self.last] = index;
        self.last = index;
        Some(())
    }
}

/// How long an event hash is, with its quotes.
const QUOTED_HASH: usize = 73;

/// The refs of most events: stored spaced, and compact.
const NO_REFS: [&[u8]; 2] = [br#"{"blobs": [], "events": []}"#, br#"{"blobs":[],"events":[]}"#];

impl Frame {
    /// The same bytes around other values of the same kinds are an envelope again, in the same form.
    fn scan(&self, stored: &[u8], buffers: &mut Buffers, found: &mut Scanned) -> Option<()> {
        let mut scanner = Scanner::new(stored, buffers);
        scanner.enter_object().ok()?;
        scanner.begin_form(self.form == Form::Spaced);
        let places = &mut found.places;
        let mut starts = [0; VARYING.len() + 1];
        for (index, member) in VARYING.into_iter().enumerate() {
            starts[index] = scanner.place();
            scanner.pass(self.stored.piece(index), self.compact.piece(index))?;
            places[member] = match member {
                EVENT_HASH | PREV_EVENT_HASH => scanner.hash()?,
                REFS => self.refs(&mut scanner)?,
                _ => scanner.value().ok()?,
            };
        }
        let last = VARYING.len();
        starts[last] = scanner.place();
        scanner.pass(self.stored.piece(last), self.compact.piece(last))?;
        scanner.end().ok()?;
        for ((member, piece), place) in STEADY.iter().zip(&self.steady) {
            places[*member] = starts[*piece] + place.start..starts[*piece] + place.end;
        }
        found.form = self.form;
        found.hash_member = self.hash_member.clone();
        found.framed = true;
        Some(())
    }

    fn refs(&self, scanner: &mut Scanner<'_, '_>) -> Option<Range<usize>> {
        let start = scanner.place();
        let [spaced, compact] = NO_REFS;
        let text = if self.form == Form::Spaced { spaced } else { compact };
        match scanner.pass(text, compact) {
            Some(()) => Some(start..scanner.place()),
            None => scanner.value().ok(),
        }
    }
}
