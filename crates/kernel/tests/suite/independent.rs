//! `tools/verify.py`, which was written from docs/FORMAT.md and shares no code with this kernel, agrees with it on bundles
//! good and bad.

use crate::common::{RECIPIENT, Random};
use receipt_core::bundle::Proof;
use receipt_core::canonical;
use receipt_core::checkpoint::{Checkpoint, InclusionProof};
use receipt_core::id::{BlobHash, EventHash, NodeHash, Seq};
use receipt_core::json::{self, Limits, Value};
use receipt_core::merkle::{Frontier, Subtree, prove_inclusion};
use receipt_core::note::{KeyKind, Signing, VerifierKey};
use receipt_kernel::bundle::{BundleReport, Export, Verify};
use receipt_kernel::{Actor, Check, EvidenceClass, Ledger, Object, Policy, Put, RunId, Verdict};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many bundles are compared, where `BUNDLES` does not say.
const BUNDLES: usize = 1000;

const AREAS: [Check; 6] = [Check::Format, Check::Content, Check::Columns, Check::Evidence, Check::Path, Check::Log];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The bundle of a run that goes some of the way.
fn base(random: &mut Random) -> Vec<Vec<u8>> {
    let ledger = Ledger::in_memory();
    let id = random.of(&["a", "release/1", "caf\u{e9}", "\u{1F600}"]);
    let meta = Object::from_iter([
        ("branch", Value::from("\u{7f}\u{e000}")),
        ("f", json::parse(b"[1.0, 1e22, -0.0]", Limits::READ).unwrap()),
    ]);
    ledger.add_recipients([RECIPIENT]).unwrap();
    let mut run = ledger.start(id, Policy::structural().unwrap(), Actor::new("system", "test"), meta).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    let mut export = Export::of(RunId::new(id));
    for number in 0..random.below(4) {
        let class = if random.below(4) == 0 { EvidenceClass::Sealed } else { EvidenceClass::Public };
        let data = "a line of it\n".repeat(random.below(5) * 1500);
        let key = random.of(&["log", "notes"]);
        run.put(key, format!("{data}{}", number / 2).as_bytes(), Put::text().of_class(class)).unwrap();
        if random.below(5) == 0 {
            export = export.withhold(key);
        }
    }
    let end = random.below(4);
    if end > 0 {
        run.advance("EVALUATE", "collected").unwrap();
        run.evaluate().unwrap();
        run.advance("DECIDE", "evaluated").unwrap();
    }
    if end > 1 {
        run.decide("ship", &["it passed"], "release it").unwrap();
        run.finalize("done").unwrap();
    }
    let mut bundle = Vec::new();
    ledger.export(&export, &mut bundle).unwrap();
    let mut lines: Vec<Vec<u8>> = bundle.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.pop();
    lines
}

fn events(lines: &[Vec<u8>]) -> std::ops::Range<usize> {
    let end = lines.iter().position(|line| line.starts_with(b"{\"blobs\":")).unwrap_or(lines.len());
    2.min(end)..end
}

fn object(line: &[u8]) -> Object {
    match json::parse(line, Limits::READ) {
        Ok(Value::Object(object)) => object,
        other => panic!("{other:?}"),
    }
}

fn bytes(object: Object) -> Vec<u8> {
    canonical::to_bytes(&object.into(), Limits::READ).unwrap()
}

/// Gives the events from one on their right hashes, and the header the right head.
fn rehash(lines: &mut [Vec<u8>], from: usize) {
    let mut prev: Option<String> = None;
    for at in from..events(lines).end {
        let mut envelope = object(&lines[at]);
        if let Some(prev) = prev {
            envelope.insert("prev_event_hash", prev);
        }
        envelope.remove("event_hash");
        let hash = EventHash::of(&bytes(envelope.clone())).to_string();
        envelope.insert("event_hash", hash.as_str());
        lines[at] = bytes(envelope);
        prev = Some(hash);
    }
    if let Some(head) = prev {
        let mut header = object(&lines[0]);
        header.insert("head", head);
        lines[0] = bytes(header);
    }
}

