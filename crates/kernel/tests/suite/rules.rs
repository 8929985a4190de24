//! The rules as data: each one finds what it says, in every syntax, and users can change them.
//!
//! What looks like a token is put together at run time from the examples of the rules and random characters, so that none
//! stands in the repository.

mod encoded;

use crate::common::Random;
use receipt_kernel::evidence::redact::{
    MAX_ALLOWED, MAX_COMPILED, MAX_EXPRESSIONS, MAX_FILE, MAX_KEYWORD, MAX_KEYWORD_BYTES, MAX_KEYWORDS, MAX_RULES,
    Redactor, Report, Rule,
};
use receipt_kernel::{Error, ErrorKind, Rules};
use std::fmt::Write;

impl Random {
    /// Random characters of these classes.
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
                let (class, count) = inside.split_once(':').filter(|(class, _)| !class.contains('<'))?;
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
fn every_item_of_a_list_of_secrets_is_replaced_and_what_follows_the_list_is_kept() {
    const LISTS: &str = "tokens:\n  - plain\n  - %\n  - \"%\" # old\n  - also-plain\n  - '%'\nnames:\n  - agent007x\npasswords:\n- %\n- %\n";
    let text = |items: &[String]| items.iter().fold(LISTS.to_owned(), |text, item| text.replacen('%', item, 1));
    let items: Vec<String> = (1..=5).map(|seed| Random(seed).example("<w:8>7<w:4>")).collect();
    let (data, expected) = (text(&items), text(&vec!["[REDACTED:yaml_sequence]".to_owned(); 5]));
    let redactor = Redactor::builtin();
    assert_eq!(String::from_utf8_lossy(&redactor.redact(data.as_bytes()).0), expected);
    let noted = format!("secrets:\n  - {} of: bob\n  - {} username=ets:\n", items[0], items[1]);
    let once = redactor.redact(noted.as_bytes()).0;
    assert_eq!(once, redactor.redact(&once).0, "what stands behind an item does not end the list");
    assert!(redactor.redact(expected.as_bytes()).1.hits.is_empty());
    for size in [1, 7, 30] {
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        data.as_bytes().chunks(size).for_each(|piece| stream.push(piece, &mut out));
        stream.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{size}");
    }
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
        (format!("{rule}pattern = 'abc'\nexamples = ['xABCx', 'acb']"), "never be tried"),
        (format!("{rule}pattern = 'abc'\nagain = 'x'"), "one group"),
        (format!("{rule}pattern = 'abc'\nagain = '(x)?'"), "match nothing"),
        (format!("{rule}pattern = 'abc'\nreplacement = \"x\""), "[REDACTED:name]"),
        (format!("{rule}pattern = 'abc'\n{rule}pattern = 'abc'"), "two rules"),
        (format!("{rule}value = 'abc'\nbare = \"some\""), "expected one of"),
        ("[[rule]]\nid = \"A b\"\nkeywords = [\"abc\"]\npattern = 'abc'".into(), "an id is"),
        ("[[rule]]\nid = \"a\"\nkeywords = [\"ab\"]\npattern = 'ab'".into(), "at least 3"),
        (format!("[[rule]]\nid = \"a\"\nkeywords = [\"{}\"]\npattern = 'x'", "x".repeat(129)), "at most 128"),
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

/// Rules of the form `[[rule]]`, numbered from 0, each of which looks for `abc`.
fn many(count: usize) -> String {
    (0..count)
        .map(|n| format!("[[rule]]\nid = \"r{n}\"\nkeywords = [\"abc\"]\nvalue = '(?s).*'\n"))
        .collect::<Vec<_>>()
        .concat()
}

/// A rule with these keywords, and one with this expression.
fn words(keywords: &[String]) -> String {
    format!("[[rule]]\nid = \"words\"\nkeywords = {keywords:?}\nvalue = '(?s).*'\n")
}

fn expression(pattern: &str) -> String {
    format!("[[rule]]\nid = \"a\"\nkeywords = [\"abc\"]\nvalue = '{pattern}'\n")
}

/// An exception for a secret that nobody has, by its digest.
fn exceptions(count: usize) -> String {
    (0..count).map(|n| format!("[[allow]]\nid = \"a{n}\"\nsha256 = \"{n:064x}\"\n")).collect::<Vec<_>>().concat()
}

#[test]
fn the_sum_of_all_rules_has_limits() {
    let builtin = Rules::builtin().unwrap();
    let rules = builtin.len();
    let count = builtin.iter().map(|rule| rule.keywords().len()).sum::<usize>();
    let bytes = builtin.iter().flat_map(Rule::keywords).map(String::len).sum::<usize>();
    let numbered = |count: usize| (0..count).map(|n| format!("{n:06}")).collect::<Vec<_>>();
    let long = |bytes: usize| {
        let (whole, rest) = (bytes / MAX_KEYWORD - 1, bytes % MAX_KEYWORD + MAX_KEYWORD);
        // The rest is of one or two.
        let ends = [rest - 3.max(rest - MAX_KEYWORD), 3.max(rest - MAX_KEYWORD)];
        let numbered = (0..whole).map(|n| format!("{n:0>MAX_KEYWORD$}"));
        numbered.chain(ends.map(|length| "x".repeat(length))).collect::<Vec<_>>()
    };
    assert_eq!(long(1000).iter().map(String::len).sum::<usize>(), 1000, "a control");
    // What is at the limit, what is beyond it, and how the limit is named.
    let cases = [
        (many(MAX_RULES - rules), many(MAX_RULES - rules + 1), "rules"),
        (exceptions(MAX_ALLOWED), exceptions(MAX_ALLOWED + 1), "exceptions"),
        (words(&numbered(MAX_KEYWORDS - count)), words(&numbered(MAX_KEYWORDS - count + 1)), "keywords"),
        (words(&long(MAX_KEYWORD_BYTES - bytes)), words(&long(MAX_KEYWORD_BYTES - bytes + 1)), "bytes of keywords"),
        (format!("#{}", " ".repeat(MAX_FILE - 1)), format!("#{}", " ".repeat(MAX_FILE)), "bytes of the file"),
    ];
    for (at, beyond, name) in cases {
        let rules = Rules::builtin().unwrap().with(&at).unwrap_or_else(|error| panic!("{name}: {error}"));
        let redactor = Redactor::new(rules.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(redact(&redactor, "nothing here").0, "nothing here");
        let error = Rules::builtin().unwrap().with(&beyond).unwrap_err();
        let named = format!("the number of {name}");
        assert!(matches!(&error, Error::RulesInvalid { at, .. } if *at == named), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::Input);
        // Of two files the sum counts: a ledger's own rules and those of one command.
        if name == "rules" || name == "keywords" {
            let more = words(&["further".to_owned()]).replace("\"words\"", "\"further\"");
            assert!(rules.with(&more).is_err(), "{name}");
        }
    }
}

#[test]
fn the_expressions_of_all_rules_have_limits_as_written_and_as_compiled() {
    let error = |text: &str| Rules::builtin().unwrap().with(text).unwrap_err().to_string();
    // Cheap when compiled, and long as written.
    let spaces = |bytes: usize| expression(&format!("(?x)a{}", " ".repeat(bytes)));
    let (mut fits, mut over) = (0, MAX_EXPRESSIONS);
    while over - fits > 1 {
        let middle = fits.midpoint(over);
        if Rules::builtin().unwrap().with(&spaces(middle)).is_ok() { fits = middle } else { over = middle }
    }
    assert!(error(&spaces(over)).contains("the number of bytes of expressions"), "{}", error(&spaces(over)));
    assert!(error(&spaces(over)).contains(&(MAX_EXPRESSIONS + 1).to_string()), "the bound is met to the byte");
    // Short as written, and large when compiled; each alone is allowed.
    let large = |count: usize| {
        let rule = |n: usize| expression("(?s).{20000}x").replace("\"a\"", &format!("\"large_{n}\""));
        (0..count).map(rule).collect::<String>()
    };
    Rules::builtin().unwrap().with(&large(2)).unwrap();
    let problem = error(&large(400));
    assert!(problem.contains(&format!("more than {MAX_COMPILED} bytes when compiled")), "{problem}");
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
        format!("{rule}again = ' ([0-9]{{4}})'"),
        format!("{rule}[[allow]]\nid = \"a\"\npattern = 'x'"),
    ] {
        if let Ok(rules) = Rules::builtin().unwrap().with(&other) {
            assert_ne!(rules.digest().unwrap(), digest(rule), "{other}");
        }
    }
}

#[test]
fn there_are_rules_for_many_kinds_and_those_of_the_reference_keep_their_names() {
    let rules = Rules::builtin().unwrap();
    assert!(rules.len() >= 163, "{}", rules.len());
    let known = [
        ("anthropic_api_key", "anthropic_key"),
        ("openai_api_key", "openai_key"),
        ("aws_access_key", "aws_key"),
        ("aws_secret_key", "aws_secret"),
        ("bearer_token", "bearer"),
        ("authorization_header", "auth_header"),
        ("password_field", "password"),
        ("password_field_sq", "password"),
        ("private_key_block", "private_key"),
        ("github_token", "github_token"),
        ("connection_string", "connection_string"),
        ("generic_secret_assign", "generic_secret"),
        ("generic_secret_assign_sq", "generic_secret"),
    ];
    for (id, replacement) in known {
        let rule = rules.iter().find(|rule| rule.id() == id).unwrap();
        assert_eq!(rule.replacement(), format!("[REDACTED:{replacement}]"));
    }
}

/// The kinds of secrets that are met most, each in a text of its own.
const COMMON: [&str; 60] = [
    "xoxb-<d:12>-<d:12>-<w:24>",
    "xoxp-<d:12>-<d:12>-<d:12>-<h:32>",
    "https://hooks.slack.com/services/T<H:8>/B<H:8>/<w:24>",
    "sk_live_<w:24>",
    "rk_live_<w:24>",
    "whsec_<w:32>",
    "glpat-<s:20>",
    "npm_<w:36>",
    "pypi-AgEIcHlwaS5vcmc<s:80>",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.<s:43>",
    "-----BEGIN EC PRIVATE KEY-----\n<b:64>\n<b:64>\n-----END EC PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n<b:70>\n<b:70>\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n<b:64>\n<b:64>\n-----END ENCRYPTED PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n<b:64>\n<b:64>\n-----END PGP PRIVATE KEY BLOCK-----",
    "-----BEGIN RSA PRIVATE KEY-----\n<b:64>\n<b:64>",
    "AIza<s:35>",
    "GOCSPX-<s:28>",
    "ya29.<s:60>",
    "AccountKey=<b:86>==",
    "https://a.blob.core.windows.net/c?sv=2024-11-04&sig=<w:43>%3D",
    "AZURE_CLIENT_SECRET=<w:3>8Q~<w:34>",
    "SG.<s:22>.<s:43>",
    "TWILIO_AUTH_TOKEN=<h:32>",
    "SK<h:32>",
    "hf_<w:34>",
    "sk-proj-<w:40>T3BlbkFJ<w:40>",
    "sk-svcacct-<w:40>T3BlbkFJ<w:40>",
    "sk-or-v1-<h:64>",
    "github_pat_<w:22>_<w:59>",
    "ASIA<u:16>",
    "AWS_SESSION_TOKEN=<b:200>",
    "dop_v1_<h:64>",
    "shpat_<h:32>",
    "TELEGRAM_BOT_TOKEN=<d:10>:AA<s:33>",
    "https://discord.com/api/webhooks/<d:18>/<s:68>",
    "DISCORD_TOKEN=M<w:23>.<s:6>.<s:27>",
    "dapi<h:32>",
    "key-<h:32>",
    "lin_api_<w:40>",
    "hvs.<s:95>",
    "X-Auth-Key: <h:37>",
    "https://bob:<w:12>@example.org/",
    "postgresql://app:<w:12>@db/app",
    "mongodb+srv://app:<w:12>@db/app",
    "rediss://:<w:12>@cache:6379/0",
    "amqp://app:<w:12>@mq:5672/",
    "mysql+pymysql://app:<w:12>@db/app",
    "Cookie: session=<w:32>",
    "X-Api-Key: <w:32>",
    "AGE-SECRET-KEY-1<u:58>",
    "bob:$apr1$<w:8>$<w:22>",
    "sk-ant\\u002dapi03\\u002d<w:40>",
    "Authorization: Basic <b:24>",
    "authorization: token <h:40>",
    "DB_PASSWORD=<w:12>",
    "password: <w:12>",
    "--password <w:12>",
    "<password><w:12></password>",
    "https://host.test/a?access_token=<w:24>",
    "{'password': \"<w:12>\"}",
];

#[test]
fn the_most_common_kinds_of_secrets_are_found() {
    let mut random = Random(0xC0DE);
    let missed: Vec<String> = COMMON
        .iter()
        .filter_map(|kind| {
            let mut text = random.example(kind);
            if let Some(key) = text.strip_prefix("AGE-SECRET-KEY-1") {
                // Not all letters are in its alphabet.
                text = format!("AGE-SECRET-KEY-1{}", key.replace(['B', 'I', 'O'], "Q"));
            }
            let (out, report) = redact(Redactor::builtin(), &format!("before\n{text}\nafter\n"));
            let kept = out.starts_with("before\n") && out.ends_with("\nafter\n");
            (report.hits.is_empty() || !kept).then(|| format!("{text}\n  -> {out}"))
        })
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn an_exception_leaves_what_it_names_and_each_use_is_reported() {
    let secret = format!("gh{}_{}", "p", Random(3).fill("w", 36));
    let other = format!("gh{}_{}", "p", Random(4).fill("w", 36));
    let digest = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(secret.as_bytes()));
    let by_digest = format!("[[allow]]\nid = \"known\"\nsha256 = \"{digest}\"\n");
    let by_pattern = format!("[[allow]]\nid = \"known\"\npattern = '{secret}'\nrules = [\"github_token\"]\n");
    for allow in [by_digest, by_pattern] {
        let redactor = Redactor::new(Rules::builtin().unwrap().with(&allow).unwrap()).unwrap();
        let text = format!("é {secret} and {other}");
        let (out, report) = redact(&redactor, &text);
        assert_eq!(out, format!("é {secret} and [REDACTED:github_token]"));
        let used: Vec<_> =
            report.allowed.iter().map(|used| (&*used.pattern_name, &*used.allow, used.offset, used.length)).collect();
        assert_eq!(used, [("github_token", "known", 2, 40)]);
        assert_eq!((report.hits.len(), report.hits[0].offset), (1, 47));
        let json = report.to_json();
        assert!(
            json.contains("\"allowed\": [{\"pattern_name\": \"github_token\", \"allow\": \"known\", \"offset\": 2")
        );
        assert!(!json.contains(&secret) && !json.contains(&digest));
        // What is a secret by another rule too is not let through by an exception from one.
        let (out, _) = redact(&redactor, &format!("password = \"{secret}\""));
        assert_eq!(leak(&out, &secret).is_none(), allow.contains("rules = "));
    }
}

/// The crates that Cargo.lock names, as cargo calls their folders. No other crate that lies on this machine is read.
fn locked() -> Vec<String> {
    let lock: toml::Table = include_str!("../../../../Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let foreign = packages.filter(|package| package.get("source").is_some());
    foreign.map(|it| format!("{}-{}", it["name"].as_str().unwrap(), it["version"].as_str().unwrap())).collect()
}

/// The sources of a crate, if cargo has unpacked them, without its tests, which have passwords on purpose.
fn sources(krate: &str) -> Vec<std::path::PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.into_iter().flat_map(|home| std::fs::read_dir(home.join("registry/src"))).flatten().flatten();
    let mut folders: Vec<_> = registries.map(|registry| registry.path().join(krate)).filter(|it| it.is_dir()).collect();
    folders.truncate(1); // the same crate of two registries
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn real_sources_are_hardly_ever_taken_for_secrets() {
    let (mut bytes, mut found) = (0_usize, Vec::new());
    // All of them: no crate stands for the others.
    for path in locked().iter().flat_map(|krate| sources(krate)) {
        let data = std::fs::read(&path).unwrap_or_default();
        bytes += data.len();
        let report = Redactor::builtin().redact(&data).1;
        found.extend(report.hits.iter().map(|hit| format!("{} in {}", hit.pattern_name, path.display())));
    }
    if bytes < 4_000_000 {
        eprintln!("SKIPPED: findings in real sources: cargo has not unpacked enough of the crates in Cargo.lock here");
        return;
    }
    assert!(found.len() * 1_000_000 < bytes, "{} in {bytes} bytes:\n{}", found.len(), found.join("\n"));
}
