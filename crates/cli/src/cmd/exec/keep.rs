//! What a run keeps of a stream: redacted as it comes, held in a file that has no name, put on record in parts.

use receipt_kernel::{BlobRecord, EvidenceClass, Object, Put, Redactor, RunWriter, Source, Spool, Value};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The largest evidence that is put in one piece. SQLite lays out a whole row in memory, more than once, so that this and
/// not the stream sets how much memory a recording takes.
const PART: usize = 4 << 20;

/// The media type of what names the parts of evidence that is larger than one.
const PARTS_TYPE: &str = "application/vnd.receipt.parts+json";

/// A stream that is being recorded.
#[derive(Debug)]
pub(super) struct Keep {
    spool: io::Result<Spool>,
    /// The same file again, to read the parts from.
    file: File,
    text: Utf8,
}

impl Keep {
    /// A stream of nothing yet, kept in this folder, and redacted by this.
    pub(super) fn new(folder: &Path, redactor: &Redactor) -> io::Result<Self> {
        let file = unnamed_file(folder)?;
        Ok(Self { spool: Ok(Spool::new(file.try_clone()?).with_redactor(redactor)), file, text: Utf8::default() })
    }

    /// The next piece. What cannot be kept is told at the end: until then the stream must go on.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.text.push(piece);
        if let Ok(spool) = &mut self.spool
            && let Err(error) = spool.push(piece)
        {
            self.spool = Err(error);
        }
    }

    /// The whole of it.
    pub(super) fn finish(self) -> io::Result<Kept> {
        let source = self.spool?.finish()?;
        let len = self.file.metadata()?.len();
        Ok(Kept { source, file: self.file, len, is_text: self.text.is_valid() })
    }
}

/// A stream that has ended, ready to be put on record.
#[derive(Debug)]
pub(super) struct Kept {
    source: Source<'static>,
    file: File,
    len: u64,
    is_text: bool,
}

/// Evidence that was put.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) record: BlobRecord,
    /// How many bytes the evidence has, all parts together.
    pub(super) len: u64,
}

impl Item {
    /// `{"key", "ref", "sha256", "content_type", "bytes_len", "evidence_class"}`
    pub(super) fn to_value(&self) -> Value {
        let mut object = self.record.to_object();
        object.insert("key", self.key.as_str());
        object.into()
    }
}

impl Kept {
    /// Puts it under a key; in parts, and under the key what names them, where it is larger than one part.
    pub(super) fn put(
        self,
        writer: &mut RunWriter,
        key: &str,
        how: (Option<&str>, EvidenceClass),
        items: &mut Vec<Item>,
    ) -> receipt_kernel::Result<()> {
        self.put_in_parts_of(PART, writer, key, how, items)
    }

    fn put_in_parts_of(
        self,
        part: usize,
        writer: &mut RunWriter,
        key: &str,
        (kind, class): (Option<&str>, EvidenceClass),
        items: &mut Vec<Item>,
    ) -> receipt_kernel::Result<()> {
        let put = Put { kind: kind.map(str::to_owned), ..Put::of_type(self.content_type()) }.of_class(class);
        let Self { source, file, len, .. } = self;
        if len <= part as u64 && class == EvidenceClass::Sealed {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(part)];
            file.read_exact_at(&mut bytes, 0).map_err(|source| unreadable(key, source))?;
            let record = writer.put(key, &bytes, put)?;
            items.push(Item { key: key.to_owned(), record, len });
            return Ok(());
        }
        if len <= part as u64 {
            let record = writer.put_source(key, source, put)?;
            items.push(Item { key: key.to_owned(), record, len });
            return Ok(());
        }
        drop(source);
        let mut parts: Vec<Value> = Vec::new();
        let mut piece = vec![0; part];
        let mut offset = 0;
        while offset < len {
            let want = usize::try_from(len - offset).map_or(part, |left| left.min(part));
            let bytes = piece.get_mut(..want).unwrap_or_default();
            file.read_exact_at(bytes, offset).map_err(|source| unreadable(key, source))?;
            offset += want as u64;
            let key = format!("{key}.part-{:04}", parts.len() + 1);
            let record = writer.put(&key, bytes, put.clone())?;
            let part = ["ref", "sha256", "bytes_len"];
            let whole = record.to_object();
            parts.push(
                part.iter().filter_map(|name| Some((*name, whole.get(name)?.clone()))).collect::<Object>().into(),
            );
            items.push(Item { key, len: record.bytes_len, record });
        }
        let manifest = Object::from_iter([("parts", Value::Array(parts)), ("bytes_len", Value::from(len))]);
        // What names the parts says nothing of what is in them.
        let of_parts = Put { content_type: PARTS_TYPE.to_owned(), class: EvidenceClass::Public, ..put };
        let record = writer.put(key, &json_bytes(manifest)?, of_parts)?;
        items.push(Item { key: key.to_owned(), record, len });
        Ok(())
    }

    fn content_type(&self) -> &'static str {
        if self.is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" }
    }
}

