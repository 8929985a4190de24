//! The rules as data: each one finds what it says, in every syntax, and users can change them.
//!
//! What looks like a token is put together at run time from the examples of the rules and random characters, so that none
//! stands in the repository.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests

use receipt_kernel::evidence::redact::{Redactor, Report, Rule};
use receipt_kernel::{Error, ErrorKind, Rules};
use std::fmt::Write;

/// Random characters, the same ones for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).unwrap()
    }

    fn fill(&mut self, class: &str, count: usize) -> String {
        const DIGITS: &str = "0123456789";
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
        let upper = LOWER.to_uppercase();
        let alphabet = match class {
            "d" => DIGITS.to_owned(),
            "h" => format!("{DIGITS}abcdef"),
            "H" => format!("{DIGITS}ABCDEF"),
            "l" => LOWER.to_owned(),
            "u" => upper,
            "w" => format!("{DIGITS}{LOWER}{upper}"),
            "b" => format!("{DIGITS}{LOWER}{upper}+/"),
            "s" => format!("{DIGITS}{LOWER}{upper}-_"),
            other => panic!("no class {other:?}"),
        };
        (0..count).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    /// An example with its `<class:count>` filled in.
    fn example(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('<') {
            out.push_str(before);
            let filler = after.split_once('>').and_then(|(inside, rest)| {
                let (class, count) = inside.split_once(':')?;
                Some((class, count.parse().ok()?, rest))
            });
            if let Some((class, count, after)) = filler {
                out.push_str(&self.fill(class, count));
                rest = after;
            } else {
                out.push('<');
                rest = after;
            }
        }
        out + rest
    }
}

fn redact(redactor: &Redactor, text: &str) -> (String, Report) {
    let (out, report) = redactor.redact(text.as_bytes());
    (String::from_utf8_lossy(&out).into_owned(), report)
}

/// The pieces of a text that a report says were replaced.
fn secrets(text: &str, report: &Report) -> Vec<String> {
    let at = |place: u64| usize::try_from(place).unwrap();
    report.hits.iter().map(|hit| text[at(hit.byte_offset)..at(hit.byte_offset + hit.byte_length)].to_owned()).collect()
}

/// The first piece of eight characters of a secret that is in a text.
fn leak(text: &str, secret: &str) -> Option<String> {
    let width = secret.len().min(8);
    let pieces = secret.as_bytes().windows(width).map(|piece| String::from_utf8_lossy(piece).into_owned());
    pieces.into_iter().find(|piece| text.contains(piece.as_str()))
}

fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r"))
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The name of a syntax, a text in it, and the form that a value has there.
type Syntax = (&'static str, String, fn(&str) -> String);

/// A value under a name in each of the syntaxes that can hold it.
fn syntaxes(name: &str, value: &str) -> Vec<Syntax> {
    let same: fn(&str) -> String = str::to_owned;
    let inside: fn(&str) -> String = |text| json(text).trim_matches('"').to_owned();
    let deeper: fn(&str) -> String = |text| json(json(text).trim_matches('"')).trim_matches('"').to_owned();
    let member = format!("{{\"n\": 1, {}: {}}}", json(name), json(value));
    let mut all = vec![
        ("JSON", member.clone(), inside),
        ("compact JSON", format!("{{{}:{},\"n\":1}}", json(name), json(value)), inside),
        ("JSON in JSON", format!("{{\"body\": {}}}", json(&member)), deeper),
        ("TOML", format!("[a]\n{name} = {}\nb = 1\n", json(value)), inside),
        ("element of XML", format!("<a><{name}>{}</{name}></a>", xml(value)), xml as fn(&str) -> String),
        ("attribute of XML", format!("<a {name}=\"{}\" b=\"c\"/>", xml(value)), xml),
    ];
    if value.contains('\n') {
        return all;
    }
    let upper = name.to_uppercase().replace(['-', '.'], "_");
    all.extend([
        ("quoted .env", format!("A=1\n{upper}={}\nB=2\n", json(value)), inside),
        ("quoted YAML", format!("a: 1\n{name}: {}\nb: 2\n", json(value)), inside),
        ("header", format!("GET / HTTP/1.1\r\n{name}: {value}\r\nHost: x\r\n"), same),
        (
            "query string",
            format!("https://host.test/a?n=1&{name}={}&m=2", percent(value)),
            percent as fn(&str) -> String,
        ),
    ]);
    if !value.contains([' ', '"', '\'', '#', '`', '\\', '$', '&', ';', '|', '(', '{']) {
        all.extend([
            (".env", format!("A=1\nexport {upper}={value}\nB=2\n"), same),
            ("YAML", format!("a: 1\n  {name}: {value}\nb: 2\n"), same),
            ("flag", format!("tool --{name} {value} --verbose"), same),
            ("flag with =", format!("tool --{name}={value} --verbose"), same),
        ]);
    }
    all
}

/// The redactor of one built-in rule.
fn alone(rule: &Rule) -> Redactor {
    let rules = Rules::builtin().unwrap();
    let off: Vec<String> = rules.ids().filter(|id| *id != rule.id()).map(|id| format!("{id:?}")).collect();
    Redactor::new(rules.clone().with(&format!("off = [{}]", off.join(", "))).unwrap()).unwrap()
}

/// What is wrong with a rule by itself.
fn problems_alone(rule: &Rule) -> Vec<String> {
    let (mut problems, mut random) = (Vec::new(), Random(0x5EED));
    let redactor = alone(rule);
    if rule.examples().len() != 2 || rule.counterexample().is_empty() {
        problems.push(format!("{}: it has not two examples and a counterexample", rule.id()));
    }
    let texts = |value: String| match rule.name() {
        Some(name) => syntaxes(name, &value).into_iter().map(|(_, text, _)| text).collect(),
        None => vec![value],
    };
    for example in rule.examples() {
        for _ in 0..4 {
            let value = random.example(example);
            if !texts(value.clone()).iter().any(|text| !redact(&redactor, text).1.hits.is_empty()) {
                problems.push(format!("{}: it does not find {value:?}", rule.id()));
            }
        }
    }
    let value = random.example(rule.counterexample());
    if let Some(text) = texts(value).into_iter().find(|text| !redact(&redactor, text).1.hits.is_empty()) {
        problems.push(format!("{}: it finds its counterexample: {text:?}", rule.id()));
    }
    problems
}

#[test]
fn each_rule_finds_its_examples_and_leaves_its_counterexample() {
    let rules = Rules::builtin().unwrap();
    let problems: Vec<String> = rules.iter().flat_map(problems_alone).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn each_example_is_found_in_each_syntax() {
    let (rules, mut random, mut checked) = (Rules::builtin().unwrap(), Random(0xF00D), 0);
    let mut problems = Vec::new();
    for rule in rules.iter() {
        for example in rule.examples() {
            let value = random.example(example);
            // Of a text, only what is secret in it must not be left.
            let secrets = match rule.name() {
                Some(_) => vec![value.clone()],
                None => secrets(&value, &redact(&alone(rule), &value).1),
            };
            for (syntax, text, form) in syntaxes(rule.name().unwrap_or("note"), &value) {
                let (out, report) = redact(Redactor::builtin(), &text);
                checked += 1;
                for secret in &secrets {
                    if report.hits.is_empty() || leak(&out, &form(secret)).is_some() {
                        problems.push(format!("{} in {syntax}: {text:?}\n  -> {out:?}", rule.id()));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "{} of {checked}\n{}", problems.len(), problems.join("\n"));
    assert!(checked > 20 * rules.len());
}

#[test]
fn the_leak_checker_sees_a_leak() {
    assert_eq!(leak("abc12345678xyz", "0012345678"), Some("12345678".into()));
    assert_eq!(leak("[REDACTED:x]", "0012345678"), None);
    assert_eq!(Random(1).example("a-<d:3>-<x").len(), "a-123-<x".len());
}

#[test]
fn a_file_that_is_not_understood_in_full_is_refused() {
    let rule = "[[rule]]\nid = \"a\"\nkeywords = [\"abc\"]\n";
    let cases = [
        ("x = 1".to_owned(), "no such field"),
        (format!("{rule}pattern = 'abc'\ncolour = 1"), "no such field"),
        (format!("{rule}pattern = 'abc('"), "unclosed"),
        (format!("{rule}value = '['"), "unclosed"),
        (rule.to_owned(), "one of pattern, value and block"),
        (format!("{rule}pattern = 'abc'\nvalue = 'x'"), "one of pattern, value and block"),
        (format!("{rule}pattern = 'abc'\ngroup = 1"), "no such group"),
        (format!("{rule}pattern = 'abc'\nreplacement = \"x\""), "[REDACTED:name]"),
        (format!("{rule}pattern = 'abc'\n{rule}pattern = 'abc'"), "two rules"),
        (format!("{rule}value = 'abc'\nbare = \"some\""), "expected one of"),
        ("[[rule]]\nid = \"A b\"\nkeywords = [\"abc\"]\npattern = 'abc'".into(), "an id is"),
        ("[[rule]]\nid = \"a\"\nkeywords = [\"ab\"]\npattern = 'ab'".into(), "at least 3"),
        ("[[rule]]\nid = \"a\"\nkeywords = [\"ABC\"]\npattern = 'ABC'".into(), "lower case"),
        ("off = [\"no_such_rule\"]".into(), "no rule of this id"),
        ("off = \"password_field\"".into(), "array of strings"),
        ("[[allow]]\nid = \"x\"\nsha256 = \"12\"".into(), "64 hexadecimal"),
        ("[[allow]]\nid = \"x\"".into(), "one of sha256 and pattern"),
        ("[[allow]]\nid = \"x\"\npattern = 'x'\nrules = [\"no_such_rule\"]".into(), "not there"),
        ("rule = 1".into(), "expected tables"),
        ("[[rule]\n".into(), ""),
    ];
    for (text, wanted) in cases {
        let error = Rules::builtin().unwrap().with(&text).unwrap_err();
        assert!(matches!(error, Error::RulesInvalid { .. }), "{text}");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(wanted), "{text}: {error}");
    }
}

#[test]
fn a_users_rules_add_replace_and_switch_off() {
    let user = "off = [\"openai_api_key\"]\n\
        [[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n\
        [[rule]]\nid = \"github_token\"\nkeywords = [\"ghp_\"]\npattern = 'ghp_[a-z]{4}'\nreplacement = \"[REDACTED:ours]\"\n";
    let rules = Rules::builtin().unwrap().with(user).unwrap();
    assert_eq!(rules.len(), Rules::builtin().unwrap().len());
    let redactor = Redactor::new(rules).unwrap();
    let openai = format!("sk{}{}", "-", Random(7).fill("w", 24));
    let (out, report) = redact(&redactor, &format!("badge-1234 ghp_abcd {openai} password=\"x\""));
    assert_eq!(out, format!("[REDACTED:badge] [REDACTED:ours] {openai} password=\"[REDACTED:password]\""));
    assert_eq!(
        report.hits.iter().map(|hit| &*hit.pattern_name).collect::<Vec<_>>(),
        ["badge", "github_token", "password_field"]
    );
    assert_ne!(*report.rules, *redact(Redactor::builtin(), "").1.rules);
}

#[test]
fn the_digest_is_of_what_the_rules_do() {
    let digest = |text: &str| Rules::builtin().unwrap().with(text).unwrap().digest().unwrap();
    let rule = "[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n";
    assert_eq!(digest(""), Rules::builtin().unwrap().digest().unwrap());
    assert_eq!(digest(""), Redactor::builtin().digest());
    assert_eq!(digest(""), *Redactor::builtin().redact(b"clean").1.rules);
    assert!(digest("").starts_with("sha256:") && digest("").len() == 71);
    assert_eq!(digest(rule), digest(&format!("# a comment\n{rule}examples = [\"badge-<d:4>\"]\n")));
    for other in [
        "off = [\"badge\"]\n".to_owned() + rule.replace("badge", "other").as_str(),
        rule.replace("{4}", "{5}"),
        format!("{rule}entropy = 1.5"),
        format!("{rule}boundary = false"),
        format!("{rule}[[allow]]\nid = \"a\"\npattern = 'x'"),
    ] {
        if let Ok(rules) = Rules::builtin().unwrap().with(&other) {
            assert_ne!(rules.digest().unwrap(), digest(rule), "{other}");
        }
    }
}