/// Gives the bundle the trailer of its lines.
fn mend_trailer(lines: &mut Vec<Vec<u8>>) {
    lines.pop();
    let covered = lines.iter().filter(|line| !line.starts_with(b"\""));
    let digest = BlobHash::of(&covered.flat_map(|line| [line, b"\n".as_slice()].concat()).collect::<Vec<u8>>());
    let blobs = lines.iter().filter(|line| is_record(line)).count();
    let events = events(lines).len();
    lines.push(format!("{{\"blobs\":{blobs},\"events\":{events},\"sha256\":\"{digest}\"}}").into_bytes());
}

fn any_value(random: &mut Random) -> Value {
    let text = random.of(&[
        "null",
        "true",
        "0",
        "1",
        "2",
        "-1",
        "1.0",
        "9223372036854775807",
        "9223372036854775808",
        "1e22",
        "\"\"",
        "\"pass\"",
        "\"fail\"",
        "\"unknown\"",
        "\"EVIDENCE_PUT\"",
        "\"RUN_START\"",
        "\"RUN_FINALIZE\"",
        "\"STAGE_ADVANCE\"",
        "\"BLOB_EXPIRE\"",
        "\"EVALUATE\"",
        "\"COLLECT\"",
        "\"FINALIZE\"",
        "\"sealed\"",
        "\"public\"",
        "\"text/html\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[\"FINALIZE\"]",
        "{\"blobs\":[],\"events\":[]}",
        "\"v1_minimal\"",
        "6",
        "[\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"]",
        "\"sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"",
        "{\"id\":\"x\",\"kind\":\"y\",\"more\":[1]}",
    ]);
    json::parse(text.as_bytes(), Limits::READ).unwrap()
}

/// Changes, removes or adds a member somewhere in a value.
fn change(random: &mut Random, value: &mut Value) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            let at = random.below(object.len());
            let key = object.iter().nth(at).unwrap().0.clone();
            match random.below(8) {
                0 => drop(key.as_str().map(|key| object.remove(key))),
                1 => drop(object.insert(random.of(&["zz", "aa", "clock_ts", "overall_verdict"]), any_value(random))),
                2 | 3 => drop(object.insert(key, any_value(random))),
                _ => change(random, object.iter_mut().nth(at).unwrap().1),
            }
        }
        Value::Array(items) if !items.is_empty() && random.below(2) == 0 => {
            let at = random.below(items.len());
            change(random, &mut items[at]);
        }
        other => *other = any_value(random),
    }
}

fn change_line(random: &mut Random, line: &mut Vec<u8>) {
    let mut value = json::parse(line, Limits::READ).unwrap();
    change(random, &mut value);
    *line = canonical::to_bytes(&value, Limits::READ).unwrap();
}

/// Another policy, with the digest that is right for it.
fn change_commitment(random: &mut Random, line: &mut Vec<u8>) {
    let mut envelope = object(line);
    let Some((_, payload)) = envelope.iter_mut().find(|(key, _)| *key == "payload") else { return };
    let Value::Object(payload) = payload else { return };
    let Some((_, commitment)) = payload.iter_mut().find(|(key, _)| *key == "commitment") else { return };
    let Value::Object(commitment) = commitment else { return };
    let Some(Value::Object(mut policy)) = commitment.get("policy").cloned() else { return };
    let member =
        random.of(&["id", "version", "stage_graph", "stage_graph", "stage_graph", "invariants", "invariants", "more"]);
    let mut value = policy.get(member).cloned().unwrap_or_default();
    change(random, &mut value);
    policy.insert(member, value);
    let digest = EventHash::of(&bytes(policy.clone())).to_string();
    commitment.insert("policy", policy);
    commitment.insert("policy_digest", digest);
    *line = bytes(envelope);
}

