#!/usr/bin/env python3
"""Checks bundles, written from docs/FORMAT.md alone: python3 tools/verify.py [--vkey KEY]... FILE...

For each file it prints one line of JSON: a verdict for each area, and the codes of what is wrong. It needs Python 3.10 and
its standard library; with --vkey also the package `cryptography`, for Ed25519. It does not have the invariants, so that it
computes no evaluation again, and says so: `replay` is "unknown" where there is one.

A KEY is a verifier key, or a file that holds one.

Exit status: 0 pass or warn, 1 fail, 3 unknown, of the worst file; 2 where a file or a key cannot be used.
"""

import base64
import datetime
import hashlib
import json
import re
import sys

MAX_LINE, MAX_BLOBS, MAX_DEPTH, PIECE, MAX_POLICIES = 4 << 20, 1 << 17, 1024, 48 << 10, 64
TYPES = "RUN_START STAGE_ADVANCE EVIDENCE_PUT EVALUATION DECISION REMEDIATION RUN_FINALIZE BLOB_EXPIRE".split()
RANK = {"pass": 0, "warn": 1, "unknown": 2, "fail": 3}
BUILT_IN = {
    "v1_default": ("START", ["FINALIZE"], {"START": ["COLLECT"], "COLLECT": ["EVALUATE"], "EVALUATE": ["DECIDE"],
                   "DECIDE": ["FINALIZE", "REMEDIATE"], "REMEDIATE": ["COLLECT"], "FINALIZE": []}),
    "v1_minimal": ("START", ["FINALIZE"], {"START": ["FINALIZE"], "FINALIZE": []}),
}
sys.setrecursionlimit(20_000)
sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None


class Malformed(Exception):
    """The form of a bundle, or of one of its events, is not right."""


class Respelled(Malformed):
    """A text is JSON, and not in the spelling that it must have."""


def canonical(value, separators=(",", ":")):
    return json.dumps(value, sort_keys=True, separators=separators, ensure_ascii=True, allow_nan=False)


def depth(value):
    level, deepest = [value], 0
    while level := [it for it in level if isinstance(it, (dict, list))]:
        deepest += 1
        level = [child for it in level for child in (it.values() if isinstance(it, dict) else it)]
    return deepest


def exact(line, forms=((",", ":"),)):
    """The value of a text that is spelled in one of these forms."""
    try:
        text = line.decode("ascii")
        value = json.loads(text)
        if depth(value) <= MAX_DEPTH:
            if any(canonical(value, form) == text for form in forms):
                return value
            raise Respelled("not canonical JSON")
    except (ValueError, RecursionError, OverflowError):
        pass
    raise Malformed("not JSON")


def is_instant(text):
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None
    except (AttributeError, ValueError):
        return False


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def is_hash(text, prefix=""):
    return isinstance(text, str) and re.fullmatch(prefix + "[0-9a-f]{64}", text, re.ASCII) is not None


def is_int(value, low, high=2**63 - 1):
    return type(value) is int and low <= value <= high


def is_text(value):
    return isinstance(value, str) and not any(0xD800 <= ord(char) <= 0xDFFF for char in value)


def named_blob(text):
    text = text.removeprefix("blob://sha256:") if isinstance(text, str) else None
    return text if is_hash(text) else None


def strings(value, *names):
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in names)


class Graph:
    """A stage graph. `known` is false if only a newer version can read it."""

    def __init__(self, value):
        self.known = True
        if is_text(value):
            self.id, self.known = value, value in BUILT_IN
            self.initial, self.terminal, self.steps = BUILT_IN.get(value, (None, [], {}))
            return
        if not isinstance(value, dict) or not is_text(value.get("graph_id")):
            raise Malformed("not a graph")
        members = {"graph_id", "initial_stage", "terminal_stages", "transitions"}
        if set(value) - members:
            self.id, self.known = value["graph_id"], False
            return
        if set(value) != members:
            raise Malformed("not a graph")
        self.id, self.initial = value["graph_id"], value["initial_stage"]
        self.terminal, self.steps = value["terminal_stages"], value["transitions"]
        lists = [self.terminal, *self.steps.values()] if isinstance(self.steps, dict) else [None]
        if not all(isinstance(it, list) and all(is_text(stage) for stage in it) for it in lists):
            raise Malformed("not a graph")
        if not is_text(self.id) or not is_text(self.initial) or not self.terminal or not all(map(is_text, self.steps)):
            raise Malformed("not a graph")
        known = set(self.steps) | set(self.terminal)
        if not {self.initial, *(to for steps in self.steps.values() for to in steps)} <= known:
            raise Malformed("a stage without a place")
        if any(bool(steps) == (stage in self.terminal) for stage, steps in self.steps.items()):
            raise Malformed("terminal stages lead nowhere, all others somewhere")


