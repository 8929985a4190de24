//! Names and values: the syntaxes in which a value is assigned to a name.

use super::rules::marker;
use super::{CONTEXT, LONGEST, escapes, pairs, work};

pub(super) const DOUBLE: u8 = b'"';
pub(super) const SINGLE: u8 = b'\'';

/// Names that end in `key` and hold an identifier, not a secret.
const IDENTIFIERS: [&str; 40] = [
    "evidence_key",
    "idempotency_key",
    "public_key",
    "primary_key",
    "foreign_key",
    "cache_key",
    "cachekey",
    "sort_key",
    "partition_key",
    "object_key",
    "row_key",
    "hash_key",
    "range_key",
    "group_key",
    "lookup_key",
    "routing_key",
    "translation_key",
    "i18n_key",
    "message_key",
    "config_key",
    "registry_key",
    "restore_key",
    "dedup_key",
    "query_key",
    "event_key",
    "issue_key",
    "project_key",
    "projectkey",
    "s3_key",
    "file_key",
    "index_key",
    "sorting_key",
    "item_key",
    "map_key",
    "host_key",
    "publickey",
    "key_id",
    "next_token",
    "nexttoken",
    "continuation_token",
];

/// What a value may be wrapped in, which is no part of it: `Some("…")`, `SecretString("…")`, `b"…"`.
const WRAPPERS: [&str; 22] = [
    "some",
    "ok",
    "just",
    "optional",
    "secret",
    "secretstring",
    "secretstr",
    "secretbox",
    "string",
    "str",
    "text",
    "password",
    "owned",
    "borrowed",
    "cow",
    "stringval",
    "cty.stringval",
    "newsecret",
    "zeroizing",
    "box",
    "plain",
    "literal",
];

/// What makes a secret's name of `key` when written in one word with it. Other words (`monkey`) do not.
const COMPOUNDS: [&str; 11] =
    ["api", "access", "secret", "private", "auth", "master", "signing", "encryption", "shared", "account", "ssh"];

/// What may stand before the quote of a text of some kind.
const PREFIXES: [&str; 9] = ["b", "r", "u", "f", "n", "e", "l", "rb", "br"];

