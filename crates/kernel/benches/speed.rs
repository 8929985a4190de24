//! Speed, as ratios measured in one run: `make bench` prints the table and fails where a ratio is not reached.
//!
//! Each pair of contestants takes turns on the same file system, so that what else the machine does hits both; the
//! ratio is the median over the rounds. `SPEED_EVENTS` sets the size of the large ledger (1,000,000), `REFERENCE_PYTHON`
//! names a Python that has the package `receipt-kernel` 0.1.0; without it, what needs the package is skipped and said so.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::cast_possible_wrap)] // it prints a table of ratios

use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::core::chain::Link;
use receipt_kernel::core::envelope::{Envelope, Scratch, Sealed};
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{NewRun, Scope, Store};
use receipt_kernel::{Actor, Append, Audit, EventType, Ledger, Object, Policy, Put, RunId, Value, Verdict};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// A group of ratios.
type Bench = (&'static str, fn(&Path) -> Outcome<Vec<Row>>);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One line of the table.
struct Row {
    what: &'static str,
    got: f64,
    wanted: &'static str,
    ok: bool,
    note: String,
}

fn at_least(what: &'static str, got: f64, limit: f64, wanted: &'static str, note: String) -> Row {
    Row { what, got, wanted, ok: got >= limit, note }
}

fn main() -> Outcome<()> {
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let chosen = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only.as_str()));
    let folder = tempfile::tempdir_in(std::env::var("SPEED_DIR").unwrap_or_else(|_| ".".to_owned()))?;
    let mut table: Vec<Row> = Vec::new();
    let benches: [Bench; 6] = [
        ("append", appends),
        ("verify", verifies),
        ("bundle", bundles),
        ("evidence", evidence),
        ("reference", against_the_reference),
        ("large", large),
    ];
    for (name, bench) in benches {
        if chosen(name) {
            let rows = bench(folder.path())?;
            rows.iter().for_each(print_row);
            table.extend(rows);
        }
    }
    let missed = table.iter().filter(|row| !row.ok).count();
    println!("\n{} ratios, {missed} missed", table.len());
    if missed > 0 { Err("a ratio was missed".into()) } else { Ok(()) }
}

fn print_row(row: &Row) {
    let mark = if row.ok { "ok    " } else { "MISSED" };
    println!("{mark} {:<48} {:>8.2}  wanted {:<10} {}", row.what, row.got, row.wanted, row.note);
}

/// A payload of the size that runs have: about 100 bytes.
fn payload(index: usize) -> Object {
    Object::from_iter([
        ("decision_id", Value::from(format!("d{index}"))),
        ("basis", Value::from(vec![Value::from("step"), Value::from(index)])),
        ("action_plan", Value::from("continue with the next item")),
    ])
}

fn decisions(from: usize, count: usize) -> Vec<Append> {
    (from..from + count).map(|index| Append::new(EventType::Decision, payload(index))).collect()
}

fn actor() -> Actor {
    Actor::new("system", "ci")
}

fn policy() -> Outcome<Policy> {
    Ok(Policy::from_toml(
        "id = \"p\"\nversion = \"1\"\nstage_graph = \"v1_default\"\n[[invariant]]\nid = \"ledger.chain_valid\"\n",
    )?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A row of `events`, as a bare program would insert it.
struct Bare(String, i64, String, String, String, Option<String>, String);

fn rows_of(path: &Path, limit: usize) -> Outcome<Vec<Bare>> {
    let connection = Connection::open(path)?;
    let mut statement = connection.prepare(
        "SELECT run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at FROM events \
         ORDER BY id DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(Bare(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
    })?;
    let mut rows: Vec<Bare> = rows.collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

/// The same schema and pragmas, and nothing else.
fn bare_ledger(path: &Path) -> Outcome<Connection> {
    drop(Ledger::create(path)?);
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;")?;
    connection.execute("INSERT INTO runs VALUES ('run', 'p', '1', 'v1_default', 't', '{}')", [])?;
    Ok(connection)
}

fn insert(connection: &Connection, row: &Bare) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![row.0, row.1, row.2, row.3, row.4, row.5, row.6])
}

fn appends(folder: &Path) -> Outcome<Vec<Row>> {
    let single = append_ratio(&folder.join("single"), 15, 200, 1)?;
    let batched = append_ratio(&folder.join("batched"), 15, 10, 1000)?;
    Ok(vec![
        at_least("durable single appends / bare rusqlite", single.0, 0.85, ">= 0.85", single.1),
        at_least("batched appends / bare rusqlite", batched.0, 0.7, ">= 0.70", batched.1),
    ])
}