class Commitment:
    def __init__(self, payload):
        value = payload["commitment"]
        policy = value.get("policy") if isinstance(value, dict) else None
        if not isinstance(policy, dict) or not {"id", "version", "stage_graph", "invariants"} <= set(policy):
            raise Malformed("not a policy")
        self.id, self.version, self.graph = policy["id"], policy["version"], Graph(policy["stage_graph"])
        rules = policy["invariants"]
        if not (is_text(self.id) and self.id and is_text(self.version) and self.version and isinstance(rules, list) and rules):
            raise Malformed("not a policy")
        if not all(isinstance(rule, dict) and is_text(rule.get("id")) for rule in rules):
            raise Malformed("not an invariant")
        if not all(type(rule.get("required", True)) is bool for rule in rules):
            raise Malformed("not an invariant")
        if len({rule["id"] for rule in rules}) < len(rules):
            raise Malformed("an invariant twice")
        if value.get("policy_digest") != "sha256:" + sha256(canonical(policy).encode()):
            raise Malformed("another digest")
        self.meta = payload["meta"] if isinstance(payload.get("meta"), dict) else {}


def envelope(line):
    """The envelope of a line, and its real hash."""
    it = exact(line, ((",", ":"), (", ", ": ")))
    if not isinstance(it, dict):
        raise Malformed("not an envelope")
    refs, prev = it.get("refs"), it.get("prev_event_hash", "")
    good = (
        strings(it, "event_hash", "event_type", "run_id", "stage", "ts") and is_int(it.get("event_schema_version"), 1, 1) and it["event_type"] in TYPES and is_int(it.get("seq"), 1)
        and is_hash(it["event_hash"], "sha256:") and (prev is None or is_hash(prev, "sha256:"))
        and isinstance(it.get("payload"), dict) and strings(it.get("actor"), "id", "kind")
        and strings(it.get("policy"), "policy_id", "policy_version", "stage_graph_id") and isinstance(refs, dict)
        and all(isinstance(refs.get(key), list) and all(isinstance(ref, str) for ref in refs[key]) for key in ("blobs", "events"))
    )
    rest = {key: value for key, value in it.items() if key != "event_hash"}
    real = "sha256:" + sha256(canonical(rest).encode())
    if not good:
        raise Malformed("not an envelope", *no_hashes(it, real))
    return it, real


def no_hashes(it, real):
    """The codes of an envelope that cannot be read for its hashes: one is none, or the other one tells of an edit."""
    claimed, prev = it.get("event_hash"), it.get("prev_event_hash", "")
    no_prev = prev is not None and not is_hash(prev, "sha256:")
    if not is_hash(claimed, "sha256:") or (no_prev and claimed != real):
        yield "EVENT_HASH_MISMATCH"
    if no_prev:
        yield "PREV_HASH_MISMATCH"


