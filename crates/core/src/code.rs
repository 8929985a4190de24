//! The reason codes: each one's name, the places that give it, and what it means. docs/CODES.md is made from this table.
//!
//! A code keeps its name once it is published, as programs look for it.

use std::fmt::Write;

/// A reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its name, as in [`Reason::code`](crate::Reason::code).
    pub name: &'static str,
    /// The checks, the ids of invariants and the groups of [`GROUPS`] that give it, with `, ` between them.
    pub areas: &'static str,
    /// The meaning, in a sentence.
    pub meaning: &'static str,
}

/// Names for several places at once, each with what it stands for.
pub const GROUPS: &[(&str, &str)] = &[
    ("any check", "every check of `receipt verify`"),
    ("any invariant", "every invariant that the run's policy lists"),
    (
        "claims",
        "`claims.evidence_binding`, `confidence.sanity`, `oracle.independence_minimum`, `output.bound_to_claims`, \
         `refs.closed_world` and `tools.trace_consistency`",
    ),
    (
        "evidence invariants",
        "those of `claims`, and `epistemic.mode_requirements`, `evaluation.completeness`, `exec.exit_status` and \
         `receipt.completeness`",
    ),
    ("retain", "the problems that `receipt retain` lists, which are no verdicts"),
];

macro_rules! codes {
    ($($name:ident, $areas:literal, $meaning:literal;)+) => {
        /// All codes, by name.
        pub const ALL: &[Code] = &[$(Code { name: stringify!($name), areas: $areas, meaning: $meaning }),+];
    };
}

