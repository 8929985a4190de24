//! How long evidence is kept, to the last instant.

use super::{DAY, at, scene};
use crate::common::actor;
use receipt_core::evidence::EvidenceClass;
use receipt_kernel::{BlobHash, Error, Ledger, Retention, Timestamp, Ttl};

#[test]
fn nothing_is_removed_where_nobody_has_said_how_long_it_is_kept() {
    let ledger = Ledger::in_memory();
    assert!(ledger.retention().unwrap().is_none());
    assert!(matches!(ledger.retain(&actor(), &mut |_, _| {}), Err(Error::RetentionUnset)));
    assert!(matches!(ledger.plan_retention(at(0)), Err(Error::RetentionUnset)));
}

#[test]
fn evidence_is_kept_to_the_last_instant_of_its_time_and_instants_are_compared_as_instants() {
    let scene = scene();
    let public = scene.put("a", "k", "public", EvidenceClass::Public);
    let sealed = scene.put("b", "k", "sealed", EvidenceClass::Sealed);
    let due = |now: &str| -> Vec<BlobHash> {
        let plan = scene.ledger.plan_retention(Timestamp::parse(now).unwrap()).unwrap();
        plan.due.iter().map(|due| due.hash).collect()
    };
    assert_eq!(due("2026-01-08T00:00:00+00:00"), []);
    assert_eq!(due("2026-01-08T05:30:00+05:30"), [], "the same instant, elsewhere");
    assert_eq!(due("2026-01-07T19:00:00-05:00"), []);
    assert_eq!(due("2026-01-08T00:00:00.000001Z"), [sealed]);
    assert_eq!(due("2026-01-08T05:30:01+05:30"), [sealed]);
    assert_eq!(due("2026-01-07T19:00:01-05:00"), [sealed]);
    assert_eq!(due("2026-01-31T00:00:00Z"), [sealed]);
    assert_eq!(due("2026-01-31T00:00:00.000001Z").len(), 2);
    // Whatever its row says.
    scene.edit("UPDATE blobs SET created_at = '2000-01-01T00:00:00+00:00' WHERE sha256 = ?1", &public);
    assert_eq!(due("2026-01-31T00:00:00Z"), [sealed]);
    assert_eq!(due("2026-01-31T00:00:00.000001Z").len(), 2);
}

#[test]
fn what_is_no_instant_is_refused_before_anything_is_compared() {
    for text in ["tomorrow", "zzz", "9", "", "2026-01-01", "2026-01-01T05:00:00", "2026-13-01T00:00:00Z"] {
        assert_eq!(Timestamp::parse(text), None, "{text}");
    }
}

#[test]
fn a_time_longer_than_instants_can_say_is_for_ever() {
    let since = at(0);
    for ttl in [
        Ttl::Forever,
        Ttl::from_seconds(-1),
        Ttl::from_seconds(i64::MIN),
        Ttl::Seconds(u64::MAX),
        Ttl::Seconds(1_000_000_000_000),
    ] {
        assert_eq!(ttl.until(since, u64::MAX), None);
        assert_eq!(ttl.until(since, 0), None, "{ttl:?}");
    }
    assert_eq!(Ttl::Seconds(0).until(since, 0), Some(since));
    assert_eq!(Ttl::Seconds(60).until(since, 30).unwrap().as_micros(), since.as_micros() + 90_000_000);
}

#[test]
fn a_retention_that_cannot_be_is_refused() {
    let value = |text: &str| receipt_core::json::parse(text.as_bytes(), receipt_core::json::Limits::READ).unwrap();
    for text in [
        r"[]",
        r#"{"public_ttl_seconds":"3600"}"#,
        r#"{"public_ttl_seconds":null}"#,
        r#"{"sealed_ttl_seconds":1.5}"#,
        r#"{"grace_seconds":-1}"#,
        r#"{"public":5}"#,
        r#"{"keys":{"a":"b"}}"#,
        r#"{"keys":[]}"#,
        r#"{"holds":{"a":5}}"#,
    ] {
        assert!(matches!(Retention::from_value(&value(text)), Err(Error::RetentionInvalid { .. })), "{text}");
    }
    let all =
        r#"{"public_ttl_seconds":-7,"sealed_ttl_seconds":0,"grace_seconds":5,"keys":{"k":9},"holds":{"r":"why"}}"#;
    let retention = Retention::from_value(&value(all)).unwrap();
    assert_eq!((retention.public, retention.sealed, retention.hash), (Ttl::Forever, Ttl::Seconds(0), Ttl::Forever));
    assert_eq!(Retention::from_value(&retention.to_value()).unwrap(), retention);
}

#[test]
fn a_key_has_a_time_of_its_own_and_grace_is_added_to_each() {
    let scene = scene();
    let log = scene.put("a", "stdout.1", "log", EvidenceClass::Public);
    let map = scene.put("b", "claims_map", "map", EvidenceClass::Sealed);
    let both = scene.put("c", "other", "both", EvidenceClass::Public);
    scene.put("d", "stdout", "both", EvidenceClass::Public);
    scene.set(|retention| {
        retention.keys.insert("stdout*".to_owned(), Ttl::Seconds(DAY.cast_unsigned()));
        retention.grace_seconds = DAY.cast_unsigned();
    });
    let due = |day| scene.plan_on(day).due.iter().map(|due| due.hash).collect::<Vec<_>>();
    assert_eq!(due(2), []);
    assert_eq!(due(3), [log]);
    assert_eq!(due(31), [log]);
    assert_eq!(due(32).len(), 2, "the longest of its keys counts");
    assert!(!due(100_000).contains(&map) && due(100_000).contains(&both), "what invariants read is kept");
}
