//! JSON values as the ledger needs them, and the parser that makes them.
//!
//! General-purpose JSON libraries change bytes that a ledger must keep: they round big integers, drop the
//! difference between `1` and `1.0`, refuse lone surrogates, and recurse. This module keeps all of it:
//!
//! - strings are [`Text`], WTF-8 bytes (UTF-8 that may also hold lone surrogates), whose byte order is
//!   code point order, which is the order in which canonical JSON sorts keys;
//! - integers of any length stay exact; floats are IEEE 754 binary64, correctly rounded;
//! - objects are sorted and hold each key once (the last one read wins);
//! - neither the parser nor the writer recurses, and depth is limited ([`Limits`]).
//!
//! The grammar is RFC 8259. `NaN`, `Infinity`, numbers that overflow a binary64, a byte order mark and
//! invalid UTF-8 are refused. [`crate::canonical`] writes values.

use crate::error::{Error, JsonProblem};
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

    /// The text as UTF-8, or `None` where it holds a lone surrogate.
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

/// A JSON number that writes back as it was read: integers exact, floats as binary64.
#[derive(Clone, Debug, PartialEq)]
pub struct Number(pub(crate) Digits);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Digits {
    Int(i64),
    /// An integer beyond `i64`: canonical digits with an optional minus sign.
    BigInt(Box<str>),
    /// Always finite.
    Float(f64),
}

impl Number {
    /// A float, or `None` for NaN and the infinities, which JSON cannot hold.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(Digits::Float(value)))
    }

    /// The integer, where it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Digits::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The float, where it is one (`1` is not; `1.0` is).
    pub fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Digits::Float(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it was written as an integer.
    pub fn is_integer(&self) -> bool {
        !matches!(self.0, Digits::Float(_))
    }

    /// From a token that the grammar has accepted.
    fn from_token(token: &str, max_digits: Option<usize>) -> Result<Self, JsonProblem> {
        if token.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            let value: f64 = token.parse().map_err(|_| JsonProblem::Number)?;
            return Self::from_f64(value).ok_or(JsonProblem::NotFinite);
        }
        let digits = token.trim_start_matches('-').len();
        if max_digits.is_some_and(|max| digits > max) {
            return Err(JsonProblem::TooManyDigits { digits });
        }
        Ok(Self(match token.parse() {
            Ok(value) => Digits::Int(value),
            Err(_) => Digits::BigInt(token.into()),
        }))
    }
}

/// A JSON object: sorted by key, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(Text, Value)>);

impl Object {
    /// An object with no members.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// From members in any order; of two with the same key the last one wins.
    pub fn from_members(mut members: Vec<(Text, Value)>) -> Self {
        let sorted = members.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !sorted {
            // Reversed first, so that the stable sort leaves the last of equal keys in front.
            members.reverse();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|later, kept| later.0 == kept.0);
        }
        Self(members)
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key.as_bytes()).ok().map(|index| &self.0[index].1)
    }

    /// Sets a key, and gives back what was there.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.position(key.as_bytes()) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.position(key.as_bytes()).ok().map(|index| self.0.remove(index).1)
    }

    fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.as_bytes().cmp(key))
    }

    /// The members in key order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Value)> {
        self.0.iter()
    }

    /// The members in key order, their values open to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Text, &mut Value)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// How many members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (Text, Value);
    type IntoIter = std::slice::Iter<'a, (Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Object {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Self::from_members(members.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// Any JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// The string as UTF-8; `None` for anything else, a string with a lone surrogate among it.
    pub fn as_str(&self) -> Option<&str> {
        self.as_text().and_then(Text::as_str)
    }

    /// The string, lone surrogates and all.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, where it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The array's items.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The member of an object; `None` for anything else.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What kind of value it is, in JSON's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$name:ident| $make:expr),+ $(,)?) => {$(
        impl From<$from> for Value {
            fn from($name: $from) -> Self {
                $make
            }
        }
    )+};
}

