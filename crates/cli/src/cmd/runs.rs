//! `receipt runs`: the runs of a ledger.

use crate::context::Context;
use crate::error::Result;
use crate::term;
use comfy_table::{Cell, Color, Table};
use receipt_kernel::core::run::RunFacts;
use receipt_kernel::core::stage::Stage;
use receipt_kernel::store::Visit;
use receipt_kernel::{Object, RunId, Value, Verdict};
use std::process::ExitCode;

/// List the runs, the oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt runs
  receipt runs --json

Each run is read whole; one whose chain or columns are not as they were written shows FAIL.")]
pub(crate) struct Args {}

/// What is shown of a run.
struct Row {
    /// The id; of one that is no UTF-8 text a printable form, by which nothing is found.
    run_id: String,
    is_named: bool,
    started: String,
    stage: String,
    events: u64,
    finalized: bool,
    verdict: Option<Verdict>,
    findings: u64,
}

impl Row {
    fn of(run_id: &RunId, facts: &RunFacts) -> Self {
        let findings = facts.failures();
        let verdict = match facts.recorded_verdict {
            _ if findings > 0 => Some(Verdict::Fail),
            None if facts.finalized => Some(Verdict::Unknown),
            recorded => recorded,
        };
        Self {
            run_id: run_id.to_string(),
            is_named: true,
            started: facts.started.as_ref().map(ToString::to_string).unwrap_or_default(),
            stage: facts.stage.as_ref().map(Stage::to_string).unwrap_or_default(),
            events: facts.events,
            finalized: facts.finalized,
            verdict,
            findings,
        }
    }

    /// Of a run whose id is no text: no reader can take it up, and verify fails.
    fn unnamed(id: &str) -> Self {
        Self {
            run_id: id.to_owned(),
            is_named: false,
            started: String::new(),
            stage: String::new(),
            events: 0,
            finalized: false,
            verdict: Some(Verdict::Fail),
            findings: 1,
        }
    }

    fn state(&self) -> &'static str {
        match self.finalized {
            _ if !self.is_named => "no text",
            true => "finalized",
            false => "unfinished",
        }
    }

    fn to_value(&self) -> Value {
        Object::from_iter([
            ("run_id", Value::from(self.is_named.then_some(self.run_id.as_str()))),
            ("shown_as", Value::from(term::escape(&self.run_id))),
            ("started", self.started.as_str().into()),
            ("stage", self.stage.as_str().into()),
            ("events", self.events.into()),
            ("finalized", self.finalized.into()),
            ("overall_verdict", self.verdict.into()),
            ("findings", self.findings.into()),
        ])
        .into()
    }
}

pub(crate) fn run(_: &Args, context: &Context) -> Result<ExitCode> {
    let mut rows = Vec::new();
    let ledger = context.open_read_only()?;
    ledger.runs(&mut |run_id, facts| {
        rows.push(Row::of(run_id, &facts));
        Visit::Continue(())
    })?;
    ledger.unnamed_runs(&mut |id| {
        rows.push(Row::unnamed(id));
        Visit::Continue(())
    })?;
    rows.sort_by(|a, b| (&a.started, &a.run_id).cmp(&(&b.started, &b.run_id)));
    if context.json {
        let rows: Vec<Value> = rows.iter().map(Row::to_value).collect();
        context.print_json(&Object::from_iter([("runs", rows)]).into())?;
    } else if !rows.is_empty() {
        context.print(&table(&rows))?;
    } else if !context.quiet {
        context.print(&"there are no runs yet; `receipt exec -- CMD` records one")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).enforce_styling();
    table.set_header(["RUN", "STARTED", "STAGE", "EVENTS", "STATE", "VERDICT"]);
    for row in rows {
        let verdict = row.verdict.map_or_else(|| Cell::new("-"), |verdict| Cell::new(verdict).fg(color(verdict)));
        let started = row.started.get(..19).unwrap_or(&row.started).replace('T', " ");
        let texts = [row.run_id.as_str(), &started, &row.stage].map(|text| Cell::new(term::escape(text)));
        table.add_row(texts.into_iter().chain([Cell::new(row.events), Cell::new(row.state()), verdict]));
    }
    table.trim_fmt()
}

const fn color(verdict: Verdict) -> Color {
    match verdict {
        Verdict::Pass => Color::Green,
        Verdict::Warn => Color::Yellow,
        Verdict::Fail => Color::Red,
        Verdict::Unknown => Color::Magenta,
    }
}
