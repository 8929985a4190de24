//! The log: roots and proofs against the definition of RFC 6962, its published vectors and another prover; false proofs are refused.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use receipt_core::id::{EventHash, NodeHash};
use receipt_core::merkle::{
    Frontier, MAX_SIZE, ProofProblem, Subtree, TreeHead, join, leaf_hash, prove_consistency, prove_inclusion,
};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;

/// A log with all that a store would keep of it.
struct Log {
    events: Vec<EventHash>,
    nodes: HashMap<Subtree, NodeHash>,
    heads: Vec<TreeHead>,
}

impl Log {
    fn of(size: u64) -> Self {
        let events: Vec<EventHash> = (0..size).map(|i| EventHash::of(&i.to_be_bytes())).collect();
        let (mut nodes, mut frontier) = (HashMap::new(), Frontier::default());
        let mut heads = vec![frontier.head()];
        for event in &events {
            assert!(frontier.push(event, |at, hash| assert_eq!(nodes.insert(at, hash), None, "{at:?} twice")));
            heads.push(frontier.head());
        }
        Self { events, nodes, heads }
    }

    #[allow(clippy::unnecessary_wraps)] // the shape that provers ask for
    fn read(&self, at: Subtree) -> Result<NodeHash, Infallible> {
        Ok(self.nodes[&at])
    }

    fn head(&self, size: u64) -> TreeHead {
        self.heads[usize::try_from(size).unwrap()]
    }

    fn event(&self, index: u64) -> &EventHash {
        &self.events[usize::try_from(index).unwrap()]
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<NodeHash> {
        prove_inclusion(index, size, |at| self.read(at)).unwrap().unwrap()
    }

    fn consistency(&self, old: u64, size: u64) -> Vec<NodeHash> {
        prove_consistency(old, size, |at| self.read(at)).unwrap().unwrap()
    }
}

/// RFC 6962 section 2.1, word for word: the hash of a list of leaves.
fn tree_hash(leaves: &[EventHash]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest(b"").into(),
        [leaf] => Sha256::digest([&[0][..], leaf.as_bytes()].concat()).into(),
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(middle);
            Sha256::digest([&[1][..], &tree_hash(left), &tree_hash(right)].concat()).into()
        }
    }
}

fn flat(proof: &[NodeHash]) -> Vec<u8> {
    proof.iter().flat_map(NodeHash::as_bytes).copied().collect()
}

