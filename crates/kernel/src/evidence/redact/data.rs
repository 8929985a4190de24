//! Values without quotes under names such as `password`: whether this is a line of data that holds a secret, or a line of
//! a program or of prose that only speaks of one.

use super::LONGEST;
use super::assign::{Assigned, How, name_before, space};

/// How far from a name its line may begin, in what is kept of the text before.
const INDENT: usize = 60;

/// What stands in the place of a value: types, and words for nothing.
const WORDS: [&[u8]; 32] = [
    b"string",
    b"str",
    b"text",
    b"bytes",
    b"byte",
    b"bool",
    b"boolean",
    b"int",
    b"integer",
    b"number",
    b"char",
    b"any",
    b"none",
    b"null",
    b"nil",
    b"undefined",
    b"void",
    b"true",
    b"false",
    b"yes",
    b"no",
    b"required",
    b"optional",
    b"object",
    b"array",
    b"option",
    b"varchar",
    b"date",
    b"unknown",
    b"default",
    b"self",
    b"auto",
];

/// Where a value without quotes ends: at white space, at a quote or at what delimits it.
pub(super) fn bare_end(data: &[u8], value: usize) -> usize {
    let mut at = value;
    while let Some(&byte) = data.get(at) {
        let delimits = matches!(
            byte,
            0 | b'"'
                | b'\''
                | b'`'
                | b'&'
                | b';'
                | b','
                | b'<'
                | b'>'
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'|'
                | b'\\'
        );
        if delimits || space(&data[at..]) > 0 {
            break;
        }
        at += 1;
    }
    at
}

/// Where the value without quotes ends of a name that ends at `tail`, where all around it says that it is data. `bare` and
/// `word` are where it ends at a delimiter and at white space.
pub(super) fn data_end(
    data: &[u8],
    tail: usize,
    at: &Assigned,
    bare: usize,
    word: impl FnOnce() -> usize,
) -> Option<usize> {
    let name = name_before(data, tail);
    let before = &data[..tail - name.len()];
    let value = at.value;
    // Before its end is looked for, which may be far.
    if is_reference(&data[value..]) {
        return None;
    }
    // A space that does not break is one that was not meant, and a colour is none.
    let gap = data.get(tail + 1..value).unwrap_or_default();
    let unseen = gap.first().is_none_or(|byte| matches!(byte, 0x1B | 0x80..));
    let tight = unseen && !gap.iter().any(|byte| matches!(byte, b' ' | 9..=13));
    let other = |end: usize| !data[value..end].eq_ignore_ascii_case(name);
    let (end, whole) = match at.how {
        How::Argument => (word(), data[value] != b'-'),
        How::Equals if is_query(data, tail, at) => (query_end(data, value, bare), true),
        How::Equals if tight && begins_word(before) && is_upper(name) => (word(), true),
        How::Equals if tight && begins_word(before) => (bare, !is_code(data, value, bare) && other(bare)),
        How::Colon if begins_line(before) && value > tail + 1 => {
            let ends = ends_line(data, bare) || is_delimited(data, bare) && !is_code(data, value, bare);
            (bare, ends && other(bare))
        }
        _ => (bare, looks_random(&data[value..bare]) && ends_line(data, bare)),
    };
    (whole && is_literal(&data[value..end])).then_some(end)
}

/// Whether a value is assigned in a query string.
pub(super) fn is_query(data: &[u8], tail: usize, at: &Assigned) -> bool {
    let before = &data[..tail - name_before(data, tail).len()];
    at.how == How::Equals && at.value == tail + 1 && matches!(before.last(), Some(b'?' | b'&'))
}

/// Where a value in a query string ends, which ends at `bare` at the latest.
pub(super) fn query_end(data: &[u8], value: usize, bare: usize) -> usize {
    let near = &data[value..bare.min(value + LONGEST)];
    near.iter().position(|byte| *byte == b'#').map_or(bare, |length| value + length)
}

/// Whether a word may begin behind this: at white space, at a quote, or where a shell begins one.
fn begins_word(before: &[u8]) -> bool {
    match before {
        [] | [.., b'\\', b'n' | b't' | b'r'] => true,
        [.., last] => matches!(last, b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b';' | b'`' | 0),
    }
}

/// Whether a line begins here, indented or not, with the marks that lists and traces have; or a string does.
fn begins_line(before: &[u8]) -> bool {
    let kept = &before[before.len().saturating_sub(INDENT)..];
    let marks =
        kept.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t' | b'-' | b'>' | b'<' | b'*' | b'+')).count();
    match &kept[..kept.len() - marks] {
        [] => before.len() < INDENT,
        [.., b'\\', b'n' | b'r' | b't'] => true,
        [.., last] => matches!(last, b'\n' | b'\r' | 0) || marks == 0 && matches!(last, b'"' | b'\''),
    }
}

/// Whether nothing but a comment follows on the line, or a string ends.
fn ends_line(data: &[u8], end: usize) -> bool {
    let blanks = data[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    matches!(
        &data[end + blanks..],
        [] | [b'\n' | b'\r' | b'#' | b'"' | b'\'' | 0, ..] | [b'\\', b'n' | b'r' | b'"' | b'\'', ..]
    )
}

/// Whether what follows a value belongs to a program: what calls and compares does; what delimits does where the value may
/// be the name of a variable.
fn is_code(data: &[u8], value: usize, end: usize) -> bool {
    match data.get(end) {
        Some(b'(' | b'[' | b'{' | b'<' | b'>' | b'|') => true,
        _ => is_delimited(data, end) && !is_mixed(&data[value..end]),
    }
}

fn is_delimited(data: &[u8], end: usize) -> bool {
    matches!(data.get(end), Some(b')' | b']' | b'}' | b',' | b';'))
}

/// Whether a word is hardly the name of a variable: letters and digits, and a digit within. A number with an exponent is
/// one of JSON, where no mark could stand in its place.
fn is_mixed(text: &[u8]) -> bool {
    if text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'e' | b'E' | b'+' | b'-' | b'.')) {
        return false;
    }
    let within = text.len() >= 6 && text[..text.len() - 1].iter().any(u8::is_ascii_digit);
    let ends = text.len() >= 7 && text.last().is_some_and(u8::is_ascii_digit);
    text.iter().any(u8::is_ascii_alphabetic) && !text.contains(&b'.') && !text.contains(&b'_') && (within || ends)
}

fn is_upper(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// Whether a value is taken from elsewhere: a variable, a call, a comparison.
fn is_reference(text: &[u8]) -> bool {
    matches!(text, [b'$' | b'%' | b'{' | b'<' | b'*' | b'@' | b'=' | b'&' | b'!' | b'|' | b'(', ..])
}

/// Whether a value is written out: no type, not masked.
fn is_literal(text: &[u8]) -> bool {
    let masked = text.iter().all(|byte| matches!(byte, b'*' | b'.' | b'-' | b'_' | b'#')) || is_filler(text);
    !masked && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// `xxxx`
fn is_filler(text: &[u8]) -> bool {
    text.len() > 2 && text.iter().all(|byte| matches!(byte, b'x' | b'X'))
}

/// Whether a word is no word of a language or a program: letters and digits mixed, and nothing that joins names.
fn looks_random(text: &[u8]) -> bool {
    let head = &text[..text.len().min(256)];
    head.len() >= 8
        && head.iter().any(u8::is_ascii_digit)
        && head.iter().any(u8::is_ascii_alphabetic)
        && !head.contains(&b'.')
        && !head.contains(&b':')
        && !head.contains(&b'/')
        && !head.contains(&b'_')
}
