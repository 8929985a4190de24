#!/usr/bin/env python3
"""Times other scanners for secrets beside ours, on the same log, and counts what each finds in the examples of our rules.

    tools/scanners.py --receipt target/release/receipt --folder target/scanners

The others are ripsecrets and detect-secrets, which cargo and pip install into the folder. One that cannot be installed is
named after SKIPPED. `cargo bench --bench redact -- examples FOLDER` writes the examples.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RIPSECRETS = "ripsecrets@0.1.11"
DETECT_SECRETS = "detect-secrets==1.5.0"
# detect-secrets takes three seconds for a megabyte.
SMALL, LARGE = 4, 64


def run(command: list, **more) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, check=False, **more)


def write_log(path: pathlib.Path, megabytes: int) -> None:
    """A log in which nothing is secret; the same each time."""
    number, size = 0x9E3779B9, 0
    with path.open("w") as log:
        while size < megabytes << 20:
            number = (number * 6364136223846793005 + 1442695040888963407) % 2**64
            size += log.write(
                f"2026-11-25T12:00:{number % 60:02d}Z INFO http: 10.0.3.{number % 255} GET /api/items/{number >> 32} 200\n"
                f"test evidence::store::tests::case_{number >> 40} ... ok\n"
                f'{{"level":"debug","ts":{number >> 20},"msg":"cache miss for key items:{number >> 44}"}}\n'
            )


def install_ripsecrets(folder: pathlib.Path) -> pathlib.Path | None:
    program = folder / "bin/ripsecrets"
    if not program.is_file():
        run(["cargo", "install", "--quiet", "--root", folder, RIPSECRETS])
    return program if program.is_file() else None


def install_detect_secrets(folder: pathlib.Path) -> pathlib.Path | None:
    venv = folder / "venv"
    program = venv / "bin/detect-secrets"
    if not program.is_file():
        run([sys.executable, "-m", "venv", venv])
        run([venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", DETECT_SECRETS])
    return program if program.is_file() else None


def speed(command: list, megabytes: int, folder: pathlib.Path) -> float:
    """Megabytes a second, on one core where the machine can be held to it."""
    pinned = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    begin = time.monotonic()
    run([*pinned, *command], cwd=folder)
    return megabytes * 1.048576 / (time.monotonic() - begin)


def found_by(command: list, examples: pathlib.Path, is_found) -> int:
    return sum(bool(is_found(run([*command, path]), path)) for path in sorted(examples.glob("*.txt")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--receipt", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    args = parser.parse_args()
    folder, receipt = args.folder.resolve(), args.receipt.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    examples, ledger = folder / "examples", folder / "ledger.db"
    shutil.rmtree(examples, ignore_errors=True)
    bench = ["cargo", "bench", "--quiet", "--locked", "-p", "receipt-kernel", "--bench", "redact", "--", "examples", examples]
    ours = run(bench, cwd=ROOT).stdout.decode().strip().splitlines()[-1:] or ["not counted"]
    count = len(list(examples.glob("*.txt")))
    small, large = folder / "small.log", folder / "large.log"
    write_log(small, SMALL)
    write_log(large, LARGE)
    for path in folder.glob("ledger.db*"):
        path.unlink()
    env = {**os.environ, "RECEIPT_LEDGER": str(ledger)}
    for line in (["--ledger", ledger, "init"], ["--ledger", ledger, "start", "r"]):
        run([receipt, *line], env=env)
    rate = speed([receipt, "--ledger", ledger, "put", "r", "log", large], LARGE, folder)
    print(f"receipt put, whole        {rate:8.1f} MB/s   finds {ours[0]} examples")
    if (ripsecrets := install_ripsecrets(folder)) is None:
        print(f"SKIPPED: {RIPSECRETS}: cargo cannot install it here")
    else:
        rate = speed([ripsecrets, small], SMALL, folder)
        found = found_by([ripsecrets], examples, lambda done, _: done.returncode == 1)
        print(f"{RIPSECRETS:25} {rate:8.1f} MB/s   finds {found} of {count} examples")
    if (detect := install_detect_secrets(folder)) is None:
        print(f"SKIPPED: {DETECT_SECRETS}: pip cannot install it here")
    else:
        rate = speed([detect, "scan", small], SMALL, folder)
        done = run([detect, "scan", "--all-files", examples], cwd=folder)
        results = json.loads(done.stdout or b"{}").get("results", {})
        print(f"{DETECT_SECRETS:25} {rate:8.1f} MB/s   finds {len(results)} of {count} examples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
