#!/usr/bin/env python3
"""Makes a corpus of text in which nothing is secret: what `make bench` measures false findings on.

    tools/corpus.py FOLDER

It has three parts, each from what this machine has or can fetch through the ordinary clients of the registries:

logs    What builds and tests print: the output of cargo, git, npm and pip, run here, with the time before each line as
        runners write it, and once without.
locks   Lock files: those of the crates that cargo has unpacked, and those that npm and pip make for known packages.
minified  JavaScript as it is shipped: packages of npm, and what rustdoc ships.

A part that cannot be made is named on standard output, after SKIPPED. Nothing is executed of what is fetched.
"""

import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Shipped minified, by many; the versions are fixed so that two corpora compare.
NPM = ["jquery@3.7.1", "react-dom@18.3.1", "lodash@4.17.21", "d3@7.9.0", "three@0.160.0", "chart.js@4.4.1", "bootstrap@5.3.3"]
NPM_LOCKS = ["express@4.19.2", "webpack@5.91.0", "jest@29.7.0", "eslint@8.57.0"]


def run(command: list[str], folder: pathlib.Path) -> str:
    """What a command prints on both streams; empty where there is no such command."""
    if shutil.which(command[0]) is None:
        return ""
    env = {**os.environ, "CARGO_TERM_COLOR": "always", "FORCE_COLOR": "1", "NO_UPDATE_NOTIFIER": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def stamped(text: str, step: str) -> str:
    """The same as a runner's log has it."""
    at = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.timezone.utc)
    lines = [f"##[group]Run {step}", *text.splitlines(), "##[endgroup]"]
    out = []
    for number, line in enumerate(lines):
        moment = at + datetime.timedelta(milliseconds=7 * number)
        out.append(f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z {line}")
    return "\n".join(out) + "\n"


def make_logs(folder: pathlib.Path) -> int:
    commands = [
        ["cargo", "tree", "--workspace", "--all-features"],
        ["cargo", "metadata", "--format-version", "1", "--offline"],
        ["cargo", "check", "--workspace", "--offline", "-v"],
        ["git", "log", "--stat", "-n", "400"],
        ["git", "ls-files", "-s"],
        ["npm", "help"],
        ["npm", "config", "ls", "-l"],
        ["pip", "download", "--no-deps", "-d", str(folder / "pip"), "-v", "pyyaml==6.0.2"],
        ["pip", "install", "--help"],
        ["cargo", "--list"],
        ["rustc", "--help", "-v"],
        ["curl", "--help", "all"],
        ["openssl", "help"],
        ["ls", "-laR", "/etc", "/usr/lib/systemd"],
        ["dpkg", "-l"],
        ["env", "-i", "bash", "-c", "set -x; for i in 1 2 3; do echo $i; done"],
    ]
    count = 0
    for number, command in enumerate(commands):
        text = run(command, ROOT)
        if not text:
            print(f"SKIPPED: the log of {' '.join(command[:2])}: it printed nothing here")
            continue
        (folder / f"{number:02d}-{command[0]}.log").write_text(text)
        (folder / f"{number:02d}-{command[0]}.stamped.log").write_text(stamped(text, " ".join(command[:3])))
        count += 1
    return count


def unpacked_crates() -> list[pathlib.Path]:
    """The crates of Cargo.lock that cargo has unpacked on this machine."""
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    lock = (ROOT / "Cargo.lock").read_text()
    names = {f"{name}-{version}" for name, version in re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', lock)}
    return [crate for crate in home.glob("registry/src/*/*") if crate.name in names]


def make_locks(folder: pathlib.Path) -> int:
    count = 0
    for crate in unpacked_crates():
        lock = crate / "Cargo.lock"
        if lock.is_file():
            shutil.copy(lock, folder / f"{crate.name}.Cargo.lock")
            count += 1
    for package in NPM_LOCKS:
        place = folder / package.replace("@", "-")
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"name": "corpus", "version": "1.0.0"}\n')
        run(["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", package], place)
        if (place / "package-lock.json").is_file():
            count += 1
        else:
            print(f"SKIPPED: a lock file of npm for {package}: there is no npm, or no network")
    return count


def make_minified(folder: pathlib.Path) -> int:
    count = 0
    for package in NPM:
        place = folder / package.replace("@", "-")
        place.mkdir(parents=True, exist_ok=True)
        run(["npm", "pack", "--silent", package], place)
        for archive in place.glob("*.tgz"):
            with tarfile.open(archive) as packed:
                for member in packed.getmembers():
                    name = pathlib.PurePosixPath(member.name)
                    if member.isfile() and (".min." in name.name or ".production" in str(name)) and name.suffix in {".js", ".cjs", ".css"}:
                        held = packed.extractfile(member)
                        if held is not None:
                            (place / name.name).write_bytes(held.read())
                            count += 1
            archive.unlink()
    sysroot = run(["rustc", "--print", "sysroot"], ROOT).strip()
    for script in pathlib.Path(sysroot, "share/doc/rust/html/static.files").glob("*.js"):
        shutil.copy(script, folder / script.name)
        count += 1
    if count == 0:
        print("SKIPPED: minified JavaScript: there is no npm, or no network")
    return count


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    target = pathlib.Path(sys.argv[1])
    for name, make in [("logs", make_logs), ("locks", make_locks), ("minified", make_minified)]:
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        count = make(folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{name}: {count} files, {size / 1e6:.1f} MB in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
