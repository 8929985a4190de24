//! Secrets never reach what is stored, and nothing else is lost.
//!
//! Text that looks like a token is put together at run time, so that none stands in this file.

mod syntax;

use proptest::prelude::*;
use receipt_core::json::{Limits, Object, Text, Value, parse};
use receipt_kernel::evidence::redact::{Redactor, Report, Scanned};
use std::borrow::Cow;

fn redact(data: &[u8]) -> (Vec<u8>, Report) {
    let (out, report) = Redactor::builtin().redact(data);
    (out.into_owned(), report)
}

fn text(data: &str) -> String {
    String::from_utf8(redact(data.as_bytes()).0).unwrap()
}

/// Whether any piece of four characters of the secret is in the output.
fn leaks(output: &[u8], secret: &str) -> bool {
    secret.as_bytes().windows(4).any(|piece| output.windows(4).any(|window| window == piece))
}

fn letters(count: usize) -> String {
    "Zq7".chars().cycle().take(count).collect()
}

fn openai(count: usize) -> String {
    format!("{}-{}", "sk", letters(count))
}

fn begin(label: &str) -> String {
    format!("-----{} {label}{} KEY-----", "BEGIN", "PRIVATE")
}

fn end(label: &str) -> String {
    format!("-----{} {label}{} KEY-----", "END", "PRIVATE")
}

fn key_lines(count: usize) -> String {
    vec![letters(64); count].join("\n")
}

#[test]
fn the_leak_checker_sees_a_leak() {
    assert!(leaks(b"... hunter2 ...", "hunter2"));
    assert!(leaks(b"tail: ter2", "hunter2"));
    assert!(!leaks(b"hun er2", "hunter2"));
}

#[test]
fn every_kind_of_secret_is_replaced_under_its_name() {
    let pem = format!("{}\n{}\n{}", begin("RSA "), key_lines(3), end("RSA "));
    let cases = [
        (format!("{}-ant-{}", "sk", letters(20)), "anthropic_api_key", "[REDACTED:anthropic_key]"),
        (openai(20), "openai_api_key", "[REDACTED:openai_key]"),
        (format!("{}IA{}", "AK", "Z7".repeat(8)), "aws_access_key", "[REDACTED:aws_key]"),
        (format!("BEARER \t{}", letters(20)), "bearer_token", "[REDACTED:bearer]"),
        (pem, "private_key_block", "[REDACTED:private_key]"),
        (format!("gh{}_{}", "p", letters(36)), "github_token", "[REDACTED:github_token]"),
        (format!("{}://u:p@host/db", "mysql"), "connection_string", "[REDACTED:connection_string]"),
        (format!("{}://u:p@host/db", "REDIS"), "connection_string", "[REDACTED:connection_string]"),
    ];
    for (secret, name, replacement) in cases {
        let (out, report) = redact(format!("before {secret} after").as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), format!("before {replacement} after"));
        assert_eq!(report.hits.len(), 1, "{name}");
        assert_eq!((&*report.hits[0].pattern_name, &*report.hits[0].replacement), (name, replacement));
        assert_eq!((report.hits[0].offset, report.hits[0].length), (7, secret.len() as u64));
    }
}

#[test]
fn a_secret_that_follows_another_at_once_is_found() {
    let input = format!("bearer ={}Bearer {}9999", letters(20), letters(20));
    assert!(!leaks(text(&input).as_bytes(), "9999"));
    assert_eq!(text(&format!("{}://u:hunter2@ x", "redis")), "[REDACTED:connection_string] x");
}

