//! Canonical JSON, version 1: the one producer of hashed bytes, and the check that bytes already are canonical.
//!
//! The form is what Python's `json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=True,
//! allow_nan=False)` writes: members sorted by code point, no white space, only the bytes 0x20 to 0x7E, the short
//! escapes where JSON has them, other characters as lower-case `\uXXXX` (surrogate pairs above U+FFFF), integers as
//! their digits, floats as the shortest digits that read back to the same binary64, laid out as `repr` does.
//!
//! [`Scanner`] checks the same rules on text without building values, in one pass, for both of the exact forms that a
//! ledger may hold: *compact* (this one) and *spaced* (the same with one space behind each `,` and `:`).

use crate::error::{Error, JsonProblem};
use crate::id::{self, EventHash};
use crate::json::{self, Digits, Limits, Number, Object, Text, Value, decode_code_point};
use crate::scan::Frames;
use std::cmp::Ordering;
use std::ops::Range;

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
/// [`Error::Json`] where the value is over a limit, with the offset in the bytes written so far.
pub fn to_bytes(value: &Value, limits: Limits) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    write_value(&mut out, value, limits)?;
    Ok(out)
}

/// What is left to write of a container.
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

/// Whether a byte stands for itself in a canonical string.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E) && byte != b'"' && byte != b'\\'
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

/// The letter of the two-character escape that a character must be written with, where it has one.
const fn short_escape(point: u32) -> Option<u8> {
    Some(match point {
        0x22 => b'"',
        0x5C => b'\\',
        0x08 => b'b',
        0x0C => b'f',
        0x0A => b'n',
        0x0D => b'r',
        0x09 => b't',
        _ => return None,
    })
}

fn write_unit(out: &mut Vec<u8>, unit: u32) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| HEX[(unit >> shift & 0xF) as usize];
    out.extend([b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

fn write_number(out: &mut Vec<u8>, number: &Number, limits: Limits) -> Result<(), Error> {
    match &number.0 {
        Digits::Int(value) => write_i64(out, *value),
        Digits::BigInt(text) => {
            let digits = text.trim_start_matches('-').len();
            if limits.int_digits.is_some_and(|max| digits > max) {
                return Err(Error::Json { offset: out.len(), problem: JsonProblem::TooManyDigits { digits } });
            }
            out.extend_from_slice(text.as_bytes());
        }
        Digits::Float(value) => write_float(out, *value),
    }
    Ok(())
}

/// Appends an integer's digits.
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    let mut buffer = [0; 20];
    let mut start = buffer.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&buffer[start..]);
}

/// Appends a finite float as Python's `repr`: positional where the decimal exponent is from -4 to 15, else
/// scientific with at least two digits of exponent.
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    let (sign, shortest) = shortest.strip_prefix('-').map_or(("", shortest), |rest| ("-", rest));
    out.extend_from_slice(sign.as_bytes());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut buffer = [0; 32];
    let all = &mut buffer[..whole.len() + fraction.len()];
    all[..whole.len()].copy_from_slice(whole.as_bytes());
    all[whole.len()..].copy_from_slice(fraction.as_bytes());
    let leading = all.iter().take_while(|digit| **digit == b'0').count();
    let trailing = all[leading..].iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = &all[leading..all.len() - trailing];
    if digits.is_empty() {
        out.extend_from_slice(b"0.0");
        return;
    }
    // 0.d1d2d3… × 10^point
    let point = i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(leading).unwrap_or(0) + exponent;
    layout(out, digits, point);
}

fn layout(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros =
        |out: &mut Vec<u8>, many: i32| out.extend(std::iter::repeat_n(b'0', usize::try_from(many).unwrap_or(0)));
    match point {
        -3..=0 => {
            out.extend_from_slice(b"0.");
            zeros(out, -point);
            out.extend_from_slice(digits);
        }
        1..=16 if count <= point => {
            out.extend_from_slice(digits);
            zeros(out, point - count);
            out.extend_from_slice(b".0");
        }
        1..=16 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            let exponent = point - 1;
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.abs() < 10 {
                out.push(b'0');
            }
            write_i64(out, i64::from(exponent.abs()));
        }
    }
}

