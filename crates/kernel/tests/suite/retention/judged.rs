//! What removed evidence leaves to be judged, here and by a stranger.

use super::{Scene, at, codes, scene};
use crate::common::actor;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::{BlobHash, Check, Error, EventType, Object, Policy, Put, RunId, Value, Verdict};
use rusqlite::Connection;

#[test]
fn a_stranger_settles_what_expired_by_the_bundle_of_its_removal() {
    let scene = scene();
    let evaluated = |run: &str, data: &str| {
        let mut writer = scene.start(run);
        writer.advance("COLLECT", "collecting").unwrap();
        let hash = writer.put("k", data.as_bytes(), Put::text()).unwrap().hash;
        writer.advance("EVALUATE", "collected").unwrap();
        assert_eq!(writer.evaluate().unwrap().overall_verdict, Verdict::Pass);
        writer.advance("DECIDE", "evaluated").unwrap();
        writer.decide("ship", &["it passed"], "release it").unwrap();
        writer.finalize("released").unwrap();
        hash
    };
    let export = |run: &RunId| {
        let mut bundle = Vec::new();
        scene.ledger.export(&Export::of(run.clone()), &mut bundle).unwrap();
        bundle
    };
    let evidence = |verify: Verify<'_>, bundle: &[u8]| {
        let report = verify.run(&mut &bundle[..]).unwrap();
        let codes = report.check(Check::Evidence).unwrap().reasons.iter().map(|reason| reason.code.to_string());
        (codes.collect::<Vec<_>>(), report.overall_verdict(), report.evaluations[0].verdict)
    };

    let hash = evaluated("a", "data");
    let removal = scene.retain_on(31).run_id.unwrap();
    let (run, removal) = (export(&RunId::new("a")), export(&removal));
    let unproved = (vec!["EXPIRY_UNPROVED".to_owned()], Verdict::Unknown);
    let alone = evidence(Verify::default(), &run);
    assert_eq!((alone.0, alone.1), unproved);
    let receipts = Verify::default().run(&mut &removal[..]).unwrap().receipts;
    assert!(receipts.contains(&hash));
    // As in the ledger: the evaluation is computed again without what has gone, and bears that out.
    assert_eq!(evidence(Verify::default().receipts(&receipts), &run), (Vec::new(), Verdict::Warn, Verdict::Warn));

    // What is put again after its removal, and then disappears, is not what that receipt is for.
    scene.clock.set(at(32));
    assert_eq!(evaluated("b", "data"), hash);
    scene.edit("UPDATE blobs SET state = 'expired_hash_only', data = NULL WHERE sha256 = ?1", &hash);
    let again = evidence(Verify::default().receipts(&receipts), &export(&RunId::new("b")));
    assert_eq!((again.0, again.1), unproved);
    assert_eq!(evidence(Verify::default().receipts(&receipts), &export(&RunId::new("a"))).1, Verdict::Warn);
}

/// A factual run with claims that cite evidence, evaluated and finalized as PASS.
fn factual_run(scene: &Scene) -> (BlobHash, BlobHash) {
    let policy = "id = 'facts'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'receipt.completeness'\n\
                  [[invariant]]\nid = 'claims.evidence_binding'";
    let meta = Object::from_iter([("mode", "factual")]);
    let mut run = scene.ledger.start("facts", Policy::from_toml(policy).unwrap(), actor(), meta).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    let log = run.put("log", b"12 passed", Put::text().of_kind("oracle:test_log")).unwrap().hash;
    let claims = format!(
        r#"{{"claims":[{{"id":"c1","evidence_refs":["blob://sha256:{log}"],"confidence":"high","tool_call_ids":[]}}]}}"#
    );
    let map = run.put("claims_map", claims.as_bytes(), Put::json()).unwrap().hash;
    run.advance("EVALUATE", "collected").unwrap();
    assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Pass);
    run.advance("DECIDE", "evaluated").unwrap();
    run.decide("ship", &[], "release").unwrap();
    assert_eq!(run.finalize("done").unwrap(), Verdict::Pass);
    (log, map)
}

