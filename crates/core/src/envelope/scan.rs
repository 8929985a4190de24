//! One pass over an envelope's text: it is in one of the two exact forms, and here is where its members stand.

use super::layout::{EVENT_HASH, MEMBERS, Scanned};
use super::scratch::Scratch;
use crate::canonical::Scanner;
use crate::error::{Error, JsonProblem};

/// Scans an envelope's text into `found`, which is empty.
///
/// # Errors
/// [`Error::Json`] for text in neither form; [`Error::Draft`] if there is no `event_hash`.
pub(super) fn scan(stored: &[u8], scratch: &mut Scratch, found: &mut Scanned) -> Result<(), Error> {
    let Scratch { buffers, frames, .. } = scratch;
    if frames.scan(stored, buffers, found).is_some() {
        return Ok(());
    }
    *found = Scanned::default();
    let mut scanner = Scanner::new(stored, buffers);
    let passed = scan_members(&mut scanner, stored, found);
    passed.and_then(|()| scanner.end()).map_err(|problem| scanner.error(problem))?;
    found.form = scanner.form();
    if found.hash_member.is_empty() {
        let problem = "it is missing".to_owned();
        return Err(Error::Draft { field: "event_hash", problem });
    }
    Ok(())
}

fn scan_members(scanner: &mut Scanner<'_, '_>, stored: &[u8], found: &mut Scanned) -> Result<(), JsonProblem> {
    scanner.enter_object()?;
    if scanner.take(b'}') {
        return Ok(());
    }
    let mut last_key = None;
    let mut last_is_extra = false;
    let mut expected = 0;
    loop {
        let from = scanner.place();
        // Members are sorted, so that the one looked for is nearly always the next one.
        let known = match MEMBERS.get(expected).filter(|_| !last_is_extra) {
            Some(name) => scanner.known_key(name)?,
            None => None,
        };
        let key = match known {
            Some(key) => key,
            None => scanner.key(last_key.take())?,
        };
        let begin = scanner.offset();
        let value = scanner.value()?;
        let name = &stored[key.start + 1..key.end - 1];
        let member = MEMBERS[expected..].iter().position(|member| member.as_bytes() == name);
        last_is_extra = member.is_none();
        found.extra |= last_is_extra;
        let member = member.map(|index| expected + index);
        if let Some(member) = member {
            found.places[member] = value;
            found.stored[member] = begin..scanner.offset();
            expected = member + 1;
        }
        if scanner.take(b'}') {
            if member == Some(EVENT_HASH) {
                // Last: the comma before it goes with it.
                found.hash_member = from.saturating_sub(1).max(1)..scanner.place() - 1;
            }
            return Ok(());
        }
        scanner.separator(b',')?;
        if member == Some(EVENT_HASH) {
            found.hash_member = from..scanner.place();
        }
        last_key = Some(key);
    }
}
