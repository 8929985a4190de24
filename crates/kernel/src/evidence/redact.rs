//! Secrets taken out of evidence and payloads before anything is hashed or stored.
//!
//! Whatever its content type says, data is scanned as bytes; UTF-16 is recognised and scanned by code unit. One
//! pass of a keyword automaton finds the places where a rule could begin, and each rule then looks at its own place
//! only, so that clean data costs one pass and hostile data stays linear.
//!
//! What a rule finds is a *span*: the secret itself, without the name in front of it and the quotes around it, so
//! that JSON stays JSON. Spans that overlap become one, replaced once: nothing of a reported secret is left, and
//! nothing next to it is lost. Redacting again changes nothing.
//!
//! A [`Report`] says where secrets stood, and never holds anything that is derived from them.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use receipt_core::json::{Object, Text, Value};
use regex::bytes::Regex;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::LazyLock;

/// What one kind of secret looks like.
struct Rule {
    /// Its name in reports.
    name: &'static str,
    /// What stands in its place.
    replacement: &'static str,
    /// What it begins with, in any case of the letters: the rule is tried where one of these stands.
    keywords: &'static [&'static str],
    /// What must follow, and which part of it is the secret.
    shape: Shape,
}

/// What follows a rule's keyword.
#[derive(Clone, Copy)]
enum Shape {
    /// All that this expression matches, keyword included, is the secret.
    Match(&'static str),
    /// `=` or `:`, then a string in this quote of at least so many bytes, which is the secret.
    Quoted(u8, usize),
    /// `=` or `:`, then a string in either quote, or what there is up to white space.
    Word,
    /// `=` or `:`, then a string in either quote, or what there is up to the end of the line.
    Line,
    /// An address with an `@` in it, keyword included, up to white space.
    Address,
    /// A PEM block, keyword included, up to its end line; cut short, to the end of its base64.
    Pem,
}

const DOUBLE: u8 = b'"';
const SINGLE: u8 = b'\'';

/// The built-in rules. Of two that find exactly the same, the first one counts.
const RULES: [Rule; 13] = [
    Rule {
        name: "anthropic_api_key",
        replacement: "[REDACTED:anthropic_key]",
        keywords: &["sk-"],
        shape: Shape::Match(r"\Ask-ant-[a-zA-Z0-9_-]{20,}"),
    },
    Rule {
        name: "openai_api_key",
        replacement: "[REDACTED:openai_key]",
        keywords: &["sk-"],
        shape: Shape::Match(r"\Ask-[a-zA-Z0-9]{20,}"),
    },
    Rule {
        name: "aws_access_key",
        replacement: "[REDACTED:aws_key]",
        keywords: &["akia"],
        shape: Shape::Match(r"\AAKIA[0-9A-Z]{16}"),
    },
    Rule {
        name: "aws_secret_key",
        replacement: "[REDACTED:aws_secret]",
        keywords: &["aws_secret_access_key"],
        shape: Shape::Word,
    },
    Rule {
        name: "bearer_token",
        replacement: "[REDACTED:bearer]",
        keywords: &["bearer"],
        shape: Shape::Match(r"(?i)\Abearer[\s\x1c-\x1f]+[a-z0-9._~+/=-]{20,}"),
    },
    Rule {
        name: "authorization_header",
        replacement: "[REDACTED:auth_header]",
        keywords: &["authorization"],
        shape: Shape::Line,
    },
    Rule {
        name: "password_field",
        replacement: "[REDACTED:password]",
        keywords: &["password"],
        shape: Shape::Quoted(DOUBLE, 0),
    },
    Rule {
        name: "password_field_sq",
        replacement: "[REDACTED:password]",
        keywords: &["password"],
        shape: Shape::Quoted(SINGLE, 0),
    },
    Rule {
        name: "private_key_block",
        replacement: "[REDACTED:private_key]",
        keywords: &["-----begin "],
        shape: Shape::Pem,
    },
    Rule {
        name: "github_token",
        replacement: "[REDACTED:github_token]",
        keywords: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        shape: Shape::Match(r"\Agh[pousr]_[A-Za-z0-9_]{36,}"),
    },
    Rule {
        name: "connection_string",
        replacement: "[REDACTED:connection_string]",
        keywords: &["mysql://", "postgres://", "mongodb://", "redis://"],
        shape: Shape::Address,
    },
    Rule {
        name: "generic_secret_assign",
        replacement: "[REDACTED:generic_secret]",
        keywords: &["secret", "token", "key"],
        shape: Shape::Quoted(DOUBLE, 16),
    },
    Rule {
        name: "generic_secret_assign_sq",
        replacement: "[REDACTED:generic_secret]",
        keywords: &["secret", "token", "key"],
        shape: Shape::Quoted(SINGLE, 16),
    },
];

/// Letters outside ASCII that are a case of an ASCII letter, and which.
const FOLDED: [(char, u8); 4] = [('\u{17F}', b's'), ('\u{212A}', b'k'), ('\u{130}', b'i'), ('\u{131}', b'i')];

/// Names that end in `key` and hold an identifier, not a secret.
const IDENTIFIERS: [&str; 9] = [
    "evidence_key",
    "idempotency_key",
    "public_key",
    "primary_key",
    "foreign_key",
    "cache_key",
    "sort_key",
    "partition_key",
    "object_key",
];

/// What makes a secret's name of `key` when written in one word with it. Other words (`monkey`) do not.
const COMPOUNDS: [&str; 11] =
    ["api", "access", "secret", "private", "auth", "master", "signing", "encryption", "shared", "account", "ssh"];

const PEM_LABELS: [&str; 6] = ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "];
const PEM_END: &[u8] = b"PRIVATE KEY-----";

/// The longest quoted string or PEM block that is taken for one secret.
const LONGEST: usize = 32 << 10;
/// How far a rule may look to the left of its keyword.
const CONTEXT: usize = 64;
/// How much a [`StreamRedactor`] gathers before it scans, and how much of that it scans again with what follows.
const WINDOW: usize = 1 << 20;
const OVERLAP: usize = 64 << 10;
/// The longest text that is sieved before it is searched.
const SHORT: usize = 256;

/// One secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule that found it.
    pub pattern_name: &'static str,
    /// Where it began in the original, in characters; a byte that is not UTF-8 counts as one.
    pub offset: u64,
    /// How many characters it had.
    pub length: u64,
    /// Where it began in the original, in bytes.
    pub byte_offset: u64,
    /// How many bytes it had.
    pub byte_length: u64,
    /// What stands in its place.
    pub replacement: &'static str,
}

