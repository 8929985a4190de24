//! `receipt verify --proof FILE`: what `receipt prove` gave, checked with no ledger at hand.

use super::summary;
use super::verify::{self, Args};
use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::{input, term};
use receipt_kernel::core::checkpoint::{ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_kernel::core::envelope::{Envelope, Scratch};
use receipt_kernel::core::id::EventHash;
use receipt_kernel::proof::Trust;
use receipt_kernel::{Object, Value, Verdict};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(path: &Path, args: &Args, context: &Context) -> Result<ExitCode> {
    if !args.against.require.is_empty() {
        return Err(Error::Input("--require: of a proof every check counts".to_owned()));
    }
    let (keys, policy) = (args.against.trust.keys()?, args.against.witnesses()?);
    let trust = Trust { keys: &keys, witnesses: policy.as_ref() };
    let bytes = input::read_text(path)?;
    let bad = |error| Error::Input(format!("{}: {error}", show(path)));
    let (checks, checkpoint, what) = match (&args.event, args.against.checkpoint.as_slice()) {
        (Some(event), []) => {
            let proof = InclusionProof::parse(&bytes).map_err(bad)?;
            let event = event_hash(event)?;
            let checks = trust.inclusion(&proof, &event);
            (checks, proof.checkpoint, format!("{event} as leaf {}", proof.index))
        }
        (None, [old]) => {
            let proof = ConsistencyProof::parse(&bytes).map_err(bad)?;
            let old = input::checkpoint(old)?;
            let checks = trust.consistency(&proof, old.checkpoint());
            (checks, proof.checkpoint, format!("what {} had", head(&old)))
        }
        _ => return Err(Error::Input("--proof needs one of --event, which it is of, or one --checkpoint".to_owned())),
    };
    let verdict = Verdict::overall(checks.iter().map(|check| (check.verdict, true)));
    if context.json {
        let report = Object::from_iter([
            ("overall_verdict", Value::from(verdict)),
            ("checks", Value::Array(checks.iter().map(receipt_kernel::audit::CheckReport::to_value).collect())),
            ("origin", checkpoint.checkpoint().origin.as_str().into()),
            ("size", checkpoint.checkpoint().head.size.into()),
        ]);
        context.print_json(&report.into())?;
    } else {
        summary::all(context, &checks)?;
        context.print(&format!("{} {} has {what}", term::verdict(verdict), term::escape(&head(&checkpoint))))?;
    }
    Ok(verify::exit_code(verdict))
}

fn head(checkpoint: &SignedCheckpoint) -> String {
    let checkpoint = checkpoint.checkpoint();
    format!("{} with {} events", checkpoint.origin, checkpoint.head.size)
}

/// The hash of an event: itself, or that of the text in a file, whatever hash the text claims.
fn event_hash(text: &str) -> Result<EventHash> {
    if let Some(hash) = EventHash::parse_bytes(text.as_bytes()) {
        return Ok(hash);
    }
    let path = Path::new(text);
    let bytes = input::read_text(path)?;
    let mut scratch = Scratch::default();
    let envelope = Envelope::read(bytes.strip_suffix(b"\n").unwrap_or(&bytes), &mut scratch);
    Ok(envelope.map_err(|error| Error::Input(format!("{}: {error}", show(path))))?.hash)
}
