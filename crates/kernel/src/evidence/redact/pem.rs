//! PEM and PGP blocks: from their begin line to their end line, and what is left of one that was cut short.

use super::assign::{DOUBLE, SINGLE, unquoted_end};
use super::scan::Scan;
use super::{CONTEXT, LONGEST};

/// What stands between BEGIN or END and the end of such a line.
const LABELS: [&[u8]; 8] = [
    b"PRIVATE KEY-----",
    b"RSA PRIVATE KEY-----",
    b"EC PRIVATE KEY-----",
    b"DSA PRIVATE KEY-----",
    b"OPENSSH PRIVATE KEY-----",
    b"ENCRYPTED PRIVATE KEY-----",
    b"ANY PRIVATE KEY-----",
    b"PGP PRIVATE KEY BLOCK-----",
];

/// What the lines between a begin line and the key begin with, where there are any.
const HEADERS: [&[u8]; 4] = [b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:"];

impl Scan<'_> {
    /// A block ends with the end line that closes it, and so do the blocks within it. Where one of them is never
    /// closed, it is the last end line in reach: what stands between may be a piece of a key. But a block that was cut
    /// short has no claim on the end line of another one: it ends before the first line that none of a key can be.
    pub(super) fn pem(&mut self, head: usize, tail: usize) -> Option<(usize, usize)> {
        let (length, label) = pem_line(&self.data[tail..], b"")?;
        let body = tail + length;
        let limit = self.data.len().min(body + LONGEST);
        let (mut at, mut open, mut last) = (body.max(self.carry.pem_searched), 1_usize, None::<usize>);
        let mut piece = at;
        while at < limit && open > 0 {
            let found = self.data[at..limit].iter().position(|&byte| byte == b'-').map_or(limit, |dash| at + dash);
            let dashes = self.data[found..limit].iter().take_while(|&&byte| byte == b'-').count();
            at = found + dashes.max(1);
            if dashes < 5 {
                continue;
            }
            let rest = &self.data[at..limit];
            if let Some((length, _)) = pem_line(rest, b"BEGIN ") {
                if let Some(end) = foreign_line(self.data, piece, found) {
                    return Some((head, last.unwrap_or(0).max(base64_end(self.data, body, limit)).max(end)));
                }
                (open, piece) = (open + 1, at + length);
            } else if let Some((length, closing)) = pem_line(rest, b"END ") {
                let another = open == 1 && last.is_none() && closing != label;
                if another && let Some(end) = foreign_line(self.data, piece, found) {
                    return Some((head, base64_end(self.data, body, limit).max(end)));
                }
                (open, last, piece) = (open - 1, Some(at + length), at + length);
                self.carry.pem_searched = found;
            }
        }
        if open > 0 {
            self.carry.pem_searched = limit.saturating_sub(CONTEXT).max(self.carry.pem_searched);
        }
        Some((head, last.unwrap_or_else(|| base64_end(self.data, body, limit))))
    }
}

/// How long the rest of a PEM line of this kind is, after its first dashes, and which label it has.
fn pem_line(rest: &[u8], kind: &[u8]) -> Option<(usize, usize)> {
    let rest = rest.strip_prefix(kind)?;
    let label = LABELS.iter().position(|label| rest.starts_with(label))?;
    Some((kind.len() + LABELS[label].len(), label))
}

/// Where the first line between two places ends its predecessor that cannot be one of a key.
fn foreign_line(data: &[u8], from: usize, to: usize) -> Option<usize> {
    let (mut at, mut end) = (from, from);
    while at < to {
        let breaks = |place: &usize| {
            matches!(data[*place], b'\n' | b'\r' | 0) || data[*place] == b'\\' && escaped_break(data, *place)
        };
        let stop = (at..to).find(breaks).unwrap_or(to);
        if !may_be_key(&data[at..stop]) {
            return Some(end);
        }
        end = stop;
        at = stop + if data.get(stop) == Some(&b'\\') { 2 } else { 1 };
    }
    None
}

/// Whether a line may be one of a key: a header, or one word of base64, whatever marks stand around it; or one that ends
/// with so much of it that it can be nothing else, as where each line of a log begins with the time.
fn may_be_key(line: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric();
    let Some(first) = line.iter().position(inner) else { return true };
    let last = line.iter().rposition(inner).unwrap_or(first);
    let word = &line[first..=last];
    let run = word.iter().rev().take_while(|byte| is_base64(**byte)).count();
    let tail = &word[word.len() - run..];
    run == word.len()
        || HEADERS.iter().any(|header| word.starts_with(header))
        || run >= 40 && tail.iter().any(u8::is_ascii_uppercase) && tail.iter().any(u8::is_ascii_lowercase)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Where the base64 lines of a PEM block end that has no end line. Lines end at a newline or at an escaped one.
fn base64_end(data: &[u8], body: usize, limit: usize) -> usize {
    let (mut end, mut at, mut first) = (body, body, true);
    loop {
        while at < limit && (matches!(data[at], b' ' | b'\t' | b'\r' | b'\n') || escaped_break(data, at)) {
            at += if data[at] == b'\\' { 2 } else { 1 };
        }
        let line = &data[at..limit];
        if HEADERS.iter().any(|header| line.starts_with(header)) {
            at = unquoted_end(data, at, true).min(limit);
            end = at;
            continue;
        }
        let length = line.iter().take_while(|byte| is_base64(**byte)).count();
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
