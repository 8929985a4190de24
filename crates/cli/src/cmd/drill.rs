//! `receipt drill`: tampers with copies of the ledger, and shows what verifying says.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::term;
use receipt_kernel::drill::{self, Actor, Outcome};
use receipt_kernel::{Check, Object, Value};
use std::process::ExitCode;

/// Tamper with copies of the ledger in every way, and show what verify says to each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt drill

The ledger is only read. Each copy has a checkpoint kept aside, its key, and a witness. The exit status is 1 where an
act was not seen as it must be.")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, context: &Context) -> Result<ExitCode> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::Input(format!("no random numbers: {error}")))?;
    let folder = tempfile::tempdir().map_err(|source| Error::File { what: "a temporary folder".to_owned(), source })?;
    let outcomes = drill::run(&context.ledger_path()?, folder.path(), &seed)?;
    let all = outcomes.iter().all(Outcome::is_as_expected);
    if context.json {
        let acts = outcomes.iter().map(document).collect();
        context
            .print_json(&Object::from_iter([("as_expected", Value::from(all)), ("acts", Value::Array(acts))]).into())?;
    } else {
        context.print(&format!("{:<57} {:<9} {:<9} got", "act", "by", "expected"))?;
        for outcome in &outcomes {
            context.print(&line(outcome))?;
        }
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn by(outcome: &Outcome) -> &'static str {
    match outcome.by {
        Actor::Outsider => "outsider",
        Actor::Insider => "insider",
    }
}

fn line(outcome: &Outcome) -> String {
    let got = if !outcome.committed {
        "(not possible here)".to_owned()
    } else if outcome.failed.is_empty() {
        "nothing fails".to_owned()
    } else {
        outcome.failed.iter().map(|check| check.as_str()).collect::<Vec<_>>().join(", ")
    };
    let style = if outcome.is_as_expected() { term::GOOD } else { term::BAD };
    let expected = outcome.expected.map_or("-", Check::as_str);
    format!("{:<57} {:<9} {:<9} {}", outcome.act, by(outcome), expected, term::paint(style, &got))
}

fn document(outcome: &Outcome) -> Value {
    let failed = outcome.failed.iter().map(|check| Value::from(check.as_str())).collect();
    Value::from(Object::from_iter([
        ("act", Value::from(outcome.act)),
        ("by", by(outcome).into()),
        ("expected", outcome.expected.map_or(Value::Null, |check| check.as_str().into())),
        ("failed", Value::Array(failed)),
        ("committed", outcome.committed.into()),
        ("as_expected", outcome.is_as_expected().into()),
    ]))
}
