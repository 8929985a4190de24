//! A run's row in `runs`, compared with what its events say.

use super::cells::RunRow;
use super::facts::RunFacts;
use crate::canonical;
use crate::envelope::Envelope;
use crate::id::Timestamp;
use crate::json::{self, Limits, Object, Text, Value};
use crate::verdict::{Reason, Verdict};

/// Finds what is wrong with the run's row. `policy` is the policy reference of the first event, as JSON; `meta` is what
/// RUN_START says about the run; `said` is what the events of a run without a commitment say.
pub(super) fn mismatches(
    row: Option<&RunRow<'_>>,
    facts: &RunFacts,
    policy: &[u8],
    meta: &Object,
    said: &Said,
) -> Vec<(Verdict, Reason)> {
    let Some(row) = row else {
        let missing = || Reason::new("RUN_ROW_MISSING", "the run has events and no row in runs");
        // With no events either there is no run at all.
        return if facts.events > 0 { vec![(Verdict::Fail, missing())] } else { Vec::new() };
    };
    let texts = [
        ("policy_id", row.policy_id),
        ("policy_version", row.policy_version),
        ("stage_graph_id", row.stage_graph_id),
        ("created_at", row.created_at),
        ("meta_json", row.meta_json),
    ];
    let bad_type = texts
        .iter()
        .filter(|(_, cell)| cell.text().is_none())
        .map(|(column, _)| Reason::new("BAD_COLUMN_TYPE", format!("column {column} of the run must hold text")));
    let mut reasons: Vec<Reason> = bad_type.collect();
    if facts.commitment.is_some() {
        committed(row, facts, policy, meta, &mut reasons);
    }
    let mut found: Vec<_> = reasons.into_iter().map(|reason| (Verdict::Fail, reason)).collect();
    if facts.commitment.is_none() {
        found.extend(said.unconfirmed(row).into_iter().map(|reason| (Verdict::Warn, reason)));
    }
    found
}

/// Compares the row with RUN_START.
fn committed(row: &RunRow<'_>, facts: &RunFacts, policy: &[u8], meta: &Object, reasons: &mut Vec<Reason>) {
    let Some(commitment) = &facts.commitment else { return };
    let start = json::parse(policy, Limits::READ).unwrap_or_default();
    let bound = [
        ("policy_id", commitment.id(), row.policy_id),
        ("policy_version", commitment.version(), row.policy_version),
        ("stage_graph_id", commitment.graph_id(), row.stage_graph_id),
    ];
    for (column, wanted, cell) in bound {
        if cell.text() != Some(wanted.as_bytes()) {
            let msg = format!("column {column} of the run is not what RUN_START commits to ({wanted:?})");
            reasons.push(Reason::new("RUN_ROW_MISMATCH", msg));
        }
        if start.get(column).and_then(Value::as_str) != Some(wanted) {
            let msg = format!("RUN_START names another {column} than the policy that it commits to");
            reasons.push(Reason::new("COMMITMENT_MALFORMED", msg));
        }
    }
    let started = facts.started.as_ref().map(Text::as_bytes);
    if row.created_at.text() != started {
        reasons.push(Reason::new("RUN_ROW_MISMATCH", "column created_at of the run is not the ts of RUN_START"));
    }
    let mut written = Vec::new();
    let fits = canonical::write_object(&mut written, meta, Limits::READ).is_ok();
    if !fits || row.meta_json.text() != Some(written.as_slice()) {
        reasons.push(Reason::new("RUN_ROW_MISMATCH", "column meta_json of the run is not the meta of RUN_START"));
    }
}

/// The members of a run's events that its row repeats, for a run without a commitment.
///
/// Nothing binds such a row, and a program of the Python package may put into it what it likes. But a row that no event
/// agrees with was most likely edited.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The policy references of the events, as JSON, each once.
    policies: Vec<Vec<u8>>,
    /// Whether there are more than were kept: then any row may be right.
    more: bool,
    /// The earliest and the latest time of an event, its `ts` and its column created_at alike; compared as text.
    times: Option<[Vec<u8>; 2]>,
    /// Whether an event without a row was among them: when it was stored is not known.
    alone: bool,
}

