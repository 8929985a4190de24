//! An import judges as its bundle did.

use super::table::{CASES, LOG, SOUND, receipt};
use super::{at, audited, evidence, exported, scene};
use crate::common::{actor, start};
use crate::forge::{Forger, rechain};
use receipt_kernel::Verdict::{Fail, Pass, Unknown};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::{Check, Digest256, Ledger, Put, RunId};

#[test]
fn an_import_judges_as_its_bundle_did_and_so_does_the_bundle_that_is_made_of_it() {
    let mut taken = 0;
    for (case, shared) in CASES.iter().flat_map(|case| [(case, false), (case, true)]) {
        let name = format!("{}{}", case.name, if shared { ", shared with a run of mine" } else { "" });
        let scene = scene(case);
        (case.after)(&scene);
        let bundle = scene.bundle(case);
        let files: Vec<_> =
            case.file.map(|file| ("log".to_owned(), Digest256::of(file).unwrap())).into_iter().collect();
        let asked = Verify::default().files(&files);
        let before = asked.run(&mut &bundle[..]).unwrap();

        let here = Ledger::in_memory();
        if shared {
            let mut mine = start(&here, "mine");
            mine.put("k", LOG, Put::of_type("image/png")).unwrap();
            mine.put("k", b"", Put::of_type("image/png")).unwrap();
        }
        let imported = here.import(&asked, &mut &bundle[..]).unwrap();
        if !imported.report.overall_verdict().is_success() {
            assert!(!here.has_run("a").unwrap(), "{name}: nothing of it is kept");
            // Of what is not in the bundle nothing could be kept.
            let left_out = case.name == "withheld, and the file is the one";
            assert_eq!(before.overall_verdict().is_success(), left_out, "{name}");
            continue;
        }
        taken += 1;
        // With the bytes at hand no file is of use.
        let files = if shared { Vec::new() } else { files };
        let asked = Verify::default().files(&files);
        for (verdict, codes) in audited(&here, &files) {
            let same = (verdict, &codes) == (evidence(&before).0, &evidence(&before).1);
            // Its class is from here on what its own events say.
            let proved = verdict == Pass && evidence(&before).1 == ["EVIDENCE_CLASS_UNPROVED"];
            assert!(
                same || proved || shared && verdict == Pass,
                "{name}: {verdict} {codes:?}, in the bundle {:?}",
                evidence(&before)
            );
        }
        let replayed = here.replay(&RunId::new("a")).unwrap();
        let replay = before.check(Check::Replay).unwrap();
        assert!(replayed.verdict == replay.verdict || shared && replayed.verdict == Pass, "{name}: {replayed:?}");

        let again = exported(&here);
        let after = asked.run(&mut &again[..]).unwrap();
        assert!(after.overall_verdict().is_success(), "{name}: {after:#?}");
        let there = Ledger::in_memory();
        assert!(there.import(&asked, &mut &again[..]).unwrap().new, "{name}");
        for (verdict, codes) in audited(&there, &files) {
            assert_eq!((verdict, codes), evidence(&after), "{name}: imported from a ledger that had imported it");
        }
        assert_eq!(exported(&there), again, "{name}");
    }
    assert!(taken >= 18, "{taken}");
}

#[test]
fn what_only_others_vouch_for_is_not_imported() {
    let scene = scene(&SOUND);
    scene.clock.set(at(40));
    let removal = scene.ledger.retain(&actor(), &mut |_, _| {}).unwrap().run_id.unwrap();
    let (bundle, mut removal_bundle) = (exported(&scene.ledger), Vec::new());
    scene.ledger.export(&Export::of(removal), &mut removal_bundle).unwrap();
    let receipts = Verify::default().run(&mut &removal_bundle[..]).unwrap().receipts;
    let asked = Verify::default().receipts(&receipts);
    assert_eq!(evidence(&asked.run(&mut &bundle[..]).unwrap()), (Pass, vec![]), "the control");
    let here = Ledger::in_memory();
    let imported = here.import(&asked, &mut &bundle[..]).unwrap();
    assert_eq!(evidence(&imported.report), (Unknown, vec!["EXPIRY_UNPROVED".to_owned()]));
    assert!(!here.has_run("a").unwrap());
}

#[test]
fn a_receipt_in_a_run_of_mine_does_not_excuse_that_a_row_is_missing() {
    let scene = scene(&SOUND);
    let forger = Forger::open(&scene.path);
    forger.edit("a", |events| {
        receipt(events, &[]);
        rechain(events);
    });
    drop(forger);
    scene.sql("DELETE FROM blobs");
    let ledger = Ledger::open_read_only(&scene.path).unwrap();
    for found in audited(&ledger, &[]) {
        assert_eq!(found, (Fail, vec!["BLOB_MISSING".to_owned()]));
    }
}
