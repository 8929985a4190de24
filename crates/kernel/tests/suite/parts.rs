//! Evidence that lies in parts: scanned, redacted and read as the one text that it is, and each part alone.

use crate::common::actor;
use crate::forge::{Bundle, event_like, set};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::evidence::scan::{Place, Scanned};
use receipt_kernel::write::PARTS_TYPE;
use receipt_kernel::{BlobHash, Error, EvidenceClass, Ledger, Object, Put, RunId, RunWriter, Value, Verdict};

const OURS: &str = "[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n";

/// No rule knows it before a ledger has [`OURS`].
const CANARY: &str = "badge-7351";

/// What is recorded before the rule is known, and what a test does once it is.
struct Scene {
    path: std::path::PathBuf,
    ledger: Ledger,
    _folder: tempfile::TempDir,
}

fn start(ledger: &Ledger, run: &str) -> RunWriter {
    let mut writer = crate::common::start(ledger, run);
    writer.advance("COLLECT", "collecting").unwrap();
    writer
}

fn finish(mut run: RunWriter) {
    run.advance("EVALUATE", "collected").unwrap();
    run.evaluate().unwrap();
    run.advance("DECIDE", "evaluated").unwrap();
    run.decide("d", &["it is done"], "none").unwrap();
    run.finalize("done").unwrap();
}

fn put(run: &mut RunWriter, key: &str, bytes: &[u8]) -> BlobHash {
    run.put(key, bytes, Put::text()).unwrap().hash
}

fn put_list(run: &mut RunWriter, key: &str, parts: &[BlobHash], more: &str) -> BlobHash {
    let parts: Vec<String> = parts.iter().map(|part| format!("{{\"sha256\":\"{part}\"}}")).collect();
    let list = format!("{{\"parts\":[{}]{more}}}", parts.join(","));
    run.put(key, list.as_bytes(), Put::of_type(PARTS_TYPE)).unwrap().hash
}

/// A ledger in which run `r` has recorded something before the rule was known.
fn scene<T>(record: impl FnOnce(&mut RunWriter) -> T) -> (Scene, T) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::create(&path).unwrap();
    let mut run = start(&ledger, "r");
    let recorded = record(&mut run);
    finish(run);
    ledger.set_own_rules(Some(OURS)).unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    (Scene { path, ledger, _folder: folder }, recorded)
}

impl Scene {
    /// Records more as if the rule were not known.
    fn before<T>(&self, run: &str, record: impl FnOnce(&mut RunWriter) -> T) -> T {
        let ledger = Ledger::open(&self.path).unwrap().with_redactor(receipt_kernel::Redactor::builtin().clone());
        let mut run = start(&ledger, run);
        let recorded = record(&mut run);
        finish(run);
        recorded
    }

    fn scan(&self) -> Vec<(BlobHash, (u64, u64))> {
        found(&self.ledger.scan(&[]).unwrap())
    }

    fn read(&self, list: &BlobHash) -> Result<String, Error> {
        let list = self.ledger.current(list, Some(&RunId::new("r")))?;
        let parts = self.ledger.parts(&list, None)?.unwrap();
        let bytes = parts.blobs.iter().map(|part| self.ledger.blob(part).map(|bytes| bytes.to_vec()));
        Ok(String::from_utf8(bytes.collect::<Result<Vec<_>, _>>()?.concat()).unwrap())
    }

