//! `receipt start`: begins a run.

use crate::context::Context;
use crate::error::Result;
use crate::{input, term};
use receipt_kernel::{Actor, Object, Policy, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Begin a run, committed to a policy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt start build-1
  receipt start build-2 --policy release.toml --meta '{\"commit\":\"4be1c0\"}'
  receipt start review-3 --actor human:ada --meta @about.json

The next step is `receipt advance RUN STAGE`; the built-in policy walks START, COLLECT, EVALUATE, DECIDE, FINALIZE.

A policy file:
  id = \"release\"
  version = \"1\"
  stage_graph = \"v1_default\"

  [[invariant]]
  id = \"ledger.chain_valid\"

  [[invariant]]
  id = \"receipt.completeness\"
  keys = [\"test-log\"]")]
pub(crate) struct Args {
    /// The id of the new run
    run: String,
    /// The policy file; the built-in `structural` policy where none is given
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What there is to say about the run: a JSON object, @FILE or @- for standard input
    #[arg(long, value_name = "JSON")]
    meta: Option<String>,
    /// Who acts; cli and the user's name where nobody is named
    #[arg(long, value_name = "KIND:ID", value_parser = input::actor)]
    actor: Option<Actor>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let policy = match &args.policy {
        Some(path) => input::policy(path)?,
        None => Policy::structural().map_err(receipt_kernel::Error::from)?,
    };
    let meta = input::object("--meta", args.meta.as_deref())?;
    let actor = args.actor.clone().unwrap_or_else(|| context.actor());
    let writer = context.open()?.start(&args.run, policy, actor, meta)?;
    let stage = writer.policy().graph().initial().clone();
    let document = Object::from_iter([
        ("run_id", Value::from(writer.run_id().as_str())),
        ("stage", Value::from(&stage)),
        ("policy_id", Value::from(writer.policy().id())),
    ]);
    let next: Vec<&str> =
        writer.policy().graph().next(&stage).map(receipt_kernel::core::stage::Stage::as_str).collect();
    let line = format!("started {} in stage {stage}; next: {}", writer.run_id(), next.join(", "));
    context.done(document, &term::escape(&line))?;
    Ok(ExitCode::SUCCESS)
}