/// How long the white space is that begins here; 0 if none does. Python's idea of it: Unicode's and four controls.
pub(super) fn space(rest: &[u8]) -> usize {
    match rest {
        [9..=13 | 28..=32, ..] => 1,
        [0xC2, 0x85 | 0xA0, ..] => 2,
        [0xE1, 0x9A, 0x80, ..]
        | [0xE2, 0x80, 0x80..=0x8A | 0xA8 | 0xA9 | 0xAF, ..]
        | [0xE2, 0x81, 0x9F, ..]
        | [0xE3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// Past white space, and past the colours of a terminal, which look like none.
pub(super) fn skip_space(data: &[u8], mut at: usize) -> usize {
    loop {
        let rest = &data[at..];
        let width = match rest {
            // A space that does not break, in Latin-1 or as an escape that was read.
            [0xA0, ..] => 1,
            [0x1B, ..] => escapes::colour(rest).unwrap_or(0),
            _ => space(rest),
        };
        if width == 0 {
            return at;
        }
        at += width;
    }
}

/// How a value is assigned to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// `=`, `=>`
    Equals,
    /// `:`, `:=`
    Colon,
    /// The word after `--name`.
    Argument,
    /// `<name>` …
    Element,
    /// A member that holds the value, beside one that holds the name.
    Pair,
    /// `[name] => `, to the end of the line.
    Index,
}

/// Where a value is that is assigned to a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    /// Where it begins, at its quote if it has one.
    pub(super) value: usize,
    /// Whether its name was closed by a quote.
    pub(super) named: bool,
    pub(super) how: How,
    /// Whether it is the first of an array.
    pub(super) array: bool,
}

/// After a name that ends here: past what assigns, to where the value begins.
pub(super) fn assigned(data: &[u8], tail: usize) -> Option<Assigned> {
    let backslashes = data[tail..].iter().take_while(|&&byte| byte == b'\\').count();
    let named = matches!(data.get(tail + backslashes), Some(&(DOUBLE | SINGLE)));
    let closed = if named { tail + backslashes + 1 } else { tail };
    if let Some(value) = pairs::beside(data, tail, closed) {
        return Some(Assigned { value, named, how: How::Pair, array: false });
    }
    let index = data.get(closed) == Some(&b']') && is_index(data, tail);
    let at = skip_space(data, closed + usize::from(index));
    let flag = || is_flag(data, tail);
    let (next, how) = match (data.get(at)?, data.get(at + 1)) {
        (b'=', Some(b'>')) if index && !named => (at + 2, How::Index),
        (b'=', Some(b'>')) => (at + 2, How::Equals),
        _ if index && !named => return None,
        (b':', Some(b'=')) => (at + 2, How::Colon),
        (b'=', _) => (at + 1, How::Equals),
        (b':', _) => (at + 1, How::Colon),
        (b'>', _) if at == tail && opens_element(data, tail) => {
            return Some(Assigned { value: at + 1, named, how: How::Element, array: false });
        }
        (b',', _) if named && flag() => {
            let value = skip_space(data, at + 1);
            let opens = matches!(data.get(value), Some(&(DOUBLE | SINGLE | b'\\')));
            return opens.then_some(Assigned { value, named, how: How::Argument, array: false });
        }
        _ if !named && at > tail && flag() && data[tail..at].iter().all(|byte| matches!(byte, b' ' | b'\t')) => {
            return Some(Assigned { value: at, named, how: How::Argument, array: false });
        }
        _ => return None,
    };
    let value = skip_space(data, next);
    // What begins the next line is no value of a name that ends this one, as after a prompt.
    if !named && value > next && matches!(data[value - 1], b'\n' | b'\r') {
        return None;
    }
    let value = unwrapped(data, value);
    // The values of a header are often in an array; without a quoted name it may be an index, but for what is quoted.
    let first = || skip_space(data, value + 1);
    let quoted = || matches!(data.get(first()), Some(&(DOUBLE | SINGLE)));
    let array = data.get(value) == Some(&b'[') && (named || quoted());
    Some(Assigned { value: if array { first() } else { value }, named, how, array })
}

/// Whether the name that ends here is an index: `["name"]`, `[name]`.
fn is_index(data: &[u8], tail: usize) -> bool {
    let before = &data[..tail - name_before(data, tail).len()];
    let quotes = before.iter().rev().take(8).take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\')).count();
    before[..before.len() - quotes].ends_with(b"[")
}

/// Where a value begins that stands in what may be around one, where something of that begins here.
fn unwrapped(data: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        let near = &data[at..data.len().min(at + 24)];
        let length = near.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count();
        let (word, rest) = near.split_at(length);
        at = match rest {
            // A literal of bytes, or of another kind of text: b"…", r'…', N'…', @"…".
            [b'"' | b'\'' | b'\\', ..] if PREFIXES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)) => {
                return at + length;
            }
            [b'@' | b'&', b'"' | b'\\', ..] if length == 0 => return at + 1,
            [b'(' | b'[', ..] if WRAPPERS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)) => {
                // `string(7) "…"` says how long it is.
                let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                match &rest[1 + digits..] {
                    [b')', b' ', b'"', ..] if digits > 0 => return at + length + digits + 3,
                    _ => at + length + 1,
                }
            }
            _ => return at,
        };
    }
    at
}

/// Whether the name that ends here is one of a flag.
pub(super) fn is_flag(data: &[u8], tail: usize) -> bool {
    name_before(data, tail).first() == Some(&b'-')
}

/// Whether the name that ends here is that of an element of XML, in a namespace or not.
fn opens_element(data: &[u8], tail: usize) -> bool {
    let name = tail - name_before(data, tail).len();
    match &data[..name] {
        [.., b'<'] => true,
        [before @ .., b':'] => {
            before.len() > name_before(data, name - 1).len() && {
                let prefix = name - 1 - name_before(data, name - 1).len();
                data[..prefix].ends_with(b"<")
            }
        }
        _ => false,
    }
}