/// What kind of data was scanned. Both kinds are scanned, and redacted, alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scanned {
    /// Text in some encoding.
    #[default]
    Text,
    /// Data with NUL bytes in it that is not UTF-16.
    Binary,
}

/// What a redaction did: each replacement, in the order of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The replacements.
    pub hits: Vec<Hit>,
    /// What was scanned.
    pub scanned: Scanned,
}

impl Report {
    /// The stored form. `original_hash` is always empty: beside the redacted bytes, an unsalted hash of the original
    /// would let anybody test guesses of a short secret.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"hits\": [");
        for (index, hit) in self.hits.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail, and no name or replacement holds anything to escape.
            let _ = write!(
                json,
                "{comma}{{\"pattern_name\": \"{}\", \"offset\": {}, \"length\": {}, \"replacement\": \"{}\"}}",
                hit.pattern_name, hit.offset, hit.length, hit.replacement
            );
        }
        let _ = write!(json, "], \"original_hash\": \"\", \"redacted\": {}}}", !self.hits.is_empty());
        json
    }
}

/// Finds secrets and replaces them. See the [module](self) for how.
///
/// ```
/// use receipt_kernel::evidence::redact::Redactor;
///
/// let (clean, report) = Redactor::builtin().redact(br#"{"password": "hunter2"}"#);
/// assert_eq!(&*clean, br#"{"password": "[REDACTED:password]"}"#);
/// assert_eq!(report.hits[0].offset, 14);
/// ```
#[derive(Debug)]
pub struct Redactor {
    /// `None` if the rules cannot be compiled: then nothing is known to be clean, and everything is replaced.
    engine: Option<Engine>,
}

#[derive(Debug)]
struct Engine {
    keywords: AhoCorasick,
    /// The rules of each keyword of the automaton; none for a letter of [`FOLDED`].
    owners: Vec<Vec<usize>>,
    /// For each of four bytes in a row, which keywords may have that byte there, in the four from their middle.
    sieve: Box<[[u32; 256]; 4]>,
    /// The expression of each rule that has one.
    patterns: Vec<Option<Regex>>,
}

impl Engine {
    fn build() -> Option<Self> {
        let mut keywords: Vec<String> = FOLDED.iter().map(|(letter, _)| letter.to_string()).collect();
        let mut owners = vec![Vec::new(); keywords.len()];
        for (rule, keyword) in
            RULES.iter().enumerate().flat_map(|(index, rule)| rule.keywords.iter().map(move |k| (index, k)))
        {
            if let Some(index) = keywords.iter().position(|held| held == keyword) {
                owners[index].push(rule);
            } else {
                keywords.push((*keyword).to_owned());
                owners.push(vec![rule]);
            }
        }
        let compile = |rule: &Rule| match rule.shape {
            Shape::Match(pattern) => Regex::new(pattern).map(Some),
            _ => Ok(None),
        };
        Some(Self {
            sieve: sieve(&keywords),
            patterns: RULES.iter().map(compile).collect::<Result<_, _>>().ok()?,
            keywords: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::DFA))
                .build(&keywords)
                .ok()?,
            owners,
        })
    }

    /// Whether a short text surely has no keyword in it with anything behind. It is cheaper than to look for one.
    fn rules_out(&self, text: &[u8]) -> bool {
        let [first, second, third, fourth] = &*self.sieve;
        let held = |four: &[u8]| {
            first[usize::from(four[0])]
                & second[usize::from(four[1])]
                & third[usize::from(four[2])]
                & fourth[usize::from(four[3])]
        };
        text.len() <= SHORT && text.windows(4).fold(0, |found, four| found | held(four)) == 0
    }
}

