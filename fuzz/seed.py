"""Fills corpus/ with the vectors, with seeds/ (the worked example of FORMAT.md), with the built-in policies and with the
examples of the redaction rules, a file each, named by their content; and makes a dictionary of what the rules look for."""

import hashlib
import json
import pathlib
import re

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


RULES = (ROOT / "crates/kernel/src/evidence/rules.toml").read_text("utf-8")
LETTERS = {"d": "18302746", "h": "a3f09b7c", "H": "A3F09B7C", "l": "qmzkxjv", "u": "QMZKXJV"}
SYNTAX = ["=", ": ", " := ", "=>", "\"", "'", "`", "\\", "\\\"", "\\n", "\n", "\0", ",", "&quot;", "</", "[", "{", "\\/", "%2D",
          "\\u002d", "\x1b[31m", "\u017f", "://"]


def strings(field):
    for array in re.findall(rf"^{field} = \[(.*?)\]$", RULES, re.MULTILINE | re.DOTALL):
        yield from (double or single for double, single in re.findall(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'", array))


def examples():
    def filled(match):
        letters = LETTERS.get(match[1], "Zq7Xk2Vm9")
        return (letters * int(match[2]))[: int(match[2])]

    for example in strings("examples"):
        yield re.sub(r"<(\w):(\d+)>", filled, example).encode()


def dictionary():
    for word in sorted({*SYNTAX, *strings("keywords")}):
        yield "\"" + "".join(f"\\x{byte:02x}" for byte in word.encode()) + "\"\n"


def write(target, texts):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for text in texts:
        (folder / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)


for target in ("json", "canonical"):
    write(target, vectors())
write("envelope", envelopes())
write("redactor", vectors())
write("redactor", examples())
(HERE / "dictionaries" / "redactor.dict").write_text("".join(dictionary()), "ascii")
write("policy", (path.read_bytes() for path in sorted((ROOT / "crates/core/src/policy").glob("*.toml"))))