/// The text of an element of XML that begins here.
pub(super) fn element(data: &[u8], value: usize) -> Option<(usize, usize)> {
    let limit = data.len().min(value + LONGEST);
    let length = data[value..limit].iter().position(|byte| *byte == b'<')?;
    (length > 0 && data.get(value + length + 1) == Some(&b'/')).then_some((value, value + length))
}

/// How many more characters of a name follow.
pub(super) fn name_rest(data: &[u8], tail: usize) -> usize {
    let rest = &data[tail..data.len().min(tail + NAME_REST)];
    rest.iter().take_while(|byte| is_name(**byte)).count()
}

const NAME_REST: usize = 48;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The inside of a string that opens here with this quote, which may be an escaped one: `\"` in a string of JSON.
///
/// It ends at the quote that closes it on this line, else at the first one that follows; with none in reach the
/// string was cut short, and ends with its line.
pub(super) fn quoted(data: &[u8], at: usize, quote: u8) -> Option<(usize, usize)> {
    let opening = data[at..].iter().take_while(|&&byte| byte == b'\\').count();
    let start = at + opening + 1;
    // An even number of backslashes escapes no quote: this one closes the string that they are in.
    let opens = data.get(start - 1) == Some(&quote) && (opening == 0 || opening % 2 == 1);
    opens.then_some(())?;
    let limit = data.len().min(start.saturating_add(LONGEST));
    let (mut first, mut same_line, mut backslashes) = (None, true, 0);
    work::looked(opening + 1);
    for (offset, &byte) in data[start..limit].iter().enumerate() {
        let here = start + offset;
        match byte {
            b'\\' => backslashes += 1,
            b'\n' | b'\r' if first.is_some() => {
                work::looked(offset);
                return first.map(|end| (start, end));
            }
            b'\n' | b'\r' => same_line = false,
            _ if byte == quote => {
                let end = here - opening.min(backslashes);
                if !same_line || closes(backslashes, opening) {
                    work::looked(offset);
                    return Some((start, end));
                }
                first = first.or(Some(here));
            }
            _ => {}
        }
        if byte != b'\\' {
            backslashes = 0;
        }
    }
    work::looked(limit - start);
    Some((start, first.unwrap_or_else(|| unquoted_end(data, start, true).min(limit))))
}

/// Where the next string of an array begins, after the value of it that begins here.
pub(super) fn next_of_array(data: &[u8], value: usize) -> Option<usize> {
    let opening = data[value..].iter().take_while(|&&byte| byte == b'\\').count();
    let quote = *data.get(value + opening).filter(|byte| matches!(**byte, DOUBLE | SINGLE))?;
    let (start, end) = quoted(data, value, quote)?;
    let comma = skip_space(data, (end + (start - value)).min(data.len()));
    (data.get(comma) == Some(&b',')).then(|| skip_space(data, comma + 1))
}

/// Whether a quote behind so many backslashes closes what a quote behind `opening` of them has opened.
fn closes(mut backslashes: usize, mut opening: usize) -> bool {
    // Each level of strings within strings doubles the backslashes and adds the one before the quote.
    while opening > 0 {
        if backslashes.is_multiple_of(2) {
            return true;
        }
        (backslashes, opening) = (backslashes / 2, opening / 2);
    }
    backslashes.is_multiple_of(2)
}

/// Whether what stands here cannot belong to a value that has just ended with a quote.
pub(super) fn ends_value(data: &[u8], at: usize) -> bool {
    let Some(byte) = data.get(at) else { return true };
    matches!(byte, b',' | b':' | b';' | b'}' | b']' | b')' | b'>' | b'\\' | 0) || space(&data[at..]) > 0
}

