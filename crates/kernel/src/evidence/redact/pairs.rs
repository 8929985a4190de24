//! A name and its value as two members that stand beside each other, in either order: `"name": "db_password", "value": "…"`,
//! `ParameterKey=…,ParameterValue=…`, `<add key="…" value="…"/>`, the `env` of a manifest; and values in an object below
//! their name: `"password": {"type": "string", "value": "…"}`.
//!
//! All of it is read forward from a keyword, over a bounded number of members of a bounded length.

use super::assign::{DOUBLE, SINGLE, ends_with, name_before};
use super::work;

/// What a member is called that holds the name of something.
const NAMES: [&str; 18] = [
    "name",
    "key",
    "k",
    "parametername",
    "parameterkey",
    "parameter",
    "header",
    "headername",
    "field",
    "fieldname",
    "variable",
    "variablename",
    "option",
    "property",
    "propertyname",
    "attribute",
    "setting",
    "varname",
];

/// What a member is called that holds the value of something.
const VALUES: [&str; 16] = [
    "value",
    "val",
    "v",
    "parametervalue",
    "headervalue",
    "content",
    "stringvalue",
    "plaintext",
    "plain",
    "raw",
    "default",
    "defaultvalue",
    "current",
    "currentvalue",
    "secretvalue",
    "secretstring",
];

/// What the two sides of a change are called.
const SIDES: [&str; 14] = [
    "old", "new", "before", "after", "from", "to", "previous", "next", "oldvalue", "newvalue", "lhs", "rhs", "actual",
    "expected",
];

/// What only a cookie has.
const COOKIE: [&str; 4] = ["httponly", "samesite", "hostonly", "samesitestatus"];

/// How many members may stand between the two.
const BETWEEN: usize = 8;
/// How long a member between them may be, and a name.
const MEMBER: usize = 256;
const NAME: usize = 96;
/// How many blanks are skipped at once.
const BLANKS: usize = 96;

fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    let plain = word.iter().filter(|byte| !matches!(byte, b'_' | b'-'));
    let lower: Vec<u8> = plain.map(u8::to_ascii_lowercase).collect();
    words.iter().any(|known| known.as_bytes() == lower)
}

pub(super) fn holds_name(key: &[u8]) -> bool {
    is_one_of(key, &NAMES)
}

pub(super) fn holds_value(key: &[u8]) -> bool {
    is_one_of(key, &VALUES)
}

/// Whether what stands under this below a name of a secret is a value of it.
pub(super) fn belongs_to_name(key: &[u8]) -> bool {
    holds_value(key) || is_one_of(key, &SIDES)
}

pub(super) fn is_of_cookie(key: &[u8]) -> bool {
    is_one_of(key, &COOKIE)
}

/// Whether a name is that of a password whatever other rules there are.
pub(super) fn names_password(name: &[u8]) -> bool {
    ["password", "passwd", "passphrase", "secret"].iter().any(|word| ends_with(name, word))
}

/// Past blanks and commas, and past line breaks as they stand in a string.
fn skip(data: &[u8], mut at: usize) -> usize {
    let limit = data.len().min(at + BLANKS);
    while at < limit {
        match data[at] {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => at += 1,
            b'\\' => {
                let after = at + backslashes(data, at);
                if !matches!(data.get(after), Some(b'n' | b'r' | b't')) {
                    return at;
                }
                at = after + 1;
            }
            _ => return at,
        }
    }
    at
}

/// How many backslashes begin here, of those that there can be before a quote.
fn backslashes(data: &[u8], at: usize) -> usize {
    data[at..data.len().min(at + 15)].iter().take_while(|byte| **byte == b'\\').count()
}

/// Past a quote that begins here, behind backslashes or not.
fn quote(data: &[u8], at: usize) -> Option<usize> {
    let after = at + backslashes(data, at);
    matches!(data.get(after), Some(&(DOUBLE | SINGLE))).then_some(after + 1)
}

/// A member that begins here: its key, and where its value begins.
fn member(data: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let begin = quote(data, at).unwrap_or(at);
    let rest = &data[begin..data.len().min(begin + 32)];
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-')).count();
    let key = &rest[..length];
    let mut at = begin + length;
    at = quote(data, at).unwrap_or(at);
    let blank = |at: usize| data[at..data.len().min(at + 8)].iter().take_while(|byte| **byte == b' ').count();
    at += blank(at.min(data.len()));
    let assigns = match (data.get(at)?, data.get(at + 1)) {
        (b'=', Some(b'>')) => 2,
        (b':' | b'=', _) => 1,
        _ => return None,
    };
    at += assigns;
    at += blank(at.min(data.len()));
    (length > 0 && at < data.len()).then_some((key, at))
}