class Bundle:
    """One bundle, read line by line."""

    def __init__(self, file, keys):
        self.file, self.keys = file, keys
        self.areas = {area: "pass" for area in ("format", "content", "columns", "evidence", "path", "replay", "log")}
        self.counts = dict.fromkeys(self.areas, True)
        self.codes = []
        self.digest = hashlib.sha256()
        self.commitment = self.stage = self.policy = self.first = self.evaluated = self.head = self.proved = None
        self.finalized, self.evaluations, self.expected, self.prev = False, 0, 1, [None]
        self.blobs, self.expired, self.policies = {}, {}, {}

    def find(self, area, code, verdict="fail"):
        self.areas[area] = max(self.areas[area], verdict, key=RANK.get)
        self.codes.append(code)

    def line(self, digested=True):
        line = self.file.readline(MAX_LINE + 1)
        if not line.endswith(b"\n"):
            raise Malformed("cut off, or a line that is too long")
        if digested:
            self.digest.update(line)
        return line[:-1]

    def object(self, **members):
        value = exact(self.line())
        if not isinstance(value, dict) or set(value) != set(members):
            raise Malformed("not the line that must stand here")
        if not all(check(value[name]) for name, check in members.items()):
            raise Malformed("a member that is not right")
        return value

    def read(self):
        try:
            self.header = self.object(
                events=lambda it: is_int(it, 0), format=lambda it: it == "receipt-bundle/1",
                run_id=lambda it: is_text(it) and len(it.encode()) <= 4096,
                head=lambda it: is_hash(it, "sha256:"), proof=lambda it: it is None or isinstance(it, dict)
                and set(it) == {"seq", "text"} and is_int(it["seq"], 1) and is_text(it["text"]))
            self.row = self.object(created_at=is_text, meta_json=is_text, policy_id=is_text, policy_version=is_text,
                                   stage_graph_id=is_text)
            for _ in range(self.header["events"]):
                self.event(self.line())
                if len(self.blobs) > MAX_BLOBS:
                    raise Malformed("too many blobs")
            count = self.object(blobs=lambda it: is_int(it, 0, MAX_BLOBS))["blobs"]
            listed = ""
            for _ in range(count):
                listed = self.blob(listed)
            trailer = {"blobs": count, "events": self.header["events"], "sha256": self.digest.hexdigest()}
            if self.line(digested=False) != canonical(trailer).encode() or self.file.read(1):
                raise Malformed("the trailer")
        except Malformed:
            self.find("format", "BUNDLE_MALFORMED")
            return
        self.end()

    def event(self, line):
        try:
            it, real = envelope(line)
        except Malformed as problem:
            self.find("content", "NOT_CANONICAL" if isinstance(problem, Respelled) else "MALFORMED_ENVELOPE")
            for code in problem.args[1:]:
                self.find("content", code)
            self.expected, self.prev = self.expected + 1, None
            self.first = self.first or {}
            return
        if it["seq"] != self.expected:
            self.find("content", "SEQ_GAP")
        if it["event_hash"] != real:
            self.find("content", "EVENT_HASH_MISMATCH")
        if self.prev is not None and it["prev_event_hash"] not in self.prev:
            self.find("content", "PREV_HASH_MISMATCH")
        if it["run_id"] != self.header["run_id"]:
            self.find("content", "RUN_ID_MISMATCH")
        self.expected, self.prev, self.head = it["seq"] + 1, [real, it["event_hash"]], real
        if self.header["proof"] and self.header["proof"]["seq"] == it["seq"]:
            self.proved = real
        self.path(it)
        self.evidence(it)

    def path(self, it):
        kind, payload, first = it["event_type"], it["payload"], self.first is None
        if self.finalized:
            self.find("path", "EVENT_AFTER_FINALIZE")
        if first:
            self.first, self.policy = it, canonical(it["policy"])
            if kind == "RUN_START" and "commitment" in payload:
                try:
                    self.commitment = Commitment(payload)
                except Malformed:
                    self.find("content", "COMMITMENT_MALFORMED")
                else:
                    if not self.commitment.graph.known:
                        self.find("path", "STAGE_GRAPH_UNKNOWN", "unknown")
        if self.commitment:
            self.committed(it, kind, payload, first)
        elif len(self.policies) <= MAX_POLICIES:
            self.policies[canonical(it["policy"])] = it["policy"]
        if kind == "EVALUATION":
            self.evaluations += 1
            if not self.finalized:
                self.evaluated = payload.get("overall_verdict")
        if kind in ("EVIDENCE_PUT", "REMEDIATION"):
            # The last evaluation judged nothing of this.
            self.evaluated = None
        if kind == "RUN_FINALIZE":
            if self.finalized:
                self.find("path", "MULTIPLE_FINALIZE")
            self.finalized = True
            if self.commitment:
                self.ending(payload.get("overall_verdict"), it["stage"])
        self.stage = it["stage"]

    def committed(self, it, kind, payload, first):
        graph = self.commitment.graph
        if canonical(it["policy"]) != self.policy:
            self.find("path", "POLICY_CHANGED")
        if not first and kind == "RUN_START":
            self.find("path", "SECOND_RUN_START")
        if not first and kind != "STAGE_ADVANCE" and it["stage"] != self.stage:
            self.find("path", "STAGE_JUMP")
        if first and graph.known and it["stage"] != graph.initial:
            self.find("path", "WRONG_INITIAL_STAGE")
        if kind == "STAGE_ADVANCE":
            if graph.known and it["stage"] not in graph.steps.get(self.stage, []):
                self.find("path", "ILLEGAL_TRANSITION")
            if payload.get("from_stage") != self.stage or payload.get("to_stage") != it["stage"]:
                self.find("path", "STAGE_CONTRADICTION")

    def ending(self, verdict, stage):
        rank = RANK.get(verdict) if isinstance(verdict, str) else None
        if rank is None:
            self.find("path", "BAD_VERDICT")
        elif rank <= RANK["warn"]:
            if self.commitment.graph.known and stage not in self.commitment.graph.terminal:
                self.find("path", "FINALIZED_EARLY")
            evaluated = self.evaluated if isinstance(self.evaluated, str) else "unknown"
            if RANK.get(evaluated, RANK["unknown"]) > rank:
                self.find("path", "VERDICT_NOT_EVALUATED")

    def evidence(self, it):
        payload = it["payload"]
        for ref in it["refs"]["blobs"]:
            if named_blob(ref):
                self.blobs.setdefault(named_blob(ref), [])
        if it["event_type"] == "BLOB_EXPIRE" and is_hash(payload.get("sha256")):
            # A receipt has an instant, and says that bytes went.
            if is_instant(it["ts"]) and payload.get("from_state", "live") in ("live", None):
                self.expired[payload["sha256"]] = payload
            self.blobs.setdefault(payload["sha256"], [])
        if it["event_type"] != "EVIDENCE_PUT":
            return
        said = payload.get("evidence")
        put = said if isinstance(said, dict) else {}
        name = put.get("sha256")
        named = is_hash(name) and put.get("ref") == "blob://sha256:" + name and is_int(put.get("bytes_len"), 0)
        if named:
            meta = payload.get("meta")
            by_digest = isinstance(meta, dict) and isinstance(meta.get("by_digest"), dict)
            self.blobs.setdefault(name, []).append({**put, "by_digest": by_digest})
            self.expired.pop(name, None)  # what was put again is not what was removed before
        texts = [put[member] for member in ("content_type", "evidence_class") if put.get(member) is not None]
        if not (named and all(isinstance(text, str) for text in texts)):
            if self.commitment or said not in (None, {}):
                self.find("evidence", "EVIDENCE_MALFORMED")
        elif self.commitment:
            # One of ours always has a key, and a type and a class that can be compared with the record's.
            meta = payload.get("meta")
            kind = meta.get("evidence_kind") if isinstance(meta, dict) else None
            well_formed = isinstance(payload.get("key"), str) and (meta is None or isinstance(meta, dict)) \
                and (kind is None or isinstance(kind, str)) and (put.get("content_type") is None or is_text(put["content_type"]))
            if not well_formed or put.get("evidence_class") not in (None, "public", "sealed"):
                self.find("evidence", "EVIDENCE_MALFORMED")

    def blob(self, listed):
        record = self.object(
            bytes_len=lambda it: is_int(it, 0), content_type=is_text, evidence_class=("public", "sealed").__contains__,
            sha256=is_hash, state=("live", "withheld", "sealed", "expired", "missing").__contains__)
        name, state, length = record["sha256"], record["state"], record["bytes_len"]
        empty = (length, record["content_type"], record["evidence_class"]) == (0, "", "public")
        if name <= listed or (state == "missing" and not empty):
            raise Malformed("the order of blobs, or a missing one that has something")
        hasher, left = hashlib.sha256(), length if state == "live" else 0
        while left:
            piece = exact(self.line(digested=False))
            try:
                data = base64.b64decode(piece, validate=True) if isinstance(piece, str) else b""
            except ValueError:
                raise Malformed("not base64") from None
            if len(data) != min(left, PIECE) or base64.b64encode(data).decode() != piece:
                raise Malformed("a piece that is not full")
            hasher.update(data)
            left -= len(data)
        puts = self.blobs.pop(name, [])
        if state == "live" and hasher.hexdigest() != name:
            self.find("evidence", "BLOB_HASH_MISMATCH")
        receipt = self.expired.get(name) if state == "expired" else None
        if receipt and receipt.get("reason") == "retention" and receipt.get("evidence_class") != record["evidence_class"]:
            receipt = None  # how long evidence is kept hangs on its class
        if state in ("withheld", "sealed") or (state == "expired" and receipt is None):
            self.find("evidence", "EVIDENCE_ABSENT", "unknown")
        if state == "missing" and puts:
            self.find("evidence", "BLOB_MISSING")
        elif puts and (any(put["bytes_len"] != length for put in puts) or (
                receipt and is_int(receipt.get("bytes_len"), 0) and receipt["bytes_len"] != length)):
            self.find("evidence", "EVIDENCE_LENGTH_MISMATCH")
        elif self.commitment:
            # What was recorded by digest has no row: its event says nothing of one.
            puts = [put for put in puts if not put.get("by_digest")]
            for put in puts:
                other = is_text(put.get("content_type")) and put["content_type"] != record["content_type"]
                if other or (put.get("evidence_class") == "sealed" and record["evidence_class"] == "public"):
                    self.find("evidence", "EVIDENCE_ROW_MISMATCH")
            said = [put.get("evidence_class") for put in puts]
            if "public" in said and "sealed" not in said and record["evidence_class"] == "sealed":
                self.find("evidence", "EVIDENCE_CLASS_UNPROVED", "warn")
        return name

    def end(self):
        for _ in self.blobs:
            self.find("evidence", "BLOB_MISSING")
        if self.head != self.header["head"]:
            self.find("content", "HEAD_MISMATCH")
        if self.header["events"] == 0:
            self.find("content", "NO_EVENTS", "unknown")
        if self.commitment:
            commitment, row, first = self.commitment, self.row, self.first
            wanted = {"policy_id": commitment.id, "policy_version": commitment.version, "stage_graph_id": commitment.graph.id}
            if any(row[key] != value for key, value in wanted.items()) or row["created_at"] != first["ts"]:
                self.find("columns", "RUN_ROW_MISMATCH")
            if any(first["policy"][key] != value for key, value in wanted.items()):
                self.find("columns", "COMMITMENT_MALFORMED")
            if row["meta_json"] != canonical(commitment.meta):
                self.find("columns", "RUN_ROW_MISMATCH")
            if not self.finalized:
                self.find("path", "RUN_UNFINISHED", "warn")
        else:
            self.unbound()
            if self.areas["path"] == "pass":
                self.areas["path"], self.counts["path"] = "unknown", False
        if self.evaluations:
            self.areas["replay"], self.counts["replay"] = "unknown", self.commitment is not None
        try:
            self.log()
        except Malformed as problem:
            self.find("log", str(problem))
            self.counts["log"] = True

    def unbound(self):
        """The row of a run that commits to nothing: is each column what some event says?"""
        if len(self.policies) > MAX_POLICIES or any(len(policy) > 4096 for policy in self.policies):
            return
        for column in ("policy_id", "policy_version", "stage_graph_id"):
            if self.policies and all(policy[column] != self.row[column] for policy in self.policies.values()):
                self.find("columns", "RUN_ROW_UNCONFIRMED", "warn")

    def log(self):
        if self.header["proof"] is None:
            self.areas["log"], self.counts["log"] = "unknown", bool(self.keys)
            return
        head, _, note = self.header["proof"]["text"].partition("\n\n")
        lines = head.split("\n")
        if lines[0] != "c2sp.org/tlog-proof@v1":
            raise Malformed("PROOF_MALFORMED")
        lines = lines[2:] if lines[1:2] and lines[1].startswith("extra ") else lines[1:]
        text, _, signatures = note.rpartition("\n\n")
        origin, size, root = (text.split("\n") + ["", "", ""])[:3]
        index = re.fullmatch("index (0|[1-9][0-9]*)", lines[0] if lines else "", re.ASCII)
        if not index or not re.fullmatch("0|[1-9][0-9]*", size, re.ASCII) or self.proved is None or len(lines) > 65:
            raise Malformed("PROOF_MALFORMED")
        try:
            path, root = [base64.b64decode(line, validate=True) for line in lines[1:]], base64.b64decode(root, validate=True)
        except ValueError:
            raise Malformed("PROOF_MALFORMED") from None
        leaf = hashlib.sha256(b"\0" + bytes.fromhex(self.proved[7:])).digest()
        if fold(leaf, int(index[1]), int(size), path) != root:
            raise Malformed("PROOF_MISMATCH")
        names = [check_signature(key, text + "\n", signatures) for key in self.keys]
        if names and origin not in names:
            raise Malformed("CHECKPOINT_FOREIGN")
        whole = bool(names) and self.proved == self.header["head"]
        self.areas["log"], self.counts["log"] = "pass" if whole else "unknown", bool(names)


