//! A bundle says all that there is to check of a run, and whatever is done to it, it does not verify. One act of each kind
//! is a file in `vectors/bundles`, see `hostile.rs`; here are those that are tried at every place, and what a bundle is for.

use crate::common::RECIPIENT;
use crate::forge::Bundle;
use receipt_core::bundle::{self, Proof};
use receipt_core::checkpoint::{Checkpoint, InclusionProof};
use receipt_core::id::NodeHash;
use receipt_core::id::Seq;
use receipt_core::merkle::{Frontier, Subtree, prove_inclusion};
use receipt_core::note::{KeyKind, Signing};
use receipt_kernel::bundle::{BundleReport, Export, Verify};
use receipt_kernel::{
    Actor, Append, BlobHash, Check, Error, EventType, EvidenceClass, Ledger, Object, Policy, Publish, Put, RunId,
    Verdict,
};
use std::collections::HashMap;
use std::convert::Infallible;

/// The checks that a bundle settles by itself.
const SETTLED: [Check; 7] =
    [Check::Format, Check::Content, Check::Columns, Check::Evidence, Check::Path, Check::Commitment, Check::Replay];

fn record(ledger: &Ledger, id: &str, class: EvidenceClass) {
    let meta = Object::from_iter([("branch", "caf\u{e9}")]);
    ledger.add_recipients([RECIPIENT]).unwrap();
    let mut run = ledger.start(id, Policy::structural().unwrap(), Actor::new("system", "test"), meta).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    run.put("log", format!("the log of {id}").as_bytes(), Put::text()).unwrap();
    run.put("again", format!("the log of {id}").as_bytes(), Put::text()).unwrap();
    run.put("empty", b"", Put::text()).unwrap();
    run.put("notes", format!("the notes of {id}").as_bytes(), Put::text().of_class(class)).unwrap();
    run.advance("EVALUATE", "collected").unwrap();
    assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Pass);
    run.advance("DECIDE", "evaluated").unwrap();
    run.decide("ship", &["it passed"], "release it").unwrap();
    assert_eq!(run.finalize("released").unwrap(), Verdict::Pass);
}

fn scene() -> Ledger {
    let ledger = Ledger::in_memory();
    record(&ledger, "a", EvidenceClass::Public);
    record(&ledger, "b", EvidenceClass::Sealed);
    ledger
}

fn export(ledger: &Ledger, export: &Export) -> Vec<u8> {
    let mut out = Vec::new();
    ledger.export(export, &mut out).unwrap();
    out
}

fn of(run: &str) -> Export {
    Export::of(RunId::new(run))
}

fn checked(verify: &Verify<'_>, bundle: &[u8]) -> BundleReport {
    verify.run(&mut &bundle[..]).unwrap()
}

fn verify(bundle: &[u8]) -> BundleReport {
    checked(&Verify::default(), bundle)
}

fn codes(report: &BundleReport, check: Check) -> Vec<String> {
    report.check(check).unwrap().reasons.iter().map(|reason| reason.code.to_string()).collect()
}

#[test]
fn a_sound_run_passes_every_check_that_a_bundle_settles() {
    let bundle = export(&scene(), &of("a"));
    let report = verify(&bundle);
    for check in SETTLED {
        assert_eq!(report.check(check).unwrap().verdict, Verdict::Pass, "{check}: {report:#?}");
    }
    assert_eq!(report.overall_verdict(), Verdict::Pass);
    assert_eq!((report.events, report.blobs), (12, 3));
    assert_eq!(report.recorded, Some(Verdict::Pass));
    assert_eq!(report.evaluations.len(), 1);
    for check in [Check::Log, Check::Tail, Check::Key] {
        let found = report.check(check).unwrap();
        assert_eq!((found.verdict, found.required), (Verdict::Unknown, false), "{check}");
    }
    assert_eq!(export(&scene_of(&bundle), &of("a")), bundle, "what was imported gives the same bundle");
}

