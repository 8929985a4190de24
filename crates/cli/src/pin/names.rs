//! The names under which a ledger is pinned: its path as it was named, as the shell sees it, and as links resolve it.

use std::env;
use std::fs::metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Every name of the ledger at this path, each once; none if no name can stand on a line.
pub(crate) fn names(ledger: &Path) -> Vec<String> {
    let Ok(given) = std::path::absolute(ledger).map(without_parents) else { return Vec::new() };
    let seen = as_the_shell_sees(&given);
    let resolved = ledger.canonicalize().ok();
    let mut names: Vec<String> = Vec::new();
    for path in [Some(given), seen, resolved].into_iter().flatten() {
        let name = path.into_os_string().into_string().ok().filter(|name| !name.chars().any(char::is_control));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The path without `..`. A link may stand before one, so that the part up to the last is resolved.
fn without_parents(path: PathBuf) -> PathBuf {
    let parts: Vec<Component<'_>> = path.components().collect();
    let Some(last) = parts.iter().rposition(|part| *part == Component::ParentDir) else { return path };
    let (upper, lower) = parts.split_at(last + 1);
    match upper.iter().collect::<PathBuf>().canonicalize() {
        Ok(upper) => upper.join(lower.iter().collect::<PathBuf>()),
        Err(_) => path,
    }
}

/// The same file by the name of the current folder that the shell keeps in `$PWD`: if a link was put in the place of
/// that folder, only this name is still the one that was pinned.
fn as_the_shell_sees(path: &Path) -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    let shell = PathBuf::from(env::var_os("PWD")?);
    if !shell.is_absolute() || shell.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    here.ancestors().zip(shell.ancestors()).find_map(|(here, shell)| {
        let seen = shell.join(path.strip_prefix(here).ok()?);
        is_same(&seen, path).then_some(seen)
    })
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    identity(one).is_some_and(|one| Some(one) == identity(other))
}
