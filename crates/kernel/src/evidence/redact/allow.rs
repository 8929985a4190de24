//! What is left in spite of the rules, because somebody said so. Each use of an entry is in the report.

use super::fields::{Fields, invalid};
use super::pattern::{Pattern, Room};
use crate::error::Result;
use data_encoding::HEXLOWER;
use receipt_core::json::{Object, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use toml::Table;

/// An exception.
#[derive(Clone, Debug)]
pub(super) struct Allow {
    /// Its name in reports.
    pub(super) id: Arc<str>,
    /// The rules that it holds for; all where there are none.
    pub(super) rules: Vec<Arc<str>>,
    what: What,
    text: String,
}

#[derive(Clone, Debug)]
enum What {
    /// Exactly one secret, by its SHA-256.
    Digest([u8; 32]),
    /// All secrets that match from their beginning to their end.
    Pattern(Pattern),
}

impl Allow {
    pub(super) fn read(mut table: Table, room: &mut Room) -> Result<Self> {
        let id = Fields { table: &mut table, at: "an allow" }.string("id")?;
        let id = id.filter(|id| !id.is_empty() && id.len() <= 48 && id.bytes().all(|byte| byte.is_ascii_graphic()));
        let id = id.ok_or_else(|| invalid("an allow", "expected an id of 1 to 48 visible ASCII characters"))?;
        let mut fields = Fields { table: &mut table, at: &id };
        let rules = fields.strings("rules")?.unwrap_or_default();
        let (digest, pattern) = (fields.string("sha256")?, fields.string("pattern")?);
        let (what, text) = match (digest, pattern) {
            (Some(digest), None) => {
                let bytes = HEXLOWER.decode(digest.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                let bytes = bytes.ok_or_else(|| fields.invalid("sha256", "expected 64 hexadecimal digits"))?;
                (What::Digest(bytes), digest)
            }
            (None, Some(pattern)) => {
                let whole = Pattern::new(format!(r"\A(?:{pattern})\z"));
                room.take(&whole, &id)?;
                (What::Pattern(whole), pattern)
            }
            _ => return Err(fields.invalid("sha256", "expected one of sha256 and pattern")),
        };
        fields.end()?;
        Ok(Self { id: id.as_str().into(), rules: rules.iter().map(|id| id.as_str().into()).collect(), what, text })
    }

    /// How many bytes its expression has as it is written.
    pub(super) fn expressions(&self) -> usize {
        if matches!(self.what, What::Pattern(_)) { self.text.len() } else { 0 }
    }

    /// Whether it holds for what a rule found.
    pub(super) fn holds(&self, rule: &Arc<str>, secret: &[u8]) -> bool {
        let meant = self.rules.is_empty() || self.rules.contains(rule);
        meant
            && match &self.what {
                What::Digest(digest) => Sha256::digest(secret)[..] == *digest,
                What::Pattern(pattern) => pattern.regex().is_some_and(|regex| regex.is_match(secret)),
            }
    }

    pub(super) fn to_value(&self) -> Value {
        let kind = match self.what {
            What::Digest(_) => "sha256",
            What::Pattern(_) => "pattern",
        };
        let rules: Vec<Value> = self.rules.iter().map(|id| Value::from(&**id)).collect();
        Object::from_iter([("id", Value::from(&*self.id)), (kind, self.text.as_str().into()), ("rules", rules.into())])
            .into()
    }
}
