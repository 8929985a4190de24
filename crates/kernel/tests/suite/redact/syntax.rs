//! Secrets in the syntaxes that they stand in: blocks that were cut, escapes, arrays, colours, headers.

use super::{begin, end, key_lines, leaks, letters, openai, redact, text};
use receipt_core::json::{Limits, Object, Value, parse};
use receipt_kernel::evidence::redact::Redactor;

#[test]
fn a_key_that_was_cut_short_takes_no_line_of_what_follows() {
    let (logs, whole) = ("result: FAIL\n3 tests failed: a, b", format!("{}\n{}\n{}", begin(""), key_lines(3), end("")));
    for label in ["", "RSA "] {
        let cut = format!("{}\n{}\n{logs}\n{whole}\nafter", begin(label), key_lines(2));
        assert_eq!(text(&cut), format!("[REDACTED:private_key]\n{logs}\n[REDACTED:private_key]\nafter"));
    }
    // Of a block whose beginning was cut off only the end line is left, which is none of the first one's.
    let cut = format!("{}\n{}\n{logs}\n{}\nafter", begin("EC "), key_lines(2), end("RSA "));
    assert_eq!(text(&cut), format!("[REDACTED:private_key]\n{logs}\n{}\nafter", end("RSA ")));
    let json = format!("{{\"a\": \"{}\\n{}...\", \"b\": \"see below\", \"c\": \"", begin(""), letters(64));
    let out = text(&format!("{json}{}\"}}", whole.replace('\n', "\\n")));
    assert!(out.contains("see below") && !leaks(out.as_bytes(), &letters(64)), "{out}");
    // With the time before each line it is still one key.
    let timed = |line: &str| format!("12:00:01 web | {line}\n");
    let logged: String = whole.lines().map(timed).collect();
    assert!(!leaks(text(&logged).as_bytes(), &key_lines(1)));
}

#[test]
fn a_nul_ends_a_value_as_a_newline_does() {
    for (input, wanted) in [
        ("DB_PASSWORD=hunter2xy\0LANG=C\0", "DB_PASSWORD=[REDACTED:password]\0LANG=C\0"),
        ("A=1\0DB_PASSWORD=hunter2xy\0LANG=C", "A=1\0DB_PASSWORD=[REDACTED:password]\0LANG=C"),
        ("AWS_SECRET_ACCESS_KEY=ab/c+d\0LANG=C", "AWS_SECRET_ACCESS_KEY=[REDACTED:aws_secret]\0LANG=C"),
        ("Authorization: Basic dXNl\0LANG=C", "Authorization: [REDACTED:auth_header]\0LANG=C"),
    ] {
        assert_eq!(text(input), wanted);
    }
}

#[test]
fn a_secret_is_found_however_late_its_first_escape_comes() {
    for before in [97, 300, 2000] {
        for escape in ["%2D", "\\u002d", "\\x2d"] {
            let (first, last) = (letters(before), "Zq7Zq7Zq7Zq7Zq7Zq7");
            for input in
                [format!("x {}-ant-{first}{escape}{last} y", "sk"), format!("x Bearer {first}{escape}{last} y")]
            {
                let out = text(&input);
                assert!(!leaks(out.as_bytes(), last), "{before} {escape}: {out}");
                assert!(out.ends_with(" y"));
            }
        }
    }
}

