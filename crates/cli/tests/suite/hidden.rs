//! Names that a person does not see, or takes for others.

use crate::common::Place;

/// One of each kind: fillers, joiners, selectors, marks of direction, tags, blanks, and look-alikes.
const HIDDEN: [char; 26] = [
    '\u{a0}',
    '\u{ad}',
    '\u{34f}',
    '\u{61c}',
    '\u{115f}',
    '\u{17b4}',
    '\u{180e}',
    '\u{200b}',
    '\u{200d}',
    '\u{202e}',
    '\u{2060}',
    '\u{2066}',
    '\u{2800}',
    '\u{3000}',
    '\u{3164}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{ffa0}',
    '\u{fff9}',
    '\u{1bca0}',
    '\u{1d173}',
    '\u{e0001}',
    '\u{e0041}',
    '\u{e01ef}',
    '\u{7f}',
    '\u{85}',
];

#[test]
fn no_new_run_has_a_name_that_is_not_seen_as_it_is() {
    let place = Place::with_ledger();
    for hidden in HIDDEN.into_iter().chain(['\u{2044}', '\u{2215}', '\u{ff0f}', '\u{ff20}', '\u{ff1a}']) {
        for id in [format!("build{hidden}1"), format!("build-1{hidden}"), format!("{hidden}build-1")] {
            assert_eq!(place.error(2, &["start", &id]), "invalid_input", "{id:?}");
            assert_eq!(place.run(&["exec", "--run", &id, "--", "true"]).status.code(), Some(2), "{id:?}");
        }
    }
    assert_eq!(place.error(2, &["start", "run://x"]), "invalid_input");
    // The controls: other scripts, accents and signs are as good as any.
    for id in ["сборка-1", "ビルド-1", "bâtiment 1", "e\u{301}", "build/1:2@3", "🚀"] {
        place.ok(&["start", id]);
    }
}

#[test]
fn names_that_are_there_already_are_shown_escaped() {
    for hidden in HIDDEN {
        let place = Place::with_ledger();
        place.ok(&["start", "build-1"]);
        // As it came from elsewhere.
        place.tamper(&format!("PRAGMA foreign_keys = OFF; UPDATE runs SET run_id = 'build{hidden}-1'"));
        for args in [&["runs"][..], &["verify"], &["log", "build"]] {
            let output = place.run(args);
            let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!told.contains(hidden), "{args:?}: {told:?}");
            let escaped = format!("\\u{{{:x}}}", u32::from(hidden));
            assert!(args != ["runs"] || told.contains(&escaped), "{told:?}");
        }
    }
}

#[test]
fn a_run_whose_id_is_no_text_is_listed() {
    let place = Place::with_ledger();
    place.ok(&["start", "build-1"]);
    assert_eq!(place.json(0, &["runs"])["runs"].as_array().unwrap().len(), 1, "the control");
    place.tamper(
        "INSERT INTO runs SELECT CAST(X'6275696c642d31ff' AS TEXT), policy_id, policy_version, stage_graph_id, created_at,
         meta_json FROM runs",
    );
    let table = place.ok(&["runs"]);
    assert!(table.contains(r"build-1\xff") && table.contains("TAMPERED"), "{table}");
    let listed = place.json(0, &["runs"]);
    let unnamed = listed["runs"].as_array().unwrap().iter().find(|run| run["run_id"].is_null()).unwrap();
    assert_eq!((&unnamed["shown_as"], &unnamed["overall_verdict"]), (&r"build-1\xff".into(), &"fail".into()));
}

#[test]
fn a_reason_to_hold_stays_on_its_line() {
    let place = Place::with_ledger();
    place.ok(&["start", "a"]);
    place.ok(&["retain", "set", "--public", "30d"]);
    for reason in ["one\nhold b  two", "one\rtwo", "one\u{1b}[2Ktwo", "\u{85}"] {
        assert_eq!(place.error(2, &["retain", "hold", "a", reason]), "invalid_input", "{reason:?}");
    }
    place.ok(&["retain", "hold", "a", "the auditors asked"]);
    // One that came in by another way does not look like a line of its own.
    place
        .tamper("UPDATE settings SET value = replace(value, 'auditors', 'one\\nhold b') WHERE value LIKE '%auditors%'");
    assert!(!place.ok(&["retain", "show"]).lines().any(|line| line.starts_with("hold b")));
}
