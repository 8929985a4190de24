//! `tools.trace_consistency`: the tool calls that claims speak of were made, went well, and gave what is on record.

use super::claims::Claimed;
use super::evidence::{Document, Evidence, check_blob};
use super::mode;
use super::params::Params;
use super::{Invariant, InvariantResult, python_list};
use crate::error::Error;
use crate::id::{BlobHash, BlobRef};
use crate::json::{Object, Text, Value};
use crate::run::{Counted, Snapshot};
use crate::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Evidence `tool_trace`.
const TOOL_TRACE: Document = Document {
    key: "tool_trace",
    missing: "TOOL_TRACE_MISSING",
    malformed: "TOOL_TRACE_MALFORMED",
    expired: "TOOL_TRACE_EXPIRED",
    corrupt: "TOOL_TRACE_CORRUPT",
};

/// Each `tool_call_ids` entry of a claim is one call in the `tool_trace`, whose output is a blob that this run put. An
/// output that is not named is WARN in mode `mixed`.
#[derive(Clone, Debug)]
pub struct ToolTraceConsistency {
    /// The modes that it concerns.
    pub enforce_in_modes: Vec<String>,
}

impl Default for ToolTraceConsistency {
    fn default() -> Self {
        Self { enforce_in_modes: mode::factual() }
    }
}

impl ToolTraceConsistency {
    /// Its id.
    pub const ID: &'static str = "tools.trace_consistency";

    /// From parameters: `enforce_in_modes`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let enforce_in_modes = params.texts("enforce_in_modes")?.unwrap_or_else(mode::factual);
        params.end().map(|()| Self { enforce_in_modes })
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let missing = (Verdict::Unknown, "cannot verify tool refs without claims_map");
        let mut claimed = Claimed::load(Self::ID, run, &self.enforce_in_modes, missing)?;
        let claims = claimed.claims(false)?;
        let Claimed { mode, evidence, mut result, .. } = claimed;
        let ids: BTreeSet<&Text> = claims.iter().flat_map(|claim| &claim.tool_call_ids).collect();
        if !ids.is_empty() {
            let missing = (Verdict::Fail, "tool_trace required when claims reference tool_call_ids");
            let trace = match evidence.document(&TOOL_TRACE, missing) {
                Ok(trace) => trace,
                Err((verdict, reason)) => {
                    result.find(verdict, reason);
                    return Err(result.with("required_ids", ids.into_iter().cloned().collect::<Vec<_>>()));
                }
            };
            let calls = calls(&mut result, run, &trace)?;
            check_calls(&mut result, run, &evidence, &ids, &calls, &mode);
        }
        Ok(result.with("tool_ids_checked", ids.len()))
    }
}

/// A call in the trace.
struct Call<'t> {
    id: &'t Text,
    failed: bool,
    output_ref: Option<&'t str>,
    output_sha256: Option<&'t str>,
}

/// The calls in the trace that can be read, with what is wrong with the others added.
fn calls<'t>(
    result: &mut InvariantResult,
    run: &'t Snapshot,
    trace: &'t Value,
) -> Result<Counted<'t, Call<'t>>, InvariantResult> {
    let Some(items) = trace.get("calls").and_then(Value::as_array) else {
        result.find(Verdict::Fail, Reason::new(TOOL_TRACE.malformed, "tool_trace.calls must be a list"));
        return Err(result.clone());
    };
    if run.is_compatible() {
        return Ok(Counted::new(items.iter().filter_map(compatible_call).collect(), run.steps()));
    }
    let mut calls = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match call(item) {
            Ok(call) => calls.push(call),
            Err(problem) => {
                let msg = format!("tool_trace.calls[{index}]: {problem}");
                result.find(Verdict::Fail, Reason::new(TOOL_TRACE.malformed, msg));
            }
        }
    }
    Ok(Counted::new(calls, run.steps()))
}

fn call(item: &Value) -> Result<Call<'_>, &'static str> {
    let object = item.as_object().ok_or("it must be an object")?;
    let text = |key, problem| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(problem),
    };
    let failed = match object.get("ok") {
        None | Some(Value::Null) => false,
        Some(ok) => !ok.as_bool().ok_or("ok must be true or false")?,
    };
    Ok(Call {
        id: object.get("id").and_then(Value::as_text).ok_or("id must be text")?,
        failed,
        output_ref: text("output_ref", "output_ref must be text")?,
        output_sha256: text("output_sha256", "output_sha256 must be text")?,
    })
}

