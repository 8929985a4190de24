//! Two handles on one store, as two processes have them: what one writes the other sees, waits for and follows.

use super::log::{arrivals_up_to, fence_between};
use super::writers::{EACH, excluded, is_chain, one_instant_beside, race, snapshots_beside};
use super::{Done, Problem, append, chain, ensure, following, look, new, rows, same, sealed, write_run};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::store::{KeyRow, NewKey, Outcome, Store};
use receipt_core::envelope::{Actor, EventType};
use receipt_core::id::RunId;
use receipt_core::json::Object;
use receipt_core::policy::Policy;
use receipt_core::verdict::Verdict;
use std::sync::Arc;
use std::thread;

/// What must be true of two handles on one store.
pub(super) type CaseOfTwo = (&'static str, fn([&dyn Store; 2]) -> Done);

pub(super) const CASES: &[CaseOfTwo] = &[
    ("a handle sees what another has committed", seen),
    ("a handle appends behind what another has appended, and nowhere else", moved),
    ("appends of two handles that race are recorded one after the other", race),
    ("an append under a key is recorded once by two handles", once),
    ("a handle sees one instant while another writes", one_instant_beside),
    ("snapshots of a handle see one instant while another writes", snapshots_beside),
    ("a writer keeps those of another handle out of its scope", excluded),
    ("the fence of a handle has what another has committed", fence),
    ("nothing comes before the fence of a handle while another writes", fence_beside),
];

fn seen([first, second]: [&dyn Store; 2]) -> Done {
    let runs = ["a", "b"].map(RunId::new);
    for (run, [by, other]) in runs.iter().zip([[first, second], [second, first]]) {
        write_run(by, run, &chain(run, 2, "n")?)?;
        same("the events of the other", &rows(look(other)?.view().as_ref(), run)?.len(), &2)?;
        append(other, run)?;
        same("the events of both", &rows(look(by)?.view().as_ref(), run)?.len(), &3)?;
    }
    Ok(())
}

/// Two writers at one place: the compare-and-swap lets one through, and the other reads where the run ends now.
fn moved([first, second]: [&dyn Store; 2]) -> Done {
    let run = RunId::new("r");
    write_run(first, &run, &chain(&run, 1, "n")?)?;
    let place = following(second, &run)?;
    same("what both follow", &following(first, &run)?, &place)?;
    let [mine, theirs] = ["mine", "theirs"].map(|note| sealed(EventType::Decision, note, place.clone()));
    let (mine, theirs) = (mine?, theirs?);
    same("the first append", &first.append(&new(&[mine]), &place, None)?, &Outcome::Recorded)?;
    let behind = following(second, &run)?;
    let moved = Outcome::Moved(Some(behind.clone()));
    same("the second at the same place", &second.append(&new(&[theirs]), &place, None)?, &moved)?;
    let again = sealed(EventType::Decision, "theirs", behind.clone())?;
    same("the second behind it", &second.append(&new(&[again]), &behind, None)?, &Outcome::Recorded)?;
    is_chain(first, &run, 3)
}

fn once([first, second]: [&dyn Store; 2]) -> Done {
    let run = RunId::new("r");
    let events = chain(&run, 2, "n")?;
    write_run(first, &run, &events[..1])?;
    let place = &events[1].link;
    let row = KeyRow { seq: place.seq, digest: [7; 32] };
    let append = |store: &dyn Store| store.append(&new(&events[1..]), place, Some(NewKey { key: "k", row }));
    same("the first append under a key", &append(first)?, &Outcome::Recorded)?;
    same("the same by the other handle", &append(second)?, &Outcome::Replayed(row))?;
    is_chain(second, &run, 2)
}

fn fence([first, second]: [&dyn Store; 2]) -> Done {
    fence_between([second, first])
}

fn fence_beside([first, second]: [&dyn Store; 2]) -> Done {
    let [mine, theirs] = ["a", "b"].map(RunId::new);
    write_run(first, &mine, &chain(&mine, 1, "n")?)?;
    write_run(second, &theirs, &chain(&theirs, 1, "n")?)?;
    let fences = thread::scope(|scope| -> Done<Vec<_>> {
        let writer = scope.spawn(|| (0..EACH).try_for_each(|_| append(second, &theirs)));
        let fences = (0..EACH).map(|_| {
            append(first, &mine)?;
            let fence = first.settled()?;
            Ok((fence, arrivals_up_to(look(first)?.view().as_ref(), fence)?))
        });
        let fences = fences.collect::<Done<Vec<_>>>();
        writer.join().unwrap_or_else(|_| Err(Problem("a writer panicked".to_owned())))?;
        fences
    })?;
    for (own, (fence, then)) in (2..).zip(fences) {
        let found = arrivals_up_to(look(second)?.view().as_ref(), fence)?;
        same("what had arrived up to a fence, asked later", &found, &then)?;
        let of_mine = then.iter().filter(|(run, _)| run == mine.as_str()).count();
        ensure(of_mine >= own, "what was committed before the fence is not settled")?;
    }
    Ok(())
}

/// A run that two processes write in turn.
pub(super) fn shared_run([first, second]: [Arc<dyn Store>; 2]) -> Done {
    let actor = || Actor::new("system", "conformance");
    let (first, second) = (Ledger::over(first), Ledger::over(second));
    let mut begun = first.start("r", Policy::structural()?, actor(), Object::new())?;
    let mut resumed = second.resume("r", actor())?;
    begun.advance("COLLECT", "collecting")?;
    resumed.advance("EVALUATE", "collected")?;
    same("the evaluation", &begun.evaluate()?.overall_verdict, &Verdict::Pass)?;
    resumed.advance("DECIDE", "evaluated")?;
    begun.decide("ship", &["it passed"], "release it")?;
    same("the verdict", &resumed.finalize("released")?, &Verdict::Pass)?;
    match begun.decide("ship", &["it passed"], "again") {
        Err(Error::RunFinalized { .. }) => {}
        other => return Err(Problem(format!("a run that the other handle has ended gave {other:?}"))),
    }
    let audits = [first.audit()?.overall_verdict(), second.audit()?.overall_verdict()];
    same("the audits", &audits, &[Verdict::Pass, Verdict::Pass])
}
