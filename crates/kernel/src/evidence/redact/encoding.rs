//! How data holds its text: as bytes that have ASCII in them, as UTF-16 or UTF-32; and the letters beyond ASCII that are a case
//! of one.

/// Letters outside ASCII that are a case of an ASCII letter, and which.
const FOLDED: [(char, u8); 4] = [('\u{17F}', b's'), ('\u{212A}', b'k'), ('\u{130}', b'i'), ('\u{131}', b'i')];

/// How data holds its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, or whatever else has ASCII in its bytes.
    Bytes,
    /// UTF-16, the high byte first or last.
    Utf16 { big: bool },
    /// UTF-32, the same.
    Utf32 { big: bool },
}

impl Encoding {
    /// By byte order mark; without one, UTF-16 and UTF-32 are what alternates with NUL from its beginning.
    pub(super) fn of(data: &[u8]) -> Self {
        let sample = &data[..data.len().min(32) & !1];
        let wide =
            |low: usize| sample.len() >= 8 && sample.chunks_exact(2).all(|unit| unit[low] != 0 && unit[1 - low] == 0);
        let quad = &data[..data.len().min(32) & !3];
        let points = |big: bool| {
            let point = move |unit: &[u8]| {
                let unit = [unit[0], unit[1], unit[2], unit[3]];
                if big { u32::from_be_bytes(unit) } else { u32::from_le_bytes(unit) }
            };
            quad.chunks_exact(4).map(point)
        };
        let is_letter = |point| char::from_u32(point).is_some_and(|it| !it.is_control() || it.is_whitespace());
        // Without a mark it must be letters: numbers of four bytes side by side are seldom that, and nothing would be seen
        // that lies in bytes after them.
        let is_latin = |big: bool| {
            let letters = points(big).filter(|point| char::from_u32(*point).is_some_and(|it| it.is_ascii_alphabetic()));
            points(big).all(|point| point < 0x100) && 2 * letters.count() >= quad.len() / 4
        };
        let wide32 = |big: bool| {
            let marked = points(big).next() == Some(0xFEFF);
            quad.len() >= 8 && points(big).all(is_letter) && (marked || is_latin(big))
        };
        match data {
            _ if wide32(false) => Self::Utf32 { big: false },
            _ if wide32(true) => Self::Utf32 { big: true },
            [0xFF, 0xFE, ..] => Self::Utf16 { big: false },
            [0xFE, 0xFF, ..] => Self::Utf16 { big: true },
            _ if wide(0) => Self::Utf16 { big: false },
            _ if wide(1) => Self::Utf16 { big: true },
            _ => Self::Bytes,
        }
    }

    /// How many bytes the shortest character has.
    pub(super) const fn unit(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Utf16 { .. } => 2,
            Self::Utf32 { .. } => 4,
        }
    }

    pub(super) fn units(self, data: &[u8]) -> impl Iterator<Item = u32> + '_ {
        let big = matches!(self, Self::Utf16 { big: true } | Self::Utf32 { big: true });
        data.chunks_exact(self.unit()).map(move |unit| {
            let add = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
            if big { unit.iter().fold(0, add) } else { unit.iter().rev().fold(0, add) }
        })
    }

    /// Whether data in this encoding begins with a byte order mark, which is no character of it.
    pub(super) fn is_marked(self, data: &[u8]) -> bool {
        self != Self::Bytes && self.units(&data[..data.len().min(4)]).next() == Some(0xFEFF)
    }

    pub(super) fn write(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Bytes => out.extend_from_slice(text.as_bytes()),
            Self::Utf16 { big: true } => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16 { big: false } => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Self::Utf32 { big: true } => out.extend(text.chars().flat_map(|letter| u32::from(letter).to_be_bytes())),
            Self::Utf32 { big: false } => out.extend(text.chars().flat_map(|letter| u32::from(letter).to_le_bytes())),
        }
    }

    pub(super) fn characters(self, data: &[u8]) -> u64 {
        let count = match self {
            Self::Bytes => match std::str::from_utf8(data) {
                Ok(text) => text.chars().count(),
                Err(_) => data.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum(),
            },
            Self::Utf16 { .. } => {
                let units = self.units(data).map(|unit| u16::try_from(unit).unwrap_or_default());
                char::decode_utf16(units).count() + data.len() % 2
            }
            Self::Utf32 { .. } => data.len().div_ceil(4),
        };
        count as u64
    }

    /// The nearest place at or before `at` that splits no character.
    pub(super) fn boundary(self, data: &[u8], at: usize) -> usize {
        match self {
            Self::Bytes => (at.saturating_sub(3)..=at)
                .rev()
                .find(|&place| data.get(place).is_none_or(|byte| byte & 0xC0 != 0x80))
                .unwrap_or(at),
            Self::Utf16 { .. } => {
                let even = at & !1;
                let low = data.get(even..).and_then(|rest| self.units(rest).next());
                if even >= 2 && low.is_some_and(|unit| unit & 0xFC00 == 0xDC00) { even - 2 } else { even }
            }
            Self::Utf32 { .. } => at & !3,
        }
    }
}

/// One byte for a code unit: itself if ASCII, a space for white space, and 0xFF for what no rule asks for.
pub(super) fn narrow(unit: u32) -> u8 {
    let Some(letter) = char::from_u32(unit) else { return 0xFF };
    let folded = FOLDED.iter().find(|(from, _)| *from == letter).map(|(_, to)| *to);
    match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => byte,
        _ if letter.is_whitespace() => b' ',
        _ => folded.unwrap_or(0xFF),
    }
}

/// Whether there is a letter of [`FOLDED`].
pub(super) fn is_folded(data: &[u8]) -> bool {
    let mut buffer = [0; 4];
    let is_one =
        |at: usize| FOLDED.iter().any(|(letter, _)| data[at..].starts_with(letter.encode_utf8(&mut buffer).as_bytes()));
    // What their letters begin with.
    memchr::memchr3_iter(0xC4, 0xC5, 0xE2, data).any(is_one)
}

/// Data with each letter of [`FOLDED`] made ASCII, and by how much, from where on, places moved to the left.
pub(super) fn fold(data: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut folded, mut moves, mut at) = (Vec::with_capacity(data.len()), Vec::new(), 0);
    let mut buffer = [0; 4];
    while let Some(&byte) = data.get(at) {
        let letter = FOLDED
            .iter()
            .find(|(from, _)| byte >= 0xC4 && data[at..].starts_with(from.encode_utf8(&mut buffer).as_bytes()));
        folded.push(letter.map_or(byte, |(_, to)| *to));
        at += letter.map_or(1, |(from, _)| from.len_utf8());
        if letter.is_some() {
            moves.push((folded.len(), at - folded.len()));
        }
    }
    (folded, moves)
}
