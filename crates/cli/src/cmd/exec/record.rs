//! The record of a command, and how good its verdict can still be.

use super::child::{GivenUp, Ran};
use super::keep::Kept;
use super::streams::not_whole;
use super::{intent, outputs, walk};
use crate::term::escape;
use receipt_kernel::core::evidence::{REDACTION_FAILED, UNSCANNED};
use receipt_kernel::write::{Gate, Left, Part};
use receipt_kernel::{Evaluation, EvidenceClass, Ledger, Object, RunWriter, Value, Verdict};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The record of a command, and how good its verdict can still be.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) writer: RunWriter,
    pub(super) ledger: Ledger,
    /// Replaces secrets in the texts that people are shown: paths and errors may have some.
    pub(super) gate: Gate,
    /// The class of the output and the files.
    pub(super) class: EvidenceClass,
    ledger_path: PathBuf,
    pub(super) items: Vec<Part>,
    at_best: Verdict,
    /// Why the verdict can be no better.
    pub(super) limits: Vec<String>,
    /// The first failure of the ledger. Later steps are tried all the same: evidence that is too much for a disk leaves
    /// room for the event that says so.
    pub(super) failure: Option<receipt_kernel::Error>,
    /// The first stream or file that could not be kept, and why.
    pub(super) not_kept: Option<String>,
    /// The streams that are on record: their files lie beside the ledger until the run has ended.
    kept: Vec<Kept>,
    /// The streams that are not on record and whose files stay, for `receipt recover`.
    pub(super) left: Vec<String>,
    /// The first stream that could not be shown to its end, and why.
    pub(super) not_shown: Option<String>,
}

/// The end of a run that was finalized.
pub(super) struct Concluded {
    pub(super) verdict: Verdict,
    pub(super) evaluation: Evaluation,
}

impl Record {
    pub(super) fn new(
        writer: RunWriter,
        ledger: Ledger,
        gate: Gate,
        ledger_path: PathBuf,
        class: EvidenceClass,
    ) -> Self {
        Self {
            writer,
            ledger,
            gate,
            class,
            ledger_path,
            items: Vec::new(),
            at_best: Verdict::Pass,
            limits: Vec::new(),
            failure: None,
            not_kept: None,
            kept: Vec::new(),
            left: Vec::new(),
            not_shown: None,
        }
    }

    pub(super) fn intend(&mut self, command: &[OsString], terminals: &[&str]) -> receipt_kernel::Result<()> {
        // Here it is still known that these are arguments; as text only the lines of JSON would be.
        let intended = self.ledger.gate()?.object(intent::command(command, terminals));
        self.limit_withheld("command", intended.get(UNSCANNED).and_then(Value::as_str));
        outputs::put_json(self, "command", intended.into_inner())
    }

    /// Lets the verdict be no better than this.
    pub(super) fn limit(&mut self, verdict: Verdict, why: &str) {
        self.at_best = self.at_best.worse(verdict);
        self.limits.push(self.gate.text(why).into_inner());
    }

    /// A text for a line on standard error.
    pub(super) fn shown(&self, text: &str) -> String {
        escape(&self.gate.text(text))
    }

    /// Notes a stream or a file that could not be kept.
    pub(super) fn not_kept(&mut self, why: String) {
        self.limit(Verdict::Unknown, &why);
        self.not_kept.get_or_insert(why);
    }

    /// Of what was withheld nothing can be said.
    fn limit_withheld(&mut self, key: &str, unscanned: Option<&str>) {
        if unscanned == Some(REDACTION_FAILED) {
            self.limit(Verdict::Unknown, &format!("REDACTION_FAILED: {key} was withheld, as redaction itself failed"));
        }
    }

    pub(super) fn put(&mut self, key: &str, object: Object) {
        let done = outputs::put_json(self, key, object);
        self.settle(key, done);
    }

