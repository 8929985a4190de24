//! What is told when a command has ended, and the exit status.

use super::end::End;
use super::keep;
use super::record::{Concluded, Record};
use crate::cmd::verify;
use crate::context::Context;
use crate::error::Error;
use crate::hints;
use crate::term::{self, BAD, escape, paint};
use receipt_kernel::evidence::redact::without_secrets;
use receipt_kernel::{Evaluation, Object, Value, Verdict};
use std::io::{self, Write};
use std::process::ExitCode;

/// What is not of the command: its output could not be shown, or the recording of it failed.
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
    pub(super) fn new(record: &'c Record, end: &'c End, concluded: receipt_kernel::Result<Concluded>) -> Self {
        let (concluded, failed) = match concluded {
            Ok(concluded) => (Some(concluded), None),
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
                let _ = writeln!(
                    context.stderr(),
                    "{} {}",
                    paint(BAD, "error:"),
                    escape(&without_secrets(&error.to_string()))
                );
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
            ("evaluation", concluded.map_or(Value::Null, |concluded| concluded.evaluation.to_value())),
        ]);
        if let Some(failure) = self.failure() {
            let error = Object::from_iter([
                ("kind", failure.code()),
                ("msg", &failure.to_string()),
                ("hint", hints::of_error(failure)),
            ]);
            document.insert("error", error);
        }
        document.into()
    }

    fn tell(&self, context: &Context) -> io::Result<()> {
        let mut out = context.stderr();
        let run_id = escape(self.record.writer.run_id().as_str());
        if let Some(failure) = self.failure() {
            writeln!(out, "error: {}", escape(&failure.to_string()))?;
            let hint = hints::of_error(failure);
            if !hint.is_empty() {
                writeln!(out, " help: {hint}")?;
            }
        } else if let Some(problem) = &self.record.not_kept {
            writeln!(out, "error: {}", escape(problem))?;
        }
        if self.has_gaps() {
            writeln!(out, "receipt: the recording failed; {}", escape(&self.end.to_string()))?;
        }
        if let Some(problem) = self.record.not_shown.as_ref().filter(|_| self.status() == NOT_OURS) {
            writeln!(out, "error: {}", escape(problem))?;
        }
        let Some(Concluded { verdict, evaluation }) = &self.concluded else {
            return writeln!(out, "receipt: run {run_id} was not concluded  (see: receipt recover {run_id})");
        };
        if context.quiet {
            return Ok(());
        }
        writeln!(out, "receipt: {}  run {run_id}  (see: receipt log {run_id})", term::verdict(*verdict))?;
        let reasons = reasons(self.record, *verdict, evaluation);
        for reason in reasons.iter().take(REASONS_SHOWN) {
            writeln!(out, "  {}", escape(reason))?;
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
