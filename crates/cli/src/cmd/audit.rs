//! A record held against what was kept outside of it: what `verify` and `gate` share.

use super::bundle::{self, Subject};
use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::input;
use crate::name::WholeName;
use crate::pin::{Pinning, Remembered};
use receipt_kernel::audit::Progress;
use receipt_kernel::bundle::BundleReport;
use receipt_kernel::core::id::{EventHash, Seq};
use receipt_kernel::core::note::KeyKind;
use receipt_kernel::core::witness::WitnessPolicy;
use receipt_kernel::{Anchors, Audit, Check, Digest256, Ledger, Report, RunId};
use std::path::{Path, PathBuf};

/// The anchors and files that `verify` and `gate` compare a record with.
#[derive(Debug, clap::Args)]
pub(crate) struct Against {
    /// Checks that must not be UNKNOWN: names, or all
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub(crate) require: Vec<String>,
    /// A checkpoint that was kept outside; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// The witnesses that must have cosigned a checkpoint: a policy in the form of C2SP tlog-policy
    #[arg(long, value_name = "FILE")]
    pub(crate) witness_policy: Option<PathBuf>,
    /// A run that must have so many events, and the hash of the last of those
    #[arg(long, value_name = "RUN=COUNT:HASH")]
    pub(crate) expect: Vec<String>,
    /// Neither look at what was verified before, nor remember this
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// A file that was put by digest under this key, or whose bytes a bundle does not hold, to be compared with what was
    /// recorded
    #[arg(long = "evidence", value_name = "KEY=FILE", value_parser = file)]
    pub(crate) files: Vec<(String, PathBuf)>,
    /// How many threads; as many as there are cores where none is given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) trust: bundle::Trust,
}

/// The arguments name runs of the ledger, or bundles; never both.
pub(crate) enum Subjects {
    Runs(Vec<WholeName>),
    Bundles(Vec<PathBuf>),
}

/// A ledger's report, and the ledger itself for whoever asks further.
pub(crate) struct Audited {
    pub(crate) ledger: Ledger,
    pub(crate) report: Report,
    /// The runs that it is of, if it is not of all.
    pub(crate) runs: Vec<RunId>,
    pub(crate) pinning: Pinning,
}

/// How often a ledger is verified while others pin what they find in it.
const TRIES: usize = 3;

impl Against {
    /// The runs or the bundles that the arguments name.
    pub(crate) fn subjects(&self, arguments: &[String], context: &Context) -> Result<Subjects> {
        let (mut runs, mut bundles) = (Vec::new(), Vec::new());
        for argument in arguments {
            match bundle::subject(argument, context)? {
                Subject::Run(run) => runs.push(run),
                Subject::Bundle(path) => bundles.push(path),
            }
        }
        if bundles.is_empty() {
            return Ok(Subjects::Runs(runs));
        }
        let anchored = !self.checkpoint.is_empty() || !self.expect.is_empty() || self.witness_policy.is_some();
        if anchored {
            let problem =
                "--checkpoint, --expect and --witness-policy are for a ledger; a bundle has its own checkpoint";
            return Err(Error::Input(problem.to_owned()));
        }
        if !runs.is_empty() {
            return Err(Error::Input("bundles are checked without a ledger: name bundles, or runs".to_owned()));
        }
        if bundles.len() > 1 && !self.files.is_empty() {
            return Err(Error::Input("--evidence is for one bundle: check each by itself".to_owned()));
        }
        Ok(Subjects::Bundles(bundles))
    }

    /// Checks bundles, each by itself and with the receipts of the others.
    pub(crate) fn bundles(&self, paths: &[PathBuf]) -> Result<Vec<BundleReport>> {
        let required = required(&self.require, Check::BUNDLE)?;
        bundle::reports(paths, &self.trust, &digests(&self.files)?, &required)
    }

    /// Checks the ledger, or some of its runs, and remembers what was verified of all of it.
    pub(crate) fn ledger(&self, names: &[WholeName], context: &Context) -> Result<Audited> {
        let required = required(&self.require, Check::ALL)?;
        let mut anchors = self.anchors()?;
        let ledger = context.open_read_only().map_err(|error| match error {
            Error::Kernel(receipt_kernel::Error::NotFound { .. }) => names.iter().fold(error, or_file),
            error => error,
        })?;
        let runs = find_runs(names, &ledger)?;
        for (run, ..) in &mut anchors.expected {
            if let Some(found) = WholeName::from(run.as_str()).find_if_there(&ledger)? {
                *run = found;
            }
        }
        let mut pinning = if self.no_pin { Pinning::off() } else { Pinning::of(&context.ledger_path()?) };
        let digests = digests(&self.files)?;
        let mut report;
        let mut tries = 0..TRIES;
        loop {
            anchors.pinned = pinning.anchors();
            report = self.check(context, &ledger, &anchors, &digests, &runs)?;
            for check in &mut report.checks {
                check.required |= required.contains(&check.check);
            }
            // Another process may have pinned a newer head meanwhile. This ledger is compared with that pin too.
            let Some((origin, head)) = report.head.as_ref().filter(|_| report.overall_verdict().is_success()) else {
                break;
            };
            match tries.next() {
                None => break pinning.give_up(),
                Some(_) if pinning.remember(origin.as_ref(), *head) == Remembered::Yes => break,
                Some(_) => pinning.read(),
            }
        }
        pinning.warn(context);
        Ok(Audited { ledger, report, runs, pinning })
    }

