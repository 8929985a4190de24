//! What every verb needs: the ledger, and where its output goes.

use crate::args::{ColorWhen, Global};
use crate::error::{Error, Result};
use crate::place::Place;
use anstream::AutoStream;
use indicatif::{ProgressBar, ProgressStyle};
use receipt_kernel::core::canonical;
use receipt_kernel::core::json::Limits;
use receipt_kernel::evidence::redact::without_secrets;
use receipt_kernel::{Actor, Ledger, Object, Redactor, Rules, Value};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    color: ColorWhen,
    ledger: Option<PathBuf>,
    rules: Option<PathBuf>,
    /// Something that was to be told could not be written.
    unwritten: AtomicBool,
}

#[allow(clippy::unused_self)] // a verb asks its context, whether or not the answer depends on the command line
impl Context {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            color: global.color,
            ledger: global.ledger.clone(),
            rules: global.rules.clone(),
            unwritten: AtomicBool::new(false),
        }
    }

    /// The place of the ledger.
    pub(crate) fn ledger_path(&self) -> Result<PathBuf> {
        Place::find(self.ledger.as_deref()).map(|place| place.path)
    }

    /// The place where a ledger is to be made.
    pub(crate) fn new_ledger_path(&self) -> Result<PathBuf> {
        Place::new(self.ledger.as_deref()).map(|place| place.path)
    }

    pub(crate) fn open(&self) -> Result<Ledger> {
        self.with_rules(Ledger::open(self.ledger_path()?)?)
    }

    /// Opens the ledger, and makes it if there is none and no path was named: a path with a typo makes no new ledger.
    pub(crate) fn open_or_create(&self) -> Result<Ledger> {
        let Place { path, is_named } = Place::find(self.ledger.as_deref())?;
        self.with_rules(if is_named { Ledger::open(path) } else { Ledger::open_or_create(path) }?)
    }

    pub(crate) fn open_read_only(&self) -> Result<Ledger> {
        Ok(Ledger::open_read_only(self.ledger_path()?)?)
    }

    /// The ledger, where what is recorded is redacted by the rules that were named too. A file that is not understood in
    /// full stops the command before it does anything.
    pub(crate) fn with_rules(&self, ledger: Ledger) -> Result<Ledger> {
        let Some(text) = self.named_rules()? else { return Ok(ledger) };
        let own = ledger.own_rules()?.unwrap_or_default();
        let rules = Rules::builtin().and_then(|rules| rules.with(&own)).and_then(|rules| rules.with(&text))?;
        Ok(ledger.with_redactor(Redactor::new(rules)?))
    }

    /// The file of rules that was named.
    pub(crate) fn named_rules(&self) -> Result<Option<String>> {
        self.rules.as_deref().map(crate::input::utf8).transpose()
    }

    /// Who acts on the command line: the user by name.
    pub(crate) fn actor(&self) -> Actor {
        let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        Actor::new("cli", name.unwrap_or_else(|_| "unknown".to_owned()))
    }

    /// Prints one JSON document on standard output.
    pub(crate) fn print_json(&self, value: &Value) -> Result<()> {
        let bytes = canonical::to_bytes(value, Limits::READ).map_err(receipt_kernel::Error::from)?;
        let mut out = io::stdout().lock();
        let written = out.write_all(&bytes).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        written.map_err(Error::output)
    }

    /// Prints a line for people on standard output; colours in it are taken out where they do not belong.
    pub(crate) fn print(&self, line: &dyn std::fmt::Display) -> Result<()> {
        let mut out = self.stdout();
        writeln!(out, "{line}").map_err(Error::output)
    }

    /// Tells a person something beside the answer, on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.told(&writeln!(self.stderr(), "receipt: {}", crate::term::escape(&without_secrets(text))));
        }
    }

    /// Warns a person on standard error, however quiet it is to be. In JSON a warning is part of the answer.
    pub(crate) fn warn(&self, text: &str) {
        if !self.json {
            let warning = crate::term::paint(crate::term::ODD, "warning:");
            self.told(&writeln!(self.stderr(), "{warning} {}", crate::term::escape(&without_secrets(text))));
        }
    }

    fn told(&self, written: &io::Result<()>) {
        self.unwritten.fetch_or(written.is_err(), Ordering::Relaxed);
    }

    /// Whether all that was told beside the answer could be written.
    pub(crate) fn all_written(&self) -> Result<()> {
        if !self.unwritten.load(Ordering::Relaxed) {
            return Ok(());
        }
        let source = io::Error::other("what was to be told there could not be written");
        Err(Error::File { what: "standard error".to_owned(), source })
    }

    /// Prints what was done: the document for programs, else the line for people, who may not want it.
    pub(crate) fn done(&self, document: Object, line: &str) -> Result<()> {
        if self.json {
            self.print_json(&document.into())
        } else if self.quiet {
            Ok(())
        } else {
            self.print(&line)
        }
    }

    /// Whether what is printed is drawn for a person who looks at a terminal, or wants it so.
    pub(crate) fn draws(&self) -> bool {
        self.color == ColorWhen::Always || io::stdout().is_terminal()
    }

    /// A bar for long work, which may be hidden.
    pub(crate) fn bar(&self, unit: &str) -> ProgressBar {
        if !self.shows_progress() {
            return ProgressBar::hidden();
        }
        let template = format!("{{bar:30}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(0).with_style(style)
    }

    /// Standard output, with colours where they belong.
    pub(crate) fn stdout(&self) -> AutoStream<io::StdoutLock<'static>> {
        AutoStream::new(io::stdout().lock(), self.choice())
    }

    /// Standard error, with colours where they belong.
    pub(crate) fn stderr(&self) -> AutoStream<io::StderrLock<'static>> {
        AutoStream::new(io::stderr().lock(), self.choice())
    }

    fn choice(&self) -> anstream::ColorChoice {
        match self.color {
            ColorWhen::Auto => anstream::ColorChoice::Auto,
            ColorWhen::Always => anstream::ColorChoice::AlwaysAnsi,
            ColorWhen::Never => anstream::ColorChoice::Never,
        }
    }

    /// Whether progress is to be shown: on a terminal, to a person who wants to see it.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }
}

/// A path for a message.
pub(crate) fn show(path: &Path) -> String {
    crate::term::escape(&path.to_string_lossy())
}