#[test]
fn every_root_is_the_one_that_the_rfc_defines() {
    let log = Log::of(130);
    for (size, head) in log.heads.iter().enumerate() {
        assert_eq!((head.size, head.root.as_bytes()), (size as u64, &tree_hash(&log.events[..size])));
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(log.head(0).root.to_hex(), empty);
    assert_eq!(log.head(1).root, leaf_hash(log.event(0)));
}

/// The test vectors of Certificate Transparency, which Go's implementations of RFC 6962 have too: eight leaves, the root
/// of each beginning of them, and three proofs.
#[test]
fn the_published_vectors_hold() {
    let leaves: [&[u8]; 8] = [b"", b"\x00", b"\x10", b"\x20\x21", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let (mut nodes, mut frontier) = (HashMap::new(), Frontier::default());
    let mut heads = vec![frontier.head()];
    for leaf in leaves {
        let leaf = NodeHash::from_bytes(Sha256::digest([&[0][..], leaf].concat()).into());
        assert!(frontier.push_leaf(leaf, |at, hash| assert_eq!(nodes.insert(at, hash), None)));
        heads.push(frontier.head());
    }
    assert_eq!(heads.iter().map(|head| head.root.to_hex()).collect::<Vec<_>>(), roots);
    let read = |at: Subtree| Ok::<_, Infallible>(nodes[&at]);
    let shown = |proof: Vec<NodeHash>| proof.iter().map(NodeHash::to_hex).collect::<Vec<_>>();
    let beginning = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    assert_eq!(shown(prove_inclusion(0, 8, read).unwrap().unwrap()), beginning);
    assert_eq!(shown(prove_consistency(1, 8, read).unwrap().unwrap()), beginning);
    let six = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(shown(prove_consistency(6, 8, read).unwrap().unwrap()), six);
}

#[test]
fn a_frontier_loaded_from_stored_subtrees_goes_on_where_it_was() {
    let log = Log::of(70);
    for size in 0..70 {
        let mut frontier = Frontier::load(size, |at| log.read(at)).unwrap();
        assert_eq!(frontier.head(), log.head(size));
        assert!(frontier.push(log.event(size), |at, hash| assert_eq!(log.nodes[&at], hash)));
        assert_eq!(frontier.head(), log.head(size + 1));
    }
}

#[test]
fn a_full_log_takes_no_leaf() {
    let mut frontier = Frontier::load(MAX_SIZE, |_| Ok::<_, Infallible>(NodeHash::of(b"peak"))).unwrap();
    let before = frontier.clone();
    assert!(!frontier.push(&EventHash::of(b"one more"), |at, _| panic!("{at:?} was given out")));
    assert_eq!(frontier, before);
}

#[test]
fn proofs_are_those_of_another_prover_and_hold() {
    let log = Log::of(70);
    let mut other = MemoryBackedTree::<Sha256, [u8; 32]>::new();
    for size in 1..=70_u64 {
        other.push(*log.event(size - 1).as_bytes());
        assert_eq!(other.root().as_bytes().as_slice(), log.head(size).root.as_bytes());
        for index in 0..size {
            let proof = log.inclusion(index, size);
            assert_eq!(flat(&proof), other.prove_inclusion(usize::try_from(index).unwrap()).as_bytes());
            assert_eq!(log.head(size).check_inclusion(log.event(index), index, &proof), Ok(()));
        }
        for old in 1..=size {
            let proof = log.consistency(old, size);
            let added = usize::try_from(size - old).unwrap();
            assert_eq!(flat(&proof), other.prove_consistency(added).as_bytes(), "from {old} to {size}");
            assert_eq!(log.head(size).check_consistency(&log.head(old), &proof), Ok(()));
        }
    }
}

#[test]
fn nothing_is_proved_of_what_is_not_in_the_log() {
    let log = Log::of(8);
    let read = |at: Subtree| log.read(at);
    assert_eq!(prove_inclusion(8, 8, read).unwrap(), None);
    assert_eq!(prove_inclusion(0, MAX_SIZE + 1, read).unwrap(), None);
    assert_eq!(prove_consistency(0, 8, read).unwrap(), None);
    assert_eq!(prove_consistency(9, 8, read).unwrap(), None);
    assert_eq!(prove_consistency(1, MAX_SIZE + 1, read).unwrap(), None);
}

#[test]
fn a_proof_reads_logarithmically_many_subtrees() {
    let size = 10_000_019;
    let mut reads = 0;
    let count = |at: Subtree| {
        reads += 1;
        Ok::<_, Infallible>(NodeHash::of(&at.index.to_be_bytes()))
    };
    assert!(prove_inclusion(5_000_000, size, count).unwrap().unwrap().len() <= 24);
    assert!((20..=48).contains(&reads), "{reads} reads");
}

#[test]
fn an_empty_log_is_a_beginning_of_each_and_one_size_has_one_root() {
    let log = Log::of(9);
    let (empty, head) = (log.head(0), log.head(9));
    assert_eq!(head.check_consistency(&empty, &[]), Ok(()));
    assert_eq!(head.check_consistency(&empty, &[head.root]), Err(ProofProblem::WrongLength));
    assert_eq!(head.check_consistency(&TreeHead { size: 0, ..head }, &[]), Err(ProofProblem::WrongRoot));
    assert_eq!(empty.check_consistency(&empty, &[]), Ok(()));
    let nothing = TreeHead { root: NodeHash::of(b"nothing"), ..empty };
    assert_eq!(nothing.check_consistency(&nothing, &[]), Err(ProofProblem::WrongRoot));
    let fork = TreeHead { root: NodeHash::of(b"fork"), ..head };
    assert_eq!(head.check_consistency(&fork, &[]), Err(ProofProblem::WrongRoot));
    assert_eq!(head.check_consistency(&head, &[head.root]), Err(ProofProblem::WrongLength));
    assert_eq!(log.head(8).check_consistency(&head, &[]), Err(ProofProblem::OutOfRange));
}

proptest! {
    #[test]
    fn a_changed_proof_is_refused(size in 2_u64..200, at in any::<prop::sample::Index>(), bit in 0_usize..256,
                                  cut in any::<bool>()) {
        let log = Log::of(size);
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let old = index.max(1);
        let (head, first) = (log.head(size), log.head(old));
        for consistency in [false, true] {
            let honest = if consistency { log.consistency(old, size) } else { log.inclusion(index, size) };
            let check = |proof: &[NodeHash]| {
                if consistency { head.check_consistency(&first, proof) }
                else { head.check_inclusion(log.event(index), index, proof) }
            };
            prop_assert_eq!(check(&honest), Ok(()));
            let mut false_one = honest.clone();
            if cut {
                false_one.pop();
            } else {
                let which = at.index(honest.len());
                let mut bytes = *honest[which].as_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                false_one[which] = NodeHash::from_bytes(bytes);
            }
            prop_assert!(check(&false_one).is_err());
            false_one = honest;
            false_one.push(head.root);
            prop_assert_eq!(check(&false_one), Err(ProofProblem::WrongLength));
        }
    }

    #[test]
    fn another_event_or_place_is_refused(size in 2_u64..200, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let log = Log::of(size);
        let pick = |at: prop::sample::Index| at.index(usize::try_from(size).unwrap()) as u64;
        let (here, there) = (pick(a), pick(b));
        prop_assume!(here != there);
        let (head, proof) = (log.head(size), log.inclusion(here, size));
        prop_assert!(head.check_inclusion(log.event(there), here, &proof).is_err());
        prop_assert!(head.check_inclusion(log.event(here), there, &proof).is_err());
    }

    #[test]
    fn no_size_and_no_proof_makes_a_check_panic(size in any::<u64>(), old in any::<u64>(), index in any::<u64>(),
                                                near in 0_u64..3, length in 0_usize..70) {
        let root = NodeHash::of(b"root");
        let proof = vec![root; length];
        for size in [size, size >> 1, size >> 2, size >> 40, MAX_SIZE - near, MAX_SIZE + near, u64::MAX - near] {
            let head = TreeHead { size, root };
            for at in [index, old, index % size.max(1), size.saturating_sub(near), size.wrapping_add(near), near] {
                prop_assert!(head.check_inclusion(&EventHash::of(b"event"), at, &proof).is_err());
                let fork = TreeHead { size: at, root: NodeHash::of(b"other") };
                prop_assert!(head.check_consistency(&fork, &proof).is_err());
            }
        }
    }
}

#[test]
fn a_complete_subtree_is_worth_its_leaves_and_fits_only_where_they_would() {
    for (before, level) in [(0, 0), (0, 3), (8, 3), (8, 2), (12, 2), (24, 3)] {
        let leaves = 1 << level;
        let log = Log::of(before + leaves);
        let nodes: Vec<NodeHash> = (before..before + leaves).map(|index| leaf_hash(log.event(index))).collect();
        let mut frontier = Frontier::load(before, |at| log.read(at)).unwrap();
        assert!(frontier.push_subtree(level, join(&nodes), |at, hash| assert_eq!(Ok(hash), log.read(at))));
        assert_eq!(frontier.head(), log.head(before + leaves));
    }
    let log = Log::of(12);
    for (before, level) in [(1, 1), (12, 3), (6, 2), (0, 63), (0, 64), (8, 255)] {
        let mut frontier = Frontier::load(before, |at| log.read(at)).unwrap();
        assert!(!frontier.push_subtree(level, NodeHash::of(b"x"), |_, _| ()));
        assert_eq!(frontier.head(), log.head(before));
    }
}