fn scene_of(bundle: &[u8]) -> Ledger {
    let ledger = Ledger::in_memory();
    let imported = ledger.import(&Verify::default(), &mut &bundle[..]).unwrap();
    assert!(imported.new);
    assert_eq!(imported.report.overall_verdict(), Verdict::Pass);
    ledger
}

/// The lines of a bundle, each with its line feed.
fn lines(bundle: &[u8]) -> Vec<&[u8]> {
    bundle.split_inclusive(|byte| *byte == b'\n').collect()
}

fn assert_refused(bundle: &[u8], what: &str) {
    let verdict = verify(bundle).overall_verdict();
    assert_eq!(verdict, Verdict::Fail, "{what}");
}

#[test]
fn a_bundle_cut_anywhere_never_verifies() {
    let bundle = export(&scene(), &of("a"));
    assert_eq!(verify(&bundle).overall_verdict(), Verdict::Pass, "the control");
    for length in 0..bundle.len() {
        assert_refused(&bundle[..length], &format!("cut at {length}"));
    }
}

#[test]
fn a_bundle_with_any_bit_flipped_never_verifies() {
    let mut bundle = export(&scene(), &of("a"));
    for at in 0..bundle.len() {
        for bit in 0..8 {
            bundle[at] ^= 1 << bit;
            // In turn, whether it can be opened again or not.
            let asked = Verify::default();
            let report = checked(&asked, &bundle);
            assert_eq!(report.overall_verdict(), Verdict::Fail, "bit {bit} of byte {at}");
            bundle[at] ^= 1 << bit;
        }
    }
    assert_eq!(verify(&bundle).overall_verdict(), Verdict::Pass, "the control");
}

#[test]
fn a_bundle_with_lines_dropped_doubled_or_swapped_never_verifies() {
    let bundle = export(&scene(), &of("a"));
    let lines = lines(&bundle);
    for one in 0..lines.len() {
        let mut dropped = lines.clone();
        dropped.remove(one);
        assert_refused(&dropped.concat(), &format!("line {one} dropped"));
        let mut doubled = lines.clone();
        doubled.insert(one, lines[one]);
        assert_refused(&doubled.concat(), &format!("line {one} doubled"));
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            assert_refused(&swapped.concat(), &format!("lines {one} and {other} swapped"));
        }
    }
    assert_eq!(verify(&lines.concat()).overall_verdict(), Verdict::Pass, "the control");
}

#[test]
fn what_is_withheld_is_unknown_and_the_report_says_what_that_leaves_open() {
    let ledger = scene();
    let report = verify(&export(&ledger, &of("a").withhold("log")));
    assert_eq!(report.overall_verdict(), Verdict::Unknown);
    assert_eq!(report.check(Check::Evidence).unwrap().verdict, Verdict::Unknown);
    assert_eq!(codes(&report, Check::Evidence), ["EVIDENCE_WITHHELD"]);
    assert_eq!(report.absent.len(), 1);
    assert_eq!(report.absent[0].0.as_deref(), Some("log"));
    assert_eq!(report.check(Check::Replay).unwrap().verdict, Verdict::Unknown, "{report:#?}");
    assert!(!report.evaluations[0].unsettled.is_empty(), "{report:#?}");
    assert_eq!(report.check(Check::Content).unwrap().verdict, Verdict::Pass);
    let mut out = Vec::new();
    let error = ledger.export(&of("a").withhold("nothing of this name"), &mut out).unwrap_err();
    assert!(matches!(error, Error::KeyNotPut { .. }), "{error}");
}

