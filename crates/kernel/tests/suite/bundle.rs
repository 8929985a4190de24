//! A bundle says all that there is to check of a run, and whatever is done to it, it does not verify.

use crate::common::RECIPIENT;
use receipt_core::bundle::{self, Item, LinesDigest, Proof, Reader};
use receipt_core::checkpoint::{Checkpoint, InclusionProof};
use receipt_core::id::Seq;
use receipt_core::json::{self, Limits};
use receipt_core::merkle::{Frontier, Subtree, prove_inclusion};
use receipt_core::note::{KeyKind, Signing};
use receipt_core::{canonical, id::NodeHash};
use receipt_kernel::bundle::{BundleReport, Export, Verify};
use receipt_kernel::{
    Actor, Append, BlobHash, Check, Error, EventType, EvidenceClass, Ledger, Object, Policy, Publish, Put, Result,
    RunId, Value, Verdict,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, Cursor};

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

/// What is said of a bundle, whether it can be opened again or not.
fn checked(verify: &Verify<'_>, bundle: &[u8]) -> BundleReport {
    let once = verify.run(&mut &bundle[..]).unwrap();
    assert_eq!(opened(verify, bundle), once);
    once
}

fn opened(verify: &Verify<'_>, bundle: &[u8]) -> BundleReport {
    let open = || -> Result<Box<dyn BufRead>> { Ok(Box::new(Cursor::new(bundle.to_vec()))) };
    verify.run_opened(open).unwrap()
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
            let report = if bit % 2 == 0 { asked.run(&mut &bundle[..]).unwrap() } else { opened(&asked, &bundle) };
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

/// The bundle with its lines changed, and a trailer that is right for them: what a forger would hand out.
fn forged(bundle: &[u8], change: impl Fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut changed: Vec<Vec<u8>> = lines(bundle).iter().map(|line| line[..line.len() - 1].to_vec()).collect();
    changed.pop();
    change(&mut changed);
    let mut reader = <Reader>::default();
    let mut digest = <LinesDigest>::default();
    for line in &changed {
        match reader.line(line).unwrap() {
            Item::Event(_) => digest.event(line),
            Item::Blob(_) => digest.blob(line),
            Item::Piece(_) => {}
            _ => digest.line(line),
        }
    }
    changed.push(digest.trailer());
    changed.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

fn replace(line: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(line.clone()).unwrap();
    assert!(text.contains(from), "{from} is in {text}");
    *line = text.replace(from, to).into_bytes();
}

/// Writes an event anew with its hash, and every event behind it with a new previous hash.
fn rehash(lines: &mut [Vec<u8>], first: usize, events: usize) {
    let mut prev: Option<String> = None;
    for line in &mut lines[first..2 + events] {
        let Value::Object(mut envelope) = json::parse(line, Limits::READ).unwrap() else { panic!("an envelope") };
        if let Some(prev) = &prev {
            envelope.insert("prev_event_hash", prev.as_str());
        }
        envelope.remove("event_hash");
        let bytes = canonical::to_bytes(&envelope.clone().into(), Limits::READ).unwrap();
        let hash = receipt_core::id::EventHash::of(&bytes).to_string();
        envelope.insert("event_hash", hash.as_str());
        *line = canonical::to_bytes(&envelope.into(), Limits::READ).unwrap();
        prev = Some(hash);
    }
    let old = json::parse(&lines[0], Limits::READ).unwrap();
    let head = old.get("head").and_then(Value::as_str).unwrap().to_owned();
    replace(&mut lines[0], &head, &prev.unwrap());
}

#[test]
fn a_forger_who_mends_the_trailer_is_found_by_the_check_that_is_about_it() {
    type Act = (&'static str, Check, &'static str, fn(&mut Vec<Vec<u8>>));
    let acts: [Act; 11] = [
        ("an event edited", Check::Content, "EVENT_HASH_MISMATCH", |lines| {
            replace(&mut lines[11], "release it", "hold it");
        }),
        ("two events swapped", Check::Content, "SEQ_GAP", |lines| lines.swap(5, 6)),
        ("the head", Check::Content, "HEAD_MISMATCH", |lines| {
            let header = json::parse(&lines[0], Limits::READ).unwrap();
            let head = header.get("head").and_then(Value::as_str).unwrap().to_owned();
            replace(&mut lines[0], &head, &format!("sha256:{}", "0".repeat(64)));
        }),
        ("the run's row", Check::Columns, "RUN_ROW_MISMATCH", |lines| {
            replace(&mut lines[1], "v1_default", "v1_minimal");
        }),
        ("the run's name", Check::Content, "RUN_ID_MISMATCH", |lines| {
            replace(&mut lines[0], "\"run_id\":\"a\"", "\"run_id\":\"b\"");
        }),
        ("a blob's type", Check::Evidence, "EVIDENCE_ROW_MISMATCH", |lines| {
            replace(&mut lines[15], "text/plain", "text/html");
        }),
        ("a blob's bytes", Check::Evidence, "BLOB_HASH_MISMATCH", |lines| {
            let at = lines.iter().rposition(|line| line[0] == b'"').unwrap();
            let first = if lines[at][1] == b'd' { b'c' } else { b'd' };
            lines[at][1] = first;
        }),
        ("a blob left out", Check::Evidence, "BLOB_MISSING", |lines| {
            lines.truncate(lines.iter().rposition(|line| line[0] == b'{').unwrap());
            replace(&mut lines[14], "3", "2");
        }),
        ("a blob called missing", Check::Evidence, "BLOB_MISSING", |lines| {
            let at = lines.iter().rposition(|line| line[0] == b'{').unwrap();
            let last = lines[at].clone();
            lines.truncate(at);
            let hash =
                json::parse(&last, Limits::READ).unwrap().get("sha256").unwrap().as_str().unwrap().parse().unwrap();
            lines.push(bundle::Blob::missing(hash).to_line());
        }),
        ("a verdict made better", Check::Replay, "REPLAY_MISMATCH", |lines| {
            replace(&mut lines[9], "\"verdict\":\"pass\"", "\"verdict\":\"warn\"");
            rehash(lines, 9, 12);
        }),
        ("an ending without its evaluation", Check::Path, "VERDICT_NOT_EVALUATED", |lines| {
            replace(&mut lines[9], "\"overall_verdict\":\"pass\"", "\"overall_verdict\":\"fail\"");
            rehash(lines, 9, 12);
        }),
    ];
    let bundle = export(&scene(), &of("a"));
    assert_eq!(forged(&bundle, |_| ()), bundle, "the control: a forger who changes nothing makes the same bundle");
    for (name, check, code, change) in acts {
        let report = verify(&forged(&bundle, change));
        assert_eq!(report.check(check).unwrap().verdict, Verdict::Fail, "{name}: {report:#?}");
        assert!(codes(&report, check).iter().any(|found| found == code), "{name}: {report:#?}");
        assert_eq!(report.check(Check::Format).unwrap().verdict, Verdict::Pass, "{name}");
        assert_eq!(report.overall_verdict(), Verdict::Fail, "{name}");
    }
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
fn withholding_hides_no_forged_result_that_does_not_depend_on_it() {
    let bundle = export(&scene(), &of("a").withhold("log"));
    let report = verify(&forged(&bundle, |lines| {
        let event = json::parse(&lines[9], Limits::READ).unwrap();
        let results =
            event.get("payload").and_then(|payload| payload.get("results")).and_then(Value::as_array).unwrap();
        let chain =
            results.iter().position(|it| it.get("invariant_id").and_then(Value::as_str) == Some("ledger.chain_valid"));
        assert_eq!(chain, Some(0));
        replace(&mut lines[9], "\"event_count\":7", "\"event_count\":8");
        rehash(lines, 9, 12);
    }));
    assert_eq!(report.check(Check::Replay).unwrap().verdict, Verdict::Fail, "{report:#?}");
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
fn a_run_that_is_not_sound_is_not_exported() {
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
    assert_eq!(other.audit().unwrap().events, 12);

    let third = Ledger::in_memory();
    record(&third, "a", EvidenceClass::Public);
    let error = third.import(&Verify::default(), &mut &bundle[..]).unwrap_err();
    assert!(matches!(error, Error::ImportConflict { .. }), "{error}");

    let empty = Ledger::in_memory();
    for bad in
        [export(&ledger, &of("b").withhold("notes")), forged(&bundle, |lines| lines.swap(5, 6)), bundle[..500].to_vec()]
    {
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
    let replayed = ledger.replay(&RunId::new("a")).unwrap();
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
fn a_piece_has_one_spelling() {
    let ledger = Ledger::in_memory();
    let mut run =
        ledger.start("r", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    run.put("four", b"AAAA", Put::text()).unwrap();
    let bundle = String::from_utf8(export(&ledger, &of("r"))).unwrap();
    assert_eq!(verify(bundle.as_bytes()).overall_verdict(), Verdict::Warn, "it is unfinished");
    // The same bytes to decoders that are not strict.
    for other in ["QUE=QUE=", "QUFBQR==", "QUFBQQ", "QUFB\\u0051Q=="] {
        let respelled = bundle.replace("\"QUFBQQ==\"", &format!("\"{other}\""));
        assert_ne!(respelled, bundle);
        assert_refused(respelled.as_bytes(), other);
    }
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

#[test]
fn what_cannot_be_settled_is_unknown_with_its_own_code() {
    let bundle = export(&scene(), &of("a"));
    let drifted = verify(&forged(&bundle, |lines| {
        replace(&mut lines[9], receipt_kernel::bundle::evaluator(), "receipt-kernel/9.0.0");
        replace(&mut lines[9], "\"verdict\":\"pass\"", "\"verdict\":\"warn\"");
        rehash(lines, 9, 12);
    }));
    assert_eq!(drifted.check(Check::Replay).unwrap().verdict, Verdict::Unknown);
    assert!(codes(&drifted, Check::Replay).contains(&"REPLAY_DRIFT".to_owned()), "{drifted:#?}");

    let unsound = verify(&forged(&bundle, |lines| replace(&mut lines[11], "release it", "hold it")));
    assert_eq!(codes(&unsound, Check::Replay), ["REPLAY_UNSOUND"]);

    let expired = verify(&forged(&bundle, |lines| {
        let at = lines.iter().position(|line| line.starts_with(b"\"")).unwrap();
        lines.remove(at);
        replace(&mut lines[at - 1], "\"state\":\"live\"", "\"state\":\"expired\"");
    }));
    assert_eq!(codes(&expired, Check::Evidence), ["EXPIRY_UNPROVED"]);
    assert_eq!(expired.check(Check::Replay).unwrap().verdict, Verdict::Unknown);

    let uncommitted = verify(&forged(&bundle, |lines| {
        let mut start = json::parse(&lines[2], Limits::READ).unwrap();
        if let Value::Object(start) = &mut start {
            start.insert("payload", Object::new());
        }
        lines[2] = canonical::to_bytes(&start, Limits::READ).unwrap();
        rehash(lines, 2, 12);
    }));
    let replay = uncommitted.check(Check::Replay).unwrap();
    assert_eq!((codes(&uncommitted, Check::Replay), replay.required), (vec!["REPLAY_UNCOMMITTED".to_owned()], false));
    assert_eq!(uncommitted.overall_verdict(), Verdict::Pass, "as a run of the Python package");
}

#[test]
fn a_proof_of_a_beginning_does_not_carry_a_rest_that_a_forger_wrote() {
    let ledger = scene();
    let key = signing("example.org/log", 1);
    let keys = [key.verifier().clone()];
    let mut run =
        ledger.start("open", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    ledger.checkpoint(&Publish::by(&key)).unwrap();
    run.advance("EVALUATE", "it failed").unwrap();
    run.finalize_as(Verdict::Fail, "it failed").unwrap();
    let whole = export(&ledger, &of("open"));
    let forgery = forged(&whole, |lines| {
        replace(&mut lines[5], "it failed", "it passed");
        rehash(lines, 4, 4);
    });
    for bundle in [whole, forgery] {
        let report = checked(&Verify::default().keys(&keys), &bundle);
        assert_eq!(codes(&report, Check::Log), ["PROOF_PARTIAL"]);
        assert_eq!(report.overall_verdict(), Verdict::Unknown, "{report:#?}");
    }
}

#[test]
fn no_section_of_another_bundle_is_taken() {
    let ledger = scene();
    let key = signing("example.org/log", 1);
    let keys = [key.verifier().clone()];
    ledger.checkpoint(&Publish::by(&key)).unwrap();
    let (a, b) = (export(&ledger, &of("a")), export(&ledger, &of("b")));
    let foreign: Vec<Vec<u8>> = lines(&b).iter().map(|line| line[..line.len() - 1].to_vec()).collect();
    let first_blob = |lines: &[Vec<u8>]| lines.iter().position(|line| line.starts_with(b"{\"blobs\":")).unwrap();
    let judged = |name: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let report = Verify::default().keys(&keys).run(&mut &forged(&a, change)[..]).unwrap();
        (name.to_owned(), report.overall_verdict())
    };
    let proof_of = |lines: &[Vec<u8>]| json::parse(&lines[0], Limits::READ).unwrap().get("proof").cloned().unwrap();
    let found = [
        judged("the control", &|_| {}),
        judged("its header", &|lines| lines[0].clone_from(&foreign[0])),
        judged("its proof", &|lines| {
            let Value::Object(mut header) = json::parse(&lines[0], Limits::READ).unwrap() else { panic!("a header") };
            header.insert("proof", proof_of(&foreign));
            lines[0] = canonical::to_bytes(&header.into(), Limits::READ).unwrap();
        }),
        judged("its row", &|lines| lines[1].clone_from(&foreign[1])),
        judged("one event", &|lines| lines[7].clone_from(&foreign[7])),
        judged("its events", &|lines| lines[2..14].clone_from_slice(&foreign[2..14])),
        judged("its blobs", &|lines| {
            lines.truncate(first_blob(lines));
            lines.extend_from_slice(&foreign[first_blob(&foreign)..foreign.len() - 1]);
        }),
    ];
    for (name, verdict) in found {
        let wanted = if name == "the control" { Verdict::Pass } else { Verdict::Fail };
        assert_eq!(verdict, wanted, "{name} of another bundle");
    }
    for doubled in [lines(&a), lines(&b)] {
        for extra in [&doubled[..], &doubled[2..14], &doubled[14..]] {
            let appended = [a.as_slice(), &extra.concat()].concat();
            assert_eq!(verify(&appended).overall_verdict(), Verdict::Fail, "a second section behind the trailer");
        }
    }
}

/// The bundle with the results of its evaluation changed, hashed and closed as a forger would.
fn with_results(bundle: &[u8], change: impl Fn(&mut Vec<Value>)) -> BundleReport {
    verify(&forged(bundle, |lines| {
        let Value::Object(mut event) = json::parse(&lines[9], Limits::READ).unwrap() else { panic!("an event") };
        let Some(Value::Object(mut payload)) = event.get("payload").cloned() else { panic!("a payload") };
        let Some(Value::Array(mut results)) = payload.get("results").cloned() else { panic!("results") };
        change(&mut results);
        payload.insert("results", Value::Array(results));
        event.insert("payload", payload);
        lines[9] = canonical::to_bytes(&event.into(), Limits::READ).unwrap();
        rehash(lines, 9, 12);
    }))
}

#[test]
fn an_evaluation_with_other_results_than_the_policy_gives_is_not_what_was_judged() {
    type Act = (&'static str, fn(&mut Vec<Value>));
    let bundle = export(&scene(), &of("a"));
    let same = with_results(&bundle, |_| {});
    assert_eq!(same.overall_verdict(), Verdict::Pass, "the control: {same:#?}");
    let acts: [Act; 7] = [
        ("missing", |results| {
            results.pop();
        }),
        ("none", Vec::clear),
        ("doubled", |results| results.push(results[0].clone())),
        ("reordered", |results| results.swap(0, 1)),
        ("unknown", |results| {
            if let Value::Object(result) = &mut results[0] {
                result.insert("invariant_id", "ledger.always_valid");
            }
        }),
        ("an extra one", |results| {
            let mut extra = results[0].clone();
            if let Value::Object(result) = &mut extra {
                result.insert("invariant_id", "ledger.always_valid");
            }
            results.push(extra);
        }),
        ("an extra member", |results| {
            if let Value::Object(result) = &mut results[0] {
                result.insert("waived", true);
            }
        }),
    ];
    for (name, change) in acts {
        let report = with_results(&bundle, change);
        assert_eq!(report.check(Check::Replay).unwrap().verdict, Verdict::Fail, "{name}: {report:#?}");
        assert!(codes(&report, Check::Replay).iter().all(|code| code == "REPLAY_MISMATCH"), "{name}");
        assert_eq!(report.overall_verdict(), Verdict::Fail, "{name}");
    }
}

#[test]
fn a_policy_that_is_not_the_one_of_the_digest_is_refused() {
    let report = verify(&forged(&export(&scene(), &of("a")), |lines| {
        replace(&mut lines[2], "\"id\":\"ledger.chain_valid\"", "\"id\":\"ledger.replayability\"");
        rehash(lines, 2, 12);
    }));
    assert!(codes(&report, Check::Content).contains(&"COMMITMENT_MALFORMED".to_owned()), "{report:#?}");
    assert_eq!(report.overall_verdict(), Verdict::Fail);
}
