//! Columns under the name of a secret: CSV and TSV with a row of names first, and the tables that programs draw.
//!
//! The row of names is known when its cell with the secret's name is; the rows below are read forward from there, as many
//! as lie within a bound.

use super::LONGEST;
use super::assign::{is_secret_name, name_before};
use super::data::is_literal;
use super::rules::{Bare, Named};
use super::scan::{Close, Scan};
use super::work;

/// How long a row of names may be to either side of one.
const ROW: usize = 512;
/// How long a name in it may be.
const CELL: usize = 48;

/// A row of names, and which of them is that of a secret.
#[derive(Clone, Copy, Debug)]
struct Header {
    delimiter: u8,
    /// The column, and how many there are.
    column: usize,
    columns: usize,
    /// Where the rows below begin.
    body: usize,
}

/// The cells under one name.
#[derive(Debug, Default)]
pub(super) struct Column {
    /// Where the name ends.
    of: usize,
    /// Where the rows below the names begin, and where they end.
    body: usize,
    end: usize,
    cells: Vec<(usize, usize)>,
}

/// The row of names that the name from `start` to `tail` stands in.
fn header(data: &[u8], start: usize, tail: usize) -> Option<Header> {
    let quoted = |at: usize| matches!(data.get(at), Some(b'"' | b'\''));
    let after = tail + usize::from(quoted(tail));
    let blanks = data[after..data.len().min(after + CELL)].iter().take_while(|byte| **byte == b' ').count();
    let ends = data.get(after + blanks).copied();
    // Most names are followed by something else.
    if !matches!(ends, None | Some(b',' | b';' | b'\t' | b'|' | b'\n' | b'\r')) {
        return None;
    }
    let far = start.saturating_sub(ROW);
    let row = memchr::memrchr(b'\n', &data[far..start]).map_or(far, |at| far + at + 1);
    if row == far && far > 0 {
        return None;
    }
    let near = &data[tail..data.len().min(tail + ROW)];
    work::looked(start - row + near.len());
    let end = tail + memchr::memchr(b'\n', near)?;
    let text = data[row..end].strip_suffix(b"\r").unwrap_or(&data[row..end]);
    let delimiter = [b'\t', b'|', b',', b';'].into_iter().find(|byte| text.contains(byte))?;
    let cells = cells(text, delimiter);
    // Between the cells of CSV nothing stands but the comma; in a list of a program something does.
    if delimiter == b',' && text.windows(2).any(|two| two == b", ") {
        return None;
    }
    let (columns, column) = (cells.len(), cells.iter().position(|(from, to)| row + from <= start && tail <= row + to)?);
    let names = cells.iter().filter(|(from, to)| is_name(&text[*from..*to])).count();
    let empty = cells.iter().filter(|(from, to)| from == to).count();
    // All are names, but for what stands outside of the frame of a table.
    let framed = if delimiter == b'|' { 2 } else { 0 };
    (names > 1 && names + empty.min(framed) == columns).then_some(Header { delimiter, column, columns, body: end + 1 })
}

/// The cells of a row, each without the blanks and the quotes around it.
fn cells(row: &[u8], delimiter: u8) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        let lead = row[at..].iter().take_while(|byte| **byte == b' ').count();
        let begin = at + lead;
        let quote = row.get(begin).copied().filter(|byte| *byte == b'"' && delimiter != b'|');
        let mut inside = begin + usize::from(quote.is_some());
        let end = loop {
            let next =
                row[inside..].iter().position(|byte| *byte == quote.unwrap_or(delimiter)).map(|length| inside + length);
            match (next, quote) {
                // Two quotes are one that belongs to the cell.
                (Some(place), Some(byte)) if row.get(place + 1) == Some(&byte) => inside = place + 2,
                (Some(place), _) => break place,
                (None, _) => break row.len(),
            }
        };
        let from = begin + usize::from(quote.is_some());
        let text = &row[from.min(end)..end];
        found.push((from.min(end), from.min(end) + text.trim_ascii_end().len()));
        let rest = row[end..].iter().position(|byte| *byte == delimiter).map(|length| end + length);
        match rest {
            Some(place) if found.len() < MOST => at = place + 1,
            _ => return found,
        }
    }
}

/// How many columns a table may have.
const MOST: usize = 32;

fn is_name(cell: &[u8]) -> bool {
    let cell = cell.strip_prefix(b"'").and_then(|cell| cell.strip_suffix(b"'")).unwrap_or(cell);
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-. #".contains(byte);
    (1..=CELL).contains(&cell.len())
        && cell[0].is_ascii_alphabetic()
        && cell.iter().all(letters)
        && cell.split(|byte| *byte == b' ').count() <= 3
}

impl Header {
    /// The cells below the secret's name, row by row, and where the table ends.
    fn below(self, data: &[u8]) -> (Vec<(usize, usize)>, usize) {
        let (mut found, mut at) = (Vec::new(), self.body);
        let limit = data.len().min(self.body + LONGEST);
        while at < limit {
            let end = memchr::memchr(b'\n', &data[at..limit]).map_or(limit, |length| at + length);
            let row = data[at..end].strip_suffix(b"\r").unwrap_or(&data[at..end]);
            let rule = !row.is_empty() && row.iter().all(|byte| b"-+|=: \t".contains(byte));
            if !rule {
                let cells = cells(row, self.delimiter);
                if cells.len() != self.columns {
                    break;
                }
                let (from, to) = cells[self.column];
                if self.is_value(&row[from..to]) {
                    found.push((at + from, at + to));
                }
            }
            at = end + 1;
        }
        work::looked(at - self.body);
        (found, at)
    }

    /// Whether a cell may hold a secret: words are none, and where a table may be one of a text, nor is what has only
    /// small letters.
    fn is_value(self, cell: &[u8]) -> bool {
        let drawn = self.delimiter == b'|';
        let small = cell.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_'));
        let blank = cell.iter().any(u8::is_ascii_whitespace);
        !(cell.is_empty() || drawn && (small || blank || cell[0] == b'`'))
    }
}

impl Scan<'_> {
    /// The cells below the name of a secret, where it stands in a row of names.
    pub(super) fn column(&mut self, rule: usize, named: &Named, head: usize, tail: usize) {
        if named.bare == Bare::None || named.guarded && !is_secret_name(self.data, head, tail) {
            return;
        }
        let start = head.min(tail - name_before(self.data, tail).len());
        if self.table.of != tail {
            let Some(header) = header(self.data, start, tail) else { return };
            // What stands in a table is no row of names of another one.
            if header.body != self.table.body && start < self.table.end {
                return;
            }
            let (cells, end) = header.below(self.data);
            self.table = Column { of: tail, body: header.body, end, cells };
        }
        for index in 0..self.table.cells.len() {
            let (from, to) = self.table.cells[index];
            if is_literal(&self.data[from..to]) && self.fitting(named, tail, from, to) {
                self.add(head, rule, (from, to, Close::Nothing));
            }
        }
    }
}
