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

OUTCOME is how the run ended, RECORD whether its chain and columns are as they were written: two questions. `receipt verify`
checks the evidence too, and `receipt gate RUN` asks both.")]
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
    /// How it ended.
    outcome: Option<Verdict>,
    findings: u64,
}

impl Row {
    fn of(run_id: &RunId, facts: &RunFacts) -> Self {
        Self {
            run_id: run_id.to_string(),
            is_named: true,
            started: facts.started.as_ref().map(ToString::to_string).unwrap_or_default(),
            stage: facts.stage.as_ref().map(Stage::to_string).unwrap_or_default(),
            events: facts.events,
            finalized: facts.finalized,
            outcome: facts.outcome(),
            findings: facts.failures(),
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
            outcome: None,
            findings: 1,
        }
    }

    /// How the run ended, in a word.
    fn ended(&self) -> Cell {
        match self.outcome {
            _ if !self.is_named => Cell::new("-"),
            Some(outcome) => Cell::new(outcome).fg(color(outcome)),
            None => Cell::new("not ended"),
        }
    }

    /// Whether its chain and columns are as they were written, in a word.
    fn record(&self) -> Cell {
        if self.findings > 0 { Cell::new("TAMPERED").fg(Color::Red) } else { Cell::new("ok").fg(Color::Green) }
    }

    /// Both in one word, for programs that ask for one.
    fn verdict(&self) -> Option<Verdict> {
        if self.findings > 0 { Some(Verdict::Fail) } else { self.outcome }
    }

    fn to_value(&self) -> Value {
        Object::from_iter([
            ("run_id", Value::from(self.is_named.then_some(self.run_id.as_str()))),
            ("shown_as", Value::from(term::escape(&self.run_id))),
            ("started", self.started.as_str().into()),
            ("stage", self.stage.as_str().into()),
            ("events", self.events.into()),
            ("finalized", self.finalized.into()),
            ("overall_verdict", self.verdict().into()),
            ("outcome", self.outcome.into()),
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
    table.set_header(["RUN", "STARTED", "STAGE", "EVENTS", "OUTCOME", "RECORD"]);
    for row in rows {
        let started = row.started.get(..19).unwrap_or(&row.started).replace('T', " ");
        let texts = [row.run_id.as_str(), &started, &row.stage].map(|text| Cell::new(term::escape(text)));
        table.add_row(texts.into_iter().chain([Cell::new(row.events), row.ended(), row.record()]));
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