/// Where a header ends that goes on behind its line: lines that are indented and hold one more word of it, or parameters.
pub(super) fn folded_end(data: &[u8], mut end: usize) -> usize {
    for _ in 0..FOLDS {
        let rest = &data[end..data.len().min(end + FOLD)];
        let gap = match rest {
            [b'\n', b' ' | b'\t', ..] => 1,
            [b'\r', b'\n', b' ' | b'\t', ..] => 2,
            _ => return end,
        };
        let line = &rest[gap..];
        let line = &line[..line.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(line.len())];
        let text = line.trim_ascii();
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=._~-,\"".contains(byte);
        let word = !text.is_empty() && text.iter().all(token);
        let parameters = text.windows(2).any(|two| two == b"=\"") && !text.contains(&b':');
        if !(word || parameters) {
            return end;
        }
        end += gap + line.len();
    }
    end
}

/// How many lines a header may go on for, and how long each may be.
const FOLDS: usize = 8;
const FOLD: usize = 2 << 10;

/// Where a word ends: at white space, or at a quote that closes a string around it.
pub(super) fn word_end(data: &[u8], at: usize) -> usize {
    run_end(data, at, false, false)
}

/// Where a value without quotes ends: as a word, or with its line, and at an escaped newline.
pub(super) fn unquoted_end(data: &[u8], at: usize, line: bool) -> usize {
    run_end(data, at, line, true)
}

fn run_end(data: &[u8], at: usize, line: bool, escapes: bool) -> usize {
    let end = end_of_run(data, at, line, escapes);
    work::looked(end - at + 1);
    end
}

fn end_of_run(data: &[u8], mut at: usize, line: bool, escapes: bool) -> usize {
    while let Some(&byte) = data.get(at) {
        if line
            && matches!(byte, DOUBLE | SINGLE | b'\\')
            && let Some(end) = parameter_end(data, at)
        {
            at = end;
            continue;
        }
        let stops = match byte {
            b'\n' | b'\r' | 0 => true,
            DOUBLE | SINGLE => ends_value(data, at + 1),
            b'\\' => {
                let after = at + data[at..].iter().take_while(|&&byte| byte == b'\\').count();
                let stops = match data.get(after) {
                    Some(&(DOUBLE | SINGLE)) => ends_value(data, after + 1),
                    Some(b'n' | b'r') => escapes,
                    _ => false,
                };
                if !stops {
                    at = after - 1;
                }
                stops
            }
            _ => !line && space(&data[at..]) > 0,
        };
        if stops {
            return at;
        }
        at += 1;
    }
    data.len()
}

/// The longest string that is looked for after a `=` in the middle of a line.
const PARAMETER: usize = 1 << 10;

/// What the parameters of an authorization are called. A `=` that ends base64 stands behind none of them.
const PARAMETERS: [&str; 16] = [
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "opaque",
    "algorithm",
    "qop",
    "cnonce",
    "nc",
    "userhash",
    "token",
    "signature",
    "keyid",
    "headers",
    "credential",
];

/// Where the string ends that opens here, behind backslashes or not, where it is a parameter of a header:
/// `Digest username="x", response="y"`.
fn parameter_end(data: &[u8], at: usize) -> Option<usize> {
    let name = name_before(data, at.checked_sub(1).filter(|before| data[*before] == b'=')?);
    let known = PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    (known || name.starts_with(b"oauth_")).then_some(())?;
    let quote = at + data[at..].iter().take_while(|&&byte| byte == b'\\').count();
    let opening = data.get(at..=quote).filter(|_| matches!(data[quote], DOUBLE | SINGLE))?;
    let near = &data[quote + 1..data.len().min(quote + 1 + PARAMETER)];
    let line = near.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(near.len());
    let close = near[..line].iter().position(|byte| *byte == data[quote])?;
    let end = quote + 1 + close;
    data[..end].ends_with(&opening[..opening.len() - 1]).then_some(end + 1)
}

