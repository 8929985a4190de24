//! Numbers that write back as they were read.

use crate::error::JsonProblem;

/// A JSON number that writes back as it was read: integers exact, floats as binary64.
#[derive(Clone, Debug, PartialEq)]
pub struct Number(pub(crate) Digits);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Digits {
    Int(i64),
    /// An integer beyond `i64`: canonical digits with an optional minus sign.
    BigInt(Box<str>),
    /// Always finite.
    Float(f64),
}

impl Number {
    /// A float, or `None` for NaN and the infinities, which JSON cannot hold.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(Digits::Float(value)))
    }

    /// The integer, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Digits::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The float, if it is one (`1` is not; `1.0` is).
    pub fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Digits::Float(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it was written as an integer.
    pub fn is_integer(&self) -> bool {
        !matches!(self.0, Digits::Float(_))
    }

    /// From a token that the grammar has accepted.
    pub(super) fn from_token(token: &str, max_digits: Option<usize>) -> Result<Self, JsonProblem> {
        if token.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            let value: f64 = token.parse().map_err(|_| JsonProblem::Number)?;
            return Self::from_f64(value).ok_or(JsonProblem::NotFinite);
        }
        let digits = token.trim_start_matches('-').len();
        if max_digits.is_some_and(|max| digits > max) {
            return Err(JsonProblem::TooManyDigits { digits });
        }
        Ok(Self(match token.parse() {
            Ok(value) => Digits::Int(value),
            Err(_) => Digits::BigInt(token.into()),
        }))
    }
}
