//! The command line, as clap reads it. Each verb's own arguments stand beside the verb, in `cmd/`.

use crate::{cmd, term};
use clap::{Args as ClapArgs, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::fmt::Write;
use std::path::PathBuf;

/// Records runs, and verifies what was recorded
#[derive(Debug, Parser)]
#[command(name = "receipt", version, about, max_term_width = 100, disable_help_subcommand = true)]
#[command(styles = term::HELP, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  receipt exec -- make test        record a command as a run
  receipt log @last                what happened in it
  receipt verify                   whether anything was tampered with
  receipt gate @last && ./deploy   only what is intact and ended well goes on

Exit status: 0 PASS or WARN, 1 FAIL, 2 wrong command line or input, 3 UNKNOWN, 4 ledger not readable or writable.
`receipt VERB --help` has more, with examples.";

const EXEC_EXAMPLES: &str = "\
Examples:
  receipt exec -- make test
  receipt exec --run nightly-7 --output target/report.html -- ./nightly.sh
  receipt exec --tty -- cargo build    coloured, also where the output goes into a file

The exit status is the command's own where that is not 0, else the verdict's: 0 PASS or WARN, 1 FAIL, 3 UNKNOWN. It is 125 if
the recording failed after the command had run, or if its status was 0 and its output could not be shown; 126 and 127 as a
shell gives them. Before the command runs: 2 for a wrong command line, 4 for a ledger that cannot be read or written.
Signals reach the command once, and the run is finalized whatever they do to it. docs/EXEC.md has more.";

/// What every verb takes.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The ledger; else .receipt/ledger.db in this folder or the nearest parent that has one, if it is this user's own
    #[arg(long, global = true, env = "RECEIPT_LEDGER", hide_env_values = true, value_name = "PATH")]
    pub(crate) ledger: Option<PathBuf>,
    /// Redaction rules for what this command records or scans, on top of the ledger's own; see `receipt rules --help`
    #[arg(long, global = true, env = "RECEIPT_RULES", hide_env_values = true, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Print one JSON document on standard output, whatever happens
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, value_name = "WHEN")]
    pub(crate) color: ColorWhen,
    /// Print only what was asked for: no progress, no closing line
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more: each check of verify, whatever came of it
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
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
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(cmd::exec::Args),
    Init(cmd::init::Args),
    Start(cmd::start::Args),
    Advance(cmd::advance::Args),
    Put(cmd::put::Args),
    Append(cmd::append::Args),
    Evaluate(cmd::evaluate::Args),
    Decide(cmd::decide::Args),
    Finalize(cmd::finalize::Args),
    Recover(cmd::recover::Args),
    Runs(cmd::runs::Args),
    Log(cmd::log::Args),
    Show(cmd::show::Args),
    Cat(cmd::cat::Args),
    Verify(cmd::verify::Args),
    Gate(cmd::gate::Args),
    Replay(cmd::replay::Args),
    Export(cmd::export::Args),
    Import(cmd::import::Args),
    Pin(cmd::pin::Args),
    Drill(cmd::drill::Args),
    Keygen(cmd::keygen::Args),
    Checkpoint(cmd::checkpoint::Args),
    Prove(cmd::prove::Args),
    Witness(cmd::witness::Args),
    Recipients(cmd::recipients::Args),
    Rules(cmd::rules::Args),
    Scan(cmd::scan::Args),
    Redact(cmd::redact::Args),
    Retain(cmd::retain::Args),
    Shred(cmd::shred::Args),
    Backup(cmd::backup::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
    #[command(hide = true)]
    Reference(cmd::reference::Args),
}

/// The verbs as help groups them; those that are in no group stand at the end.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Record a command", &["exec"]),
    (
        "Record step by step",
        &["init", "start", "advance", "put", "append", "evaluate", "decide", "finalize", "recover"],
    ),
    ("Read", &["runs", "log", "show", "cat"]),
    (
        "Check and keep",
        &[
            "verify",
            "gate",
            "replay",
            "export",
            "import",
            "retain",
            "recipients",
            "shred",
            "rules",
            "scan",
            "redact",
            "pin",
            "drill",
            "backup",
        ],
    ),
    ("Prove to others", &["keygen", "checkpoint", "prove", "witness"]),
    ("Set up", &["completions", "man"]),
];

/// The command as clap lays it out.
pub(crate) fn plain_command() -> Command {
    Args::command()
}

/// The command, with its verbs in groups.
pub(crate) fn command() -> Command {
    let command = plain_command();
    let verbs = grouped(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{verbs}{HEADER}Options:{HEADER:#}\n{{options}}{{after-help}}\n"
    );
    command.help_template(template)
}

fn grouped(command: &Command) -> String {
    let mut out = String::new();
    let visible = || command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others: Vec<&str> = visible().map(Command::get_name).filter(|name| !is_grouped(name)).collect();
    for (title, names) in GROUPS.iter().copied().chain([("More", others.as_slice())]) {
        let verbs: Vec<&Command> =
            names.iter().filter_map(|name| visible().find(|verb| verb.get_name() == *name)).collect();
        if verbs.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{HEADER}{title}:{HEADER:#}");
        for verb in verbs {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(out, "  {:<12} {about}", verb.get_name());
        }
        out.push('\n');
    }
    out
}

const HEADER: anstyle::Style = anstyle::AnsiColor::Green.on_default().bold();

/// Reads the command line.
pub(crate) fn parse() -> Result<Args, clap::Error> {
    let mut command = command().color(asked_color());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The colour that was asked for, before anything else is read: help and errors keep to it as well.
fn asked_color() -> clap::ColorChoice {
    let words: Vec<_> = std::env::args_os().take_while(|word| word != "--").collect();
    let joined = words.iter().find_map(|word| word.to_str()?.strip_prefix("--color="));
    let apart = words.windows(2).find(|pair| pair[0] == "--color").and_then(|pair| pair[1].to_str());
    match joined.or(apart) {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}