/// Rounds of `commits` transactions of `batch` events, ours and bare ones in turn.
fn append_ratio(base: &Path, rounds: usize, commits: usize, batch: usize) -> Outcome<(f64, String)> {
    let ours_path = base.with_extension("ours.db");
    let ledger = Ledger::create(&ours_path)?;
    let mut run = ledger.start("run", policy()?, actor(), Object::new())?;
    let plain = bare_ledger(&base.with_extension("bare.db"))?;
    let (mut ratios, mut rate) = (Vec::new(), 0.0);
    for round in 0..rounds {
        let work: Vec<Vec<Append>> =
            (0..commits).map(|commit| decisions((round * commits + commit) * batch, batch)).collect();
        let start = Instant::now();
        for events in work {
            run.append_batch(events)?;
        }
        let ours = start.elapsed().as_secs_f64();
        let rows = rows_of(&ours_path, commits * batch)?;
        let start = Instant::now();
        for rows in rows.chunks(batch) {
            plain.execute_batch("BEGIN IMMEDIATE")?;
            for row in rows {
                insert(&plain, row)?;
            }
            plain.execute_batch("COMMIT")?;
        }
        ratios.push(start.elapsed().as_secs_f64() / ours);
        rate = (commits * batch) as f64 / ours;
    }
    Ok((median(ratios), format!("{rate:.0} events/s")))
}

/// A ledger of `runs` runs of `events` events each.
fn fill(path: &Path, runs: usize, events: usize) -> Outcome<Ledger> {
    let ledger = Ledger::create(path)?;
    for number in 0..runs {
        let mut run = ledger.start(&format!("run-{number:06}"), policy()?, actor(), Object::new())?;
        run.append_batch(decisions(0, events - 1))?;
    }
    Ok(ledger)
}

/// Reads the same rows and hashes the same bytes, and does nothing else.
fn read_and_hash(path: &Path) -> Outcome<(u64, [u8; 32])> {
    let connection = Connection::open(path)?;
    let mut ids = connection.prepare("SELECT run_id FROM runs ORDER BY run_id")?;
    let ids: Vec<String> = ids.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut events = connection.prepare(
        "SELECT seq, event_type, envelope_json, event_hash, prev_event_hash, created_at FROM events \
         WHERE run_id = ?1 ORDER BY seq",
    )?;
    let (mut count, mut all) = (0, [0; 32]);
    for id in ids {
        let mut rows = events.query([id])?;
        while let Some(row) = rows.next()? {
            for column in [0, 1, 3, 4, 5] {
                std::hint::black_box(row.get_ref(column)?);
            }
            let digest = Sha256::digest(row.get_ref(2)?.as_bytes()?);
            all.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
            count += 1;
        }
    }
    Ok((count, all))
}

fn verifies(folder: &Path) -> Outcome<Vec<Row>> {
    let path = folder.join("verify.db");
    let ledger = fill(&path, 200, 1000)?;
    let (mut to_bare, mut to_two, mut rate) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..11 {
        let start = Instant::now();
        let report = Audit::of(&ledger).threads(1).run()?;
        let one = start.elapsed().as_secs_f64();
        assert_eq!(report.events, 200_000, "{report:?}");
        let start = Instant::now();
        Audit::of(&ledger).threads(2).run()?;
        let two = start.elapsed().as_secs_f64();
        let start = Instant::now();
        assert_eq!(read_and_hash(&path)?.0, 200_000);
        to_bare.push(start.elapsed().as_secs_f64() / one);
        to_two.push(one / two);
        rate = 200_000.0 / one;
    }
    let cores = std::thread::available_parallelism()?.get();
    let long = fill(&folder.join("long.db"), 1, 200_000)?;
    let mut long_to_two = Vec::new();
    for _ in 0..if cores > 1 { 11 } else { 0 } {
        let mut spent = [0.0; 2];
        for (threads, spent) in (1..).zip(&mut spent) {
            let start = Instant::now();
            assert_eq!(Audit::of(&long).threads(threads).run()?.events, 200_000);
            *spent = start.elapsed().as_secs_f64();
        }
        long_to_two.push(spent[0] / spent[1]);
    }
    let mut rows = vec![at_least(
        "verify on one core / reading and hashing",
        median(to_bare),
        0.60,
        ">= 0.60",
        format!("{rate:.0} events/s"),
    )];
    if cores > 1 {
        rows.push(at_least("verify on two cores / on one", median(to_two), 1.6, ">= 1.60", String::new()));
        let what = "verify one run of 200,000 on two cores / on one";
        rows.push(at_least(what, median(long_to_two), 1.6, ">= 1.60", String::new()));
    } else {
        println!("skipped: verify on two cores: this machine has one");
    }
    Ok(rows)
}

