//! The log as the last checkpoint left it.

use super::{broken, node, wrong_key};
use crate::error::Result;
use crate::read::head::sound_event;
use crate::store::{ReadTransaction, Visit};
use receipt_core::checkpoint::SignedCheckpoint;
use receipt_core::envelope::Scratch;
use receipt_core::id::{RunId, Seq, Timestamp};
use receipt_core::merkle::{self, Frontier, Subtree};
use receipt_core::note::{Signing, Standing, VerifierKey};
use std::collections::HashMap;

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
        check_stretches(store, last.size)?;
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

/// Which events the leaves are, the log's rows say, and they bind nothing: with a run left out of them its events would come
/// into the log a second time, in the place of others that are hidden. They are held to this: the stretches follow each other
/// up to the last leaf, those of a run are its events from the first on, and the last of those is the leaf that it should be. As
/// its hash covers all events before it, the log has at least as many events of each run as the rows say; and all rows
/// together say as many as it has.
fn check_stretches(store: &dyn ReadTransaction, size: u64) -> Result<()> {
    // How many events of each run there are, and which leaf the last one is.
    let mut runs: HashMap<RunId, (u64, u64)> = HashMap::new();
    let (mut next, mut fit) = (0u64, true);
    store.segments(0, &mut |stretch| {
        fit &= stretch.count > 0 && stretch.first_leaf == next;
        next = next.saturating_add(stretch.count);
        let (events, last) = runs.entry(stretch.run_id).or_default();
        fit &= u64::try_from(stretch.first_seq.get()) == Ok(*events + 1) && next <= size;
        (*events, *last) = (events.saturating_add(stretch.count), next.saturating_sub(1));
        if fit { Visit::Continue(()) } else { Visit::Break(()) }
    })?;
    if !fit || next != size {
        return Err(broken("the rows that say which events it has do not fit together; `verify` tells more"));
    }
    for (run, (events, index)) in runs {
        let seq = i64::try_from(events).ok().and_then(Seq::new);
        let mut leaf = None;
        if let Some(seq) = seq {
            let mut scratch = Scratch::default();
            store.event(&run, seq, &mut |row| {
                leaf = sound_event(&run, row, &mut scratch).ok().map(|event| merkle::leaf_hash(&event.hash));
            })?;
        }
        if leaf != Some(node(store, Subtree { level: 0, index })?) {
            return Err(broken(format!("event {events} of run {run} is not its leaf {index}; `verify` tells more")));
        }
    }
    Ok(())
}
