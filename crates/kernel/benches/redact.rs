//! How fast text is redacted, and how much of real text is taken for secrets that it has not: `make bench` prints both
//! tables and fails where a limit is not kept.
//!
//! Speeds are those of one core, the best of some rounds. `EVERY=25` floods with a sample of what the rules give, not with
//! all of it. False findings are counted in the crates of `Cargo.lock` as cargo has unpacked them, and in the folders under
//! `CORPUS`, which `tools/corpus.py` makes; `SHOW` is a rule whose findings there are to be shown.
//!
//! `cargo bench --bench redact -- examples FOLDER` writes a file for each example of each rule, with a line around it, and
//! says how many of them are found here: what `tools/scanners.py` holds other scanners against.

#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // it prints tables

use receipt_kernel::evidence::redact::Rule;
use receipt_kernel::{Redactor, Rules};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Prints a table, and says how many limits were not kept.
type Bench = fn() -> Outcome<u32>;

fn main() -> Outcome<()> {
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let [verb, folder] = &only[..]
        && verb == "examples"
    {
        return write_examples(Path::new(folder));
    }
    let benches: [(&str, Bench); 3] = [("speed", speeds), ("hostile", worst), ("findings", findings)];
    let mut missed = 0;
    for (name, bench) in benches {
        if only.is_empty() || only.iter().any(|only| name.contains(only.as_str())) {
            missed += bench()?;
        }
    }
    println!("\n{missed} missed");
    if missed > 0 { Err("a limit was not kept".into()) } else { Ok(()) }
}

/// Megabytes a second, the best of some rounds.
fn speed(text: &[u8], rounds: usize) -> f64 {
    let round = |_| {
        let start = Instant::now();
        std::hint::black_box(Redactor::builtin().redact(text));
        text.len() as f64 / 1e6 / start.elapsed().as_secs_f64()
    };
    (0..rounds).map(round).fold(0.0, f64::max)
}

/// Log lines of several programs, none of them with a secret.
fn log(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 256);
    let mut number: u64 = 0x9E37_79B9;
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (id, ms) = (number >> 32, number >> 54);
        let _ = match number >> 61 {
            0 => writeln!(
                text,
                "2026-11-25T12:00:{:02}.{ms:03}Z INFO  http: 10.0.3.{} \"GET /api/v2/items/{id}?page=2 HTTP/1.1\" 200 {ms} \"-\" \"curl/8.5.0\"",
                ms % 60,
                id % 255
            ),
            1 => writeln!(text, "test evidence::store::tests::case_{id} ... ok"),
            2 => writeln!(
                text,
                "{{\"level\":\"debug\",\"ts\":{id},\"msg\":\"cache miss for key items:{id}\",\"took_ms\":{ms}}}"
            ),
            3 => writeln!(text, "   Compiling serde_json v1.0.{ms} (/build/vendor/serde_json)"),
            4 => writeln!(text, "WARN  worker-{}: retrying job {id:016x} after {ms} ms, attempt 3 of 5", id % 16),
            5 => writeln!(text, "    at com.example.app.Handler.process(Handler.java:{ms}) [app.jar:4.2.{}]", id % 10),
            6 => writeln!(
                text,
                "downloaded https://repo.example.org/artifacts/lib-{ms}.tar.gz sha256:{id:016x}{number:016x}{id:016x}{number:016x}"
            ),
            _ => writeln!(text, "the user signed in; the token is valid for {ms} s, the next page is {id}"),
        };
    }
    text
}

/// What is repeated in texts that are made to be slow.
const PIECES: [&str; 45] = [
    "a",
    "/",
    "=",
    "\"",
    "\\",
    "-",
    "%",
    "%41",
    "\\u0041",
    "{",
    "\u{17F}",
    " ",
    "\n",
    "0",
    "A",
    "://",
    "eyJ",
    "aGVsbG8g",
    "password=\"",
    "password='\\\"",
    "password = ",
    "password: ",
    "--password ",
    "authorization: ",
    "token = 'x",
    "token=a1",
    "secret=\\\"",
    "[REDACTED:",
    "secret = \"[REDACTED:",
    "bearer   ",
    "<password>",
    "password='password=\"",
    "mysql://",
    "https://a:",
    "&access_token=",
    "cookie: a=",
    "-----BEGIN ",
    "key\\\\\"=\\",
    "aws_secret_access_key=",
    "eyJhbGciOiJIUzI1NiJ9.",
    "password=\"\\",
    "api_key: `",
    "|token = r'",
    "token&quot;>",
    "secret := ",
];

