//! `receipt append`: writes a decision or a remediation.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::name::{Named, WholeName};
use crate::{input, term};
use receipt_kernel::{Append, BlobRef, EventType, Object, Value};
use std::process::ExitCode;

/// Append a DECISION or REMEDIATION with any payload
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt append build-1 DECISION --payload '{\"ship\":true}'
  receipt append build-1 REMEDIATION --payload @fix.json --key fix-7 --ref build-1/5

With --key a retry is safe: the same key and event twice are recorded once. The other event types have verbs of
their own: start, advance, put, evaluate, finalize.")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// DECISION or REMEDIATION
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// What there is to say: a JSON object, @FILE or @- for standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The idempotency key
    #[arg(long)]
    key: Option<String>,
    /// An event (event://RUN/SEQ or RUN/SEQ) or blob (blob://…) that it is about; may be given many times
    #[arg(long = "ref", value_name = "REF")]
    refs: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let event_type = EventType::parse(&args.event_type).ok_or_else(|| {
        let known = EventType::ALL.map(EventType::as_str).join(", ");
        Error::Input(format!("{:?} is no event type; there are: {known}", args.event_type))
    })?;
    let payload = input::object("--payload", args.payload.as_deref())?;
    let ledger = context.open()?;
    let run_id = args.run.find(&ledger)?;
    let mut event = Append::new(event_type, payload);
    event.key.clone_from(&args.key);
    for text in &args.refs {
        if let Some(blob) = BlobRef::parse(text) {
            event.blobs.push(blob);
        } else if let Named::Event(about) = WholeName::from(text.as_str()).find_event(&ledger)? {
            event.events.push(about);
        } else {
            return Err(not_a_reference(text));
        }
    }
    let appended = ledger.resume(run_id.as_str(), context.actor())?.append(event)?;
    let place = appended.event_ref.to_string();
    let document = Object::from_iter([
        ("run_id", Value::from(run_id.as_str())),
        ("event", Value::from(place.as_str())),
        ("repeated", Value::from(appended.repeated)),
    ]);
    let said = if appended.repeated { "was recorded before, under this key, as" } else { "is recorded as" };
    context.done(document, &term::escape(&format!("{event_type} {said} {place}")))?;
    Ok(ExitCode::SUCCESS)
}

fn not_a_reference(text: &str) -> Error {
    Error::Input(format!("--ref: {text:?} is neither event://RUN/SEQ, RUN/SEQ nor blob://sha256:…"))
}
