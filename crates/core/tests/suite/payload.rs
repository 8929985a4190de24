//! Payloads: what a writer says is what every reader reads, and what nobody may say is malformed for all of them.

use receipt_core::canonical;
use receipt_core::evidence::{BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, EventHash, PolicyDigest, Seq, Timestamp};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::{
    BlobExpire, Cause, EvidencePut, Member, RecordedEvaluation, RunFinalize, RunStart, Shred, StageAdvance,
};
use receipt_core::stage::Stage;
use receipt_core::verdict::Verdict;

/// The canonical text of what a writer or a JSON text says.
fn text(payload: impl Into<Value>) -> Vec<u8> {
    canonical::to_bytes(&payload.into(), Limits::READ).unwrap()
}

fn parsed(json: &str) -> Vec<u8> {
    text(json::parse(json.as_bytes(), Limits::READ).unwrap())
}

#[test]
fn a_step_says_its_two_stages() {
    let (from, to) = (Stage::new("START"), Stage::new("Prüfung \"2\""));
    let step = StageAdvance::parse(&text(StageAdvance::to_object(&from, &to)));
    assert!(step.says(&from, &to) && !step.contradicts(Some(&from), &to));
    assert!(!step.says(&to, &from) && step.contradicts(Some(&to), &to) && step.contradicts(None, &from));
}

