//! Values without quotes under names such as `password`: whether this is a line of data that holds a secret, or a line of
//! a program or of prose that only speaks of one.

use super::assign::{Assigned, How, name_before, space};
use super::rules::is_marker;
use super::{LONGEST, changes, work};

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
    work::looked(at - value + 1);
    at
}

/// Where the value without quotes ends of a name from `head` to `tail`, where all around it says that it is data. `bare` and
/// `word` are where it ends at a delimiter and at white space.
pub(super) fn data_end(
    data: &[u8],
    (head, tail): (usize, usize),
    at: &Assigned,
    bare: usize,
    word: impl FnOnce() -> usize,
) -> Option<usize> {
    let start = head.min(tail - name_before(data, tail).len());
    let (name, before) = (&data[start..tail], &data[..start]);
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
    // On the next line only a header goes on.
    if at.how != How::Pair && gap.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return None;
    }
    let (end, whole) = match at.how {
        How::Argument => argument(data, name, value, word()),
        How::Equals if is_query(data, tail, at) => (query_end(data, value, bare), true),
        _ if is_wrapped(data, value) => (bare, is_mixed(&data[value..bare])),
        How::Index => (line_end(data, value), true),
        How::Pair => member_end(data, value, bare),
        How::Equals if tight && begins_word(before) && is_upper(name) => (word(), true),
        How::Equals if tight && begins_word(before) => (bare, !is_code(data, value, bare) && other(bare)),
        // A query string that is a value of another one.
        How::Equals if tight && before.ends_with(b"=") => {
            (bare, (data.get(bare) == Some(&b'&') || ends_line(data, bare)) && is_mixed(&data[value..bare]))
        }
        How::Equals if tight && matches!(before.last(), Some(b',' | b'[' | b'{')) => {
            (bare, is_delimited(data, bare) && is_mixed(&data[value..bare]))
        }
        How::Equals if !tight && begins_line(before) => spaced(data, start, value, bare, other(bare)),
        // A part of an address, as that of a secret in a store.
        How::Colon if before.ends_with(b":") => return None,
        How::Colon if value == tail + 1 && is_printed_struct(data, start, value) => (word_in_struct(data, value), true),
        How::Colon if begins_line(before) && value > tail + 1 => {
            let ends = ends_line(data, bare) || is_delimited(data, bare) && !is_code(data, value, bare);
            if ends && other(bare) { (bare, true) } else { delimiters_within(data, value) }
        }
        _ => (bare, looks_random(&data[value..bare]) && ends_line(data, bare)),
    };
    (whole && end > value && is_literal(&data[value..end])).then_some(end)
}

/// The word behind a flag, where it is no word of a text about the flag: `--password PASSWORD`, `--token is required`.
fn argument(data: &[u8], name: &[u8], value: usize, end: usize) -> (usize, bool) {
    let word = &data[value..end];
    let spoken = PROSE.iter().any(|known| word.eq_ignore_ascii_case(known));
    (end, data[value] != b'-' && !spoken && !is_placeholder(word, name))
}

/// Words that follow the name of a flag in a text that speaks of it.
const PROSE: [&[u8]; 32] = [
    b"is",
    b"and",
    b"or",
    b"for",
    b"to",
    b"the",
    b"from",
    b"in",
    b"on",
    b"option",
    b"flag",
    b"must",
    b"should",
    b"was",
    b"if",
    b"when",
    b"with",
    b"as",
    b"not",
    b"are",
    b"can",
    b"argument",
    b"file",
    b"stdin",
    b"has",
    b"will",
    b"a",
    b"an",
    b"of",
    b"but",
    b"parameter",
    b"flags",
];

