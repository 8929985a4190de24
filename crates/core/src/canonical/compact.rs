//! A spaced text in compact form, as it is scanned.

/// Text that is put together from many short pieces.
#[derive(Debug, Default)]
pub(super) struct Compact {
    /// Longer than the text by a piece, so that a piece is copied whole whatever its length.
    bytes: Vec<u8>,
    len: usize,
}

impl Compact {
    /// The size of one copy. Most stretches between two spaces of an envelope are shorter, and a copy of fixed size is quick.
    const PIECE: usize = 32;

    /// Empty, with room for a text of this length.
    pub(super) fn reset(&mut self, room: usize) {
        self.len = 0;
        if self.bytes.len() < room + Self::PIECE {
            self.bytes.resize(room + Self::PIECE, 0);
        }
    }

    /// Empty, whatever room it has.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends `text[from..to]`.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8], from: usize, to: usize) {
        let len = to - from;
        let source = text.get(from..from + Self::PIECE);
        let target = self.bytes.get_mut(self.len..self.len + Self::PIECE);
        match (source, target) {
            (Some(source), Some(target)) if len <= Self::PIECE => target.copy_from_slice(source),
            _ => self.bytes[self.len..self.len + len].copy_from_slice(&text[from..to]),
        }
        self.len += len;
    }
}
