//! The log: an RFC 6962 Merkle tree (section 2.1, SHA-256) over the ledger's event hashes.
//!
//! A leaf's data is the 32 raw bytes of an event hash, so that a leaf is `SHA-256(0x00 || event hash)` and a node is
//! `SHA-256(0x01 || left || right)`. [`Frontier`] takes leaves one by one and gives out the hash of each complete
//! subtree as it closes; whoever keeps those can prove with O(log n) reads ([`prove_inclusion`],
//! [`prove_consistency`]). A [`TreeHead`] checks such proofs and needs nothing else.

use crate::id::{EventHash, NodeHash};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::{Digest, Sha256};
use std::fmt;

/// The most leaves that a log can have: 2^62. A larger size in a proof or a checkpoint is refused.
pub const MAX_SIZE: u64 = 1 << 62;

/// The most hashes that a proof can have: one a level, and one more for consistency.
pub const MAX_PROOF: usize = 64;

/// The hash of the leaf that holds `event` (RFC 6962 section 2.1).
pub fn leaf_hash(event: &EventHash) -> NodeHash {
    NodeHash::from_bytes(Sha256::new().chain_update([0]).chain_update(event.as_bytes()).finalize().into())
}

fn node_hash(left: &NodeHash, right: &NodeHash) -> NodeHash {
    let hasher = Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    NodeHash::from_bytes(hasher.finalize().into())
}

/// The root of a log without leaves: SHA-256 of nothing.
fn empty_root() -> NodeHash {
    NodeHash::of(&[])
}

/// A complete subtree: the `2^level` leaves from `index * 2^level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subtree {
    /// Its height; a leaf has 0.
    pub level: u8,
    /// Its index in its level, from the left, from 0.
    pub index: u64,
}

/// The right edge of a growing log: the roots of the complete subtrees that its leaves fall into, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<NodeHash>,
}

impl Frontier {
    /// The frontier of a log of `size` leaves, whose peaks `read` gives.
    ///
    /// # Errors
    /// The errors of `read`.
    pub fn load<E>(size: u64, mut read: impl FnMut(Subtree) -> Result<NodeHash, E>) -> Result<Self, E> {
        let peaks = peaks(0, size).into_iter().map(&mut read).collect::<Result<_, E>>()?;
        Ok(Self { size, peaks })
    }

    /// Adds a leaf, and gives each subtree that it completes to `emit`: the leaf first, then upwards.
    ///
    /// Gives false, and adds nothing, if the log has [`MAX_SIZE`] leaves.
    #[must_use = "a full log takes no leaf"]
    pub fn push(&mut self, event: &EventHash, emit: impl FnMut(Subtree, NodeHash)) -> bool {
        self.push_leaf(leaf_hash(event), emit)
    }

    /// Adds a leaf whose hash is known.
    #[must_use = "a full log takes no leaf"]
    pub fn push_leaf(&mut self, leaf: NodeHash, emit: impl FnMut(Subtree, NodeHash)) -> bool {
        self.push_subtree(0, leaf, emit)
    }

    /// Adds all leaves under a complete subtree. Gives false, and adds nothing, if it does not fit too: the log
    /// must have a multiple of `2^level` leaves.
    #[must_use = "a full log takes no leaf, and one of another size no subtree"]
    pub fn push_subtree(&mut self, level: u8, root: NodeHash, mut emit: impl FnMut(Subtree, NodeHash)) -> bool {
        let leaves = 1u64.checked_shl(level.into()).unwrap_or(u64::MAX);
        if !self.size.is_multiple_of(leaves) || leaves > MAX_SIZE || self.size > MAX_SIZE - leaves {
            return false;
        }
        let mut at = Subtree { level, index: self.size / leaves };
        let mut hash = root;
        emit(at, hash);
        while at.index % 2 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            at = Subtree { level: at.level + 1, index: at.index / 2 };
            emit(at, hash);
        }
        self.peaks.push(hash);
        self.size += leaves;
        true
    }

    /// How many leaves it has.
    pub fn head_size(&self) -> u64 {
        self.size
    }

    /// The size and root of the log as it stands.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: fold(&self.peaks) }
    }
}

