//! `epistemic.mode_requirements`: the run says in which mode it is, and has the evidence that the mode asks for.

use super::evidence::{Evidence, check_blob};
use super::mode;
use super::params::{Params, texts};
use super::{Invariant, InvariantResult, python_list};
use crate::error::Error;
use crate::json::{Object, Value};
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};
use std::collections::BTreeMap;

/// RUN_START names a mode of the table, and each evidence key that the table asks for in it was put.
#[derive(Clone, Debug)]
pub struct EpistemicModeRequirements {
    /// The evidence keys that each mode asks for. An empty table knows no mode.
    pub requirements: BTreeMap<String, Vec<String>>,
    /// Whether a mode that is not in the table is WARN and not FAIL.
    pub allow_unknown_modes: bool,
}

impl Default for EpistemicModeRequirements {
    fn default() -> Self {
        let modes = [("factual", vec!["claims_map"]), ("mixed", vec!["claims_map"]), ("creative", Vec::new())];
        let owned = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
        let requirements = modes.into_iter().map(|(mode, keys)| (mode.to_owned(), owned(keys))).collect();
        Self { requirements, allow_unknown_modes: false }
    }
}

impl EpistemicModeRequirements {
    /// Its id.
    pub const ID: &'static str = "epistemic.mode_requirements";

    /// From parameters: `requirements`, a table from a mode to the list of its evidence keys, and
    /// `allow_unknown_modes`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let requirements = match params.take("requirements") {
            None => Self::default().requirements,
            Some(table) => requirements(table).ok_or_else(|| {
                params
                    .wrong("requirements", "expected a table from a mode to the list of the evidence keys it asks for")
            })?,
        };
        let allow_unknown_modes = params.flag("allow_unknown_modes", false)?;
        params.end().map(|()| Self { requirements, allow_unknown_modes })
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        let mode = mode::of_run(run).map_err(|reason| InvariantResult::new(Self::ID, Verdict::Fail).because(reason))?;
        result = result.with("mode", mode.as_str());
        let Some(required) = self.requirements.get(&mode) else {
            let (verdict, problem) = if self.allow_unknown_modes {
                (Verdict::Warn, "no requirements defined for mode")
            } else {
                (Verdict::Fail, "unsupported mode")
            };
            result.find(verdict, Reason::new("RUN_MODE_UNKNOWN", format!("{problem}: {mode}")));
            return Err(result);
        };
        if !required.is_empty() {
            let evidence = Evidence::of(run);
            evidence.report_problems(&mut result);
            check_required(&mut result, run, &evidence, &mode, required);
        }
        Ok(result.with("required", required.clone()))
    }
}

fn check_required(
    result: &mut InvariantResult,
    run: &Snapshot,
    evidence: &Evidence<'_>,
    mode: &str,
    required: &[String],
) {
    let mut missing = Vec::new();
    for key in required {
        match evidence.latest(key).filter(|put| !put.late).and_then(|put| put.hash) {
            None => missing.push(key.as_str()),
            Some(hash) => check_blob(result, run, hash, &format!("required evidence {key}"), "BLOB_NOT_FOUND"),
        }
    }
    if !missing.is_empty() {
        let msg = format!("mode={mode} missing required evidence: {}", python_list(&missing));
        result.find(Verdict::Fail, Reason::new("MODE_REQUIREMENTS_MISSING", msg));
        result.meta.insert("missing", missing);
    }
}

fn requirements(table: &Value) -> Option<BTreeMap<String, Vec<String>>> {
    let table = table.as_object()?;
    table.iter().map(|(mode, keys)| Some((mode.as_str()?.to_owned(), texts(keys)?))).collect()
}

impl Invariant for EpistemicModeRequirements {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        let table = self.requirements.iter().map(|(mode, keys)| (mode.as_str(), keys.clone()));
        Object::from_iter([
            ("requirements", table.collect::<Object>().into()),
            ("allow_unknown_modes", Value::from(self.allow_unknown_modes)),
        ])
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        self.answer(run).unwrap_or_else(std::convert::identity)
    }
}
