//! Receipts that excuse missing evidence, held against anchors: an anchor that knew of the evidence must know of its removal
//! too.
//!
//! Whoever holds the file can remove bytes and append a run with a receipt for them. Such a run verifies, so that without
//! an anchor nothing tells it from an honest one. The log is in order: an anchor covers its first events.

use super::report::Check;
use super::settled::Settled;
use crate::read::evidence::receipt::Receipt;
use receipt_core::id::{EventRef, RunId, Seq};
use receipt_core::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, HashMap};

/// How many receipts a finding points at. The rest are counted.
const SHOWN: usize = 20;

/// The receipts that an audit took as an excuse, each with the first event of every run that put those bytes.
#[derive(Debug, Default)]
pub(crate) struct Excuses(BTreeMap<(RunId, i64), BTreeMap<RunId, i64>>);

impl Excuses {
    /// This receipt excused that what this event put is gone.
    pub(crate) fn note(&mut self, receipt: &Receipt, run: &RunId, seq: i64) {
        let puts = self.0.entry((receipt.run.clone(), receipt.seq)).or_default();
        let first = puts.entry(run.clone()).or_insert(seq);
        *first = seq.min(*first);
    }

    /// The events to be looked for in the log.
    pub(super) fn places(&self) -> Places {
        let mut places = Places::default();
        for ((run, seq), puts) in &self.0 {
            places.want(run, *seq);
            for (run, seq) in puts {
                places.want(run, *seq);
            }
        }
        places
    }

    /// Finds the receipts that an anchor does not cover though it covers what they excuse. A pin moves on with each verify,
    /// also with one that warned: if there is a signed anchor, that must cover a receipt.
    pub(super) fn settle(&self, places: &Places, anchored: Anchored, found: &mut Settled) {
        let mut late: BTreeMap<&RunId, Vec<i64>> = BTreeMap::new();
        for ((run, seq), puts) in &self.0 {
            let receipt = places.leaf(run, *seq);
            let put = puts.iter().map(|(run, seq)| places.leaf(run, *seq)).min().unwrap_or(u64::MAX);
            if anchored.misses(put, receipt) {
                late.entry(run).or_default().push(*seq);
            }
        }
        for (run, receipts) in late {
            let count = receipts.len();
            let msg = format!(
                "the anchors cover evidence whose bytes are gone, and not the {count} receipts of run {run} that excuse \
                 that: whoever holds the file could have removed the bytes and written these. If you removed them, sign a \
                 checkpoint now and keep it"
            );
            let shown = receipts.into_iter().take(SHOWN).filter_map(Seq::new);
            let reason = shown.fold(Reason::new("EXPIRY_NOT_ANCHORED", msg), |reason, seq| {
                reason.at(EventRef { run_id: run.clone(), seq })
            });
            found.settle(Check::Evidence).find(Verdict::Warn, reason);
        }
    }
}

/// How many of the log's first events are covered from outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Anchored {
    /// By what is signed: checkpoints that were given, and the ledger's own one if the key or the witnesses have signed it.
    pub(super) signed: u64,
    /// By what was verified before.
    pub(super) pinned: u64,
}

impl Anchored {
    /// Whether an anchor knew of what was put and not of the receipt, which are these leaves of the log.
    fn misses(self, put: u64, receipt: u64) -> bool {
        receipt >= self.signed && (put < self.signed || (put < self.pinned && receipt >= self.pinned))
    }
}

/// Which leaf of the log each of some events is.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<RunId, BTreeMap<i64, u64>>);

impl Places {
    fn want(&mut self, run: &RunId, seq: i64) {
        self.0.entry(run.clone()).or_default().insert(seq, u64::MAX);
    }

    /// These events of a run are the leaves from `leaf` on.
    pub(super) fn note(&mut self, run: &RunId, first: i64, last: i64, leaf: u64) {
        let Some(wanted) = self.0.get_mut(run) else { return };
        for (seq, place) in wanted.range_mut(first..=last) {
            *place = leaf.saturating_add(seq.abs_diff(first));
        }
    }

    /// `u64::MAX` for an event that the log does not lead to.
    fn leaf(&self, run: &RunId, seq: i64) -> u64 {
        self.0.get(run).and_then(|run| run.get(&seq)).copied().unwrap_or(u64::MAX)
    }
}
