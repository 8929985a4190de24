//! `receipt man`: the manual pages.

use crate::args;
use crate::context::{Context, show};
use crate::error::{Error, Result};
use clap::Command;
use receipt_kernel::{Object, Value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print the manual page, or write one for each verb
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt man | man -l -
  receipt man --dir ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// Write receipt.1 and a page for each verb into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    // clap's own layout: the groups of the short help mean nothing in a manual page.
    let mut command = args::plain_command();
    command.build();
    if let Some(dir) = &args.dir {
        let written = write_pages(&command, dir)?;
        let line = format!("wrote {} pages into {}", written.len(), show(dir));
        context.done(Object::from_iter([("files", Value::from(written))]), &line)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page = render(command)?;
    if context.json {
        let page = String::from_utf8_lossy(&page).into_owned();
        context.print_json(&Object::from_iter([("page", page)]).into())?;
    } else {
        std::io::stdout().write_all(&page).map_err(Error::output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: &Command, dir: &Path) -> Result<Vec<String>> {
    let failed = |path: &Path| {
        let what = show(path);
        move |source| Error::File { what, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut written = Vec::new();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let pages = verbs.map(|verb| (format!("receipt-{}", verb.get_name()), verb.clone()));
    for (name, page) in std::iter::once(("receipt".to_owned(), command.clone())).chain(pages) {
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, render(page)?).map_err(failed(&path))?;
        written.push(path.to_string_lossy().into_owned());
    }
    Ok(written)
}

fn render(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).source("receipt").render(&mut page).map_err(Error::output)?;
    Ok(page)
}
