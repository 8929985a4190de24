//! Values to canonical bytes. Nothing recurses: what is left of each open container is on a stack.

use super::number::write_number;
use super::plain::{is_plain, short_escape};
use crate::error::{Error, JsonProblem};
use crate::json::{Limits, Object, Text, Value, decode_code_point};

/// The canonical bytes of a value.
///
/// ```
/// use receipt_core::{canonical, json};
///
/// let value = json::parse(br#"{"b": 1e16, "a": "\u00e9"}"#, json::Limits::WRITE)?;
/// assert_eq!(canonical::to_bytes(&value, json::Limits::WRITE)?, br#"{"a":"\u00e9","b":1e+16}"#);
/// # Ok::<(), receipt_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Json`] if the value is over a limit, with the offset in the bytes written so far.
pub fn to_bytes(value: &Value, limits: Limits) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    write_value(&mut out, value, limits)?;
    Ok(out)
}

/// The items of an open container that the writer has not written yet.
enum Rest<'a> {
    Array(std::slice::Iter<'a, Value>),
    Object(std::slice::Iter<'a, (Text, Value)>),
}

/// Appends the canonical bytes of a value.
///
/// # Errors
/// As [`to_bytes`]; `out` then holds a part of the value.
pub fn write_value(out: &mut Vec<u8>, value: &Value, limits: Limits) -> Result<(), Error> {
    let mut open: Vec<Rest<'_>> = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next.take()
            && let Some(rest) = write_start(out, value, limits, open.len())?
        {
            open.push(rest);
        }
        let Some(rest) = open.last_mut() else { return Ok(()) };
        let first = matches!(out.last(), Some(b'[' | b'{'));
        let close = match rest {
            Rest::Array(items) => {
                next = items.next();
                b']'
            }
            Rest::Object(members) => {
                if let Some((key, value)) = members.next() {
                    if !first {
                        out.push(b',');
                    }
                    write_key(out, key, limits)?;
                    next = Some(value);
                    continue;
                }
                b'}'
            }
        };
        if next.is_none() {
            out.push(close);
            open.pop();
        } else if !first {
            out.push(b',');
        }
    }
}

/// Appends an object as [`write_value`] does.
///
/// # Errors
/// As [`write_value`].
pub fn write_object(out: &mut Vec<u8>, object: &Object, limits: Limits) -> Result<(), Error> {
    out.push(b'{');
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_key(out, key, limits)?;
        write_value(out, value, Limits { depth: limits.depth.saturating_sub(1), ..limits })?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes a scalar whole, or the opening of a container and what is left of it.
fn write_start<'a>(
    out: &mut Vec<u8>,
    value: &'a Value,
    limits: Limits,
    depth: usize,
) -> Result<Option<Rest<'a>>, Error> {
    let too_deep = depth >= limits.depth;
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number, limits)?,
        Value::String(text) => write_string(out, text),
        Value::Array(_) | Value::Object(_) if too_deep => {
            return Err(Error::Json { offset: out.len(), problem: JsonProblem::TooDeep { limit: limits.depth } });
        }
        Value::Array(items) => {
            out.push(b'[');
            return Ok(Some(Rest::Array(items.iter())));
        }
        Value::Object(object) => {
            out.push(b'{');
            return Ok(Some(Rest::Object(object.iter())));
        }
    }
    Ok(None)
}

fn write_key(out: &mut Vec<u8>, key: &Text, limits: Limits) -> Result<(), Error> {
    if !limits.surrogate_keys && key.as_str().is_none() {
        return Err(Error::Json { offset: out.len(), problem: JsonProblem::SurrogateKey });
    }
    write_string(out, key);
    out.push(b':');
    Ok(())
}

/// Appends a string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &Text) {
    write_wtf8(out, text.as_bytes());
}

/// Appends UTF-8 text as a string with its quotes.
pub fn write_utf8(out: &mut Vec<u8>, text: &str) {
    write_wtf8(out, text.as_bytes());
}

/// Appends text as a string with its quotes: UTF-8 in which halves of surrogate pairs may stand, as three bytes each.
pub fn write_wtf8(out: &mut Vec<u8>, mut rest: &[u8]) {
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while !rest.is_empty() {
        // Several at once, as nearly all are plain.
        let plain = |eight: &&[u8; 8]| eight.iter().fold(true, |all, byte| all & is_plain(*byte));
        let sure = rest.as_chunks::<8>().0.iter().take_while(plain).count() * 8;
        let plain = sure + rest[sure..].iter().take_while(|byte| is_plain(**byte)).count();
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if let Some((point, width)) = decode_code_point(rest) {
            write_escape(out, point);
            rest = &rest[width..];
        }
    }
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, point: u32) {
    match short_escape(point) {
        Some(letter) => out.extend([b'\\', letter]),
        None if point < 0x1_0000 => write_unit(out, point),
        None => {
            let offset = point - 0x1_0000;
            write_unit(out, 0xD800 + (offset >> 10));
            write_unit(out, 0xDC00 + (offset & 0x3FF));
        }
    }
}

fn write_unit(out: &mut Vec<u8>, unit: u32) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| HEX[(unit >> shift & 0xF) as usize];
    out.extend([b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}
