//! One pass over text that checks, without building values, that it is in one of the two exact forms.

use super::compact::Compact;
use super::number::is_canonical_float;
use super::plain::{is_plain, plain_len, short_escape};
use crate::error::{Error, JsonProblem};
use crate::id;
use crate::json::{self, Limits};
use std::cmp::Ordering;
use std::ops::Range;

/// One of the two exact forms of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Canonical: no white space.
    #[default]
    Compact,
    /// Canonical but for one space after each `,` and `:`.
    Spaced,
}

/// Finds the exact form of `bytes`, in one pass and without building values.
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

/// Buffers that a [`Scanner`] needs.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The text in compact form, if it came spaced.
    compact: Compact,
    open: Vec<Level>,
}

impl Buffers {
    /// The last text in compact form, if it came spaced.
    pub(crate) fn compact(&self) -> &[u8] {
        self.compact.as_bytes()
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
/// Ranges that it gives are places in the compact form: in the text itself if that is compact, else in
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
        buffers.compact.clear();
        buffers.open.clear();
        Self { bytes, pos: 0, spaced: None, copied: 0, buffers }
    }

    pub(crate) fn form(&self) -> Form {
        if self.spaced == Some(true) { Form::Spaced } else { Form::Compact }
    }

    pub(crate) fn error(&self, problem: JsonProblem) -> Error {
        Error::Json { offset: self.pos, problem }
    }

    /// The offset of this position in the compact form.
    pub(crate) fn place(&self) -> usize {
        self.buffers.compact.len() + self.pos - self.copied
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

    /// A `,` or `:` with the space that the form wants after it, or wants not.
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
    /// and nothing passed, if there is other text.
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

    /// Passes an event hash; `None`, and nothing passed, if there is none.
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

    /// The offset of this position in the text.
    pub(crate) fn offset(&self) -> usize {
        self.pos
    }

    /// A key that is known to sort after the last one, if it stands here with its colon.
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

    /// Between items of the innermost container: true before a next value, false after its end.
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

    /// A key that sorts after the last one, and its colon; given as its place in the text, quotes included.
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