/// The text with a space behind each comma and colon that is outside strings.
fn spaced(text: &[u8]) -> Vec<u8> {
    let (mut out, mut quoted, mut escaped) = (Vec::new(), false, false);
    for &byte in text {
        out.push(byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b':' if !quoted => out.push(b' '),
            _ => {}
        }
    }
    out
}

fn is_object(line: &[u8]) -> bool {
    json::parse(line, Limits::READ).is_ok_and(|it| it.as_object().is_some())
}

/// Says something else of a blob in the records, which begin at a line.
fn change_record(random: &mut Random, lines: &mut Vec<Vec<u8>>, from: usize) {
    let mendable = |at: &usize| is_record(&lines[*at]) && is_object(&lines[*at]);
    let records: Vec<usize> = (from..lines.len()).filter(mendable).collect();
    let Some(at) = records.get(random.below(records.len())) else { return };
    let (key, text) = random.of(&[
        &("content_type", "text/html"),
        &("evidence_class", "sealed"),
        &("evidence_class", "public"),
        &("state", "sealed"),
    ]);
    set(&mut lines[*at], &[key], Value::from(*text));
    // As the first bundles had what is sealed.
    if *text == "sealed" && *key == "state" && random.below(2) == 0 {
        let end = (*at + 1..lines.len()).find(|at| !lines[*at].starts_with(b"\"")).unwrap_or(lines.len());
        lines.drain(*at + 1..end);
    }
}

/// One thing done to a bundle, or nothing.
fn act(random: &mut Random, lines: &mut Vec<Vec<u8>>) {
    let events = events(lines);
    if events.is_empty() || !lines[..events.end].iter().all(|line| is_object(line)) {
        return;
    }
    let event = events.start + random.below(events.len());
    let any = random.below(lines.len());
    let other = random.below(lines.len());
    let behind = events.end + 1 + random.below((lines.len() - events.end - 1).max(1));
    match random.below(24) {
        0 => {}
        1 => drop(lines.remove(any)),
        2 => lines.insert(any, lines[other].clone()),
        3 => lines.swap(any, other),
        4 => {
            let at = random.below(lines[any].len());
            lines[any][at] ^= 1 << random.below(7);
        }
        5 => change_line(random, &mut lines[any % 2]),
        6 if lines.get(behind).is_some_and(|line| line.starts_with(b"{\"bytes")) => {
            change_line(random, &mut lines[behind]);
        }
        6 | 7 => change_line(random, &mut lines[event]),
        8 => {
            let run_start = &mut lines[events.start];
            if run_start.windows(13).any(|it| it == b"\"commitment\":") {
                change_commitment(random, run_start);
                rehash(lines, events.start);
            }
        }
        9 => {
            // As the Python package has it: no commitment, spaced.
            let mut start = object(&lines[events.start]);
            start.insert("payload", Object::from_iter([("meta", Value::from(Object::new()))]));
            lines[events.start] = bytes(start);
            rehash(lines, events.start);
            lines[events].iter_mut().for_each(|line| *line = spaced(line));
        }
        10..=12 => {
            let (key, text) = (random.of(&ROW), random.of(&["", "v1_default", "{}", "1"]));
            set(&mut lines[1], &[key], Value::from(text));
        }
        13..=15 => change_record(random, lines, events.end),
        16..=18 => {
            let is_put = |line: &[u8]| line.windows(14).any(|it| it == b"\"EVIDENCE_PUT\"");
            let puts: Vec<usize> = events.filter(|at| is_put(&lines[*at])).collect();
            let Some(&at) = puts.get(random.below(puts.len())) else { return };
            let key = random.of(&["bytes_len", "sha256", "ref", "content_type", "evidence_class"]);
            set(&mut lines[at], &["payload", "evidence", key], any_value(random));
            rehash(lines, at);
        }
        19 => {
            // A link to no event, hashed right: only the chain is wrong.
            let link = EventHash::of(&[u8::try_from(random.below(256)).unwrap()]).to_string();
            set(&mut lines[event], &["prev_event_hash"], Value::from(link));
            rehash(lines, event);
        }
        20 => set(&mut lines[0], &["head"], Value::from(EventHash::of(b"another end").to_string())),
        _ => {
            change_line(random, &mut lines[event]);
            rehash(lines, event);
        }
    }
}

