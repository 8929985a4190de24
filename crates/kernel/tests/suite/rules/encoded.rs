//! Secrets in base64, behind escapes and in packed data, whole and across the boundaries of a stream.

use super::{alone, leak, percent, redact, secrets, syntaxes};
use crate::common::Random;
use receipt_kernel::Rules;
use receipt_kernel::evidence::redact::Redactor;

/// A secret in base64: the lines of MIME, padded or not, in either alphabet.
fn base64s(text: &str) -> Vec<String> {
    use data_encoding::{BASE64, BASE64_MIME, BASE64URL_NOPAD};
    let plain = BASE64.encode(text.as_bytes());
    let lines = BASE64_MIME.encode(text.as_bytes()).trim_end().to_owned();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![plain, lines, BASE64URL_NOPAD.encode(text.as_bytes()), BASE64.encode(&wide)]
}

fn decoded(text: &str) -> String {
    let joined: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | b'=')).collect();
    let url = joined.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let alphabet = if url { &data_encoding::BASE64URL_NOPAD } else { &data_encoding::BASE64_NOPAD };
    let bytes = alphabet.decode(&joined).unwrap_or_else(|error| panic!("{error}: {text}"));
    String::from_utf8_lossy(&bytes).replace('\0', "")
}

#[test]
fn a_secret_in_base64_is_replaced_there_and_the_rest_still_decodes() {
    let (rules, mut random, mut checked) = (Rules::builtin().unwrap(), Random(0xB64), 0);
    for rule in rules.iter().filter(|rule| rule.keywords().len() % 3 == 1) {
        let value = random.example(&rule.examples()[0]);
        for (syntax, text, form) in syntaxes(rule.name().unwrap_or("note"), &value).into_iter().take(2) {
            let secrets = match rule.name() {
                Some(_) => vec![form(&value)],
                None => secrets(&text, &redact(&alone(rule), &text).1),
            };
            for encoded in base64s(&format!("{text}\nthe rest")) {
                let (out, report) = redact(Redactor::builtin(), &format!("data: {encoded} end"));
                let inside = out.strip_prefix("data: ").unwrap().strip_suffix(" end").unwrap();
                let plain = decoded(inside);
                checked += 1;
                assert!(!report.hits.is_empty(), "{} in {syntax}: {text}", rule.id());
                assert!(plain.ends_with("the rest"), "{plain}");
                // The id of a rule may have a piece of what it finds.
                let bare: String =
                    plain.split("[REDACTED:").map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
                for secret in &secrets {
                    assert_eq!(leak(&bare, secret), None, "{}: {plain}", rule.id());
                }
                let again = redact(Redactor::builtin(), &out).1.hits;
                assert!(again.is_empty(), "{again:?} again: {plain}");
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn base64_that_ends_with_a_secret_still_decodes_where_padding_is_asked_for() {
    let secret = format!("gh{}_{}", "p", Random(7).fill("w", 36));
    for fill in 0..3 {
        let encoded = data_encoding::BASE64.encode(format!("{}the token: {secret}", "x".repeat(fill)).as_bytes());
        let (out, report) = redact(Redactor::builtin(), &format!("{encoded}\n"));
        let plain = data_encoding::BASE64.decode(out.trim_end().as_bytes()).unwrap();
        let plain = String::from_utf8(plain).unwrap();
        assert!(plain.contains("the token: [REDACTED:github_token]") && !plain.contains(&secret), "{plain}");
        assert_eq!(report.hits.len(), 1);
    }
}

#[test]
fn a_secret_behind_escapes_is_found() {
    let (rules, mut random) = (Rules::builtin().unwrap(), Random(0xE5C));
    let escapes: [fn(u8) -> String; 3] =
        [|byte| format!("%{byte:02x}"), |byte| format!("\\u{byte:04x}"), |byte| format!("\\x{byte:02X}")];
    for rule in rules.iter().filter(|rule| rule.name().is_none()) {
        let value = random.example(&rule.examples()[0]);
        if value.contains(['\n', ' ', '\\', '%', '"']) {
            continue;
        }
        for escape in escapes {
            // All of it, and only what is no letter or digit.
            let all: String = value.bytes().map(escape).collect();
            let some: String = value
                .bytes()
                .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { escape(byte) })
                .collect();
            for text in [all, some] {
                let (out, report) = redact(Redactor::builtin(), &format!("x {text} y"));
                assert!(!report.hits.is_empty(), "{}: {text} -> {out}", rule.id());
                assert!(out.starts_with("x ") && out.ends_with(" y"));
            }
        }
    }
}

#[test]
fn what_is_packed_is_marked_and_what_lies_open_in_it_is_replaced() {
    let cases: [(&[u8], &str); 9] = [
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"%PDF-1.7\n", "pdf"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\x7fELF\x02", "elf"),
        (b"\x00\x01\x02\x03", "binary"),
    ];
    for (head, why) in cases {
        let data = [head, b" password = \"hunter2\" "].concat();
        let (out, report) = Redactor::builtin().redact(&data);
        assert_eq!(report.scanned.why(), Some(why));
        assert!(report.to_json().ends_with(&format!("\"scanned\": false, \"unscanned\": \"{why}\"}}")));
        assert!(out.ends_with(b"password = \"[REDACTED:password]\" "));
    }
    let random: Vec<u8> = (0..4000).map(|_| u8::try_from(1 + Random(9).below(255)).unwrap()).collect();
    assert_eq!(Redactor::builtin().redact(&random).1.scanned.why(), None, "one byte over and over is text");
    let mut noise = Random(9);
    let noise: Vec<u8> = (0..4000).map(|_| u8::try_from(1 + noise.below(255)).unwrap()).collect();
    assert_eq!(Redactor::builtin().redact(&noise).1.scanned.why(), Some("binary"));
    assert!(Redactor::builtin().redact("é text\x1b[31m\n".as_bytes()).1.scanned.is_whole());
}

#[test]
fn a_stream_finds_what_is_encoded_across_any_boundary() {
    let secret = format!("gh{}_{}", "p", Random(5).fill("w", 36));
    let line = format!("{{\"token\": \"{secret}\", \"n\": 1, \"text\": \"{}\"}}", "words ".repeat(20));
    let encoded = base64s(&line);
    let pieces = [encoded[0].clone(), encoded[1].clone(), encoded[3].clone(), percent(&line), line];
    // Around the ends of windows.
    for edge in [256 << 10, 512 << 10] {
        for (index, piece) in pieces.iter().enumerate() {
            for step in 0..12 {
                let before = edge - piece.len() * step / 11;
                let data = format!(
                    "{}\n{piece}\n{}",
                    "a log line, 63 characters and a line feed, to fill up with; \n"
                        .repeat(1 + before / 61)
                        .split_at(before)
                        .0,
                    "tail\n".repeat(30_000)
                );
                let whole = Redactor::builtin().redact(data.as_bytes());
                let (mut stream, mut out) = (Redactor::builtin().stream(), Vec::new());
                data.as_bytes().chunks(100_003).for_each(|chunk| stream.push(chunk, &mut out));
                let report = stream.finish(&mut out);
                assert!(out == *whole.0, "piece {index} at {before}");
                assert_eq!(report, whole.1);
                assert_eq!(report.hits.len(), 1);
            }
        }
    }
}