/// What a bundle costs to check, against the same run in its ledger: a run of events, and one of evidence.
fn bundles(folder: &Path) -> Outcome<Vec<Row>> {
    let ledger = Ledger::create(folder.join("bundle.db"))?;
    let mut run = ledger.start("events", policy()?, actor(), Object::new())?;
    for from in (0..200_000).step_by(1000) {
        run.append_batch(decisions(from, 1000))?;
    }
    let mut run = ledger.start("evidence", policy()?, actor(), Object::new())?;
    for index in 0..16_u8 {
        run.put(&format!("log {index}"), &vec![b'a' + index; 16 << 20], Put::text())?;
    }
    let mut rows = Vec::new();
    for (name, what) in
        [("events", "bundle of events / the same in its ledger"), ("evidence", "bundle of evidence / in its ledger")]
    {
        let path = folder.join(name);
        let run = RunId::new(name);
        ledger.export(&Export::of(run.clone()), &mut BufWriter::new(File::create(&path)?))?;
        let mut ratios = Vec::new();
        let mut bundled = 0.0;
        for _ in 0..7 {
            let start = Instant::now();
            let report = Audit::of(&ledger).runs([run.clone()]).run()?;
            let in_ledger = start.elapsed().as_secs_f64();
            assert_eq!(report.overall_verdict(), Verdict::Warn, "it is unfinished: {report:?}");
            let start = Instant::now();
            let report = Verify::default().run(&mut BufReader::with_capacity(1 << 16, File::open(&path)?))?;
            bundled = start.elapsed().as_secs_f64();
            assert_eq!(report.overall_verdict(), Verdict::Warn, "{report:?}");
            ratios.push(in_ledger / bundled);
        }
        let note = format!("{:.0} MiB/s", std::fs::metadata(&path)?.len() as f64 / bundled / f64::from(1 << 20));
        rows.push(at_least(what, median(ratios), 0.5, ">= 0.50", note));
    }
    Ok(rows)
}

/// What compression at rest saves and costs on a build's log, and how much memory the largest evidence takes.
fn evidence(folder: &Path) -> Outcome<Vec<Row>> {
    let log = build_log(32 << 20);
    let (mut puts, mut gets, mut sizes, mut rates) = (Vec::new(), Vec::new(), [0.0; 2], [0.0; 2]);
    for round in 0..5 {
        let (mut put, mut get) = ([0.0; 2], [0.0; 2]);
        for (index, compressed) in [false, true].into_iter().enumerate() {
            let path = folder.join(format!("evidence-{index}-{round}.db"));
            let ledger = if compressed { Ledger::create_compressed(&path) } else { Ledger::create(&path) }?;
            let mut run = ledger.start("run", policy()?, actor(), Object::new())?;
            let start = Instant::now();
            let hash = run.put_reader("log", &mut log.as_slice(), Put::text())?.hash;
            put[index] = start.elapsed().as_secs_f64();
            let start = Instant::now();
            ledger.copy_blob(&hash, &mut std::io::sink())?;
            get[index] = start.elapsed().as_secs_f64();
            drop((run, ledger));
            sizes[index] = std::fs::metadata(&path)?.len() as f64;
            std::fs::remove_file(&path)?;
        }
        puts.push(put[0] / put[1]);
        gets.push(get[0] / get[1]);
        rates = [log.len() as f64 / put[1] / 1e6, log.len() as f64 / get[1] / 1e6];
    }
    let memory = peak_memory_of_put(folder, 989_999_000)?;
    Ok(vec![
        at_most("size of a log on disk, compressed / plain", sizes[1] / sizes[0], 0.25, "<= 0.25"),
        at_least(
            "put of a log, plain / compressed in time",
            median(puts),
            0.7,
            ">= 0.70",
            format!("{:.0} MB/s", rates[0]),
        ),
        at_least(
            "get of a log, plain / compressed in time",
            median(gets),
            0.5,
            ">= 0.50",
            format!("{:.0} MB/s", rates[1]),
        ),
        Row {
            what: "memory of put, 990 MB of evidence, MiB",
            got: memory,
            wanted: "< 32",
            ok: memory < 32.0,
            note: "compressed, from a file".to_owned(),
        },
    ])
}