/// Which of the two exact forms a text has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Canonical: no white space.
    #[default]
    Compact,
    /// Canonical but for one space behind each `,` and `:`.
    Spaced,
}

/// Which exact form `bytes` have, in one pass and without building values.
///
/// A text without separators, such as `{}`, is [`Form::Compact`].
///
/// ```
/// use receipt_core::canonical::{Form, form};
///
/// assert_eq!(form(br#"{"a":[1,2]}"#)?, Form::Compact);
/// assert_eq!(form(br#"{"a": [1, 2]}"#)?, Form::Spaced);
/// assert!(form(br#"{"a":[1, 2]}"#).is_err());
/// # Ok::<(), receipt_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Json`] at the first byte that neither form allows.
pub fn form(bytes: &[u8]) -> Result<Form, Error> {
    let mut buffers = Buffers::default();
    let mut scanner = Scanner::new(bytes, &mut buffers);
    let passed = scanner.value().and_then(|_| scanner.end());
    passed.map_err(|problem| scanner.error(problem))?;
    Ok(scanner.form())
}

/// What one text after the other can be scanned with: buffers, and what is remembered of the last envelopes.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) buffers: Buffers,
    pub(crate) frames: Frames,
    /// The last envelope's claim of its hash.
    pub(crate) claimed: Option<EventHash>,
}

/// Buffers that a [`Scanner`] needs.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The text in compact form, where it came spaced.
    compact: Compact,
    open: Vec<Level>,
}

impl Buffers {
    /// The last text in compact form, where it came spaced.
    pub(crate) fn compact(&self) -> &[u8] {
        &self.compact.bytes[..self.compact.len]
    }
}

/// Text that is put together from many short pieces.
#[derive(Debug, Default)]
struct Compact {
    /// Longer than the text by a piece, so that a piece is copied whole whatever its length.
    bytes: Vec<u8>,
    len: usize,
}

impl Compact {
    /// What is copied at once: most of what stands between two spaces of an envelope is shorter.
    const PIECE: usize = 32;

    /// Empty, with room for a text of this length.
    fn reset(&mut self, room: usize) {
        self.len = 0;
        if self.bytes.len() < room + Self::PIECE {
            self.bytes.resize(room + Self::PIECE, 0);
        }
    }

