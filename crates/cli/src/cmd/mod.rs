//! The verbs: one file each.

pub(crate) mod advance;
pub(crate) mod append;
mod audit;
pub(crate) mod backup;
pub(crate) mod bundle;
pub(crate) mod cat;
pub(crate) mod checkpoint;
pub(crate) mod completions;
pub(crate) mod decide;
pub(crate) mod drill;
pub(crate) mod evaluate;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod finalize;
pub(crate) mod gate;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod keygen;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod pin;
mod proof;
pub(crate) mod prove;
pub(crate) mod put;
pub(crate) mod recipients;
pub(crate) mod recover;
pub(crate) mod redact;
pub(crate) mod reference;
pub(crate) mod replay;
pub(crate) mod retain;
pub(crate) mod rules;
pub(crate) mod runs;
pub(crate) mod scan;
pub(crate) mod show;
pub(crate) mod shred;
pub(crate) mod start;
mod summary;
pub(crate) mod verify;
pub(crate) mod witness;

use crate::args::Verb;
use crate::context::Context;
use crate::error::Result;
use std::process::ExitCode;

pub(crate) fn run(verb: &Verb, context: &Context) -> Result<ExitCode> {
    match verb {
        Verb::Exec(args) => exec::run(args, context),
        Verb::Init(args) => init::run(args, context),
        Verb::Start(args) => start::run(args, context),
        Verb::Advance(args) => advance::run(args, context),
        Verb::Put(args) => put::run(args, context),
        Verb::Append(args) => append::run(args, context),
        Verb::Evaluate(args) => evaluate::run(args, context),
        Verb::Decide(args) => decide::run(args, context),
        Verb::Finalize(args) => finalize::run(args, context),
        Verb::Recover(args) => recover::run(args, context),
        Verb::Runs(args) => runs::run(args, context),
        Verb::Log(args) => log::run(args, context),
        Verb::Show(args) => show::run(args, context),
        Verb::Cat(args) => cat::run(args, context),
        Verb::Verify(args) => verify::run(args, context),
        Verb::Gate(args) => gate::run(args, context),
        Verb::Replay(args) => replay::run(args, context),
        Verb::Export(args) => export::run(args, context),
        Verb::Import(args) => import::run(args, context),
        Verb::Pin(args) => pin::run(args, context),
        Verb::Drill(args) => drill::run(args, context),
        Verb::Keygen(args) => keygen::run(args, context),
        Verb::Checkpoint(args) => checkpoint::run(args, context),
        Verb::Prove(args) => prove::run(args, context),
        Verb::Witness(args) => witness::run(args, context),
        Verb::Recipients(args) => recipients::run(args, context),
        Verb::Rules(args) => rules::run(args, context),
        Verb::Scan(args) => scan::run(args, context),
        Verb::Redact(args) => redact::run(args, context),
        Verb::Shred(args) => shred::run(args, context),
        Verb::Retain(args) => retain::run(args, context),
        Verb::Backup(args) => backup::run(args, context),
        Verb::Completions(args) => completions::run(args, context),
        Verb::Man(args) => man::run(args, context),
        Verb::Reference(args) => reference::run(args, context),
    }
}
