//! The payload of RUN_START.

use super::member::{self, Member};
use crate::canonical;
use crate::commitment::Commitment;
use crate::error::Error;
use crate::json::{self, Limits, Object, Value};

/// The payload by which a run begins: `{"commitment", "meta"}`.
#[derive(Clone, Debug, Default)]
pub struct RunStart {
    /// The commitment; a run of the Python package has none.
    pub commitment: Option<Commitment>,
    /// The writer's own words about the run. The run's row repeats them.
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

    /// The same as the Python package reads it: what is no text is no mode.
    ///
    /// # Errors
    /// Where `meta` is nothing that has members.
    pub fn compatible_mode_of(payload: &[u8]) -> Result<Option<String>, &'static str> {
        match canonical::member(payload, "meta").filter(|meta| member::is_true(meta)) {
            Some(meta) if !member::is_object(meta) => Err("meta must be an object"),
            meta => Ok(meta.and_then(|meta| canonical::member(meta, "mode")).and_then(member::unicode)),
        }
    }

    /// A text of `meta`, of a payload in canonical text.
    pub fn text_of_meta(payload: &[u8], name: &str) -> Option<String> {
        canonical::member(canonical::member(payload, "meta")?, name).and_then(member::unicode)
    }

    /// The payload.
    pub fn to_object(&self) -> Object {
        let commitment = self.commitment.iter().map(|commitment| ("commitment", commitment.to_value()));
        commitment.chain([("meta", Value::from(self.meta.clone()))]).collect()
    }

    /// From the canonical text of the payload. The rest of it is not parsed.
    ///
    /// # Errors
    /// As [`Commitment::from_value`]; [`Error::Json`] for text that is not JSON.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let value = |name| canonical::member(payload, name).map(|json| json::parse(json, Limits::READ)).transpose();
        let commitment = value("commitment")?.as_ref().map(Commitment::from_value).transpose()?;
        let meta = match value("meta")? {
            Some(Value::Object(meta)) => meta,
            _ => Object::new(),
        };
        Ok(Self { commitment, meta })
    }
}