value_from! {
    bool => |value| Self::Bool(value),
    i64 => |value| Self::Number(Number(Digits::Int(value))),
    i32 => |value| Self::from(i64::from(value)),
    u32 => |value| Self::from(i64::from(value)),
    u64 => |value| match i64::try_from(value) {
        Ok(value) => Self::from(value),
        Err(_) => Self::Number(Number(Digits::BigInt(value.to_string().into()))),
    },
    usize => |value| Self::from(value as u64),
    &str => |value| Self::String(value.into()),
    String => |value| Self::String(value.into()),
    Text => |value| Self::String(value),
    Number => |value| Self::Number(value),
    Object => |value| Self::Object(value),
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What the parser and the writer put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many arrays and objects may be open at once.
    pub depth: usize,
    /// How many digits an integer may have; `None` for no limit.
    pub int_digits: Option<usize>,
    /// Whether keys may hold lone surrogates.
    pub surrogate_keys: bool,
    /// Whether an object that holds a key twice is refused; if not, the last one wins.
    pub unique_keys: bool,
}

impl Limits {
    /// For what goes into a ledger.
    pub const WRITE: Self = Self { depth: 200, int_digits: Some(4300), surrogate_keys: false, unique_keys: false };
    /// For what comes out of one, whoever wrote it. The Python package can write a depth of 992.
    pub const READ: Self = Self { depth: 1024, int_digits: None, surrogate_keys: true, unique_keys: false };
}

/// Reads one JSON value that takes up all of `bytes`.
///
/// ```
/// use receipt_core::json::{parse, Limits};
///
/// let value = parse(br#"{"b": 1, "a": [1.0, "\ud83d\ude00"]}"#, Limits::WRITE)?;
/// assert_eq!(value.get("b").and_then(|b| b.as_i64()), Some(1));
/// # Ok::<(), receipt_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Json`] with the byte offset of the first thing that is not JSON, or over a limit.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value, Error> {
    let mut parser = Parser { bytes, pos: 0, limits };
    parser.document().map_err(|problem| Error::Json { offset: parser.pos, problem })
}

/// Reads the text of one JSON string, escapes and quotes included.
pub(crate) fn parse_string(bytes: &[u8]) -> Option<Text> {
    let mut parser = Parser { bytes, pos: 0, limits: Limits::READ };
    (bytes.first() == Some(&b'"')).then_some(())?;
    let text = parser.string().ok()?;
    (parser.pos == bytes.len()).then_some(text)
}

/// An array or object that is still open.
enum Open {
    Array(Vec<Value>),
    Object(Vec<(Text, Value)>, Text),
}

