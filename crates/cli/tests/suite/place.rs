//! Where the ledger lies: what is no path is refused before anything runs, a path with a typo makes no ledger, and a ledger
//! of somebody else is not taken because it lies above.

use crate::common::Place;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

/// Everything in a folder, by name.
fn listed(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

const VERBS: [&[&str]; 6] =
    [&["exec", "--", "touch", "ran"], &["init"], &["start", "r"], &["runs"], &["verify"], &["import", "a.receipt"]];

#[test]
fn the_address_of_a_database_is_refused_before_anything_runs_and_its_password_is_not_shown() {
    let place = Place::new();
    place.file("a.receipt", b"");
    let names = [
        "",
        ":memory:",
        "file:x.db",
        "file:x.db?mode=memory",
        "postgres://ada:secret@localhost/ledger",
        "https://ada:secret@host",
        "secret:secret@host/x",
        "x.db?mode=rwc&key=secret",
    ];
    for name in names {
        for verb in VERBS {
            let by_flag = place.run(&[&["--ledger", name], verb].concat());
            let by_variable = place.command(verb).env("RECEIPT_LEDGER", name).output().unwrap();
            for output in [by_flag, by_variable] {
                assert_eq!(output.status.code(), Some(2), "{name:?} {verb:?}: {output:?}");
                let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                assert!(!told.contains("secret") && !told.contains("ada"), "{told}");
            }
            assert_eq!(listed(place.path()), ["a.receipt"], "{name:?} {verb:?}");
        }
    }
    assert_eq!(place.error(2, &["--ledger", ":memory:", "runs"]), "invalid_input");
    // The control: with ./ it is a path like any other.
    place.ok(&["--ledger", "./a:b.db", "init"]);
    place.ok(&["--ledger", "./a:b.db", "exec", "--", "true"]);
}

#[test]
fn a_path_that_was_named_and_is_not_there_makes_nothing_but_for_init() {
    let place = Place::new();
    place.file("file", b"text");
    place.file("a.receipt", b"");
    for name in ["typo.db", "new/folder/typo.db", "file/ledger.db", "."] {
        for verb in VERBS.iter().filter(|verb| verb[0] != "init") {
            let output = place.run(&[&["--ledger", name], *verb].concat());
            assert_eq!(output.status.code(), Some(4), "{name} {verb:?}: {output:?}");
            let by_variable = place.command(verb).env("RECEIPT_LEDGER", name).output().unwrap();
            assert_eq!(by_variable.status.code(), Some(4), "{name} {verb:?}");
            assert_eq!(listed(place.path()), ["a.receipt", "file"], "{name} {verb:?}");
        }
    }
    assert_eq!(place.error(4, &["--ledger", "typo.db", "start", "r"]), "ledger_not_found");
    symlink("nowhere.db", place.path().join("link.db")).unwrap();
    place.gives(4, &["--ledger", "link.db", "exec", "--", "touch", "ran"]);
    assert_eq!(listed(place.path()), ["a.receipt", "file", "link.db"]);
    // The controls: init makes one where it is told to, and exec in this folder.
    place.ok(&["--ledger", "made.db", "init"]);
    place.ok(&["--ledger", "made.db", "exec", "--", "touch", "ran"]);
    place.ok(&["exec", "--", "true"]);
    assert_eq!(listed(place.path()), [".receipt", "a.receipt", "file", "link.db", "made.db", "ran"]);
}

/// Gives a path to another user, if this one may.
fn give_away(path: &Path) -> bool {
    let other = fs::metadata(path).unwrap().uid() + 1;
    let given = std::os::unix::fs::lchown(path, Some(other), None).is_ok();
    if !given {
        println!("SKIPPED: only root gives files away");
    }
    given
}

fn take_back(path: &Path, owner: u32) {
    std::os::unix::fs::lchown(path, Some(owner), None).unwrap();
}

#[test]
fn the_ledger_of_somebody_else_is_not_taken_because_it_lies_above() {
    let place = Place::with_ledger();
    let (folder, ledger) = (place.path().join(".receipt"), place.ledger_path());
    let us = fs::metadata(&ledger).unwrap().uid();
    let below = place.path().join("below");
    fs::create_dir(&below).unwrap();
    let in_below = |args: &[&str], safe: &str| {
        place.command(args).current_dir(&below).env("RECEIPT_SAFE_LEDGER", safe).output().unwrap()
    };
    let verbs: [&[&str]; 4] = [&["exec", "--", "touch", "ran"], &["start", "r"], &["runs"], &["verify", "--no-pin"]];
    for verb in [verbs[0], verbs[2]] {
        assert!(in_below(verb, "").status.success(), "the control: {verb:?}");
    }
    fs::remove_file(below.join("ran")).unwrap();
    fs::write(place.path().join(".receipt/ledger.db-journal"), b"").unwrap();
    for part in [folder.clone(), ledger.clone(), place.path().join(".receipt/ledger.db-journal")] {
        if !give_away(&part) {
            return;
        }
        for verb in verbs {
            let output = in_below(verb, "");
            assert_eq!(output.status.code(), Some(4), "{part:?} {verb:?}: {output:?}");
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.contains("--ledger") && told.contains("RECEIPT_SAFE_LEDGER"), "{told}");
        }
        // In this folder as well as above it.
        assert_eq!(place.error(4, &["runs"]), "foreign_ledger");
        let other = format!("/nowhere.db:{}", below.display());
        assert_eq!(in_below(verbs[2], &other).status.code(), Some(4), "another is listed");
        assert!(!below.join("ran").exists());
        // It can be allowed, this once or for good.
        let named = ledger.to_str().unwrap();
        assert!(in_below(&["--ledger", named, "runs"], "").status.success());
        assert!(in_below(verbs[2], &format!("/nowhere.db:{named}")).status.success());
        // As root the caller of sudo counts as well.
        let caller = fs::symlink_metadata(&part).unwrap().uid().to_string();
        let sudo = place.command(&["runs"]).env("SUDO_UID", &caller).output().unwrap();
        assert!(sudo.status.success(), "{sudo:?}");
        take_back(&part, us);
    }
    assert!(in_below(verbs[2], "").status.success(), "the control");
}

#[test]
fn no_ledger_is_made_in_a_folder_of_somebody_else() {
    let place = Place::new();
    let folder = place.path().join(".receipt");
    fs::create_dir(&folder).unwrap();
    if !give_away(&folder) {
        return;
    }
    for verb in [&["init"][..], &["exec", "--", "touch", "ran"]] {
        let output = place.run(verb);
        assert_eq!(output.status.code(), Some(4), "{verb:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("belongs to another user"), "{output:?}");
    }
    assert_eq!((listed(&folder), listed(place.path())), (vec![], vec![".receipt".to_owned()]));
    // Nor if a link of theirs stands in its place.
    fs::remove_dir(&folder).unwrap();
    fs::create_dir(place.path().join("mine")).unwrap();
    symlink("mine", &folder).unwrap();
    assert!(give_away(&folder));
    assert_eq!(place.error(4, &["init"]), "foreign_ledger");
    let us = fs::metadata(place.path()).unwrap().uid();
    take_back(&folder, us);
    chown(place.path().join("mine"), Some(us), None).unwrap();
    place.ok(&["init"]);
}
