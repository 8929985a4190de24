//! Runs of the Python package, which commit to nothing.

use super::run::{CREATED, Held, Run, object, record, story, text};
use receipt_core::Verdict;
use receipt_core::run::Area;
use receipt_core::stage::Stage;
use std::collections::BTreeSet;
use std::sync::Arc;

use Area::Content;

/// A run of the Python package, two of whose events name another policy than the others.
fn uncommitted() -> Run {
    let mut story = story();
    story[0].payload = object(r#"{"meta":{}}"#);
    story[8].stage = Stage::new("ANYWHERE");
    story.insert(4, story[0].clone());
    "2".clone_into(&mut Arc::make_mut(&mut story[3].policy).policy_version);
    "g".clone_into(&mut Arc::make_mut(&mut story[4].policy).stage_graph_id);
    record("run/1", &story)
}

#[test]
fn a_run_without_a_commitment_is_held_to_its_chain_and_to_nothing_that_it_never_promised() {
    let mut run = uncommitted();
    run.head.as_mut().unwrap()[4] = text("anything");
    assert_eq!(run.found(), BTreeSet::new());
    run.edit(3, "stderr", "stdxxx");
    assert_eq!(run.found(), BTreeSet::from([(Content, "EVENT_HASH_MISMATCH".to_owned())]));
}

#[test]
fn a_row_without_a_commitment_that_no_event_agrees_with_is_a_warning_and_no_break_of_the_chain() {
    // Columns and ts of the events: 2026-01-01, but the last one is stored in December.
    let row = |column: usize, value: Held| {
        let mut run = uncommitted();
        run.rows[11][CREATED] = text("2026-12-01T10:00:00.000001+00:00");
        run.head.as_mut().unwrap()[column] = value;
        run
    };
    let fine = [
        (0, "release"),
        (1, "1"),
        (1, "2"),
        (2, "v1_default"),
        (2, "g"),
        (3, "2026-01-01T00:00:00+00:00"),
        // The store's clock, while the events' ts is what their writer wants.
        (3, "2026-12-01T09:59:59.000001+00:00"),
        (3, "2025-06-01T00:00:00+00:00"),
    ];
    for (column, value) in fine {
        let run = row(column, text(value));
        assert_eq!(run.found(), BTreeSet::new(), "{column} {value}");
    }
    let edited = [
        (0, "other"),
        (0, ""),
        (0, "release "),
        (1, "3"),
        (1, "release"),
        (2, "v1_minimal"),
        (3, "2000-01-01T00:00:00+00:00"),
        (3, "2027-01-01T00:00:00+00:00"),
        (3, "9999-12-31T23:59:59+00:00"),
        (3, "yesterday"),
        (3, ""),
    ];
    for (column, value) in edited {
        let run = row(column, text(value));
        let facts = run.facts();
        let found: Vec<_> = facts.findings.iter().map(|finding| (finding.verdict, &*finding.reason.code)).collect();
        assert_eq!(found, [(Verdict::Warn, "RUN_ROW_UNCONFIRMED")], "{column} {value}");
        assert_eq!((facts.is_sound(), run.chain_verdict()), (true, Verdict::Pass), "{column} {value}");
    }
}

#[test]
fn a_run_with_more_policies_than_are_kept_may_have_any_row() {
    for (count, verdict) in [(63, Some(Verdict::Warn)), (200, None)] {
        let mut story = story();
        story[0].payload = object("{}");
        let mut drafts = vec![story[0].clone()];
        drafts.extend((0..count).map(|index| {
            let mut draft = story[8].clone();
            Arc::make_mut(&mut draft.policy).policy_version = format!("v{index}");
            draft
        }));
        let mut run = record("run/1", &drafts);
        run.head.as_mut().unwrap()[0] = text("other");
        assert_eq!(run.facts().findings.first().map(|finding| finding.verdict), verdict, "{count}");
    }
}
