//! Bundles as an argument: `receipt verify FILE.receipt`, and what `import` and `replay` share with it.

use super::summary;
use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::name::WholeName;
use crate::{input, term};
use receipt_kernel::bundle::{BundleReport, REPLAY_LIMIT, Receipts, Verify};
use receipt_kernel::core::bundle::FORMAT;
use receipt_kernel::core::id::BlobHash;
use receipt_kernel::core::json::{self, Limits, Object, Value};
use receipt_kernel::core::note::VerifierKey;
use receipt_kernel::core::replay::Replayed;

use receipt_kernel::{Check, Digest256, RunId, Verdict};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What bundles are checked with.
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// The verifier key, or a file that holds it, that must have signed the checkpoints, as keygen printed it; for a
    /// bundle it may be given again
    #[arg(long, value_name = "KEY")]
    pub(crate) vkey: Vec<String>,
    /// How many bytes of events and evidence are kept to compute evaluations again, in MiB
    #[arg(long, value_name = "MIB", default_value_t = REPLAY_LIMIT >> 20)]
    pub(crate) replay_limit: u64,
}

impl Trust {
    pub(crate) fn keys(&self) -> Result<Vec<VerifierKey>> {
        self.vkey.iter().map(|text| key(text)).collect()
    }

    pub(crate) fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Verify<'k> {
        Verify::default().keys(keys).replay_limit(self.replay_bytes())
    }

    pub(crate) fn replay_bytes(&self) -> u64 {
        self.replay_limit.saturating_mul(1 << 20)
    }
}

fn key(text: &str) -> Result<VerifierKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    if text.starts_with("PRIVATE+KEY+") {
        let problem = "--vkey: this is a private key, which nobody but its owner should see: give the verifier key";
        return Err(Error::Input(problem.to_owned()));
    }
    let bad = |error| Error::Input(format!("--vkey: {text:?} is neither a verifier key nor a file of one: {error}"));
    let file = input::read_keys(Path::new(text)).map_err(|error| bad(error.to_string()))?;
    String::from_utf8_lossy(&file)
        .trim_end()
        .parse()
        .map_err(|error: receipt_kernel::core::Error| bad(error.to_string()))
}

/// What an argument names.
#[derive(Debug)]
pub(crate) enum Subject {
    Run(WholeName),
    Bundle(PathBuf),
}

/// What an argument names. A path that begins with `/`, `./` or `../` is a file; `run://ID` is a run. Of a name that is
/// both a run of the ledger at hand and a bundle, neither is taken: one would pass for the other.
pub(crate) fn subject(argument: &str, context: &Context) -> Result<Subject> {
    let path = Path::new(argument);
    let bundle = || Ok(Subject::Bundle(path.to_owned()));
    if argument == "-" || ["/", "./", "../"].iter().any(|begin| argument.starts_with(begin)) {
        return bundle();
    }
    let run = WholeName::from(argument);
    let is_file = path.is_file();
    let is_bundle = has_bundle_name(argument) || (is_file && has_header(path));
    if !is_bundle {
        if is_file && !argument.starts_with("run://") {
            context.note(&format!("{argument} is taken for a run; the file of that name is ./{argument}"));
        }
        return Ok(Subject::Run(run));
    }
    // A bundle is checked with no ledger at hand: one that cannot be read has no run of this name.
    let is_run = context.open_read_only().and_then(|ledger| run.find_if_there(&ledger));
    match is_run {
        Ok(Some(_)) if is_file => Err(Error::FileOrRun { name: argument.to_owned() }),
        Ok(Some(_)) => Ok(Subject::Run(run)),
        _ => bundle(),
    }
}

fn has_bundle_name(argument: &str) -> bool {
    [".receipt", ".receipt.jsonl"].iter().any(|ending| argument.ends_with(ending))
}

