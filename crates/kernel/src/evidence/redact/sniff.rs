//! Whether data was scanned: all that decodes as text was. Of archives, pictures and programs only the bytes as they lie
//! there were looked at, and what is packed in them was not.

/// What was scanned, or why it was not. Whatever it is, what was found in its bytes was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scanned {
    /// Text in some encoding.
    #[default]
    Text,
    /// Data whose content does not lie open, and what it is.
    Unscanned(&'static str),
}

impl Scanned {
    /// Whether all of it was scanned.
    pub fn is_whole(self) -> bool {
        self == Self::Text
    }

    /// Why it was not.
    pub fn why(self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Unscanned(why) => Some(why),
        }
    }
}

/// What formats begin with whose content is packed or encrypted, and their names.
const MAGIC: [(usize, &[u8], &str); 36] = [
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-zip"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"MSCF", "cabinet"),
    (0, b"xar!", "xar"),
    (257, b"ustar", "tar"),
    (0, b"!<arch>\n", "ar archive"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"%PDF-", "pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF8", "gif"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (8, b"WEBP", "webp"),
    (4, b"ftyp", "mp4"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (0, b"fLaC", "flac"),
    (0, b"\x7fELF", "elf"),
    (0, b"MZ\x90\0", "executable"),
    (0, b"\xfe\xed\xfa", "executable"),
    (0, b"\xcf\xfa\xed\xfe", "executable"),
    (0, b"\0asm", "wasm"),
    (0, b"\xca\xfe\xba\xbe", "class file"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"age-encryption.org/", "age"),
    (0, b"PAR1", "parquet"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole document"),
];

/// How much of the beginning of data is needed to know what it is.
pub(super) const HEAD: usize = 512;

/// What packs or encrypts data that begins like this.
pub(super) fn packed(head: &[u8]) -> Option<&'static str> {
    let found = |(at, magic, _): &&(usize, &[u8], &str)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    MAGIC.iter().find(found).map(|(_, _, name)| *name)
}

/// Counts what text does not have, as data goes by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Census {
    bytes: u64,
    controls: u64,
    nul: bool,
}

impl Census {
    pub(super) fn count(&mut self, data: &[u8]) {
        // So few at a time that the counters cannot overflow and the loop can use wide instructions.
        for piece in data.chunks(128) {
            let (controls, nuls) = piece.iter().fold((0_u8, 0_u8), |(controls, nuls), byte| {
                (controls + u8::from(is_control(*byte)), nuls | u8::from(*byte == 0))
            });
            self.controls += u64::from(controls);
            self.nul |= nuls != 0;
        }
        self.bytes += data.len() as u64;
    }

    /// Text has no NUL, and of other control characters next to none; in random bytes every tenth is one.
    pub(super) fn is_binary(self) -> bool {
        self.nul || self.controls > 1 && self.controls * 20 > self.bytes
    }
}

/// A control character that text does not have: all but those that move the cursor, and ESC.
pub(super) fn is_control(byte: u8) -> bool {
    byte < 0x20 && !(7..=13).contains(&byte) && byte != 0x1B || byte == 0x7F
}