/// Whether a keyword is the end of a longer word: `sk-` in `task-`. The letter of an escape is none of a word.
pub(super) fn follows_letter(data: &[u8], head: usize) -> bool {
    let before = &data[head.saturating_sub(CONTEXT)..head];
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match before {
        [.., b'%', a, b] | [.., b'\\', b'x', a, b] if is_hex(&[*a, *b]) => false,
        [.., b'\\', b'u', a, b, c, d] if is_hex(&[*a, *b, *c, *d]) => false,
        // A terminal's colour: ESC [ numbers m.
        [colour @ .., b'm'] if !colour.ends_with(b"\\") => {
            let numbers = colour.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
            colour.len() == numbers || colour[colour.len() - numbers - 1] != b'['
        }
        [.., b'\\', _] | [] => false,
        [.., last] => last.is_ascii_alphabetic(),
    }
}

/// Whether the name that ends with this keyword is one of a secret. All are, but words that merely end in `key`.
pub(super) fn is_secret_name(data: &[u8], head: usize, tail: usize) -> bool {
    let keyword = &data[head..tail];
    let hump = keyword[0].is_ascii_uppercase() && head > 0 && data[head - 1].is_ascii_lowercase();
    let before = &data[head.saturating_sub(CONTEXT)..head];
    !keyword.eq_ignore_ascii_case(b"key")
        || hump
        || !follows_letter(data, head)
        || COMPOUNDS.iter().any(|word| ends_with(before, word))
}

pub(super) fn ends_with(text: &[u8], ending: &str) -> bool {
    text.len().checked_sub(ending.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(ending.as_bytes()))
}

/// The name that ends here.
pub(super) fn name_before(data: &[u8], tail: usize) -> &[u8] {
    let before = &data[tail.saturating_sub(CONTEXT)..tail];
    let length = before.iter().rev().take_while(|byte| is_name(**byte)).count();
    &before[before.len() - length..]
}

/// Whether a name that ends in `key` is one of an identifier.
pub(super) fn is_identifier(name: &[u8]) -> bool {
    let plain: Vec<u8> = name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte }).collect();
    plain.eq_ignore_ascii_case(b"key") || IDENTIFIERS.iter().any(|known| ends_with(&plain, known))
}

/// Whether a value is a path of words, which no key is: `projects/foo/bar`.
pub(super) fn is_path(value: &[u8]) -> bool {
    let word = |part: &[u8]| {
        part.first().is_none_or(u8::is_ascii_alphabetic)
            && part.len() <= 24
            && part.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(byte))
            && part.iter().filter(|byte| byte.is_ascii_digit()).count() <= 2
    };
    value.len() <= 256 && value.contains(&b'/') && value.split(|byte| *byte == b'/').all(word)
}

/// Whether a value says that it is the SHA-256 of something. Bare digits do not: a random key looks the same.
pub(super) fn is_digest(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"blob://").unwrap_or(value);
    let digits = value.strip_prefix(b"sha256:");
    digits.is_some_and(|digits| digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// How long a value is, not counting what already stands in the place of a secret.
pub(super) fn weight(value: &[u8]) -> usize {
    let mut weight = value.len();
    for at in (0..value.len()).filter(|&at| value[at] == b'[') {
        weight -= marker(&value[at..]).unwrap_or(0);
    }
    weight
}

/// Past what already stands in the place of a secret, where a place is inside of it: the colon there separates nothing.
pub(super) fn past_marker(data: &[u8], at: usize) -> usize {
    let near = at.saturating_sub(CONTEXT);
    let opens = memchr::memchr_iter(b'[', &data[near..at]).map(|from| near + from);
    let ends = opens.filter_map(|from| Some(from + marker(&data[from..])?));
    ends.max().map_or(at, |end| end.max(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_close_at_the_depth_they_opened() {
        let closing = |opening| (0..8).filter(|&backslashes| closes(backslashes, opening)).collect::<Vec<_>>();
        assert_eq!(closing(0), [0, 2, 4, 6]);
        assert_eq!(closing(1), [0, 1, 2, 4, 5, 6]);
        assert_eq!(closing(3), [0, 1, 2, 3, 4, 5, 6]);
    }
}