#[test]
fn of_an_assignment_only_the_value_is_replaced() {
    let long = letters(16);
    let cases = [
        (r#"{"password": "x"}"#.to_owned(), r#"{"password": "[REDACTED:password]"}"#.to_owned()),
        ("db_password='a b' ok".into(), "db_password='[REDACTED:password]' ok".into()),
        ("{'password': \"x\"}".into(), "{'password': \"[REDACTED:password]\"}".into()),
        (format!("secret = \"{long}\";"), "secret = \"[REDACTED:generic_secret]\";".into()),
        (format!("authtoken: '{long}'"), "authtoken: '[REDACTED:generic_secret]'".into()),
        (format!("apiKey=\"{long}\""), "apiKey=\"[REDACTED:generic_secret]\"".into()),
        (format!("{{\"api_key\": \"{long}\"}}"), "{\"api_key\": \"[REDACTED:generic_secret]\"}".into()),
        (format!("{{\"client_secret\":\"{long}\"}}"), "{\"client_secret\":\"[REDACTED:generic_secret]\"}".into()),
        (
            "AWS_SECRET_ACCESS_KEY=ab/c+d\nAWS_REGION=eu".into(),
            "AWS_SECRET_ACCESS_KEY=[REDACTED:aws_secret]\nAWS_REGION=eu".into(),
        ),
        (
            "{\"aws_secret_access_key\": \"abc\"}".into(),
            "{\"aws_secret_access_key\": \"[REDACTED:aws_secret]\"}".into(),
        ),
        ("Authorization: Basic dXNlcjpw\r\nHost: x".into(), "Authorization: [REDACTED:auth_header]\r\nHost: x".into()),
        ("authorization: token x".into(), "authorization: [REDACTED:auth_header]".into()),
        ("{\"Authorization\": \"Basic dXNl\"}".into(), "{\"Authorization\": \"[REDACTED:auth_header]\"}".into()),
        ("{\"Authorization\": [\"Basic dXNl\"]}".into(), "{\"Authorization\": [\"[REDACTED:auth_header]\"]}".into()),
        (
            "AWS_SECRET_ACCESS_KEY=\"ab\"cd 'x'".into(),
            "AWS_SECRET_ACCESS_KEY=\"[REDACTED:aws_secret]\"[REDACTED:aws_secret] 'x'".into(),
        ),
        ("curl -H 'Authorization: Basic dXNl' x".into(), "curl -H 'Authorization: [REDACTED:auth_header]' x".into()),
        (r#"{"password": "ab\"cdef", "n": 1}"#.into(), r#"{"password": "[REDACTED:password]", "n": 1}"#.into()),
        (
            r#""{\"password\": \"a\\\"bc\", \"n\": 1}""#.into(),
            r#""{\"password\": \"[REDACTED:password]\", \"n\": 1}""#.into(),
        ),
    ];
    for (input, wanted) in cases {
        assert_eq!(text(&input), wanted);
    }
}

#[test]
fn what_delimits_a_value_without_quotes_does_not_make_a_secret_a_program() {
    for rest in ["; exit 3", ", user=bob", ") failed", "]", "}", ";\nnext"] {
        for before in ["sh -c 'echo password=", "password=", "password: "] {
            let input = format!("{before}zqHunterA1{rest}");
            assert_eq!(text(&input), format!("{before}[REDACTED:password]{rest}"));
        }
    }
    for kept in
        ["password=value;", "password=other)", "password=get(x1y2z3)", "if password=field_2;", "password: hash1,"]
    {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn case_and_space_are_those_of_unicode() {
    for input in
        ["pa\u{17F}sword = \"hunter2\"", "password\u{3000}=\u{1F}\"hunter2\"", "author\u{131}zat\u{130}on: hunter2"]
    {
        assert!(!leaks(text(input).as_bytes(), "hunter2"), "{input}");
    }
    let input = format!("é to\u{212A}en = '{}' é", letters(16));
    assert_eq!(text(&input), "é to\u{212A}en = '[REDACTED:generic_secret]' é");
}

#[test]
fn words_that_only_end_like_a_keyword_are_kept() {
    let long = letters(24);
    for clean in [
        format!("ta{}", openai(20)),
        format!("di{}", openai(20)),
        format!("monkey = \"{long}\""),
        format!("{{\"key\": \"{long}\"}}"),
        format!("{{\"idempotency_key\": \"{long}\"}}"),
        format!("{{\"cache-key\": \"sha256:{}\"}}", "a1".repeat(32)),
        "the password is: unknown; tokens: 12; key, value".to_owned(),
        "-----BEGIN CERTIFICATE-----\nMIIB".to_owned(),
        format!("{}://localhost/db and a@b", "postgres"),
    ] {
        let (out, report) = Redactor::builtin().redact(clean.as_bytes());
        assert!(matches!(out, Cow::Borrowed(_)), "{clean}");
        assert!(report.hits.is_empty());
        assert_eq!(Redactor::builtin().redact_text(&clean), None);
    }
}

#[test]
fn a_letter_of_an_escape_is_no_part_of_a_word() {
    for before in ["\\n", "\\u000a", "%3D", "%20", "\u{1b}[0;31m", "\\x0a", "x=", "_", "1"] {
        let out = text(&format!("a{before}{}", openai(20)));
        assert_eq!(out, format!("a{before}[REDACTED:openai_key]"));
    }
}

#[test]
fn an_overlap_leaks_no_tail() {
    let redis = format!("{}://a@b", "redis");
    let cases = [
        (format!("{{\"password\": \"{redis} correct-horse-battery-9\"}}"), "correct-horse-battery-9"),
        (format!("secret = \"{}://r@h then XtraTail-42!\"", "mysql"), "XtraTail-42!"),
        (format!("{}\nQx9w {redis} {redis}\n{redis} {redis} Tk4v\n{}", begin(""), end("")), "Qx9w"),
        (
            format!("{{\"dsn\":\"{redis}\",\"password\":\"a\",\"password\":\"b\",\"password\":\"48213377\"}}"),
            "48213377",
        ),
    ];
    for (input, secret) in cases {
        let (out, report) = redact(input.as_bytes());
        assert!(!leaks(&out, secret), "{}", String::from_utf8_lossy(&out));
        assert!(report.hits.windows(2).all(|pair| pair[0].offset + pair[0].length <= pair[1].offset));
    }
}

#[test]
fn an_overlap_destroys_no_line_that_follows() {
    let input = format!("token = \"{}-ant-{}\"\nresult: FAIL 3 tests failed", "sk", letters(90));
    assert_eq!(text(&input), "token = \"[REDACTED:generic_secret]\"\nresult: FAIL 3 tests failed");
    let input = "AWS_SECRET_ACCESS_KEY=\"abcd\"\nAWS_REGION=eu-west-1";
    assert_eq!(text(input), "AWS_SECRET_ACCESS_KEY=\"[REDACTED:aws_secret]\"\nAWS_REGION=eu-west-1");
    let input = format!("Authorization: Bearer {}\nnext", letters(60));
    assert_eq!(text(&input), "Authorization: [REDACTED:auth_header]\nnext");
}

#[test]
fn a_private_key_goes_even_where_it_is_cut() {
    for label in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
        let whole = format!("a\n{}\n{}\n{}\nb", begin(label), key_lines(4), end(label));
        assert_eq!(text(&whole), "a\n[REDACTED:private_key]\nb");
    }
    let cut = format!("{}\n{}\nresult: FAIL", begin("RSA "), key_lines(4));
    assert_eq!(text(&cut), "[REDACTED:private_key]\nresult: FAIL");
    let cut = format!("{}\nProc-Type: 4,ENCRYPTED\n\n{}\nZq7Z", begin("RSA "), key_lines(2));
    assert_eq!(text(&cut), "[REDACTED:private_key]");
    let escaped = format!("{{\"key\": \"{}\\n{}\\nMII\"}}", begin(""), key_lines(2).replace('\n', "\\n"));
    assert_eq!(text(&escaped).matches("Zq7").count(), 0);
    parse(text(&escaped).as_bytes(), Limits::WRITE).unwrap();
    assert_eq!(text(&format!("{}\nMIIEvQ", begin(""))), "[REDACTED:private_key]");
}

#[test]
fn all_that_decodes_as_text_is_scanned() {
    let line = format!("é user=x password=\"hunter2\" {}", openai(20));
    let latin1: Vec<u8> = line.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    let mut stray = line.clone().into_bytes();
    stray.insert(0, 0xFF);
    let mut cut = line.clone().into_bytes();
    cut.push(0xE2);
    let binary = [b"\0\x01\x02".as_slice(), line.as_bytes(), b"\0"].concat();
    for (data, scanned) in
        [(latin1, Scanned::Text), (stray, Scanned::Text), (cut, Scanned::Text), (binary, Scanned::Unscanned("binary"))]
    {
        let (out, report) = redact(&data);
        assert_eq!((report.hits.len(), report.scanned), (2, scanned));
        assert!(!leaks(&out, "hunter2") && !leaks(&out, &letters(20)));
        assert_eq!(out.first(), data.first());
        assert_eq!(out.last() == data.last(), data.last() != line.as_bytes().last());
    }
}

#[test]
fn a_beginning_that_is_or_looks_like_wide_text_hides_nothing_that_follows_in_bytes() {
    let secret = openai(20);
    for begin in
        [vec![1, 0, 2, 0], vec![0, 1, 0, 2], vec![100, 0], utf16("a log, then more\r\n", false), vec![0x41, 0, 0, 0]]
    {
        for mark in [&[][..], &[0xFF, 0xFE], &[0xFE, 0xFF]] {
            let data = [mark, &begin.repeat(40), secret.as_bytes(), b"\n"].concat();
            assert_eq!(redact(&data).1.hits.len(), 1, "{mark:?} {begin:?}");
            assert!(!leaks(&redact(&data).0, &letters(20)));
            assert_eq!(streamed(&data, &[7, 30, 1]), redact(&data));
        }
    }
    for unit in
        [[0, 1, 2, 3], [3, 2, 1, 0], [0, 0, 4, 16], [16, 4, 0, 0], [0, 0, 1, 0], [0x41, 1, 0, 0], [0, 1, 0xF6, 0]]
    {
        let data = [unit.repeat(100), secret.clone().into_bytes()].concat();
        assert_eq!(redact(&data).1.hits.len(), 1, "{unit:?}");
    }
}

fn utf16(line: &str, big: bool) -> Vec<u8> {
    line.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn utf16_stays_utf16() {
    for big in [false, true] {
        for mark in ["\u{FEFF}", "config for us: "] {
            let input = utf16(&format!("{mark}a😀 pa\u{17F}sword\u{3000}= \"hünter2\" b"), big);
            let wanted = utf16(&format!("{mark}a😀 pa\u{17F}sword\u{3000}= \"[REDACTED:password]\" b"), big);
            let (out, report) = redact(&input);
            assert_eq!(out, wanted);
            let shift = if mark == "\u{FEFF}" { (0, 2) } else { (15, 30) };
            assert_eq!((report.hits[0].offset, report.hits[0].length), (shift.0 + 15, 7));
            assert_eq!((report.hits[0].byte_offset, report.hits[0].byte_length), (shift.1 + 32, 14));
            assert_eq!(report.scanned, Scanned::Text);
        }
    }
}

#[test]
fn a_report_counts_characters_and_bytes_and_has_no_hash() {
    let (_, report) = redact("é😀 password: \"pässword\"".as_bytes());
    let hit = &report.hits[0];
    assert_eq!((hit.offset, hit.length, hit.byte_offset, hit.byte_length), (14, 8, 18, 9));
    let known = "{\"hits\": [{\"pattern_name\": \"password_field\", \"offset\": 14, \"length\": 8, \
         \"replacement\": \"[REDACTED:password]\"}], \"original_hash\": \"\", \"redacted\": true, ";
    let rules = Redactor::builtin().digest();
    assert_eq!(report.to_json(), format!("{known}\"rules\": \"{rules}\", \"scanned\": true}}"));
    let binary = redact(b"\0\x01").1.to_json();
    let none = "{\"hits\": [], \"original_hash\": \"\", \"redacted\": false, ";
    assert_eq!(binary, format!("{none}\"rules\": \"{rules}\", \"scanned\": false, \"unscanned\": \"binary\"}}"));
}

#[test]
fn a_payload_is_redacted_by_name_and_by_content() {
    let (long, digest) = (letters(20), "a1".repeat(32));
    let payload = format!(
        r#"{{"key":"{long}","evidence_key":"{long}","Password":"x","n":[{{"client_secret":"{long}","token":"short"}}],
            "x-api-key":["{long}",1],"monkey":"{long}","token":"sha256:{digest}","api_key":"{digest}",
            "Authorization":"Basic x","note":"see {} \ud800","{}":1,"aws_secret_access_key":"a b"}}"#,
        openai(20),
        openai(21),
    );
    let Value::Object(mut object) = parse(payload.as_bytes(), Limits::READ).unwrap() else { panic!() };
    assert_eq!(Redactor::builtin().redact_object(&mut object), 8);
    let at = |key: &str| object.get(key).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(at("key"), long);
    assert_eq!(at("evidence_key"), long);
    assert_eq!(at("monkey"), long);
    assert_eq!(at("token"), format!("sha256:{digest}"));
    assert_eq!(at("api_key"), "[REDACTED:generic_secret]");
    assert_eq!(at("Password"), "[REDACTED:password]");
    assert_eq!(at("Authorization"), "[REDACTED:auth_header]");
    assert_eq!(at("aws_secret_access_key"), "[REDACTED:aws_secret]");
    assert_eq!(object.get("x-api-key").unwrap().as_array().unwrap()[0].as_str(), Some("[REDACTED:generic_secret]"));
    let inner = &object.get("n").unwrap().as_array().unwrap()[0];
    assert_eq!(inner.get("client_secret").unwrap().as_str(), Some("[REDACTED:generic_secret]"));
    assert_eq!(inner.get("token").unwrap().as_str(), Some("short"));
    let mut note = Text::from("see [REDACTED:openai_key] ");
    note.push(0xD800);
    assert_eq!(object.get("note").unwrap().as_text(), Some(&note));
    assert!(object.get("[REDACTED:openai_key]").is_some());
    let again = object.clone();
    assert_eq!(Redactor::builtin().redact_object(&mut object), 0);
    assert_eq!(object, again);
}

#[test]
fn the_argument_behind_the_flag_of_a_secret_is_replaced() {
    let payload =
        br#"{"args":["login","--user","bob","--password","hunter2","--verbose","hunter2",["-p","--passwd"],"x"],
        "more":["--password=hunter2","kept","--password",7,"kept","--password"]}"#;
    let Value::Object(mut object) = parse(payload, Limits::READ).unwrap() else { panic!() };
    Redactor::builtin().redact_object(&mut object);
    let args: Vec<_> = object.get("args").unwrap().as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let gone = "[REDACTED:password]";
    assert_eq!(args, ["login", "--user", "bob", "--password", gone, "--verbose", "hunter2", "x"]);
    let more: Vec<_> = object.get("more").unwrap().as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(more, [&format!("--password={gone}"), "kept", "--password", "kept", "--password"]);
    let again = object.clone();
    assert_eq!((Redactor::builtin().redact_object(&mut object), &object), (0, &again));
}

#[test]
fn a_list_of_arguments_is_read_as_a_line_too() {
    let secret = "Qz9xKv555TrW";
    for line in ["curl -u bob:% http://x", "mysql -uroot -p% db", "sshpass -p % ssh host", "docker login -u b -p %"] {
        let args: Vec<Value> = line.replace('%', secret).split(' ').map(Value::from).collect();
        let mut object = Object::from_iter([("argv", Value::Array(args))]);
        assert!(Redactor::builtin().redact_object(&mut object) > 0, "{line}");
        let left: Vec<_> = object.get("argv").unwrap().as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(left.len(), line.split(' ').count());
        for (was, now) in line.split(' ').zip(&left) {
            assert!(!now.contains(secret) && (was.contains('%') || was == *now), "{line}: {left:?}");
        }
        let again = object.clone();
        assert_eq!((Redactor::builtin().redact_object(&mut object), &object), (0, &again), "{line}");
    }
}

#[test]
fn keys_that_are_secrets_stay_apart() {
    let mut object: Object = [(openai(20), 1), (openai(21), 2), (openai(22), 3)].into_iter().collect();
    assert_eq!(Redactor::builtin().redact_object(&mut object), 3);
    assert_eq!(object.len(), 3);
    assert!(object.iter().all(|(key, _)| !leaks(key.as_bytes(), &letters(20))));
}

#[test]
fn a_deep_payload_needs_no_stack() {
    let deep = format!("{}{{\"password\":\"x\"}}{}", "[".repeat(900), "]".repeat(900));
    let mut object = Object::new();
    object.insert("deep", parse(deep.as_bytes(), Limits::READ).unwrap());
    assert_eq!(Redactor::builtin().redact_object(&mut object), 1);
}

/// Redacts data cut at the given places.
fn streamed(data: &[u8], cuts: &[usize]) -> (Vec<u8>, Report) {
    let (mut stream, mut out, mut at) = (Redactor::builtin().stream(), Vec::new(), 0);
    for &cut in cuts {
        stream.push(&data[at..at + cut.min(data.len() - at)], &mut out);
        at += cut.min(data.len() - at);
    }
    stream.push(&data[at..], &mut out);
    let report = stream.finish(&mut out);
    (out, report)
}

#[test]
fn a_stream_finds_what_lies_across_its_windows() {
    let pem = format!("{}\n{}\n{}", begin("RSA "), key_lines(90), end("RSA "));
    let filler = "INFO é worker 7: token count 12, monkey = fine, elapsed: 3.5 ms\n";
    let secrets =
        [pem, format!("password=\"{}\" ", letters(500)), openai(40), "authorization: Basic dXNlcg==\n".into()];
    let mut data = String::new();
    for index in 0..40_000 {
        data.push_str(filler);
        if index % 97 == 0 {
            data.push_str(&secrets[index / 97 % secrets.len()]);
            data.push('\n');
        }
    }
    for data in [data.clone().into_bytes(), utf16(&format!("\u{FEFF}{data}"), false)] {
        let whole = redact(&data);
        assert!(whole.1.hits.len() > 300);
        for cuts in [vec![], vec![1, 1, 1_048_573], vec![777; 4000], vec![65_537; 60]] {
            let pieces = streamed(&data, &cuts);
            assert!(pieces.0 == whole.0);
            assert!(pieces.1 == whole.1);
        }
    }
}

#[test]
fn a_stream_needs_bounded_memory() {
    let (mut stream, mut out) = (Redactor::builtin().stream(), Vec::new());
    let chunk = vec![b'x'; 1 << 20];
    let mut behind = 0;
    for count in 1..20 {
        stream.push(&chunk, &mut out);
        behind = behind.max(count * chunk.len() - out.len());
    }
    assert!(behind <= 2 << 20);
    assert_eq!(stream.finish(&mut out).hits.len(), 0);
    assert_eq!(out.len(), 19 << 20);
}

#[test]
fn a_key_block_within_a_key_block_leaves_no_rest_of_the_outer_one() {
    let block = |label: &str, body: &str| format!("{}\n{body}\n{}", begin(label), end(label));
    for outer in ["", "RSA "] {
        let nested = format!("{}\nafter\n", block(outer, &format!("OUTER1\n{}\nOUTER2", block("RSA ", "INNER"))));
        assert_eq!(redact(nested.as_bytes()).0, b"[REDACTED:private_key]\nafter\n");
    }
    let unclosed = format!("{}\nOUTER1\n{}\nafter\n", begin("EC "), block("", "INNER"));
    assert_eq!(redact(unclosed.as_bytes()).0, b"[REDACTED:private_key]\nafter\n");
    let pair = format!("{}\nbetween\n{}\n", block("", "ONE"), block("", "TWO"));
    assert_eq!(redact(pair.as_bytes()).0, b"[REDACTED:private_key]\nbetween\n[REDACTED:private_key]\n");
}

#[test]
fn a_quote_after_backslashes_that_do_not_escape_it_opens_no_value() {
    let text = r#"{"0_Authorization":"aws_secret_access_key=  \\\\"}"#;
    assert_eq!(redact(text.as_bytes()).0, br#"{"0_Authorization":"[REDACTED:auth_header]"}"#);
}

/// A piece of text: harmless, or a secret in some guise, alone or inside of another.
fn guise(secret: &str, kind: u8) -> String {
    match kind % 12 {
        0 => format!("password = \"{secret}\""),
        1 => format!("'password': '{secret}'"),
        2 => format!("{}://user:{secret}@host", "mysql"),
        3 => format!("authorization: Basic {secret}"),
        4 => format!("aws_secret_access_key={secret}"),
        5 => format!("api_key = \"{secret}{}\"", letters(16)),
        6 => format!("\\\"token\\\": \\\"{secret}{}\\\"", letters(16)),
        7 => format!("{}\n{secret}\n{}", begin(""), end("")),
        8 => format!("Bearer {secret}{}", letters(20)),
        9 => format!("{}-{secret}{}", "sk", letters(20)),
        10 => format!("password:\"{secret} and 'more'\""),
        _ => format!("secret='{secret} is {}'", letters(9)),
    }
}

/// Each secret in a guise, put into the value of another one, and the lot into lines.
fn nested() -> impl Strategy<Value = (String, Vec<String>)> {
    // No piece of it can be one of a marker.
    let secret = "[F-HJ-NP-Z2-9]{8,12}";
    let part = (secret, any::<u8>(), secret, any::<u8>(), 0..4u8);
    proptest::collection::vec(part, 1..5).prop_map(|parts| {
        let (mut text, mut secrets) = (String::new(), Vec::new());
        for (inner, inner_kind, outer, outer_kind, how) in parts {
            let within = guise(&inner, inner_kind);
            // Only what surely lies inside of a match is looked for afterwards.
            let part = match how {
                0 => within,
                1 => format!("password = `{within}`"),
                2 => format!("{within} {}", guise(&outer, outer_kind)),
                _ => format!("{}\n{within}\n{outer}\n{}", begin("RSA "), end("RSA ")),
            };
            text.push_str(&part);
            text.push_str(["\n", " ", ", ", "\n\n"][usize::from(inner_kind) % 4]);
            secrets.push(inner);
        }
        (text, secrets)
    })
}

#[test]
fn what_stands_in_the_place_of_a_secret_is_not_taken_apart() {
    let once = redact(b"--auth bXc1password=`Xa9a0abZXX1181b\"").0;
    assert_eq!(redact(&once).0, once, "{}", String::from_utf8_lossy(&once));
    let both = redact(b"curl --auth bob[REDACTED:password]hunter2hunter2 x").0;
    assert!(!leaks(&both, "hunter2hunter2"), "{}", String::from_utf8_lossy(&both));
}

#[test]
fn an_address_with_a_nul_in_it_is_the_same_a_second_time() {
    let once = redact(b"postgresql://app:cY\x01\x00X089a898c0@db/app").0;
    assert_eq!(redact(&once).0, once);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_piece_of_a_secret_survives((input, secrets) in nested()) {
        let out = redact(input.as_bytes()).0;
        for secret in secrets {
            prop_assert!(!leaks(&out, &secret), "{}\n--\n{}", input, String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn a_second_time_changes_nothing((input, _) in nested(), junk in "[\"'\\\\ \n={}a-]{0,12}") {
        for input in [input.clone(), input.replace(' ', &junk), input.replace('\n', &junk)] {
            let once = redact(input.as_bytes()).0;
            let (twice, report) = redact(&once);
            prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once), "{}", input);
            prop_assert!(report.hits.is_empty());
        }
    }

    #[test]
    fn text_without_secrets_is_left_alone(input in "[ a-jl-z0-9.,;(){}\n\"'é😀]{0,300}") {
        prop_assert!(matches!(Redactor::builtin().redact(input.as_bytes()).0, Cow::Borrowed(_)));
        prop_assert_eq!(Redactor::builtin().redact_text(&input), None);
    }

    #[test]
    fn json_stays_json(
        secrets in proptest::collection::vec(("[A-Za-z0-9\"\\\\\n é]{4,30}", any::<u8>(), any::<bool>()), 1..6),
    ) {
        let names = ["password", "api_key", "Authorization", "note", "aws_secret_access_key", "client_secret"];
        let mut object = Object::new();
        for (index, (secret, kind, nested)) in secrets.into_iter().enumerate() {
            let name = names[usize::from(kind) % 6];
            let guised = [0, 3, 4, 5, 8, 9, 10, 2][usize::from(kind) % 8];
            let value = if nested { guise(&secret.replace('"', "q"), guised) } else { secret };
            object.insert(format!("{index}_{name}"), value);
        }
        let bytes = receipt_core::canonical::to_bytes(&Value::Object(object), Limits::WRITE).unwrap();
        let out = redact(&bytes).0;
        let parsed = parse(&out, Limits::WRITE);
        prop_assert!(parsed.is_ok(), "{}\n--\n{}", String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&out));
    }

    #[test]
    fn any_way_of_cutting_gives_the_same((input, _) in nested(), cuts in proptest::collection::vec(0..40usize, 0..40)) {
        let (whole, pieces) = (redact(input.as_bytes()), streamed(input.as_bytes(), &cuts));
        prop_assert_eq!(pieces.0, whole.0);
        prop_assert_eq!(pieces.1, whole.1);
    }

    #[test]
    fn no_bytes_are_too_strange(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        (input, _) in nested(),
        at in 0..200usize,
    ) {
        let mut mixed = data.clone();
        mixed.splice(at.min(data.len())..at.min(data.len()), input.bytes());
        let whole = redact(&mixed);
        prop_assert_eq!(streamed(&mixed, &[at]), whole);
    }
}
