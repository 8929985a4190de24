//! `receipt scan`: secrets that were recorded before a rule knew them.

use crate::context::Context;
use crate::error::Result;
use crate::name::WholeName;
use crate::term;
use receipt_kernel::evidence::scan::{Finding, Scanned};
use receipt_kernel::{Object, Value};
use std::process::ExitCode;

/// Look for secrets in what is stored, by today's rules
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt scan
  receipt scan @last
  receipt --rules ours.toml scan

It looks at every event, every setting and every blob that has its bytes, or at the events and
blobs of the runs that are named. It says where a secret is, never what it is. Output that was
recorded in parts is looked into as one text. `receipt redact` replaces what a blob holds. What an
event says stays: revoke the secret. Archives and sealed evidence are named as not scanned. The exit
status is 1 if something was found.")]
pub(crate) struct Args {
    /// The runs: whole ids, or @last; all runs and blobs where none is named
    runs: Vec<WholeName>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.with_rules(context.open_read_only()?)?;
    let runs = args.runs.iter().map(|run| run.find(&ledger)).collect::<Result<Vec<_>>>()?;
    let scanned = ledger.scan(&runs)?;
    if context.json {
        context.print_json(&document(&scanned).into())?;
    } else {
        for finding in &scanned.findings {
            context.print(&term::escape(&line(finding)))?;
        }
        for (what, why) in scanned.unscanned.iter().filter(|_| !context.quiet) {
            context.print(&term::escape(&format!("not scanned: {what}: {why}")))?;
        }
        let Scanned { findings, more, events, blobs, unscanned, .. } = &scanned;
        let (found, not) = (findings.len() as u64 + more, unscanned.len());
        let sum = format!("{found} found in {events} events and {blobs} blobs, {not} not scanned");
        if !context.quiet {
            context.print(&sum)?;
        }
    }
    Ok(if scanned.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn line(finding: &Finding) -> String {
    let at = finding.at.map(|(offset, length)| format!(", {length} characters at {offset}")).unwrap_or_default();
    format!("{}: {}{at}", finding.place, finding.rule)
}

fn document(scanned: &Scanned) -> Object {
    let finding = |finding: &Finding| {
        let mut object =
            Object::from_iter([("ref", Value::from(finding.place.to_string())), ("rule", (&*finding.rule).into())]);
        if let Some((offset, length)) = finding.at {
            object.insert("offset", offset);
            object.insert("length", length);
        }
        Value::from(object)
    };
    let unscanned = |(what, why): &(String, String)| {
        Value::from(Object::from_iter([("ref", Value::from(what.as_str())), ("why", why.as_str().into())]))
    };
    Object::from_iter([
        ("findings", Value::from(scanned.findings.iter().map(finding).collect::<Vec<_>>())),
        ("unscanned", scanned.unscanned.iter().map(unscanned).collect::<Vec<_>>().into()),
        ("more_findings", scanned.more.into()),
        ("allowed", scanned.allowed.into()),
        ("events", scanned.events.into()),
        ("blobs", scanned.blobs.into()),
        ("rules", scanned.rules.as_str().into()),
    ])
}
