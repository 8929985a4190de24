//! The way of a run through its stage graph: by the stages that have a meaning here, to the nearest end.

use receipt_kernel::core::stage::{Stage, StageGraph};
use receipt_kernel::{Evaluation, RunWriter, Verdict};

/// Where evidence is collected, where the run is judged, and where that is acted upon; a graph may lack any of them.
pub(super) const COLLECT: &str = "COLLECT";
const EVALUATE: &str = "EVALUATE";
const DECIDE: &str = "DECIDE";

/// Whether a run that walks this graph can end at all.
pub(super) fn can_end(graph: &StageGraph) -> bool {
    way_out(graph, graph.initial()).is_some()
}

/// The shortest way from a stage to a terminal one.
fn way_out(graph: &StageGraph, from: &Stage) -> Option<Vec<Stage>> {
    let ends = graph.stages().filter(|stage| graph.is_terminal(stage));
    ends.filter_map(|end| graph.path(from, end)).min_by_key(Vec::len)
}

/// Goes to a stage where the graph leads there, and on from there to an end; stays where it does not.
pub(super) fn reach(writer: &mut RunWriter, name: &str, reason: &str) -> receipt_kernel::Result<bool> {
    let from = writer.stage()?;
    let to = Stage::new(name);
    let graph = writer.policy().graph();
    let way = graph.path(&from, &to).filter(|_| way_out(graph, &to).is_some());
    let Some(way) = way else { return Ok(false) };
    for stage in way {
        writer.advance(stage.as_str(), reason)?;
    }
    Ok(true)
}

/// Walks to the end, evaluates and decides on the way, as late as the graph allows, and finalizes with a verdict that is
/// no better than `at_best`. `basis` says why it is no better.
pub(super) fn finish(
    writer: &mut RunWriter,
    at_best: Verdict,
    basis: &[String],
) -> receipt_kernel::Result<(Verdict, Evaluation)> {
    let evaluated = if reach(writer, EVALUATE, "the command has ended and its evidence is collected")? {
        Some(writer.evaluate()?)
    } else {
        None
    };
    if !reach(writer, DECIDE, "the run is evaluated")? {
        approach_the_end(writer)?;
    }
    let evaluation = match evaluated {
        Some(evaluation) => evaluation,
        None => writer.evaluate()?,
    };
    let verdict = evaluation.overall_verdict.worse(at_best);
    let mut reasons = vec![format!("the evaluation is {}", evaluation.overall_verdict)];
    reasons.extend_from_slice(basis);
    let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
    let action =
        if verdict.is_success() { "rely on the command's results" } else { "do not rely on the command's results" };
    writer.decide("exec", &reasons, action)?;
    approach_the_end(writer)?;
    Ok((finalize(writer, verdict, at_best)?, evaluation))
}

/// Goes to the stage before a terminal one; the last step is taken together with the finalization.
fn approach_the_end(writer: &mut RunWriter) -> receipt_kernel::Result<()> {
    let mut way = way_out(writer.policy().graph(), &writer.stage()?).unwrap_or_default();
    way.pop();
    for stage in way {
        writer.advance(stage.as_str(), "on the way to the end")?;
    }
    Ok(())
}

fn finalize(writer: &mut RunWriter, verdict: Verdict, at_best: Verdict) -> receipt_kernel::Result<Verdict> {
    let summary = "the command has ended";
    if at_best == Verdict::Pass {
        return writer.finalize(summary);
    }
    match writer.finalize_as(verdict, summary) {
        Err(receipt_kernel::Error::VerdictTooGood { allowed, .. }) => {
            writer.finalize_as(allowed.worse(verdict), summary)
        }
        finalized => finalized,
    }
}
