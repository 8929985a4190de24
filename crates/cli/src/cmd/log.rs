//! `receipt log`: what happened in a run, as a tree of its stages.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::name::ReadName;
use crate::term::{self, BAD, HEAD, ODD, SIDE, escape, paint};
use receipt_kernel::core::json::Text;
use receipt_kernel::core::payload::{EvidencePut, Member, RecordedEvaluation, RunFinalize};
use receipt_kernel::core::run::{Event, Finding, RunFacts};
use receipt_kernel::{EventType, Object, RunId, Timestamp, Value, Verdict};
use std::io::{self, Write};
use std::process::ExitCode;

/// Show what happened in a run, as a tree of its stages
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt log build-1
  receipt log @last --json     the envelopes, exactly as they are recorded")]
pub(crate) struct Args {
    /// The run: its id, a unique beginning of it, or @last
    run: ReadName,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open_read_only()?;
    let run_id = args.run.find(&ledger)?;
    if context.json {
        let mut bytes = b"{\"events\":[".to_vec();
        let start = bytes.len();
        let facts = ledger.events(run_id.as_str(), &mut |event| {
            if bytes.len() > start {
                bytes.push(b',');
            }
            // The envelope itself, not a value that was made of it.
            bytes.extend_from_slice(&event.text);
        })?;
        finish_json(&mut bytes, &run_id, &facts);
        io::stdout().write_all(&bytes).map_err(Error::output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut events = Vec::new();
    let facts = ledger.events(run_id.as_str(), &mut |event| events.push(event))?;
    let tree = Tree { glyphs: if context.draws() { DRAWN } else { PLAIN }, run_id: &run_id, facts: &facts };
    context.print(&tree.render(&events))?;
    Ok(ExitCode::SUCCESS)
}

fn finish_json(bytes: &mut Vec<u8>, run_id: &RunId, facts: &RunFacts) {
    let findings = facts.findings.iter().map(|finding| finding.reason.to_value()).collect();
    let rest = Object::from_iter([
        ("run_id", Value::from(run_id.as_str())),
        ("finalized", facts.finalized.into()),
        ("findings", Value::Array(findings)),
    ]);
    let limits = receipt_kernel::core::json::Limits::READ;
    let rest = receipt_kernel::core::canonical::to_bytes(&rest.into(), limits).unwrap_or_default();
    bytes.extend_from_slice(b"],");
    bytes.extend_from_slice(rest.strip_prefix(b"{").unwrap_or_default());
    bytes.push(b'\n');
}

/// What a tree is drawn with: a branch, the last branch, and what stands below each.
struct Glyphs {
    branch: &'static str,
    last: &'static str,
    below: &'static str,
}

const DRAWN: Glyphs = Glyphs { branch: "├─ ", last: "└─ ", below: "│  " };
const PLAIN: Glyphs = Glyphs { branch: "|- ", last: "`- ", below: "|  " };

struct Tree<'a> {
    glyphs: Glyphs,
    run_id: &'a RunId,
    facts: &'a RunFacts,
}

impl Tree<'_> {
    fn render(&self, events: &[Event]) -> String {
        let mut out = vec![self.title()];
        let start = events.first().and_then(|event| instant(&event.ts()));
        let mut told = Vec::new();
        for stage in events.chunk_by(|a, b| a.stage == b.stage) {
            let name = stage.first().map(|event| escape(event.stage.as_str())).unwrap_or_default();
            out.push(format!("{}{}", self.glyphs.branch, paint(HEAD, &name)));
            for (index, event) in stage.iter().enumerate() {
                let glyph = if index + 1 == stage.len() { self.glyphs.last } else { self.glyphs.branch };
                out.push(format!("{}{glyph}{}", self.glyphs.below, line(event, start)));
                let pointer = format!("event://{}/{}", self.run_id, event.seq);
                for finding in self.facts.findings.iter().filter(|finding| finding.reason.pointers.contains(&pointer)) {
                    out.push(format!("{}{}   {}", self.glyphs.below, self.glyphs.below, tell(finding)));
                    told.push(finding);
                }
            }
        }
        for finding in
            self.facts.findings.iter().filter(|finding| !told.iter().any(|other| std::ptr::eq(*other, *finding)))
        {
            out.push(format!("{}{} {}", self.glyphs.branch, tell(finding), escape(&finding.reason.pointers.join(" "))));
        }
        if self.facts.more_findings > 0 {
            out.push(format!(
                "{}{}",
                self.glyphs.branch,
                paint(BAD, &format!("and {} more findings", self.facts.more_findings))
            ));
        }
        out.push(format!("{}{}", self.glyphs.last, self.ending()));
        out.join("\n")
    }

