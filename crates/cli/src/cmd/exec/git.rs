//! The commit that is checked out in a git repository, and its branch.
//!
//! Git is not run: a repository can tell git to run other programs. Anybody may have written its files: only plain files of
//! bounded size are read, and through no link inside the repository. `unread` names a file that is not read for that reason.
//!
//! The repository of a work tree may lie anywhere: `GIT_DIR`, a `.git` file and `commondir` name a folder, and it is opened by
//! its path, as git does. A folder that lacks HEAD, `objects` or `refs` is no repository, and none of its references are read.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How much of a file of packed branches is read, and of a line in it.
const LARGEST: u64 = 256 << 20;
const LONGEST: u64 = 4096;
/// How many names may stand for one another, as git has it.
const DEEPEST: usize = 5;

/// The facts of the repository that a folder belongs to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The commit that is checked out.
    pub(super) commit: Option<String>,
    /// The branch that is checked out, such as `main`; another reference by its whole name.
    pub(super) branch: Option<Vec<u8>>,
    /// The file that could not be read, and why.
    pub(super) unread: Option<String>,
}

/// Why something is not read.
type Unread = String;
type Result<T> = std::result::Result<T, Unread>;

/// The facts of the repository that a folder belongs to; `None` if it belongs to none. `named` is the value of `GIT_DIR`.
pub(super) fn facts(folder: &Path, named: Option<&OsStr>) -> Option<Facts> {
    let mut facts = Facts::default();
    let read = match named.filter(|path| !path.is_empty()) {
        Some(path) => Repository::open(CWD, &folder.join(path), OFlags::empty()).map(Some),
        None => folder.ancestors().find_map(|folder| repository(folder).transpose()).transpose(),
    };
    match read.and_then(|found| found.map(|repository| repository.read(&mut facts)).transpose()) {
        Ok(None) => return None,
        Ok(Some(())) => {}
        Err(unread) => facts.unread = Some(unread),
    }
    Some(facts)
}

/// The repository whose work tree a folder is, or that it is itself.
fn repository(folder: &Path) -> Result<Option<Repository>> {
    let Ok(here) = folder_of(CWD, folder, OFlags::empty()) else { return Ok(None) };
    match statat(&here, ".git", AtFlags::SYMLINK_NOFOLLOW) {
        Err(_) if is(&here, "HEAD", FileType::RegularFile) && has_store(&here) => Repository::of(here).map(Some),
        Err(_) => Ok(None),
        Ok(found) => match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => Repository::open(here.as_fd(), Path::new(".git"), OFlags::NOFOLLOW).map(Some),
            FileType::RegularFile => {
                let line = first_line(here.as_fd(), ".git")?.unwrap_or_default();
                let path = line.strip_prefix(b"gitdir: ").ok_or(".git is a file that names no repository")?;
                Repository::open(here.as_fd(), Path::new(OsStr::from_bytes(path)), OFlags::empty()).map(Some)
            }
            FileType::Symlink => Err(".git is a link".to_owned()),
            _ => Err(".git is neither a folder nor a file".to_owned()),
        },
    }
}

fn is(folder: &OwnedFd, name: &str, kind: FileType) -> bool {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == kind)
}

/// Whether a folder has the folders that all work trees of a repository share.
fn has_store(folder: &OwnedFd) -> bool {
    is(folder, "objects", FileType::Directory) && is(folder, "refs", FileType::Directory)
}

fn folder_of(from: BorrowedFd<'_>, path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    openat(from, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more, Mode::empty())
}

/// A repository's own folder, and the one that it shares with its other work trees.
struct Repository {
    own: OwnedFd,
    shared: Option<OwnedFd>,
}

/// The target of a reference.
enum Said {
    Commit(String),
    Name(Vec<u8>),
}

impl Repository {
    fn open(from: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<Self> {
        Self::of(folder_of(from, path, more).map_err(|error| format!("the repository cannot be opened: {error}"))?)
    }

    /// The repository that an open folder is. A folder that is none may be anybody's, and its files are not read.
    fn of(own: OwnedFd) -> Result<Self> {
        let no_repository = || Err("the folder that is named as the repository is none".to_owned());
        if !is(&own, "HEAD", FileType::RegularFile) && !is(&own, "HEAD", FileType::Symlink) {
            return no_repository();
        }
        let shared = match first_line(own.as_fd(), "commondir")? {
            Some(line) => {
                let opened = folder_of(own.as_fd(), Path::new(OsStr::from_bytes(&line)), OFlags::empty());
                Some(opened.map_err(|error| format!("the repository's shared folder cannot be opened: {error}"))?)
            }
            None => None,
        };
        let has_store = has_store(shared.as_ref().unwrap_or(&own));
        if has_store { Ok(Self { own, shared }) } else { no_repository() }
    }

    fn homes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(&self.own).chain(&self.shared).map(AsFd::as_fd)
    }