fn sieve(keywords: &[String]) -> Box<[[u32; 256]; 4]> {
    let mut sieve = Box::new([[0; 256]; 4]);
    for (index, keyword) in keywords.iter().enumerate() {
        // More keywords than bits share them.
        let bit = 1 << (index % 32);
        let middle = &keyword.as_bytes()[keyword.len().saturating_sub(4) / 2..];
        for (place, table) in sieve.iter_mut().enumerate() {
            for (byte, entry) in (0..=u8::MAX).zip(table) {
                let fits = middle.get(place).is_none_or(|wanted| wanted.eq_ignore_ascii_case(&byte));
                *entry |= if fits { bit } else { 0 };
            }
        }
    }
    sieve
}

/// A secret that one rule found.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Where the rule's keyword begins.
    head: usize,
    start: usize,
    end: usize,
    rule: usize,
    close: Close,
}

/// What a value needs after it, to still end where it ended once another secret has taken its end away.
#[derive(Clone, Copy, Debug)]
enum Close {
    Nothing,
    /// What opened it, which is all that lies between here and its start.
    Opener(usize),
    Bytes(&'static str),
}

/// One search: the data, and what has been learned on the way that keeps it linear.
struct Scan<'s> {
    engine: &'s Engine,
    data: &'s [u8],
    /// Where each rule goes on.
    resume: [usize; RULES.len()],
    /// No PEM end line starts between a begin line that was tried and here.
    pem_searched: usize,
    spans: Vec<Span>,
}

/// A letter stands in the data that must be folded to ASCII first.
struct Unfolded;

impl<'s> Scan<'s> {
    fn run(engine: &'s Engine, data: &'s [u8], from: usize) -> Result<Vec<Span>, Unfolded> {
        let mut scan = Self { engine, data, resume: [0; RULES.len()], pem_searched: 0, spans: Vec::new() };
        for hit in engine.keywords.find_overlapping_iter(&data[from..]) {
            let (head, tail) = (from + hit.start(), from + hit.end());
            let owners = &engine.owners[hit.pattern().as_usize()];
            if owners.is_empty() {
                return Err(Unfolded);
            }
            for &rule in owners {
                if head < scan.resume[rule] {
                    continue;
                }
                if let Some((start, end, close)) = scan.attempt(rule, head, tail) {
                    scan.add(Span { head, start, end, rule, close });
                }
            }
        }
        Ok(scan.spans)
    }

    fn add(&mut self, span: Span) {
        if !is_marker(&self.data[span.start..span.end]) {
            self.spans.push(span);
        }
    }

    fn attempt(&mut self, rule: usize, head: usize, tail: usize) -> Option<(usize, usize, Close)> {
        let (start, end, close) = match RULES[rule].shape {
            Shape::Match(_) => {
                let matched = self.engine.patterns[rule].as_ref()?.find(&self.data[head..])?;
                let word = self.data[head..].starts_with(b"sk-")
                    && self.data[..head].last().is_some_and(u8::is_ascii_lowercase)
                    && follows_letter(self.data, head);
                (!word).then_some(())?;
                // A keyword may be the last that matched, and begin the next one.
                self.resume[rule] = head + matched.end() - (tail - head);
                return Some((head, head + matched.end(), Close::Nothing));
            }
            // Not resumed after: a rule that reads escapes otherwise may see another value inside of this one.
            Shape::Quoted(quote, least) => return self.quoted_value(head, tail, quote, least),
            Shape::Word => self.plain_value(rule, head, tail, false)?,
            Shape::Line => self.plain_value(rule, head, tail, true)?,
            Shape::Address => self.address(rule, head, tail)?,
            Shape::Pem => self.pem(head, tail)?,
        };
        self.resume[rule] = end;
        Some((start, end, close))
    }

    fn quoted_value(&self, head: usize, tail: usize, quote: u8, least: usize) -> Option<(usize, usize, Close)> {
        let (value, named) = assigned(self.data, tail)?;
        let (start, end) = quoted(self.data, value, quote)?;
        let text = &self.data[start..end];
        if least > 0 {
            let harmless = named && (is_identifier(name_before(self.data, tail)) || is_digest(text));
            if !is_secret_name(self.data, head, tail) || harmless || weight(text) < least {
                return None;
            }
        }
        Some((start, end, Close::Opener(value)))
    }

    fn plain_value(&mut self, rule: usize, head: usize, tail: usize, line: bool) -> Option<(usize, usize, Close)> {
        let (value, named) = assigned(self.data, tail)?;
        for quote in [DOUBLE, SINGLE] {
            let Some((start, end)) = quoted(self.data, value, quote) else { continue };
            let after = end + (start - value);
            if self.data.get(after - 1) == Some(&quote) && !ends_value(self.data, after) {
                // Something goes on right behind the quote, as it may in a shell. It belongs to the value.
                let end = unquoted_end(self.data, after, false);
                self.add(Span { head, start: after, end, rule, close: Close::Bytes(" ") });
            }
            return Some((start, end, Close::Opener(value)));
        }
        // On a line of its own a value is one word, whatever it is.
        let line = line && !matches!(self.data.get(value - 1), Some(b'\n' | b'\r'));
        let end = unquoted_end(self.data, value, line);
        let close = if line { "\n" } else { " " };
        (!named && end > value).then_some((value, end, Close::Bytes(close)))
    }

