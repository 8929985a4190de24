//! The parser. It does not recurse: what is open is on a stack.

use super::limits::Limits;
use super::number::Number;
use super::text::Text;
use super::value::{Object, Value};
use crate::error::{Error, JsonProblem};

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
            match std::str::from_utf8(&self.bytes[start..self.pos]) {
                Ok(run) => text.push_str(run),
                Err(error) => {
                    self.pos = start + error.valid_up_to();
                    return Err(JsonProblem::Utf8);
                }
            }
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
