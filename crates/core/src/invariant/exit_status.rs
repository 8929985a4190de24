//! `exec.exit_status`: the recorded command ran, and ended by itself with status 0.

use super::evidence::{Document, Evidence};
use super::params::Params;
use super::{Invariant, InvariantResult};
use crate::error::Error;
use crate::json::{Object, Value};
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};

/// Evidence `exit_status`: `{"code": int or null, "signal": int or null, "error": text or null}`, and what else its
/// writer adds.
const EXIT_STATUS: Document = Document {
    key: "exit_status",
    missing: "EXIT_STATUS_MISSING",
    malformed: "EXIT_STATUS_MALFORMED",
    expired: "EXIT_STATUS_EXPIRED",
    corrupt: "EXIT_STATUS_CORRUPT",
};

/// Every exit status that was put is 0: a later success does not undo an earlier failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitStatus;

impl ExitStatus {
    /// Its id.
    pub const ID: &'static str = "exec.exit_status";

    /// The invariant takes no parameters.
    ///
    /// # Errors
    /// [`Error::Policy`] for any.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        Params::new(Self::ID, params).end().map(|()| Self)
    }
}

impl Invariant for ExitStatus {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn reads(&self) -> &'static [&'static str] {
        &["exit_status"]
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        let evidence = Evidence::of(run);
        evidence.report_problems(&mut result);
        let missing = |msg| (Verdict::Fail, Reason::new(EXIT_STATUS.missing, msg));
        let mut puts = evidence.puts.iter().filter(|put| put.is_of(EXIT_STATUS.key)).peekable();
        if puts.peek().is_none() {
            let (verdict, reason) = missing("evidence exit_status was never put");
            result.find(verdict, reason);
        }
        for put in puts {
            let read = evidence.read(put, &EXIT_STATUS, || missing("the blob of exit_status is not there"));
            if let Err((verdict, reason)) = read.and_then(|status| check(&status)) {
                result.find(verdict, reason);
            }
        }
        result
    }
}

fn check(status: &Value) -> Result<(), (Verdict, Reason)> {
    let fail = |code, msg| Err((Verdict::Fail, Reason::new(code, msg)));
    let malformed = |msg: &str| fail(EXIT_STATUS.malformed, format!("exit_status: {msg}"));
    let Some(object) = status.as_object() else { return malformed("it must be an object") };
    let member = |key| object.get(key).filter(|value| !value.is_null());
    let integer = |key| member(key).map(Value::as_i64);
    let error = member("error").map(Value::as_str);
    match (error, integer("signal"), integer("code")) {
        (Some(None), _, _) => malformed("error must be text or null"),
        (_, Some(None), _) | (_, _, Some(None)) => malformed("code and signal must be integers or null"),
        (Some(Some(error)), _, _) => fail("NOT_STARTED", format!("the command could not be started: {error}")),
        (None, Some(Some(signal)), _) => fail("KILLED_BY_SIGNAL", format!("the command was killed by signal {signal}")),
        (None, None, Some(Some(0))) => Ok(()),
        (None, None, Some(Some(code))) => fail("NON_ZERO_EXIT", format!("the command ended with status {code}")),
        (None, None, None) => malformed("it says neither code, signal nor error"),
    }
}
