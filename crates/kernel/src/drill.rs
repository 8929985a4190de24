//! The drill: each act of tampering committed on a copy of a ledger, and what verifying then says.
//!
//! The copy gets a log of its own, signed with throwaway keys, and a cosigned checkpoint that is kept aside as a careful
//! user would; the ledger itself is only read.

mod acts;
mod retell;

use crate::check::anchors::Anchors;
use crate::check::audit::Audit;
use crate::check::report::{Check, Report};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::log::Publish;
use acts::{ACTS, Act, FORGET_LOG, Sign};
use receipt_core::note::{KeyKind, KeyName, Signing};
use receipt_core::verdict::Verdict;
use receipt_core::witness::WitnessPolicy;
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

/// Who commits an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Has the file.
    Outsider,
    /// Has the file and the key.
    Insider,
}

/// What came of one act.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done.
    pub act: &'static str,
    /// By whom.
    pub by: Actor,
    /// The check that must FAIL; `None` for the copy to which nothing was done.
    pub expected: Option<Check>,
    /// The checks that did.
    pub failed: Vec<Check>,
    /// Whether the act changed anything: a ledger without evidence has none to change.
    pub committed: bool,
}

impl Outcome {
    /// Whether verifying said what it must.
    pub fn is_as_expected(&self) -> bool {
        !self.committed || self.expected.map_or(self.failed.is_empty(), |check| self.failed.contains(&check))
    }
}

/// The run that is tampered with: the first of three events or more.
macro_rules! the_run {
    () => {
        "(SELECT run_id FROM events GROUP BY run_id HAVING count(*) >= 3 ORDER BY min(id) LIMIT 1)"
    };
}
use the_run;

/// Commits every act on copies in `folder`, which is the caller's to remove. `seed` must be random.
///
/// # Errors
/// Where the ledger cannot be copied, or its copy cannot be written.
pub fn run(ledger: &Path, folder: &Path, seed: &[u8; 32]) -> Result<Vec<Outcome>> {
    let name: KeyName = "drill.invalid/copy".parse()?;
    let key = |salt: u8, kind| {
        let mut seed = *seed;
        seed[0] ^= salt;
        Signing::from_seed(name.clone(), kind, &seed)
    };
    let (log, other, witness) = (key(1, KeyKind::Note), key(2, KeyKind::Note), key(3, KeyKind::Cosignature));
    let whole = folder.join("whole.db");
    Ledger::backup(ledger, &whole, &mut |_, _| {})?;
    // Opened once to write, so that it has every table.
    drop(Ledger::open(&whole)?);
    execute(&whole, &FORGET_LOG)?;
    execute(&whole, &["DELETE FROM log_meta"])?;
    let kept = Ledger::open(&whole)?.checkpoint(&Publish::by(&log))?.checkpoint.signed(&witness, 1);
    let anchors = Anchors {
        checkpoints: vec![("the kept checkpoint".to_owned(), kept)],
        key: Some(log.verifier().clone()),
        witnesses: Some(WitnessPolicy::parse(&format!("witness w {}\nquorum w\n", witness.verifier()))?),
        ..Anchors::default()
    };
    let nothing_to_tamper_with = anchors.checkpoints.iter().all(|(_, kept)| kept.checkpoint().head.size == 0);
    let mut outcomes = Vec::new();
    for (number, act) in ACTS.iter().enumerate() {
        let copy = folder.join(format!("{number}.db"));
        Ledger::backup(&whole, &copy, &mut |_, _| {})?;
        let committed = commit(act, &copy, &log, &other)? && !(nothing_to_tamper_with && act.expected.is_some());
        let ledger = Ledger::open_read_only(&copy)?;
        let report = Audit::of(&ledger).against(&anchors).run()?;
        drop(ledger);
        std::fs::remove_file(&copy).map_err(|source| Error::Io { path: copy, source })?;
        let Act { name, by, expected, .. } = act;
        let failed = failed(&report);
        outcomes.push(Outcome { act: name, by: *by, expected: *expected, failed, committed });
    }
    Ok(outcomes)
}

fn failed(report: &Report) -> Vec<Check> {
    report.checks.iter().filter(|check| check.verdict == Verdict::Fail).map(|check| check.check).collect()
}

/// Whether the act changed anything.
fn commit(act: &Act, copy: &Path, log: &Signing, other: &Signing) -> Result<bool> {
    let mut changed = act.expected.is_none() || execute(copy, act.sql)?;
    if !changed && act.expected == Some(Check::Evidence) {
        changed = change_a_piece(copy)?;
    }
    if let Some(edit) = act.edit {
        changed = retell::retell(copy, edit)?;
    }
    let signer = match act.sign {
        Sign::Again => log,
        Sign::Another => other,
        Sign::No => return Ok(changed),
    };
    if changed {
        Ledger::open(copy)?.checkpoint(&Publish::by(signer))?;
    }
    Ok(changed)
}

/// Changes evidence that lies compressed, where a ledger has such.
fn change_a_piece(path: &Path) -> Result<bool> {
    let connection = open(path)?;
    let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'blob_pieces'";
    if connection.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(false);
    }
    let sql = "UPDATE blob_pieces SET data = CAST(substr(data, 1, length(data) / 2) || '!' || \
               substr(data, length(data) / 2 + 2) AS BLOB) WHERE id = (SELECT min(id) FROM blob_pieces)";
    Ok(connection.execute(sql, [])? > 0)
}

fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = OFF; DROP TRIGGER IF EXISTS events_are_not_updated; \
         DROP TRIGGER IF EXISTS events_are_not_deleted",
    )?;
    Ok(connection)
}

fn execute(path: &Path, statements: &[&str]) -> Result<bool> {
    let connection = open(path)?;
    let mut changed = 0;
    for sql in statements {
        changed += connection.execute(sql, [])?;
    }
    Ok(changed > 0)
}