    fn read(&self, facts: &mut Facts) -> Result<()> {
        let mut said = self.head()?;
        for _ in 0..DEEPEST {
            let name = match said {
                Said::Commit(commit) => {
                    facts.commit = Some(commit);
                    return Ok(());
                }
                Said::Name(name) => name,
            };
            if name == b"refs/heads/.invalid" || self.has_tables() {
                return Err("its branches are kept as reftables, which are not read here".to_owned());
            }
            let path = is_reference(&name).then(|| std::str::from_utf8(&name).ok()).flatten();
            let path = path.ok_or("it names a reference that is none")?;
            facts.branch.get_or_insert_with(|| name.strip_prefix(b"refs/heads/").unwrap_or(&name).to_vec());
            match self.reference(path)? {
                Some(next) => said = next,
                // A branch without commits.
                None => return Ok(()),
            }
        }
        Err("its references name one another without an end".to_owned())
    }

    fn head(&self) -> Result<Said> {
        // Git made HEAD a link long ago. Its target is read as a name, and not followed.
        if let Ok(target) = readlinkat(&self.own, "HEAD", Vec::new()) {
            return Ok(Said::Name(target.into_bytes()));
        }
        let line = first_line(self.own.as_fd(), "HEAD")?.ok_or("it has no HEAD")?;
        said(&line).ok_or_else(|| "its HEAD names neither a commit nor a reference".to_owned())
    }

