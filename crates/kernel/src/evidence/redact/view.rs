//! A window's text as the rules read it: code units of UTF-16 as bytes, letters beyond ASCII that are a case of one as
//! that one.

use super::encoding::{Encoding, fold, is_folded, narrow};
use super::escapes::{Moves, Places, place, source};
use super::scan::Part;
use std::borrow::Cow;

/// A text, and where its places are in the data that it was read from.
pub(super) struct View<'d> {
    pub(super) text: Cow<'d, [u8]>,
    unit: usize,
    moves: Moves,
}

impl<'d> View<'d> {
    pub(super) fn of(encoding: Encoding, data: &'d [u8]) -> Self {
        let unit = encoding.unit();
        if encoding != Encoding::Bytes {
            let text = encoding.units(data).map(narrow).collect();
            return Self { text: Cow::Owned(text), unit, moves: Moves::new() };
        }
        if !is_folded(data) {
            return Self { text: Cow::Borrowed(data), unit, moves: Moves::new() };
        }
        let (text, moves) = fold(data);
        Self { text: Cow::Owned(text), unit, moves }
    }

    /// Where a place of the text is in the data.
    pub(super) fn source(&self, at: usize) -> usize {
        source(&self.moves, at) * self.unit
    }

    /// The same for many places, one after the other.
    pub(super) fn sources(&self) -> impl FnMut(usize) -> usize + '_ {
        let (mut places, unit) = (Places::of(&self.moves), self.unit);
        move |at| places.source(at) * unit
    }

    /// The first place of the text that is not before one of the data.
    pub(super) fn place(&self, at: usize) -> usize {
        place(&self.moves, at.div_ceil(self.unit)).min(self.text.len())
    }

    /// What is read as the text, to be searched where it was to be.
    pub(super) fn part(&self, Part { from, to, ends, .. }: Part<'_>) -> Part<'_> {
        Part { text: &self.text, from: self.place(from), to: self.place(to), ends }
    }
}
