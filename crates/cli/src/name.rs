//! How a run is named. Two types, so that a verb says in its arguments what it does with the run: one that only reads
//! takes a [`ReadName`], of which the beginning of an id is enough; one that decides, writes or exports takes a
//! [`WholeName`]. With a beginning, `verify build-1` would pass for `build-10`.
//!
//! `@last` is the run that was started last, whatever ids there are; `run://ID` is the run of exactly that id.

use crate::error::{Error, Result};
use receipt_kernel::store::Visit;
use receipt_kernel::{EventRef, Ledger, RunId};

/// The run that was started last.
const LAST: &str = "@last";
/// What stands before an id that is to be taken as it is.
const EXACTLY: &str = "run://";
/// How many runs an error names.
const NAMED: usize = 5;

/// A run as it may be named in order to read it: its id, a unique beginning of it, or `@last`.
#[derive(Clone, Debug)]
pub(crate) struct ReadName(String);

/// A run as it must be named where something is decided, written or exported: its whole id, or `@last`.
#[derive(Clone, Debug)]
pub(crate) struct WholeName(String);

impl From<String> for ReadName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<String> for WholeName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for WholeName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl ReadName {
    /// The run of this name.
    pub(crate) fn find(&self, ledger: &Ledger) -> Result<RunId> {
        if let Some(run) = exact(ledger, &self.0)? {
            return Ok(run);
        }
        match beginning(ledger, &self.0)? {
            (Some(run), 1) => Ok(run),
            (_, 0) => Err(not_found(&self.0)),
            (_, count) => Err(Error::ManyRuns { name: self.0.clone(), count }),
        }
    }

    /// The name as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is less than the id of the run that was found by it.
    pub(crate) fn is_beginning_of(&self, run: &RunId) -> bool {
        self.0 != LAST && self.0 != run.as_str() && run.as_str().starts_with(&self.0)
    }

    /// The event or run that a text names.
    pub(crate) fn find_event(&self, ledger: &Ledger) -> Result<Named> {
        event_or_run(ledger, &self.0, |name| Self(name.to_owned()).find(ledger))
    }
}

impl WholeName {
    /// The run of this name.
    pub(crate) fn find(&self, ledger: &Ledger) -> Result<RunId> {
        self.find_if_there(ledger)?.map_or_else(|| Err(not_whole(ledger, &self.0)), Ok)
    }

    /// The run of this name, if the ledger has one.
    pub(crate) fn find_if_there(&self, ledger: &Ledger) -> Result<Option<RunId>> {
        exact(ledger, &self.0)
    }

    /// The event or run that a text names.
    pub(crate) fn find_event(&self, ledger: &Ledger) -> Result<Named> {
        event_or_run(ledger, &self.0, |name| Self(name.to_owned()).find(ledger))
    }

    /// The name as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a text names of which both events and runs could be meant.
#[derive(Debug)]
pub(crate) enum Named {
    Event(EventRef),
    Run(RunId),
}

/// The run of exactly this id, or `@last`.
fn exact(ledger: &Ledger, name: &str) -> Result<Option<RunId>> {
    if name == LAST {
        return last(ledger).map(Some);
    }
    let id = name.strip_prefix(EXACTLY).unwrap_or(name);
    Ok(ledger.has_run(id)?.then(|| RunId::new(id)))
}

/// The run that was started last, of those that were started here.
fn last(ledger: &Ledger) -> Result<RunId> {
    let (mut last, mut none) = (None, Error::NoRuns);
    let imported = ledger.imported()?;
    ledger.run_ids(&mut |id, started| {
        if imported.contains(&id) {
            none = Error::NoOwnRuns;
            return Visit::Continue(());
        }
        if last.as_ref().is_none_or(|(latest, _)| *latest <= started) {
            last = Some((started, id));
        }
        Visit::Continue(())
    })?;
    last.map(|(_, id)| id).ok_or(none)
}

/// The first of the runs whose ids begin so, and how many there are. Every id begins with nothing: an empty name is a
/// variable that was not set, and begins none.
fn beginning(ledger: &Ledger, name: &str) -> Result<(Option<RunId>, usize)> {
    let (mut first, mut count) = (None, 0);
    each_beginning(ledger, name, |id| {
        count += 1;
        first.get_or_insert(id);
    })?;
    Ok((first, count))
}

fn each_beginning(ledger: &Ledger, name: &str, mut visit: impl FnMut(RunId)) -> Result<()> {
    if name.is_empty() || name.starts_with(EXACTLY) {
        return Ok(());
    }
    ledger.run_ids(&mut |id, _| {
        if id.as_str().starts_with(name) {
            visit(id);
        }
        Visit::Continue(())
    })?;
    Ok(())
}

fn not_found(name: &str) -> Error {
    receipt_kernel::Error::RunNotFound { run: name.to_owned() }.into()
}

/// Why a name is none of a whole run, with the ids that it could have been meant for.
fn not_whole(ledger: &Ledger, name: &str) -> Error {
    let (mut ids, mut count) = (Vec::new(), 0);
    let listed = each_beginning(ledger, name, |id| {
        count += 1;
        if ids.len() < NAMED {
            ids.push(id.to_string());
        }
    });
    match listed {
        Err(error) => error,
        Ok(()) if count == 0 => not_found(name),
        Ok(()) => Error::NotWhole { name: name.to_owned(), ids, count },
    }
}

fn event_or_run(ledger: &Ledger, text: &str, find: impl Fn(&str) -> Result<RunId>) -> Result<Named> {
    if let Some(event) = EventRef::parse(text) {
        return Ok(Named::Event(event));
    }
    if text.starts_with(EXACTLY) {
        return find(text).map(Named::Run);
    }
    // A run's id may hold slashes, so that `build/3` may be a run as well as the third event of `build`.
    let event = EventRef::parse(&format!("event://{text}"));
    let is_run = exact_id(ledger, text)?;
    match event {
        Some(event) if !is_run => Ok(Named::Event(EventRef { run_id: find(event.run_id.as_str())?, seq: event.seq })),
        Some(event) if exact_id(ledger, event.run_id.as_str())? => Err(Error::EventOrRun { name: text.to_owned() }),
        _ => find(text).map(Named::Run),
    }
}

fn exact_id(ledger: &Ledger, text: &str) -> Result<bool> {
    Ok(text != LAST && ledger.has_run(text)?)
}