def fold(node, index, size, path):
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2, whose trees are those of RFC 6962)."""
    if index >= size:
        return None
    last = size - 1
    for other in path:
        if last == 0 or len(other) != 32:
            return None
        if index % 2 == 1 or index == last:
            node = hashlib.sha256(b"\1" + other + node).digest()
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + other).digest()
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def check_signature(key, text, signatures):
    """The name of a log's verifier key (C2SP signed-note, type 1) that has signed the text."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, key_id, data = key
    good = False
    for line in signatures.split("\n"):
        dash, signer, signature = (line.split(" ") + ["", "", ""])[:3]
        signature = base64.b64decode(signature) if dash == "\u2014" and signer == name else b""
        if signature[:4].hex() != key_id:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(data[1:]).verify(signature[4:], text.encode())
            good = True
        except InvalidSignature:
            raise Malformed("CHECKPOINT_UNSIGNED") from None
    if not good:
        raise Malformed("CHECKPOINT_UNSIGNED")
    return name


def stop(problem):
    print(f"verify.py: {problem}", file=sys.stderr)
    sys.exit(2)


def read_key(text):
    """A log's verifier key, given as it is or as a file that holds it: its name, its id and its bytes."""
    try:
        text = text if "+" in text else open(text, encoding="utf-8").read().strip()
        name, key_id, data = text.split("+", 2)
        data = base64.b64decode(data, validate=True)
    except (OSError, ValueError) as error:
        stop(f"--vkey: neither a verifier key nor a file of one: {error}")
    if data[:1] != b"\1" or hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8] != key_id:
        stop("--vkey: not a key that signs notes")
    try:
        import cryptography  # noqa: F401
    except ImportError:
        stop("--vkey needs the package `cryptography`: python3 -m pip install cryptography")
    return name, key_id, data


def main(words):
    keys, files = [], []
    if not words or {"-h", "--help"} & set(words):
        print(__doc__)
        return 0 if words else 2
    while words:
        word = words.pop(0)
        (keys.append(read_key(words.pop(0))) if word == "--vkey" and words else files.append(word))
    worst = "pass"
    for name in files:
        try:
            file = open(name, "rb")
        except OSError as error:
            stop(error)
        with file:
            bundle = Bundle(file, keys)
            bundle.read()
        counted = [verdict for area, verdict in bundle.areas.items() if bundle.counts[area]]
        verdict = max(counted, key=RANK.get)
        worst = max(worst, verdict, key=RANK.get)
        print(json.dumps({"file": name, "verdict": verdict, **bundle.areas, "codes": bundle.codes}))
    return {"pass": 0, "warn": 0, "fail": 1, "unknown": 3}[worst]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
