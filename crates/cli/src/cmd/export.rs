//! `receipt export`: one run as a file that can be checked with no ledger.

use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::input;
use crate::name::WholeName;
use crate::term::escape;
use receipt_kernel::audit::CheckReport;
use receipt_kernel::bundle::{Export, Exported};
use receipt_kernel::core::bundle::Proof;
use receipt_kernel::core::checkpoint::InclusionProof;
use receipt_kernel::{Audit, EventRef, Ledger, Object, Report, RunId, Value, Verdict};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a run to a file that anybody can check without the ledger
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt export @last -o build-1.receipt
  receipt export build-1 -o build-1.receipt --withhold stdout
  receipt verify build-1.receipt             what the one who gets it does

The file appears when it is whole, or not at all; nothing is overwritten. Sealed evidence is in it as
ciphertext, which anybody can verify and only its recipients can open. What is withheld is listed, and leaves UNKNOWN
whatever depends on it. The run is verified in the ledger as well: if that is FAIL the file is written all the same, the
exit status is 1, and what is wrong is said.

If the ledger's log or the run is so broken that no proof can be made of it, the file is written without one. The command
says so, the exit status is 1, and `unproved` of --json says why; null there means that nothing stood in the way of a proof.
--withhold is refused for a run whose events do not verify, and nothing is written: an edited event may name another key for
what was put under that one, and its bytes would leave.")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// The file to be made; - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Leave out the bytes of what was put under this key; may be given again
    #[arg(long, value_name = "KEY")]
    withhold: Vec<String>,
    /// A proof, as `receipt prove` gives it, that one of the run's events is in the log; else the one that the ledger's last
    /// checkpoint gives, where there is one
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open_read_only()?;
    let run = args.run.find(&ledger)?;
    let mut export = args.withhold.iter().fold(Export::of(run.clone()), Export::withhold);
    if let Some(path) = &args.proof {
        export = export.proof(read_proof(path, &run)?);
    }
    if args.output.as_os_str() == "-" {
        let mut out = BufWriter::new(io::stdout().lock());
        let exported = ledger.export(&export, &mut out)?;
        out.flush().map_err(Error::output)?;
        let report = Audit::of(&ledger).runs(vec![run]).run()?;
        return Ok(tell_doubts(context, &report, exported.unproved.as_deref()));
    }
    let exported = to_file(&ledger, &export, &args.output)?;
    // After the export: whatever is in the file was in the ledger that is judged here.
    let report = Audit::of(&ledger).runs(vec![run.clone()]).run()?;
    let Exported { events, blobs, withheld, sealed, removed, unproved } = exported;
    let document = Object::from_iter([
        ("run", Value::from(run.as_str())),
        ("file", Value::from(args.output.to_string_lossy().as_ref())),
        ("events", events.into()),
        ("blobs", blobs.into()),
        ("withheld", withheld.into()),
        ("sealed", sealed.into()),
        ("removed", removed.into()),
        ("unproved", unproved.as_deref().map_or(Value::Null, Value::from)),
        ("ledger_verdict", report.overall_verdict().into()),
        ("ledger_checks", Value::Array(doubts(&report).map(CheckReport::to_value).collect())),
    ]);
    let gone = if removed > 0 { format!(", {removed} removed before") } else { String::new() };
    let file = show(&args.output);
    let name = escape(run.as_str());
    let line = format!(
        "{file}: run {name}, {events} events, {blobs} blobs, {withheld} of them withheld, {sealed} sealed{gone}"
    );
    context.done(document, &line)?;
    Ok(tell_doubts(context, &report, unproved.as_deref()))
}

/// The checks of the run in its ledger that count and did not pass.
fn doubts(report: &Report) -> impl Iterator<Item = &CheckReport> {
    report.checks.iter().filter(|check| check.required && check.verdict.is_failure())
}

/// Says what is wrong with the run in its ledger, on standard error, as the bundle may be on standard output. The exit
/// status is 1 if that is FAIL, or if a broken log gave no proof: the file is written, and is none to be relied on.
fn tell_doubts(context: &Context, report: &Report, unproved: Option<&str>) -> ExitCode {
    if let Some(why) = unproved {
        context.warn(&format!("no proof of the log is written with the run: {why}"));
    }
    let verdict = report.overall_verdict();
    let status = if verdict == Verdict::Fail || unproved.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if verdict.is_success() {
        return status;
    }
    context.warn(&format!("the run is written, and the ledger's verify of it is {verdict}"));
    for check in doubts(report) {
        for reason in check.reasons.iter().take(3) {
            context.warn(&format!("{}: {} {}", check.check, reason.code, reason.msg));
        }
    }
    status
}

/// Writes beside the file, and gives it its name when it is whole and on disk.
fn to_file(ledger: &Ledger, export: &Export, path: &Path) -> Result<Exported> {
    let failed = |source| Error::File { what: show(path), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.symlink_metadata().is_ok() {
        return Err(receipt_kernel::Error::Exists { path: path.to_owned() }.into());
    }
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let exported = {
        let mut out = BufWriter::with_capacity(1 << 16, &mut file);
        let exported = ledger.export(export, &mut out)?;
        out.flush().map_err(failed)?;
        exported
    };
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(exported)
}

fn read_proof(path: &Path, run: &RunId) -> Result<Proof> {
    let bytes = input::read_text(path)?;
    let proof = InclusionProof::parse(&bytes).map_err(receipt_kernel::Error::from)?;
    let event = proof.extra.as_deref().and_then(|extra| std::str::from_utf8(extra).ok()).and_then(EventRef::parse);
    let event = event.filter(|event| event.run_id == *run);
    let event = event.ok_or_else(|| Error::Input(format!("--proof: {} is of no event of this run", show(path))))?;
    Ok(Proof { seq: event.seq, text: proof.to_string() })
}
