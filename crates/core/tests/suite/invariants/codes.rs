//! Every reason code that an invariant's source names is given by some run.

use super::{reference, truths, vectors};
use crate::commitment;
use receipt_core::run::Strictness;
use std::collections::BTreeSet;
use std::path::Path;

/// The texts in a source that look like codes: capitals and underlines in quotes.
fn codes_in(source: &str) -> BTreeSet<String> {
    let quoted = source.split('"').skip(1).step_by(2);
    let is_code = |text: &&str| {
        text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && text.contains('_')
    };
    quoted.filter(is_code).map(str::to_owned).collect()
}

#[test]
fn every_reason_code_is_given_by_some_run() {
    let mut named = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/invariant")).unwrap() {
        // Comments go first: an odd quote in one would turn the rest of the file inside out.
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        named.extend(lines.flat_map(|line| codes_in(&line.replace("\\\"", ""))));
    }
    let results = truths::all()
        .into_iter()
        .chain(vectors::all())
        .map(|case| case.result)
        .chain(reference::results(Strictness::Native).into_values())
        .chain(commitment::results());
    let given: BTreeSet<String> =
        results.flat_map(|result| result.reasons).map(|reason| reason.code.into_owned()).collect();
    let never: Vec<&String> = named.difference(&given).collect();
    assert!(never.is_empty(), "no run gives {never:?}");
    assert!(named.len() > 50, "{named:?}");
}
