//! Nothing of a caller's gets into the files unredacted, whichever way it is handed in; and an event that other rules than
//! the built-in ones redacted names them.

use crate::common::{RECIPIENT, actor, decision, new_path, start};
use receipt_kernel::bundle::Export;
use receipt_kernel::core::id::Seq;
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::{
    Actor, Append, BlobHash, BlobRef, Digest256, Error, EventRef, EventType, EvidenceClass, Ledger, Object, Policy,
    Publish, Put, Redactor, Retention, Rules, RunId, Ttl, Value, Verdict,
};
use std::path::Path;

/// A secret of the built-in rules; put together here, so that none stands in this file.
fn canary(index: usize) -> String {
    format!("{}-{}", "sk", "Zq7x".repeat(8) + &format!("{index:04}"))
}

fn everything_in(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn policy(id: &str, version: &str, graph: &str, stage: &str, key: &str) -> Policy {
    let text = format!(
        "id = {id:?}\nversion = {version:?}\n[stage_graph]\nid = {graph:?}\ninitial = \"START\"\n\
         terminal = [\"END\"]\n[stage_graph.transitions]\nSTART = [{stage:?}]\n{stage:?} = [\"END\"]\n\
         [[invariant]]\nid = \"receipt.completeness\"\nkeys = [{key:?}]\n"
    );
    Policy::from_toml(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What is stored as it is, and therefore refused if it is a secret.
fn refused(ledger: &Ledger, secret: &str) -> Vec<(&'static str, Result<(), Error>)> {
    let begin = |id: &str, policy: Policy| ledger.start(id, policy, actor(), Object::new()).map(drop);
    let retain = |change: &dyn Fn(&mut Retention)| {
        ledger
            .set_retention(|retention| {
                change(retention);
                Ok::<_, Error>(())
            })
            .map(drop)
    };
    let mut run = ledger.resume("r", actor()).unwrap();
    let about = EventRef { run_id: RunId::new(secret), seq: Seq::FIRST };
    vec![
        ("run id", begin(secret, Policy::structural().unwrap())),
        ("policy id", begin("p1", policy(secret, "1", "g", "MIDDLE", "k"))),
        ("policy version", begin("p2", policy("p", secret, "g", "MIDDLE", "k"))),
        ("stage graph id", begin("p3", policy("p", "1", secret, "MIDDLE", "k"))),
        ("stage", begin("p4", policy("p", "1", "g", secret, "k"))),
        ("parameter", begin("p5", policy("p", "1", "g", "MIDDLE", secret))),
        ("stage to go to", run.advance(secret, "").map(drop)),
        ("idempotency key", run.append(decision("x").with_key(secret)).map(drop)),
        ("event ref", run.append(decision("x").about(about)).map(drop)),
        ("retention key", retain(&|it| it.keys.extend([(secret.to_owned(), Ttl::Forever)]))),
        ("hold", retain(&|it| it.holds.extend([(secret.to_owned(), "why".to_owned())]))),
        ("log name", ledger.bind_origin(&secret.parse().unwrap())),
        ("recipient", ledger.add_recipients([secret]).map(drop)),
        ("rules", ledger.set_own_rules(Some(&format!("# {secret}\n"))).map(drop)),
        ("checkpoint key", {
            let key = Signing::from_seed(secret.parse().unwrap(), KeyKind::Note, &[1; 32]);
            ledger.checkpoint(&Publish::by(&key)).map(drop)
        }),
    ]
}

/// What reading says of a secret where a name belongs.
fn looked_for(ledger: &Ledger, secret: &str) -> Vec<(&'static str, Error)> {
    let (run, event) = (RunId::new(secret), EventRef { run_id: RunId::new(secret), seq: Seq::FIRST });
    vec![
        ("events", ledger.events(secret, &mut |_| {}).unwrap_err()),
        ("a snapshot", ledger.snapshot(secret, &[]).unwrap_err()),
        ("resuming", ledger.resume(secret, actor()).unwrap_err()),
        ("a scan", ledger.scan(std::slice::from_ref(&run)).unwrap_err()),
        ("an export", ledger.export(&Export::of(run), &mut Vec::new()).unwrap_err()),
        ("a proof", ledger.prove_event(&event).unwrap_err()),
        ("rules", Rules::builtin().unwrap().with(&format!("off = [{secret:?}]")).unwrap_err()),
        ("a policy", Policy::from_toml(&format!("id = \"x\"\n{secret:?} = 1\n")).unwrap_err().into()),
    ]
}

/// Every operation that writes, with a secret in each text that it takes. Gives how many secrets there were.
fn hand_in(ledger: &Ledger) -> usize {
    let mut used = 0;
    let mut next = || {
        used += 1;
        canary(used)
    };
    let object = |key: &str, value: &str| {
        let list = Value::Array(vec![Object::from_iter([(key, value)]).into(), value.into()]);
        Object::from_iter([("deep", Value::from(Object::from_iter([("er", list)])))])
    };
    let who = Actor::new(next(), next());
    let mut run = ledger.start("s", Policy::structural().unwrap(), who.clone(), object(&next(), &next())).unwrap();
    run.advance("COLLECT", &next()).unwrap();
    let mut said = |class| Put {
        content_type: format!("text/{}", next()),
        class,
        kind: Some(next()),
        meta: object(&next(), &next()),
    };
    let (public, other, sealed, digest) = (
        said(EvidenceClass::Public),
        said(EvidenceClass::Public),
        said(EvidenceClass::Sealed),
        said(EvidenceClass::Public),
    );
    run.put(&next(), format!("it said {}\n", next()).as_bytes(), public.clone()).unwrap();
    let mut large = vec![b'.'; 3 << 20];
    large.extend_from_slice(format!("\n{}\n", next()).as_bytes());
    run.put_reader(&next(), &mut &large[..], other).unwrap();
    let mut spool = ledger.spool(EvidenceClass::Public).unwrap();
    spool.push(next().as_bytes()).unwrap();
    run.put_source(&next(), spool.finish().unwrap(), public).unwrap();
    run.put(&next(), next().as_bytes(), sealed).unwrap();
    let elsewhere = Digest256 { hash: BlobHash::of(b"elsewhere"), bytes_len: 9 };
    run.put_digest(&next(), &elsewhere, &next(), digest).unwrap();
    let log = run.put("log", b"a log", Put::text()).unwrap();
    let mut event = Append::new(EventType::Remediation, object(&next(), &next()));
    event.blobs.push(BlobRef(log.hash));
    run.append_batch(vec![event, decision(next())]).unwrap();
    run.advance("EVALUATE", &next()).unwrap();
    run.evaluate().unwrap();
    run.advance("DECIDE", &next()).unwrap();
    run.decide(&next(), &[&next(), &next()], &next()).unwrap();
    let mut run = ledger.resume("s", Actor::new(next(), next())).unwrap();
    run.finalize_as(Verdict::Unknown, &next()).unwrap();
    let open = ledger.start("t", Policy::structural().unwrap(), who.clone(), Object::new()).unwrap();
    ledger.recover(open.run_id().as_str(), Actor::new(next(), next())).unwrap();
    ledger
        .set_retention(|retention| {
            retention.public = Ttl::Seconds(0);
            retention.holds.insert("t".to_owned(), next());
            Ok::<_, Error>(())
        })
        .unwrap();
    ledger.retain(&Actor::new(next(), next()), &mut |_, _| {}).unwrap();
    ledger.shred(RECIPIENT, &next(), &Actor::new(next(), next())).unwrap();
    used
}

#[test]
fn a_secret_is_nowhere_in_the_files_whichever_way_it_was_handed_in() {
    for compressed in [false, true] {
        let (folder, path) = new_path();
        let ledger = if compressed { Ledger::create_compressed(&path) } else { Ledger::create(&path) }.unwrap();
        ledger.add_recipients([RECIPIENT]).unwrap();
        start(&ledger, "r");
        for (what, done) in refused(&ledger, &canary(0)) {
            let error = done.expect_err(what);
            assert!(!format!("{error} {error:?}").contains(&canary(0)), "the error of {what} repeats the secret");
        }
        for (what, error) in looked_for(&ledger, &canary(0)) {
            assert!(!format!("{error} {error:?}").contains(&canary(0)), "the error of {what} repeats the secret");
        }
        let other = Ledger::in_memory();
        start(&other, "r");
        for (what, done) in refused(&other, "harmless") {
            // A control: it is the secret that is refused, but for two that are not there.
            let absent = ["stage to go to", "recipient"].contains(&what);
            assert_eq!(done.is_err(), absent, "{what}: {done:?}");
        }
        let used = hand_in(&ledger);
        let bytes = everything_in(folder.path());
        assert!(path.with_extension("db-wal").exists());
        assert!(holds(&bytes, "REMEDIATION"), "the search finds what is there");
        for index in 0..=used {
            assert!(!holds(&bytes, &canary(index)), "secret {index} of {used} is in the files");
        }
        assert!(!holds(&bytes, &"Zq7x".repeat(4)), "part of a secret is in the files");
    }
}

/// A redactor of the built-in rules with this on top.
fn redactor(rules: &str) -> Redactor {
    Redactor::new(Rules::builtin().unwrap().with(rules).unwrap()).unwrap()
}

/// Every text that a run's events say, and how many events there are.
fn texts(ledger: &Ledger, run: &str) -> Vec<String> {
    let mut texts = Vec::new();
    ledger.events(run, &mut |event| texts.push(String::from_utf8(event.text.to_vec()).unwrap())).unwrap();
    texts
}

/// A run of every kind of event, in which nothing is to be redacted.
fn record(ledger: &Ledger) -> Vec<String> {
    let mut run = start(ledger, "r");
    run.advance("COLLECT", "onward").unwrap();
    run.put("log", b"all is well", Put::text()).unwrap();
    run.put("log", &vec![b'.'; 3 << 20], Put::text()).unwrap();
    let digest = Digest256 { hash: BlobHash::of(b"elsewhere"), bytes_len: 9 };
    run.put_digest("disk", &digest, "disk.img", Put::text()).unwrap();
    run.append(decision("x")).unwrap();
    run.append(Append::new(EventType::Remediation, Object::new())).unwrap();
    run.advance("EVALUATE", "onward").unwrap();
    run.evaluate().unwrap();
    run.finalize_as(Verdict::Unknown, "over").unwrap();
    texts(ledger, "r")
}

#[test]
fn an_event_names_the_rules_that_redacted_it_if_they_are_not_the_built_in_ones() {
    let honest = record(&Ledger::in_memory());
    assert!(
        honest.iter().all(|text| !text.contains("redaction_rules")),
        "the bytes of built-in rules are as they were"
    );
    let same = record(&Ledger::in_memory().with_redactor(redactor("")));
    assert!(same.iter().all(|text| !text.contains("redaction_rules")), "a file that says nothing");

    let off: Vec<String> = Rules::builtin().unwrap().ids().map(str::to_owned).collect();
    let badge = "[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n";
    let sets = [
        redactor(badge),
        redactor("off = [\"json_web_token\"]"),
        redactor(&format!("off = {off:?}")),
        redactor("[[allow]]\nid = \"x\"\npattern = 'hunter2'\n"),
        Redactor::new(Rules::default()).unwrap(),
    ];
    for other in sets {
        let named = format!("\"redaction_rules\":\"{}\"", other.digest());
        let texts = record(&Ledger::in_memory().with_redactor(other));
        assert_eq!(texts.len(), honest.len());
        for text in &texts {
            assert!(text.contains(&named), "{named} is not in {text}");
            // Two of them say it of the bytes as well.
            let twice = text.contains("EVIDENCE_PUT") && !text.contains("by_digest");
            assert_eq!(text.matches(&named).count(), if twice { 2 } else { 1 }, "{text}");
        }
    }
    // The ledger's own rules as well, and what maintenance writes by them.
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let digest = ledger.set_own_rules(Some(badge)).unwrap().digest().to_owned();
    let ledger = Ledger::open(&path).unwrap();
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(0);
        Ok(())
    });
    set.unwrap();
    let recorded = record(&ledger);
    let run = ledger.retain(&actor(), &mut |_, _| {}).unwrap().run_id.unwrap();
    let removed = texts(&ledger, run.as_str());
    assert!(removed.iter().any(|text| text.contains("BLOB_EXPIRE")));
    assert!(recorded.iter().chain(&removed).all(|text| text.contains(&digest)));
    assert!(ledger.audit().unwrap().overall_verdict().is_success());
}

#[test]
fn no_caller_says_for_the_kernel_what_was_done_to_evidence() {
    let ledger = Ledger::in_memory();
    let mut run = start(&ledger, "r");
    let claims = ["redactions", "allowed", "unscanned", "redaction_rules", "sealed", "restored", "by_digest"];
    let mut put = Put::text();
    put.meta = claims.iter().map(|name| (*name, Value::from("claimed"))).chain([("note", "mine".into())]).collect();
    run.put("log", b"all is well", put.clone()).unwrap();
    let digest = Digest256 { hash: BlobHash::of(b"elsewhere"), bytes_len: 9 };
    run.put_digest("disk", &digest, "disk.img", put).unwrap();
    for text in &texts(&ledger, "r")[1..] {
        assert!(text.contains("mine") && !text.contains("claimed"), "{text}");
    }
}

/// Something that is done to a ledger.
type Act<'a> = &'a dyn Fn(&Ledger);

#[test]
fn a_fault_in_the_redaction_loses_no_run_and_shows_no_secret() {
    let fault = "the fault is here";
    let redactor = || Redactor::builtin().clone().with_planted_fault(fault);
    let secret = format!("hunter2hunter2 {fault}");
    let withheld: [(&str, Act<'_>); 6] = [
        ("evidence", &|ledger| drop(start(ledger, "r").put("log", secret.as_bytes(), Put::text()).unwrap())),
        ("a stream", &|ledger| {
            let mut spool = ledger.spool(EvidenceClass::Public).unwrap();
            spool.push(b"before, ").unwrap();
            spool.push(secret.as_bytes()).unwrap();
            spool.push(&vec![b'x'; 4 << 20]).unwrap();
            start(ledger, "r").put_source("log", spool.finish().unwrap(), Put::text()).unwrap();
        }),
        ("a payload", &|ledger| drop(start(ledger, "r").append(decision(secret.as_str())).unwrap())),
        ("a reason", &|ledger| drop(start(ledger, "r").advance("COLLECT", &secret).unwrap())),
        ("meta", &|ledger| {
            let mut put = Put::text();
            put.meta.insert("note", secret.as_str());
            start(ledger, "r").put("log", b"all is well", put).unwrap();
        }),
        ("an actor", &|ledger| {
            let actor = Actor::new("system", secret.as_str());
            ledger.start("r", Policy::structural().unwrap(), actor, Object::new()).unwrap();
        }),
    ];
    for (what, record) in withheld {
        let (folder, path) = new_path();
        let ledger = Ledger::create(&path).unwrap().with_redactor(redactor());
        record(&ledger);
        let evaluation = ledger.evaluate("r", None).unwrap();
        assert_eq!(evaluation.overall_verdict, Verdict::Unknown, "{what}");
        assert!(evaluation.complaints().any(|(_, reason)| reason.code == "REDACTION_FAILED"), "{what}");
        assert!(!holds(&everything_in(folder.path()), "hunter2"), "{what}");
        assert!(ledger.audit().unwrap().overall_verdict().is_success(), "{what}");
    }
    // Without the text at which it fails it does not.
    let ledger = Ledger::in_memory().with_redactor(redactor());
    start(&ledger, "r").put("log", b"all is well", Put::text()).unwrap();
    let evaluation = ledger.evaluate("r", None).unwrap();
    assert!(evaluation.complaints().all(|(_, reason)| reason.code != "REDACTION_FAILED"));
}