    /// Appends `text[from..to]`.
    #[inline]
    fn push(&mut self, text: &[u8], from: usize, to: usize) {
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

/// A container that the scan is inside of; for an object, the last key with its quotes.
#[derive(Debug)]
enum Level {
    Array,
    Object(Range<usize>),
}

/// A position in text that is checked, as it is passed, to be in one of the two exact forms.
///
/// Ranges that it gives are places in the compact form: in the text itself where that is compact, else in
/// `Buffers::compact`, which is filled on the way.
pub(crate) struct Scanner<'a, 's> {
    bytes: &'a [u8],
    pos: usize,
    spaced: Option<bool>,
    /// Up to where a spaced text has been copied to `buffers.compact`.
    copied: usize,
    buffers: &'s mut Buffers,
}

type Scan<T> = Result<T, JsonProblem>;

impl<'a, 's> Scanner<'a, 's> {
    pub(crate) fn new(bytes: &'a [u8], buffers: &'s mut Buffers) -> Self {
        buffers.compact.len = 0;
        buffers.open.clear();
        Self { bytes, pos: 0, spaced: None, copied: 0, buffers }
    }

    pub(crate) fn form(&self) -> Form {
        if self.spaced == Some(true) { Form::Spaced } else { Form::Compact }
    }

    pub(crate) fn error(&self, problem: JsonProblem) -> Error {
        Error::Json { offset: self.pos, problem }
    }

    /// Where this position is in the compact form.
    pub(crate) fn place(&self) -> usize {
        self.buffers.compact.len + self.pos - self.copied
    }

    /// At the end of the text: nothing may follow; the rest of a spaced text is copied.
    pub(crate) fn end(&mut self) -> Scan<()> {
        if self.pos != self.bytes.len() {
            return Err(JsonProblem::Trailing);
        }
        if self.form() == Form::Spaced {
            self.buffers.compact.push(self.bytes, self.copied, self.pos);
            self.copied = self.pos;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// A `,` or `:` with the space that the form wants behind it, or wants not.
    #[inline]
    pub(crate) fn separator(&mut self, byte: u8) -> Scan<()> {
        if !self.take(byte) {
            return Err(self.peek().map_or(JsonProblem::End, |_| JsonProblem::Separator));
        }
        let space = self.peek() == Some(b' ');
        if self.spaced.is_none() {
            self.begin_form(space);
        }
        if self.spaced != Some(space) {
            return Err(JsonProblem::NotCanonical);
        }
        if space {
            self.buffers.compact.push(self.bytes, self.copied, self.pos);
            self.pos += 1;
            self.copied = self.pos;
        }
        Ok(())
    }

    /// The first separator decides which form the whole text must have.
    pub(crate) fn begin_form(&mut self, spaced: bool) {
        self.spaced = Some(spaced);
        if spaced {
            self.buffers.compact.reset(self.bytes.len());
        }
    }

    /// Into an object whose members the caller reads itself: it counts as a level of nesting.
    pub(crate) fn enter_object(&mut self) -> Scan<()> {
        if self.peek() != Some(b'{') {
            return Err(JsonProblem::Shape { wanted: "an object" });
        }
        self.descend()?;
        self.buffers.open.push(Level::Object(0..0));
        Ok(())
    }

    /// Passes text that is known to be sound here, its separators among it; `compact` is the same in compact form. `None`,
    /// and nothing passed, where there is other text.
    pub(crate) fn pass(&mut self, text: &[u8], compact: &[u8]) -> Option<()> {
        if !self.bytes[self.pos..].starts_with(text) {
            return None;
        }
        if self.spaced == Some(true) {
            self.buffers.compact.push(self.bytes, self.copied, self.pos);
            self.buffers.compact.push(compact, 0, compact.len());
            self.copied = self.pos + text.len();
        }
        self.pos += text.len();
        Some(())
    }

    /// Passes an event hash; `None`, and nothing passed, where there is none.
    pub(crate) fn hash(&mut self) -> Option<Range<usize>> {
        let hash = self.bytes.get(self.pos..self.pos + 73)?;
        let digits: &[u8; 64] = hash.strip_prefix(b"\"sha256:")?.strip_suffix(b"\"")?.try_into().ok()?;
        if !id::is_hex(digits) {
            return None;
        }
        let start = self.place();
        self.pos += hash.len();
        Some(start..self.place())
    }

    /// Where this position is in the text.
    pub(crate) fn offset(&self) -> usize {
        self.pos
    }

    /// A key that is known to sort behind the last one, where it stands here with its colon.
    pub(crate) fn known_key(&mut self, name: &str) -> Scan<Option<Range<usize>>> {
        let rest = &self.bytes[self.pos..];
        let quoted = rest.len() > name.len() + 2 && rest[0] == b'"' && rest[name.len() + 1] == b'"';
        if !quoted || &rest[1..=name.len()] != name.as_bytes() {
            return Ok(None);
        }
        let key = self.pos..self.pos + name.len() + 2;
        self.pos = key.end;
        self.separator(b':')?;
        Ok(Some(key))
    }

    /// One whole value, given as its place in the compact form.
    pub(crate) fn value(&mut self) -> Scan<Range<usize>> {
        let start = self.place();
        let floor = self.buffers.open.len();
        loop {
            if self.begin()? {
                continue;
            }
            // A value has ended: go on to the next one in the innermost container, or close it and look again.
            loop {
                if self.buffers.open.len() == floor {
                    return Ok(start..self.place());
                }
                if self.next_item()? {
                    break;
                }
            }
        }
    }

    /// Passes a scalar or an empty container (false), or opens a container (true).
    #[inline]
    fn begin(&mut self) -> Scan<bool> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ())?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'{') => {
                self.descend()?;
                if !self.take(b'}') {
                    let key = self.key(None)?;
                    self.buffers.open.push(Level::Object(key));
                    return Ok(true);
                }
            }
            Some(b'[') => {
                self.descend()?;
                if !self.take(b']') {
                    self.buffers.open.push(Level::Array);
                    return Ok(true);
                }
            }
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            Some(_) => return Err(JsonProblem::Value),
            None => return Err(JsonProblem::End),
        }
        Ok(false)
    }