fn unreadable(key: &str, source: io::Error) -> receipt_kernel::Error {
    receipt_kernel::Error::Io { path: format!("what was kept of {key}").into(), source }
}

/// JSON as it is put on record.
pub(super) fn json_bytes(object: Object) -> receipt_kernel::Result<Vec<u8>> {
    use receipt_kernel::core::{canonical, json::Limits};
    Ok(canonical::to_bytes(&object.into(), Limits::WRITE)?)
}

/// A file that only this process can get at: nobody else may open it, and it has lost its name.
fn unnamed_file(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(".spool-{}", random_hex()?));
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).custom_flags(flags).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Eight random hexadecimal digits.
pub(super) fn random_hex() -> io::Result<String> {
    let random = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{random:08x}"))
}

/// Whether a stream that comes in pieces is UTF-8.
#[derive(Debug, Default)]
struct Utf8 {
    broken: bool,
    /// The beginning of a character whose rest is in the next piece.
    open: Vec<u8>,
}

impl Utf8 {
    fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let (false, false, Some((first, more))) = (self.broken, self.open.is_empty(), rest.split_first()) {
            self.open.push(*first);
            rest = more;
            self.settle_open();
        }
        if self.broken {
            return;
        }
        if let Err(error) = std::str::from_utf8(rest) {
            self.broken = error.error_len().is_some();
            self.open = rest.get(error.valid_up_to()..).unwrap_or_default().to_vec();
        }
    }

    fn settle_open(&mut self) {
        match std::str::from_utf8(&self.open) {
            Ok(_) => self.open.clear(),
            Err(error) => self.broken = error.error_len().is_some(),
        }
    }

    fn is_valid(&self) -> bool {
        !self.broken && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt_kernel::{Actor, Ledger, Policy};

    fn is_utf8(pieces: &[&[u8]]) -> bool {
        let mut text = Utf8::default();
        for piece in pieces {
            text.push(piece);
        }
        text.is_valid()
    }

    #[test]
    fn utf8_is_told_whatever_the_pieces() {
        let euro = "a€b".as_bytes();
        for cut in 0..=euro.len() {
            for second in cut..=euro.len() {
                assert!(is_utf8(&[&euro[..cut], &euro[cut..second], &euro[second..]]));
            }
        }
        assert!(!is_utf8(&[&euro[..2]]));
        assert!(!is_utf8(&[&euro[..2], b"x"]));
        assert!(!is_utf8(&[b"\xff"]));
        assert!(!is_utf8(&[b"ok", b"\xff", b"ok"]));
    }

    #[test]
    fn large_evidence_is_put_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_memory();
        let policy = Policy::from_toml(
            "id = \"p\"\nversion = \"1\"\nstage_graph = \"v1_minimal\"\n[[invariant]]\nid = \"ledger.chain_valid\"\n",
        );
        let mut writer = ledger.start("r", policy.unwrap(), Actor::new("cli", "test"), Object::new()).unwrap();
        for (data, keys) in [
            (&b""[..], &["k"][..]),
            (b"0123", &["k"]),
            (b"01234", &["k.part-0001", "k.part-0002", "k"]),
            (b"01234567", &["k.part-0001", "k.part-0002", "k"]),
        ] {
            let mut keep = Keep::new(folder.path(), &ledger.redactor().unwrap()).unwrap();
            data.chunks(3).for_each(|piece| keep.push(piece));
            let mut items = Vec::new();
            keep.finish()
                .unwrap()
                .put_in_parts_of(4, &mut writer, "k", (None, EvidenceClass::Public), &mut items)
                .unwrap();
            assert_eq!(items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), keys);
            let last = items.last().unwrap();
            assert_eq!(last.len, data.len() as u64);
            if keys.len() > 1 {
                let parts = items[..keys.len() - 1].iter().map(|item| ledger.blob(&item.record.hash).unwrap());
                assert_eq!(parts.flat_map(|bytes| bytes.to_vec()).collect::<Vec<_>>(), data);
                assert_eq!(last.record.content_type, PARTS_TYPE);
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a spool has kept its name");
    }
}
