//! The closing lines and the document of a command that has ended, and the exit status.

use super::end::End;
use super::keep;
use super::record::{Concluded, Record};
use crate::cmd::verify;
use crate::context::Context;
use crate::error::Error;
use crate::hints;
use crate::term::{self, BAD, paint};
use receipt_kernel::{Evaluation, Object, Value, Verdict};
use std::io::{self, Write};
use std::process::ExitCode;

/// The status that is not the command's: its output could not be shown, or the recording of it failed.
const NOT_OURS: u8 = 125;
/// How many reasons the closing lines give.
const REASONS_SHOWN: usize = 3;

/// How a command ended, and how its recording did.
pub(super) struct Closing<'c> {
    record: &'c Record,
    end: &'c End,
    concluded: Option<Concluded>,
    failed: Option<receipt_kernel::Error>,
}

impl<'c> Closing<'c> {
    pub(super) fn new(record: &'c Record, end: &'c End, concluded: receipt_kernel::Result<Option<Concluded>>) -> Self {
        let (concluded, failed) = match concluded {
            Ok(concluded) => (concluded, None),
            Err(error) => (None, Some(error)),
        };
        Self { record, end, concluded, failed }
    }

    /// The first failure of the ledger.
    fn failure(&self) -> Option<&receipt_kernel::Error> {
        self.record.failure.as_ref().or(self.failed.as_ref())
    }

    /// Whether something of the command is not on record that should be.
    fn has_gaps(&self) -> bool {
        self.failure().is_some() || self.record.not_kept.is_some()
    }

    /// The exit status: the command's own where that is not 0, else the verdict's. A recording that failed hides both, as
    /// nobody may take it for one that was made.
    fn status(&self) -> u8 {
        let own = self.end.status();
        match &self.concluded {
            Some(concluded) if !self.has_gaps() => match own {
                0 if self.record.not_shown.is_some() => NOT_OURS,
                0 => verify::status(concluded.verdict),
                own => own,
            },
            _ => NOT_OURS,
        }
    }

    /// Tells it, and gives the exit status.
    pub(super) fn report(&self, context: &Context) -> ExitCode {
        let status = self.status();
        let told = if context.json {
            context.print_json(&self.document(status))
        } else {
            self.tell(context).map_err(|source| Error::File { what: "standard error".to_owned(), source })
        };
        match told {
            Ok(()) => ExitCode::from(status),
            Err(error) => {
                let error = self.record.shown(&error.to_string());
                let _ = writeln!(context.stderr(), "{} {error}", paint(BAD, "error:"));
                ExitCode::from(if status == 0 { NOT_OURS } else { status })
            }
        }
    }

    fn document(&self, status: u8) -> Value {
        let (record, concluded) = (self.record, self.concluded.as_ref());
        let mut document = Object::from_iter([
            ("run_id", Value::from(record.writer.run_id().as_str())),
            ("overall_verdict", Value::from(concluded.map(|concluded| concluded.verdict))),
            ("exit_code", Value::from(u32::from(status))),
            ("command_status", Value::from(u32::from(self.end.status()))),
            ("evidence", Value::Array(record.items.iter().map(keep::item).collect())),
            ("limits", Value::from(record.limits.clone())),
            ("left", Value::from(record.left.clone())),
            ("evaluation", concluded.map_or(Value::Null, |concluded| concluded.evaluation.to_value())),
        ]);
        if let Some(failure) = self.failure() {
            let msg = record.gate.text(&failure.to_string());
            let error = [("kind", failure.code()), ("msg", msg.as_str()), ("hint", hints::of_error(failure))];
            let error = Object::from_iter(error);
            document.insert("error", error);
        }
        document.into()
    }

    fn tell(&self, context: &Context) -> io::Result<()> {
        let mut out = context.stderr();
        let record = self.record;
        let run_id = record.shown(record.writer.run_id().as_str());
        if let Some(failure) = self.failure() {
            writeln!(out, "error: {}", record.shown(&failure.to_string()))?;
            let hint = hints::of_error(failure);
            if !hint.is_empty() {
                writeln!(out, " help: {hint}")?;
            }
        }
        if let Some(problem) = &record.not_kept {
            writeln!(out, "error: {}", record.shown(problem))?;
        }
        if self.has_gaps() {
            writeln!(out, "receipt: the recording failed; {}", record.shown(&self.end.to_string()))?;
        }
        if let Some(problem) = record.not_shown.as_ref().filter(|_| self.status() == NOT_OURS) {
            writeln!(out, "error: {}", record.shown(problem))?;
        }
        for left in &record.left {
            writeln!(out, "receipt: {}", record.shown(left))?;
        }
        let Some(Concluded { verdict, evaluation }) = &self.concluded else {
            return match self.failure() {
                Some(receipt_kernel::Error::RunFinalized { .. }) => {
                    writeln!(out, "receipt: run {run_id} was ended by somebody else  (see: receipt log {run_id})")
                }
                _ => writeln!(out, "receipt: run {run_id} was not concluded  (see: receipt recover {run_id})"),
            };
        };
        if context.quiet {
            return Ok(());
        }
        writeln!(out, "receipt: {}  run {run_id}  (see: receipt log {run_id})", term::verdict(*verdict))?;
        let reasons = reasons(record, *verdict, evaluation);
        for reason in reasons.iter().take(REASONS_SHOWN) {
            writeln!(out, "  {}", record.shown(reason))?;
        }
        match reasons.len().saturating_sub(REASONS_SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more"),
        }
    }
}

/// Why the verdict is not PASS, each reason once.
fn reasons(record: &Record, verdict: Verdict, evaluation: &Evaluation) -> Vec<String> {
    if verdict == Verdict::Pass {
        return Vec::new();
    }
    let mut reasons = record.limits.clone();
    for (result, reason) in evaluation.complaints() {
        let text = format!("{}: {} ({})", reason.code, reason.msg, result.invariant_id);
        if !reasons.contains(&text) {
            reasons.push(text);
        }
    }
    reasons
}
