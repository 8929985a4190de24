//! Tests with texts that are made to be slow, or to lie across windows.

use super::flow::Sizes;
use super::{Redactor, Report, Rules, StreamRedactor, work};
use proptest::prelude::*;
use std::sync::LazyLock;

/// What assigns, opens, closes, escapes and separates.
const SYNTAX: [&str; 44] = [
    "=",
    ": ",
    " = ",
    " := ",
    "=>",
    "\"",
    "'",
    "`",
    "\\",
    "\\\"",
    "\\\\\\\"",
    "\\'",
    "\\n",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\0",
    ",",
    ";",
    "&",
    "&quot;",
    "<",
    ">",
    "</",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "[\"a\",",
    "|",
    "/",
    "\\/",
    "%2D",
    "%",
    "\\u002d",
    "\u{1b}[31m",
    "\u{17F}",
    "--",
    "-",
    "://",
    "@",
];

/// Texts that were slow once, or are of the same kind.
const SLOW: [&str; 20] = [
    "eyJhbGciOiJIUzI1NiJ9.",
    "password=\"\\",
    "api_key: `",
    "|token = r'",
    "token&quot;>",
    "secret := ",
    "password=\"",
    "password='\\\"",
    "authorization: ",
    "token = 'x",
    "secret=\\\"",
    "<password>",
    "password='password=\"",
    "https://a:",
    "key\\\\\"=\\",
    "passwords: [\"a\", ",
    "aws_secret_access_key=",
    "[REDACTED:",
    "-----BEGIN ",
    "%41password=\"",
];

/// An example with characters in the place of its random ones.
fn filled(example: &str) -> String {
    let (mut text, mut rest) = (String::new(), example);
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let inner = after.split_once('>').and_then(|(inside, rest)| {
            let (class, count) = inside.split_once(':')?;
            Some((class.chars().next()?, count.parse::<usize>().ok()?, rest))
        });
        let Some((class, count, after)) = inner else {
            text.push('<');
            rest = after;
            continue;
        };
        let letters = match class {
            'd' => "1830274659",
            'h' => "a3f09b7c2e4d8165",
            'H' => "A3F09B7C2E4D8165",
            'l' => "qmzkxjv",
            'u' => "QMZKXJV",
            _ => "Zq7Xk2Vm9",
        };
        text.extend(letters.chars().cycle().take(count));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Keywords, examples and syntax of all rules.
static PIECES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let rules = Rules::builtin().unwrap();
    let keywords = rules.iter().flat_map(|rule| rule.keywords().iter().cloned());
    let examples = rules.iter().flat_map(|rule| rule.examples().iter().map(|example| filled(example)));
    let assigned = rules.iter().filter_map(|rule| {
        let name = rule.name()?;
        Some(format!("{name}=\"{}\"", filled(rule.examples().first()?)))
    });
    let syntax = SYNTAX.iter().chain(&SLOW).map(|piece| (*piece).to_owned());
    keywords.chain(examples).chain(assigned).chain(syntax).collect()
});

fn text() -> impl Strategy<Value = String> {
    let syntax = (0..SYNTAX.len()).prop_map(|index| SYNTAX[index].to_owned());
    let word = "[a-zA-Z0-9]{1,12}";
    let known = (0..PIECES.len()).prop_map(|index| PIECES[index].clone());
    let hidden = (0..PIECES.len())
        .prop_map(|index| data_encoding::BASE64.encode(format!("some text, {} and more", PIECES[index]).as_bytes()));
    let piece = prop_oneof![4 => syntax, 2 => word, 4 => known, 1 => hidden];
    (proptest::collection::vec(piece, 1..16), 1..3_usize).prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

fn streamed(data: &[u8], sizes: Sizes, cuts: &[usize]) -> (Vec<u8>, Report) {
    let (mut stream, mut out, mut rest) = (StreamRedactor::new(Redactor::builtin().clone(), sizes), Vec::new(), data);
    for cut in cuts {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        stream.push(now, &mut out);
        rest = later;
    }
    stream.push(rest, &mut out);
    let report = stream.finish(&mut out);
    (out, report)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_stream_gives_what_the_whole_gives_however_windows_and_pieces_are_cut(
        text in text(), windows in 1..9_usize, cuts in proptest::collection::vec(0..99_usize, 0..9), wide in 0..8_u8
    ) {
        let data = match wide {
            0 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => text.into_bytes(),
        };
        let whole = Redactor::builtin().redact(&data);
        let sizes = Sizes { piece: data.len() / windows + 8, ..Sizes::USUAL };
        let (out, report) = streamed(&data, sizes, &cuts);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole.0), "{:?}", String::from_utf8_lossy(&data));
        prop_assert_eq!(report, whole.1);
    }
}

