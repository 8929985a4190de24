//! How long evidence is kept.

use crate::error::{Error, Result};
use crate::evidence::redact::without_secrets;
use receipt_core::evidence::EvidenceClass;
use receipt_core::id::Timestamp;
use receipt_core::json::{Object, Value};
use std::collections::BTreeMap;

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// It is never removed. As a number: -1.
    Forever,
    /// This many seconds; with 0 it is due as soon as it is there.
    Seconds(u64),
}

impl Ttl {
    /// From seconds, where anything below 0 is for ever.
    pub fn from_seconds(seconds: i64) -> Self {
        u64::try_from(seconds).map_or(Self::Forever, Self::Seconds)
    }

    fn to_value(self) -> Value {
        match self {
            Self::Forever => Value::from(-1),
            Self::Seconds(seconds) => seconds.into(),
        }
    }

    /// The longer of the two.
    pub(super) fn longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Seconds(a), Self::Seconds(b)) => Self::Seconds(a.max(b)),
            _ => Self::Forever,
        }
    }

    /// The last instant at which what came at `since` is kept; `None` where it is kept for ever, or longer than instants
    /// can say.
    pub fn until(self, since: Timestamp, grace_seconds: u64) -> Option<Timestamp> {
        let Self::Seconds(seconds) = self else { return None };
        let kept = i128::from(seconds) + i128::from(grace_seconds);
        let at = i64::try_from(i128::from(since.as_micros()) + kept * 1_000_000).ok()?;
        let until = Timestamp::from_micros(at);
        (until.as_micros() == at).then_some(until)
    }
}

/// How long a ledger keeps its evidence.
///
/// ```
/// use receipt_kernel::{Retention, Ttl};
///
/// let retention = Retention { sealed: Ttl::Seconds(3600), ..Retention::default() };
/// assert_eq!(Retention::from_value(&retention.to_value())?, retention);
/// # Ok::<(), receipt_kernel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of public evidence.
    pub public: Ttl,
    /// Of sealed evidence.
    pub sealed: Ttl,
    /// How long after its removal a blob is `expired_hash_only`, before it is `purged`.
    pub hash: Ttl,
    /// Seconds that everything is kept beyond its time.
    pub grace_seconds: u64,
    /// By the key that evidence was put under, in place of its class's; a key that ends in `*` stands for all that begin
    /// so. Of several that apply to a blob the longest counts.
    pub keys: BTreeMap<String, Ttl>,
    /// Runs whose evidence is not removed, and why.
    pub holds: BTreeMap<String, String>,
}

impl Default for Retention {
    /// Everything for ever: nothing is removed that nobody has set a time for. The documents that invariants read have that
    /// by their keys, so that a run can be judged again after its bulk has gone.
    fn default() -> Self {
        let kept = ["claims_map", "final_output", "tool_trace", "exit_status"];
        Self {
            public: Ttl::Forever,
            sealed: Ttl::Forever,
            hash: Ttl::Forever,
            grace_seconds: 0,
            keys: kept.iter().map(|key| ((*key).to_owned(), Ttl::Forever)).collect(),
            holds: BTreeMap::new(),
        }
    }
}

/// What a retention's value has, and nothing else.
const FIELDS: [&str; 6] =
    ["public_ttl_seconds", "sealed_ttl_seconds", "hash_retention_seconds", "grace_seconds", "keys", "holds"];

impl Retention {
    /// The time to live of a class.
    pub const fn ttl_for_class(&self, class: EvidenceClass) -> Ttl {
        match class {
            EvidenceClass::Public => self.public,
            EvidenceClass::Sealed => self.sealed,
        }
    }

    /// The last instant at which evidence of a class that was put under a key is kept; `None` as [`Ttl::until`] says.
    pub(crate) fn until(&self, key: &str, class: EvidenceClass, put: Timestamp) -> Option<Timestamp> {
        self.ttl_for_key(key).unwrap_or_else(|| self.ttl_for_class(class)).until(put, self.grace_seconds)
    }

    pub(super) fn ttl_for_key(&self, key: &str) -> Option<Ttl> {
        let begins = |pattern: &str| pattern.strip_suffix('*').is_some_and(|head| key.starts_with(head));
        let all = || self.keys.iter().filter(|(pattern, _)| begins(pattern)).map(|(_, ttl)| *ttl);
        self.keys.get(key).copied().or_else(|| all().reduce(Ttl::longer))
    }

    /// `{"public_ttl_seconds", "sealed_ttl_seconds", "hash_retention_seconds", "grace_seconds", "keys": {KEY: seconds},
    /// "holds": {RUN: reason}}`, with -1 for ever.
    pub fn to_value(&self) -> Value {
        let keys = self.keys.iter().map(|(key, ttl)| (key.as_str(), ttl.to_value()));
        let holds = self.holds.iter().map(|(run, reason)| (run.as_str(), Value::from(reason.as_str())));
        Object::from_iter([
            ("public_ttl_seconds", self.public.to_value()),
            ("sealed_ttl_seconds", self.sealed.to_value()),
            ("hash_retention_seconds", self.hash.to_value()),
            ("grace_seconds", self.grace_seconds.into()),
            ("keys", keys.collect::<Object>().into()),
            ("holds", holds.collect::<Object>().into()),
        ])
        .into()
    }

    /// From what [`Self::to_value`] gives; what is left out is as in [`Self::default`], except that then nothing is kept
    /// by key.
    ///
    /// # Errors
    /// [`Error::RetentionInvalid`] for an unknown member, or one that is not whole seconds.
    pub fn from_value(value: &Value) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| invalid("the top", "expected an object"))?;
        if let Some((key, _)) = object.iter().find(|(key, _)| !FIELDS.iter().any(|known| key == known)) {
            return Err(invalid(&key.to_string_lossy(), "there is no such member"));
        }
        let ttl = |name: &str, otherwise: Ttl| object.get(name).map_or(Ok(otherwise), |value| seconds(name, value));
        let named = |name: &str| object.get(name).map_or(Ok(Vec::new()), |value| members(name, value));
        let defaults = Self::default();
        let Ttl::Seconds(grace_seconds) = ttl("grace_seconds", Ttl::Seconds(0))? else {
            return Err(invalid("grace_seconds", "expected whole seconds from 0 on"));
        };
        let keys = named("keys")?.into_iter().map(|(key, value)| Ok((key.clone(), seconds(&key, value)?)));
        let holds = named("holds")?.into_iter().map(|(run, reason)| {
            let reason = reason.as_str().ok_or_else(|| invalid(&run, "expected a reason"))?;
            Ok((run, reason.to_owned()))
        });
        Ok(Self {
            public: ttl("public_ttl_seconds", defaults.public)?,
            sealed: ttl("sealed_ttl_seconds", defaults.sealed)?,
            hash: ttl("hash_retention_seconds", defaults.hash)?,
            grace_seconds,
            keys: keys.collect::<Result<_>>()?,
            holds: holds.collect::<Result<_>>()?,
        })
    }
}

fn invalid(at: &str, problem: &str) -> Error {
    Error::RetentionInvalid { at: without_secrets(at), problem: problem.to_owned() }
}

fn seconds(name: &str, value: &Value) -> Result<Ttl> {
    value.as_i64().map(Ttl::from_seconds).ok_or_else(|| invalid(name, "expected whole seconds, -1 for ever"))
}

fn members<'v>(name: &str, value: &'v Value) -> Result<Vec<(String, &'v Value)>> {
    let object = value.as_object().ok_or_else(|| invalid(name, "expected an object"))?;
    Ok(object.iter().map(|(key, value)| (key.to_string_lossy(), value)).collect())
}