#[test]
fn a_recorded_evaluation_stays_provable_after_its_evidence_has_gone() {
    let scene = scene();
    let (log, map) = factual_run(&scene);
    let judged = || {
        let evaluation = scene.ledger.evaluate("facts", None).unwrap();
        let codes = evaluation
            .results
            .iter()
            .flat_map(|result| result.result.reasons.iter().map(|reason| reason.code.to_string()));
        (evaluation.overall_verdict, codes.collect::<Vec<_>>())
    };
    let replayed = || {
        let mut all = scene.ledger.replay(&RunId::new("facts")).unwrap().evaluations;
        let one = all.pop().unwrap();
        assert!(all.is_empty());
        (one.verdict, one.recorded.unwrap(), one.recomputed, codes(&one.reasons))
    };
    assert_eq!(judged(), (Verdict::Pass, vec![]));
    assert_eq!(replayed(), (Verdict::Pass, Verdict::Pass, Verdict::Pass, vec![]));
    let mut before = Vec::new();
    scene.ledger.events("facts", &mut |event| before.push(event.hash)).unwrap();
    assert_eq!(scene.retain_on(31).expired, 1, "the claims map is kept");
    assert_eq!((scene.state(&log), scene.state(&map)), ("expired_hash_only".to_owned(), "live".to_owned()));
    assert_eq!(judged(), (Verdict::Warn, vec!["BLOB_EXPIRED".to_owned(), "BLOB_EXPIRED".to_owned()]));
    // Computed again it is what was recorded, if what was removed with a receipt was as it was put: that is not PASS.
    let expired = vec!["REPLAY_EVIDENCE_EXPIRED".to_owned()];
    assert_eq!(replayed(), (Verdict::Warn, Verdict::Pass, Verdict::Pass, expired));
    scene.set(|retention| retention.keys.clear());
    assert_eq!(scene.retain_on(32).expired, 1);
    // Without the documents themselves nothing can be computed.
    let (verdict, recorded, _, reasons) = replayed();
    assert_eq!((verdict, recorded, reasons), (Verdict::Unknown, Verdict::Pass, vec!["REPLAY_INPUT_GONE".to_owned()]));
    let (verdict, codes) = judged();
    assert_eq!(verdict, Verdict::Unknown);
    assert!(codes.contains(&"CLAIMS_MAP_EXPIRED".to_owned()), "{codes:?}");
    // What was recorded is still as it was, and the ledger says so.
    let mut recorded = None;
    let mut after = Vec::new();
    let visit = &mut |event: receipt_core::run::Event| {
        after.push(event.hash);
        if event.event_type == EventType::Evaluation {
            recorded = event.payload.get("overall_verdict").and_then(Value::as_str).map(str::to_owned);
        }
    };
    scene.ledger.events("facts", visit).unwrap();
    assert_eq!((recorded.as_deref(), after), (Some("pass"), before));
    assert_eq!(scene.ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn an_evaluation_whose_evidence_went_without_a_receipt_or_never_was_is_not_borne_out_by_its_replay() {
    // Removed by somebody without a word.
    let scene = scene();
    let (log, _) = factual_run(&scene);
    scene.edit("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE sha256 = ?1", &log);
    let replayed = scene.ledger.replay(&RunId::new("facts")).unwrap();
    assert_eq!(replayed.verdict, Verdict::Fail, "{replayed:?}");
    // A verdict that is wrong whatever the evidence was stays wrong when it has gone.
    let scene = self::scene();
    factual_run(&scene);
    assert_eq!(scene.retain_on(31).expired, 1);
    let connection = Connection::open(&scene.path).unwrap();
    connection.execute_batch("DROP TRIGGER events_are_not_updated").unwrap();
    let sql = "UPDATE events SET envelope_json = replace(envelope_json, '\"evidence_complete\":true', '\"evidence_complete\":false') \
               WHERE event_type = 'EVALUATION' AND run_id = 'facts'";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    let replayed = scene.ledger.replay(&RunId::new("facts")).unwrap();
    assert_eq!(replayed.verdict, Verdict::Fail, "{replayed:?}");
}

#[test]
fn expired_missing_and_changed_evidence_are_told_apart() {
    let scene = scene();
    let hashes: Vec<_> =
        (0..4).map(|i| scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public)).collect();
    scene.set(|retention| retention.holds.extend((1..4).map(|i| (format!("r{i}"), "kept".to_owned()))));
    assert_eq!(scene.retain_on(31).expired, 1);
    assert_eq!(scene.evidence(), (Verdict::Pass, vec!["EXPIRED_WITH_RECEIPT".to_owned()]));
    scene.edit("DELETE FROM blobs WHERE sha256 = ?1", &hashes[1]);
    scene.edit("UPDATE blobs SET data = CAST('atad 2' AS BLOB) WHERE sha256 = ?1", &hashes[2]);
    scene.edit("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE sha256 = ?1", &hashes[3]);
    let (verdict, mut codes) = scene.evidence();
    codes.sort();
    codes.dedup();
    assert_eq!(verdict, Verdict::Fail);
    assert_eq!(codes, ["BLOB_HASH_MISMATCH", "BLOB_MISSING", "EXPIRED_WITHOUT_RECEIPT", "EXPIRED_WITH_RECEIPT"]);
    let fact = |hash| scene.ledger.blob_record(hash).map(|(_, fact)| fact);
    assert_eq!(fact(&hashes[0]).unwrap(), BlobFact::Expired);
    assert!(matches!(fact(&hashes[1]), Err(Error::BlobNotFound { .. })));
    assert_eq!(fact(&hashes[2]).unwrap(), BlobFact::Corrupt);
    assert_eq!(fact(&hashes[3]).unwrap(), BlobFact::Removed, "without a receipt");
}
