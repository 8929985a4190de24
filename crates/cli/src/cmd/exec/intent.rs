//! What is on record before the command starts: what it is, where, when, and from which state of the work.

use crate::error::{Error, Result};
use crate::input;
use receipt_kernel::clock::{Clock, SystemClock};
use receipt_kernel::core::json::Text;
use receipt_kernel::{Object, Value};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How much of a file of packed branches is read, and of a line in it.
const LARGEST: u64 = 256 << 20;
const LONGEST: u64 = 4096;

/// The id of a run that was given none, such as `20261123T221500Z-3f9a1c07`.
pub(super) fn run_id() -> Result<String> {
    let now = SystemClock.now().to_string();
    let digits: String =
        now.chars().take_while(|at| *at != '.' && *at != '+').filter(|at| *at != '-' && *at != ':').collect();
    let random = random_hex().map_err(|source| Error::File { what: "random numbers".to_owned(), source })?;
    Ok(format!("{digits}Z-{random}"))
}

/// Eight random hexadecimal digits.
fn random_hex() -> io::Result<String> {
    let random = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{random:08x}"))
}

/// The evidence `command`. Of the environment only the names: the values are where secrets are kept.
pub(super) fn command(argv: &[OsString]) -> Object {
    let folder = std::env::current_dir().unwrap_or_default();
    let mut names: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    names.sort_unstable();
    let texts = |items: &[OsString]| Value::Array(items.iter().map(|item| text(item).into()).collect());
    Object::from_iter([
        ("argv", texts(argv)),
        ("cwd", text(folder.as_os_str()).into()),
        ("environment", texts(&names)),
        ("git_commit", Value::from(git_commit(&folder))),
        ("started_at", Value::from(SystemClock.now().to_string())),
    ])
}

/// Text of the system as JSON text, exactly: a byte that is not UTF-8 becomes the lone surrogate that Python's
/// `surrogateescape` (PEP 383) makes of it.
pub(super) fn text(text: &OsStr) -> Text {
    let mut out = Text::from("");
    for chunk in text.as_bytes().utf8_chunks() {
        chunk.valid().chars().for_each(|character| out.push(u32::from(character)));
        chunk.invalid().iter().for_each(|byte| out.push(0xDC00 + u32::from(*byte)));
    }
    out
}

/// The commit that is checked out where the folder belongs to a git repository. Its files are read and git is not run: a
/// repository can tell git to run other programs.
fn git_commit(folder: &Path) -> Option<String> {
    let repository = folder.ancestors().find_map(|folder| git_folder(&folder.join(".git")))?;
    let head = first_line(&repository.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return object_id(&head) };
    let shared = first_line(&repository.join("commondir")).map(|path| repository.join(path));
    let homes = [Some(repository), shared];
    let mut homes = homes.iter().flatten();
    homes.find_map(|home| {
        let loose = first_line(&home.join(name)).and_then(|line| object_id(&line));
        loose.or_else(|| packed(home, name))
    })
}

/// The folder itself, or the one that a file of this name points at.
fn git_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let line = first_line(path)?;
    Some(path.parent()?.join(line.strip_prefix("gitdir: ")?))
}

fn first_line(path: &Path) -> Option<String> {
    if !path.is_file() {
        return None;
    }
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?.take(LONGEST)).read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}

/// The commit of a branch among the packed ones. A pipe or a device in the place of the file would be read for ever.
fn packed(home: &Path, name: &str) -> Option<String> {
    let mut packed = BufReader::new(input::plain_file(&home.join("packed-refs")).ok()?.take(LARGEST));
    let mut line = Vec::new();
    while packed.by_ref().take(LONGEST).read_until(b'\n', &mut line).ok()? > 0 {
        let text = std::str::from_utf8(&line).unwrap_or_default().trim_end();
        if let Some((id, _)) = text.split_once(' ').filter(|(_, held)| *held == name) {
            return object_id(id);
        }
        line.clear();
    }
    None
}

fn object_id(text: &str) -> Option<String> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn bytes_that_are_no_text_are_told_exactly() {
        let exact = text(OsStr::from_bytes(b"a\xffb"));
        assert_eq!(exact.code_points().collect::<Vec<_>>(), [0x61, 0xDCFF, 0x62]);
    }

    #[test]
    fn the_commit_is_found_wherever_git_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef01234567";
        let git = folder.path().join(".git");
        let inside = folder.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        assert_eq!(git_commit(&inside), None);
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), format!("{id}\n")).unwrap();
        assert_eq!(git_commit(&inside).as_deref(), Some(id), "a detached head");
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(git_commit(&inside), None, "a branch without commits");
        fs::write(git.join("packed-refs"), format!("# pack-refs\n{id} refs/heads/main\n")).unwrap();
        assert_eq!(git_commit(&inside).as_deref(), Some(id), "packed");
        let other = id.replace('0', "f");
        fs::write(git.join("refs/heads/main"), format!("{other}\n")).unwrap();
        assert_eq!(git_commit(&inside).as_deref(), Some(&*other), "loose before packed");
        fs::create_dir_all(git.join("worktrees/w")).unwrap();
        fs::write(git.join("worktrees/w/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(git.join("worktrees/w/commondir"), "../..\n").unwrap();
        fs::write(inside.join(".git"), "gitdir: ../../.git/worktrees/w\n").unwrap();
        assert_eq!(git_commit(&inside).as_deref(), Some(&*other), "a worktree");
    }

    #[test]
    fn a_pipe_or_a_device_among_the_files_of_git_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        fs::create_dir_all(&git).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        for name in ["packed-refs", "refs", "commondir", "HEAD"] {
            let path = git.join(name);
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            assert_eq!(git_commit(folder.path()), None, "{name}");
            fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            assert_eq!(git_commit(folder.path()), None, "{name}");
        }
        // A line without an end is read in pieces.
        fs::remove_file(git.join("HEAD")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::remove_file(git.join("commondir")).unwrap();
        fs::remove_file(git.join("packed-refs")).unwrap();
        let id = "0123456789abcdef0123456789abcdef01234567";
        let long = "0".repeat(2 * usize::try_from(LONGEST).unwrap());
        fs::write(git.join("packed-refs"), format!("{long}\n{id} refs/heads/main\n")).unwrap();
        assert_eq!(git_commit(folder.path()).as_deref(), Some(id));
    }
}
