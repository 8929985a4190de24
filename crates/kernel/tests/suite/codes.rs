//! The table of reason codes names every code in the sources, and no other; docs/CODES.md is made from it.

use receipt_kernel::Check;
use receipt_kernel::core::code::{ALL, Code, GROUPS, reference};
use receipt_kernel::core::invariant::IDS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Words in capitals that are no reason codes: types of events, and variables of the environment.
const OTHERS: [&str; 13] = [
    "BLOB_EXPIRE",
    "CARGO_PKG_VERSION",
    "EVIDENCE_PUT",
    "GIT_DIR",
    "RECEIPT_LEDGER",
    "RECEIPT_PASSPHRASE_FILE",
    "RECEIPT_RULES",
    "RECEIPT_SAFE_LEDGER",
    "RUN_FINALIZE",
    "RUN_START",
    "STAGE_ADVANCE",
    "SUDO_UID",
    "XDG_STATE_HOME",
];

/// The folder that holds the crates.
const CRATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("core/src/code.rs") {
            files.push(path);
        }
    }
}

/// A word in capitals between quotes, with the text before it.
struct Word<'t> {
    word: &'t str,
    before: &'t str,
}

impl Word<'_> {
    /// Whether it stands where a reason's code does: `Reason::new("…"`, or after a verdict.
    fn is_in_a_reason(&self) -> bool {
        let before = self.before.trim_end();
        let verdict = before.strip_suffix(',').and_then(|text| text.rsplit_once("Verdict::"));
        before.ends_with("Reason::new(") || verdict.is_some_and(|(_, word)| word.chars().all(char::is_alphabetic))
    }

    /// The check or the area that is named beside it: `Check::Key, Verdict::Fail, Reason::new("…"`.
    fn check(&self) -> Option<String> {
        let before = self.before.trim_end();
        let before = before.strip_suffix("Reason::new(").unwrap_or(before).trim_end().strip_suffix(',')?;
        let before = match before.rsplit_once("Verdict::") {
            Some((text, word)) if word.chars().all(char::is_alphabetic) => text.trim_end().strip_suffix(',')?,
            _ => before,
        };
        let (kind, name) = before.rsplit_once("::")?;
        let named = kind.ends_with("Check") || kind.ends_with("Area");
        (named && name.chars().all(char::is_alphabetic)).then(|| name.to_lowercase())
    }

    fn is_code(&self) -> bool {
        self.is_in_a_reason() || (self.word.contains('_') && !OTHERS.contains(&self.word))
    }
}

/// The words in capitals between quotes of a source.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.match_indices('"').filter_map(|(start, _)| {
        let (word, _) = text[start + 1..].split_once('"')?;
        let letters = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
        let is_word = word.len() > 1 && word.starts_with(|letter: char| letter.is_ascii_uppercase());
        (is_word && word.chars().all(letters)).then(|| Word { word, before: &text[..start] })
    })
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for name in ["core", "kernel", "cli"] {
        sources(&Path::new(CRATES).join(name).join("src"), &mut files);
    }
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn find(word: &str) -> Option<&'static Code> {
    ALL.iter().find(|code| code.name == word)
}

#[test]
fn the_search_knows_a_code_where_it_sees_one() {
    let seen = |text: &'static str| {
        let word = words(text).next().unwrap();
        (word.is_code(), word.check())
    };
    assert_eq!(seen(r#"found.find(Check::Key, Verdict::Fail, "FORK", msg)"#), (true, Some("key".to_owned())));
    assert_eq!(
        seen("self.find(\n    Check::Path,\n    Verdict::Warn,\n    Reason::new(\n        \"NEW_CODE\", msg))"),
        (true, Some("path".to_owned()))
    );
    assert_eq!(seen(r#"self.find(Area::Content, "SEQ_GAP", msg)"#), (true, Some("content".to_owned())));
    assert_eq!(seen(r#"let code = "NEW_CODE";"#), (true, None));
    assert_eq!(seen(r#"env = "RECEIPT_LEDGER""#), (false, None));
    assert_eq!(seen(r#"value_name = "FILE""#), (false, None));
}

#[test]
fn every_code_of_the_sources_is_in_the_table_and_no_other() {
    let mut named = BTreeSet::new();
    let mut others: BTreeSet<&str> = BTreeSet::new();
    let texts = all_sources();
    for (path, text) in &texts {
        let id = text.split_once("pub const ID: &'static str = \"").and_then(|(_, rest)| rest.split('"').next());
        for word in words(text) {
            others.extend(OTHERS.iter().find(|other| **other == word.word));
            if !word.is_code() {
                continue;
            }
            let path = path.display();
            let code = find(word.word).unwrap_or_else(|| panic!("{path}: {} is not in code.rs", word.word));
            named.insert(code.name);
            let says = |area: &str| code.areas.split(", ").any(|said| said == area || said == "any check");
            if let Some(check) = word.check() {
                assert!(says(&check), "{path}: {} is given by {check}, which code.rs does not say", code.name);
            }
            if let Some(id) = id {
                let group = GROUPS.iter().any(|(name, members)| says(name) && is_member(id, members));
                assert!(says(id) || group, "{path}: {} is given by {id}, which code.rs does not say", code.name);
            }
        }
    }
    let unnamed: Vec<_> = ALL.iter().map(|code| code.name).filter(|name| !named.contains(name)).collect();
    assert!(unnamed.is_empty(), "no source names {unnamed:?}");
    assert_eq!(others.len(), OTHERS.len(), "no source names the others: {others:?}");
    assert!(texts.len() > 100 && named.len() > 100, "the control: {} codes in {} files", named.len(), texts.len());
}

/// Whether an invariant is in a group that lists its members so.
fn is_member(id: &str, members: &str) -> bool {
    let claims = GROUPS.iter().find(|(name, _)| *name == "claims").map_or("", |(_, members)| members);
    let has = |members: &str| members.contains(&format!("`{id}`"));
    has(members) || members.starts_with("every invariant") || (members.contains("`claims`") && has(claims))
}

#[test]
fn the_table_is_in_order_and_names_places_that_there_are() {
    assert!(ALL.is_sorted_by(|one, next| one.name < next.name), "by name, each once");
    let checks = Check::ALL.iter().chain(&Check::BUNDLE).map(|check| check.as_str());
    let places: BTreeSet<&str> =
        checks.chain(["gate"]).chain(IDS.iter().copied()).chain(GROUPS.iter().map(|(name, _)| *name)).collect();
    for code in ALL {
        for area in code.areas.split(", ") {
            assert!(places.contains(area), "{}: there is no {area:?}", code.name);
        }
        let is_line = code.meaning.ends_with('.') && !code.meaning.contains(['\n', '|']);
        assert!(is_line && code.meaning.starts_with(|letter: char| !letter.is_lowercase()), "{}", code.name);
    }
}

#[test]
fn the_document_is_current() {
    let path = Path::new(CRATES).join("../docs/CODES.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let is = std::fs::read_to_string(path).unwrap_or_default();
    assert!(is == reference(), "docs/CODES.md is not current: run this test with UPDATE=1");
}
