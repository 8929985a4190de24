//! The payload of EVALUATION.

use super::member::{self, Member};
use super::verdict;
use crate::canonical;
use crate::id::{EventHash, PolicyDigest, Seq};
use crate::json::{Object, Value};
use crate::verdict::Verdict;

/// An evaluation as it was recorded: `{"overall_verdict", "results", "deferred", "evidence_complete", "evaluator",
/// "policy_digest", "snapshot_head"}`.
///
/// The Python package leaves out what replaying needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvaluation<'p> {
    /// `overall_verdict`
    pub verdict: Member<Verdict>,
    /// The same, whatever the case of the word and the spaces around it.
    pub folded: Option<Verdict>,
    /// `evidence_complete`
    pub evidence_complete: Member<bool>,
    /// Whether Python takes `evidence_complete` for true.
    pub seems_complete: bool,
    /// `results`, each in the order of the policy.
    pub results: Member<RecordedResults<'p>>,
    /// `deferred` as it is written, a list of the invariants that were not asked.
    pub deferred: Option<&'p [u8]>,
    /// `evaluator`: who judged.
    pub evaluator: Option<String>,
    /// `policy_digest`
    pub policy_digest: Option<PolicyDigest>,
    /// `snapshot_head`: the last event that was judged.
    pub head: Option<(Seq, EventHash)>,
}

/// The results of an evaluation, in the order of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedResults<'p> {
    /// As they are written, a list.
    pub json: &'p [u8],
}

/// One result of an evaluation: `{"invariant_id", "verdict", …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedResult<'p> {
    /// As it is written.
    pub json: &'p [u8],
    /// Whether it is an object.
    pub is_object: bool,
    /// `invariant_id`
    pub id: Member<String>,
    /// Whether `invariant_id` is an object or a list, by which nothing can be looked up.
    pub id_is_nested: bool,
    /// `verdict`
    pub verdict: Member<Verdict>,
    /// The same, whatever the case of the word and the spaces around it.
    pub folded: Option<Verdict>,
    /// Whether it says of itself that it is required.
    pub says_required: bool,
}

impl<'p> RecordedEvaluation<'p> {
    /// The payload: `judged` is what came out, `evaluator` says by whom, and the others of what.
    pub fn to_object(
        judged: Object,
        evaluator: &str,
        policy_digest: PolicyDigest,
        head: Option<(Seq, EventHash)>,
    ) -> Object {
        let head = head.map(|(seq, hash)| {
            Object::from_iter([("event_hash", Value::from(hash.to_string())), ("seq", Value::from(seq.get()))])
        });
        let mut payload = judged;
        payload.insert("evaluator", evaluator);
        payload.insert("policy_digest", policy_digest.to_string());
        payload.insert("snapshot_head", head);
        payload
    }

    /// From the canonical text of the payload.
    pub fn parse(payload: &'p [u8]) -> Self {
        let (mut complete, mut results, mut deferred) = (None, None, None);
        let (mut evaluator, mut digest, mut head, mut overall) = (None, None, None, None);
        for (name, value) in canonical::members(payload) {
            match name {
                b"evidence_complete" => complete = Some(value),
                b"results" => results = Some(value),
                b"deferred" => deferred = Some(value),
                b"evaluator" => evaluator = Some(value),
                b"policy_digest" => digest = Some(value),
                b"snapshot_head" => head = Some(value),
                name if name == verdict::NAME.as_bytes() => overall = Some(value),
                _ => {}
            }
        }
        Self {
            verdict: Member::read(overall, verdict::parse),
            folded: overall.and_then(verdict::folded),
            evidence_complete: Member::read(complete, member::truth),
            seems_complete: complete.is_some_and(member::is_true),
            results: match member::given(results) {
                None => Member::Nothing,
                Some(json) if json.starts_with(b"[") => Member::Is(RecordedResults { json }),
                Some(_) => Member::Malformed,
            },
            deferred,
            evaluator: evaluator.and_then(member::unicode),
            policy_digest: digest.and_then(member::plain).and_then(|text| PolicyDigest::parse_bytes(text.as_bytes())),
            head: head.and_then(snapshot_head),
        }
    }

    /// The verdict alone: what stands after it is not looked at.
    pub fn verdict_of(payload: &[u8]) -> Member<Verdict> {
        verdict::of(payload)
    }

    /// The same, whatever the case of the word and the spaces around it.
    pub fn folded_of(payload: &[u8]) -> Option<Verdict> {
        verdict::folded_of(payload)
    }
}

impl<'p> RecordedResults<'p> {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = RecordedResult<'p>> + use<'p> {
        canonical::items(self.json).map(RecordedResult::parse)
    }
}

impl<'p> RecordedResult<'p> {
    fn parse(json: &'p [u8]) -> Self {
        let member = |name| canonical::member(json, name);
        Self {
            json,
            is_object: member::is_object(json),
            id: Member::read(member("invariant_id"), member::unicode),
            id_is_nested: member("invariant_id").is_some_and(member::is_nested),
            verdict: Member::read(member("verdict"), verdict::parse),
            folded: member("verdict").and_then(verdict::folded),
            says_required: member("required") == Some(b"true"),
        }
    }
}

fn snapshot_head(json: &[u8]) -> Option<(Seq, EventHash)> {
    let hash = EventHash::parse_bytes(member::plain(canonical::member(json, "event_hash")?)?.as_bytes())?;
    let seq = member::count(canonical::member(json, "seq")?)?;
    Some((Seq::new(i64::try_from(seq).ok()?)?, hash))
}