    fn address(&mut self, rule: usize, head: usize, tail: usize) -> Option<(usize, usize, Close)> {
        let end = word_end(self.data, tail);
        let at = (tail + 1..end).find(|&at| self.data[at] == b'@');
        let Some(at) = at else {
            self.resume[rule] = end;
            return None;
        };
        let end = end.min(unquoted_end(self.data, at, false));
        Some((head, end, Close::Nothing))
    }

    /// A block ends with the end line that closes it, and so do the blocks within it. Where one of them is never
    /// closed, it is the last end line in reach: what stands between may be a piece of a key.
    fn pem(&mut self, head: usize, tail: usize) -> Option<(usize, usize, Close)> {
        let body = tail + pem_line(&self.data[tail..], b"")?;
        let limit = self.data.len().min(body + LONGEST);
        let (mut at, mut open, mut last) = (body.max(self.pem_searched), 1_usize, None);
        while at < limit && open > 0 {
            let found = self.data[at..limit].iter().position(|&byte| byte == b'-').map_or(limit, |dash| at + dash);
            let dashes = self.data[found..limit].iter().take_while(|&&byte| byte == b'-').count();
            at = found + dashes.max(1);
            if dashes < 5 {
                continue;
            }
            let rest = &self.data[at..limit];
            if pem_line(rest, b"BEGIN ").is_some() {
                open += 1;
            } else if let Some(length) = pem_line(rest, b"END ") {
                (open, last) = (open - 1, Some(at + length));
                self.pem_searched = found;
            }
        }
        if open > 0 {
            self.pem_searched = limit.saturating_sub(CONTEXT).max(self.pem_searched);
        }
        Some((head, last.unwrap_or_else(|| base64_end(self.data, body, limit)), Close::Nothing))
    }
}

/// How long the rest of a PEM line of this kind is, after its first dashes.
fn pem_line(rest: &[u8], kind: &[u8]) -> Option<usize> {
    let rest = rest.strip_prefix(kind)?;
    let label = PEM_LABELS
        .iter()
        .find(|label| rest.strip_prefix(label.as_bytes()).is_some_and(|rest| rest.starts_with(PEM_END)))?;
    Some(kind.len() + label.len() + PEM_END.len())
}

/// Where the base64 lines of a PEM block end that has no end line. Lines end at a newline or at an escaped one.
fn base64_end(data: &[u8], body: usize, limit: usize) -> usize {
    let (mut end, mut at, mut first) = (body, body, true);
    loop {
        while at < limit && (matches!(data[at], b' ' | b'\t' | b'\r' | b'\n') || escaped_break(data, at)) {
            at += if data[at] == b'\\' { 2 } else { 1 };
        }
        let line = &data[at..limit];
        if line.starts_with(b"Proc-Type:") || line.starts_with(b"DEK-Info:") {
            at = unquoted_end(data, at, true).min(limit);
            end = at;
            continue;
        }
        let base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let length = line.iter().take_while(base64).count();
        let stop = at + length;
        let whole = matches!(data.get(stop), None | Some(b'\n' | b'\r' | b'\\' | &DOUBLE | &SINGLE));
        // A short line is the last one of the block, or the first one of what comes after.
        let short = stop == data.len() || !first && length % 4 == 0;
        if length == 0 || !(length >= 40 || whole && (length >= 16 || short)) {
            return end;
        }
        (end, at, first) = (stop, stop, false);
        if length < 16 {
            return end;
        }
    }
}

/// Whether an escaped newline stands here, as in a string of JSON.
fn escaped_break(data: &[u8], at: usize) -> bool {
    data[at] == b'\\' && matches!(data.get(at + 1), Some(b'n' | b'r' | b'\\'))
}

