//! The parameters of an invariant as a policy gives them, taken one by one; what is left over is unknown.

use crate::error::Error;
use crate::json::{Object, Value};

/// Parameters that are still to be taken.
pub(super) struct Params<'p> {
    id: &'static str,
    given: &'p Object,
    known: Vec<&'static str>,
}

impl<'p> Params<'p> {
    pub(super) fn new(id: &'static str, given: &'p Object) -> Self {
        Self { id, given, known: Vec::new() }
    }

    /// The value of a parameter, if it was given.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'p Value> {
        self.known.push(key);
        self.given.get(key)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, Error> {
        let Some(value) = self.take(key) else { return Ok(None) };
        texts(value).map(Some).ok_or_else(|| self.wrong(key, "expected a list of texts"))
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, Error> {
        let Some(value) = self.take(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, "expected true or false"))
    }

    /// The error for a parameter.
    pub(super) fn wrong(&self, key: &str, problem: &str) -> Error {
        Error::policy(format!("{}.{key}", self.id), problem)
    }

    /// All have been taken: any other that was given is an error.
    pub(super) fn end(&self) -> Result<(), Error> {
        let unknown = self.given.iter().find(|(key, _)| !self.known.iter().any(|known| key == known));
        let Some((key, _)) = unknown else { return Ok(()) };
        let problem = match self.known.as_slice() {
            [] => "no such parameter; there are none".to_owned(),
            known => format!("no such parameter; there are: {}", known.join(", ")),
        };
        Err(self.wrong(&key.to_string_lossy(), &problem))
    }
}

/// The texts of a list that holds nothing else.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}
