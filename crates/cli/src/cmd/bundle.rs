//! Bundles as an argument: `receipt verify FILE.receipt`, and what `import` and `replay` share with it.

use super::verify;
use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::term;
use receipt_kernel::bundle::{BundleReport, REPLAY_LIMIT, Verify};
use receipt_kernel::core::note::VerifierKey;
use receipt_kernel::core::replay::Replayed;
use receipt_kernel::{BlobRef, Check, Digest256, RunId, Verdict};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What bundles are checked with.
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// The verifier key, or a file that holds it, that must have signed the checkpoints, as keygen printed it; for a
    /// bundle it may be given again
    #[arg(long, value_name = "KEY")]
    pub(crate) vkey: Vec<String>,
    /// How many bytes of a bundle's events and evidence are kept to compute its evaluations again, in MiB
    #[arg(long, value_name = "MIB", default_value_t = REPLAY_LIMIT >> 20)]
    pub(crate) replay_limit: u64,
}

impl Trust {
    pub(crate) fn keys(&self) -> Result<Vec<VerifierKey>> {
        self.vkey.iter().map(|text| key(text)).collect()
    }

    pub(crate) fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Verify<'k> {
        Verify::default().keys(keys).replay_limit(self.replay_limit.saturating_mul(1 << 20))
    }
}

fn key(text: &str) -> Result<VerifierKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let bad = |error| Error::Input(format!("--vkey: {text:?} is neither a verifier key nor a file of one: {error}"));
    let file = std::fs::read_to_string(text).map_err(|error| bad(error.to_string()))?;
    file.trim_end().parse().map_err(|error: receipt_kernel::core::Error| bad(error.to_string()))
}

/// The path, where an argument names a bundle and not a run.
pub(crate) fn path(argument: &str) -> Option<PathBuf> {
    let path = Path::new(argument);
    path.extension().is_some_and(|extension| extension == "receipt").then(|| path.to_owned())
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, io::stdin())));
    }
    let file = File::open(path).map_err(|source| Error::File { what: show(path), source })?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// Checks a bundle; one in a file may be read twice. A pipe gives what it has once, and who reads it again waits for ever.
pub(crate) fn check(path: &Path, verify: &Verify<'_>) -> Result<BundleReport> {
    if path.is_file() { verify.run_opened(|| open(path)) } else { Ok(verify.run(&mut *open(path)?)?) }
}

/// Checks a bundle, with files for what is not in it, and says what it is worth.
pub(crate) fn run(
    path: &Path,
    trust: &Trust,
    files: &[(String, Digest256)],
    required: &[Check],
    context: &Context,
) -> Result<ExitCode> {
    let keys = trust.keys()?;
    let mut report = check(path, &trust.verify(&keys).files(files))?;
    for check in &mut report.checks {
        check.required |= required.contains(&check.check);
    }
    print(context, &report)?;
    Ok(verify::exit_code(report.overall_verdict()))
}

/// Prints a report, as JSON where that was asked for.
pub(crate) fn print(context: &Context, report: &BundleReport) -> Result<()> {
    if context.json {
        return context.print_json(&report.to_value());
    }
    verify::print_checks(context, &report.checks)?;
    for (key, blob) in &report.absent {
        let key = key.as_deref().map_or("evidence".to_owned(), term::escape);
        context.print(&format!("not in the bundle: {key} {}", term::paint(term::SIDE, &BlobRef(*blob).to_string())))?;
    }
    let run = report.run.as_ref().map_or("no run".to_owned(), |run| format!("run {}", term::escape(run.as_str())));
    let head = report.head.map_or("nothing".to_owned(), |(seq, hash)| format!("{seq} {hash}"));
    let ended = report.recorded.map_or("unfinished".to_owned(), |verdict| format!("ended as {verdict}"));
    let (events, blobs) = (report.events, report.blobs);
    let verdict = term::verdict(report.overall_verdict());
    context.print(&format!("{verdict} {run}, {ended}, {events} events, {blobs} blobs, head {head}"))
}

/// Prints what became of recorded evaluations.
pub(crate) fn print_replayed(context: &Context, run: &RunId, evaluations: &[Replayed]) -> Result<()> {
    for replayed in evaluations {
        let recorded = replayed.recorded.map_or("nothing".to_owned(), |verdict| verdict.to_string());
        let recomputed = replayed.recomputed;
        let at = format!("event://{}/{}", term::escape(run.as_str()), replayed.seq);
        let line = format!("recorded {recorded}, computed again {recomputed} {}", term::paint(term::SIDE, &at));
        context.print(&format!("{} {line}", term::verdict_column(replayed.verdict)))?;
        verify::reasons(context, &replayed.reasons, 0)?;
    }
    if evaluations.is_empty() {
        context.print(&format!("run {} has no evaluations", term::escape(run.as_str())))?;
    }
    Ok(())
}

/// The verdict over evaluations; PASS where there are none to doubt.
pub(crate) fn overall(evaluations: &[Replayed]) -> Verdict {
    evaluations.iter().map(|replayed| replayed.verdict).reduce(Verdict::worse).unwrap_or(Verdict::Pass)
}
