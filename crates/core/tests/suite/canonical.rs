//! Canonical JSON: byte for byte what the vectors say, and the laws of parser, writer and `form`.

use crate::spaced::spaced;
use proptest::prelude::*;
use receipt_core::Error;
use receipt_core::canonical::{self, Form};
use receipt_core::error::JsonProblem;
use receipt_core::json::{self, Limits, Number, Object, Text, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn cases(name: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../../vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(text: &[u8]) -> Value {
    json::parse(text, Limits::READ).unwrap()
}

fn write(value: &Value) -> Vec<u8> {
    canonical::to_bytes(value, Limits::READ).unwrap()
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> JsonProblem {
    match result.unwrap_err() {
        Error::Json { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn any_text() -> impl Strategy<Value = Text> {
    let point = prop_oneof![
        4 => 0x20_u32..0x7F,
        1 => 0_u32..0x20,
        1 => Just(0x7F),
        1 => Just(u32::from(b'"')),
        1 => Just(u32::from(b'\\')),
        2 => 0x80_u32..0xD800,
        2 => 0xD800_u32..0xE000,
        1 => 0xE000_u32..0x1_0000,
        2 => 0x1_0000_u32..0x11_0000,
    ];
    prop::collection::vec(point, 0..12).prop_map(|points| {
        points.into_iter().fold(Text::default(), |mut text, point| {
            text.push(point);
            text
        })
    })
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), any::<i32>().prop_map(|n| f64::from(n) / 1000.0)]
        .prop_filter("JSON holds finite numbers only", |value| value.is_finite())
}

fn any_value() -> impl Strategy<Value = Value> {
    let digits = (any::<bool>(), "[1-9][0-9]{0,40}");
    let integer =
        digits.prop_map(|(minus, digits)| read(format!("{}{digits}", if minus { "-" } else { "" }).as_bytes()));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        integer,
        any_float().prop_map(|value| Value::from(Number::from_f64(value).unwrap())),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any_text(), inner), 0..6)
                .prop_map(|members| Value::Object(Object::from_members(members))),
        ]
    })
}

/// Text that is nearly always close to JSON and often canonical.
fn near_json() -> impl Strategy<Value = Vec<u8>> {
    let edited = (any_value(), any::<bool>(), any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(
        |(value, wide, at, byte, edit)| {
            let mut text = if wide { spaced(&value).into_bytes() } else { write(&value) };
            let index = at.index(text.len());
            match edit {
                0 => text[index] = byte,
                1 => text.insert(index, byte),
                2 => drop(text.remove(index)),
                _ => {}
            }
            text
        },
    );
    let noise = prop::collection::vec(prop::sample::select(&b"{}[]\",: 0123-+.eEtrufalsn\\ud8A"[..]), 0..16);
    prop_oneof![edited, noise]
}

#[test]
fn vectors_are_written_byte_for_byte() {
    for (file, count) in [("canonical.jsonl", 129), ("canonical_random.jsonl", 270)] {
        let cases = cases(file);
        assert_eq!(cases.len(), count, "{file}");
        for case in cases {
            let value = json::parse(case["json"].as_str().unwrap().as_bytes(), Limits::READ);
            let value = value.unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
            let written = write(&value);
            assert_eq!(String::from_utf8_lossy(&written), case["canonical"].as_str().unwrap(), "{}", case["name"]);
            assert_eq!(canonical::form(&written).unwrap(), Form::Compact, "{}", case["name"]);
            let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&written));
            assert_eq!(digest, case["sha256"].as_str().unwrap(), "{}", case["name"]);
        }
    }
}

