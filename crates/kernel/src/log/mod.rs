//! The log over all runs: extended and signed as a checkpoint, and proved from.
//!
//! A checkpoint is made in one write transaction: every event that came since the last one is read back and hashed, the
//! tree grows by it, and what was written is read again and recomputed from the last root, before anything is signed.
//! The checkpoint is durable before the caller sees it. Cost grows with the new events; a proof reads O(log n) rows.

mod before;
mod grow;
mod prove;
mod publish;

pub(crate) use prove::prove_run;
pub use publish::{Publish, Published};

use crate::error::{Error, Result};
use crate::store::ReadTransaction;
use receipt_core::id::NodeHash;
use receipt_core::merkle::{self, Subtree};
use receipt_core::note::KeyName;

/// How many hashes a row of the tree holds, and how many levels it spans: 2^8.
const WIDTH: u64 = 256;
const HEIGHT: u8 = 8;

const ORIGIN: &str = "origin";

fn wrong_key(problem: impl Into<String>) -> Error {
    Error::WrongKey { problem: problem.into() }
}

fn broken(problem: impl Into<String>) -> Error {
    Error::LogBroken { problem: problem.into() }
}

pub(crate) fn origin(store: &dyn ReadTransaction) -> Result<Option<KeyName>> {
    Ok(store.log_meta(ORIGIN)?.map(|name| name.parse()).transpose()?)
}

/// A node of the tree, from the row that has it or the nodes below it.
pub(crate) fn node(store: &dyn ReadTransaction, at: Subtree) -> Result<NodeHash> {
    let below = at.level % HEIGHT;
    let first = at.index << below;
    let missing = || broken(format!("its tree has no node {} of level {}", at.index, at.level));
    let row = store.log_tile(at.level / HEIGHT, first / WIDTH)?.ok_or_else(missing)?;
    let from = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
    let nodes = row.chunks_exact(32).skip(from).take(1 << below).filter_map(|hash| hash.try_into().ok());
    let nodes: Vec<NodeHash> = nodes.map(NodeHash::from_bytes).collect();
    if nodes.len() == 1 << below { Ok(merkle::join(&nodes)) } else { Err(missing()) }
}