/// Past a value that begins here and is short.
fn past(data: &[u8], at: usize) -> Option<usize> {
    let limit = data.len().min(at + MEMBER);
    work::looked(limit - at);
    if let Some(begin) = quote(data, at) {
        let (opening, byte) = (begin - at - 1, data[begin - 1]);
        let closes = |place: &usize| {
            let before = data[begin..*place].iter().rev().take_while(|byte| **byte == b'\\').count();
            if opening == 0 { before % 2 == 0 } else { before <= opening }
        };
        let near = data.get(begin..limit)?;
        return memchr::memchr_iter(byte, near).map(|length| begin + length).find(closes).map(|place| place + 1);
    }
    let ends = |byte: &u8| matches!(byte, b',' | b'\n' | b'\r' | b' ' | b'\t' | b'}' | b']' | b'>' | b'<' | b'\\');
    let length = data[at..limit].iter().position(ends).or_else(|| (limit == data.len()).then_some(limit - at))?;
    (length > 0).then_some(at + length)
}

/// Where the value of the first member begins whose key is wanted, of those from here on. What encloses a value before it
/// may be closed first.
pub(super) fn partner(data: &[u8], mut at: usize, wanted: impl Fn(&[u8]) -> bool) -> Option<(&[u8], usize)> {
    for index in 0..BETWEEN {
        at = skip(data, at);
        if index == 0 && data.get(at) == Some(&b'}') {
            at = skip(data, at + 1);
        }
        let (key, value) = member(data, at)?;
        if wanted(key) {
            return Some((key, value));
        }
        at = past(data, value)?;
    }
    None
}

/// The name that stands as a value here.
pub(super) fn name_at(data: &[u8], at: usize) -> &[u8] {
    let begin = quote(data, at).unwrap_or(at);
    let rest = &data[begin..data.len().min(begin + NAME)];
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_./:-".contains(byte)).count();
    &rest[..length]
}

/// Where the value begins that stands beside a name which ends at `tail`, and before what closes it at `after`.
pub(super) fn beside(data: &[u8], tail: usize, after: usize) -> Option<usize> {
    // Before more is looked at: a comma or a blank follows, as it does not in most of what is a name.
    if !matches!(data.get(after), Some(b',' | b' ' | b'\t' | b'\r' | b'\n' | b'\\')) || !is_value_of_name(data, tail) {
        return None;
    }
    let (_, mut value) = partner(data, after, holds_value)?;
    // `"value": {"stringValue": "…"}`
    for _ in 0..2 {
        if data.get(value) != Some(&b'{') {
            break;
        }
        value = partner(data, value + 1, holds_value)?.1;
    }
    Some(value)
}

/// Whether what ends here is itself the value of a member that holds a name.
fn is_value_of_name(data: &[u8], tail: usize) -> bool {
    let near = &data[tail.saturating_sub(NAME)..tail];
    let name = near.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(byte)).count();
    let mut before = &near[..near.len() - name.max(name_before(data, tail).len())];
    let trim = |text: &[u8], bytes: &[u8]| text.iter().rev().take_while(|byte| bytes.contains(byte)).count();
    before = &before[..before.len() - trim(before, b"\"'\\")];
    before = &before[..before.len() - trim(before, b" \t")];
    let [rest @ .., b':' | b'='] = before else {
        let Some(rest) = before.strip_suffix(b"=>") else { return false };
        return ends_with_name(rest);
    };
    ends_with_name(rest)
}

fn ends_with_name(text: &[u8]) -> bool {
    let trim = |text: &[u8], bytes: &[u8]| text.iter().rev().take_while(|byte| bytes.contains(byte)).count();
    let text = &text[..text.len() - trim(text, b" \t")];
    let text = &text[..text.len() - trim(text, b"\"'\\")];
    let length = text.iter().rev().take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-')).count();
    holds_name(&text[text.len() - length..])
}

/// Where the values begin of the members of an object that opens here, which stands under the name of a secret; `all`
/// where each is one.
pub(super) fn below(data: &[u8], open: usize, all: bool) -> Vec<usize> {
    let (mut found, mut at, mut depth) = (Vec::new(), open + 1, 0);
    let limit = data.len().min(open + OBJECT);
    while at < limit && found.len() < MOST {
        at = skip(data, at);
        if data.get(at) == Some(&b'}') && depth > 0 {
            (at, depth) = (at + 1, depth - 1);
            continue;
        }
        let Some((key, value)) = member(data, at) else { break };
        work::looked(value - at);
        let counts = all || belongs_to_name(key);
        if counts && data[value] == b'{' && depth < 3 {
            (at, depth) = (value + 1, depth + 1);
            continue;
        }
        if counts {
            found.push(value);
        }
        let Some(end) = past(data, value) else { break };
        at = end;
    }
    found
}

/// How far into an object is looked, and for how many values.
const OBJECT: usize = 4 << 10;
const MOST: usize = 64;