/// What each refused vector is refused for.
const REFUSALS: [(&str, JsonProblem); 30] = [
    ("NaN", JsonProblem::NotFinite),
    ("Infinity", JsonProblem::NotFinite),
    ("-Infinity", JsonProblem::NotFinite),
    ("nested NaN", JsonProblem::NotFinite),
    ("overflow 1e309", JsonProblem::NotFinite),
    ("overflow -1e400", JsonProblem::NotFinite),
    ("overflow 1.7976931348623159e308", JsonProblem::NotFinite),
    ("int of 4301 digits", JsonProblem::TooManyDigits { digits: 4301 }),
    ("raw control in string", JsonProblem::Control),
    ("raw newline in string", JsonProblem::Control),
    ("leading zero", JsonProblem::Trailing),
    ("plus sign", JsonProblem::Value),
    ("bare dot", JsonProblem::Value),
    ("trailing dot", JsonProblem::Number),
    ("trailing comma", JsonProblem::Value),
    ("single quotes", JsonProblem::Value),
    ("bad escape", JsonProblem::Escape),
    ("short \\u", JsonProblem::Escape),
    ("comment", JsonProblem::Value),
    ("empty", JsonProblem::End),
    ("BOM prefix", JsonProblem::Value),
    ("trailing data", JsonProblem::Trailing),
    ("unquoted key", JsonProblem::Key),
    ("depth 100000 arrays", JsonProblem::TooDeep { limit: 200 }),
    ("hex", JsonProblem::Trailing),
    ("-Infinity nested", JsonProblem::NotFinite),
    ("-", JsonProblem::Number),
    ("nan lower", JsonProblem::Value),
    ("\\u with plus", JsonProblem::Escape),
    ("\\u with spaces", JsonProblem::Escape),
];

#[test]
fn each_vector_that_python_refuses_is_refused_for_its_own_reason() {
    let cases = cases("canonical_errors.jsonl");
    assert_eq!(cases.len(), REFUSALS.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        // Two texts are too long for the file, which holds only their beginnings.
        let text = match name {
            "int of 4301 digits" => "7".repeat(4301),
            "depth 100000 arrays" => "[".repeat(100_000),
            _ => case["json"].as_str().unwrap().to_owned(),
        };
        let (_, wanted) = REFUSALS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is new"));
        assert_eq!(problem(json::parse(text.as_bytes(), Limits::WRITE)), *wanted, "{name}");
        let only_too_long = name == "int of 4301 digits";
        assert_eq!(canonical::form(text.as_bytes()).is_ok(), only_too_long, "{name}");
    }
}