    fn title(&self) -> String {
        let policy = self.facts.commitment.as_ref().map(|commitment| {
            format!("  policy {} {}, stages {}", commitment.id(), commitment.version(), commitment.graph_id())
        });
        let started = self.facts.started.as_ref().map(|ts| format!("  began {}", clock(ts))).unwrap_or_default();
        let beside = policy.unwrap_or_else(|| "  commits to no policy".to_owned()) + &started;
        format!("{}{}", paint(HEAD, &escape(self.run_id.as_str())), paint(SIDE, &escape(&beside)))
    }

    fn ending(&self) -> String {
        let findings = self.facts.failures();
        match self.facts.recorded_verdict {
            _ if findings > 0 => {
                paint(BAD, &format!("FAIL: {findings} findings; `receipt verify` has the whole report"))
            }
            Some(verdict) => format!("finalized {}", term::verdict(verdict)),
            None if self.facts.finalized => format!("finalized {}", term::verdict(Verdict::Unknown)),
            None => paint(ODD, "unfinished"),
        }
    }
}

fn tell(finding: &Finding) -> String {
    paint(BAD, &escape(&format!("{} {}", finding.reason.code, finding.reason.msg)))
}

/// An event on one line: its place, type and times, and what there is to know of it.
fn line(event: &Event, start: Option<Timestamp>) -> String {
    let after = instant(&event.ts()).zip(start).map(|(at, start)| elapsed(at.as_micros() - start.as_micros()));
    let times = format!("{} {:>8}", clock(&event.ts()), after.unwrap_or_default());
    let kind = format!("{:>3} {:<13}", event.seq, event.event_type.as_str());
    format!("{kind} {}  {}", paint(SIDE, &escape(&times)), about(event)).trim_end().to_owned()
}

fn about(event: &Event) -> String {
    let text = |key: &str| event.payload.get(key).and_then(Value::as_text).map(ToString::to_string).unwrap_or_default();
    let verdict = |said: Member<Verdict>| said.known().map(term::verdict).unwrap_or_default();
    match event.event_type {
        EventType::EvidencePut => evidence(event),
        EventType::StageAdvance => escape(&text("reason")),
        EventType::Evaluation => verdict(RecordedEvaluation::verdict_of(event.payload.json())),
        EventType::RunFinalize => {
            format!("{} {}", verdict(RunFinalize::parse(event.payload.json()).verdict), escape(&text("summary")))
        }
        EventType::Decision => escape(&format!("{} {}", text("decision_id"), text("action_plan"))),
        _ => String::new(),
    }
}

fn evidence(event: &Event) -> String {
    let put = EvidencePut::parse(event.payload.json());
    let key = put.key.map(|key| key.to_string()).unwrap_or_default();
    let hash: String = put.hash.map(|hash| hash.to_hex().chars().take(12).collect()).unwrap_or_default();
    let kind = event.payload.get("meta").and_then(|meta| meta.get("evidence_kind")).and_then(Value::as_text);
    let kind = kind.filter(|kind| !kind.as_bytes().is_empty()).map(|kind| format!(" [{kind}]")).unwrap_or_default();
    let (size, content_type) = (put.bytes_len.map(term::size), put.content_type);
    let beside = format!("{} {hash} {}{kind}", size.unwrap_or_default(), content_type.unwrap_or_default());
    format!("{} {}", escape(&key), paint(SIDE, &escape(&beside)))
}

fn instant(ts: &Text) -> Option<Timestamp> {
    ts.as_str().and_then(Timestamp::parse)
}

/// The time to the second, where it is one; else as it stands there, cut to a line.
fn clock(ts: &Text) -> String {
    match instant(ts) {
        Some(at) => at.to_string().chars().take(19).collect::<String>().replace('T', " "),
        None => ts.to_string_lossy().chars().take(40).collect(),
    }
}

/// How long after the beginning.
fn elapsed(micros: i64) -> String {
    let millis = micros / 1000;
    let seconds = millis / 1000;
    match millis {
        ..0 => format!("{millis}ms"),
        0..1000 => format!("+{millis}ms"),
        1000..60_000 => format!("+{seconds}.{}s", millis % 1000 / 100),
        60_000..3_600_000 => format!("+{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("+{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