#[test]
fn a_destroyed_key_is_named_by_a_decision_that_says_so() {
    let shred = Shred { recipient: "age1x".to_owned() };
    assert_eq!(Shred::parse(&text(shred.to_object("over", [2, 1]))), Some(shred));
    for json in [
        "{}",
        r#"{"recipient":"age1x"}"#,
        r#"{"decision_id":"ship","recipient":"age1x"}"#,
        r#"{"decision_id":"shred","recipient":5}"#,
        r#"{"decision_id":"shred","x":{"recipient":"age1x"}}"#,
    ] {
        assert_eq!(Shred::parse(&parsed(json)), None, "{json}");
    }
    let start = |json: &str| RunStart::text_of_meta(&parsed(json), "recipient");
    assert_eq!(start(r#"{"meta":{"recipient":"age1x"}}"#).as_deref(), Some("age1x"));
    assert_eq!(
        [start(r#"{"recipient":"age1x"}"#), start(r#"{"meta":{"recipient":[]}}"#), start("{}")],
        [None, None, None]
    );
}

#[test]
fn the_recipients_of_sealed_evidence_are_those_that_its_event_lists() {
    let recipients = |json: &str| EvidencePut::recipients_of(&parsed(json)).collect::<Vec<_>>();
    let named = |names: &[Option<&str>]| names.iter().map(|name| name.map(str::to_owned)).collect::<Vec<_>>();
    let listed = r#"{"meta":{"sealed":{"recipients":["a","b\n",5,"\ud800"]}}}"#;
    assert_eq!(recipients(listed), named(&[Some("a"), Some("b\n"), None, None]));
    for json in ["{}", r#"{"meta":{"recipients":["a"]}}"#, r#"{"meta":{"sealed":{"recipients":"a"}}}"#] {
        assert_eq!(recipients(json), named(&[]), "{json}");
    }
}

#[test]
fn a_step_that_leaves_a_stage_out_says_nothing_and_contradicts_nothing() {
    let (from, to) = (Stage::new("A"), Stage::new("B"));
    for json in ["{}", r#"{"from_stage":null}"#, r#"{"from_stage":"A"}"#, r#"{"to_stage":"B","from_stage":null}"#] {
        let step = StageAdvance::parse(&parsed(json));
        assert!(!step.says(&from, &to) && !step.contradicts(Some(&from), &to), "{json}");
    }
    for json in [r#"{"from_stage":1}"#, r#"{"to_stage":["B"]}"#, r#"{"from_stage":"\ud800"}"#] {
        let step = StageAdvance::parse(&parsed(json));
        assert!(!step.says(&from, &to) && step.contradicts(Some(&from), &to), "{json}");
    }
    assert!(!StageAdvance::parse(&parsed(r#"{"from_stage":1}"#)).contradicts(None, &to), "the first event has none");
}

#[test]
fn an_ending_and_an_evaluation_record_one_of_four_verdicts() {
    let all = [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Unknown];
    for verdict in all {
        let ending = text(RunFinalize::to_object(verdict));
        assert_eq!(RunFinalize::parse(&ending).verdict, Member::Is(verdict));
        assert_eq!(RecordedEvaluation::verdict_of(&ending), Member::Is(verdict));
        assert_eq!(RecordedEvaluation::parse(&ending).verdict, Member::Is(verdict));
    }
    for (json, said) in [
        ("{}", Member::Nothing),
        (r#"{"overall_verdict":null}"#, Member::Nothing),
        (r#"{"overall_verdict":"PASS"}"#, Member::Malformed),
        (r#"{"overall_verdict":true}"#, Member::Malformed),
        (r#"{"x":{"overall_verdict":"pass"}}"#, Member::Nothing),
    ] {
        let json = parsed(json);
        assert_eq!(RunFinalize::parse(&json).verdict, said, "{said:?}");
        assert_eq!(RecordedEvaluation::verdict_of(&json), said, "{said:?}");
        assert_eq!(RecordedEvaluation::parse(&json).verdict, said, "{said:?}");
    }
}

#[test]
fn an_evaluation_says_what_it_was_made_of() {
    let (digest, hash) = (PolicyDigest::of(b"policy"), EventHash::of(b"event"));
    let head = Some((Seq::new(7).unwrap(), hash));
    let judged = json::parse(
        br#"{"results":[{"invariant_id":"a","verdict":"pass"}, {"verdict":"good"}, 3, {"invariant_id":4}],"deferred":["b"],
            "evidence_complete":true}"#,
        Limits::READ,
    );
    let Ok(Value::Object(judged)) = judged else { panic!("{judged:?}") };
    let payload = text(RecordedEvaluation::to_object(judged, "me/1", digest, head));
    let said = RecordedEvaluation::parse(&payload);
    assert_eq!((said.policy_digest, said.head, said.evaluator.as_deref()), (Some(digest), head, Some("me/1")));
    assert_eq!((said.verdict, said.evidence_complete), (Member::Nothing, Member::Is(true)));
    assert_eq!(said.deferred, Some(&br#"["b"]"#[..]));
    let results: Vec<_> = said.results.known().unwrap().iter().collect();
    let read: Vec<_> = results.iter().map(|it| (it.is_object, it.id.clone(), it.verdict)).collect();
    let expected = [
        (true, Member::Is("a".to_owned()), Member::Is(Verdict::Pass)),
        (true, Member::Nothing, Member::Malformed),
        (false, Member::Nothing, Member::Nothing),
        (true, Member::Malformed, Member::Nothing),
    ];
    assert_eq!(read, expected);
    assert_eq!(results[0].json, br#"{"invariant_id":"a","verdict":"pass"}"#);
}

#[test]
fn an_evaluation_of_another_shape_says_none_of_it() {
    let payload = parsed(
        r#"{"evidence_complete":1,"results":{},"policy_digest":"sha256:00","snapshot_head":{"event_hash":"x","seq":1},
            "evaluator":["me"]}"#,
    );
    let said = RecordedEvaluation::parse(&payload);
    assert_eq!((said.evidence_complete, said.results), (Member::Malformed, Member::Malformed));
    assert_eq!((said.policy_digest, said.head, said.evaluator, said.deferred), (None, None, None, None));
    let empty = parsed(r#"{"results":[]}"#);
    assert_eq!(RecordedEvaluation::parse(&empty).results.known().unwrap().iter().count(), 0);
}

#[test]
fn a_removal_says_which_blob_and_whether_bytes_went() {
    let (hash, until) = (BlobHash::of(b"gone"), Timestamp::parse("2026-01-01T00:00:00+00:00").unwrap());
    let states = [BlobState::Live, BlobState::ExpiredHashOnly];
    let write = |states, cause| text(BlobExpire::to_object(hash, 4, EvidenceClass::Sealed, states, cause));
    let said = BlobExpire::parse(&write(states, Cause::Retention { kept_until: until })).unwrap();
    assert_eq!((said.hash, said.bytes_len, said.class), (hash, Some(4), Some(EvidenceClass::Sealed)));
    assert!(said.removes && said.by_retention);
    assert_eq!(said.kept_until, Some(until));

    let cause = Cause::Redaction { replaced_by: BlobHash::of(b"new"), redactions: 2, rules: "rules" };
    let said = BlobExpire::parse(&write(states, cause)).unwrap();
    assert!(said.removes && !said.by_retention && said.kept_until.is_none());

    let purged = [BlobState::ExpiredHashOnly, BlobState::Purged];
    assert!(!BlobExpire::parse(&write(purged, cause)).unwrap().removes);
    let of = |from: Value| Object::from_iter([("sha256", Value::from(hash.to_string())), ("from_state", from)]);
    assert!(BlobExpire::parse(&text(of(Value::Null))).unwrap().removes);
    for from in [Value::from("purged"), Value::from("Live"), Value::from(1), Value::from(true)] {
        assert!(!BlobExpire::parse(&text(of(from))).unwrap().removes);
    }
    for json in ["{}", r#"{"sha256":null}"#, r#"{"sha256":"00"}"#] {
        assert_eq!(BlobExpire::parse(&parsed(json)), None, "{json}");
    }
}