#[test]
fn integers_of_4301_digits_are_read_and_not_written() {
    for sign in ["", "-"] {
        let fits = format!("{sign}{}", "7".repeat(4300));
        let over = format!("{sign}{}", "7".repeat(4301));
        assert_eq!(write(&json::parse(fits.as_bytes(), Limits::WRITE).unwrap()), fits.as_bytes());
        let wanted = JsonProblem::TooManyDigits { digits: 4301 };
        assert_eq!(problem(json::parse(over.as_bytes(), Limits::WRITE)), wanted);
        assert_eq!(problem(canonical::to_bytes(&read(over.as_bytes()), Limits::WRITE)), wanted);
        assert_eq!(write(&read(over.as_bytes())), over.as_bytes());
        assert_eq!(canonical::form(over.as_bytes()), Ok(Form::Compact));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_was_written_reads_back_the_same(value in any_value()) {
        let text = write(&value);
        prop_assert_eq!(&read(&text), &value);
        prop_assert_eq!(write(&read(&text)), text.clone());
        prop_assert_eq!(json::parse(&text, Limits { surrogate_keys: true, ..Limits::WRITE }).unwrap(), value);
    }

    #[test]
    fn only_plain_ascii_is_written(value in any_value()) {
        prop_assert!(write(&value).iter().all(|byte| (0x20..0x7F).contains(byte)));
    }

    #[test]
    fn both_exact_forms_are_known_and_nothing_between(value in any_value()) {
        let (compact, spaced) = (write(&value), spaced(&value).into_bytes());
        prop_assert_eq!(canonical::form(&compact), Ok(Form::Compact));
        if spaced == compact {
            return Ok(());
        }
        prop_assert_eq!(canonical::form(&spaced), Ok(Form::Spaced));
        for at in (0..spaced.len()).filter(|at| spaced[*at] == b' ') {
            let mut text = spaced.clone();
            text.remove(at);
            // A space inside a string may go: that is another value. Between tokens it is a mixture of forms.
            let same_value = json::parse(&text, Limits::READ).as_ref() == Ok(&value);
            let mixed = same_value && text != compact;
            prop_assert!(!mixed || canonical::form(&text).is_err(), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_text_is_in_a_form_exactly_if_it_is_written_back_the_same(text in near_json()) {
        let value = json::parse(&text, Limits::READ).ok();
        let wanted = value.and_then(|value| {
            if write(&value) == text {
                Some(Form::Compact)
            } else {
                (spaced(&value).as_bytes() == text).then_some(Form::Spaced)
            }
        });
        prop_assert_eq!(canonical::form(&text).ok(), wanted, "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn a_float_is_written_in_the_fewest_digits_and_read_back_to_the_same_bits(value in any_float()) {
        let text = String::from_utf8(write(&Number::from_f64(value).unwrap().into())).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
        prop_assert_eq!(text.clone(), layout_of(value));
        prop_assert_eq!(canonical::form(text.as_bytes()), Ok(Form::Compact));
        prop_assert_eq!(read(text.as_bytes()), Value::from(Number::from_f64(value).unwrap()));
    }

    #[test]
    fn keys_are_in_code_point_order_whatever_the_order_they_came_in(keys in prop::collection::vec(any_text(), 0..12)) {
        let object = Object::from_members(keys.iter().map(|key| (key.clone(), Value::Null)).collect());
        let points = |key: &Text| key.code_points().collect::<Vec<_>>();
        let mut wanted: Vec<_> = keys.iter().map(points).collect();
        wanted.sort();
        wanted.dedup();
        prop_assert_eq!(object.iter().map(|(key, _)| points(key)).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn the_parser_never_panics(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = json::parse(&text, Limits::WRITE);
        let _ = canonical::form(&text);
    }
}

/// `repr` of a float by Python's rule, from the digits of the standard library.
fn layout_of(value: f64) -> String {
    let value_of = |text: &str| text.parse::<f64>().unwrap();
    let some_shortest = format!("{:e}", value.abs());
    let count = some_shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    // As many digits, but rounded to even where the value lies just between two of that length.
    let even = format!("{:.*e}", count - 1, value.abs());
    let shortest = if value_of(&even).to_bits() == value.abs().to_bits() { even } else { some_shortest };
    let (mantissa, exponent) = shortest.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    let digits = mantissa.replace('.', "");
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let zeros = |many: i32| "0".repeat(usize::try_from(many).unwrap_or(0));
    let count = i32::try_from(digits.len()).unwrap();
    let body = match exponent {
        -4..=-1 => format!("0.{}{digits}", zeros(-exponent - 1)),
        0..16 if count <= exponent + 1 => format!("{digits}{}.0", zeros(exponent + 1 - count)),
        0..16 => {
            let (whole, fraction) = digits.split_at(usize::try_from(exponent + 1).unwrap());
            format!("{whole}.{fraction}")
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
    };
    format!("{sign}{body}")
}

/// Doubles of all magnitudes, the same on every run: random bits, where the layout changes, and ties.
fn doubles(count: usize) -> Vec<f64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // The first two lie just between two numbers of sixteen digits.
    let mut doubles = vec![
        700_282_400_188_601.0 / 8.0,
        700_282_400_188_603.0 / 8.0,
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::MAX,
        5e-324,
        1e16,
        9_999_999_999_999_998.0,
        1e-4,
        1e-5,
        1e22,
    ];
    while doubles.len() < count {
        let bits = random();
        let exponent = i32::try_from(bits % 24).unwrap() - 7;
        #[allow(clippy::cast_precision_loss)] // any double will do
        let near = (random() >> (11 + bits % 40)) as f64 / 1000.0 * 10_f64.powi(exponent);
        #[allow(clippy::cast_precision_loss)]
        let tie = (random() >> 11) as f64 / 8.0;
        doubles.extend([f64::from_bits(bits), near, tie].into_iter().filter(|value| value.is_finite()));
    }
    doubles.truncate(count);
    doubles
}

#[test]
fn floats_are_what_python_writes() {
    let doubles = doubles(100_000);
    let mut input = String::new();
    for value in &doubles {
        writeln!(input, "{:016x}", value.to_bits()).unwrap();
    }
    let script = "import sys,struct\nfor l in sys.stdin: print(repr(struct.unpack('>d', bytes.fromhex(l.strip()))[0]))";
    let child = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        // Past the harness, which shows what a passing test prints to nobody.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no python3, so nothing was compared with it");
        return;
    };
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success());
    let written = String::from_utf8(output.stdout).unwrap();
    assert_eq!(written.lines().count(), doubles.len());
    for (value, wanted) in doubles.iter().zip(written.lines()) {
        let got = write(&Number::from_f64(*value).unwrap().into());
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{:016x}", value.to_bits());
        assert_eq!(read(wanted.as_bytes()), Value::from(Number::from_f64(*value).unwrap()), "{wanted}");
    }
}

#[test]
fn integers_and_floats_are_kept_apart() {
    for (text, wanted) in [
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e0", "1.0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("-1e-400", "-0.0"),
        ("1E+2", "100.0"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", "18446744073709551616"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("123456789012345680", "123456789012345680"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e100", "1e+100"),
        ("5e-324", "5e-324"),
    ] {
        assert_eq!(String::from_utf8(write(&read(text.as_bytes()))).unwrap(), wanted, "{text}");
    }
    assert_eq!(Number::from_f64(f64::NAN), None);
    assert_eq!(Number::from_f64(f64::INFINITY), None);
}

#[test]
fn lone_surrogates_stay_in_strings_and_pairs_join() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""a\udfffb""#,
        r#""\udc00\ud800""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d\ud83d\ude00""#,
    ] {
        assert_eq!(write(&read(text.as_bytes())), text.as_bytes());
        assert_eq!(json::parse(text.as_bytes(), Limits::WRITE), Ok(read(text.as_bytes())));
        assert_eq!(canonical::form(text.as_bytes()), Ok(Form::Compact));
    }
    assert_eq!(read(br#""\ud83d\ude00""#).as_str(), Some("\u{1F600}"));
    assert_eq!(read(br#""\ud83d""#).as_str(), None);
    assert_eq!(read(br#""a\ud83d""#).as_text().unwrap().to_string_lossy(), "a\u{FFFD}");
}

#[test]
fn keys_with_lone_surrogates_are_read_and_not_written() {
    let text = br#"{"\ud800":1}"#;
    assert_eq!(write(&read(text)), text);
    assert_eq!(problem(json::parse(text, Limits::WRITE)), JsonProblem::SurrogateKey);
    assert_eq!(problem(canonical::to_bytes(&read(text), Limits::WRITE)), JsonProblem::SurrogateKey);
}

#[test]
fn keys_sort_by_code_point_not_by_code_unit() {
    // U+1F600 is D83D DE00 in UTF-16, which would sort before U+E000; U+D800 alone stands between U+D7FF and U+E000.
    let sorted = r#"{"\ud7ff":0,"\ud800":0,"\udbff":0,"\ue000":0,"\uffff":0,"\ud83d\ude00":0}"#;
    assert_eq!(canonical::form(sorted.as_bytes()), Ok(Form::Compact));
    assert_eq!(write(&read(sorted.as_bytes())), sorted.as_bytes());
    for swapped in [r#"{"\ud83d\ude00":0,"\ue000":0}"#, r#"{"b":0,"a":0}"#, r#"{"aa":0,"a":0}"#, r#"{"a!":0,"a":0}"#] {
        assert_eq!(problem(canonical::form(swapped.as_bytes())), JsonProblem::NotCanonical, "{swapped}");
    }
    assert_eq!(canonical::form(br#"{"":0,"a":0,"a!":0,"a\"":0,"aa":0}"#), Ok(Form::Compact));
}

#[test]
fn of_duplicate_keys_the_last_one_wins_and_the_text_is_in_no_form() {
    for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"b":0,"\u0061":2}"#, r#"{"b":0,"a":3,"a":1,"a":2}"#] {
        assert_eq!(read(text.as_bytes()).get("a").and_then(Value::as_i64), Some(2), "{text}");
        assert_eq!(problem(canonical::form(text.as_bytes())), JsonProblem::NotCanonical, "{text}");
    }
}

#[test]
fn escapes_have_one_spelling_each() {
    for (text, exact) in [
        (r#""\u0041""#, false),
        (r#""\/""#, false),
        (r#""\u000a""#, false),
        (r#""\n""#, true),
        (r#""\u001F""#, false),
        (r#""\u001f""#, true),
        (r#""\u007f""#, true),
        (r#""\u00E9""#, false),
        (r#""\u00e9""#, true),
        (r#""é""#, false),
        ("\"\x7f\"", false),
        (r#""\u0022""#, false),
        (r#""\"""#, true),
        (r#""\\""#, true),
        (r#""\u005c""#, false),
    ] {
        assert!(json::parse(text.as_bytes(), Limits::WRITE).is_ok(), "{text}");
        assert_eq!(canonical::form(text.as_bytes()).is_ok(), exact, "{text}");
    }
}

#[test]
fn what_is_not_utf8_is_refused_where_it_begins() {
    for (bytes, offset) in [
        (&b"\"ab\xff\""[..], 3),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\"\xc0\x80\"", 1),
        (b"\"\xf5\x80\x80\x80\"", 1),
        (b"\"\xe2\x82\"", 1),
    ] {
        assert_eq!(json::parse(bytes, Limits::READ), Err(Error::Json { offset, problem: JsonProblem::Utf8 }));
        assert!(canonical::form(bytes).is_err());
    }
}

fn nested(depth: usize) -> [String; 3] {
    let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}{{}}{}", r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
    let mixed = format!("{}1{}", r#"[{"a":"#.repeat(depth / 2), "}]".repeat(depth / 2));
    [arrays, objects, mixed]
}

#[test]
fn depth_is_limited_alike_for_arrays_and_objects_in_parser_writer_and_form() {
    for limits in [Limits::WRITE, Limits::READ] {
        let too_deep = JsonProblem::TooDeep { limit: limits.depth };
        for text in nested(limits.depth) {
            let value = json::parse(text.as_bytes(), limits).unwrap();
            assert_eq!(canonical::to_bytes(&value, limits).unwrap(), text.as_bytes());
            let tighter = Limits { depth: limits.depth - 1, ..limits };
            assert!(matches!(problem(canonical::to_bytes(&value, tighter)), JsonProblem::TooDeep { .. }));
            assert_eq!(canonical::form(text.as_bytes()), Ok(Form::Compact));
        }
        for text in nested(limits.depth + 2) {
            assert_eq!(problem(json::parse(text.as_bytes(), limits)), too_deep);
        }
    }
    for text in nested(Limits::READ.depth + 2) {
        assert_eq!(problem(canonical::form(text.as_bytes())), JsonProblem::TooDeep { limit: Limits::READ.depth });
    }
}

#[test]
fn nesting_of_a_hundred_thousand_is_an_error_and_not_a_crash() {
    for text in nested(100_000) {
        for result in [json::parse(text.as_bytes(), Limits::READ).map(drop), canonical::form(text.as_bytes()).map(drop)]
        {
            assert_eq!(problem(result), JsonProblem::TooDeep { limit: Limits::READ.depth });
        }
    }
    let unlimited = Limits { depth: usize::MAX, ..Limits::READ };
    let open = "[".repeat(100_000);
    assert_eq!(problem(json::parse(open.as_bytes(), unlimited)), JsonProblem::End);
}

#[test]
fn a_member_is_found_in_canonical_text_without_building_values() {
    let text = br#"{"a":"x,}\"{","b":{"a":1,"c":[{"d":"]"}]},"c":[],"d":-1.5,"e":null,"\u00e9":true,"z":{}}"#;
    let whole = json::parse(text, json::Limits::READ).unwrap();
    let object = whole.as_object().unwrap();
    for (key, value) in object {
        let Some(name) = key.as_str().filter(|name| name.is_ascii()) else { continue };
        let wanted = canonical::to_bytes(value, json::Limits::READ).unwrap();
        assert_eq!(canonical::member(text, name).unwrap(), wanted, "{name}");
    }
    assert_eq!(canonical::member(text, "f"), None);
    assert_eq!(canonical::member(b"{}", "a"), None);
    assert_eq!(canonical::member(b"[1]", "a"), None);
    for end in 0..text.len() {
        canonical::member(&text[..end], "z");
    }
}
