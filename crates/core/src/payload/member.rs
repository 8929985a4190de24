//! Members of a payload as they stand in its canonical text, of which no values are built.
//!
//! Canonical text has no escapes in what needs none, no white space, and no member twice.

use crate::json::{self, Text};

/// A member of a payload, as far as it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Member<T> {
    /// The member is missing or `null`.
    #[default]
    Nothing,
    /// The member holds a value that may not stand there.
    Malformed,
    /// The member holds this value.
    Is(T),
}

impl<T> Member<T> {
    /// The value, if it may stand there.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Nothing | Self::Malformed => None,
        }
    }

    pub(super) fn read(json: Option<&[u8]>, parse: impl FnOnce(&[u8]) -> Option<T>) -> Self {
        match given(json) {
            None => Self::Nothing,
            Some(json) => parse(json).map_or(Self::Malformed, Self::Is),
        }
    }
}

/// A member that is there and is not `null`.
pub(super) fn given(json: Option<&[u8]>) -> Option<&[u8]> {
    json.filter(|json| *json != b"null")
}

pub(super) fn is_object(json: &[u8]) -> bool {
    json.starts_with(b"{")
}

pub(super) fn is_text(json: &[u8]) -> bool {
    json.starts_with(b"\"")
}

/// The text between the quotes, if nothing in it is escaped.
pub(super) fn plain(json: &[u8]) -> Option<&str> {
    let text = json.strip_prefix(b"\"")?.strip_suffix(b"\"").filter(|text| !text.contains(&b'\\'))?;
    std::str::from_utf8(text).ok()
}

/// A text, which is parsed only if something in it is escaped.
pub(super) fn text(json: &[u8]) -> Option<Text> {
    plain(json).map(Text::from).or_else(|| json::parse_string(json))
}

/// A text that is Unicode.
pub(super) fn unicode(json: &[u8]) -> Option<String> {
    text(json)?.as_str().map(str::to_owned)
}

/// An integer from 0 to 2⁶³ − 1.
pub(super) fn count(json: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(json).ok()?;
    let digits = digits.starts_with(|first: char| first.is_ascii_digit()).then_some(digits)?;
    digits.parse().ok().filter(|count| i64::try_from(*count).is_ok())
}

/// `true` or `false`.
pub(super) fn truth(json: &[u8]) -> Option<bool> {
    match json {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// What Python takes for an integer: one of any size, here no further from 0 than 2⁶³, and `true` and `false`.
pub(super) fn integer(json: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(json).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    match text {
        "true" => Some(1),
        "false" => Some(0),
        _ if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => Some(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })),
    }
}

/// Whether Python takes it for true: it is not `null`, `false`, zero or empty.
pub(super) fn is_true(json: &[u8]) -> bool {
    const FALSE: [&[u8]; 8] = [b"null", b"false", b"0", b"0.0", b"-0.0", br#""""#, b"[]", b"{}"];
    !FALSE.contains(&json)
}

/// Whether it is an object or a list.
pub(super) fn is_nested(json: &[u8]) -> bool {
    is_object(json) || json.starts_with(b"[")
}