/// Whether the first line of a file says that it is a bundle.
fn has_header(path: &Path) -> bool {
    const LONGEST: u64 = 1 << 16;
    let Ok(file) = input::plain_file(path) else { return false };
    let mut line = Vec::new();
    let read = BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line);
    read.is_ok()
        && json::parse(&line, Limits::READ)
            .is_ok_and(|header| header.get("format").and_then(Value::as_str) == Some(FORMAT))
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, io::stdin())));
    }
    let file = File::open(path).map_err(|source| Error::File { what: show(path), source })?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// Checks a bundle.
pub(crate) fn check(path: &Path, verify: &Verify<'_>) -> Result<BundleReport> {
    Ok(verify.run(&mut *open(path)?)?)
}

/// Checks bundles, with files for what is not in them.
pub(crate) fn reports(
    paths: &[PathBuf],
    trust: &Trust,
    files: &[(String, Digest256)],
    required: &[Check],
) -> Result<Vec<BundleReport>> {
    let keys = trust.keys()?;
    let verify = trust.verify(&keys).files(files);
    let require = |mut report: BundleReport| {
        report.checks.iter_mut().for_each(|check| check.required |= required.contains(&check.check));
        report
    };
    let mut reports = paths.iter().map(|path| check(path, &verify).map(require)).collect::<Result<Vec<_>>>()?;
    // Evidence that one run had to let go is receipted in another, whose bundle may be among them.
    let mut receipts = Receipts::default();
    for report in reports.iter().filter(|report| report.overall_verdict().is_success()) {
        receipts.extend(&report.receipts);
    }
    for (path, report) in paths.iter().zip(&mut reports) {
        let settled = |blob: &BlobHash| receipts.contains(blob) && !report.receipts.contains(blob);
        if report.absent.iter().any(|(_, blob)| settled(blob)) {
            *report = require(check(path, &verify.clone().receipts(&receipts))?);
        }
    }
    Ok(reports)
}

/// The worst verdict.
pub(crate) fn overall_of(reports: &[BundleReport]) -> Verdict {
    reports.iter().map(BundleReport::overall_verdict).fold(Verdict::Pass, Verdict::worse)
}

/// Prints reports: that of one bundle by itself, those of several as `{"bundles": [{"file", …}], "overall_verdict"}`.
pub(crate) fn print_all(context: &Context, paths: &[PathBuf], reports: &[BundleReport]) -> Result<()> {
    if let [report] = reports {
        return print(context, report);
    }
    let named = paths.iter().zip(reports);
    if context.json {
        let bundles = named.map(|(path, report)| {
            let mut value = report.to_value();
            if let Value::Object(object) = &mut value {
                object.insert("file", show(path));
            }
            value
        });
        let all = [("bundles", Value::Array(bundles.collect())), ("overall_verdict", overall_of(reports).into())];
        return context.print_json(&Object::from_iter(all).into());
    }
    for (path, report) in named {
        context.print(&term::paint(term::SIDE, &show(path)))?;
        print(context, report)?;
    }
    Ok(())
}

/// Prints a report, as JSON where that was asked for.
pub(crate) fn print(context: &Context, report: &BundleReport) -> Result<()> {
    if context.json { context.print_json(&report.to_value()) } else { summary::bundle(context, report) }
}

/// Prints what became of recorded evaluations.
pub(crate) fn print_replayed(context: &Context, run: &RunId, evaluations: &[Replayed]) -> Result<()> {
    for replayed in evaluations {
        let recorded = replayed.recorded.map_or("nothing".to_owned(), |verdict| verdict.to_string());
        let recomputed = replayed.recomputed;
        let at = format!("event://{}/{}", term::escape(run.as_str()), replayed.seq);
        let line = format!("recorded {recorded}, computed again {recomputed} {}", term::paint(term::SIDE, &at));
        context.print(&format!("{} {line}", term::verdict_column(replayed.verdict)))?;
        summary::reasons(context, &replayed.reasons, 0)?;
    }
    if evaluations.is_empty() {
        context.print(&format!("run {} has no evaluations", term::escape(run.as_str())))?;
    }
    Ok(())
}