#[test]
fn what_is_over_a_limit_of_the_format_is_refused() {
    let whole = export(&scene(), &of("a"));
    let behind = |bundle: &[u8]| bundle.iter().position(|byte| *byte == b'\n').unwrap();
    let header = |id: usize| {
        let id = "x".repeat(id);
        let line = format!(
            "{{\"events\":1,\"format\":\"receipt-bundle/1\",\"head\":\"sha256:{}\",\"proof\":null,\"run_id\":\"{id}\"}}",
            "0".repeat(64)
        );
        [line.as_bytes(), &whole[behind(&whole)..]].concat()
    };
    let line_one = |bundle: &[u8]| verify(bundle).check(Check::Format).unwrap().reasons[0].msg.starts_with("line 1:");
    assert!(line_one(&header(bundle::MAX_RUN_ID + 1)) && !line_one(&header(bundle::MAX_RUN_ID)), "a run id");
    let long = [&whole[..=behind(&whole)], &vec![b' '; bundle::MAX_LINE + 2]].concat();
    let report = verify(&long);
    assert!(report.checks[0].reasons[0].msg.contains("longer than"), "{report:?}");
    let blobs = |count: u64| verify(&replaced(&whole, "{\"blobs\":3}\n", &format!("{{\"blobs\":{count}}}\n")));
    assert!(blobs(bundle::MAX_BLOBS + 1).checks[0].reasons[0].msg.contains("more than"));
    assert!(!blobs(bundle::MAX_BLOBS).checks[0].reasons[0].msg.contains("more than"));
}

/// The bundle with a text in it replaced, and its trailer as it was.
fn replaced(bundle: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bundle.to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn a_bundle_holds_sealed_evidence_as_ciphertext_or_withholds_it() {
    let ledger = scene();
    let mut bundle = Vec::new();
    let exported = ledger.export(&of("b"), &mut bundle).unwrap();
    assert_eq!((exported.blobs, exported.withheld, exported.sealed), (3, 0, 1));
    let report = verify(&bundle);
    assert_eq!(report.overall_verdict(), Verdict::Pass, "anybody verifies it without a key: {report:#?}");
    assert_eq!((report.blobs, report.absent.len()), (3, 0));
    let text = String::from_utf8(bundle.clone()).unwrap();
    assert!(text.contains("\"evidence_class\":\"sealed\""));
    let pieces = || {
        text.lines()
            .filter_map(|line| data_encoding::BASE64.decode(line.strip_prefix('"')?.strip_suffix('"')?.as_bytes()).ok())
    };
    assert!(pieces().any(|piece| piece.starts_with(b"age-encryption.org/v1\n")));
    let clear = b"the notes of b";
    assert!(!pieces().any(|piece| piece.windows(clear.len()).any(|window| window == clear)));
    // It arrives as it left.
    let other = scene_of(&bundle);
    assert_eq!(other.audit().unwrap().overall_verdict(), Verdict::Pass);
    assert_eq!(export(&other, &of("b")), bundle);

    let exported = ledger.export(&of("b").withhold("notes"), &mut Vec::new()).unwrap();
    assert_eq!((exported.withheld, exported.sealed), (1, 0));
    let report = verify(&export(&ledger, &of("b").withhold("notes")));
    assert_eq!(codes(&report, Check::Evidence), ["EVIDENCE_WITHHELD"]);
    assert_eq!(report.overall_verdict(), Verdict::Unknown);
}

#[test]
fn evidence_of_class_sealed_that_nobody_encrypted_does_not_leave_its_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a", EvidenceClass::Public);
    // As the Python package leaves it, whatever the type says.
    let notes = BlobHash::of(b"the notes of a").to_string();
    let sql = "UPDATE blobs SET evidence_class = 'sealed' WHERE sha256 = ?1";
    assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(sql, [notes]).unwrap(), 1);
    let mut bundle = Vec::new();
    let exported = ledger.export(&of("a"), &mut bundle).unwrap();
    assert_eq!((exported.blobs, exported.withheld, exported.sealed), (3, 1, 0));
    let encoded = data_encoding::BASE64.encode(b"the notes of a");
    assert!(!String::from_utf8(bundle.clone()).unwrap().contains(&encoded));
    // This is what the first bundles had in the place of all sealed evidence.
    let report = verify(&bundle);
    assert_eq!(codes(&report, Check::Evidence), ["EVIDENCE_CLASS_UNPROVED", "EVIDENCE_SEALED"]);
    assert_eq!(report.overall_verdict(), Verdict::Unknown);
    assert_eq!(report.absent.len(), 1);
}