    /// One verify.
    fn check(
        &self,
        context: &Context,
        ledger: &Ledger,
        anchors: &Anchors,
        digests: &[(String, Digest256)],
        named: &[RunId],
    ) -> Result<Report> {
        let bar = context.bar("events and blobs");
        let tell = |progress: Progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        };
        let mut audit = Audit::of(ledger).against(anchors).progress(&tell).files(digests.to_vec());
        if let Some(threads) = self.threads {
            audit = audit.threads(threads);
        }
        if !named.is_empty() {
            // An expectation of a run says nothing unless the run is read.
            let mut runs = named.to_vec();
            for (run, ..) in &anchors.expected {
                if ledger.has_run(run.as_str())? {
                    runs.push(run.clone());
                }
            }
            runs.sort_unstable();
            runs.dedup();
            audit = audit.runs(runs);
        }
        let report = audit.run();
        bar.finish_and_clear();
        Ok(report?)
    }

    fn anchors(&self) -> Result<Anchors> {
        let mut keys = self.trust.keys()?;
        let mut anchors = Anchors { key: keys.pop(), ..Anchors::default() };
        if anchors.key.as_ref().is_some_and(|key| key.kind() != KeyKind::Note) {
            return Err(Error::Input(
                "--vkey: this is a witness's key; witnesses stand in --witness-policy".to_owned(),
            ));
        }
        if !keys.is_empty() {
            return Err(Error::Input("--vkey: a ledger has one key; witnesses stand in --witness-policy".to_owned()));
        }
        for path in &self.checkpoint {
            anchors.checkpoints.push((show(path), input::checkpoint(path)?));
        }
        anchors.witnesses = self.witnesses()?;
        for text in &self.expect {
            let expected = expected(text);
            let wanted = || Error::Input(format!("--expect: {text:?} is not RUN=COUNT:sha256:HEX"));
            anchors.expected.push(expected.ok_or_else(wanted)?);
        }
        Ok(anchors)
    }

    pub(crate) fn witnesses(&self) -> Result<Option<WitnessPolicy>> {
        let Some(path) = &self.witness_policy else { return Ok(None) };
        let policy = WitnessPolicy::parse(&input::utf8(path)?)
            .map_err(|error| Error::Input(format!("{}: {error}", show(path))))?;
        Ok(Some(policy))
    }
}

fn find_runs(names: &[WholeName], ledger: &Ledger) -> Result<Vec<RunId>> {
    let find = |name: &WholeName| {
        name.find(ledger).map_err(|error| match error {
            Error::Kernel(receipt_kernel::Error::RunNotFound { .. }) => or_file(error, name),
            error => error,
        })
    };
    let mut found = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// A name of no run may be that of a bundle.
fn or_file(error: Error, name: &WholeName) -> Error {
    let name = name.as_str();
    if Path::new(name).is_file() { Error::NoFileOfRun { name: name.to_owned() } } else { error }
}

fn expected(text: &str) -> Option<(RunId, Seq, EventHash)> {
    let (run, rest) = text.rsplit_once('=')?;
    let (count, hash) = rest.split_once(':')?;
    Some((RunId::new(run), Seq::new(count.parse().ok()?)?, EventHash::parse_bytes(hash.as_bytes())?))
}

fn file(text: &str) -> Result<(String, PathBuf), String> {
    let (key, path) = text.split_once('=').ok_or("expected KEY=FILE")?;
    Ok((key.to_owned(), path.into()))
}

fn digests(files: &[(String, PathBuf)]) -> Result<Vec<(String, Digest256)>> {
    files.iter().map(|(key, path)| Ok((key.clone(), digest(path)?))).collect()
}

fn digest(path: &Path) -> Result<Digest256> {
    Digest256::of(input::plain_file(path)?).map_err(|source| Error::File { what: show(path), source })
}

/// The checks of these names, of those that there are.
fn required(names: &[String], of: [Check; 10]) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for name in names {
        match of.iter().find(|check| check.as_str() == name) {
            Some(check) => checks.push(*check),
            None if name == "all" => checks.extend(of),
            None => {
                let known = of.map(Check::as_str).join(", ");
                return Err(Error::Input(format!("--require: there is no check {name:?}; there are: {known}, all")));
            }
        }
    }
    Ok(checks)
}
