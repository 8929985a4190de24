//! What one huge envelope costs in memory: a small multiple of its text, whatever stands in it.

use receipt_core::chain::Link;
use receipt_core::envelope::{Members, Sealed};
use receipt_core::evidence::BlobFact;
use receipt_core::id::{RunId, Seq};
use receipt_core::invariant;
use receipt_core::json::Object;
use receipt_core::run::SnapshotBuilder;
use std::process::Command;

/// How long the envelope is. It is full of the smallest values, each of which takes ten times its text in memory.
const TEXT: usize = 32 << 20;

/// How many times its text reading and judging it may take: its stored form, its compact form, and the snapshot's own.
const TIMES: usize = 3;

/// The member of the envelope that is huge.
const HUGE: [(&str, &str, &str, &str); 7] = [
    ("refs", r#"{"blobs":["#, r#""","#, r#"""],"events":[]}"#),
    ("refs", r#"{"blobs":[],"events":["#, r#""a","#, r#""a"]}"#),
    ("actor", r#"{"id":"a","kind":"k","more":["#, "0,", "0]}"),
    ("policy", r#"{"more":["#, "[],", r#"[]],"policy_id":"p","policy_version":"1","stage_graph_id":"g"}"#),
    ("payload", r#"{"key":"k","more":["#, "{},", "{}]}"),
    ("payload", r#"{"evidence":{"more":["#, "[],", r#"[]]},"key":"k"}"#),
    ("payload", r#"{"key":"k","meta":{"more":["#, "[],", "[]]}}"),
];

fn event(event_type: &str, huge: Option<usize>, link: Link) -> Sealed {
    let mut members = Members::parse(
        br#"{"actor":{"id":"a","kind":"k"},"event_schema_version":1,"payload":{"meta":{"mode":"factual"}},"policy":{
            "policy_id":"p","policy_version":"1","stage_graph_id":"g"},"refs":{"blobs":[],"events":[]},"stage":"START",
            "ts":"2026-01-01T00:00:00+00:00"}"#,
    )
    .unwrap();
    members.insert("event_type", format!("\"{event_type}\"").into_bytes());
    if let Some(huge) = huge {
        let (name, before, item, after) = HUGE[huge];
        let mut value = Vec::with_capacity(TEXT + 256);
        value.extend_from_slice(before.as_bytes());
        (0..TEXT / item.len()).for_each(|_| value.extend_from_slice(item.as_bytes()));
        value.extend_from_slice(after.as_bytes());
        members.insert(name, value);
    }
    members.seal(link).unwrap()
}

/// A size of this process, in bytes.
fn size(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
#[ignore = "one_huge_envelope_takes_a_small_multiple_of_its_text runs it, in a process of its own"]
fn reading_one_huge_envelope() {
    let huge = std::env::var("HUGE").unwrap().parse().unwrap();
    let run = RunId::new("r");
    let start = event("RUN_START", None, Link::first(run.clone()));
    let link = Link { run_id: run.clone(), seq: Seq::new(2).unwrap(), prev: Some(start.hash) };
    let put = event("EVIDENCE_PUT", Some(huge), link);
    let mut reader = SnapshotBuilder::new(run);
    reader.event_text(&start.text);
    reader.event_text(&put.text);
    let mut snapshot = reader.finish(None);
    assert_eq!((snapshot.events().len(), snapshot.facts().unreadable), (2, 0));
    let wanted = snapshot.wanted(&["claims_map"]);
    for blob in wanted {
        snapshot.supply(blob.hash, BlobFact::Missing);
    }
    for id in invariant::IDS {
        if let Ok(invariant) = invariant::from_params(id, &Object::new()) {
            invariant::evaluate(invariant.as_ref(), &snapshot);
        }
    }
    println!("peak {}", size("VmHWM"));
}

#[test]
#[cfg(target_os = "linux")]
fn one_huge_envelope_takes_a_small_multiple_of_its_text() {
    let program = std::env::current_exe().unwrap();
    for (index, (name, before, ..)) in HUGE.iter().enumerate() {
        let mut child = Command::new(&program);
        child.args(["--exact", "memory::reading_one_huge_envelope", "--ignored", "--nocapture"]);
        let output = child.env("HUGE", index.to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let peak = said.lines().find_map(|line| line.split("peak ").nth(1)).and_then(|peak| peak.trim().parse().ok());
        let peak: usize = peak.unwrap_or_else(|| panic!("{name} {before}: {said} {output:?}"));
        let mib = |bytes: usize| bytes >> 20;
        println!("{name} {before}…: {} MiB for an envelope of {} MiB", mib(peak), mib(TEXT));
        assert!(peak < TEXT * TIMES + (16 << 20), "{name} {before}…: {} MiB", mib(peak));
    }
}
