//! Frames: the text of an envelope around the members that differ from event to event.
//!
//! The events of a run differ mostly in their hashes, payload, refs, seq and ts. What stands around those, the *frame*, is
//! remembered of the last few events; if it is the same bytes again it is compared and not scanned.

use super::layout::{
    ACTOR, EVENT_HASH, EVENT_SCHEMA_VERSION, EVENT_TYPE, PAYLOAD, POLICY, PREV_EVENT_HASH, Places, REFS, RUN_ID, SEQ,
    STAGE, Scanned, TS,
};
use crate::canonical::{Buffers, Form, Scanner};
use std::ops::Range;

/// The members whose values differ from one event to the next.
const VARYING: [usize; 6] = [EVENT_HASH, PAYLOAD, PREV_EVENT_HASH, REFS, SEQ, TS];

/// The others, each with the index of the piece of the frame that it stands in.
const STEADY: [(usize, usize); 6] =
    [(ACTOR, 0), (EVENT_SCHEMA_VERSION, 1), (EVENT_TYPE, 1), (POLICY, 2), (RUN_ID, 4), (STAGE, 5)];

/// A frame longer than this is not remembered.
const MAX_FRAME: usize = 4096;

/// How many frames are remembered: one for each type of event, say.
const MAX_FRAMES: usize = 8;

/// The text around the varying members of an envelope, from its `{` to its end. It is remembered only of
/// envelopes that have all members of version 1, no others, and were found sound.
#[derive(Debug)]
struct Frame {
    form: Form,
    /// The pieces before, between and after the varying values, one after the other; as stored, and compact.
    stored: Pieces,
    compact: Pieces,
    /// The place of each of [`STEADY`] in its piece of `compact`.
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
pub(super) struct Frames {
    known: Vec<Frame>,
    /// The index of the frame that fitted last.
    last: usize,
    /// The frame that came after each frame: it will likely come after it again.
    behind: [usize; MAX_FRAMES],
}

impl Frames {
    /// Remembers the frame of an envelope that was found sound.
    pub(super) fn learn(&mut self, stored: &[u8], compact: &[u8], scanned: &Scanned) {
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

    /// Scans an envelope by a frame that is remembered; `None` if none fits, whatever the text may be.
    pub(super) fn scan(&mut self, stored: &[u8], buffers: &mut Buffers, found: &mut Scanned) -> Option<()> {
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
    /// Reads an envelope by a remembered frame: the same bytes around other values of the same kinds are an envelope again,
    /// in the same form.
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
