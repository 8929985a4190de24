//! Strings: UTF-8 in which halves of surrogate pairs may stand.

use std::fmt;

/// A JSON string: WTF-8, that is, UTF-8 in which surrogates without their other half may stand.
///
/// Comparison is by bytes, which for WTF-8 is comparison by code point.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// The WTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text as UTF-8, or `None` if it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text as UTF-8, each lone surrogate shown as U+FFFD.
    pub fn to_string_lossy(&self) -> String {
        match self.as_str() {
            Some(text) => text.to_owned(),
            None => {
                self.code_points().map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
        }
    }

    /// The code points, lone surrogates among them.
    pub fn code_points(&self) -> impl Iterator<Item = u32> + '_ {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (point, width) = decode_code_point(rest)?;
            rest = &rest[width..];
            Some(point)
        })
    }

    /// Adds UTF-8, before which no half of a surrogate pair waits for its other half.
    pub(super) fn push_str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Adds a code point, joining a high surrogate at the end with a low one that follows it.
    pub fn push(&mut self, point: u32) {
        let point = if (0xDC00..0xE000).contains(&point) {
            match self.take_high_surrogate() {
                Some(high) => 0x10000 + ((high - 0xD800) << 10) + (point - 0xDC00),
                None => point,
            }
        } else {
            point
        };
        push_code_point(&mut self.0, point);
    }

    fn take_high_surrogate(&mut self) -> Option<u32> {
        match self.0.as_slice() {
            [.., 0xED, second @ 0xA0..=0xAF, third] => {
                let high = 0xD000 | (u32::from(second & 0x3F) << 6) | u32::from(third & 0x3F);
                self.0.truncate(self.0.len() - 3);
                Some(high)
            }
            _ => None,
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // each shift leaves six bits or fewer
fn push_code_point(out: &mut Vec<u8>, point: u32) {
    let tail = |shift: u32| 0x80 | ((point >> shift) & 0x3F) as u8;
    match point {
        0..0x80 => out.push(point as u8),
        0x80..0x800 => out.extend([0xC0 | (point >> 6) as u8, tail(0)]),
        0x800..0x1_0000 => out.extend([0xE0 | (point >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xF0 | (point >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

/// The first code point of WTF-8 bytes and how many bytes it takes.
pub(crate) fn decode_code_point(bytes: &[u8]) -> Option<(u32, usize)> {
    let tail = |index: usize| bytes.get(index).map_or(0, |byte| u32::from(byte & 0x3F));
    let first = u32::from(*bytes.first()?);
    let (point, width) = match first {
        0..0x80 => (first, 1),
        0x80..0xE0 => (((first & 0x1F) << 6) | tail(1), 2),
        0xE0..0xF0 => (((first & 0x0F) << 12) | (tail(1) << 6) | tail(2), 3),
        _ => (((first & 0x07) << 18) | (tail(1) << 12) | (tail(2) << 6) | tail(3), 4),
    };
    Some((point, width.min(bytes.len())))
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}