#[test]
fn a_slash_that_json_escapes_hides_no_secret() {
    let secret = "wJalr7Xu/nFEMI/K7MDENG9bPx/RfiCYzz3KEYQq";
    let json = format!("{{\"aws_secret\": \"{}\", \"n\": 1}}", secret.replace('/', "\\/"));
    let out = text(&json);
    assert!(!leaks(out.as_bytes(), "RfiCYzz3KEYQq") && !leaks(out.as_bytes(), "wJalr7Xu"), "{out}");
    parse(out.as_bytes(), Limits::WRITE).unwrap();
    for at in 0..3 {
        let plain = format!("{}{}???>>>???>>>{}", "~".repeat(at), "?".repeat(9), openai(40));
        let base64 = data_encoding::BASE64.encode(plain.as_bytes());
        assert!(base64.contains('/'));
        let out = text(&format!("{{\"data\": \"{}\"}}", base64.replace('/', "\\/")));
        let Value::Object(object) = parse(out.as_bytes(), Limits::WRITE).unwrap() else { panic!("{out}") };
        let kept = object.get("data").unwrap().as_str().unwrap().trim_end_matches('=').to_owned();
        let decoded = data_encoding::BASE64_NOPAD.decode(kept.as_bytes()).unwrap();
        assert!(!leaks(&decoded, &openai(40)[3..]), "{out}");
    }
}

#[test]
fn every_element_of_an_array_of_secrets_goes() {
    for (input, wanted) in [
        (r#"{"passwords": ["a1", "b2","c3"], "n": ["d"]}"#, r#"{"passwords": ["X", "X","X"], "n": ["d"]}"#),
        (r#"{"password": ["a1", "b2"]}"#, r#"{"password": ["X", "X"]}"#),
        ("passwords = ['a1', 'b2']", "passwords = ['X', 'X']"),
        (r#"{"api_keys": ["k1k2k3k4k5k6k7k8k9", "m1m2m3m4m5m6m7m8m9"]}"#, r#"{"api_keys": ["Y", "Y"]}"#),
        (r#""{\"passwords\": [\"a1\", \"b2\"]}""#, r#""{\"passwords\": [\"X\", \"X\"]}""#),
    ] {
        let wanted = wanted.replace('X', "[REDACTED:password]").replace('Y', "[REDACTED:generic_secret]");
        assert_eq!(text(input), wanted);
    }
    let mut object = Object::from_iter([("passwords", Value::from(vec!["a1", "b2"]))]);
    assert_eq!(Redactor::builtin().redact_object(&mut object), 2);
}

#[test]
fn colours_of_a_terminal_hide_no_secret() {
    let (red, off) = ("\u{1b}[1;31m", "\u{1b}[0m");
    for input in [
        format!("password{off}: {red}\"correct hunter2 horse\""),
        format!("{red}password{off}={red}'hunter2'{off}"),
        format!("DB_PASSWORD{off}={red}hunter2{off}"),
        format!("Bearer {red}{}hunter2", letters(24)),
        format!("{}-{red}ant-{}{off}hunter2", "sk", letters(24)),
    ] {
        let once = text(&input);
        assert!(!leaks(once.as_bytes(), "hunter2") && !leaks(once.as_bytes(), "horse"), "{once:?}");
        assert_eq!(text(&once), once);
    }
}

#[test]
fn a_space_that_does_not_break_hides_no_value() {
    for gap in [&b"\xC2\xA0"[..], b"\xA0", b"\\u00a0"] {
        for name in ["DB_PASSWORD=", "password:", "aws_secret_access_key="] {
            let input = [name.as_bytes(), gap, b"hunter2\n"].concat();
            let out = redact(&input).0;
            assert!(!leaks(&out, "hunter2"), "{}", String::from_utf8_lossy(&out));
        }
    }
}

#[test]
fn a_digest_authorization_goes_with_all_its_parameters() {
    let digest =
        "Digest username=\"Mufasa\", realm=\"a b\", response=\"6629fae49393a05397450978507c4ef1\", opaque=\"x\"";
    for (before, after) in
        [("Authorization: ", "\r\nHost: x"), ("Proxy-Authorization: ", "\nnext"), ("authorization=", "")]
    {
        let out = text(&format!("{before}{digest}{after}"));
        assert_eq!(out, format!("{before}[REDACTED:auth_header]{after}"));
    }
    let shell = format!("curl -H \"Authorization: {}\" https://x.test", digest.replace('"', "\\\""));
    assert_eq!(text(&shell), "curl -H \"Authorization: [REDACTED:auth_header]\" https://x.test");
}
