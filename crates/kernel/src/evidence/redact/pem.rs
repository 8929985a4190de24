//! PEM and PGP blocks: from their begin line to their end line, and what is left of one that was cut short.

use super::assign::{DOUBLE, SINGLE, unquoted_end};
use super::engine::{CONTEXT, LONGEST, Scan};

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
    /// closed, it is the last end line in reach: what stands between may be a piece of a key.
    pub(super) fn pem(&mut self, head: usize, tail: usize) -> Option<(usize, usize)> {
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
        Some((head, last.unwrap_or_else(|| base64_end(self.data, body, limit))))
    }
}

/// How long the rest of a PEM line of this kind is, after its first dashes.
fn pem_line(rest: &[u8], kind: &[u8]) -> Option<usize> {
    let rest = rest.strip_prefix(kind)?;
    let label = LABELS.iter().find(|label| rest.starts_with(label))?;
    Some(kind.len() + label.len())
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
