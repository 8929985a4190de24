//! Evidence that lies in parts, and evidence whose bytes were replaced: how a reader comes to the bytes there are today.
//!
//! Evidence over a size is put in parts, under a list that names them. Everything that reads evidence (`cat`, a scan, a
//! redaction) reads a list as its parts one after the other: a secret that lies over the border of two parts is in neither.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::removals::Removals;
use crate::read::imports::Imports;
use crate::store::Visit;
use crate::write::PARTS_TYPE;
use receipt_core::evidence::BlobFact;
use receipt_core::id::BlobHash;
use receipt_core::json::{self, Limits, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How often what replaced a blob may have been replaced itself.
const REPLACED: usize = 64;

impl Ledger {
    /// The parts that a blob lists, as far as they were replaced by their redaction what replaced them; `None` of a blob
    /// that is no list.
    ///
    /// # Errors
    /// [`Error::BlobNotFound`]; [`Error::BlobUnavailable`] for a list that cannot be read; where the store cannot be read.
    pub fn parts(&self, hash: &BlobHash) -> Result<Option<Vec<BlobHash>>> {
        let Some(listed) = self.listed(hash)? else { return Ok(None) };
        self.currents(&listed).map(Some)
    }

    /// The parts as the list has them.
    pub(crate) fn listed(&self, hash: &BlobHash) -> Result<Option<Vec<BlobHash>>> {
        let (record, _) = self.blob_record(hash)?;
        if record.is_none_or(|record| record.content_type != PARTS_TYPE) {
            return Ok(None);
        }
        let list = json::parse(&self.blob(hash)?, Limits::READ).unwrap_or_default();
        let parts = list.get("parts").and_then(Value::as_array).and_then(|parts| {
            let hash = |part: &Value| BlobHash::parse_bytes(part.get("sha256")?.as_str()?.as_bytes());
            parts.iter().map(hash).collect::<Option<Vec<_>>>()
        });
        let problem = "its type says that it is a list of parts, and it is none".to_owned();
        parts.ok_or_else(|| Error::BlobUnavailable { blob: hash.to_string(), problem }).map(Some)
    }

    /// The blob that has the bytes of this one today: itself, or what replaced it when secrets were taken out.
    ///
    /// A replacement counts if a receipt names it whose whole run verifies.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn current(&self, hash: &BlobHash) -> Result<BlobHash> {
        Ok(self.currents(&[*hash])?.pop().unwrap_or(*hash))
    }

    /// The same of many blobs, at one instant. The receipts are read once, and only if one of the blobs is gone.
    pub(crate) fn currents(&self, hashes: &[BlobHash]) -> Result<Vec<BlobHash>> {
        let snapshot = self.look()?;
        let view = snapshot.view();
        let store = view.as_ref();
        let gone = |hash: &BlobHash| {
            matches!(crate::store::blob_fact(store, hash, false), BlobFact::Expired | BlobFact::Removed)
        };
        let mut removals = None;
        let mut current = hashes.to_vec();
        for at in &mut current {
            for _ in 0..REPLACED {
                if !gone(at) {
                    break;
                }
                let known = match removals.take() {
                    Some(known) => known,
                    None => Removals::read(store, &Arc::new(Imports::read(store)?), None)?,
                };
                let receipt = removals.insert(known).excuse(store, at, None)?;
                let Some(next) = receipt.and_then(|receipt| receipt.replaced_by) else { break };
                *at = next;
            }
        }
        Ok(current)
    }

    /// The lists of parts among these blobs that can be read, each with its parts as it has them.
    pub(crate) fn lists<'b>(
        &self,
        blobs: impl IntoIterator<Item = &'b BlobHash>,
    ) -> Result<Vec<(BlobHash, Vec<BlobHash>)>> {
        let mut lists = Vec::new();
        for hash in blobs {
            match self.listed(hash) {
                Ok(Some(parts)) => lists.push((*hash, parts)),
                Ok(None) | Err(Error::BlobUnavailable { .. } | Error::BlobNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lists)
    }

    /// Every blob that there is a row of; `strange` is called for one whose address is no hash.
    pub(crate) fn all_blobs(&self, strange: &mut dyn FnMut()) -> Result<BTreeSet<BlobHash>> {
        let mut blobs = BTreeSet::new();
        self.look()?.view().blobs(&mut |id| {
            match id.text().and_then(BlobHash::parse_bytes) {
                Some(hash) => _ = blobs.insert(hash),
                None => strange(),
            }
            Visit::Continue(())
        })?;
        Ok(blobs)
    }
}
