//! How runs are named: by a beginning to be read, by the whole id to be decided upon, written or exported.

use crate::common::Place;

/// A ledger with `build-10`, finalized and with a checkpoint, and the open run `open-70`.
fn place() -> Place {
    let place = Place::with_ledger();
    place.whole_run("build-10");
    place.ok(&["keygen", "example.com/ci", "ledger.key"]);
    place.ok(&["checkpoint", "--key", "ledger.key"]);
    place.ok(&["start", "open-70"]);
    place
}

/// The message of the error that must come, of the kind `run_not_found`.
fn refused(place: &Place, args: &[&str]) -> String {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let error: serde_json::Value = serde_json::from_str(&place.gives(2, &args)).unwrap();
    assert_eq!(error["error"]["kind"], "run_not_found", "{args:?}: {error}");
    error["error"]["msg"].as_str().unwrap().to_owned()
}

#[test]
fn the_beginning_of_an_id_decides_writes_and_exports_nothing() {
    let place = place();
    let before = place.json(0, &["runs"]);
    let cases: [(&str, &[&str]); 15] = [
        ("build-10", &["verify", "build-1"]),
        ("build-10", &["verify", "open-70", "build-1"]),
        ("build-10", &["replay", "build-1"]),
        ("build-10", &["export", "build-1", "-o", "out.receipt"]),
        ("build-10", &["prove", "build-1"]),
        ("build-10", &["prove", "build-1/3"]),
        ("build-10", &["scan", "build-1"]),
        ("build-10", &["evaluate", "build-1"]),
        ("build-10", &["retain", "hold", "build-1", "why"]),
        ("open-70", &["advance", "open-7", "COLLECT"]),
        ("open-70", &["put", "open-7", "log", "log.txt"]),
        ("open-70", &["append", "open-7", "DECISION"]),
        ("open-70", &["decide", "open-7"]),
        ("open-70", &["finalize", "open-7"]),
        ("open-70", &["recover", "open-7"]),
    ];
    for (whole, args) in cases {
        let msg = refused(&place, args);
        assert!(msg.contains(whole), "{args:?} does not propose the whole id: {msg}");
    }
    refused(&place, &["append", "open-70", "DECISION", "--ref", "build-1/3"]);
    assert_eq!(place.json(0, &["runs"]), before, "something was written");
    assert!(!place.path().join("out.receipt").exists());
    // The control: the whole id is taken by each.
    place.ok(&["retain", "set", "--public", "30d"]);
    for (whole, args) in cases {
        let beginning = &whole[..whole.len() - 1];
        let named =
            |word: &&str| if *word == beginning { whole.to_owned() } else { word.replace("build-1/", "build-10/") };
        let args: Vec<String> = args.iter().map(named).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let status = place.run(&args).status.code();
        assert!(status == Some(0) || (args[0] == "finalize" && status == Some(3)) || args[0] == "recover", "{args:?}");
    }
}

#[test]
fn the_beginning_of_an_id_is_enough_to_read_and_the_answer_names_the_run() {
    let place = place();
    assert!(place.ok(&["log", "build"]).starts_with("build-10"));
    assert!(place.ok(&["log", "build", "--json"]).contains(r#""run_id":"build-10""#));
    assert!(place.ok(&["show", "build/3"]).contains("\"build-10\""));
    let cat = place.run(&["cat", "build", "log"]);
    assert_eq!(String::from_utf8_lossy(&cat.stdout), "all 12 tests passed\n");
    assert!(String::from_utf8_lossy(&cat.stderr).contains("build is run build-10"), "{cat:?}");
    assert_eq!(place.json(0, &["cat", "build", "log"])["run_id"], "build-10");
    // A variable that was not set names nothing, though every id begins with it.
    let alone = Place::with_ledger();
    alone.ok(&["start", "only"]);
    refused(&alone, &["log", ""]);
    refused(&alone, &["verify", ""]);
}

#[test]
fn verify_names_the_runs_that_it_is_of() {
    let place = place();
    let first = |args: &[&str]| place.ok(args).lines().next().unwrap().to_owned();
    assert!(first(&["verify", "build-10"]).starts_with("INTACT   run build-10 ("));
    assert!(first(&["verify", "build-10", "@last"]).ends_with(": build-10, open-70"));
    assert_eq!(place.json(0, &["verify", "@last"])["run_ids"][0], "open-70");
    assert!(place.json(0, &["verify"]).get("run_ids").is_none());
}

#[test]
fn last_is_a_word_even_if_a_run_is_called_so() {
    let place = Place::with_ledger();
    place.ok(&["start", "a"]);
    place.ok(&["start", "b"]);
    // A run of that name can only come from elsewhere; its row is enough to be found.
    place.tamper(
        "INSERT INTO runs (run_id, policy_id, policy_version, stage_graph_id, created_at, meta_json)
         SELECT '@last', policy_id, policy_version, stage_graph_id, created_at, meta_json FROM runs WHERE run_id = 'a'",
    );
    assert_eq!(place.json(0, &["log", "@last"])["run_id"], "b");
    assert_eq!(place.json(0, &["advance", "@last", "COLLECT"])["run_id"], "b");
    assert_eq!(place.json(0, &["log", "run://@last"])["run_id"], "@last");
}

#[test]
fn what_is_both_a_run_and_a_bundle_is_neither() {
    let place = place();
    place.ok(&["export", "build-10", "-o", "bundle"]);
    for name in ["both.receipt", "both.receipt.jsonl", "both"] {
        let file = place.path().join(name);
        std::fs::copy(place.path().join("bundle"), &file).unwrap();
        place.ok(&["verify", name]);
        place.ok(&["start", name]);
        for verb in ["verify", "replay"] {
            assert_eq!(place.error(2, &[verb, name]), "run_ambiguous");
            place.ok(&[verb, &format!("./{name}")]);
            place.run(&[verb, &format!("run://{name}")]);
        }
        assert_eq!(place.json(0, &["verify", &format!("run://{name}")])["run_ids"][0], name);
        std::fs::remove_file(file).unwrap();
        assert_eq!(place.json(0, &["verify", name])["run_ids"][0], name);
    }
    // A file that is no bundle hides no run; that there is one is said.
    place.file("open-70", b"text");
    let output = place.run(&["verify", "open-70"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("./open-70"), "{output:?}");
}

#[test]
fn what_is_both_a_run_and_an_event_is_neither() {
    let place = place();
    place.ok(&["start", "build-10/3"]);
    for verb in ["show", "prove"] {
        assert_eq!(place.error(2, &[verb, "build-10/3"]), "run_ambiguous");
    }
    place.ok(&["prove", "event://build-10/3"]);
    assert!(place.ok(&["show", "run://build-10/3"]).contains("RUN_START"));
    assert!(place.ok(&["show", "event://build-10/3"]).contains("EVIDENCE_PUT"));
}

#[test]
fn bytes_are_removed_by_their_whole_address_only() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    place.file("off.toml", b"off = [\"github_token\"]\n");
    place.file("log", format!("token gh{}_{}\n", "p", "a1B2c3D4e5F6g7H8i9".repeat(2)).as_bytes());
    let hash = place.json(0, &["put", "r", "log", "log"])["sha256"].as_str().unwrap().to_owned();
    let output = place.run(&["redact", &hash[..12]]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&hash), "{output:?}");
}