/// About so many bytes of what a build prints.
fn build_log(bytes: usize) -> Vec<u8> {
    let words = ["Compiling", "Checking", "warning: unused variable", "note: see", "ok: test", "Finished"];
    let mut log = Vec::with_capacity(bytes + 200);
    let mut state = 1_u32;
    while log.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (word, part) = (words[(state >> 16) as usize % words.len()], state >> 8);
        let line = format!(
            "[{:>9}.{:03}] {word} crates/part-{:03}/src/module_{:x}.rs:{} in {} us\n",
            log.len() / 977,
            part % 1000,
            part % 211,
            part % 4093,
            part % 1723,
            part
        );
        log.extend_from_slice(line.as_bytes());
    }
    log
}

/// Puts a file of so many bytes into a ledger that compresses, and gives the peak resident memory of that in MiB.
fn peak_memory_of_put(folder: &Path, bytes: usize) -> Outcome<f64> {
    let (path, file) = (folder.join("put.db"), folder.join("put.log"));
    let log = build_log(32 << 20);
    let mut out = BufWriter::new(File::create(&file)?);
    for from in (0..bytes).step_by(log.len()) {
        std::io::Write::write_all(&mut out, &log[..log.len().min(bytes - from)])?;
    }
    drop(out);
    drop(Ledger::create_compressed(&path)?.start("run", policy()?, actor(), Object::new())?);
    let memory = peak_memory(&path, &["put", "run", "log", &file.to_string_lossy()])?;
    let ledger = Ledger::open_read_only(&path)?;
    let stored = ledger.audit()?;
    assert_eq!((stored.blobs, stored.overall_verdict()), (1, Verdict::Warn), "it is unfinished: {stored:?}");
    drop(ledger);
    std::fs::remove_file(&path)?;
    std::fs::remove_file(&file)?;
    Ok(memory)
}

/// Writes a ledger with the reference, of decisions or of a mix of evidence, evaluations, decisions, remediations and
/// stages in equal parts; or times its checks of every run and prints the seconds: of the chain alone, and of all that
/// verify answers too (chain, evidence, endings, stages).
const REFERENCE: &str = r#"
import json, sqlite3, sys, time
from receipt_kernel.store_sqlite import SqliteReceiptStore
from receipt_kernel.envelope import make_envelope
from receipt_kernel.invariants.ledger_chain_valid import LedgerChainValidInvariant
from receipt_kernel.invariants.receipt_completeness import ReceiptCompletenessInvariant
from receipt_kernel.invariants.finalization_completeness import FinalizationCompletenessInvariant
from receipt_kernel.invariants.run_shape import SingleFinalizeInvariant, StageRequiredPathInvariant
path, runs, events, verb = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if verb.startswith("copy "):
    # The same runs, events and evidence, handed to the reference as its users would.
    store = SqliteReceiptStore(path, redaction_enabled=False)
    store.initialize_schema()
    store._conn.execute("PRAGMA synchronous = OFF")
    source = sqlite3.connect(verb[5:])
    for run, *ids, meta in source.execute(
            "SELECT run_id, policy_id, policy_version, stage_graph_id, meta_json FROM runs ORDER BY run_id"):
        store.ensure_run(run, *ids, meta=json.loads(meta))
    for run, text in source.execute("SELECT run_id, envelope_json FROM events ORDER BY id"):
        store.append_event(run, json.loads(text))
    for data, kind in source.execute("SELECT data, content_type FROM blobs"):
        store.put_blob(data, content_type=kind)
    print(store._conn.execute("SELECT count(*) FROM events").fetchone()[0])
    store.close()
    sys.exit()