#[test]
fn a_run_that_is_not_there_is_not_exported() {
    let ledger = scene();
    let mut out = Vec::new();
    let error = ledger.export(&of("no such run"), &mut out).unwrap_err();
    assert!(matches!(error, Error::RunNotFound { .. }), "{error}");
    assert!(out.is_empty());
}

#[test]
fn an_import_is_idempotent_and_refuses_what_is_there_and_is_another() {
    let ledger = scene();
    let bundle = export(&ledger, &of("a"));
    let other = scene_of(&bundle);
    assert_eq!(other.audit().unwrap().overall_verdict(), Verdict::Pass);
    let again = other.import(&Verify::default(), &mut &bundle[..]).unwrap();
    assert!(!again.new);
    assert_eq!(other.audit().unwrap().events, 12 + 8, "the run, and the one that says that it was imported");

    let third = Ledger::in_memory();
    record(&third, "a", EvidenceClass::Public);
    let error = third.import(&Verify::default(), &mut &bundle[..]).unwrap_err();
    assert!(matches!(error, Error::ImportConflict { .. }), "{error}");

    let mut swapped = Bundle::read(&bundle);
    swapped.events.swap(3, 4);
    let empty = Ledger::in_memory();
    for bad in [export(&ledger, &of("b").withhold("notes")), swapped.write(), bundle[..500].to_vec()] {
        let refused = empty.import(&Verify::default(), &mut &bad[..]).unwrap();
        assert!(refused.report.overall_verdict().is_failure());
        assert_eq!(empty.audit().unwrap().runs, 0, "nothing of it is kept");
    }
}

#[test]
fn a_proof_in_a_bundle_is_worth_what_the_keys_are() {
    let ledger = scene();
    let mut hashes = Vec::new();
    for run in ["b", "a"] {
        ledger.events(run, &mut |event| hashes.push(event.hash)).unwrap();
    }
    let mut nodes: HashMap<Subtree, NodeHash> = HashMap::new();
    let mut log = Frontier::default();
    for hash in &hashes {
        assert!(log.push(hash, |at, node| {
            nodes.insert(at, node);
        }));
    }
    let (ours, theirs) = (signing("example.org/log", 1), signing("example.org/other", 2));
    let index = hashes.len() as u64 - 1;
    let path = prove_inclusion(index, log.head().size, |at| Ok::<_, Infallible>(nodes[&at])).unwrap().unwrap();
    let checkpoint = Checkpoint::new("example.org/log".parse().unwrap(), log.head()).sign(&[&ours]).unwrap();
    let text = InclusionProof { extra: None, index, path, checkpoint }.to_string();
    let seq = Seq::new(12).unwrap();
    let bundle = export(&ledger, &of("a").proof(Proof { seq, text: text.clone() }));

    let keyed = |bundle: &[u8], keys: &[&Signing]| {
        let keys: Vec<_> = keys.iter().map(|key| key.verifier().clone()).collect();
        checked(&Verify::default().keys(&keys), bundle)
    };
    let good = keyed(&bundle, &[&ours]);
    assert_eq!(good.check(Check::Log).unwrap().verdict, Verdict::Pass, "{good:#?}");
    assert_eq!(good.check(Check::Tail).unwrap().verdict, Verdict::Pass, "its end is in the log");
    assert_eq!(good.overall_verdict(), Verdict::Pass);
    let unkeyed = verify(&bundle);
    assert_eq!(codes(&unkeyed, Check::Log), ["NO_KEY"]);
    assert_eq!(unkeyed.overall_verdict(), Verdict::Pass);
    assert_eq!(codes(&keyed(&bundle, &[&theirs]), Check::Log), ["CHECKPOINT_UNSIGNED"]);
    assert_eq!(keyed(&bundle, &[&theirs]).overall_verdict(), Verdict::Fail);
    let plain = keyed(&export(&ledger, &of("a")), &[&ours]);
    assert_eq!((codes(&plain, Check::Log), plain.overall_verdict()), (vec!["NO_PROOF".to_owned()], Verdict::Unknown));
    let elsewhere = export(&ledger, &of("a").proof(Proof { seq: Seq::new(11).unwrap(), text }));
    assert_eq!(codes(&keyed(&elsewhere, &[&ours]), Check::Log), ["PROOF_MISMATCH"]);
    assert_eq!(verify(&elsewhere).overall_verdict(), Verdict::Fail, "a proof that does not hold needs no key");
}

