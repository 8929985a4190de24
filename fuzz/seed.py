"""Fills corpus/ with the vectors, with seeds/ (the worked example of FORMAT.md) and with the built-in
policies, a file each, named by their content."""

import hashlib
import json
import pathlib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent


def vectors():
    for path in sorted((ROOT / "vectors").glob("canonical*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            case = json.loads(line)
            yield from (case[key].encode("utf-8", "surrogatepass") for key in ("json", "canonical") if key in case)


def envelopes():
    for path in (HERE / "seeds").glob("*.json"):
        yield path.read_bytes().rstrip()


def write(target, texts):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for text in texts:
        (folder / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)


for target in ("json", "canonical"):
    write(target, vectors())
write("envelope", envelopes())
write("redactor", vectors())
write("policy", (path.read_bytes() for path in sorted((ROOT / "crates/core/src/policy").glob("*.toml"))))