store = SqliteReceiptStore(path)
names = [f"20260101T000000Z-{number:08x}" for number in range(runs)]
policy = dict(policy_id="release", policy_version="1.0", stage_graph_id="v1_default")
digest = "ab" * 32
def event(run, index):
    kind = index % 5 if verb == "write mix" else 2
    if kind == 0:
        evidence = {"ref": "blob://sha256:" + digest, "sha256": digest, "content_type": "text/plain; charset=utf-8",
                    "bytes_len": 5, "evidence_class": "public"}
        return "EVIDENCE_PUT", "COLLECT", {"key": f"log-{index}", "evidence": evidence,
                                           "meta": {"evidence_kind": "oracle:test_log"}}
    if kind == 1:
        ids = ("ledger.chain_valid", "run.stage_transitions", "receipt.completeness")
        results = [{"invariant_id": id, "verdict": "pass", "reasons": [], "evidence_refs": [], "meta": {}, "required": True}
                   for id in ids]
        return "EVALUATION", "EVALUATE", {"results": results, "overall_verdict": "pass", "evidence_complete": True,
                                          "deferred": ["finalization.completeness", "run.single_finalize"]}
    if kind == 2:
        return "DECISION", "DECIDE", {"decision_id": f"d{index}", "basis": ["step", index],
                                      "action_plan": "continue with the next item"}
    if kind == 3:
        return "REMEDIATION", "REMEDIATE", {"step": index, "files": ["a.rs", "b.rs"], "counts": [1, 2, 3, index], "ok": True}
    return "STAGE_ADVANCE", "COLLECT", {"from_stage": "REMEDIATE", "to_stage": "COLLECT", "reason": "again"}
if verb.startswith("write"):
    store.initialize_schema()
    store._conn.execute("PRAGMA synchronous = OFF")
    digest = store.put_blob(b"hello", content_type="text/plain; charset=utf-8").sha256
    for name in names:
        store.ensure_run(name, **policy)
        for index in range(events):
            kind, stage, payload = event(name, index)
            store.append_event(name, make_envelope(event_type=kind, stage=stage, payload=payload, actor_kind="system",
                                                   actor_id="ci", **policy))
else:
    chain = LedgerChainValidInvariant()
    others = (ReceiptCompletenessInvariant(required_keys=["log-0"]), SingleFinalizeInvariant(),
              FinalizationCompletenessInvariant(), StageRequiredPathInvariant(["COLLECT"]))
    start = time.perf_counter()
    for name in names:
        assert chain.evaluate({"store": store, "run_id": name}).verdict.value == "pass"
    print(time.perf_counter() - start)
    for name in names:
        for invariant in others:
            invariant.evaluate({"store": store, "run_id": name})
    print(time.perf_counter() - start)
store.close()
"#;

/// How many runs, and how many events each.
const MANY: [&str; 2] = ["100", "400"];
const ONE_RUN: [&str; 2] = ["1", "10000"];

fn reference(python: &str, path: &Path, verb: &str) -> Outcome<String> {
    reference_of(python, path, MANY, verb)
}

