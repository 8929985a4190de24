//! `receipt reference`, hidden: the help of every verb as one document, which is kept as `docs/CLI.md`.

use crate::args;
use crate::context::Context;
use crate::error::Result;
use clap::Command;
use receipt_kernel::Object;
use std::fmt::Write;
use std::process::ExitCode;

/// Print the help of every verb as Markdown
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

const TOP: &str = "\
# The `receipt` command

<!-- Generated from the commands: a test compares it, and UPDATE=1 writes it. -->

";

pub(crate) fn run(_: &Args, context: &Context) -> Result<ExitCode> {
    let text = render();
    if context.json {
        context.print_json(&Object::from_iter([("markdown", text)]).into())?;
    } else {
        context.print(&text.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render() -> String {
    // Of one width, whatever the terminal's.
    let mut command = args::command().term_width(100);
    command.build();
    let mut out = TOP.to_owned();
    block(&mut out, &mut command.clone());
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let _ = write!(out, "## {}\n\n", verb.get_name());
        // What every verb takes stands once, at the top.
        let verb = verb.clone().mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
        block(&mut out, &mut verb.term_width(100));
    }
    out
}

fn block(out: &mut String, command: &mut Command) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(out, "```text\n{}\n```\n\n", lines.join("\n"));
}
