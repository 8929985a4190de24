//! The pin: what was verified once is missed the next time, whoever verifies at the same time, whatever the ledger's path
//! has become, and however the file of pins lies there.

use crate::common::Place;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A ledger of two runs that was verified, and a copy of it from before the second in `old/ledger.db`.
fn pinned() -> Place {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    fs::create_dir(place.path().join("old")).unwrap();
    place.ok(&["backup", "old/ledger.db"]);
    place.ok(&["exec", "--run", "two", "--", "true"]);
    place.ok(&["verify"]);
    place
}

fn pins(place: &Place) -> PathBuf {
    place.path().join("receipt/pins")
}

/// The sizes of all pins.
fn sizes(place: &Place) -> Vec<u64> {
    let listed = place.json(0, &["pin", "list"]);
    listed["pins"].as_array().unwrap().iter().map(|pin| pin["size"].as_u64().unwrap()).collect()
}

/// The verify that must fail as the pin fired, and say so.
fn fires(place: &Place, args: &[&str]) {
    let text = place.gives(1, args);
    assert!(text.contains("LOG_SHORTER") && text.contains("the pin fired: since 20"), "{text}");
    assert!(text.contains("receipt pin forget "), "{text}");
    let report = place.json(1, args);
    assert!(report["pins"].as_array().unwrap().iter().any(|pin| pin["fired"] == true), "{report}");
}

#[test]
fn a_pin_that_fires_says_since_when_and_how_to_forget_it() {
    let place = pinned();
    assert_eq!(place.json(0, &["verify"])["pins"][0]["fired"], false, "the control");
    fs::copy(place.path().join("old/ledger.db"), place.path().join(".receipt/ledger.db")).unwrap();
    fires(&place, &["verify"]);
    let report = place.json(1, &["verify"]);
    let forget = report["pins"][0]["forget"].as_str().unwrap();
    let words: Vec<&str> = forget.split(' ').skip(1).collect();
    place.ok(&words);
    assert_eq!(sizes(&place), Vec::<u64>::new());
    place.ok(&["verify"]);
}

#[test]
fn a_link_in_the_place_of_the_ledger_is_no_ledger_never_seen() {
    let place = pinned();
    fs::rename(place.path().join(".receipt/ledger.db"), place.path().join("away.db")).unwrap();
    symlink(place.path().join("old/ledger.db"), place.path().join(".receipt/ledger.db")).unwrap();
    fires(&place, &["verify"]);
    fires(&place, &["verify", "--ledger", ".receipt/../.receipt/ledger.db"]);
    // By the path that it leads to nothing is known yet, and the control passes.
    place.ok(&["verify", "--ledger", "old/ledger.db"]);
    // Now both names are pinned, each with what it had: the larger one still speaks.
    fires(&place, &["verify"]);
}

#[test]
fn a_link_in_the_place_of_the_ledgers_folder_is_no_ledger_never_seen() {
    let place = pinned();
    fs::rename(place.path().join(".receipt"), place.path().join("away")).unwrap();
    symlink("old", place.path().join(".receipt")).unwrap();
    fires(&place, &["verify"]);
}

#[test]
fn a_link_in_the_place_of_the_current_folder_is_no_ledger_never_seen() {
    let place = Place::new();
    let (work, forged) = (place.path().join("work"), place.path().join("forged"));
    let receipt = |args: &[&str], folder: &Path| {
        fs::create_dir_all(folder).unwrap();
        place.command(args).current_dir(folder).env("PWD", folder).output().unwrap()
    };
    let status = |args: &[&str], folder: &Path| receipt(args, folder).status.code();
    assert_eq!(status(&["exec", "--run", "one", "--", "true"], &work), Some(0));
    assert_eq!(status(&["exec", "--run", "two", "--", "true"], &work), Some(0));
    assert_eq!(status(&["verify"], &work), Some(0));
    assert_eq!(status(&["exec", "--run", "one", "--", "true"], &forged), Some(0));
    fs::rename(&work, place.path().join("away")).unwrap();
    symlink(&forged, &work).unwrap();
    assert_eq!(status(&["verify"], &work), Some(1));
    assert_eq!(status(&["verify"], &forged), Some(0), "the control: by that name it was never seen");
}

#[test]
fn a_ledger_that_is_named_by_a_link_is_pinned_by_both_names() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    symlink(".receipt/ledger.db", place.path().join("link.db")).unwrap();
    place.ok(&["verify", "--ledger", "link.db"]);
    let listed = place.json(0, &["pin", "list"]);
    let names: Vec<&str> =
        listed["pins"].as_array().unwrap().iter().map(|pin| pin["ledger"].as_str().unwrap()).collect();
    assert!(
        names.len() == 2 && names[0].ends_with("/link.db") && names[1].ends_with("/.receipt/ledger.db"),
        "{names:?}"
    );
}

#[test]
fn a_pin_of_before_dates_were_kept_is_held_to() {
    let place = pinned();
    let text = fs::read_to_string(pins(&place)).unwrap();
    let words: Vec<&str> = text.trim_end().splitn(5, ' ').collect();
    fs::write(pins(&place), format!("{} {} {} {}\n", words[0], words[1], words[2], words[4])).unwrap();
    place.ok(&["verify"]);
    fs::copy(place.path().join("old/ledger.db"), place.path().join(".receipt/ledger.db")).unwrap();
    assert!(place.gives(1, &["verify"]).contains("since an unknown day"));
}

