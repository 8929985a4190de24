//! The README and the guide to evidence are true: their commands are run in an empty folder, and print what they say that
//! they print.

use crate::common::{RECEIPT, alone};
use std::fmt::Write;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The `console` blocks, as commands with the output that is printed under them.
fn transcript(text: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => steps.push((command.to_owned(), String::new())),
                None => writeln!(steps.last_mut().expect("a command comes first").1, "{line}").unwrap(),
            },
        }
    }
    steps
}

fn run(command: &str, folder: &Path) -> String {
    let receipt = Path::new(RECEIPT).parent().unwrap().to_str().unwrap();
    let path = format!("{receipt}:{}", std::env::var("PATH").unwrap());
    let script = format!("exec 2>&1; {command}");
    let mut shell = alone("sh", folder);
    shell.args(["-c", &script]).env("PATH", path);
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

/// Without what differs from machine to machine and from run to run: instants, durations, sizes and hashes.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words = line.split_whitespace().map(|word| {
            let word = word.trim_end_matches([',', ')']).trim_start_matches('(');
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            let hexadecimal = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let named = digits >= 14 && ["retain-", "shred-", "redact-"].iter().any(|name| word.starts_with(name));
            let key = word.starts_with("age1") && word.len() > 50;
            let hash = named || key || word.starts_with("sha256:") || word.starts_with("blob://") || hexadecimal;
            let instant = digits >= 6 && word.bytes().all(|byte| byte.is_ascii_digit() || b"-:.T+".contains(&byte));
            let duration = word.starts_with('+') && word.ends_with('s');
            let number = digits > 0 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            // Ciphertext is not of one length: it can be just below a KiB or just above.
            let word = if word == "KiB" { "B" } else { word };
            if hash || instant || duration || number { "*" } else { word }
        });
        out.push_str(&words.collect::<Vec<_>>().join(" "));
        out.push('\n');
    }
    out
}

#[test]
fn its_transcripts_are_what_the_command_prints() {
    check_transcripts("README.md");
}

#[test]
fn the_guide_to_evidence_shows_what_the_command_prints() {
    if run("age-keygen --version && age --version", Path::new(".")).contains("not found") {
        println!("SKIPPED: docs/EVIDENCE.md: the age program is not installed (apt-get install age)");
        return;
    }
    check_transcripts("docs/EVIDENCE.md");
}

#[test]
fn the_guide_to_redaction_shows_what_the_command_prints() {
    check_transcripts("docs/REDACTION.md");
}

#[test]
fn the_recipe_for_ci_shows_what_the_command_prints() {
    check_transcripts("docs/THREATS.md");
}

#[test]
fn the_three_lines_of_the_readme_are_those_that_are_tried_out() {
    let text = readme();
    let lines = text.split("are enough to have it:").nth(1).unwrap().split("```").nth(1).unwrap();
    let recipe: Vec<&str> = lines.lines().skip(1).map(|line| line.split("    #").next().unwrap()).collect();
    let threats = std::fs::read_to_string(root().join("docs/THREATS.md")).unwrap();
    let tried: Vec<String> = transcript(&threats).into_iter().map(|(command, _)| command).collect();
    assert_eq!(recipe.len(), 3);
    for line in [recipe[0], recipe[2]] {
        assert!(tried.iter().any(|command| command == line), "{line} is not tried out: {tried:?}");
    }
    assert!(recipe[1].starts_with("receipt exec ") && tried.iter().any(|command| command.starts_with("receipt exec ")));
}

fn check_transcripts(document: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut text = std::fs::read_to_string(root().join(document)).unwrap();
    let steps = transcript(&text);
    assert!(steps.len() >= 5, "{document} has lost its transcripts: {steps:?}");
    let (mut wrong, mut at) = (Vec::new(), 0);
    for (command, printed) in steps {
        let got = run(&command, folder.path());
        let step = format!("$ {command}\n");
        at += text[at..].find(&step).unwrap() + step.len();
        if steady(&got) != steady(&printed) {
            wrong.push(format!("{step}{got}"));
            text.replace_range(at..at + printed.len(), &got);
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(document), text).unwrap();
    } else {
        assert!(wrong.is_empty(), "{document} shows something else; UPDATE=1 mends it:\n{}", wrong.join("\n"));
    }
}

#[test]
fn a_transcript_that_is_not_true_is_noticed() {
    assert_ne!(steady("PASS    content"), steady("FAIL    content"));
    assert_ne!(steady("  NON_ZERO_EXIT: status 1"), steady("  ZERO_EXIT: status 1"));
    assert_eq!(steady("+3ms  5891b5b522d5 2026-11-23 23:23:04"), steady("+41ms 1111111111aa 2027-01-01 00:00:00"));
}

#[test]
fn it_shows_a_verify_that_passes_and_one_that_fails() {
    let steps = transcript(&readme());
    let verified = steps.iter().filter(|(command, _)| command == "receipt verify");
    let printed: Vec<&str> = verified.map(|(_, printed)| printed.as_str()).collect();
    assert!(printed.iter().any(|text| text.starts_with("INTACT ")), "{printed:?}");
    assert!(printed.iter().any(|text| text.contains("EVENT_HASH_MISMATCH")), "{printed:?}");
}

#[test]
fn its_two_commands_are_there_and_ci_runs_the_second_one_and_nothing_else() {
    let text = readme();
    assert!(text.contains("cargo run --release --bin receipt -- exec -- "), "the first command");
    assert!(text.contains("\nmake test\n"), "the second command");
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let work: Vec<&str> = ci.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(work, ["set -eu", "cd \"$(dirname \"$0\")/..\"", "make test"]);
}

#[test]
fn each_verb_that_it_names_is_one_and_each_verb_is_named() {
    let help = run("receipt --help", Path::new("."));
    let text = readme();
    let table = text.split("## The verbs").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let first_cells = table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    let named: Vec<&str> =
        first_cells.flat_map(|cell| cell.split(',')).map(|verb| verb.trim().trim_matches('`')).collect();
    assert_eq!(named.len(), 34, "{named:?}");
    for verb in &named {
        assert!(help.contains(&format!("\n  {verb} ")), "receipt has no verb {verb}\n{help}");
    }
    let is_verb = |line: &&str| line.starts_with("  ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_lowercase);
    let verbs = help.lines().filter(is_verb).filter_map(|line| line.split_whitespace().next());
    for verb in verbs.filter(|verb| *verb != "receipt") {
        assert!(named.contains(&verb), "the README does not name {verb}");
    }
}
