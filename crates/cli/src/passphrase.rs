//! Passphrases: from the file that `$RECEIPT_PASSPHRASE_FILE` names, else asked for on the terminal without showing them. Never
//! from the command line, where every process on the machine could read them.

use crate::context::show;
use crate::error::{Error, Result};
use age::secrecy::SecretString;
use age::secrecy::zeroize::Zeroizing;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "RECEIPT_PASSPHRASE_FILE";

/// The longest passphrase, in bytes.
const LONGEST: u64 = 4096;

/// A passphrase for a new file: asked for twice on a terminal.
pub(crate) fn choose(path: &Path) -> Result<SecretString> {
    let prompt = format!("Passphrase for {}: ", show(path));
    let chosen = get(&prompt)?;
    if from_file().is_none() && *get("The same again: ")? != *chosen {
        return Err(Error::Input("the two passphrases are not the same; nothing was written".to_owned()));
    }
    if chosen.is_empty() {
        return Err(Error::Input("an empty passphrase protects nothing; nothing was written".to_owned()));
    }
    Ok(SecretString::from(chosen.as_str()))
}

/// The passphrase of a file.
pub(crate) fn ask(path: &Path) -> Result<SecretString> {
    get(&format!("Passphrase for {}: ", show(path))).map(|text| SecretString::from(text.as_str()))
}

fn from_file() -> Option<PathBuf> {
    std::env::var_os(FILE).filter(|name| !name.is_empty()).map(PathBuf::from)
}

fn get(prompt: &str) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    if let Some(path) = from_file() {
        let failed = |source| Error::File { what: show(&path), source };
        let file = crate::input::plain_file(&path)?;
        crate::keys::check_private(&path, &file)?;
        BufReader::new(file.take(LONGEST)).read_line(&mut text).map_err(failed)?;
    } else {
        let failed = |source| Error::File { what: "the terminal".to_owned(), source };
        let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
            Error::Input(format!(
                "there is no terminal to ask for the passphrase on: name a file that holds it in {FILE}"
            ))
        })?;
        write!(terminal, "{prompt}").map_err(failed)?;
        let hidden = Hidden::new(&terminal)?;
        let read = BufReader::new((&terminal).take(LONGEST)).read_line(&mut text);
        drop(hidden);
        writeln!(terminal).map_err(failed)?;
        read.map_err(failed)?;
    }
    let length = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(length);
    Ok(text)
}

/// While it lives the terminal does not show what is typed.
struct Hidden<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Hidden<'t> {
    fn new(terminal: &'t File) -> Result<Self> {
        let failed = |error: rustix::io::Errno| Error::File { what: "the terminal".to_owned(), source: error.into() };
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that has gone.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