    fn has_tables(&self) -> bool {
        self.homes().any(|home| statat(home, "reftable", AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    /// The target of a reference, in a file of its own or among the packed ones.
    fn reference(&self, path: &str) -> Result<Option<Said>> {
        for home in self.homes() {
            if let Some(line) = first_line(home, path)? {
                return said(&line).map(Some).ok_or_else(|| format!("{path} names neither a commit nor a reference"));
            }
        }
        for home in self.homes() {
            if let Some(commit) = packed(home, path)? {
                return Ok(Some(Said::Commit(commit)));
            }
        }
        Ok(None)
    }
}

fn said(line: &[u8]) -> Option<Said> {
    match line.strip_prefix(b"ref:") {
        Some(name) => Some(Said::Name(name.trim_ascii().to_vec())),
        None => object_id(line).map(Said::Commit),
    }
}

/// Whether a name is one of a reference, as git has them: a path below `refs` that leads nowhere else.
fn is_reference(name: &[u8]) -> bool {
    let bad = |byte: &u8| byte.is_ascii_control() || b" ~^:?*[\\".contains(byte);
    let part = |part: &[u8]| !part.is_empty() && !part.starts_with(b".") && !part.ends_with(b".lock");
    let has = |text: &[u8]| name.windows(text.len()).any(|window| window == text);
    name.starts_with(b"refs/") && !name.iter().any(bad) && !has(b"..") && name.split(|byte| *byte == b'/').all(part)
}

fn object_id(text: &[u8]) -> Option<String> {
    let is_id = matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit);
    is_id.then(|| String::from_utf8_lossy(text).into_owned())
}

/// Opens a plain file below a folder, without following a link on the way; `None` if there is none.
fn plain_file(home: BorrowedFd<'_>, path: &str) -> Result<Option<File>> {
    let unread = |why: &str| format!("{path} {why}");
    let mut folder = home.try_clone_to_owned().map_err(|error| unread(&format!("cannot be read: {error}")))?;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        // A pipe is not waited for, and a link is not followed.
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        if parts.peek().is_some() {
            flags |= OFlags::DIRECTORY;
        }
        folder = match openat(&folder, part, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(None),
            // A link is no folder; but a branch `a` excludes a branch `a/b`.
            Err(Errno::NOTDIR) if !is_link(&folder, part) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(unread("is a link, or lies behind one")),
            Err(error) => return Err(unread(&format!("cannot be read: {error}"))),
        };
    }
    let kind = fstat(&folder).map(|found| FileType::from_raw_mode(found.st_mode));
    match kind {
        Ok(FileType::RegularFile) => Ok(Some(File::from(folder))),
        Ok(FileType::Directory) => Ok(None),
        _ => Err(unread("is no plain file")),
    }
}

fn is_link(folder: &OwnedFd, name: &str) -> bool {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// The first line of a plain file, which is short.
fn first_line(home: BorrowedFd<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(file) = plain_file(home, path)? else { return Ok(None) };
    let mut line = Vec::new();
    let read = BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line);
    read.map_err(|error| format!("{path} cannot be read: {error}"))?;
    Ok(Some(line.trim_ascii_end().to_vec()))
}

/// The commit of a reference among the packed ones.
fn packed(home: BorrowedFd<'_>, name: &str) -> Result<Option<String>> {
    let unread = |error| format!("packed-refs cannot be read: {error}");
    let Some(file) = plain_file(home, "packed-refs")? else { return Ok(None) };
    if file.metadata().map_err(unread)?.len() > LARGEST {
        return Err("packed-refs is too large".to_owned());
    }
    let mut packed = BufReader::new(file.take(LARGEST));
    let mut line = Vec::new();
    while packed.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(unread)? > 0 {
        let text = std::str::from_utf8(&line).unwrap_or_default().trim_end();
        if let Some((id, _)) = text.split_once(' ').filter(|(_, held)| *held == name) {
            return Ok(object_id(id.as_bytes()));
        }
        line.clear();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn commit(folder: &Path) -> Option<String> {
        facts(folder, None)?.commit
    }

    fn unread(folder: &Path) -> String {
        let facts = facts(folder, None).unwrap();
        assert_eq!(facts.commit, None);
        facts.unread.unwrap()
    }

    /// A repository on the branch main, which has no commit yet.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::create_dir(git.join("objects")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        (folder, git)
    }

    #[test]
    fn the_commit_is_found_wherever_git_keeps_it() {
        let (folder, git) = repository();
        let inside = folder.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        assert_eq!(facts(tempfile::tempdir().unwrap().path(), None), None);
        let unborn = Facts { branch: Some(b"main".to_vec()), ..Facts::default() };
        assert_eq!(facts(&inside, None), Some(unborn), "a branch without commits");
        fs::write(git.join("HEAD"), format!("{ID}\n")).unwrap();
        let detached = Facts { commit: Some(ID.to_owned()), ..Facts::default() };
        assert_eq!(facts(&inside, None), Some(detached), "a detached head");
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(git.join("packed-refs"), format!("# pack-refs\n{ID} refs/heads/main\n")).unwrap();
        assert_eq!(commit(&inside).as_deref(), Some(ID), "packed");
        let other = ID.replace('0', "f");
        fs::write(git.join("refs/heads/main"), format!("{other}\n")).unwrap();
        assert_eq!(commit(&inside).as_deref(), Some(&*other), "loose before packed");
        fs::create_dir_all(git.join("worktrees/w")).unwrap();
        fs::write(git.join("worktrees/w/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(git.join("worktrees/w/commondir"), "../..\n").unwrap();
        fs::write(inside.join(".git"), "gitdir: ../../.git/worktrees/w\n").unwrap();
        assert_eq!(commit(&inside).as_deref(), Some(&*other), "a work tree");
        let elsewhere = tempfile::tempdir().unwrap();
        let named = facts(elsewhere.path(), Some(git.as_os_str())).unwrap();
        assert_eq!(named.commit.as_deref(), Some(&*other), "GIT_DIR");
        assert_eq!(commit(&git.join("refs")).as_deref(), Some(&*other), "inside a bare repository");
    }

    #[test]
    fn names_that_stand_for_names_are_followed_to_an_end() {
        let (folder, git) = repository();
        fs::write(git.join("refs/heads/main"), "ref: refs/heads/other\n").unwrap();
        fs::write(git.join("refs/heads/other"), format!("{ID}\n")).unwrap();
        let found = facts(folder.path(), None).unwrap();
        assert_eq!((found.commit.as_deref(), found.branch.as_deref()), (Some(ID), Some(&b"main"[..])));
        fs::write(git.join("refs/heads/other"), "ref: refs/heads/main\n").unwrap();
        assert!(unread(folder.path()).contains("without an end"));
        fs::remove_file(git.join("HEAD")).unwrap();
        std::os::unix::fs::symlink("refs/heads/other", git.join("HEAD")).unwrap();
        fs::write(git.join("refs/heads/other"), format!("{ID}\n")).unwrap();
        assert_eq!(commit(folder.path()).as_deref(), Some(ID), "a HEAD that is a link, as once");
    }

    #[test]
    fn reftables_are_said_to_be_unread() {
        let (folder, git) = repository();
        fs::write(git.join("HEAD"), "ref: refs/heads/.invalid\n").unwrap();
        assert!(unread(folder.path()).contains("reftables"));
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::create_dir(git.join("reftable")).unwrap();
        assert!(unread(folder.path()).contains("reftables"));
    }

    #[test]
    fn a_head_leads_out_of_the_repository_nowhere() {
        let (folder, git) = repository();
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, format!("{ID}\n")).unwrap();
        for name in [
            secret.to_str().unwrap(),
            "refs/heads/../../../secret",
            "../secret",
            "refs/../../secret",
            "refs//heads/main",
            "refs/heads/main.lock",
            "secret",
            "",
        ] {
            fs::write(git.join("HEAD"), format!("ref: {name}\n")).unwrap();
            assert!(unread(folder.path()).contains("none"), "{name}");
        }
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::os::unix::fs::symlink(&secret, git.join("refs/heads/main")).unwrap();
        assert!(unread(folder.path()).contains("link"));
        fs::remove_dir_all(git.join("refs/heads")).unwrap();
        std::os::unix::fs::symlink(outside.path(), git.join("refs/heads")).unwrap();
        fs::write(outside.path().join("main"), format!("{ID}\n")).unwrap();
        assert!(unread(folder.path()).contains("link"));
        fs::remove_file(git.join("HEAD")).unwrap();
        std::os::unix::fs::symlink(&secret, git.join("HEAD")).unwrap();
        assert!(unread(folder.path()).contains("none"));
        fs::rename(&git, outside.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("moved"), &git).unwrap();
        assert!(unread(folder.path()).contains(".git is a link"));
    }

    #[test]
    fn a_folder_that_is_no_repository_is_not_read_whoever_names_it() {
        let (folder, git) = repository();
        let other = tempfile::tempdir().unwrap();
        let facts_of_other = || {
            let here = folder.path().join("named");
            fs::create_dir_all(&here).unwrap();
            fs::write(here.join(".git"), format!("gitdir: {}\n", other.path().display())).unwrap();
            [facts(&here, None).unwrap(), facts(folder.path(), Some(other.path().as_os_str())).unwrap()]
        };
        // Files that look like those of a repository, in the home of somebody who has none.
        fs::write(other.path().join("HEAD"), format!("{ID}\n")).unwrap();
        for facts in facts_of_other() {
            assert!(facts.commit.is_none() && facts.unread.unwrap().contains("is none"));
        }
        fs::create_dir(other.path().join("refs")).unwrap();
        std::os::unix::fs::symlink(git.join("objects"), other.path().join("objects")).unwrap();
        for facts in facts_of_other() {
            assert!(facts.commit.is_none() && facts.unread.unwrap().contains("is none"));
        }
        // A shared folder counts in the place of its own.
        fs::write(other.path().join("commondir"), format!("{}\n", git.display())).unwrap();
        for facts in facts_of_other() {
            assert_eq!(facts.commit.as_deref(), Some(ID));
        }
        fs::write(other.path().join("commondir"), folder.path().as_os_str().as_encoded_bytes()).unwrap();
        for facts in facts_of_other() {
            assert!(facts.commit.is_none() && facts.unread.unwrap().contains("is none"));
        }
    }

    #[test]
    fn a_pipe_or_a_device_among_the_files_of_git_is_not_waited_for() {
        let (folder, git) = repository();
        for name in ["packed-refs", "refs/heads/main", "refs", "commondir", "HEAD"] {
            let path = git.join(name);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            unread(folder.path());
            fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            let found = facts(folder.path(), None).unwrap();
            // A pipe in the place of a folder holds no branches.
            assert!(found.commit.is_none() && (found.unread.is_some() || name == "refs"), "{name}");
            fs::remove_file(&path).unwrap();
            if name.starts_with("refs") {
                fs::create_dir_all(git.join("refs/heads")).unwrap();
            }
        }
        fs::remove_dir_all(&git).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&git).status().unwrap().success());
        unread(folder.path());
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let (folder, git) = repository();
        // A line without an end is read in pieces.
        let long = "0".repeat(2 * usize::try_from(LONGEST).unwrap());
        fs::write(git.join("packed-refs"), format!("{long}\n{ID} refs/heads/main\n")).unwrap();
        assert_eq!(commit(folder.path()).as_deref(), Some(ID));
        fs::File::options().write(true).open(git.join("packed-refs")).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(unread(folder.path()).contains("too large"));
    }
}