impl Said {
    /// How many policy references are kept, and how long one may be.
    const MOST: usize = 64;
    const LONGEST: usize = 4096;

    /// The next event. `created_at` is its column, if it stands in a row.
    pub(super) fn event(&mut self, envelope: &Envelope<'_>, created_at: Option<&[u8]>) {
        let policy = envelope.policy_json();
        if self.policies.last().is_none_or(|last| last != policy) {
            self.policy(policy);
        }
        match created_at {
            Some(created_at) => [created_at, envelope.ts_plain()].into_iter().for_each(|time| self.time(time)),
            None => self.alone = true,
        }
    }

    fn policy(&mut self, policy: &[u8]) {
        if let Some(known) = self.policies.iter().position(|known| known == policy) {
            // Likely that of the next event too.
            let last = self.policies.len() - 1;
            self.policies.swap(known, last);
        } else if self.policies.len() < Self::MOST && policy.len() <= Self::LONGEST {
            self.policies.push(policy.to_vec());
        } else {
            self.more = true;
        }
    }

    fn time(&mut self, time: &[u8]) {
        let Some([first, last]) = &mut self.times else {
            self.times = Some([time.to_vec(), time.to_vec()]);
            return;
        };
        for (kept, sooner) in [(first, true), (last, false)] {
            if kept.as_slice() != time && (time < kept.as_slice()) == sooner {
                kept.clear();
                kept.extend_from_slice(time);
            }
        }
    }

    /// Takes in what the events before these say.
    pub(super) fn add(&mut self, before: &Self) {
        self.more |= before.more;
        self.alone |= before.alone;
        before.policies.iter().for_each(|policy| self.policy(policy));
        before.times.iter().flatten().for_each(|time| self.time(time));
    }

    /// The columns of a row that no event agrees with.
    fn unconfirmed(&self, row: &RunRow<'_>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let mut report = |column: &str, problem: &str| {
            let msg = format!("column {column} of the run {problem}: it may have been edited, and nothing binds it");
            reasons.push(Reason::new("RUN_ROW_UNCONFIRMED", msg));
        };
        if self.policies.is_empty() {
            return reasons;
        }
        let policies: Vec<Value> =
            self.policies.iter().map(|policy| json::parse(policy, Limits::READ).unwrap_or_default()).collect();
        let columns = [
            ("policy_id", row.policy_id),
            ("policy_version", row.policy_version),
            ("stage_graph_id", row.stage_graph_id),
        ];
        for (column, cell) in columns {
            let said = |policy: &Value| policy.get(column).and_then(Value::as_text).map(Text::as_bytes) == cell.text();
            if !self.more && cell.text().is_some() && !policies.iter().any(said) {
                report(column, "is what no event says");
            }
        }
        if row.created_at.text().is_some() && !self.is_timely(row) {
            report("created_at", "is no time at which it can have begun");
        }
        reasons
    }

    /// Whether a run that was created then can have these events: none of them needs to be recorded at once, and their
    /// `ts` may be any, but not all lie more than a day before it, or more than a year after it.
    fn is_timely(&self, row: &RunRow<'_>) -> bool {
        const DAY: i64 = 86_400_000_000;
        let micros = |text: &[u8]| std::str::from_utf8(text).ok().and_then(Timestamp::parse).map(Timestamp::as_micros);
        let Some([first, last]) = self.times.as_ref().filter(|_| !self.alone) else { return true };
        let Some(created) = row.created_at.text().and_then(micros) else { return false };
        let too_late = micros(last).is_some_and(|last| last < created.saturating_sub(DAY));
        let too_early = micros(first).is_some_and(|first| first > created.saturating_add(366 * DAY));
        !too_late && !too_early
    }
}