/// The root of a complete subtree from the `2^n` nodes of one level below it, from the left.
pub fn join(nodes: &[NodeHash]) -> NodeHash {
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| node_hash(&pair[0], pair.last().unwrap_or(&pair[0]))).collect();
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// The root over peaks, largest first: the smaller ones are joined first.
fn fold(peaks: &[NodeHash]) -> NodeHash {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// The complete subtrees that cover the leaves from `start` to before `end`, from the left. `start` is a multiple of
/// the largest power of two that is not above `end - start`.
fn peaks(mut start: u64, end: u64) -> Vec<Subtree> {
    let mut found = Vec::new();
    while let Some(level) = end.saturating_sub(start).checked_ilog2() {
        found.push(Subtree { level: u8::try_from(level).unwrap_or(u8::MAX), index: start >> level });
        start += 1 << level;
    }
    found
}

/// The hash of the leaves from `start` to before `end`, from what `read` gives.
fn range<E>(start: u64, end: u64, read: &mut impl FnMut(Subtree) -> Result<NodeHash, E>) -> Result<NodeHash, E> {
    Ok(fold(&peaks(start, end).into_iter().map(read).collect::<Result<Vec<_>, E>>()?))
}

/// The largest power of two below `count`, which is 2 or more (RFC 6962's k).
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Proves that the leaf at `index` is in the log of `size` leaves (RFC 6962 section 2.1.1): the hashes beside its way
/// to the root, from the leaf upwards. `read` gives the complete subtrees.
///
/// `None` if the log has no such leaf.
///
/// # Errors
/// The errors of `read`.
pub fn prove_inclusion<E>(
    index: u64,
    size: u64,
    mut read: impl FnMut(Subtree) -> Result<NodeHash, E>,
) -> Result<Option<Vec<NodeHash>>, E> {
    if index >= size || size > MAX_SIZE {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(middle, end, &mut read)?);
            end = middle;
        } else {
            path.push(range(start, middle, &mut read)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Proves that the log of `old` leaves is a beginning of the log of `size` leaves (RFC 6962 section 2.1.2).
///
/// `None` if `old` is 0 or above `size`.
///
/// # Errors
/// The errors of `read`.
pub fn prove_consistency<E>(
    old: u64,
    size: u64,
    mut read: impl FnMut(Subtree) -> Result<NodeHash, E>,
) -> Result<Option<Vec<NodeHash>>, E> {
    if old == 0 || old > size || size > MAX_SIZE {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end > old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range(middle, end, &mut read)?);
            end = middle;
        } else {
            path.push(range(start, middle, &mut read)?);
            start = middle;
        }
    }
    // Where the old log is itself a subtree from the first leaf, the verifier knows its root already.
    if start > 0 {
        path.push(range(start, end, &mut read)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofProblem {
    /// The sizes or the index fit no log.
    OutOfRange,
    /// The proof has not as many hashes as its sizes ask.
    WrongLength,
    /// The hashes lead to another root.
    WrongRoot,
}

impl fmt::Display for ProofProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the sizes or the index fit no log",
            Self::WrongLength => "the proof has not as many hashes as its sizes ask",
            Self::WrongRoot => "the hashes lead to another root",
        })
    }
}

/// A log's size and root: what a checkpoint signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: NodeHash,
}

impl TreeHead {
    /// Checks that `event` is the leaf at `index`.
    ///
    /// # Errors
    /// The problem with the proof. A proof that holds binds the event and its index to this root, but says nothing of
    /// the size: one path fits several sizes. The size must come with the root from something signed.
    pub fn check_inclusion(&self, event: &EventHash, index: u64, proof: &[NodeHash]) -> Result<(), ProofProblem> {
        use ct_merkle::InclusionVerifError as Wrong;
        if index >= self.size || self.size > MAX_SIZE {
            return Err(ProofProblem::OutOfRange);
        }
        if proof.len() > MAX_PROOF {
            return Err(ProofProblem::WrongLength);
        }
        let proof = InclusionProof::<Sha256>::try_from_bytes(concat(proof)).map_err(|_| ProofProblem::WrongLength)?;
        self.root_hash().verify_inclusion(event.as_bytes(), index, &proof).map_err(|wrong| match wrong {
            Wrong::IncorrectHash => ProofProblem::WrongRoot,
            _ => ProofProblem::WrongLength,
        })
    }

    /// Checks that the log of `old` is a beginning of this one. A log without leaves is a beginning of each.
    ///
    /// # Errors
    /// The problem with the proof, or with the heads: two of one size must have one root.
    pub fn check_consistency(&self, old: &Self, proof: &[NodeHash]) -> Result<(), ProofProblem> {
        use ct_merkle::ConsistencyVerifError as Wrong;
        if old.size > self.size || self.size > MAX_SIZE {
            return Err(ProofProblem::OutOfRange);
        }
        if old.size == 0 || old.size == self.size {
            let same = old.size != self.size || old.root == self.root;
            let root_holds = same && (old.size > 0 || old.root == empty_root());
            return match (root_holds, proof) {
                (false, _) => Err(ProofProblem::WrongRoot),
                (true, []) => Ok(()),
                (true, _) => Err(ProofProblem::WrongLength),
            };
        }
        if proof.len() > MAX_PROOF {
            return Err(ProofProblem::WrongLength);
        }
        let proof = ConsistencyProof::<Sha256>::try_from_bytes(concat(proof)).map_err(|_| ProofProblem::WrongLength)?;
        self.root_hash().verify_consistency(&old.root_hash(), &proof).map_err(|wrong| match wrong {
            Wrong::MalformedProof => ProofProblem::WrongLength,
            Wrong::OldTreeEmpty | Wrong::OldTreeLarger | Wrong::NewTreeTooBig => ProofProblem::OutOfRange,
            Wrong::VerificationFailure => ProofProblem::WrongRoot,
        })
    }

    fn root_hash(&self) -> RootHash<Sha256> {
        RootHash::new((*self.root.as_bytes()).into(), self.size)
    }
}

fn concat(proof: &[NodeHash]) -> Vec<u8> {
    proof.iter().flat_map(NodeHash::as_bytes).copied().collect()
}
