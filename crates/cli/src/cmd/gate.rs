//! `receipt gate`: whether somebody may rely on a run.

use super::audit::{Against, Audited, Subjects};
use super::summary::{self, ended};
use super::verify::exit_code;
use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::{input, term};
use receipt_kernel::core::id::PolicyDigest;
use receipt_kernel::{Ending, Gate, Object, PolicyName, Reason, Value, Verdict};
use std::path::Path;
use std::process::ExitCode;

/// Let on only what may be relied on: runs that are intact, and ended as PASS
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt gate @last && ./deploy
  receipt gate build-42 --policy release.toml
  receipt gate build-42.receipt --vkey KEY          a bundle, with no ledger at hand
  receipt gate build-42 --checkpoint kept.note --vkey KEY --require tail,runs,rollback,key

The gate judges the finished run once more, as a whole: an evaluation in the run comes before its end.

Whoever records a run chooses its policy: --policy says which one it has to be. A run under another policy is not let
on, and `receipt evaluate RUN --policy FILE` judges it by yours. The exit status is 0 only where each run may be relied on;
1 where one may not, 3 where that is UNKNOWN. What is missing is named.")]
pub(crate) struct Args {
    /// The runs, by their whole ids or @last. Or bundles: files that end in .receipt or .receipt.jsonl, or any file as
    /// ./FILE
    #[arg(value_name = "RUN|FILE", required = true)]
    subjects: Vec<String>,
    /// The policy that each run must have committed to: a file, or a digest (sha256:…)
    #[arg(long, value_name = "FILE|DIGEST")]
    policy: Option<String>,
    /// WARN is good enough, of the record and of the run
    #[arg(long)]
    allow_warn: bool,
    #[command(flatten)]
    against: Against,
}

/// The gate's answer about one run.
struct Passage {
    /// The run, or the bundle where it has none.
    name: String,
    ending: Option<Ending>,
    missing: Vec<(Verdict, Reason)>,
}

impl Passage {
    fn verdict(&self) -> Verdict {
        self.missing.iter().fold(Verdict::Pass, |worst, (verdict, _)| worst.worse(*verdict))
    }

    fn says(&self) -> String {
        let Some(ending) = self.ending.as_ref().filter(|_| self.missing.is_empty()) else {
            return "may not be relied on".to_owned();
        };
        let under =
            ending.policy.as_ref().map(|policy| format!(", under policy {}", term::escape(&policy.to_string())));
        format!("may be relied on: intact, {}{}", ended(ending.outcome), under.unwrap_or_default())
    }

    fn to_value(&self) -> Value {
        let outcome = self.ending.as_ref().and_then(|ending| ending.outcome);
        let policy = self.ending.as_ref().and_then(|ending| ending.policy.as_ref());
        let missing = self.missing.iter().map(|(_, reason)| reason.to_value()).collect();
        Object::from_iter([
            ("name", Value::from(self.name.as_str())),
            ("run", Value::from(self.ending.as_ref().map(|ending| ending.run.as_str()))),
            ("verdict", self.verdict().into()),
            ("outcome", outcome.into()),
            ("policy", policy.map(PolicyName::to_value).into()),
            ("missing", Value::Array(missing)),
        ])
        .into()
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let mut gate = Gate::default().allow_warn(args.allow_warn);
    if let Some(policy) = &args.policy {
        gate = gate.policy(digest(policy)?);
    }
    match args.against.subjects(&args.subjects, context)? {
        Subjects::Runs(names) => {
            let audited = args.against.ledger(&names, context)?;
            let passages = of_runs(gate, &audited, args)?;
            let record = audited.report.overall_verdict();
            print(context, &passages, vec![audited.report.to_value()], || {
                if record == Verdict::Pass {
                    Ok(())
                } else {
                    summary::ledger(context, &audited.report, &audited.runs, &audited.pinning)
                }
            })
        }
        Subjects::Bundles(paths) => {
            let reports = args.against.bundles(&paths)?;
            let passages: Vec<Passage> = paths
                .iter()
                .zip(&reports)
                .map(|(path, report)| {
                    let mut missing = gate.missing(report.overall_verdict(), report.ending.as_ref());
                    let ending = report.ending.as_ref();
                    missing.extend(ending.into_iter().flat_map(|ending| gate.judged(ending, report.finished.as_ref())));
                    Passage { name: show(path), ending: report.ending.clone(), missing }
                })
                .collect();
            let values = reports.iter().map(receipt_kernel::bundle::BundleReport::to_value).collect();
            print(context, &passages, values, || {
                let unsound = reports.iter().filter(|report| report.overall_verdict() != Verdict::Pass);
                unsound.into_iter().try_for_each(|report| summary::bundle(context, report))
            })
        }
    }
}

/// The digest that `--policy` names: itself, or that of the policy in a file.
fn digest(policy: &str) -> Result<PolicyDigest> {
    if let Ok(digest) = policy.parse() {
        return Ok(digest);
    }
    if policy.starts_with("sha256:") {
        let problem = format!("--policy: {policy:?} is no digest: sha256: and 64 lower-case hexadecimal digits");
        return Err(Error::Input(problem));
    }
    let commitment = input::policy(Path::new(policy))?.commitment().map_err(receipt_kernel::Error::from)?;
    Ok(commitment.digest())
}

fn of_runs(gate: Gate, audited: &Audited, args: &Args) -> Result<Vec<Passage>> {
    let record = audited.report.overall_verdict();
    let of_run = |run: &receipt_kernel::RunId| {
        let ending = audited.report.endings.iter().find(|ending| ending.run == *run).cloned();
        let mut missing = gate.missing(record, ending.as_ref());
        if let Some(ending) = ending.as_ref().filter(|_| record != Verdict::Fail) {
            let replays = audited.ledger.replay_within(run, args.against.trust.replay_bytes())?;
            missing.extend(gate.replayed(ending, &replays));
        }
        Ok(Passage { name: run.as_str().to_owned(), ending, missing })
    };
    audited.runs.iter().map(of_run).collect()
}

/// Prints the gate's answers, and after them the records that are not PASS.
fn print(
    context: &Context,
    passages: &[Passage],
    records: Vec<Value>,
    more: impl FnOnce() -> Result<()>,
) -> Result<ExitCode> {
    let verdict = passages.iter().map(Passage::verdict).fold(Verdict::Pass, Verdict::worse);
    if context.json {
        let document = Object::from_iter([
            ("overall_verdict", Value::from(verdict)),
            ("runs", Value::Array(passages.iter().map(Passage::to_value).collect())),
            ("records", Value::Array(records)),
        ]);
        context.print_json(&document.into())?;
        return Ok(exit_code(verdict));
    }
    for passage in passages {
        let (verdict, name) = (passage.verdict(), term::escape(&passage.name));
        context.print(&format!("{} {name} {}", term::verdict_column(verdict), passage.says()))?;
        if !context.quiet {
            let reasons: Vec<Reason> = passage.missing.iter().map(|(_, reason)| reason.clone()).collect();
            summary::reasons(context, &reasons, 0)?;
        }
    }
    if !context.quiet {
        more()?;
    }
    Ok(exit_code(verdict))
}