const ROW: [&str; 5] = ["created_at", "meta_json", "policy_id", "policy_version", "stage_graph_id"];

fn is_record(line: &[u8]) -> bool {
    line.starts_with(b"{\"bytes_len\"")
}

/// Sets a member of a line, however deep; where the way to it is not there, the last object on it.
fn set(line: &mut Vec<u8>, path: &[&str], value: Value) {
    let mut whole = Value::from(object(line));
    let mut at = &mut whole;
    for key in &path[..path.len() - 1] {
        let Value::Object(object) = at else { return };
        let Some((_, next)) = object.iter_mut().find(|(member, _)| *member == *key) else { return };
        at = next;
    }
    let Value::Object(object) = at else { return };
    object.insert(path[path.len() - 1], value);
    *line = canonical::to_bytes(&whole, Limits::READ).unwrap();
}

fn bundle(random: &mut Random) -> Vec<u8> {
    let mut lines = base(random);
    let mend = random.below(5) > 0;
    for _ in 0..=random.below(2) {
        act(random, &mut lines);
    }
    if mend {
        mend_trailer(&mut lines);
    }
    let mut bundle = lines.iter().flat_map(|line| [line, b"\n".as_slice()].concat()).collect::<Vec<u8>>();
    if random.below(20) == 0 {
        bundle.truncate(random.below(bundle.len()));
    }
    bundle
}

pub(crate) fn python() -> Option<PathBuf> {
    let venv = root().join("target/reference-venv/bin/python");
    let python = if venv.exists() { venv } else { PathBuf::from("python3") };
    let found = Command::new(&python).arg("--version").output().is_ok_and(|output| output.status.success());
    found.then_some(python)
}

/// Whether the other verifier can check signatures here.
pub(crate) fn has_ed25519(python: &Path) -> bool {
    Command::new(python).args(["-c", "import cryptography"]).output().unwrap().status.success()
}

/// What the other verifier says of each file: its verdict for each area.
fn other_eyes(python: &Path, files: &[PathBuf]) -> Vec<BTreeMap<String, String>> {
    other_eyes_with(python, files, files.len())
}

pub(crate) fn other_eyes_with(python: &Path, words: &[PathBuf], files: usize) -> Vec<BTreeMap<String, String>> {
    answers(python, &root().join("tools/verify.py"), words, files)
}

fn answers(python: &Path, verifier: &Path, words: &[PathBuf], files: usize) -> Vec<BTreeMap<String, String>> {
    let output = Command::new(python).arg(verifier).args(words).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), files, "{}", String::from_utf8_lossy(&output.stderr));
    let members = |line: &str| {
        let object = object(line.as_bytes());
        let texts = object.iter().filter_map(|(key, value)| {
            let codes =
                value.as_array().map(|codes| codes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
            Some((key.as_str()?.to_owned(), codes.or_else(|| value.as_str().map(str::to_owned))?))
        });
        texts.collect()
    };
    said.lines().map(members).collect()
}

/// The areas that can be compared: where the form is not right, each verifier stops, and nothing else can be.
fn areas(report: &BundleReport) -> impl Iterator<Item = Check> + use<> {
    let well_formed = report.check(Check::Format).unwrap().verdict == Verdict::Pass;
    AREAS.into_iter().take(if well_formed { AREAS.len() } else { 1 })
}

fn differences(ours: &[BundleReport], theirs: &[BTreeMap<String, String>]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for area in areas(ours) {
            let found = ours.check(area).unwrap();
            if theirs[area.as_str()] != found.verdict.as_str() {
                wrong.push(format!(
                    "{at} {area}: ours {} {:?}, theirs {theirs:?}",
                    found.verdict,
                    found.reasons.first()
                ));
            }
        }
    }
    wrong
}

