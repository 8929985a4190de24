//! What to do next, in commands. The library knows none of them: it says what is wrong, and this file what to type.

use receipt_kernel::store::StoreErrorKind;
use receipt_kernel::{Check, Error};

/// What to do about an error of the library; empty if its message says it all.
pub(crate) fn of_error(error: &Error) -> &'static str {
    match error {
        Error::RunNotFound { .. } => "`receipt runs` lists the runs",
        Error::RunExists { .. } => "choose another id, or continue the run with `receipt append`, `put` or `advance`",
        Error::RunUncommitted { .. } => "start a new run in this ledger with `receipt start`",
        Error::RunBroken { .. } => {
            "`receipt verify` says what is wrong; `receipt backup` keeps a copy before you mend anything"
        }
        Error::VerdictTooGood { .. } => "`receipt evaluate` again, or finalize with the verdict that it allows",
        Error::LogBroken { .. } => "`receipt verify` says what is wrong; nothing was signed",
        Error::WrongKey { .. } => "sign with the ledger's key; for a new one give the old one too, with --previous",
        Error::NotLogged { .. } => "`receipt checkpoint --key FILE` makes one that does",
        Error::ForeignCheckpoint { .. } => "`receipt verify --checkpoint FILE` says what does not fit",
        Error::TooLarge { what: "evidence", .. } => {
            "`receipt put --by-digest` records it without its bytes; what is secret, encrypt first"
        }
        Error::TooLarge { .. } => "put large data on record as evidence with `receipt put`",
        Error::EventNotFound { .. } => "`receipt log` shows the events of a run",
        Error::BlobNotFound { .. } => "`receipt log` shows the blobs of a run",
        Error::BlobUnavailable { .. } => "`receipt verify` says which evidence is affected",
        Error::NotParts { .. } => "`receipt cat --raw` writes it as it is",
        Error::KeyNotPut { .. } => "`receipt log RUN` shows what there is",
        Error::NoRecipient => {
            "`age-keygen -o key.txt` makes a key; `receipt recipients add age1…` names its public half"
        }
        Error::BadIdentity { .. } | Error::NotOpened { .. } => {
            "give the private half of one of the keys that `receipt show` lists for the evidence"
        }
        Error::BadRecipient { .. } => "`receipt recipients` lists those of the ledger",
        Error::Held { .. } => "`receipt retain release RUN` lets it go",
        Error::RetentionUnset => "`receipt retain set` makes one; see `receipt retain set --help`",
        Error::NotFound { .. } => "`receipt init` makes one; --ledger or RECEIPT_LEDGER names one",
        Error::NotALedger { .. } => "check the path; --ledger or RECEIPT_LEDGER names a ledger",
        Error::Store(error) => of_store(error.kind()),
        Error::Internal { .. } => "nothing was written; please report it: it is not your fault",
        error => error.hint(),
    }
}

fn of_store(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Ignored => {
            "a trigger or a constraint that is not the kernel's is in the ledger: `receipt verify` names it"
        }
        StoreErrorKind::InDoubt => {
            "`receipt log RUN` says whether it is there; an append with --key can be repeated; then check the disk"
        }
        kind if !kind.hint().is_empty() => kind.hint(),
        _ => {
            "nothing was written; `receipt verify` says whether the ledger is whole; else check the disk and its limits"
        }
    }
}

/// What settles a check that was left open, by the reason's code; nothing if its message says it all.
pub(crate) fn of_reason(code: &str) -> Option<&'static str> {
    match code {
        "NO_CHECKPOINT" => Some("--checkpoint FILE gives one"),
        "REPLAY_TOO_LARGE" => Some("--replay-limit MIB takes more"),
        "EVIDENCE_ELSEWHERE" | "EVIDENCE_WITHHELD" | "EVIDENCE_SEALED" => Some("--evidence KEY=FILE compares it"),
        _ => None,
    }
}

/// What would cover these checks, which the record alone does not settle.
pub(crate) fn of_uncovered(open: &[Check]) -> &'static str {
    let is_open = |check| open.contains(&check);
    if is_open(Check::Log) {
        "a checkpoint made before `receipt export` covers them; -v says more"
    } else if [Check::Tail, Check::Runs, Check::Rollback, Check::Key].into_iter().any(is_open) {
        "a checkpoint kept elsewhere covers them: `receipt checkpoint --help`; -v says more"
    } else if is_open(Check::Fork) {
        "a witness covers it: `receipt witness --help`; -v says more"
    } else {
        "-v says why"
    }
}

/// What to do about what retention left alone.
pub(crate) const LEFT_ALONE: &str = "`receipt verify` says more of what was left alone";