struct Parser<'a> {
    bytes: &'a [u8],
    pos: usize,
    limits: Limits,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, JsonProblem> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let Some(mut done) = self.begin(&mut open)? else { continue };
            // Hand the finished value to whatever is open around it, closing what it completes.
            loop {
                match open.last_mut() {
                    None => return self.end().map(|()| done),
                    Some(Open::Array(items)) => items.push(done),
                    Some(Open::Object(members, key)) => members.push((std::mem::take(key), done)),
                }
                match self.after_item(&mut open)? {
                    Some(closed) => done = closed,
                    None => break,
                }
            }
        }
    }

    /// Reads a scalar or an empty container, or opens a container and gives `None`.
    fn begin(&mut self, open: &mut Vec<Open>) -> Result<Option<Value>, JsonProblem> {
        self.skip_space();
        let value = match self.peek() {
            Some(b'{') => {
                self.descend(open.len())?;
                if self.take(b'}') {
                    return Ok(Some(Value::Object(Object::new())));
                }
                let key = self.key()?;
                open.push(Open::Object(Vec::new(), key));
                return Ok(None);
            }
            Some(b'[') => {
                self.descend(open.len())?;
                if self.take(b']') {
                    return Ok(Some(Value::Array(Vec::new())));
                }
                open.push(Open::Array(Vec::new()));
                return Ok(None);
            }
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'N') => self.word("NaN", Value::Null).and(Err(JsonProblem::NotFinite))?,
            Some(b'I') => self.word("Infinity", Value::Null).and(Err(JsonProblem::NotFinite))?,
            Some(_) => return Err(JsonProblem::Value),
            None => return Err(JsonProblem::End),
        };
        Ok(Some(value))
    }

    /// After an item of the innermost container: the comma before the next one, or its end.
    fn after_item(&mut self, open: &mut Vec<Open>) -> Result<Option<Value>, JsonProblem> {
        self.skip_space();
        let close = match open.last() {
            Some(Open::Array(_)) => b']',
            _ => b'}',
        };
        if self.take(b',') {
            if let Some(Open::Object(_, key)) = open.last_mut() {
                *key = self.key()?;
            }
            return Ok(None);
        }
        if !self.take(close) {
            return Err(self.peek().map_or(JsonProblem::End, |_| JsonProblem::Separator));
        }
        Ok(match open.pop() {
            None => None,
            Some(Open::Array(items)) => Some(Value::Array(items)),
            Some(Open::Object(members, _)) => Some(Value::Object(self.object(members)?)),
        })
    }

    fn object(&self, members: Vec<(Text, Value)>) -> Result<Object, JsonProblem> {
        let count = members.len();
        let object = Object::from_members(members);
        if self.limits.unique_keys && object.len() < count {
            return Err(JsonProblem::Shape { wanted: "each key of an object once" });
        }
        Ok(object)
    }

    fn end(&mut self) -> Result<(), JsonProblem> {
        self.skip_space();
        self.peek().map_or(Ok(()), |_| Err(JsonProblem::Trailing))
    }

    fn descend(&mut self, open: usize) -> Result<(), JsonProblem> {
        if open >= self.limits.depth {
            return Err(JsonProblem::TooDeep { limit: self.limits.depth });
        }
        self.pos += 1;
        self.skip_space();
        Ok(())
    }

    fn key(&mut self) -> Result<Text, JsonProblem> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.peek().map_or(JsonProblem::End, |_| JsonProblem::Key));
        }
        let key = self.string()?;
        if !self.limits.surrogate_keys && key.as_str().is_none() {
            return Err(JsonProblem::SurrogateKey);
        }
        self.skip_space();
        if !self.take(b':') {
            return Err(self.peek().map_or(JsonProblem::End, |_| JsonProblem::Separator));
        }
        Ok(key)
    }

    /// From the opening quote to past the closing one.
    fn string(&mut self) -> Result<Text, JsonProblem> {
        self.pos += 1;
        let mut text = Text::default();
        loop {
            let start = self.pos;
            let stop = self.bytes[start..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.pos = stop.map_or(self.bytes.len(), |length| start + length);
            let run = &self.bytes[start..self.pos];
            if let Err(error) = std::str::from_utf8(run) {
                self.pos = start + error.valid_up_to();
                return Err(JsonProblem::Utf8);
            }
            text.0.extend_from_slice(run);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(_) => return Err(JsonProblem::Control),
                None => return Err(JsonProblem::End),
            }
        }
    }

    fn escape(&mut self, text: &mut Text) -> Result<(), JsonProblem> {
        self.pos += 1;
        let point = match self.peek().ok_or(JsonProblem::End)? {
            byte @ (b'"' | b'\\' | b'/') => u32::from(byte),
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => 0x0A,
            b'r' => 0x0D,
            b't' => 0x09,
            b'u' => {
                let digits = self.bytes.get(self.pos + 1..self.pos + 5).ok_or(JsonProblem::Escape)?;
                self.pos += 4;
                hex4(digits).ok_or(JsonProblem::Escape)?
            }
            _ => return Err(JsonProblem::Escape),
        };
        self.pos += 1;
        text.push(point);
        Ok(())
    }

    fn number(&mut self) -> Result<Number, JsonProblem> {
        let start = self.pos;
        self.take(b'-');
        if self.peek() == Some(b'I') {
            return self.word("Infinity", ()).and(Err(JsonProblem::NotFinite));
        }
        if !self.take(b'0') && self.digits() == 0 {
            return Err(JsonProblem::Number);
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(JsonProblem::Number);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            if self.digits() == 0 {
                return Err(JsonProblem::Number);
            }
        }
        let token = std::str::from_utf8(&self.bytes[start..self.pos]).map_err(|_| JsonProblem::Utf8)?;
        Number::from_token(token, self.limits.int_digits)
    }

    fn digits(&mut self) -> usize {
        let rest = &self.bytes[self.pos..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.pos += count;
        count
    }

    fn word<T>(&mut self, word: &str, value: T) -> Result<T, JsonProblem> {
        if !self.bytes[self.pos..].starts_with(word.as_bytes()) {
            return Err(JsonProblem::Value);
        }
        self.pos += word.len();
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }
}

/// Four hexadecimal digits of either case as a code unit.
pub(crate) fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}
