//! The command line, as clap reads it. Each verb's own arguments stand beside the verb, in `cmd/`.

use crate::cmd;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Records runs, and verifies what was recorded.
#[derive(Debug, Parser)]
#[command(name = "receipt", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Global {
    /// The ledger; else .receipt/ledger.db in this folder or the nearest parent that has one
    #[arg(long, global = true, env = "RECEIPT_LEDGER", value_name = "PATH")]
    pub(crate) ledger: Option<PathBuf>,
    /// Print one JSON document on standard output, whatever happens
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, value_name = "WHEN")]
    pub(crate) color: ColorWhen,
    /// Print only what was asked for: no progress, no closing line
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    #[default]
    Auto,
    Always,
    Never,
}

/// The verbs, each in a file of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Exec(cmd::exec::Args),
    Verify(cmd::verify::Args),
}