/// Texts of each kind of search, with secrets in them and what stands beside those.
fn of_each_kind() -> Vec<Vec<u8>> {
    let plain = "a line\npassword=\"hunter2 hunter2\" -> \"other2 other2\"\nDB_PASSWORD = a/b.c1;d # why\n";
    let members = r#"{"name":"db_password","x":1,"value":"hunter2 hunter2","password":12345,"secret":{"type":"s","value":"abc"}}"#;
    let table = "name,password,note\nbob,hunter2,hello\nann,hunter3,bye\n[section]\npassword = word\n";
    let escaped = "a%3D1&password%3D%22hunter2%22 \\u0070assword=\\x22abc\\x22 &quot;token&quot;: &quot;Zq7Xk2Vm9Zq7Xk2Vm9&quot;\n";
    let encoded = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let words = [encoded("some text, password=\"b\" and more"), encoded(&format!("{members} and {plain}"))];
    let [short, long] = words;
    let encoded = format!("x\\n{short} \\n{long}\n(=password1pat\\n{short} \n\"A{short}\\/{short}");
    let key = format!("-----BEGIN {0}-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQ==\n-----END {0}-----\nend\n", "PRIVATE KEY");
    let texts = [plain, members, table, escaped, &encoded, &key];
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let quad = |text: &str| text.chars().flat_map(|letter| u32::from(letter).to_be_bytes()).collect();
    let all = texts.iter().map(|text| text.as_bytes().to_vec());
    all.chain([wide(plain), quad(members), wide(&key)]).collect()
}

#[test]
fn a_window_that_ends_anywhere_changes_nothing() {
    for data in of_each_kind() {
        let whole = Redactor::builtin().redact(&data);
        assert!(!whole.1.hits.is_empty());
        for piece in 8..data.len() {
            let (out, report) = streamed(&data, Sizes { piece, ..Sizes::USUAL }, &[]);
            let [out, all] = [&out, &*whole.0].map(|text| String::from_utf8_lossy(text));
            assert_eq!(out, all, "windows of {piece} bytes");
            assert_eq!(report, whole.1, "windows of {piece} bytes");
        }
    }
}

/// How often each byte of a text was looked at.
fn looks(redactor: &Redactor, text: &str) -> u64 {
    let before = work::so_far();
    let _ = redactor.redact(text.as_bytes());
    (work::so_far() - before) / text.len() as u64
}

#[test]
fn no_text_makes_a_rule_look_at_its_bytes_again_and_again() {
    let (mut worst, mut slow) = ((0, String::new()), Vec::new());
    let floods = SLOW.iter().map(|piece| (*piece).to_owned()).chain(PIECES.iter().cloned());
    for piece in floods {
        let flood = |bytes: usize| piece.repeat(bytes / piece.len() + 1);
        let (some, more) = (looks(Redactor::builtin(), &flood(16 << 10)), looks(Redactor::builtin(), &flood(64 << 10)));
        if more > worst.0 {
            worst = (more, piece.clone());
        }
        if more > 600 || more > some * 2 + 40 {
            slow.push((some, more, piece));
        }
    }
    assert!(slow.is_empty(), "of {} texts, looks at each byte: {slow:#?}", PIECES.len());
    // The counter counts.
    assert!(worst.0 > 10, "{worst:?}");
}

#[test]
fn a_search_that_costs_too_much_is_given_up_and_the_rest_replaced() {
    let rules = "[[rule]]\nid = \"slow\"\nkeywords = [\"slow\"]\npattern = 'slow[a-z]{0,30000}Q'\nboundary = false\n";
    let redactor = Redactor::new(Rules::builtin().unwrap().with(rules).unwrap()).unwrap();
    let flood = format!("before {} hunter2hunter2", "slow".repeat(100_000));
    let (out, report) = redactor.redact(flood.as_bytes());
    assert!(out.starts_with(b"before slow") && out.ends_with(b"[REDACTED:too_costly]"));
    assert_eq!(&*report.hits.last().unwrap().pattern_name, "too_costly");
    assert!(looks(&redactor, &flood) < 1000);
}

#[test]
fn what_goes_on_beyond_what_a_rule_looks_at_is_replaced_to_its_end() {
    let sizes = Sizes { piece: 100, history: 100, ahead: 200 };
    let long = "Zq7Xk2Vm9".repeat(20_000);
    for (before, after, stops) in [
        ("password=\"", "\", next", true),
        ("DB_PASSWORD=", " next", true),
        ("authorization: Basic ", "\nnext", true),
        ("x sk-", " next", true),
        ("-----BEGIN RSA PRIVATE KEY-----\n", "-next", true),
        ("{\"password\": \"", "", false),
    ] {
        let data = format!("{before}{long}{after}");
        for (out, _) in [streamed(data.as_bytes(), sizes, &[]), streamed(data.as_bytes(), Sizes::USUAL, &[])] {
            let out = String::from_utf8(out).unwrap();
            assert!(out.len() < 100 && !out.contains("Zq7"), "{before}: {} bytes", out.len());
            assert!(!stops || out.ends_with(after), "{out}");
        }
    }
}

#[test]
fn a_secret_without_end_needs_bounded_memory() {
    let (mut stream, mut out) = (Redactor::builtin().stream(), Vec::new());
    stream.push(b"password=\"", &mut out);
    for _ in 0..40 {
        stream.push(&vec![b'x'; 1 << 20], &mut out);
        assert!(stream.held() < 3 << 20, "{}", stream.held());
    }
    let report = stream.finish(&mut out);
    assert_eq!((out, report.hits.len()), (b"password=\"[REDACTED:password]".to_vec(), 1));
    assert_eq!(report.hits[0].byte_length, 40 << 20);
}