    fn runs(&self) -> usize {
        let mut runs = 0;
        self.ledger
            .run_ids(&mut |_, _| {
                runs += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        runs
    }

    fn assert_clean(&self) {
        assert_eq!(self.scan(), []);
        let report = self.ledger.audit().unwrap();
        assert_eq!(report.overall_verdict(), Verdict::Pass, "{report:#?}");
        assert_eq!(report.outcomes.unfinished, 0);
    }
}

fn found(scanned: &Scanned) -> Vec<(BlobHash, (u64, u64))> {
    let blob = |place: &Place| match place {
        Place::Blob(hash) => *hash,
        other => panic!("{other}"),
    };
    scanned.findings.iter().map(|finding| (blob(&finding.place), finding.at.unwrap())).collect()
}

#[test]
fn a_part_is_looked_into_alone_too_as_the_end_of_the_part_before_can_hide_a_secret() {
    let (scene, (part, list)) = scene(|run| {
        let parts = [put(run, "a", b"x"), put(run, "p", CANARY.as_bytes())];
        (parts[1], put_list(run, "list", &parts, ""))
    });
    assert_eq!(scene.scan(), [(part, (0, 10))]);
    let done = scene.ledger.redact(&part, &actor()).unwrap();
    assert_eq!((done.old, done.redactions), (list, 1));
    assert_eq!(scene.read(&list).unwrap(), "x[REDACTED:badge]");
    assert!(matches!(scene.ledger.blob(&part), Err(Error::BlobUnavailable { .. })));
    scene.assert_clean();
}

#[test]
fn a_secret_that_a_part_and_its_list_show_is_counted_once() {
    let (scene, (lists, text)) = scene(|run| {
        let [before, secret, half, rest] =
            ["at ", "a badge-7351 ", "a badge-", "7351 b"].map(|text| put(run, "part", text.as_bytes()));
        let lists = [
            put_list(run, "first", &[before, secret, half, rest], ""),
            put_list(run, "again", &[secret, before, secret], ""),
        ];
        (lists, secret)
    });
    let mut found = scene.scan();
    found.sort_unstable();
    // The first list that is read shows the one in the part, and the other list no more of it.
    let first = *lists.iter().min().unwrap();
    let mut wanted = vec![(lists[0], (18, 10)), (first, if first == lists[0] { (5, 10) } else { (2, 10) })];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let scanned = scene.ledger.scan(&[]).unwrap();
    assert_eq!((scanned.blobs, scanned.more, scanned.unscanned.len()), (6, 0, 0));
    // All that hangs together goes together, whichever of it is named.
    let done = scene.ledger.redact(&text, &actor()).unwrap();
    assert!(lists.contains(&done.old));
    assert_eq!(scene.read(&lists[0]).unwrap(), "at a [REDACTED:badge] a [REDACTED:badge] b");
    assert_eq!(scene.read(&lists[1]).unwrap(), "a [REDACTED:badge] at a [REDACTED:badge] ");
    scene.assert_clean();
}

#[test]
fn a_secret_in_a_list_itself_is_found_and_replaced() {
    let (scene, list) = scene(|run| {
        let part = put(run, "a", b"nothing");
        put_list(run, "list", &[part], ",\"note\":\"badge-7351\"")
    });
    assert_eq!(scene.scan().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [list]);
    assert_eq!(scene.ledger.redact(&list, &actor()).unwrap().redactions, 1);
    assert_eq!(scene.read(&list).unwrap(), "nothing");
    scene.assert_clean();
}

#[test]
fn evidence_of_tiny_parts_is_put_in_few() {
    let (scene, list) = scene(|run| {
        let text = "badge-7351 0badge-7351\n".repeat(200);
        let parts: Vec<BlobHash> = text.bytes().map(|byte| BlobHash::of(&[byte])).collect();
        for byte in b"badge-7351 0\n" {
            put(run, "byte", &[*byte]);
        }
        put_list(run, "list", &parts, "")
    });
    let done = scene.ledger.redact(&list, &actor()).unwrap();
    assert_eq!(done.redactions, 200);
    assert_eq!(scene.read(&list).unwrap(), "[REDACTED:badge] 0badge-7351\n".repeat(200));
    let facts = scene.ledger.events(done.run_id.as_str(), &mut |_| {}).unwrap();
    assert!(facts.events < 40, "{}", facts.events);
}

#[test]
fn a_list_that_names_replaced_parts_is_read_and_redacted_in_any_order() {
    for order in ["before", "after", "after, by its part", "after, and again"] {
        let (scene, [p, q, first]) = scene(|run| {
            let parts = [put(run, "p", b"one "), put(run, "q", b"two badge-7351 ")];
            [parts[0], parts[1], put_list(run, "first", &parts, "")]
        });
        let second = |scene: &Scene| {
            scene.before("s", |run| {
                let r = put(run, "r", b"three badge-7351 ");
                (r, put_list(run, "second", &[p, r], ""))
            })
        };
        let (r, list) = if order == "before" {
            let second = second(&scene);
            scene.ledger.redact(&first, &actor()).unwrap();
            second
        } else {
            scene.ledger.redact(&q, &actor()).unwrap();
            let second = second(&scene);
            assert_eq!(scene.scan().len(), 1, "{order}");
            let named = if order == "after, by its part" { second.0 } else { second.1 };
            assert_eq!(scene.ledger.redact(&named, &actor()).unwrap().old, second.1, "{order}");
            second
        };
        let replaced = scene.ledger.current(&list, Some(&RunId::new("s"))).unwrap();
        assert_ne!(replaced, list, "{order}");
        assert_eq!(scene.read(&first).unwrap(), "one two [REDACTED:badge] ", "{order}");
        let text = scene.read(&replaced).unwrap();
        assert!(text.starts_with("one ") && text.ends_with("three [REDACTED:badge] "), "{order}: {text}");
        // A list that is put once all of them are gone: neighbours that one list replaced are that list, once.
        let late = scene.before("t", |run| put_list(run, "late", &[p, q, r], ""));
        let text = scene.read(&late).unwrap();
        assert!(text.starts_with("one two [REDACTED:badge] ") && text.ends_with("three [REDACTED:badge] "), "{text}");
        if order == "after, and again" {
            let again = scene.ledger.redact(&replaced, &actor());
            assert!(matches!(again, Err(Error::NothingToRedact { .. })), "{again:?}");
        }
        scene.assert_clean();
    }
}

#[test]
fn a_part_that_was_replaced_by_itself_is_read_where_a_later_list_names_it() {
    let (scene, part) = scene(|run| put(run, "p", b"a badge-7351 "));
    scene.ledger.redact(&part, &actor()).unwrap();
    let list = scene.before("s", |run| {
        let other = put(run, "q", b"and badge-1234");
        put_list(run, "list", &[part, other, part], "")
    });
    assert_eq!(scene.read(&list).unwrap(), "a [REDACTED:badge] and badge-1234a [REDACTED:badge] ");
    scene.ledger.redact(&list, &actor()).unwrap();
    let now = scene.ledger.current(&list, None).unwrap();
    assert_eq!(
        scene.read(&now).unwrap(),
        "a [REDACTED:badge] and badge-1234a [REDACTED:badge] ".replace("badge-1234a", "[REDACTED:badge]a")
    );
}

#[test]
fn a_refused_redaction_leaves_no_run() {
    let (scene, [secret, harmless]) = scene(|run| [put(run, "p", b"a badge-7351 "), put(run, "q", b"nothing")]);
    let hold = |held: bool| {
        let changed: Result<_, Error> = scene.ledger.set_retention(|retention| {
            retention.holds.clear();
            if held {
                retention.holds.insert("r".to_owned(), "asked for".to_owned());
            }
            Ok(())
        });
        changed.unwrap();
    };
    hold(true);
    let before = scene.runs();
    assert!(matches!(scene.ledger.redact(&secret, &actor()), Err(Error::Held { .. })));
    hold(false);
    assert!(matches!(scene.ledger.redact(&harmless, &actor()), Err(Error::NothingToRedact { .. })));
    let nothing = BlobHash::of(b"nowhere");
    assert!(matches!(scene.ledger.redact(&nothing, &actor()), Err(Error::BlobNotFound { .. })));
    assert_eq!(scene.runs(), before);
    scene.ledger.redact(&secret, &actor()).unwrap();
    scene.assert_clean();
}

#[test]
fn a_list_may_name_a_part_again_but_no_large_one_and_not_without_limit() {
    let (scene, [large, often, few]) = scene(|run| {
        let small = put(run, "small", &[b"a line of a log \n".repeat(1 << 16), CANARY.into()].concat());
        let large = put(run, "large", &b"a line of a log\n".repeat(1 << 20));
        [
            put_list(run, "large", &[large, small, large], ""),
            put_list(run, "often", &vec![small; 20_000], ""),
            put_list(run, "few", &[small; 3], ""),
        ]
    });
    let parts = |list| scene.ledger.parts(list, None);
    assert!(matches!(parts(&large), Err(Error::NotParts { .. })));
    assert_eq!(parts(&often).unwrap().unwrap().blobs.len(), 20_000);
    assert_eq!(parts(&few).unwrap().unwrap().blobs.len(), 3);
    let scanned = scene.ledger.scan(&[]).unwrap();
    assert_eq!(found(&scanned).len(), 1, "in the few, once");
    assert_eq!(found(&scanned)[0].0, few);
    let mut why: Vec<_> = scanned.unscanned.iter().map(|(at, why)| (at.as_str(), why.as_str())).collect();
    why.sort_unstable_by_key(|(_, why)| *why);
    let (often, large) = (format!("blob://sha256:{often}"), format!("blob://sha256:{large}"));
    let wanted = [
        (large.as_str(), "its parts were not looked into as one text: it names a part of more than 8 MiB twice"),
        (often.as_str(), "its parts were not looked into as one text: the same parts are named too often"),
    ];
    assert_eq!(why, wanted);
    // They do not keep anybody from redacting the part.
    scene.ledger.redact(&few, &actor()).unwrap();
    assert!(scene.ledger.scan(&[]).unwrap().findings.is_empty());
}

/// A stranger's run that puts `x`, says that it was replaced by `y`, and puts that.
fn stranger(x: &[u8], y: &[u8]) -> Vec<u8> {
    let ledger = Ledger::in_memory();
    let mut run = start(&ledger, "stranger");
    put(&mut run, "x", x);
    put(&mut run, "y", y);
    run.finalize("over").unwrap();
    let mut bundle = Vec::new();
    ledger.export(&Export::of(RunId::new("stranger")), &mut bundle).unwrap();
    let mut bundle = Bundle::read(&bundle);
    let members = [
        ("sha256", Value::from(BlobHash::of(x).to_string())),
        ("bytes_len", Value::from(x.len())),
        ("evidence_class", EvidenceClass::Public.as_str().into()),
        ("from_state", "live".into()),
        ("to_state", "expired_hash_only".into()),
        ("reason", "redaction".into()),
        ("replaced_by", BlobHash::of(y).to_string().into()),
    ];
    let receipt = event_like(&bundle.events[3], "BLOB_EXPIRE", "COLLECT", Object::from_iter(members));
    bundle.events.insert(4, receipt);
    bundle.rechain();
    for (record, bytes) in &mut bundle.blobs {
        if record.get("sha256").and_then(Value::as_str) == Some(&BlobHash::of(x).to_string()) {
            set(record, &["state"], "expired");
            *bytes = None;
        }
    }
    bundle.write()
}

#[test]
fn a_strangers_receipt_does_not_say_what_stands_for_evidence_of_mine() {
    let (x, y) = (b"what I recorded", b"what a stranger says it was");
    let bundle = stranger(x, y);
    let (scene, hash) = scene(|run| put(run, "key", x));
    let list = scene.before("list", |run| put_list(run, "list", &[hash], ""));
    let imported = scene.ledger.import(&Verify::default(), &mut &bundle[..]).unwrap();
    assert!(imported.report.overall_verdict().is_success(), "{:#?}", imported.report);
    let sql = "UPDATE blobs SET state = 'expired_hash_only', data = NULL WHERE sha256 = ?1";
    let connection = rusqlite::Connection::open(&scene.path).unwrap();
    assert_eq!(connection.execute(sql, [hash.to_string()]).unwrap(), 1);
    drop(connection);
    let current = |run: Option<&str>| scene.ledger.current(&hash, run.map(RunId::new).as_ref()).unwrap();
    assert_eq!(current(Some("r")), hash);
    assert_eq!(current(None), hash);
    assert_eq!(current(Some("stranger")), BlobHash::of(y), "for its own evidence it counts");
    assert!(matches!(scene.read(&list), Err(Error::BlobUnavailable { .. })));
    let parts = |run| scene.ledger.parts(&list, Some(&RunId::new(run))).unwrap().unwrap().blobs;
    assert_eq!(parts("r"), [hash]);
}

#[test]
fn a_list_of_a_stranger_does_not_draw_evidence_into_a_redaction_of_mine() {
    let (scene, [secret, other]) = scene(|run| [put(run, "p", b"a badge-7351 "), put(run, "q", b"nothing")]);
    let there = Ledger::in_memory();
    let mut run = start(&there, "stranger");
    let parts = [put(&mut run, "p", b"a badge-7351 "), put(&mut run, "q", b"nothing")];
    let list = put_list(&mut run, "list", &parts, "");
    finish(run);
    let mut bundle = Vec::new();
    there.export(&Export::of(RunId::new("stranger")), &mut bundle).unwrap();
    assert!(scene.ledger.import(&Verify::default(), &mut &bundle[..]).unwrap().new);
    let done = scene.ledger.redact(&secret, &actor()).unwrap();
    assert_eq!(done.old, secret);
    assert_eq!(&*scene.ledger.blob(&other).unwrap(), b"nothing");
    assert_eq!(
        scene.ledger.blob(&list).unwrap().len() as u64,
        scene.ledger.blob_record(&list).unwrap().0.unwrap().bytes_len
    );
    assert_eq!(scene.scan(), []);
}