    /// Puts a stream or a file. A stream that cannot be put stays in its files.
    pub(super) fn put_kept(&mut self, key: &str, mut kept: Kept, kind: Option<&str>) {
        if let Some(error) = &kept.cut {
            self.not_kept(not_whole(key, error));
        }
        self.limit_withheld(key, kept.unscanned());
        let done = kept.put(&mut self.writer, key, (kind, self.class), &mut self.items);
        if done.is_ok() {
            self.kept.push(kept);
        } else if let Some(Left { file, problem }) = kept.leave() {
            let but = problem.map(|problem| format!(", but for its end: {problem}")).unwrap_or_default();
            let left = format!("{key} is kept in {}{but}", file.display());
            self.left.push(self.gate.text(&left).into_inner());
        }
        self.settle(key, done);
    }

    fn settle(&mut self, key: &str, done: receipt_kernel::Result<()>) {
        if let Err(error) = done {
            self.limit(Verdict::Unknown, &format!("{key} could not be put on record: {error}"));
            self.failure.get_or_insert(error);
        }
    }

    /// Whether a path is the ledger itself or one of the files that are kept beside it.
    pub(super) fn is_ledger(&self, path: &Path) -> bool {
        let Ok(ledger) = self.ledger_path.canonicalize() else { return false };
        // The files beside it come and go: one that is gone is told by its name in its folder.
        let found = path.canonicalize().or_else(|error| {
            let (folder, name) = path.parent().zip(path.file_name()).ok_or(error)?;
            Ok::<_, io::Error>(Path::new(".").join(folder).canonicalize()?.join(name))
        });
        let Ok(path) = found else { return false };
        let beside = path.as_os_str().as_bytes().strip_prefix(ledger.as_os_str().as_bytes());
        beside.is_some_and(|ending| matches!(ending, b"" | b"-wal" | b"-shm") || ending.starts_with(b"-spool-"))
    }

    /// Puts the evidence of the command on record, judges the run, and finalizes it. `None` if a stream was left for `receipt
    /// recover`: nothing can be put into a run that is finalized.
    ///
    /// The structural invariants about the ending are judged when there is one: the worse of both verdicts stands. They are
    /// judged on the ledger that lies at the path now: a command that removes or replaces the ledger takes its record with
    /// it, and the events since went nowhere.
    pub(super) fn conclude(&mut self, ran: &mut Ran, paths: &[PathBuf]) -> receipt_kernel::Result<Option<Concluded>> {
        let exit_status = ran.to_object();
        for stream in std::mem::take(&mut ran.streams) {
            if let Some(given_up) = ran.given_up.filter(|_| stream.cut) {
                // At the time that was set the command's own output is whole. After a signal nobody knows.
                let at_best = if given_up == GivenUp::Signal { Verdict::Unknown } else { Verdict::Warn };
                self.limit(at_best, &given_up.why(stream.key));
            }
            if let Some(why) = stream.not_shown {
                let why = format!("{} could not be shown to its end: {why}", stream.key);
                self.limit(Verdict::Unknown, &why);
                self.not_shown.get_or_insert(why);
            }
            match stream.kept {
                Ok(kept) => self.put_kept(stream.key, kept, Some("tool:output")),
                Err(error) => self.not_kept(format!("{} could not be kept: {error}", stream.key)),
            }
        }
        self.put("exit_status", exit_status);
        let mut paths: Vec<&PathBuf> = paths.iter().collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            outputs::put(self, path);
        }
        if !self.left.is_empty() {
            self.kept.drain(..).for_each(Kept::discard);
            return Ok(None);
        }
        let (verdict, _) = walk::finish(&mut self.writer, self.at_best, &self.limits)?;
        self.kept.drain(..).for_each(Kept::discard);
        let ledger = Ledger::open_read_only(&self.ledger_path)?;
        let evaluation = ledger.evaluate(self.writer.run_id().as_str(), None)?;
        Ok(Some(Concluded { verdict: verdict.worse(evaluation.overall_verdict), evaluation }))
    }
}
