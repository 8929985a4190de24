//! A table of a file of rules, read member by member, with the errors that name what is wrong in it.

use crate::error::{Error, Result};
use toml::{Table, Value as Toml};

pub(super) fn invalid(at: &str, problem: &str) -> Error {
    Error::RulesInvalid { at: at.to_owned(), problem: problem.to_owned() }
}

/// A table whose members are taken out one by one, so that what is left is unknown.
pub(super) struct Fields<'t> {
    pub(super) table: &'t mut Table,
    pub(super) at: &'t str,
}

impl Fields<'_> {
    pub(super) fn invalid(&self, field: &str, problem: &str) -> Error {
        invalid(&format!("{}: {field}", self.at), problem)
    }

    pub(super) fn string(&mut self, field: &str) -> Result<Option<String>> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Toml::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(field, "expected a string")),
        }
    }

    pub(super) fn strings(&mut self, field: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.table.remove(field) else { return Ok(None) };
        let Toml::Array(items) = value else { return Err(self.invalid(field, "expected an array of strings")) };
        let strings = items.into_iter().map(|item| match item {
            Toml::String(text) => Ok(text),
            _ => Err(self.invalid(field, "expected an array of strings")),
        });
        strings.collect::<Result<Vec<_>>>().map(Some)
    }

    pub(super) fn bool(&mut self, field: &str) -> Result<bool> {
        match self.table.remove(field) {
            None => Ok(false),
            Some(Toml::Boolean(value)) => Ok(value),
            Some(_) => Err(self.invalid(field, "expected true or false")),
        }
    }

    pub(super) fn count(&mut self, field: &str) -> Result<usize> {
        match self.table.remove(field) {
            None => Ok(0),
            Some(Toml::Integer(value)) => {
                usize::try_from(value).map_err(|_| self.invalid(field, "expected a number from 0 on"))
            }
            Some(_) => Err(self.invalid(field, "expected a number from 0 on")),
        }
    }

    pub(super) fn number(&mut self, field: &str) -> Result<Option<f64>> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Toml::Float(value)) if value.is_finite() => Ok(Some(value)),
            Some(Toml::Integer(value)) => Ok(i32::try_from(value).ok().map(f64::from)),
            Some(_) => Err(self.invalid(field, "expected a number")),
        }
    }

    /// One of some words, by its place among them.
    pub(super) fn word<T: Copy>(&mut self, field: &str, words: &[(&str, T)], otherwise: T) -> Result<T> {
        let Some(text) = self.string(field)? else { return Ok(otherwise) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.invalid(field, &format!("expected one of {}", known.join(", ")))
        })
    }

    pub(super) fn end(&self) -> Result<()> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(field) => Err(self.invalid(field, "there is no such field")),
        }
    }
}