fn reference_of(python: &str, path: &Path, [runs, events]: [&str; 2], verb: &str) -> Outcome<String> {
    let output = Command::new(python).args(["-c", REFERENCE]).arg(path).args([runs, events, verb]).output()?;
    if !output.status.success() {
        return Err(format!("the reference failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn against_the_reference(folder: &Path) -> Outcome<Vec<Row>> {
    let Ok(python) = std::env::var("REFERENCE_PYTHON") else {
        println!("skipped: speed and size against the reference: REFERENCE_PYTHON is not set");
        return Ok(Vec::new());
    };
    let mix = folder.join("reference.db");
    reference(&python, &mix, "write mix")?;
    let decisions = folder.join("plain.db");
    reference(&python, &decisions, "write decisions")?;
    let long = folder.join("one-run.db");
    reference_of(&python, &long, ONE_RUN, "write decisions")?;
    let (on_mix, on_decisions) = (verify_ratios(&python, &mix, MANY)?, verify_ratios(&python, &decisions, MANY)?);
    let on_long = verify_ratios(&python, &long, ONE_RUN)?;
    let (size_mix, size_decisions) = (size_ratio(folder, &mix, "mix")?, size_ratio(folder, &decisions, "decisions")?);
    let size_exec = size_of_recorded_commands(folder, &python)?;
    let note = "all cores, the reference's own file".to_owned();
    Ok(vec![
        at_least("verify, all kinds / the reference's like checks", on_mix.1, 20.0, ">= 20", note.clone()),
        at_least("verify, decisions / the reference's like checks", on_decisions.1, 20.0, ">= 20", note.clone()),
        at_least("verify, all kinds / its chain check alone", on_mix.0, 20.0, ">= 20", note.clone()),
        at_least("verify, decisions / its chain check alone", on_decisions.0, 20.0, ">= 20", note.clone()),
        at_least("verify, one run of 10,000 / the same", on_long.0, 20.0, ">= 20", note),
        size_row("size on disk, decisions / the reference's", size_decisions),
        size_row("size on disk, all kinds of events / the same", size_mix),
        size_row("size on disk, recorded commands / the same", size_exec),
    ])
}

/// How much longer the reference takes to check its own file than we do: its chain check alone, and all that verify
/// answers too.
fn verify_ratios(python: &str, path: &Path, size: [&str; 2]) -> Outcome<(f64, f64)> {
    let ledger = Ledger::open_read_only(path)?;
    let events = size[0].parse::<u64>()? * size[1].parse::<u64>()?;
    let (mut chain, mut all) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let printed = reference_of(python, path, size, "verify")?;
        let theirs = printed.lines().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let start = Instant::now();
        let report = Audit::of(&ledger).run()?;
        let ours = start.elapsed().as_secs_f64();
        chain.push(theirs[0] / ours);
        all.push(theirs[1] / ours);
        assert_eq!((report.events, report.overall_verdict().as_str()), (events, "pass"), "{report:?}");
    }
    Ok((median(chain), median(all)))
}

fn at_most(what: &'static str, got: f64, limit: f64, wanted: &'static str) -> Row {
    Row { what, got, wanted, ok: got <= limit, note: String::new() }
}

/// The values are shared with the reference, so that no layout of them comes to less than what its rows alone come to.
fn size_row(what: &'static str, (got, bound): (f64, f64)) -> Row {
    Row { note: format!("its rows alone come to {bound:.2}"), ..at_most(what, got, 0.8, "<= 0.80") }
}

/// What a ledger of ours takes, and what its events alone come to, both against the reference's file.
fn size_ratio(folder: &Path, theirs: &Path, name: &str) -> Outcome<(f64, f64)> {
    let ours = folder.join(name);
    copy_events(theirs, &ours)?;
    compare_sizes(&ours, theirs)
}

fn compare_sizes(ours: &Path, theirs: &Path) -> Outcome<(f64, f64)> {
    let theirs = std::fs::metadata(theirs)?.len() as f64;
    Ok((std::fs::metadata(ours)?.len() as f64 / theirs, bytes_of_rows(ours)? as f64 / theirs))
}

/// The bytes of each event's values, with the record and cell around them as SQLite's file format has them ("Record
/// Format", "B-tree Cell Format"), in the table and in the index that makes (run_id, seq) unique; and of each blob's data.
/// No page has a header here, or any room to spare.
fn bytes_of_rows(path: &Path) -> Outcome<i64> {
    let connection = Connection::open(path)?;
    let varint = |value: i64| i64::from((64 - (value | 1).leading_zeros()).div_ceil(7));
    let integer = |value: i64| if value < 128 { 1 } else { 2 };
    let text = |length: i64| varint(13 + 2 * length) + length;
    let mut statement = connection.prepare(
        "SELECT id, seq, length(run_id), length(event_type), length(CAST(envelope_json AS BLOB)), length(event_hash), \
         coalesce(length(prev_event_hash), 0), length(created_at) FROM events",
    )?;
    let mut rows = statement.query([])?;
    let mut bytes: i64 =
        connection.query_row("SELECT coalesce(sum(length(data)), 0) FROM blobs", [], |row| row.get(0))?;
    while let Some(row) = rows.next()? {
        let (id, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        let mut record: i64 = 2 + 1 + integer(seq);
        for column in 2..8 {
            record += text(row.get(column)?);
        }
        let entry = 1 + text(row.get(2)?) + 1 + integer(seq) + 1 + integer(id);
        // The cell's length, its rowid, its place in the page.
        bytes += varint(record) + varint(id) + record + 2;
        bytes += varint(entry) + entry + 2;
    }
    Ok(bytes)
}

/// Real commands as `receipt exec` records them, and the same runs, events and evidence written by the reference.
fn size_of_recorded_commands(folder: &Path, python: &str) -> Outcome<(f64, f64)> {
    let receipt = std::env::var("RECEIPT_BIN").map_err(|_| "RECEIPT_BIN must name the receipt command")?;
    let (ours, theirs) = (folder.join("exec.db"), folder.join("exec-reference.db"));
    Ledger::create(&ours)?;
    for number in 0..200 {
        let echo = format!("case {number} of 200 passed");
        let mut command = Command::new(&receipt);
        let done = command.arg("--ledger").arg(&ours).args(["-q", "exec", "--", "echo", &echo]).output()?;
        if !done.status.success() {
            return Err(format!("receipt exec: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
    }
    let copied = reference_of(python, &theirs, MANY, &format!("copy {}", ours.display()))?;
    assert_eq!(copied.trim(), "2400");
    compare_sizes(&ours, &theirs)
}

/// The same events in a ledger of ours: the same envelopes in compact form.
fn copy_events(from: &Path, to: &Path) -> Outcome<()> {
    let source = Connection::open(from)?;
    let store = SqliteStore::create(to)?;
    let mut transaction = store.begin(Scope::Ledger)?;
    let mut runs = source.prepare("SELECT run_id, created_at, meta_json FROM runs ORDER BY run_id")?;
    let mut runs = runs.query([])?;
    while let Some(row) = runs.next()? {
        let (run_id, created, meta): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        transaction.insert_run(&NewRun {
            run_id: &RunId::new(run_id),
            policy_id: "release",
            policy_version: "1.0",
            stage_graph_id: "v1_default",
            created_at: created.parse()?,
            meta_json: &meta,
        })?;
    }
    let mut events = source.prepare("SELECT envelope_json, created_at FROM events ORDER BY id")?;
    let mut events = events.query([])?;
    let mut scratch = Scratch::default();
    while let Some(row) = events.next()? {
        let created: String = row.get(1)?;
        let envelope = Envelope::read(row.get_ref(0)?.as_bytes()?, &mut scratch)?;
        let run_id = envelope.run_id().as_str().map(RunId::new).ok_or("a run id that is not UTF-8")?;
        let sealed = Sealed {
            link: Link { run_id, seq: envelope.seq, prev: envelope.prev },
            event_type: envelope.event_type,
            hash: envelope.hash,
            text: envelope.compact().to_vec(),
        };
        transaction.insert_event(&sealed, created.parse()?)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The large ledger: memory of a verify in a process of its own, and whether an append costs more than in an empty one.
fn large(folder: &Path) -> Outcome<Vec<Row>> {
    let events: usize = std::env::var("SPEED_EVENTS").map_or(Ok(1_000_000), |text| text.parse())?;
    let path = folder.join("large.db");
    let ledger = fill(&path, 1000, events / 1000)?;
    let memory = peak_memory(&path, &["verify"])?;
    let mut full = ledger.resume("run-000500", actor())?;
    let small = Ledger::create(folder.join("small.db"))?;
    let mut empty = small.start("run", policy()?, actor(), Object::new())?;
    let mut ratios = Vec::new();
    for round in 0..21 {
        let (mut in_full, mut in_empty) = (0.0, 0.0);
        for (run, spent) in [(&mut full, &mut in_full), (&mut empty, &mut in_empty)] {
            let work = decisions(round * 50, 50);
            let start = Instant::now();
            for event in work {
                run.append(event)?;
            }
            *spent = start.elapsed().as_secs_f64();
        }
        ratios.push(in_full / in_empty);
    }
    let cost = median(ratios);
    let note = format!("{events} events in 1,000 runs");
    Ok(vec![
        Row { what: "memory of verify, MiB", got: memory, wanted: "< 64", ok: memory < 64.0, note: note.clone() },
        Row {
            what: "an append there / in an empty ledger",
            got: cost,
            wanted: "0.8 to 1.2",
            ok: (0.8..=1.2).contains(&cost),
            note,
        },
    ])
}

/// Runs the command on the ledger, and gives its peak resident memory in MiB.
fn peak_memory(path: &Path, args: &[&str]) -> Outcome<f64> {
    let receipt = std::env::var("RECEIPT_BIN").map_err(|_| "RECEIPT_BIN must name the receipt command")?;
    let script = "import resource, subprocess, sys\n\
                  status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n\
                  print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output = Command::new("python3").args(["-c", script, &receipt, "--ledger"]).arg(path).args(args).output()?;
    let text = String::from_utf8(output.stdout)?;
    let (status, kib) = text.trim().split_once(' ').ok_or("no figures")?;
    if status != "0" {
        return Err(format!("receipt {args:?} ended with {status}").into());
    }
    Ok(kib.parse::<f64>()? / 1024.0)
}
