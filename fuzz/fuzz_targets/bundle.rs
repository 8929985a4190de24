//! Edits of a good bundle, and any bytes: no crash; only the bundle as it was made verifies.
//!
//! The first byte of the input chooses: edits of the good bundle (four bytes each: what, where, a byte), or the rest as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::{Actor, Ledger, Object, Policy, Put, RunId, Verdict};
use std::sync::LazyLock;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let ledger = Ledger::in_memory();
    let policy = Policy::structural().expect("a built-in policy");
    let mut run = ledger.start("run", policy, Actor::new("system", "fuzz"), Object::new()).expect("a run");
    run.advance("COLLECT", "").expect("a step");
    run.put("log", b"all tests passed\n", Put::text()).expect("evidence");
    run.advance("EVALUATE", "").expect("a step");
    run.evaluate().expect("an evaluation");
    run.advance("DECIDE", "").expect("a step");
    run.decide("ship", &[], "release").expect("a decision");
    run.finalize("released").expect("an end");
    let mut bundle = Vec::new();
    ledger.export(&Export::of(RunId::new("run")), &mut bundle).expect("a bundle");
    assert_eq!(verdict(&bundle), Verdict::Pass);
    bundle
});

fn verdict(bundle: &[u8]) -> Verdict {
    let report = Verify::default().run(&mut &bundle[..]).expect("memory can be read");
    report.overall_verdict()
}

fn edited(edits: &[u8]) -> Vec<u8> {
    let mut bundle = GOOD.clone();
    for edit in edits.chunks_exact(4) {
        let at = usize::from(u16::from_be_bytes([edit[1], edit[2]])) % (bundle.len() + 1);
        match edit[0] % 5 {
            0 if at < bundle.len() => bundle[at] ^= edit[3].max(1),
            1 => bundle.insert(at, edit[3]),
            2 if at < bundle.len() => drop(bundle.remove(at)),
            3 => bundle.truncate(at),
            4 => {
                let lines: Vec<&[u8]> = bundle.split_inclusive(|byte| *byte == b'\n').collect();
                let (from, to) = (at % lines.len().max(1), usize::from(edit[3]) % lines.len().max(1));
                let mut lines = lines.clone();
                if from < lines.len() && to < lines.len() {
                    lines.swap(from, to);
                }
                bundle = lines.concat();
            }
            _ => {}
        }
    }
    bundle
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let bundle = if first % 2 == 0 { edited(rest) } else { rest.to_vec() };
    let verdict = verdict(&bundle);
    if first % 2 == 0 {
        assert_eq!(verdict == Verdict::Pass, bundle == *GOOD);
    }
});