    /// Between items of the innermost container: true before a next value, false behind its end.
    #[inline]
    fn next_item(&mut self) -> Scan<bool> {
        let Some(level) = self.buffers.open.last() else { return Ok(false) };
        let (close, last) = match level {
            Level::Array => (b']', None),
            Level::Object(key) => (b'}', Some(key.clone())),
        };
        if self.take(close) {
            self.buffers.open.pop();
            return Ok(false);
        }
        self.separator(b',')?;
        if let Some(last) = last {
            let key = self.key(Some(last))?;
            if let Some(Level::Object(held)) = self.buffers.open.last_mut() {
                *held = key;
            }
        }
        Ok(true)
    }

    #[inline]
    fn descend(&mut self) -> Scan<()> {
        let limit = Limits::READ.depth;
        if self.buffers.open.len() >= limit {
            return Err(JsonProblem::TooDeep { limit });
        }
        self.pos += 1;
        Ok(())
    }

    /// A key that sorts behind the last one, and its colon; given as its place in the text, quotes included.
    #[inline]
    pub(crate) fn key(&mut self, last: Option<Range<usize>>) -> Scan<Range<usize>> {
        if self.peek() != Some(b'"') {
            return Err(self.peek().map_or(JsonProblem::End, |_| JsonProblem::Key));
        }
        let key = self.string()?;
        if let Some(last) = last
            && compare_keys(&self.bytes[last], &self.bytes[key.clone()]) != Ordering::Less
        {
            return Err(JsonProblem::NotCanonical);
        }
        self.separator(b':')?;
        Ok(key)
    }