/// What usage texts have in the place of a value: the name in capitals, or a word for what is meant.
fn is_placeholder(word: &[u8], name: &[u8]) -> bool {
    let letters =
        |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-' | b'.' | b']' | b')' | b'|' | b',' | b'`');
    if word.is_empty() || !word.iter().all(letters) {
        return false;
    }
    let plain =
        |text: &[u8]| text.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_uppercase).collect();
    let (word, name): (Vec<u8>, Vec<u8>) = (plain(word), plain(name));
    let has = |part: &&[u8]| memchr::memmem::find(&word, part).is_some();
    word == name || MEANT.iter().any(has)
}

const MEANT: [&[u8]; 14] = [
    b"PASSW", b"PASS", b"TOKEN", b"SECRET", b"KEY", b"STRING", b"VALUE", b"TEXT", b"FILE", b"PATH", b"NAME", b"USER",
    b"PWD", b"PHRASE",
];

/// A value on a line of its own behind ` = `, with all that a value may have in it: to the end of the line, or to a comment.
fn spaced(data: &[u8], start: usize, value: usize, bare: usize, other: bool) -> (usize, bool) {
    if looks_random(&data[value..bare]) && ends_line(data, bare) {
        return (bare, true);
    }
    let end = line_end(data, value);
    let text = &data[value..end];
    if in_section(data, start) {
        return (end, other && !text.ends_with(b"{"));
    }
    (end, other && is_written_out(text))
}

/// Where the text of a line ends, without a comment behind it.
fn line_end(data: &[u8], value: usize) -> usize {
    let near = &data[value..data.len().min(value + LINE)];
    work::looked(near.len());
    let stops = |place: &usize| matches!(&near[*place..], [b'\n' | b'\r' | 0, ..] | [b'\\', b'n' | b'r', ..]);
    let line = &near[..(0..near.len()).find(stops).unwrap_or(near.len())];
    let opens = |place: &usize| {
        let before = place.checked_sub(1).and_then(|before| line.get(before));
        before.is_some_and(|byte| matches!(byte, b' ' | b'\t'))
            && (matches!(line[*place], b'#' | b';') || line[*place..].starts_with(b"// "))
    };
    let line = &line[..(0..line.len()).find(opens).unwrap_or(line.len())];
    let line = &line[..line.iter().position(|byte| *byte == 0x1B).unwrap_or(line.len())];
    value + line.trim_ascii_end().len()
}

/// The longest line that a value is taken of.
const LINE: usize = 1 << 10;

/// Whether a line of data is what has this value, and none of a program: nothing that calls, indexes or compares.
fn is_written_out(text: &[u8]) -> bool {
    if text.len() > LINE / 2
        || text.iter().any(|byte| matches!(byte, b'(' | b')' | b'{' | b'}' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'|'))
    {
        return false;
    }
    if text.ends_with(b";") || text.ends_with(b",") || text.ends_with(b"\\") || text.windows(2).any(|two| two == b"::")
    {
        return false;
    }
    let words = || text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let count = words().count();
    if words().any(|word| CODE.iter().any(|known| word.eq_ignore_ascii_case(known))) {
        return false;
    }
    if count == 1 {
        return is_no_path(text);
    }
    let plain = |word: &[u8]| word.len() > 1 && word.iter().all(u8::is_ascii_lowercase);
    let dense = |word: &[u8]| word.iter().any(u8::is_ascii_digit) && word.iter().any(u8::is_ascii_alphabetic);
    let named = |word: &[u8]| word.contains(&b'_') || word.contains(&b'.') || word.contains(&b'[');
    !words().any(named) && (count > 2 && words().all(plain) || words().any(dense))
}

/// Whether one word is no path through the members of something: a digit within, and something that joins no names.
fn is_no_path(word: &[u8]) -> bool {
    let digit = word.iter().any(u8::is_ascii_digit);
    let letter = word.iter().any(u8::is_ascii_alphabetic);
    let joins = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'[' | b']' | b'-');
    let indexed = word.ends_with(b"]");
    let turns = word.windows(2).filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    word.len() >= 6
        && digit
        && letter
        && !indexed
        && (!word.iter().all(joins) || turns >= 3 || word[0].is_ascii_digit())
}

/// Words and signs of programs.
const CODE: [&[u8]; 44] = [
    b"if",
    b"else",
    b"for",
    b"in",
    b"and",
    b"or",
    b"not",
    b"new",
    b"await",
    b"lambda",
    b"typeof",
    b"return",
    b"function",
    b"as",
    b"is",
    b"get",
    b"let",
    b"match",
    b"yield",
    b"null",
    b"none",
    b"nil",
    b"true",
    b"false",
    b"self",
    b"this",
    b"+",
    b"-",
    b"*",
    b"/",
    b"||",
    b"&&",
    b"==",
    b"!=",
    b"?",
    b":",
    b"->",
    b"=>",
    b"??",
    b"%",
    b"try",
    b"then",
    b"do",
    b"unless",
];

/// Whether the line that begins before `start` stands in a section of an INI file: behind `[name]`, with nothing but
/// comments and assignments between.
fn in_section(data: &[u8], start: usize) -> bool {
    let far = start.saturating_sub(SECTION);
    let before = &data[far..start];
    work::looked(before.len());
    let Some(line) = memchr::memrchr(b'\n', before) else { return false };
    for line in before[..line].rsplit(|byte| *byte == b'\n').take(LINES) {
        match line.trim_ascii() {
            [] | [b'#' | b';', ..] => {}
            line if is_marker(line) => return false,
            [b'[', name @ .., b']'] => {
                return name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/: \"".contains(byte));
            }
            [.., b'{' | b'(' | b';' | b','] => return false,
            text => {
                let key = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte)).count();
                let rest = text[key..].trim_ascii_start();
                if key == 0 || !matches!(rest, [b'=' | b':', ..] | []) {
                    return false;
                }
            }
        }
    }
    false
}

/// How far and over how many lines a section's name is looked for, in what is kept of the text before.
const SECTION: usize = 1 << 10;
const LINES: usize = 24;

/// A value of YAML or of a member without quotes, beside its name.
fn member_end(data: &[u8], value: usize, bare: usize) -> (usize, bool) {
    if matches!(data.get(bare), Some(b',' | b'}' | b'&')) || ends_line(data, bare) {
        return (bare, true);
    }
    if data.get(bare) == Some(&b' ') {
        (bare, looks_random(&data[value..bare]))
    } else {
        delimiters_within(data, value)
    }
}

/// A word with delimiters in it on a line of data: digits among its letters, and no bracket that calls.
fn delimiters_within(data: &[u8], value: usize) -> (usize, bool) {
    let end = line_end(data, value);
    let text = &data[value..end];
    let one = !text.iter().any(u8::is_ascii_whitespace);
    (end, one && is_written_out(text))
}

/// Whether a value stands in what wraps it: `Some(…)`.
fn is_wrapped(data: &[u8], value: usize) -> bool {
    matches!(&data[..value], [.., letter, b'(' | b'['] if letter.is_ascii_alphanumeric())
}

/// Whether a name with a colon stands in a struct or a map as Go prints them: `{User:bob Password:…}`, `map[password:…]`.
fn is_printed_struct(data: &[u8], start: usize, value: usize) -> bool {
    let before = &data[start.saturating_sub(STRUCT)..start];
    let line = memchr::memrchr(b'\n', before).map_or(before, |end| &before[end + 1..]);
    if !matches!(line.last(), Some(b'{' | b'[' | b' ')) {
        return false;
    }
    let open = line.iter().rposition(|byte| matches!(byte, b'{' | b'['));
    let Some(open) = open else { return false };
    let map = line[open] == b'[' && line[..open].ends_with(b"map");
    let ends = data[word_in_struct(data, value)..].first().copied();
    // Between the bracket and the name there are only members like it.
    let members = line[open + 1..].split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let member = |word: &[u8]| word.contains(&b':') && !word.contains(&b'"') && !word.contains(&b',');
    (map || line[open] == b'{') && members.into_iter().all(member) && matches!(ends, Some(b' ' | b'}' | b']'))
}

const STRUCT: usize = 256;

fn word_in_struct(data: &[u8], value: usize) -> usize {
    let near = &data[value..data.len().min(value + STRUCT)];
    let ends = |byte: &u8| matches!(byte, b' ' | b'}' | b']' | b'\n' | b'\r' | 0);
    value + near.iter().position(ends).unwrap_or(near.len())
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
    let marks = kept
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'-' | b'>' | b'<' | b'*' | b'+' | b'~'))
        .count();
    match &kept[..kept.len() - marks] {
        [] => before.len() < INDENT,
        [.., b'\\', b'n' | b'r' | b't'] => true,
        [.., last] => matches!(last, b'\n' | b'\r' | 0) || marks == 0 && matches!(last, b'"' | b'\''),
    }
}

/// Whether nothing but a comment follows on the line, or a string ends.
fn ends_line(data: &[u8], end: usize) -> bool {
    let blanks = data[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let rest = &data[end + blanks..];
    matches!(rest, [] | [b'\n' | b'\r' | b'#' | b'"' | b'\'' | 0, ..] | [b'\\', b'n' | b'r' | b'"' | b'\'', ..])
        || blanks > 0 && (rest.starts_with(b";") || rest.starts_with(b"// "))
        || blanks > 0 && changes::next(data, end).is_some()
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

/// How much of a word says what kind of word it is.
const HEAD: usize = 256;

/// Whether a word is hardly the name of a variable: letters and digits, and a digit within. A number with an exponent is
/// one of JSON, where no mark could stand in its place.
fn is_mixed(text: &[u8]) -> bool {
    let text = &text[..text.len().min(HEAD)];
    work::looked(text.len());
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
pub(super) fn is_literal(text: &[u8]) -> bool {
    let masked = text.iter().all(|byte| matches!(byte, b'*' | b'.' | b'-' | b'_' | b'#')) || is_filler(text);
    !masked && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// `xxxx`
fn is_filler(text: &[u8]) -> bool {
    text.len() > 2 && text.iter().all(|byte| matches!(byte, b'x' | b'X'))
}

/// Whether a word is no word of a language or a program: letters and digits mixed, and nothing that joins names.
fn looks_random(text: &[u8]) -> bool {
    let head = &text[..text.len().min(HEAD)];
    work::looked(head.len());
    head.len() >= 8
        && head.iter().any(u8::is_ascii_digit)
        && head.iter().any(u8::is_ascii_alphabetic)
        && !head.contains(&b'.')
        && !head.contains(&b':')
        && !head.contains(&b'/')
        && !head.contains(&b'_')
}
