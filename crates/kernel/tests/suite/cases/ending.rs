//! A run that ended well though nothing evaluated it.

use super::table::{SOUND, is_a};
use super::{exported, scene};
use crate::forge::{Bundle, Forger, rechain, set};
use receipt_kernel::Verdict::{Fail, Pass, Unknown};
use receipt_kernel::bundle::Verify;
use receipt_kernel::check::report::CheckReport;
use receipt_kernel::{Check, Ledger, Object, RunId};

/// What verify and replay say of a run that ended well though nothing evaluated it, in a ledger and as a bundle.
#[test]
fn a_run_that_ended_well_without_an_evaluation_is_never_borne_out_by_a_replay() {
    for (commits, ended, verify, replay) in [
        (true, "pass", Fail, [Fail, Unknown]),
        (false, "pass", Pass, [Unknown, Unknown]),
        (false, "warn", Pass, [Unknown, Unknown]),
        (false, "fail", Pass, [Pass, Pass]),
    ] {
        let name = format!("{commits}, {ended}");
        let scene = scene(&SOUND);
        let change = |events: &mut Vec<Object>| {
            events.retain(|event| !is_a(event, "EVALUATION"));
            set(events.last_mut().unwrap(), &["payload", "verdict"], ended);
            set(events.last_mut().unwrap(), &["payload", "overall_verdict"], ended);
            if !commits {
                events[0].insert("payload", Object::new());
            }
            rechain(events);
        };
        let mut bundle = Bundle::read(&exported(&scene.ledger));
        change(&mut bundle.events);
        Forger::open(&scene.path).edit("a", change);
        let ledger = Ledger::open_read_only(&scene.path).unwrap();
        let path = |checks: &[CheckReport]| {
            let path = checks.iter().find(|check| check.check == Check::Path).unwrap();
            if path.required { path.verdict } else { Pass }
        };
        let in_ledger = ledger.audit().unwrap();
        let report = Verify::default().run(&mut &bundle.write()[..]).unwrap();
        assert_eq!([path(&in_ledger.checks), path(&report.checks)], [verify; 2], "{name}");
        let of_bundle = report.check(Check::Replay).unwrap();
        let replays = ledger.replay(&RunId::new("a")).unwrap();
        assert_eq!([replays.verdict, of_bundle.verdict], replay, "{name}: {replays:?} {of_bundle:?}");
        let counts = of_bundle.required || of_bundle.verdict == Pass;
        assert_eq!(counts, commits || of_bundle.verdict == Pass, "{name}: nothing binds a run that commits to nothing");
        if !commits && replay == [Unknown; 2] {
            assert_eq!(replays.reasons[0].code, "REPLAY_NOT_EVALUATED");
            assert_eq!(of_bundle.reasons[0].code, "REPLAY_NOT_EVALUATED");
        }
    }
}
