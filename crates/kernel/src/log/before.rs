//! The log as the last checkpoint left it.

use super::{broken, node, wrong_key};
use crate::error::Result;
use crate::store::ReadTransaction;
use receipt_core::checkpoint::SignedCheckpoint;
use receipt_core::id::Timestamp;
use receipt_core::merkle::Frontier;
use receipt_core::note::{Signing, Standing, VerifierKey};

/// The log as the last checkpoint left it.
pub(super) struct Before {
    pub(super) checkpoint: Option<(SignedCheckpoint, Timestamp)>,
    pub(super) key: Option<VerifierKey>,
    pub(super) last_event_id: i64,
    pub(super) frontier: Frontier,
}

impl Before {
    /// Reads it, and checks that the stored tree still leads to the root that was signed.
    pub(super) fn read(store: &dyn ReadTransaction) -> Result<Self> {
        let Some(last) = store.last_checkpoint()? else {
            return Ok(Self { checkpoint: None, key: None, last_event_id: 0, frontier: Frontier::default() });
        };
        let checkpoint = SignedCheckpoint::parse(last.note.as_bytes())?;
        let key: VerifierKey = last.vkey.parse()?;
        if !matches!(checkpoint.note().standing(&key), Standing::Good { .. }) {
            return Err(broken("the signature of the last checkpoint does not hold"));
        }
        let frontier = Frontier::load(last.size, |at| node(store, at))?;
        if frontier.head() != checkpoint.checkpoint().head {
            return Err(broken("its tree does not lead to the root of the last checkpoint"));
        }
        let made = Timestamp::parse(&last.created_at).unwrap_or(Timestamp::from_micros(0));
        let last_event_id = last.last_event_id;
        Ok(Self { checkpoint: Some((checkpoint, made)), key: Some(key), last_event_id, frontier })
    }

    /// The keys that must sign next.
    pub(super) fn keys<'a>(&self, next: &'a Signing, previous: Option<&'a Signing>) -> Result<Vec<&'a Signing>> {
        match (&self.key, previous) {
            (Some(key), Some(previous)) if key == previous.verifier() && key != next.verifier() => {
                Ok(vec![next, previous])
            }
            (Some(key), _) if key != next.verifier() => {
                Err(wrong_key(format!("the last checkpoint was signed with {key}")))
            }
            _ => Ok(vec![next]),
        }
    }
}