fn signing(name: &str, seed: u8) -> Signing {
    Signing::from_seed(name.parse().unwrap(), KeyKind::Note, &[seed; 32])
}

#[test]
fn a_ledger_replays_what_it_recorded() {
    let ledger = scene();
    let replayed = ledger.replay(&RunId::new("a")).unwrap().evaluations;
    assert_eq!(replayed.len(), 1);
    assert_eq!((replayed[0].verdict, replayed[0].recomputed), (Verdict::Pass, Verdict::Pass), "{replayed:#?}");
}

#[test]
fn a_run_over_the_limit_of_replay_is_unknown_and_says_what_to_do() {
    let ledger = scene();
    let bundle = export(&ledger, &of("a"));
    let report = checked(&Verify::default().replay_limit(1000), &bundle);
    assert_eq!(codes(&report, Check::Replay), ["REPLAY_TOO_LARGE"]);
    assert_eq!(report.overall_verdict(), Verdict::Unknown);
}

#[test]
fn large_blobs_are_cut_into_pieces_that_must_be_full() {
    let ledger = Ledger::in_memory();
    let policy = Policy::structural().unwrap();
    let mut run = ledger.start("large", policy, Actor::new("system", "test"), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    for length in [1, bundle::PIECE - 1, bundle::PIECE, bundle::PIECE + 1, 5 * bundle::PIECE] {
        run.put(&format!("of {length}"), &vec![b'.'; length], Put::text()).unwrap();
    }
    run.append(Append::new(EventType::Remediation, Object::new())).unwrap();
    let bundle = export(&ledger, &of("large"));
    let report = verify(&bundle);
    assert_eq!(report.overall_verdict(), Verdict::Warn, "it is unfinished: {report:#?}");
    assert_eq!(report.blobs, 5);
    let joined: Vec<u8> = bundle.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\n"[..]);
    assert_eq!(joined, bundle, "the control");
    // Two pieces of one blob, cut at another place.
    let mut cut: Vec<Vec<u8>> = lines(&bundle).iter().map(|line| line.to_vec()).collect();
    let at = cut.windows(2).position(|pair| pair.iter().all(|line| line.len() == 65_539)).unwrap();
    let first = cut[at].clone();
    cut[at] = [&first[..65_533], b"\"\n"].concat();
    cut[at + 1] = [b"\"", &first[65_533..65_537], &cut[at + 1][1..]].concat();
    assert_refused(&cut.concat(), "cut at another place");
}

#[test]
fn a_ledger_with_a_checkpoint_puts_its_proof_into_the_bundle() {
    let ledger = scene();
    let key = signing("example.org/log", 1);
    let keys = [key.verifier().clone()];
    let mut open =
        ledger.start("open", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    ledger.checkpoint(&Publish::by(&key)).unwrap();
    open.advance("COLLECT", "collecting").unwrap();
    ledger.start("late", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    for (run, log, tail) in [
        ("a", Verdict::Pass, Verdict::Pass),
        // Its newest event came after the checkpoint: anybody could have written it.
        ("open", Verdict::Unknown, Verdict::Unknown),
        ("late", Verdict::Unknown, Verdict::Unknown),
    ] {
        let report = Verify::default().keys(&keys).run(&mut &export(&ledger, &of(run))[..]).unwrap();
        let found = [Check::Log, Check::Tail].map(|check| report.check(check).unwrap().verdict);
        assert_eq!(found, [log, tail], "{run}: {report:#?}");
        assert_eq!(report.overall_verdict(), log, "{run}: with a key the log counts");
    }
}
