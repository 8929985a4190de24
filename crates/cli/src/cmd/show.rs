//! `receipt show`: one event, blob or run.

use super::cat::find_blob;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::name::{Named, ReadName};
use crate::term;
use receipt_kernel::core::evidence::BlobFact;
use receipt_kernel::core::id::Seq;
use receipt_kernel::core::json::{self, Limits, Text};
use receipt_kernel::{BlobRef, EventRef, Ledger, Value};
use std::process::ExitCode;

/// Show an event, a blob's record or a run's beginning
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt show event://build-1/3
  receipt show build-1/3
  receipt show blob://sha256:…     its record and whether its bytes are as they were put
  receipt show @last               the event that the run began with")]
pub(crate) struct Args {
    /// event://RUN/SEQ, RUN/SEQ, blob://… or RUN
    #[arg(value_name = "REF")]
    what: ReadName,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open_read_only()?;
    let name = args.what.as_str();
    let value = if name.starts_with("blob://") { blob(&ledger, name)? } else { event(&ledger, &args.what)? };
    if context.json {
        context.print_json(&value)?;
    } else {
        context.print(&pretty(&value))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn blob(ledger: &Ledger, text: &str) -> Result<Value> {
    let hash = find_blob(ledger, text)?;
    let (record, fact) = ledger.blob_record(&hash)?;
    let state = match &fact {
        BlobFact::Intact { .. } | BlobFact::TooLarge { .. } => "intact",
        BlobFact::Expired => "removed with a receipt",
        BlobFact::Removed => "removed without a receipt",
        BlobFact::Missing => "missing",
        BlobFact::Elsewhere => "recorded by digest",
        BlobFact::Corrupt => "corrupt: its bytes hash to something else",
        BlobFact::Malformed { problem } | BlobFact::Unreadable { problem } => problem,
    };
    let mut object = record.map(|record| record.to_object()).unwrap_or_default();
    object.insert("ref", BlobRef(hash).to_string());
    object.insert("state", state);
    Ok(object.into())
}

fn event(ledger: &Ledger, what: &ReadName) -> Result<Value> {
    let wanted = match what.find_event(ledger) {
        Ok(Named::Event(event)) => event,
        Ok(Named::Run(run_id)) => EventRef { run_id, seq: Seq::FIRST },
        Err(error) => return Err(not_an_event(ledger, what).unwrap_or(error)),
    };
    let mut found = None;
    ledger.events(wanted.run_id.as_str(), &mut |event| {
        if event.seq == wanted.seq {
            found = json::parse(&event.text, Limits::READ).ok();
        }
    })?;
    found.ok_or_else(|| Error::NoEvent { run: wanted.run_id.to_string(), seq: wanted.seq.get() })
}

/// Says what is wrong with a text that names a run and then no event of it, such as `build-1/0`.
fn not_an_event(ledger: &Ledger, what: &ReadName) -> Option<Error> {
    let (run, number) = what.as_str().rsplit_once('/')?;
    let run = ReadName::from(run.to_owned()).find(ledger).ok()?;
    (!number.bytes().all(|byte| byte.is_ascii_digit()) || number.starts_with('0') || number.is_empty()).then(|| {
        Error::Input(format!("{number:?} is no event's number: they count from 1, as `receipt log {run}` shows"))
    })
}

/// What is left to write of a container.
enum Rest<'a> {
    Array(std::slice::Iter<'a, Value>),
    Object(std::slice::Iter<'a, (Text, Value)>),
}

/// The value over many lines, without recursion: it may be nested deeply.
fn pretty(value: &Value) -> String {
    let mut out = String::new();
    let mut open: Vec<Rest<'_>> = Vec::new();
    let mut next = Some((None, value));
    loop {
        if let Some((key, value)) = next.take() {
            let key = key
                .map(|key: &Text| format!("{}: ", term::paint(term::HEAD, &scalar(&Value::from(key.clone())))))
                .unwrap_or_default();
            out.push_str(&"  ".repeat(open.len()));
            out.push_str(&key);
            match value {
                Value::Array(items) if !items.is_empty() => {
                    out.push('[');
                    open.push(Rest::Array(items.iter()));
                }
                Value::Object(object) if !object.is_empty() => {
                    out.push('{');
                    open.push(Rest::Object(object.iter()));
                }
                value => out.push_str(&scalar(value)),
            }
        }
        let Some(rest) = open.last_mut() else { return out };
        let (following, close) = match rest {
            Rest::Array(items) => (items.next().map(|item| (None, item)), ']'),
            Rest::Object(members) => (members.next().map(|(key, value)| (Some(key), value)), '}'),
        };
        if following.is_some() {
            let first = out.ends_with(['[', '{']);
            out.push_str(if first { "\n" } else { ",\n" });
        } else {
            open.pop();
            out.push('\n');
            out.push_str(&"  ".repeat(open.len()));
            out.push(close);
        }
        next = following;
    }
}

/// A value on one line, in canonical JSON: ASCII, so that there is nothing to escape but DEL, which it escapes too.
fn scalar(value: &Value) -> String {
    let bytes = receipt_kernel::core::canonical::to_bytes(value, Limits::READ).unwrap_or_default();
    term::escape(&String::from_utf8_lossy(&bytes))
}
