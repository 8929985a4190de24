//! The shapes that members of an envelope must have, of JSON that the scanner has passed.

use super::layout::{MEMBERS, Scanned};
use super::types::EventType;
use crate::canonical;
use crate::error::Error;
use crate::json::{self, Text};

pub(super) fn member_of<'a>(text: &'a [u8], scanned: &Scanned, member: usize) -> Result<&'a [u8], Error> {
    let value = &text[scanned.places[member].clone()];
    if value.is_empty() { Err(malformed(MEMBERS[member], "it is missing")) } else { Ok(value) }
}

pub(super) fn malformed(field: &'static str, problem: &str) -> Error {
    Error::Draft { field, problem: problem.to_owned() }
}

pub(super) fn quoted(json: &[u8]) -> Option<&[u8]> {
    json.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

pub(super) fn string<'a>(field: &'static str, json: &'a [u8]) -> Result<&'a [u8], Error> {
    if is_string(json) { Ok(json) } else { Err(malformed(field, "it must be a string")) }
}

pub(super) fn integer(json: &[u8]) -> Option<i64> {
    if (1..=18).contains(&json.len()) && json.iter().all(u8::is_ascii_digit) {
        return Some(json.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')));
    }
    std::str::from_utf8(json).ok()?.parse().ok()
}

pub(super) fn event_type(json: &[u8]) -> Result<EventType, Error> {
    let word = quoted(json).and_then(|word| std::str::from_utf8(word).ok());
    word.and_then(EventType::parse).ok_or_else(|| malformed("event_type", "it is not one of the eight types"))
}

pub(super) fn decode(json: &[u8]) -> Text {
    json::parse_string(json).unwrap_or_default()
}

/// Whether a JSON string, as checked by the scanner, stands for this text.
pub(super) fn same_text(json: &[u8], text: &[u8]) -> bool {
    let inner = quoted(json).unwrap_or_default();
    if inner.contains(&b'\\') { decode(json).as_bytes() == text } else { inner == text }
}

/// Whether a JSON object, as checked by the scanner, has these members, all strings. Quick for exactly these members.
pub(super) fn has_strings(json: &[u8], names: &[&str]) -> bool {
    let mut rest = json;
    let quick = names.iter().enumerate().all(|(index, name)| {
        let before: &[u8] = if index == 0 { b"{\"" } else { b",\"" };
        let value = rest
            .strip_prefix(before)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"\":\""));
        let end = value.and_then(|value| Some((value, value.iter().position(|byte| matches!(byte, b'"' | b'\\'))?)));
        match end {
            Some((value, end)) if value[end] == b'"' => {
                rest = &value[end + 1..];
                true
            }
            _ => false,
        }
    });
    if quick && rest == b"}" {
        return true;
    }
    names.iter().all(|name| canonical::member(json, name).is_some_and(is_string))
}

/// Whether a JSON object, as checked by the scanner, has `blobs` and `events`, both lists of strings. No values are built:
/// there may be millions.
pub(super) fn has_references(json: &[u8]) -> bool {
    let strings = |list: &[u8]| list.starts_with(b"[") && canonical::items(list).all(is_string);
    ["blobs", "events"].iter().all(|name| canonical::member(json, name).is_some_and(strings))
}

fn is_string(json: &[u8]) -> bool {
    json.first() == Some(&b'"')
}