    /// A string; given as its place in the text, quotes included.
    #[inline]
    pub(crate) fn string(&mut self) -> Scan<Range<usize>> {
        let start = self.pos;
        self.pos += 1;
        loop {
            self.pos += plain_len(&self.bytes[self.pos..]);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(start..self.pos);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(JsonProblem::NotCanonical),
                None => return Err(JsonProblem::End),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Scan<()> {
        let letter = self.bytes.get(self.pos + 1).copied().ok_or(JsonProblem::End)?;
        if matches!(letter, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') {
            self.pos += 2;
            return Ok(());
        }
        let digits = self.bytes.get(self.pos + 2..self.pos + 6).ok_or(JsonProblem::Escape)?;
        if letter != b'u' || digits.iter().any(u8::is_ascii_uppercase) {
            return Err(JsonProblem::NotCanonical);
        }
        let unit = json::hex4(digits).ok_or(JsonProblem::Escape)?;
        if matches!(unit, 0x20..=0x7E) || short_escape(unit).is_some() {
            return Err(JsonProblem::NotCanonical);
        }
        self.pos += 6;
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Scan<()> {
        let rest = &self.bytes[self.pos..];
        // Mostly a short integer.
        let digits = rest.iter().take(18).take_while(|byte| byte.is_ascii_digit()).count();
        let plain = matches!(rest.get(digits), Some(b',' | b'}' | b']'));
        if plain && digits > 0 && (rest[0] != b'0' || digits == 1) {
            self.pos += digits;
            return Ok(());
        }
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let token = &rest[..length];
        let digits = token.strip_prefix(b"-").unwrap_or(token);
        let integer = match digits {
            [b'0'] => token.len() == 1,
            [b'1'..=b'9', more @ ..] => more.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !integer && !is_canonical_float(token) {
            return Err(JsonProblem::NotCanonical);
        }
        self.pos += length;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Scan<()> {
        if !self.bytes[self.pos..].starts_with(word) {
            return Err(JsonProblem::Value);
        }
        self.pos += word.len();
        Ok(())
    }
}

/// The members of a canonical object, whose text a [`Scanner`] has passed: keys and values as they stand there, keys
/// without their quotes. No values are built. Of other text it gives what it can make out.
pub fn members(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = object.strip_prefix(b"{").unwrap_or_default();
    std::iter::from_fn(move || {
        let key = &rest[..value_len(rest)];
        let behind = rest[key.len()..].strip_prefix(b":")?;
        let value = &behind[..value_len(behind)];
        rest = behind[value.len()..].strip_prefix(b",").unwrap_or_default();
        Some((key.strip_prefix(b"\"")?.strip_suffix(b"\"")?, value))
    })
}

/// The value of one of [`members`]; `name` must need no escapes.
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

/// The items of a canonical array, as [`members`] gives those of an object.
pub fn items(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = array.strip_prefix(b"[").unwrap_or_default();
    std::iter::from_fn(move || {
        let item = &rest[..value_len(rest)];
        rest = rest[item.len()..].strip_prefix(b",").unwrap_or_default();
        (!item.is_empty()).then_some(item)
    })
}

/// How long the value at the beginning of canonical text is.
fn value_len(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += 1;
                loop {
                    at += plain_len(text.get(at..).unwrap_or_default());
                    match text.get(at) {
                        None | Some(b'"') => break,
                        // An escape; any other byte that is not plain does not stand in canonical text.
                        Some(_) => at += 2,
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b':' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 && matches!(text.get(at), None | Some(b',' | b':' | b'}' | b']')) {
            return at.min(text.len());
        }
    }
    at.min(text.len())
}

/// A token is a canonical float if it reads as one and is written back the same.
fn is_canonical_float(token: &[u8]) -> bool {
    let value = std::str::from_utf8(token).ok().and_then(|token| token.parse().ok());
    value.filter(|value: &f64| value.is_finite()).is_some_and(|value| {
        let mut written = Vec::with_capacity(32);
        write_float(&mut written, value);
        written == token
    })
}

/// How many plain bytes there are up to one that is not, eight at a time.
#[inline]
fn plain_len(text: &[u8]) -> usize {
    let mut passed = 0;
    for chunk in text.chunks_exact(8) {
        let word = u64::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7]]);
        let stop = stops(word);
        if stop != 0 {
            return passed + (stop.trailing_zeros() / 8) as usize;
        }
        passed += 8;
    }
    let tail = &text[passed..];
    passed + tail.iter().position(|byte| !is_plain(*byte)).unwrap_or(tail.len())
}

/// The high bit of each byte of `word` that is not plain, the lowest such byte being exact: what is borrowed or carried
/// to the next byte comes only from a byte that is not plain itself.
const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let above = word | word.wrapping_add(ONES);
    (control | quote | backslash | above) & HIGH
}

/// Two canonical keys, quotes included, by the code points that they stand for.
fn compare_keys(a: &[u8], b: &[u8]) -> Ordering {
    // Mostly their first characters tell. A closing quote or an escape there does not stand for itself.
    if is_plain(a[1]) && is_plain(b[1]) && a[1] != b[1] {
        return a[1].cmp(&b[1]);
    }
    if a.contains(&b'\\') || b.contains(&b'\\') {
        return json::parse_string(a).cmp(&json::parse_string(b));
    }
    // Without the closing quotes, which would sort `a!` before `a`.
    a[..a.len() - 1].cmp(&b[..b.len() - 1])
}
