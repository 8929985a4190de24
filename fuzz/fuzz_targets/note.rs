//! Edits of a signed checkpoint, and any bytes: no crash; what reads as a note, a checkpoint or a proof is written back the
//! same, and no other text has a good signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_core::checkpoint::{Checkpoint, ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_core::id::EventHash;
use receipt_core::merkle::{Frontier, TreeHead};
use receipt_core::note::{KeyKind, Note, Signing, Standing};
use receipt_core::witness::WitnessPolicy;
use std::sync::LazyLock;

static KEY: LazyLock<Signing> =
    LazyLock::new(|| Signing::from_seed("example.com/log".parse().expect("a name"), KeyKind::Note, &[7; 32]));

static GOOD: LazyLock<SignedCheckpoint> = LazyLock::new(|| {
    let head = Frontier::default().head();
    Checkpoint::new(KEY.verifier().name().clone(), head).sign(&[&KEY]).expect("a checkpoint")
});

/// The good note with bytes changed: three bytes an edit, where (two) and by what.
fn edited(edits: &[u8]) -> Vec<u8> {
    let mut note = GOOD.to_string().into_bytes();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % note.len();
        note[at] ^= edit[2];
    }
    note
}

fn check(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        let good = matches!(note.standing(KEY.verifier()), Standing::Good { .. });
        assert!(!good || note.text() == GOOD.note().text(), "a forged signature");
    }
    if let Ok(checkpoint) = SignedCheckpoint::parse(bytes) {
        assert_eq!(checkpoint.to_string().as_bytes(), bytes);
    }
    if let Ok(proof) = InclusionProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
        let _ = proof.check(&EventHash::of(bytes));
    }
    if let Ok(proof) = ConsistencyProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
        let _ = proof.check(&TreeHead { size: proof.old, root: proof.checkpoint.checkpoint().head.root });
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = WitnessPolicy::parse(text);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    if first % 2 == 0 { check(&edited(rest)) } else { check(rest) }
});