/// What is repeated in texts that are made to be slow (floods, beginnings without ends, long runs), and what the rules give.
#[allow(clippy::type_complexity)] // names and texts, twice
fn hostile() -> Outcome<(Vec<(String, String)>, Vec<(String, String)>)> {
    let begin = format!("-----BEGIN {}-----\n", "PRIVATE KEY");
    let mut texts: Vec<(String, String)> =
        PIECES.iter().map(|piece| (format!("{piece:?} repeated"), (*piece).to_owned())).collect();
    texts.push(("BEGIN without END".to_owned(), begin));
    for run in ["a", "0", "/", "=", "A1"] {
        texts.push((format!("{run:?} in one long run"), run.repeat((256 << 10) / run.len())));
    }
    let nested = ["password=", "token: ", "sk-", "Bearer ", "https://a:", "authorization: "].concat();
    texts.push(("prefixes in prefixes".to_owned(), nested));
    let rules = Rules::builtin()?;
    let mut made: Vec<(String, String)> = Vec::new();
    for rule in rules.iter() {
        for (what, piece) in [("keywords", rule.keywords().concat()), ("example", rule.examples().concat())] {
            made.push((format!("{what} of {}", rule.id()), piece));
        }
        let first = rule.keywords().first().cloned().unwrap_or_default();
        for run in ["a", "0"] {
            made.push((format!("{first} before a run of {run}"), format!("{first}{}", run.repeat(200))));
        }
        made.push((format!("{first}_ repeated"), format!("{first}_")));
        made.extend(floods(rule).into_iter().map(|piece| (format!("{piece:?} of {} repeated", rule.id()), piece)));
    }
    made.sort_unstable_by(|a, b| a.1.cmp(&b.1));
    made.dedup_by(|a, b| a.1 == b.1);
    let every = std::env::var("EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(1);
    Ok((texts, made.into_iter().step_by(every).collect()))
}

/// What makes a rule begin and not end: each keyword with what assigns or opens, and each example up to where its random
/// part begins, with and without some of that.
fn floods(rule: &Rule) -> Vec<String> {
    let mut found = Vec::new();
    for keyword in rule.keywords() {
        for after in ["", " ", "=", "=\"", "='", ": ", "('", "(\"", "=a1", "--", ": [\"a\",", "%20", "\\/"] {
            found.push(format!("{keyword}{after}"));
        }
    }
    for example in rule.examples() {
        let stem = example.split('<').next().unwrap_or_default();
        for after in ["", "a", "A1", " ", "\n", "a1B2c3D4e5F6a1B2c3D4"] {
            found.push(format!("{stem}{after}"));
        }
    }
    found.retain(|piece| !piece.is_empty());
    found
}

#[allow(clippy::unnecessary_wraps)] // as the others are
fn speeds() -> Outcome<u32> {
    let clean = log(64 << 20);
    let hits = Redactor::builtin().redact(clean.as_bytes()).1.hits.len();
    let fast = speed(clean.as_bytes(), 5);
    let mut missed = row("clean log text", fast, 300.0, &format!("{hits} taken for secrets"));
    let start = Instant::now();
    let mut stream = Redactor::builtin().stream();
    let mut out = Vec::with_capacity(clean.len());
    for piece in clean.as_bytes().chunks(1 << 16) {
        stream.push(piece, &mut out);
    }
    stream.finish(&mut out);
    let streamed = clean.len() as f64 / 1e6 / start.elapsed().as_secs_f64();
    missed += row("the same as a stream", streamed, 200.0, "");
    Ok(missed)
}

/// The slowest of the texts that are made to be slow, and of those that the rules give: figures, and no limits. That no text
/// makes a rule look at its bytes again and again is a test of its own, which counts looks.
fn worst() -> Outcome<u32> {
    let (made, given) = hostile()?;
    slowest("texts that are made to be slow", made, 3);
    slowest("floods that the rules give", given, 12);
    Ok(0)
}

fn slowest(what: &str, texts: Vec<(String, String)>, shown: usize) {
    let mut slow = Vec::new();
    for (what, piece) in texts {
        let text = piece.repeat((256 << 10) / piece.len());
        // What seems slow is measured again, as it may have been interrupted.
        let once = speed(text.as_bytes(), 1);
        let best = if once < 25.0 { once.max(speed(text.as_bytes(), 3)) } else { once };
        // Four times as much takes four times as long: less is the speed where it does not.
        let long = if best < 25.0 { speed(text.repeat(8).as_bytes(), 1).min(best) } else { best };
        slow.push((long, what));
    }
    slow.sort_by(|a: &(f64, String), b| a.0.total_cmp(&b.0));
    let below = slow.iter().filter(|(speed, _)| *speed < 5.0).count();
    println!("       {} {what}, {below} of them below 5 MB/s; the slowest:", slow.len());
    for (speed, what) in slow.iter().take(shown) {
        println!("       {what:<48} {speed:>8.1} MB/s");
    }
}

fn row(what: &str, got: f64, wanted: f64, note: &str) -> u32 {
    let mark = if got >= wanted { "ok    " } else { "MISSED" };
    println!("{mark} {what:<48} {got:>8.1} MB/s  wanted >= {wanted:<6} {note}");
    u32::from(got < wanted)
}

/// The files of a folder and its subfolders.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// Whether a finding is a key for sure, if only one for tests: by its form, or in a file of key material.
fn is_key(rule: &str, path: &Path) -> bool {
    let material = path.to_string_lossy().contains("/hpke-") && path.extension().is_some_and(|ending| ending == "json");
    material || ["age_secret_key", "private_key_block", "json_web_key", "json_web_key_prime"].contains(&rule)
}

/// The folders of the crates of Cargo.lock, as cargo has unpacked them, and those of the corpus; each with its name.
fn corpora() -> Vec<(String, Vec<PathBuf>)> {
    let home = std::env::var_os("CARGO_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"), PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
    let mut names = Vec::new();
    for line in lock.lines() {
        if line.starts_with("name = ") {
            names.push(quoted(line));
        } else if let (true, Some(name)) = (line.starts_with("version = "), names.last_mut()) {
            name.push('-');
            name.push_str(&quoted(line));
        }
    }
    let registries = std::fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let crates = registries.flat_map(|registry| names.iter().map(move |name| registry.path().join(name)));
    let mut all = vec![("crates of Cargo.lock".to_owned(), crates.filter(|path| path.is_dir()).collect::<Vec<_>>())];
    let corpus = std::env::var_os("CORPUS").map_or_else(|| root.join("target/corpus"), PathBuf::from);
    for name in ["logs", "locks", "minified"] {
        all.push((name.to_owned(), vec![corpus.join(name)]));
    }
    all
}

/// What is found in real texts, nearly all of it no secret.
fn findings() -> Outcome<u32> {
    let mut missed = 0;
    for (name, folders) in corpora() {
        let mut paths = Vec::new();
        for folder in &folders {
            files(folder, &mut paths);
        }
        if paths.is_empty() {
            println!(
                "SKIPPED: findings in {name}: there is nothing of it here (tools/corpus.py FOLDER makes a corpus)"
            );
            continue;
        }
        missed += findings_in(&name, &paths)?;
    }
    Ok(missed)
}

fn findings_in(name: &str, paths: &[PathBuf]) -> Outcome<u32> {
    let show = std::env::var("SHOW").unwrap_or_default();
    let (mut bytes, mut empty, mut true_ones, mut by_rule) = (0, 0, 0, BTreeMap::<String, u64>::new());
    for path in paths {
        let Ok(data) = std::fs::read(path) else { continue };
        bytes += data.len();
        for hit in Redactor::builtin().redact(&data).1.hits {
            if show == "all" || *show == *hit.pattern_name {
                let from = usize::try_from(hit.byte_offset)?;
                let text = &data[from.saturating_sub(40)..data.len().min(from + 60)];
                println!("{} {}: {:?}", hit.pattern_name, path.display(), String::from_utf8_lossy(text));
            }
            if hit.length == 0 {
                empty += 1;
            } else if is_key(&hit.pattern_name, path) {
                true_ones += 1;
            } else {
                *by_rule.entry(hit.pattern_name.to_string()).or_default() += 1;
            }
        }
    }
    let (megabytes, total) = (bytes as f64 / 1e6, by_rule.values().sum::<u64>());
    let rate = total as f64 / megabytes;
    let mark = if rate < 1.0 { "ok    " } else { "MISSED" };
    println!("{mark} {name}: {total} found in {megabytes:.1} MB, {rate:.3} a MB, wanted < 1");
    println!("       beside {true_ones} keys that these texts do have, and {empty} empty values; by rule:");
    let mut rules: Vec<(&String, &u64)> = by_rule.iter().collect();
    rules.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (rule, count) in rules {
        println!("       {rule:<48} {count:>6} {:>8.3} a MB", *count as f64 / megabytes);
    }
    Ok(u32::from(rate >= 1.0))
}

/// A file for each example of each rule, filled with characters that look random and are the same each time.
fn write_examples(folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    let (rules, mut seed, mut found, mut all) = (Rules::builtin()?, 0x5EED_u64, 0, 0);
    for rule in rules.iter() {
        for (index, example) in rule.examples().iter().enumerate() {
            let value = filled(example, &mut seed);
            let line = rule.name().map_or_else(|| format!("{value}\n"), |name| format!("{name} = \"{value}\"\n"));
            all += 1;
            found += usize::from(!Redactor::builtin().redact(line.as_bytes()).1.hits.is_empty());
            std::fs::write(folder.join(format!("{}-{index}.txt", rule.id())), line)?;
        }
    }
    println!("{found} of {all}");
    Ok(())
}

fn filled(example: &str, seed: &mut u64) -> String {
    let (mut out, mut rest) = (String::new(), example);
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let class = after.split_once('>').and_then(|(inside, rest)| {
            let (class, count) = inside.split_once(':').filter(|(class, _)| !class.contains('<'))?;
            Some((class, count.parse::<usize>().ok()?, rest))
        });
        let Some((class, count, after)) = class else {
            out.push('<');
            rest = after;
            continue;
        };
        let letters: &[u8] = match class {
            "d" => b"0123456789",
            "h" => b"0123456789abcdef",
            "H" => b"0123456789ABCDEF",
            "l" => b"abcdefghijklmnopqrstuvwxyz",
            "u" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "b" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        };
        for _ in 0..count {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = usize::try_from(*seed >> 33).unwrap_or_default() % letters.len();
            out.push(char::from(letters[place]));
        }
        rest = after;
    }
    out + rest
}
