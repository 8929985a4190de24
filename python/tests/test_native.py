"""The native interface: strict rules, policies, one report on everything; and what holds for the package as a whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest

import receipt_kernel
from helpers import RECIPIENT, ROOT, Recorder, on_file, progress_during
from receipt_kernel import BlobRef, InvariantResult, Reason, Verdict
from receipt_kernel.envelope import verify_envelope_hash
from receipt_kernel.invariants import LedgerChainValidInvariant
from receipt_kernel.redact import redact
from receipt_kernel.store_sqlite import SqliteReceiptStore

pytestmark = pytest.mark.ours

POLICY = """
id = "release"
version = "1.0"
stage_graph = "v1_default"

[[invariant]]
id = "ledger.chain_valid"

[[invariant]]
id = "receipt.completeness"
keys = ["log"]
"""


@pytest.fixture
def policy() -> Any:
    return receipt_kernel.Policy.from_toml(POLICY)


@pytest.fixture
def ledger(db_path: str) -> Any:
    with receipt_kernel.Ledger(db_path) as ledger:
        yield ledger


def whole_run(ledger: Any, policy: Any, run_id: str = "r1") -> Any:
    run = ledger.start(run_id, policy)
    run.advance("COLLECT")
    run.put("log", b"all 12 tests passed\n", content_type="text/plain", kind="oracle:test_log")
    run.advance("EVALUATE")
    run.evaluate()
    run.advance("DECIDE")
    run.decide({"decision_id": "ship", "basis": ["the tests pass"], "action_plan": "release it"})
    run.advance("FINALIZE")
    run.finalize("released")
    return run


# A run


def test_a_run_is_written_from_start_to_end(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy, meta={"mode": "creative"}, actor=("agent", "a7"))
    assert run.run_id == "r1"
    assert run.advance("COLLECT", "the tests have run") == "event://r1/2"
    blob = run.put("log", b"ok\n", content_type="text/plain", kind="oracle:test_log", meta={"oracle_class": 1})
    sha256 = hashlib.sha256(b"ok\n").hexdigest()
    assert blob == BlobRef(f"blob://sha256:{sha256}", sha256, "text/plain", 3, "public")
    assert run.append("DECISION", {"flaky": False}, key="flaky") == "event://r1/4"
    assert run.append_batch([("DECISION", {"n": 1}), ("REMEDIATION", {"n": 2})]) == ["event://r1/5", "event://r1/6"]
    run.advance("EVALUATE")
    evaluation = run.evaluate()
    assert evaluation["overall_verdict"] == "pass"
    assert [result["invariant_id"] for result in evaluation["results"]] == [
        "ledger.chain_valid",
        "receipt.completeness",
    ]
    run.advance("DECIDE")
    run.decide({"decision_id": "ship", "basis": ["it passed"], "action_plan": "release"})
    assert run.finalize("done")["overall_verdict"] == "pass"
    events = ledger.events("r1")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all(verify_envelope_hash(event) for event in events)
    assert events[0]["actor"] == {"kind": "agent", "id": "a7"}
    assert events[0]["payload"]["meta"]["mode"] == "creative"
    put = next(event for event in events if event["event_type"] == "EVIDENCE_PUT")
    assert put["payload"]["key"] == "log" and put["payload"]["meta"]["oracle_class"] == 1
    assert put["payload"]["meta"]["evidence_kind"] == "oracle:test_log"
    assert events[-1]["event_type"] == "RUN_FINALIZE"
    assert ledger.runs() == [{"run_id": "r1", "events": len(events), "finalized": True, "overall_verdict": "pass"}]


def test_what_the_graph_does_not_allow_is_refused_and_not_written(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    for stage in ("FINALIZE", "DECIDE", "START", "NOWHERE", ""):
        with pytest.raises(receipt_kernel.LedgerError, match="START"):
            run.advance(stage)
    assert len(ledger.events("r1")) == 1


def test_nothing_follows_the_end(ledger: Any, policy: Any) -> None:
    run = whole_run(ledger, policy)
    count = len(ledger.events("r1"))
    for call in (
        lambda: run.append("DECISION", {}),
        lambda: run.put("k", b"x"),
        lambda: run.advance("COLLECT"),
        lambda: run.evaluate(),
        lambda: run.finalize(),
    ):
        with pytest.raises(receipt_kernel.LedgerError):
            call()
    assert len(ledger.events("r1")) == count


def test_a_run_is_started_once_and_can_be_taken_up_again(ledger: Any, policy: Any, db_path: str) -> None:
    ledger.start("r1", policy).advance("COLLECT")
    with pytest.raises(receipt_kernel.LedgerError, match="r1"):
        ledger.start("r1", policy)
    with pytest.raises(receipt_kernel.LedgerError, match="nope"):
        ledger.resume("nope")
    ledger.close()
    with receipt_kernel.Ledger(db_path, create=False) as again:
        assert again.resume("r1").append("DECISION", {}) == "event://r1/3"


def test_the_same_key_twice_is_one_event(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    assert run.append("DECISION", {"a": 1}, key="once") == run.append("DECISION", {"a": 1}, key="once")
    assert len(ledger.events("r1")) == 2
    with pytest.raises(receipt_kernel.LedgerError, match="once"):
        run.append("DECISION", {"a": 2}, key="once")


def test_a_batch_is_written_whole_or_not_at_all(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    with pytest.raises((ValueError, TypeError)):
        run.append_batch([("DECISION", {"a": 1}), ("BOGUS", {})])
    with pytest.raises((ValueError, TypeError)):
        run.append_batch([("DECISION", {"a": 1}), ("DECISION", {"a": float("nan")})])
    assert len(ledger.events("r1")) == 1
    assert len(run.append_batch([("DECISION", {"n": n}) for n in range(500)])) == 500
    assert run.append_batch([]) == []


@pytest.mark.parametrize(
    "event_type",
    ["RUN_START", "RUN_FINALIZE", "STAGE_ADVANCE", "EVIDENCE_PUT", "EVALUATION", "BLOB_EXPIRE", "BOGUS", ""],
)
def test_events_that_the_ledger_writes_itself_are_not_appended_by_hand(
    ledger: Any, policy: Any, event_type: str
) -> None:
    run = ledger.start("r1", policy)
    with pytest.raises(ValueError):
        run.append(event_type, {})
    assert len(ledger.events("r1")) == 1


@pytest.mark.parametrize(
    "payload",
    [{1: 2}, {"a": {None: 1}}, {"a": float("nan")}, {"a": b"x"}, {"\ud800": 1}, {"n": 10**4300}],
    ids=["int key", "None as a key", "nan", "bytes", "surrogate key", "4301 digits"],
)
def test_a_payload_is_json_with_keys_of_text(ledger: Any, policy: Any, payload: Any) -> None:
    run = ledger.start("r1", policy)
    with pytest.raises((TypeError, ValueError)):
        run.append("DECISION", payload)
    with pytest.raises((TypeError, ValueError)):
        ledger.start("r2", policy, meta=payload)
    assert [row["events"] for row in ledger.runs()] == [1]


def test_evidence_is_put_from_bytes_files_and_paths(ledger: Any, policy: Any, tmp_path: pathlib.Path) -> None:
    data = os.urandom(3_000_000)
    path = tmp_path / "evidence.bin"
    path.write_bytes(data)
    run = ledger.start("r1", policy)
    with open(path, "rb") as file:
        blobs = {
            run.put("a", data),
            run.put("b", path),
            run.put("c", file),
            run.put("d", io.BytesIO(data)),
            run.put("e", memoryview(data)),
        }
    assert len(blobs) == 1
    assert blobs.pop().sha256 == hashlib.sha256(data).hexdigest()
    for wrong in ("text", None, 5, io.StringIO("text")):
        with pytest.raises(TypeError):
            run.put("f", wrong)
    with pytest.raises(OSError):
        run.put("f", tmp_path / "missing")
    assert [event["payload"]["key"] for event in ledger.events("r1")[1:]] == ["a", "b", "c", "d", "e"]


def test_sealed_evidence_is_never_stored_in_the_clear(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    with pytest.raises(receipt_kernel.LedgerError, match="recipient"):
        run.put("k", b"secret", evidence_class="sealed")
    with pytest.raises(ValueError):
        run.put("k", b"x", evidence_class="bogus")
    assert len(ledger.events("r1")) == 1


def test_sealed_evidence_is_encrypted_to_the_ledgers_recipients(db_path: str, policy: Any) -> None:
    with receipt_kernel.Ledger(db_path, recipients=[RECIPIENT]) as ledger:
        blob = ledger.start("r1", policy).put("k", b"for few: canary-7f3a91", evidence_class="sealed")
        assert (blob.content_type, blob.evidence_class) == ("application/vnd.age", "sealed")
        assert ledger.get_blob(blob.sha256).startswith(b"age-encryption.org/v1")
        assert ledger.verify()["overall_verdict"] != "fail"
    assert b"canary-7f3a91" not in pathlib.Path(db_path).read_bytes()
    with pytest.raises(ValueError):
        receipt_kernel.Ledger(db_path, recipients=["age1nonsense"])


def test_secrets_are_redacted_in_evidence_and_in_payloads(ledger: Any, policy: Any, db_path: str) -> None:
    secret = "sk-ant-" + "a1B2" * 10
    run = ledger.start("r1", policy, meta={"note": secret})
    run.append("DECISION", {"why": f"because {secret}"})
    run.put("k", f"key: {secret}".encode())
    ledger.close()
    assert b"a1B2a1B2" not in pathlib.Path(db_path).read_bytes()


def test_a_run_that_ends_before_it_was_evaluated_ends_as_unknown(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    assert run.finalize("interrupted")["overall_verdict"] == "unknown"


# The ledger


def test_a_ledger_is_not_made_where_it_should_be(tmp_path: pathlib.Path) -> None:
    with pytest.raises(receipt_kernel.LedgerError):
        receipt_kernel.Ledger(tmp_path / "none.db", create=False)
    with pytest.raises(receipt_kernel.LedgerError):
        receipt_kernel.verify(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_ledger_says_so(ledger: Any) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(receipt_kernel.LedgerError, match="closed"):
        ledger.runs()


def test_rules_that_are_not_understood_are_refused(db_path: str) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        receipt_kernel.Ledger(db_path, rules="nonsense = 1")


def test_rules_of_ones_own_are_applied(db_path: str, policy: Any) -> None:
    rules = '[[rule]]\nid = "badge"\nkeywords = ["badge-"]\npattern = "badge-[0-9]{4}"\n'
    with receipt_kernel.Ledger(db_path, rules=rules) as ledger:
        ledger.start("r1", policy).append("DECISION", {"door": "badge-7351"})
        assert "7351" not in json.dumps(ledger.events("r1"))


def test_raw_edits_of_events_are_refused_by_the_file_itself(ledger: Any, policy: Any, db_path: str) -> None:
    whole_run(ledger, policy)
    ledger.close()
    for statement in ("delete from events", "update events set event_type = 'DECISION'"):
        with pytest.raises(subprocess.CalledProcessError):
            on_file(db_path, statement)


# Verdicts


def test_verify_answers_by_kind_of_tampering(ledger: Any, policy: Any, db_path: str) -> None:
    whole_run(ledger, policy)
    report = ledger.verify()
    checks = {check["check"]: check["verdict"] for check in report["checks"]}
    assert report["overall_verdict"] == "pass"
    assert {checks[name] for name in ("content", "columns", "evidence", "path", "commitment")} == {"pass"}
    assert checks["fork"] == "unknown"
    assert ledger.verify("r1")["overall_verdict"] == "pass"
    with pytest.raises(receipt_kernel.LedgerError, match="nope"):
        ledger.verify("nope")
    ledger.close()
    assert receipt_kernel.verify(db_path) == report
    assert receipt_kernel.verify(db_path, "r1")["overall_verdict"] == "pass"


def test_verify_finds_an_edit(ledger: Any, policy: Any, db_path: str) -> None:
    whole_run(ledger, policy)
    ledger.close()
    raw = pathlib.Path(db_path).read_bytes()
    assert b'"summary":"released"' in raw
    pathlib.Path(db_path).write_bytes(raw.replace(b'"summary":"released"', b'"summary":"rejected"'))
    report = receipt_kernel.verify(db_path)
    content = next(check for check in report["checks"] if check["check"] == "content")
    assert report["overall_verdict"] == content["verdict"] == "fail"
    assert content["reasons"][0]["code"] == "EVENT_HASH_MISMATCH"


def test_verify_finds_an_edit_of_the_row_of_a_run(ledger: Any, policy: Any, db_path: str) -> None:
    whole_run(ledger, policy)
    ledger.close()
    for column in ("policy_id", "policy_version", "stage_graph_id"):
        ((before,),) = on_file(db_path, f"select {column} from runs")
        on_file(db_path, f"update runs set {column} = 'edited'")
        assert receipt_kernel.verify(db_path)["overall_verdict"] == "fail", column
        on_file(db_path, f"update runs set {column} = '{before}'")
    assert receipt_kernel.verify(db_path)["overall_verdict"] == "pass"


def receipt_binary() -> str:
    for profile in ("release", "debug"):
        path = ROOT / "target" / profile / "receipt"
        if path.exists():
            return str(path)
    pytest.skip("no receipt binary in target: cargo build --bin receipt")


def test_a_checkpoint_from_outside_shows_that_the_tail_was_cut(
    policy: Any, db_path: str, tmp_path: pathlib.Path
) -> None:
    receipt = receipt_binary()

    def command(*arguments: str) -> str:
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
        command = [receipt, "--ledger", db_path, "--quiet", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("init", "--origin", "example.org/ci")
    with receipt_kernel.Ledger(db_path, create=False) as ledger:
        whole_run(ledger, policy)
    vkey = command("keygen", "example.org/ci", "ledger.key").strip()
    note = command("checkpoint", "--key", "ledger.key")

    def tail() -> str:
        checks = receipt_kernel.verify(db_path, checkpoint=note, vkey=vkey)["checks"]
        return str(next(check["verdict"] for check in checks if check["check"] == "tail"))

    assert tail() == "pass"
    triggers = on_file(db_path, "select name from sqlite_master where type = 'trigger' and tbl_name = 'events'")
    for (name,) in triggers:
        on_file(db_path, f'drop trigger "{name}"')
    on_file(db_path, "delete from events where seq = (select max(seq) from events)")
    assert tail() == "fail"


def test_an_evaluation_says_what_each_invariant_found(ledger: Any, policy: Any, db_path: str) -> None:
    run = ledger.start("r1", policy)
    evaluation = ledger.evaluate("r1")
    assert evaluation["overall_verdict"] == "fail"
    missing = evaluation["results"][1]
    assert (missing["invariant_id"], missing["verdict"], missing["reasons"][0]["code"]) == (
        "receipt.completeness",
        "fail",
        "MISSING_KEY",
    )
    run.put("log", b"x")
    assert ledger.evaluate("r1")["overall_verdict"] == "pass"
    assert (
        ledger.evaluate("r1", policy)
        == receipt_kernel.evaluate(ledger, "r1")
        == receipt_kernel.evaluate(ledger, "r1", policy)
    )
    assert len(ledger.events("r1")) == 2
    ledger.close()
    assert receipt_kernel.evaluate(db_path, "r1")["overall_verdict"] == "pass"


class Quiet:
    invariant_id = "mine.quiet"

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        events = ctx["store"].get_events(ctx["run_id"])
        loud = [event for event in events if event["payload"].get("loud")]
        if loud:
            return InvariantResult(self.invariant_id, Verdict.FAIL, [Reason("LOUD", "too loud")])
        return InvariantResult(self.invariant_id, Verdict.PASS)


class Raising:
    invariant_id = "mine.raising"

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        raise RuntimeError("no")


def test_an_invariant_of_ones_own_counts_and_one_that_raises_is_unknown(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    run.put("log", b"x")

    def overall(*invariants: Any) -> str:
        return str(receipt_kernel.evaluate(ledger, "r1", invariants=invariants)["overall_verdict"])

    assert overall(Quiet()) == "pass"
    assert overall(Quiet(), Raising()) == "unknown"
    run.append("DECISION", {"loud": True})
    assert overall(Quiet(), Raising()) == "fail"
    assert overall() == "pass"


def test_a_store_of_the_old_interface_can_be_evaluated_and_verified_natively(
    store: SqliteReceiptStore, db_path: str, policy: Any
) -> None:
    run = Recorder(store)
    run.put("log", b"x")
    run.evaluation()
    run.finalize()
    evaluation = receipt_kernel.evaluate(store, "r1", policy, invariants=[Quiet()])
    assert [result["invariant_id"] for result in evaluation["results"]] == [
        "ledger.chain_valid",
        "receipt.completeness",
        "mine.quiet",
    ]
    assert evaluation["overall_verdict"] == "pass"
    store.close()
    assert receipt_kernel.verify(db_path)["overall_verdict"] == "pass"


# Policies


def test_a_policy_is_what_its_text_says(policy: Any, tmp_path: pathlib.Path) -> None:
    assert (policy.id, policy.version) == ("release", "1.0")
    assert policy.digest.startswith("sha256:") and len(policy.digest) == 71
    text = policy.to_dict()
    assert text["id"] == "release" and [row["id"] for row in text["invariants"]] == [
        "ledger.chain_valid",
        "receipt.completeness",
    ]
    (tmp_path / "policy.toml").write_text(POLICY)
    assert receipt_kernel.Policy.from_file(tmp_path / "policy.toml").digest == policy.digest
    assert receipt_kernel.Policy.from_toml(POLICY.replace('"log"', '"other"')).digest != policy.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id = 'x'",
        POLICY + "unknown = 1\n",
        POLICY.replace("ledger.chain_valid", "no.such"),
        POLICY.replace("keys", "kyes"),
        "id = 'x'\nversion = '1'\nstage_graph = 'v1_default'\n",
        POLICY.replace('"v1_default"', '"nowhere"'),
        "{",
    ],
)
def test_a_policy_that_is_not_understood_or_asks_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        receipt_kernel.Policy.from_toml(text)


def test_a_run_commits_to_its_policy(ledger: Any, policy: Any) -> None:
    ledger.start("r1", policy)
    assert policy.digest in json.dumps(ledger.events("r1")[0])


# Threads, processes, forks


def test_threads_write_runs_of_one_ledger(ledger: Any, policy: Any) -> None:
    problems: list[BaseException] = []

    def work(name: str) -> None:
        try:
            run = ledger.start(name, policy)
            for n in range(30):
                run.append("DECISION", {"n": n})
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(f"run-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    checks = {check["check"]: check["verdict"] for check in ledger.verify()["checks"]}
    assert checks["content"] == checks["columns"] == "pass"
    assert [run["events"] for run in ledger.runs()] == [31] * 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_ledger_and_a_run_are_not_taken_along_by_a_fork(ledger: Any, policy: Any) -> None:
    run = ledger.start("r1", policy)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answers = []
        for call in (ledger.runs, lambda: run.append("DECISION", {}), lambda: ledger.events("r1")):
            try:
                call()
                answers.append("worked")
            except BaseException as problem:
                answers.append(str(problem))
        os.write(write, json.dumps(answers).encode())
        os._exit(0)
    os.waitpid(child, 0)
    answers = json.loads(os.read(read, 10_000))
    assert len(answers) == 3 and all("fork" in answer for answer in answers), answers
    assert run.append("DECISION", {}) == "event://r1/2"


# The GIL


def test_other_threads_run_while_a_run_is_verified(db_path: str) -> None:
    store = SqliteReceiptStore(db_path)
    store.initialize_schema()
    run = Recorder(store)
    for n in range(400):
        run.event("DECISION", {"text": "the quick brown fox " * 5000, "n": n})
    took, ticks = progress_during(lambda: run.judge(LedgerChainValidInvariant()))
    store.close()
    assert ticks >= min(20, took * 100), (took, ticks)


def test_other_threads_run_while_text_is_redacted() -> None:
    data = b"the quick brown fox = jumps over password \n" * 1_500_000
    took, ticks = progress_during(lambda: redact(data, "text/plain", "public"))
    assert ticks >= min(20, took * 100), (took, ticks)


def test_a_panic_or_an_error_of_rust_is_an_exception_and_the_process_goes_on(db_path: str) -> None:
    pathlib.Path(db_path).write_bytes(b"this is no database, whatever its name says" * 100)
    for call in (
        lambda: receipt_kernel.Ledger(db_path),
        lambda: receipt_kernel.verify(db_path),
        lambda: SqliteReceiptStore(db_path).initialize_schema(),
    ):
        with pytest.raises((ValueError, OSError)):
            call()
    assert pathlib.Path(db_path).read_bytes().startswith(b"this is no database")


# Types


def test_a_program_that_uses_every_name_type_checks_strictly(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("mypy")
    program = pathlib.Path(__file__).with_name("typed_program.py")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path),
        "--follow-imports",
        "silent",
        str(program),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_with_a_wrong_type_does_not_check(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from receipt_kernel import Verdict\nx: int = Verdict.PASS.is_success\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "Incompatible types" in done.stdout, done.stdout


def test_the_program_that_type_checks_runs(tmp_path: pathlib.Path) -> None:
    program = pathlib.Path(__file__).with_name("typed_program.py")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "pass"
