//! What is put on record of a command, and how good its verdict can still be.

use super::child::{GivenUp, Ran};
use super::keep::Kept;
use super::{intent, outputs, walk};
use receipt_kernel::write::Part;
use receipt_kernel::{Evaluation, EvidenceClass, Ledger, Object, RunWriter, Verdict};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is put on record of a command, and how good its verdict can still be.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) writer: RunWriter,
    pub(super) ledger: Ledger,
    /// Of the output and the files.
    pub(super) class: EvidenceClass,
    ledger_path: PathBuf,
    pub(super) items: Vec<Part>,
    at_best: Verdict,
    /// Why it can be no better.
    pub(super) limits: Vec<String>,
    /// The first failure of the ledger. Later steps are tried all the same: evidence that is too much for a disk leaves
    /// room for the event that says so.
    pub(super) failure: Option<receipt_kernel::Error>,
    /// The first thing of the command's that could not be kept, and why.
    pub(super) not_kept: Option<String>,
    /// What lies beside the ledger until the run has ended.
    kept: Vec<Kept>,
    /// The first stream that could not be shown to its end, and why.
    pub(super) not_shown: Option<String>,
}

/// What is known of a run that was finalized.
pub(super) struct Concluded {
    pub(super) verdict: Verdict,
    pub(super) evaluation: Evaluation,
}

impl Record {
    pub(super) fn new(writer: RunWriter, ledger: Ledger, ledger_path: PathBuf, class: EvidenceClass) -> Self {
        let (items, limits) = (Vec::new(), Vec::new());
        let at_best = Verdict::Pass;
        let (failure, not_kept, not_shown) = (None, None, None);
        let kept = Vec::new();
        Self { writer, ledger, class, ledger_path, items, at_best, limits, failure, not_kept, kept, not_shown }
    }

    pub(super) fn intend(&mut self, command: &[OsString], terminals: &[&str]) -> receipt_kernel::Result<()> {
        // Here it is still known that these are arguments; as text only the lines of JSON would be.
        let intended = self.ledger.gate()?.object(intent::command(command, terminals));
        outputs::put_json(self, "command", intended.into_inner())
    }

    /// The verdict can be no better than this.
    pub(super) fn limit(&mut self, verdict: Verdict, why: String) {
        self.at_best = self.at_best.worse(verdict);
        self.limits.push(why);
    }

    pub(super) fn put(&mut self, key: &str, object: Object) {
        let done = outputs::put_json(self, key, object);
        self.settle(key, done);
    }

    pub(super) fn put_kept(&mut self, key: &str, kept: io::Result<Kept>, kind: Option<&str>) {
        match kept {
            Ok(mut kept) => {
                let done = kept.put(&mut self.writer, key, (kind, self.class), &mut self.items);
                self.kept.push(kept);
                self.settle(key, done);
            }
            Err(error) => {
                let why = format!("{key} could not be kept: {error}");
                self.not_kept.get_or_insert_with(|| why.clone());
                self.limit(Verdict::Unknown, why);
            }
        }
    }

    fn settle(&mut self, key: &str, done: receipt_kernel::Result<()>) {
        if let Err(error) = done {
            self.limit(Verdict::Unknown, format!("{key} could not be put on record: {error}"));
            self.failure.get_or_insert(error);
        }
    }

    /// Whether a path is the ledger itself or one of the files that are kept beside it.
    pub(super) fn is_ledger(&self, path: &Path) -> bool {
        let (Ok(ledger), Ok(path)) = (self.ledger_path.canonicalize(), path.canonicalize()) else { return false };
        let beside = path.as_os_str().as_bytes().strip_prefix(ledger.as_os_str().as_bytes());
        beside.is_some_and(|ending| matches!(ending, b"" | b"-wal" | b"-shm") || ending.starts_with(b"-spool-"))
    }

    /// Puts on record what the command left, judges it, and finalizes. The structural invariants about the ending are judged
    /// when there is one: the worse of both verdicts stands. They are judged on what lies at the ledger's path: a command
    /// that removes or replaces the ledger takes its record with it, and what was written since went nowhere.
    pub(super) fn conclude(&mut self, ran: &mut Ran, paths: &[PathBuf]) -> receipt_kernel::Result<Concluded> {
        let exit_status = ran.to_object();
        for stream in std::mem::take(&mut ran.streams) {
            if let Some(given_up) = ran.given_up.filter(|_| stream.cut) {
                // At the time that was set the command's own output is whole. After a signal nobody knows.
                let at_best = if given_up == GivenUp::Signal { Verdict::Unknown } else { Verdict::Warn };
                self.limit(at_best, given_up.why(stream.key));
            }
            if let Some(why) = stream.not_shown {
                let why = format!("{} could not be shown to its end: {why}", stream.key);
                self.not_shown.get_or_insert_with(|| why.clone());
                self.limit(Verdict::Unknown, why);
            }
            self.put_kept(stream.key, stream.kept, Some("tool:output"));
        }
        self.put("exit_status", exit_status);
        let mut paths: Vec<&PathBuf> = paths.iter().collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            outputs::put(self, path);
        }
        let (verdict, _) = walk::finish(&mut self.writer, self.at_best, &self.limits)?;
        self.kept.drain(..).for_each(Kept::discard);
        let ledger = Ledger::open_read_only(&self.ledger_path)?;
        let evaluation = ledger.evaluate(self.writer.run_id().as_str(), None)?;
        Ok(Concluded { verdict: verdict.worse(evaluation.overall_verdict), evaluation })
    }
}