codes! {
    ALL_LOW_CONFIDENCE, "confidence.sanity", "Every claim has low or unspecified confidence.";
    BAD_COLUMN_TYPE, "columns", "A column of an event or a run holds a value of the wrong type.";
    BAD_COSIGNATURE, "fork", "A line under the checkpoint names a witness, and is not the witness's signature.";
    BAD_DECISION_REF, "finalization.completeness", "RUN_FINALIZE refers to no earlier DECISION or EVALUATION of the run.";
    BAD_EVENT_HASH, "content", "An event that the log should cover has no hash.";
    BAD_VERDICT, "path, evaluation.completeness, finalization.completeness", "A recorded verdict is none of pass, warn, fail and unknown.";
    BLOB_EXPIRED, "evidence invariants", "Retention removed the bytes of a blob, and a receipt says so.";
    BLOB_HASH_MISMATCH, "evidence, evidence invariants, retain", "The bytes of a blob are not those that were put: they have another hash.";
    BLOB_MALFORMED, "evidence, evidence invariants, retain", "The row of a blob is not one that a writer makes.";
    BLOB_MISSING, "evidence, retain", "An event names a blob, and the ledger or the bundle does not have it.";
    BLOB_NOT_FOUND, "epistemic.mode_requirements, evaluation.completeness, receipt.completeness", "The blob of required evidence is not in the ledger.";
    BUNDLE_MALFORMED, "format", "The file is not a bundle as the format says; the message names the line.";
    CHECKPOINT_FOREIGN, "log", "The checkpoint is of a log whose key is none of those given.";
    CHECKPOINT_UNSIGNED, "log", "A key was given that has not signed the checkpoint.";
    CLAIMS_MAP_CORRUPT, "claims", "The bytes of `claims_map` are not those that were put.";
    CLAIMS_MAP_EXPIRED, "claims", "Retention removed the bytes of `claims_map`.";
    CLAIMS_MAP_MALFORMED, "claims", "`claims_map` is not a JSON document of the right form.";
    CLAIMS_MAP_MISSING, "claims", "The run's mode requires a `claims_map`, and none was put.";
    CLAIM_CITES_OUTPUT, "claims.evidence_binding", "A claim cites only the output that makes the claim.";
    CLAIM_ID_DUPLICATE, "claims.evidence_binding", "Two claims have the same id.";
    CLAIM_MALFORMED, "claims", "A claim is not an object of the right form.";
    CLAIM_UNBOUND, "claims.evidence_binding, confidence.sanity", "A claim cites no evidence.";
    COMMITMENT_MALFORMED, "content, columns", "The commitment of RUN_START is invalid, its digest is wrong, or RUN_START names another policy.";
    CONFIDENCE_UNKNOWN, "confidence.sanity, oracle.independence_minimum", "A claim's confidence is none of high, medium, low and unspecified.";
    COVERED, "tail, runs, rollback, fork, key", "An anchor holds; the message says how many events it covers.";
    EMPTY_ANCHOR, "tail, runs, rollback, fork, key, log", "An anchor covers no event, so it settles nothing.";
    EMPTY_RESULTS, "evaluation.completeness", "An EVALUATION has no results.";
    EVALUATION_MALFORMED, "evaluation.completeness", "A member of an EVALUATION has the wrong type.";
    EVENT_AFTER_FINALIZE, "path", "An event comes after RUN_FINALIZE.";
    EVENT_HASH_COLUMN_MISMATCH, "columns", "Column event_hash is not the hash in the event.";
    EVENT_HASH_MISMATCH, "content, columns", "An event's hash is not that of its bytes: the event was edited.";
    EVENT_MALFORMED, "any invariant", "Rows of the run cannot be read as events; `ledger.chain_valid` names them.";
    EVENT_MISSING, "content", "The log covers events inside a run that the ledger does not have.";
    EVENT_TYPE_MISMATCH, "columns", "Column event_type is not the type in the event.";
    EVIDENCE_AFTER_FINALIZE, "evidence invariants", "Evidence was put after the run had ended.";
    EVIDENCE_CLASS_UNPROVED, "evidence", "The bundle says sealed of a blob that this run puts as public; another run may have sealed it.";
    EVIDENCE_CLASS_UNSETTLED, "evidence", "Too many blobs have another class than their event says; the rest were not looked into.";
    EVIDENCE_ELSEWHERE, "evidence, evidence invariants", "The evidence was recorded by digest; its bytes are kept outside the ledger.";
    EVIDENCE_FILE_MISMATCH, "evidence", "The file given for evidence that is not at hand is not the one on record.";
    EVIDENCE_FILE_UNUSED, "evidence", "A file was given for a key, and no evidence of that key needs one.";
    EVIDENCE_LENGTH_MISMATCH, "evidence", "A blob does not have the length that its event says.";
    EVIDENCE_MALFORMED, "evidence, evidence invariants, retain", "An EVIDENCE_PUT does not name one blob by reference, hash and length.";
    EVIDENCE_MISMATCH, "evidence invariants", "An EVIDENCE_PUT names two blobs, or another length than the blob has.";
    EVIDENCE_REF_BAD, "claims", "A claim cites something that is neither a blob nor an event of this run.";
    EVIDENCE_REF_MISSING, "claims", "A claim cites a blob that is not in the ledger.";
    EVIDENCE_ROW_MISMATCH, "evidence, retain", "The class or the content type of a blob is not the one that events say.";
    EVIDENCE_SEALED, "evidence", "The bundle leaves out bytes that are sealed and not encrypted.";
    EVIDENCE_WITHHELD, "evidence", "The bundle leaves out bytes on request, or because they were recorded by digest.";
    EXIT_STATUS_CORRUPT, "exec.exit_status", "The bytes of `exit_status` are not those that were put.";
    EXIT_STATUS_EXPIRED, "exec.exit_status", "Retention removed the bytes of `exit_status`.";
    EXIT_STATUS_MALFORMED, "exec.exit_status", "`exit_status` is not a JSON document of the right form.";
    EXIT_STATUS_MISSING, "exec.exit_status", "The run has no `exit_status`.";
    EXPECTED_MISSING, "tail, runs", "The ledger does not have the event that --expect names.";
    EXPIRED_WITHOUT_RECEIPT, "evidence, evidence invariants", "The bytes of a blob are gone, and no BLOB_EXPIRE event excuses that.";
    EXPIRED_WITH_RECEIPT, "evidence", "Bytes were removed, and a BLOB_EXPIRE event says so of each blob.";
    EXPIRY_NOT_ANCHORED, "evidence", "An anchor covers evidence whose bytes are gone, and not the receipt for their removal: sign a checkpoint after `retain`, and keep it.";
    EXPIRY_UNPROVED, "evidence", "Bytes were removed, and the event that says so is in another run than the bundle's.";
    FINALIZED_EARLY, "path", "The run ended as a success in a stage that is not terminal.";
    FINAL_OUTPUT_MISSING, "output.bound_to_claims", "The run's mode requires a `final_output`, and none is there.";
    FOREIGN_KEY, "key, log", "The checkpoint is not signed with the key of the log that was asked for.";
    FOREIGN_LOG, "key, log", "The checkpoint is of another log than this one.";
    FOREIGN_SCHEMA, "columns", "The file holds a table, an index or a constraint that the kernel did not make.";
    FOREIGN_TRIGGER, "columns", "The file holds a trigger that the kernel did not make.";
    FORK, "fork", "The witnesses saw another history than this ledger's.";
    GATE_JUDGED, "gate", "The finished run, judged by its own policy, is not PASS, or nobody can tell.";
    GATE_NO_POLICY, "gate", "The run commits to no policy, so that nothing says what its verdict means.";
    GATE_OTHER_POLICY, "gate", "The run was judged by another policy than the one that was asked for.";
    GATE_OUTCOME, "gate", "The run did not end as PASS.";
    GATE_RECORD, "gate", "The record of the run is not intact, or nobody can tell.";
    GATE_REPLAY, "gate", "The run's evaluations do not come out as they were recorded, or nobody can tell.";
    GATE_UNFINISHED, "gate", "The run has not ended.";
    GATE_UNREAD, "gate", "The run could not be read, or changed while it was read.";
    HEAD_MISMATCH, "content", "The last event is not the one that the bundle's header names.";
    HIGH_CONFIDENCE_WEAK_EVIDENCE, "confidence.sanity", "A claim has high confidence, and its evidence is weak by provenance.";
    ILLEGAL_TRANSITION, "path", "A STAGE_ADVANCE goes where the stage graph does not allow.";
    IMPORT_CHANGED, "content", "A run on record as imported is not there, or not as it was then.";
    INDEX_MISMATCH, "content, columns, evidence", "An index of the file does not lead to the rows of its table.";
    KILLED_BY_SIGNAL, "exec.exit_status", "A signal killed the command.";
    LEAF_CHANGED, "key", "An event is not the one that the log covers in its place.";
    LOG_IS_WITNESS, "fork", "A witness has the key of the log itself, so it vouches for nothing.";
    LOG_MALFORMED, "content", "The ledger's log or its last checkpoint is not one that a writer makes.";
    LOG_SHORTER, "tail, runs, rollback, key", "An anchor covers more events than the ledger has: the newest were cut off, or the file is an older copy.";
    MALFORMED_ENVELOPE, "content", "A row's envelope is not JSON, or not an event.";
    MISSING_INVARIANT, "evaluation.completeness", "An EVALUATION has no result for an invariant that the policy requires.";
    MISSING_KEY, "receipt.completeness", "The policy requires evidence under a key, and none was put.";
    MISSING_STAGES, "run.stage_required_path", "The run did not visit the required stages in their order.";
    MODE_REQUIREMENTS_MISSING, "epistemic.mode_requirements", "The run's mode requires evidence that was not put.";
    MORE_FINDINGS, "content, ledger.chain_valid, run.stage_transitions", "The run has more findings than are listed.";
    MORE_REASONS, "any check", "The check has more reasons than are listed.";
    MULTIPLE_FINALIZE, "path, run.single_finalize", "The run has more than one RUN_FINALIZE.";
    NON_ZERO_EXIT, "exec.exit_status", "The command ended with a status other than 0.";
    NOTHING_BEFORE_FINALIZE, "finalization.completeness", "The run begins with RUN_FINALIZE.";
    NOT_CANONICAL, "content", "An event's JSON is not in an exact form, so its hash proves nothing.";
    NOT_LAST_EVENT, "finalization.completeness", "RUN_FINALIZE is not the last event.";
    NOT_READ, "any check", "The bundle could not be read to its end, so the check says nothing.";
    NOT_STARTED, "exec.exit_status", "The command could not be started.";
    NO_ANCHOR, "tail, runs, rollback, fork, key", "Nothing from outside the ledger was given that could settle the check.";
    NO_CHECKPOINT, "key", "A key was given without a checkpoint; a key alone does not show that a history is old.";
    NO_CLAIMS, "claims.evidence_binding", "`claims_map` makes no claims.";
    NO_DECISION_REF, "finalization.completeness", "RUN_FINALIZE refers to no event.";
    NO_EVALUATION, "evaluation.completeness, finalization.completeness", "The run was not evaluated, or not before it ended as a success.";
    NO_EVENTS, "content, any invariant", "There are no events to check.";
    NO_EVIDENCE, "evidence invariants", "An EVIDENCE_PUT names no blob.";
    NO_FINALIZE, "finalization.completeness, run.single_finalize", "The run has no RUN_FINALIZE.";
    NO_KEY, "log", "The proof holds, and no key was given to check the checkpoint's signature.";
    NO_OVERALL_VERDICT, "evaluation.completeness", "An EVALUATION has no overall_verdict.";
    NO_PROOF, "log", "The bundle carries no checkpoint.";
    NO_QUORUM, "fork", "Too few witnesses of the policy have cosigned the checkpoint.";
    NO_VERDICT, "finalization.completeness", "RUN_FINALIZE has no overall_verdict.";
    ORACLE_CLASS_BELOW_MINIMUM, "oracle.independence_minimum", "The oracles of a claim are less independent than the policy requires.";
    ORACLE_CLASS_MALFORMED, "oracle.independence_minimum", "An oracle_class is not an integer in its range.";
    ORACLE_KIND_MISMATCH, "oracle.independence_minimum", "Evidence has an oracle_class, and is not of a kind `oracle:…`.";
    ORACLE_MISSING, "oracle.independence_minimum", "The policy requires an oracle for a claim, and the claim has none.";
    ORIGIN_CHANGED, "key", "The pin was made when the ledger's log had another name.";
    OUTPUT_MISMATCH, "output.bound_to_claims", "`claims_map` names another output than `final_output`.";
    OUTPUT_NOT_BOUND, "output.bound_to_claims", "`claims_map` does not say of which output it speaks.";
    POLICY_CHANGED, "path", "An event names another policy or stage graph than RUN_START.";
    PREV_HASH_COLUMN_MISMATCH, "columns", "Column prev_event_hash is not the previous hash in the event.";
    PREV_HASH_MISMATCH, "content, columns", "An event does not follow the event before it: its previous hash is another.";
    PROOF_MALFORMED, "log", "The bundle's proof cannot be read, or is of an event that the run does not have.";
    PROOF_MISMATCH, "log", "The proof does not lead to the checkpoint's root.";
    PROOF_PARTIAL, "log", "The proof covers the run up to an event that is not its last.";
    READ_FAILURE, "content, columns, evidence, path, tail, runs, rollback, any invariant, retain", "Something could not be read, so nothing is said of it.";
    REDACTION_FAILED, "any invariant", "Something was withheld from the run because redaction itself failed: a fault of the recorder.";
    REFS_OUTSIDE_RUN, "refs.closed_world", "Claims cite blobs that this run did not put.";
    REPLAY_DRIFT, "replay", "Computed again, an evaluation is another; another version of the evaluator made it.";
    REPLAY_EVIDENCE_EXPIRED, "replay", "Computed again, an evaluation is the same if evidence that was removed with a receipt was as it was put.";
    REPLAY_INPUT_GONE, "replay", "An evaluation cannot be computed again without evidence that is not there.";
    REPLAY_MISMATCH, "replay", "Computed again, an evaluation is not what was recorded.";
    REPLAY_NOT_EVALUATED, "replay", "The run ended as a success without an evaluation.";
    REPLAY_TOO_LARGE, "replay", "The run is too large to be judged again within the limit.";
    REPLAY_UNCOMMITTED, "replay", "The run commits to no policy, so nothing can be computed again.";
    REPLAY_UNSOUND, "replay", "The run does not verify, so nothing is computed from it.";
    RETENTION_CHANGED, "retain", "The ledger's retention was set anew during the work; the rest is left for the next time.";
    ROOT_MISMATCH, "tail, runs, rollback, key", "The ledger's history has another root than the anchor's.";
    RUN_ID_COLUMN_MISMATCH, "columns", "Column run_id of an event is not the run's.";
    RUN_ID_MISMATCH, "content", "An event says that it is of another run.";
    RUN_MISSING, "runs", "The log covers a run that the ledger does not have.";
    RUN_MODE_CONTRADICTION, "claims, epistemic.mode_requirements", "Two RUN_STARTs name different modes.";
    RUN_MODE_MALFORMED, "claims, epistemic.mode_requirements", "The mode in RUN_START has the wrong type.";
    RUN_MODE_MISSING, "claims, epistemic.mode_requirements", "RUN_START names no mode.";
    RUN_MODE_UNKNOWN, "claims, epistemic.mode_requirements", "RUN_START names a mode that the invariant does not know.";
    RUN_ROW_MISMATCH, "columns", "The run's row is not what RUN_START says.";
    RUN_ROW_MISSING, "columns", "The run has events and no row.";
    RUN_ROW_UNCONFIRMED, "columns", "No event says what the run's row says, and the run commits to nothing that would.";
    RUN_UNCOMMITTED, "commitment", "RUN_START commits to no policy and stage graph, so nothing binds the run's row and stages.";
    RUN_UNFINISHED, "path", "The run has no RUN_FINALIZE yet.";
    SCHEMA_MALFORMED, "content, columns, evidence, path, commitment", "The tables of the file are not those of a ledger; nothing was read.";
    SECOND_RUN_START, "path", "The run has a second RUN_START.";
    SEQ_GAP, "content", "A number in the run's sequence is missing or out of order.";
    SEQ_MISMATCH, "columns", "Column seq is not the number in the event.";
    SILENT_DOWNGRADE, "evaluation.completeness", "An EVALUATION is a success, and says itself that its evidence is incomplete.";
    STAGE_CONTRADICTION, "path, run.stage_required_path", "The payload of a STAGE_ADVANCE names other stages than its event and the one before.";
    STAGE_GRAPH_UNCOMMITTED, "path, run.stage_transitions", "No stage graph is committed to, so no transition can be checked.";
    STAGE_GRAPH_UNKNOWN, "path", "This version cannot judge by the stage graph that the run commits to.";
    STAGE_JUMP, "path", "An event is in another stage than the one before it, without a STAGE_ADVANCE.";
    TAIL_MISSING, "tail", "The log covers newer events of a run than the ledger has.";
    TOOL_CALL_DUPLICATE, "tools.trace_consistency", "The trace has two calls of the same id.";
    TOOL_CALL_FAILED, "tools.trace_consistency", "A claim rests on a call that failed.";
    TOOL_CALL_MISSING, "tools.trace_consistency", "A claim rests on a call that is not in the trace.";
    TOOL_OUTPUT_CONTRADICTION, "tools.trace_consistency", "A call names two blobs as its output.";
    TOOL_OUTPUT_MISSING, "tools.trace_consistency", "The output of a call is not in the ledger.";
    TOOL_OUTPUT_NOT_IN_RUN, "tools.trace_consistency", "This run did not put the output of a call.";
    TOOL_OUTPUT_UNBOUND, "tools.trace_consistency", "A call names no output.";
    TOOL_OUTPUT_UNBOUND_WARN, "tools.trace_consistency", "A call names no output, which mode mixed allows.";
    TOOL_TRACE_CORRUPT, "tools.trace_consistency", "The bytes of `tool_trace` are not those that were put.";
    TOOL_TRACE_EXPIRED, "tools.trace_consistency", "Retention removed the bytes of `tool_trace`.";
    TOOL_TRACE_MALFORMED, "tools.trace_consistency", "`tool_trace` is not a JSON document of the right form.";
    TOOL_TRACE_MISSING, "tools.trace_consistency", "Claims rest on calls, and no `tool_trace` was put.";
    UNEXPECTED_HASH, "key", "The event that --expect names has another hash.";
    UNKNOWN_INVARIANT, "any invariant", "This version has no invariant of the id that the policy lists; a newer one may.";
    UNKNOWN_PARAMETER, "any invariant", "This version cannot judge by the parameters that the policy gives an invariant.";
    UNKNOWN_POLICY_MEMBER, "any invariant", "The policy has a member that this version does not know; its result has the id `policy.NAME`.";
    UNLOGGED_EVENT, "content", "An event stands among those that the log covers, and is not in the log.";
    UNREMEDIATED_FAILURE, "evaluation.completeness", "A success follows a failed EVALUATION without a REMEDIATION between them.";
    VERDICT_INCONSISTENCY, "evaluation.completeness, finalization.completeness", "An overall verdict is better than the results or the evaluation that it rests on.";
    VERDICT_NOT_EVALUATED, "path", "The run ended as a success that its last EVALUATION does not bear out.";
    WARN_NOT_ALLOWED, "finalization.completeness", "The run ended as warn, which its policy refuses.";
    WRONG_INITIAL_STAGE, "path", "The first event is not in the initial stage of the graph.";
}

/// The text of docs/CODES.md.
pub fn reference() -> String {
    let mut text = String::from(
        "# Reason codes\n\n\
         <!-- Generated from crates/core/src/code.rs: a test compares it, and UPDATE=1 writes it. -->\n\n\
         A verdict has reasons. A reason has a code, a message for people, and pointers to what it is about. Programs may rely on\n\
         the code: it keeps its name. [FORMAT.md](FORMAT.md) says exactly when a verifier gives each code of events, rows and bundles.\n\n\
         The second column says which check of `receipt verify` or which invariant gives the code. `ledger.chain_valid` also gives\n\
         the codes of `content` and `columns`, and `run.stage_transitions` those of `path`. Further:\n\n",
    );
    for (name, members) in GROUPS {
        let _ = writeln!(text, "- {name}: {members}.");
    }
    text.push_str("\n| code | given by | meaning |\n| --- | --- | --- |\n");
    for code in ALL {
        let _ = writeln!(text, "| {} | {} | {} |", code.name, code.areas, code.meaning);
    }
    text
}