/// Checks of the other verifier, each with what makes it never find anything.
const FAULTS: [(&str, &str); 4] = [
    ("if it[\"event_hash\"] != real:", "if False:"),
    ("if self.prev is not None and it[\"prev_event_hash\"] not in self.prev:", "if False:"),
    ("if self.head != self.header[\"head\"]:", "if False:"),
    ("if row[\"meta_json\"] != canonical(commitment.meta):", "if False:"),
];

/// The other verifier with a fault.
fn planted(check: &str, fault: &str) -> String {
    let verifier = std::fs::read_to_string(root().join("tools/verify.py")).unwrap();
    assert_eq!(verifier.matches(check).count(), 1, "{check}");
    verifier.replace(check, fault)
}

#[test]
fn another_verifier_written_from_the_format_agrees() {
    let Some(python) = python() else {
        println!("SKIPPED: the agreement with tools/verify.py: no Python");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let count = std::env::var("BUNDLES").ok().and_then(|count| count.parse().ok()).unwrap_or(BUNDLES);
    let bundles: Vec<Vec<u8>> = (0..count).map(|_| bundle(&mut random)).collect();
    let files: Vec<PathBuf> = (0..count).map(|at| folder.path().join(format!("{at}.receipt"))).collect();
    for (file, bundle) in files.iter().zip(&bundles) {
        std::fs::write(file, bundle).unwrap();
    }
    let ours: Vec<BundleReport> =
        bundles.iter().map(|bundle| Verify::default().run(&mut &bundle[..]).unwrap()).collect();
    let mut theirs = other_eyes(&python, &files);
    let mut tally: BTreeMap<(Check, &str), usize> = BTreeMap::new();
    for (report, area) in ours.iter().flat_map(|report| areas(report).map(move |area| (report, area))) {
        *tally.entry((area, report.check(area).unwrap().verdict.as_str())).or_default() += 1;
    }
    let wrong = differences(&ours, &theirs);
    if let Some(keep) = std::env::var_os("KEEP_BUNDLES").filter(|_| !wrong.is_empty()) {
        std::fs::rename(folder.keep(), keep).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    theirs.rotate_left(1);
    assert!(
        !differences(&ours, &theirs).is_empty(),
        "the control: answers to other bundles are not taken for agreement"
    );
    for (check, fault) in FAULTS {
        let faulty = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&faulty, planted(check, fault)).unwrap();
        let theirs = answers(&python, faulty.path(), &files, files.len());
        assert!(!differences(&ours, &theirs).is_empty(), "the control: a verifier without {check} is not found out");
    }
    for (area, verdict) in [
        (Check::Format, Verdict::Pass),
        (Check::Format, Verdict::Fail),
        (Check::Content, Verdict::Pass),
        (Check::Content, Verdict::Fail),
        (Check::Columns, Verdict::Pass),
        (Check::Columns, Verdict::Fail),
        (Check::Evidence, Verdict::Pass),
        (Check::Evidence, Verdict::Unknown),
        (Check::Evidence, Verdict::Fail),
        (Check::Path, Verdict::Pass),
        (Check::Path, Verdict::Warn),
        (Check::Path, Verdict::Unknown),
        (Check::Path, Verdict::Fail),
    ] {
        let count = tally.get(&(area, verdict.as_str())).copied().unwrap_or_default();
        assert!(count >= 20, "only {count} bundles are {verdict} in {area}: {tally:?}");
    }
}

/// The bundle of a finished run, with the proof that one of its events is in a log, whose checkpoint these keys signed.
fn proved(seq: i64, signers: &[&Signing]) -> Vec<u8> {
    let ledger = Ledger::in_memory();
    let mut run =
        ledger.start("a", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    run.finalize_as(Verdict::Unknown, "done").unwrap();
    let mut log = Frontier::default();
    let mut nodes: BTreeMap<Subtree, NodeHash> = BTreeMap::new();
    let index = 6 + seq.unsigned_abs();
    let mut hashes: Vec<EventHash> = (0..7).map(|other: u8| EventHash::of(&[other])).collect();
    ledger.events("a", &mut |event| hashes.push(event.hash)).unwrap();
    for hash in &hashes {
        assert!(log.push(hash, |at, node| {
            nodes.insert(at, node);
        }));
    }
    let path = prove_inclusion(index, log.head().size, |at| Ok::<_, Infallible>(nodes[&at])).unwrap().unwrap();
    let checkpoint = Checkpoint::new("example.org/log".parse().unwrap(), log.head()).sign(signers).unwrap();
    let text = InclusionProof { extra: Some(b"event://a/1".to_vec()), index, path, checkpoint }.to_string();
    let proof = Proof { seq: Seq::new(seq).unwrap(), text };
    let mut bundle = Vec::new();
    ledger.export(&Export::of(RunId::new("a")).proof(proof), &mut bundle).unwrap();
    bundle
}

/// The bundle with a text in its header replaced, and the trailer that is right for that.
fn in_header(bundle: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bundle.to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    let changed = text.replacen(from, to, 1);
    let mut lines: Vec<Vec<u8>> = changed.lines().map(|line| line.as_bytes().to_vec()).collect();
    mend_trailer(&mut lines);
    lines.iter().flat_map(|line| [line, b"\n".as_slice()].concat()).collect()
}

#[test]
fn another_verifier_agrees_on_proofs_and_signatures() {
    let Some(python) = python() else { return println!("SKIPPED: proofs in tools/verify.py: no Python") };
    let has_ed25519 = has_ed25519(&python);
    let keys = [("example.org/log", 1), ("example.org/other", 2)]
        .map(|(name, seed): (&str, u8)| Signing::from_seed(name.parse().unwrap(), KeyKind::Note, &[seed; 32]));
    let [log, other] = &keys;
    let bundle = proved(3, &[log]);
    let cases = [
        ("a proof of the last event", bundle.clone(), "pass"),
        ("of an earlier one", proved(2, &[log]), "unknown"),
        ("signed by two", proved(3, &[log, other]), "pass"),
        ("of another event", in_header(&bundle, "\"seq\":3", "\"seq\":2"), "fail"),
        ("of no event", in_header(&bundle, "\"seq\":3", "\"seq\":4"), "fail"),
        ("another index", in_header(&bundle, "index 9", "index 8"), "fail"),
        ("another size", in_header(&bundle, "log\\n10\\n", "log\\n11\\n"), "fail"),
        ("another origin", in_header(&bundle, "example.org/log\\n10", "example.org/lag\\n10"), "fail"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let trusted = [vec![], vec![log], vec![other], vec![log, other]];
    for keys in trusted.iter().filter(|keys| keys.is_empty() || has_ed25519) {
        let verifiers: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
        for (name, bundle, with_the_key) in &cases {
            let path = folder.path().join("it.receipt");
            std::fs::write(&path, bundle).unwrap();
            let words = verifiers.iter().flat_map(|key| ["--vkey".to_owned(), key.to_string()]);
            let ours = Verify::default().keys(&verifiers).run(&mut &bundle[..]).unwrap();
            let words: Vec<PathBuf> = words.map(PathBuf::from).chain([path]).collect();
            let theirs = other_eyes_with(&python, &words, 1);
            let log_check = ours.check(Check::Log).unwrap().verdict.as_str();
            assert_eq!(theirs[0]["log"], log_check, "{name} with {verifiers:?}: {ours:#?}");
            if verifiers == [log.verifier().clone()] {
                assert_eq!(log_check, *with_the_key, "{name}");
            }
        }
    }
    if !has_ed25519 {
        println!("SKIPPED: signatures in tools/verify.py: no package `cryptography`");
    }
}