/// How long the white space is that begins here; 0 if none does. Python's idea of it: Unicode's and four controls.
fn space(rest: &[u8]) -> usize {
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

fn skip_space(data: &[u8], mut at: usize) -> usize {
    while let width @ 1.. = space(&data[at..]) {
        at += width;
    }
    at
}

/// After a name: past `=` or `:`, to where the value begins, and whether the name was closed by a quote.
fn assigned(data: &[u8], tail: usize) -> Option<(usize, bool)> {
    let backslashes = data[tail..].iter().take_while(|&&byte| byte == b'\\').count();
    let named = matches!(data.get(tail + backslashes), Some(&(DOUBLE | SINGLE)));
    let at = skip_space(data, if named { tail + backslashes + 1 } else { tail });
    matches!(data.get(at), Some(b'=' | b':')).then_some(())?;
    let value = skip_space(data, at + 1);
    // The values of a header are often in an array.
    let array = named && data.get(value) == Some(&b'[');
    Some((if array { skip_space(data, value + 1) } else { value }, named))
}

/// The inside of a string that opens here with this quote, which may be an escaped one: `\"` in a string of JSON.
///
/// It ends at the quote that closes it on this line, else at the first one that follows; with none in reach the
/// string was cut short, and ends with its line.
fn quoted(data: &[u8], at: usize, quote: u8) -> Option<(usize, usize)> {
    let opening = data[at..].iter().take_while(|&&byte| byte == b'\\').count();
    let start = at + opening + 1;
    // An even number of backslashes escapes no quote: this one closes the string that they are in.
    let opens = data.get(start - 1) == Some(&quote) && (opening == 0 || opening % 2 == 1);
    opens.then_some(())?;
    let limit = data.len().min(start.saturating_add(LONGEST));
    let (mut first, mut same_line, mut backslashes) = (None, true, 0);
    for (offset, &byte) in data[start..limit].iter().enumerate() {
        let here = start + offset;
        match byte {
            b'\\' => backslashes += 1,
            b'\n' | b'\r' if first.is_some() => break,
            b'\n' | b'\r' => same_line = false,
            _ if byte == quote => {
                let end = here - opening.min(backslashes);
                if !same_line || closes(backslashes, opening) {
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
    Some((start, first.unwrap_or_else(|| unquoted_end(data, start, true).min(limit))))
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
fn ends_value(data: &[u8], at: usize) -> bool {
    let Some(byte) = data.get(at) else { return true };
    matches!(byte, b',' | b':' | b';' | b'}' | b']' | b')' | b'>' | b'\\') || space(&data[at..]) > 0
}

/// Where a word ends: at white space, or at a quote that closes a string around it.
fn word_end(data: &[u8], at: usize) -> usize {
    run_end(data, at, false, false)
}

/// Where a value without quotes ends: as a word, or with its line, and at an escaped newline.
fn unquoted_end(data: &[u8], at: usize, line: bool) -> usize {
    run_end(data, at, line, true)
}

fn run_end(data: &[u8], mut at: usize, line: bool, escapes: bool) -> usize {
    while let Some(&byte) = data.get(at) {
        let stops = match byte {
            b'\n' | b'\r' => true,
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

/// Whether a keyword is the end of a longer word: `sk-` in `task-`. The letter of an escape is none of a word.
fn follows_letter(data: &[u8], head: usize) -> bool {
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
fn is_secret_name(data: &[u8], head: usize, tail: usize) -> bool {
    let keyword = &data[head..tail];
    let hump = keyword[0].is_ascii_uppercase() && head > 0 && data[head - 1].is_ascii_lowercase();
    let before = &data[head.saturating_sub(CONTEXT)..head];
    !keyword.eq_ignore_ascii_case(b"key")
        || hump
        || !follows_letter(data, head)
        || COMPOUNDS.iter().any(|word| ends_with(before, word))
}

fn ends_with(text: &[u8], ending: &str) -> bool {
    text.len().checked_sub(ending.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(ending.as_bytes()))
}

/// The name that ends here.
fn name_before(data: &[u8], tail: usize) -> &[u8] {
    let before = &data[tail.saturating_sub(CONTEXT)..tail];
    let length = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    &before[before.len() - length..]
}

/// Whether a name that ends in `key` is one of an identifier.
fn is_identifier(name: &[u8]) -> bool {
    let plain: Vec<u8> = name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte }).collect();
    plain.eq_ignore_ascii_case(b"key") || IDENTIFIERS.iter().any(|known| ends_with(&plain, known))
}

/// Whether a value says that it is the SHA-256 of something. Bare digits do not: a random key looks the same.
fn is_digest(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"blob://").unwrap_or(value);
    let digits = value.strip_prefix(b"sha256:");
    digits.is_some_and(|digits| digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a value already stands in the place of a secret.
fn is_marker(value: &[u8]) -> bool {
    RULES.iter().any(|rule| rule.replacement.as_bytes() == value)
}

/// How long a value is, not counting what already stands in the place of a secret.
fn weight(value: &[u8]) -> usize {
    let mut weight = value.len();
    for at in (0..value.len()).filter(|&at| value[at..].starts_with(b"[REDACTED:")) {
        let marker = RULES.iter().find(|rule| value[at..].starts_with(rule.replacement.as_bytes()));
        weight -= marker.map_or(0, |rule| rule.replacement.len());
    }
    weight
}

/// How data holds its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// UTF-8, or whatever else has ASCII in its bytes.
    Bytes,
    /// UTF-16, the high byte first or last.
    Utf16 { big: bool },
}

impl Encoding {
    /// By byte order mark; without one, UTF-16 is what alternates with NUL from its beginning.
    fn of(data: &[u8]) -> Self {
        let sample = &data[..data.len().min(32) & !1];
        let wide =
            |low: usize| sample.len() >= 8 && sample.chunks_exact(2).all(|unit| unit[low] != 0 && unit[1 - low] == 0);
        match data {
            [0xFF, 0xFE, ..] => Self::Utf16 { big: false },
            [0xFE, 0xFF, ..] => Self::Utf16 { big: true },
            _ if wide(0) => Self::Utf16 { big: false },
            _ if wide(1) => Self::Utf16 { big: true },
            _ => Self::Bytes,
        }
    }

    fn units(self, data: &[u8]) -> impl Iterator<Item = u16> + '_ {
        let big = matches!(self, Self::Utf16 { big: true });
        data.chunks_exact(2).map(move |unit| {
            if big { u16::from_be_bytes([unit[0], unit[1]]) } else { u16::from_le_bytes([unit[0], unit[1]]) }
        })
    }

    fn write(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Bytes => out.extend_from_slice(text.as_bytes()),
            Self::Utf16 { big: true } => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16 { big: false } => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        }
    }

    fn characters(self, data: &[u8]) -> u64 {
        let count = match self {
            Self::Bytes => match std::str::from_utf8(data) {
                Ok(text) => text.chars().count(),
                Err(_) => data.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum(),
            },
            Self::Utf16 { .. } => char::decode_utf16(self.units(data)).count() + data.len() % 2,
        };
        count as u64
    }

    /// The nearest place at or before `at` that splits no character.
    fn boundary(self, data: &[u8], at: usize) -> usize {
        match self {
            Self::Bytes => (at.saturating_sub(3)..=at)
                .rev()
                .find(|&place| data.get(place).is_none_or(|byte| byte & 0xC0 != 0x80))
                .unwrap_or(at),
            Self::Utf16 { .. } => {
                let even = at & !1;
                let low = data.get(even..).and_then(|rest| self.units(rest).next());
                if even >= 2 && low.is_some_and(|unit| unit & 0xFC00 == 0xDC00) { even - 2 } else { even }
            }
        }
    }
}

/// One byte for a code unit: itself if ASCII, a space for white space, and 0xFF for what no rule asks for.
fn narrow(unit: u16) -> u8 {
    let Some(letter) = char::from_u32(u32::from(unit)) else { return 0xFF };
    let folded = FOLDED.iter().find(|(from, _)| *from == letter).map(|(_, to)| *to);
    match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => byte,
        _ if letter.is_whitespace() => b' ',
        _ => folded.unwrap_or(0xFF),
    }
}

/// Data with each letter of [`FOLDED`] made ASCII, and by how much, from where on, places moved to the left.
fn fold(data: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut folded, mut moves, mut at) = (Vec::with_capacity(data.len()), Vec::new(), 0);
    let mut buffer = [0; 4];
    while let Some(&byte) = data.get(at) {
        let letter = FOLDED
            .iter()
            .find(|(from, _)| byte >= 0xC4 && data[at..].starts_with(from.encode_utf8(&mut buffer).as_bytes()));
        folded.push(letter.map_or(byte, |(_, to)| *to));
        at += letter.map_or(1, |(from, _)| from.len_utf8());
        if letter.is_some() {
            moves.push((folded.len(), at - folded.len()));
        }
    }
    (folded, moves)
}

/// Secrets that overlap, as one.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// Where the first keyword begins, the one whose rule counts.
    head: usize,
    start: usize,
    end: usize,
    rule: usize,
    /// What to write after the replacement.
    close: Option<Closing>,
}

#[derive(Clone, Copy, Debug)]
enum Closing {
    /// These bytes of the data, again.
    Again(usize, usize),
    Text(&'static str),
}

/// Joins the spans that overlap.
fn merge(mut spans: Vec<Span>) -> Vec<Group> {
    spans.sort_by_key(|span| (span.start, Reverse(span.end), span.head, span.rule));
    let mut groups: Vec<Group> = Vec::new();
    // What the first span of the group at hand needs if the group ends behind it.
    let mut needed = Close::Nothing;
    for Span { head, start, end, rule, close } in spans {
        match groups.last_mut() {
            Some(group) if start < group.end => {
                if head < group.head {
                    (group.head, group.rule) = (head, rule);
                }
                if end > group.end {
                    group.end = end;
                    group.close = match needed {
                        Close::Nothing => None,
                        Close::Opener(open) => Some(Closing::Again(open, group.start)),
                        Close::Bytes(text) => Some(Closing::Text(text)),
                    };
                }
            }
            _ => {
                needed = close;
                groups.push(Group { head, start, end, rule, close: None });
            }
        }
    }
    groups
}

impl Redactor {
    /// The redactor of the built-in rules.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Redactor> = LazyLock::new(|| Redactor { engine: Engine::build() });
        &BUILTIN
    }

    /// Replaces every secret in data of any kind, in its own encoding. Clean data is given back as it is.
    pub fn redact<'a>(&self, data: &'a [u8]) -> (Cow<'a, [u8]>, Report) {
        let encoding = Encoding::of(data);
        let groups = self.groups(data, encoding, 0);
        let mut writer = Writer::new(encoding);
        writer.notice(data);
        if groups.is_empty() {
            return (Cow::Borrowed(data), writer.report);
        }
        let mut out = Vec::with_capacity(data.len());
        writer.write(data, 0, data.len(), &groups, &mut out);
        (Cow::Owned(out), writer.report)
    }

    /// Replaces every secret in a short text; `None` if there is none.
    pub fn redact_text(&self, text: &str) -> Option<String> {
        let groups = self.groups(text.as_bytes(), Encoding::Bytes, 0);
        (!groups.is_empty()).then(|| replaced(&text.into(), &groups).to_string_lossy())
    }

    /// Replaces every secret in the strings of a payload, and says how many.
    ///
    /// A string under the name of a secret (`password`, `client_secret`, `api-key`, …) is replaced whole, and so is
    /// each string of an array under one. A key is replaced where it is itself a secret.
    pub fn redact_object(&self, payload: &mut Object) -> usize {
        let mut hits = 0;
        let mut open: Vec<(Option<usize>, &mut Value)> = Vec::new();
        hits += self.redact_keys(payload);
        open.extend(payload.iter_mut().map(|(key, value)| (rule_of_name(key), value)));
        while let Some((rule, value)) = open.pop() {
            match value {
                Value::String(text) => hits += self.redact_string(rule, text),
                Value::Array(items) => open.extend(items.iter_mut().map(|item| (rule, item))),
                Value::Object(object) => {
                    hits += self.redact_keys(object);
                    open.extend(object.iter_mut().map(|(key, value)| (rule_of_name(key), value)));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        hits
    }

    /// Starts redacting data that comes in pieces.
    pub fn stream(&self) -> StreamRedactor<'_> {
        StreamRedactor { redactor: self, buffer: Vec::new(), from: 0, writer: None }
    }

    fn redact_string(&self, rule: Option<usize>, text: &mut Text) -> usize {
        let value = text.as_bytes();
        if let Some(rule) = rule.map(|rule| &RULES[rule]) {
            let short = |least| weight(value) < least || is_digest(value);
            let harmless = matches!(rule.shape, Shape::Quoted(_, least @ 1..) if short(least));
            if !value.is_empty() && !harmless && !is_marker(value) {
                *text = rule.replacement.into();
                return 1;
            }
        }
        let groups = self.groups(value, Encoding::Bytes, 0);
        if !groups.is_empty() {
            *text = replaced(text, &groups);
        }
        groups.len()
    }

    /// Replaces the secrets in an object's keys, keeping the keys distinct.
    fn redact_keys(&self, object: &mut Object) -> usize {
        let dirty = |key: &Text| !self.groups(key.as_bytes(), Encoding::Bytes, 0).is_empty();
        if !object.iter().any(|(key, _)| dirty(key)) {
            return 0;
        }
        let mut hits = 0;
        let mut kept = Object::new();
        for (key, value) in std::mem::take(object) {
            let groups = self.groups(key.as_bytes(), Encoding::Bytes, 0);
            hits += groups.len();
            let name = if groups.is_empty() { key } else { replaced(&key, &groups) };
            let plain = name.to_string_lossy();
            let taken = |name: &Text| kept.get(&name.to_string_lossy()).is_some();
            let numbered = (hits..).map(|number| Text::from(format!("{plain} ({number})")));
            let name = std::iter::once(name).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
            kept.insert(name, value);
        }
        *object = kept;
        hits
    }

    fn groups(&self, data: &[u8], encoding: Encoding, from: usize) -> Vec<Group> {
        let Some(engine) = &self.engine else {
            return vec![Group { head: from, start: from, end: data.len(), rule: 0, close: None }];
        };
        if encoding != Encoding::Bytes {
            let narrowed: Vec<u8> = encoding.units(data).map(narrow).collect();
            let spans = Scan::run(engine, &narrowed, from / 2).unwrap_or_default();
            return merge(moved(spans, |place| place * 2));
        }
        if engine.rules_out(data) {
            return Vec::new();
        }
        if let Ok(spans) = Scan::run(engine, data, from) {
            return merge(spans);
        }
        let (folded, moves) = fold(data);
        let source = |place: usize| {
            let known = moves.partition_point(|(at, _)| *at <= place);
            place + known.checked_sub(1).map_or(0, |index| moves[index].1)
        };
        let spans = Scan::run(engine, &folded, 0).unwrap_or_default();
        merge(moved(spans, source).into_iter().filter(|span| span.head >= from).collect())
    }
}

fn moved(mut spans: Vec<Span>, to: impl Fn(usize) -> usize) -> Vec<Span> {
    for span in &mut spans {
        (span.head, span.start, span.end) = (to(span.head), to(span.start), to(span.end));
        if let Close::Opener(open) = &mut span.close {
            *open = to(*open);
        }
    }
    spans
}

/// The rule, if any, under which the value of a member is a secret because of its name.
fn rule_of_name(key: &Text) -> Option<usize> {
    let name = key.as_bytes();
    let named = |rule: &Rule| {
        let mut keywords = rule.keywords.iter().filter(|keyword| ends_with(name, keyword));
        match rule.shape {
            Shape::Word | Shape::Line | Shape::Quoted(_, 0) => keywords.next().is_some(),
            Shape::Quoted(..) => keywords
                .any(|keyword| is_secret_name(name, name.len() - keyword.len(), name.len()) && !is_identifier(name)),
            _ => false,
        }
    };
    RULES.iter().position(named)
}

/// A text with its secrets replaced, lone surrogates and all.
fn replaced(text: &Text, groups: &[Group]) -> Text {
    let (mut out, mut at) = (Text::default(), 0);
    let mut groups = groups.iter().peekable();
    let push = |out: &mut Text, text: &str| text.chars().for_each(|letter| out.push(u32::from(letter)));
    for point in text.code_points().map(Some).chain([None]) {
        while let Some(group) = groups.next_if(|group| group.end <= at) {
            push(&mut out, RULES[group.rule].replacement);
            match group.close {
                Some(Closing::Again(from, to)) => push(&mut out, &String::from_utf8_lossy(&text.as_bytes()[from..to])),
                Some(Closing::Text(close)) => push(&mut out, close),
                None => {}
            }
        }
        let Some(point) = point else { break };
        if groups.peek().is_none_or(|group| at < group.start) {
            out.push(point);
        }
        at += char::from_u32(point).map_or(3, char::len_utf8);
    }
    out
}

/// Writes data with its secrets replaced, and counts where it is.
#[derive(Debug)]
struct Writer {
    encoding: Encoding,
    characters: u64,
    bytes: u64,
    report: Report,
}

impl Writer {
    fn new(encoding: Encoding) -> Self {
        Self { encoding, characters: 0, bytes: 0, report: Report::default() }
    }

    /// Looks at what kind of data it is.
    fn notice(&mut self, data: &[u8]) {
        if self.encoding == Encoding::Bytes && data.contains(&0) {
            self.report.scanned = Scanned::Binary;
        }
    }

    /// Writes `data[from..to]`, in which all of `groups` lie.
    fn write(&mut self, data: &[u8], from: usize, to: usize, groups: &[Group], out: &mut Vec<u8>) {
        let mut at = from;
        for group in groups {
            let rule = &RULES[group.rule];
            out.extend_from_slice(&data[at..group.start]);
            self.pass(&data[at..group.start]);
            let (offset, byte_offset) = (self.characters, self.bytes);
            self.pass(&data[group.start..group.end]);
            self.report.hits.push(Hit {
                pattern_name: rule.name,
                offset,
                length: self.characters - offset,
                byte_offset,
                byte_length: self.bytes - byte_offset,
                replacement: rule.replacement,
            });
            self.encoding.write(rule.replacement, out);
            match group.close {
                Some(Closing::Again(from, to)) => out.extend_from_slice(&data[from..to]),
                Some(Closing::Text(close)) => self.encoding.write(close, out),
                None => {}
            }
            at = group.end;
        }
        out.extend_from_slice(&data[at..to]);
        self.pass(&data[at..to]);
    }

    fn pass(&mut self, data: &[u8]) {
        let mark =
            self.bytes == 0 && self.encoding != Encoding::Bytes && matches!(data, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
        self.characters += self.encoding.characters(data) - u64::from(mark);
        self.bytes += data.len() as u64;
    }
}

/// Redacts data that comes in pieces, in bounded memory.
///
/// However the data is cut, the output is that of [`Redactor::redact`], as long as no secret with its name in front
/// is longer than 64 KiB.
#[derive(Debug)]
pub struct StreamRedactor<'r> {
    redactor: &'r Redactor,
    /// What is not written yet, after a little of what is.
    buffer: Vec<u8>,
    /// Where in the buffer what is not written begins.
    from: usize,
    /// There once the encoding is known.
    writer: Option<Writer>,
}

impl StreamRedactor<'_> {
    /// Takes the next piece, and appends to `out` what can be written by now.
    pub fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while !chunk.is_empty() {
            let room = (self.from + WINDOW).saturating_sub(self.buffer.len());
            let (now, later) = chunk.split_at(chunk.len().min(room));
            self.buffer.extend_from_slice(now);
            chunk = later;
            if self.buffer.len() >= self.from + WINDOW {
                self.settle(false, out);
            }
        }
    }

    /// Appends the rest to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Report {
        self.settle(true, out);
        self.writer.map(|writer| writer.report).unwrap_or_default()
    }

    /// Writes all of the buffer, or all but the last part, in which a secret may have only begun.
    fn settle(&mut self, all: bool, out: &mut Vec<u8>) {
        let (data, from) = (&self.buffer, self.from);
        let writer = self.writer.get_or_insert_with(|| Writer::new(Encoding::of(data)));
        let mut groups = self.redactor.groups(data, writer.encoding, from);
        let mut cut = data.len();
        if !all {
            cut = writer.encoding.boundary(data, cut - OVERLAP);
            while let Some(group) = groups.iter().rev().find(|group| group.head < cut && cut < group.end) {
                cut = group.head;
            }
            if cut <= from {
                // One secret fills the window.
                cut = data.len();
            }
            groups.retain(|group| group.end <= cut && group.head < cut);
        }
        writer.notice(&data[from..cut]);
        writer.write(data, from, cut, &groups, out);
        let keep = writer.encoding.boundary(data, cut.saturating_sub(2 * CONTEXT));
        self.buffer.drain(..keep);
        self.from = cut - keep;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rules_nothing_is_kept() {
        let redactor = Redactor { engine: None };
        assert_eq!(&*redactor.redact(b"anything").0, RULES[0].replacement.as_bytes());
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        stream.push(b"anything", &mut out);
        assert_eq!((stream.finish(&mut out).hits.len(), out), (1, RULES[0].replacement.into()));
    }

    #[test]
    fn the_rules_compile() {
        assert!(Redactor::builtin().engine.is_some());
    }

    #[test]
    fn quotes_close_at_the_depth_they_opened() {
        let closing = |opening| (0..8).filter(|&backslashes| closes(backslashes, opening)).collect::<Vec<_>>();
        assert_eq!(closing(0), [0, 2, 4, 6]);
        assert_eq!(closing(1), [0, 1, 2, 4, 5, 6]);
        assert_eq!(closing(3), [0, 1, 2, 3, 4, 5, 6]);
    }
}