/// Takes the lock of the file of pins, as another verify does.
fn locked(place: &Place) -> File {
    fs::create_dir_all(place.path().join("receipt")).unwrap();
    let lock = File::create(place.path().join("receipt/pins.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// A verify that has come to the lock, if the machine is not very slow.
fn waiting(place: &Place, ledger: &str) -> Child {
    let mut command = place.command(&["verify", "--json", "--ledger", ledger]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for the lock");
    child
}

fn ended(child: Child) -> Value {
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn verifies_that_overlap_lose_no_pin() {
    let place = Place::new();
    let ledgers: Vec<String> = (0..3).map(|number| format!("{number}.db")).collect();
    for ledger in &ledgers {
        place.ok(&["init", "--ledger", ledger]);
        place.ok(&["exec", "--ledger", ledger, "--", "true"]);
    }
    let lock = locked(&place);
    let children: Vec<Child> = ledgers.iter().map(|ledger| waiting(&place, ledger)).collect();
    drop(lock);
    for child in children {
        assert_eq!(ended(child)["overall_verdict"], "pass");
    }
    assert_eq!(sizes(&place).len(), 3);
}

#[test]
fn a_verify_of_an_older_state_that_ends_later_lowers_no_pin() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    let lock = locked(&place);
    let older = waiting(&place, ".receipt/ledger.db");
    place.ok(&["exec", "--run", "two", "--", "true"]);
    // What a verify of the newer state pins, in the place where the older one is about to write.
    let elsewhere = place.path().join("elsewhere");
    let newer = place.command(&["verify"]).env("XDG_STATE_HOME", &elsewhere).output().unwrap();
    assert!(newer.status.success(), "{newer:?}");
    fs::copy(elsewhere.join("receipt/pins"), pins(&place)).unwrap();
    let size = sizes(&place);
    drop(lock);
    assert_eq!(ended(older)["overall_verdict"], "pass");
    assert_eq!(sizes(&place), size);
    assert_eq!(size.len(), 1);
}

#[test]
fn a_pin_moves_only_to_what_was_held_against_it() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    let lock = locked(&place);
    let verify = waiting(&place, ".receipt/ledger.db");
    // Another verify has meanwhile pinned another history, of fewer events.
    let path = place.path().join(".receipt/ledger.db");
    let line = format!("3 {} - 2026-01-01T00:00:00+00:00 {}\n", "ab".repeat(32), path.display());
    fs::write(pins(&place), &line).unwrap();
    drop(lock);
    let report = ended(verify);
    assert_eq!(report["overall_verdict"], "fail", "{report}");
    assert_eq!(fs::read_to_string(pins(&place)).unwrap(), line);
}

/// A verify that gives its verdict and a warning, in text and in JSON.
fn warns(place: &Place, about: &str) {
    let output = place.run(&["verify"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("warning:") && told.contains(about), "{about}: {told}");
    let report = place.json(0, &["verify"]);
    assert_eq!(report["overall_verdict"], "pass");
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning.as_str().unwrap().contains(about)), "{about}: {warnings:?}");
}

#[test]
fn a_file_of_pins_that_is_a_link_is_followed_and_stays_one() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    fs::create_dir_all(place.path().join("receipt")).unwrap();
    symlink("../kept", pins(&place)).unwrap();
    // It leads nowhere yet: nothing is made there.
    warns(&place, "pins");
    assert!(pins(&place).is_symlink() && !place.path().join("kept").exists());
    place.file("kept", b"");
    place.ok(&["verify"]);
    assert!(pins(&place).is_symlink());
    assert_eq!(sizes(&place).len(), 1);
    assert!(!fs::read(place.path().join("kept")).unwrap().is_empty());
    place.ok(&["pin", "forget", ".receipt/ledger.db"]);
    assert!(pins(&place).is_symlink() && fs::read(place.path().join("kept")).unwrap().is_empty());
}

#[test]
fn a_file_of_pins_that_cannot_be_read_or_written_stops_no_verify() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    place.ok(&["verify"]);
    assert_eq!(place.json(0, &["verify"])["warnings"].as_array().unwrap().len(), 0, "the control");
    // A line that is no pin is kept as it is, and hides no other.
    let whole = fs::read(pins(&place)).unwrap();
    fs::write(pins(&place), [b"36 nonsense\n\xff\xfe\n", whole.as_slice()].concat()).unwrap();
    warns(&place, "line 1 is no pin");
    place.ok(&["exec", "--run", "two", "--", "true"]);
    warns(&place, "line 2 is no pin");
    assert!(fs::read(pins(&place)).unwrap().starts_with(b"36 nonsense\n\xff\xfe\n"));
    assert_eq!(sizes(&place).len(), 1);
    // Not what a file of pins is.
    let replace = |make: &dyn Fn(&Path)| {
        let path = pins(&place);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        make(&path);
    };
    replace(&|path| fs::create_dir(path).unwrap());
    warns(&place, "could not be pinned");
    replace(&|path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    });
    warns(&place, "no plain file");
    replace(&|path| symlink("/dev/zero", path).unwrap());
    warns(&place, "no plain file");
    replace(&|path| File::create(path).unwrap().set_len(5 << 20).unwrap());
    warns(&place, "over the limit");
    // No folder to write into.
    fs::remove_dir_all(place.path().join("receipt")).unwrap();
    place.file("receipt", b"");
    warns(&place, "could not be pinned");
}

#[test]
fn a_folder_that_cannot_be_written_stops_no_verify() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    let folder = place.path().join("receipt");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    if File::create(folder.join("probe")).is_ok() {
        println!("SKIPPED: root writes into any folder");
        return;
    }
    warns(&place, "could not be pinned");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
}
