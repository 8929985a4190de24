//! The payload of RUN_START.

use super::member::{self, Member};
use crate::canonical;
use crate::commitment::Commitment;
use crate::error::Error;
use crate::json::{Object, Value};

/// What a run says of itself when it begins: `{"commitment", "meta"}`.
#[derive(Clone, Debug, Default)]
pub struct RunStart {
    /// What it commits to; a run of the Python package commits to nothing.
    pub commitment: Option<Commitment>,
    /// What its writer says about it. The run's row repeats it.
    pub meta: Object,
}

impl RunStart {
    /// `meta.mode` of a payload, in canonical text; otherwise what is wrong with it.
    ///
    /// # Errors
    /// The part that is malformed, and how.
    pub fn mode_of(payload: &[u8]) -> Result<Option<String>, &'static str> {
        let Some(meta) = member::given(canonical::member(payload, "meta")) else { return Ok(None) };
        if !member::is_object(meta) {
            return Err("meta must be an object");
        }
        match Member::read(canonical::member(meta, "mode"), member::unicode) {
            Member::Nothing => Ok(None),
            Member::Malformed => Err("meta.mode must be text"),
            Member::Is(mode) => Ok(Some(mode)),
        }
    }

    /// The payload.
    pub fn to_object(&self) -> Object {
        let commitment = self.commitment.iter().map(|commitment| ("commitment", commitment.to_value()));
        commitment.chain([("meta", Value::from(self.meta.clone()))]).collect()
    }

    /// From the payload.
    ///
    /// # Errors
    /// As [`Commitment::from_value`].
    pub fn from_object(payload: &Object) -> Result<Self, Error> {
        let commitment = payload.get("commitment").map(Commitment::from_value).transpose()?;
        let meta = payload.get("meta").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Self { commitment, meta })
    }
}