/// A call as the Python package reads it: what it does not need may be anything, and an output that is no text names none.
fn compatible_call(item: &Value) -> Option<Call<'_>> {
    let object = item.as_object()?;
    let output = |key| object.get(key).filter(|value| !value.is_null()).map(|value| value.as_str().unwrap_or_default());
    Some(Call {
        id: object.get("id").and_then(Value::as_text)?,
        failed: false,
        output_ref: output("output_ref"),
        output_sha256: output("output_sha256"),
    })
}

fn check_calls(
    result: &mut InvariantResult,
    run: &Snapshot,
    evidence: &Evidence<'_>,
    ids: &BTreeSet<&Text>,
    calls: &Counted<'_, Call<'_>>,
    mode: &str,
) {
    let mut of_id: BTreeMap<&Text, (&Call<'_>, bool)> = BTreeMap::new();
    for call in calls {
        // In the compatible reading the last one counts.
        let known = of_id.get(call.id).filter(|_| !run.is_compatible());
        let entry = known.map_or((call, false), |(first, _)| (*first, true));
        of_id.insert(call.id, entry);
    }
    let missing: Vec<String> =
        ids.iter().filter(|id| !of_id.contains_key(*id)).map(|id| id.to_string_lossy()).collect();
    if !missing.is_empty() {
        let msg = format!("claims reference tool_call_ids missing from trace: {}", python_list(&missing));
        result.find(Verdict::Fail, Reason::new("TOOL_CALL_MISSING", msg));
    }
    for (call, again) in ids.iter().filter_map(|id| of_id.get(id)) {
        let id = call.id;
        if *again {
            let msg = format!("tool {id}: the trace has more than one call of this id");
            result.find(Verdict::Fail, Reason::new("TOOL_CALL_DUPLICATE", msg));
        }
        if call.failed {
            let msg = format!("tool {id}: the call failed, and a claim rests on it");
            result.find(Verdict::Fail, Reason::new("TOOL_CALL_FAILED", msg));
        }
        check_output(result, run, evidence, call, mode);
    }
}

fn check_output(result: &mut InvariantResult, run: &Snapshot, evidence: &Evidence<'_>, call: &Call<'_>, mode: &str) {
    let id = call.id;
    let by_ref = call.output_ref.map(|text| (text.to_owned(), BlobRef::parse(text).map(|blob| blob.0), "output_ref"));
    let by_sha256 = call
        .output_sha256
        .map(|text| (format!("blob://sha256:{text}"), BlobHash::parse_bytes(text.as_bytes()), "output_sha256 blob"));
    // In the compatible reading what is no name at all contradicts nothing.
    let names_nothing = |(text, hash, _): &(String, Option<BlobHash>, &str)| hash.is_none() && text == "blob://sha256:";
    let silent = run.is_compatible()
        && (by_ref.as_ref().is_some_and(|(_, hash, _)| hash.is_none())
            || by_sha256.as_ref().is_some_and(names_nothing));
    let contradict =
        !silent && matches!((&by_ref, &by_sha256), (Some((_, one, _)), Some((_, other, _))) if one != other);
    if contradict {
        let msg = format!("tool {id}: output_ref and output_sha256 name two blobs");
        result.find(Verdict::Fail, Reason::new("TOOL_OUTPUT_CONTRADICTION", msg));
    }
    let Some((pointer, hash, name)) = by_ref.or(by_sha256) else {
        let (verdict, code, msg) = match mode {
            _ if mode == "mixed" || mode != "factual" && run.is_compatible() => {
                (Verdict::Warn, "TOOL_OUTPUT_UNBOUND_WARN", "no output binding (warn in mixed mode)")
            }
            _ => (Verdict::Fail, "TOOL_OUTPUT_UNBOUND", "no output_ref or output_sha256 in trace entry"),
        };
        return result.find(verdict, Reason::new(code, format!("tool {id}: {msg}")));
    };
    if let Some(hash) = hash.filter(|hash| evidence.has(*hash)) {
        check_blob(result, run, hash, &format!("tool {id}: output blob"), "TOOL_OUTPUT_MISSING");
    } else {
        let msg = format!("tool {id}: {name} not produced by this run");
        result.find(Verdict::Fail, Reason::new("TOOL_OUTPUT_NOT_IN_RUN", msg).at(pointer));
    }
}

impl Invariant for ToolTraceConsistency {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        Object::from_iter([("enforce_in_modes", Value::from(self.enforce_in_modes.clone()))])
    }

    fn reads(&self) -> &'static [&'static str] {
        &["claims_map", "tool_trace"]
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        self.answer(run).unwrap_or_else(std::convert::identity)
    }
}
