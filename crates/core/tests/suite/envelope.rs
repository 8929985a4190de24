//! Envelopes: what is sealed reads back, and nothing else does.

use crate::spaced::spaced;
use proptest::prelude::*;
use receipt_core::Error;
use receipt_core::canonical::{self, Form};
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, Draft, Envelope, EventType, PolicyRef, Scratch, Sealed};
use receipt_core::error::JsonProblem;
use receipt_core::id::{BlobHash, BlobRef, EventHash, EventRef, RunId, Seq, Timestamp};
use receipt_core::json::{self, Limits, Object, Text, Value};
use receipt_core::stage::Stage;
use sha2::{Digest, Sha256};

const MEMBERS: [&str; 12] = [
    "actor",
    "event_hash",
    "event_schema_version",
    "event_type",
    "payload",
    "policy",
    "prev_event_hash",
    "refs",
    "run_id",
    "seq",
    "stage",
    "ts",
];

fn object(text: &str) -> Object {
    match json::parse(text.as_bytes(), Limits::READ).unwrap() {
        Value::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn draft() -> Draft {
    Draft {
        event_type: EventType::EvidencePut,
        stage: Stage::new("COLLECT"),
        policy: PolicyRef {
            policy_id: "release".to_owned(),
            policy_version: "1.0".to_owned(),
            stage_graph_id: "v1_default".to_owned(),
        }
        .into(),
        actor: Actor::new("system", "ci").into(),
        payload: object(r#"{"key":"stdout","n":1.5}"#),
        blobs: vec![BlobRef(BlobHash::of(b"hello"))],
        events: vec![EventRef { run_id: RunId::new("run/1"), seq: Seq::FIRST }],
        ts: Timestamp::from_micros(1_767_225_600_000_001),
        extra: Object::new(),
    }
}

fn link() -> Link {
    Link { run_id: RunId::new("run/1"), seq: Seq::new(2).unwrap(), prev: Some(EventHash::of(b"before")) }
}

fn sealed() -> Sealed {
    draft().seal(link()).unwrap()
}

/// The hash by the definition: take `event_hash` out of the value, write what is left, hash that.
fn hash_by_definition(text: &[u8]) -> EventHash {
    let Value::Object(mut members) = json::parse(text, Limits::READ).unwrap() else { panic!("not an object") };
    members.remove("event_hash");
    let bytes = canonical::to_bytes(&members.into(), Limits::READ).unwrap();
    EventHash::from_bytes(Sha256::digest(bytes).into())
}

/// What reading says: the claimed and the real hash.
fn hashes(text: &[u8]) -> Result<(EventHash, EventHash), Error> {
    Envelope::read(text, &mut Scratch::default()).map(|envelope| (envelope.claimed_hash, envelope.hash))
}

/// All that an envelope says, the scratch aside.
fn shown(read: &Envelope<'_>) -> impl std::fmt::Debug + use<> {
    let slices = [read.stage_json(), read.payload_json(), read.policy_json(), read.refs_json(), read.compact()]
        .map(<[u8]>::to_vec);
    (read.event_type, read.seq, read.claimed_hash, read.hash, read.prev, read.form, read.run_id(), read.ts(), slices)
}

/// The sealed text with one change to its members.
fn with(change: impl FnOnce(&mut Object)) -> Vec<u8> {
    let mut members = object(std::str::from_utf8(&sealed().text).unwrap());
    change(&mut members);
    canonical::to_bytes(&members.into(), Limits::READ).unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| Object::from_iter(members).into()),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Object> {
    prop::collection::vec((any::<String>(), any_value()), 0..4).prop_map(Object::from_iter)
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let words = (any::<String>(), any::<String>(), any::<String>(), any::<String>(), any::<String>(), any::<String>());
    let near_names = "(a|actos|event_has|event_hash_|event_schem|zz|ts_|\u{e9})[a-z]{0,2}";
    let extra_name = prop_oneof![any::<String>(), near_names.prop_map(|name: String| name)]
        .prop_filter("members of version 1 are not extra", |name| !MEMBERS.contains(&name.as_str()));
    let extra = prop::collection::vec((extra_name, any_value()), 0..5).prop_map(Object::from_iter);
    let refs =
        (prop::collection::vec(any::<[u8; 32]>(), 0..3), prop::collection::vec((any::<String>(), 1..i64::MAX), 0..3));
    (words, 0..8_usize, any_object(), extra, refs, 0..4_000_000_000_000_000_i64).prop_map(
        |(
            (stage, policy_id, policy_version, stage_graph_id, kind, id),
            which,
            payload,
            extra,
            (blobs, events),
            micros,
        )| Draft {
            event_type: EventType::ALL[which],
            stage: Stage::new(stage),
            policy: PolicyRef { policy_id, policy_version, stage_graph_id }.into(),
            actor: Actor { kind, id }.into(),
            payload,
            blobs: blobs.into_iter().map(|bytes| BlobRef(BlobHash::from_bytes(bytes))).collect(),
            events: events
                .into_iter()
                .filter_map(|(run, seq)| Some(EventRef { run_id: RunId::new(run), seq: Seq::new(seq)? }))
                .collect(),
            ts: Timestamp::from_micros(micros),
            extra,
        },
    )
}

fn any_link() -> impl Strategy<Value = Link> {
    (any::<String>(), 1..=i64::MAX, any::<Option<[u8; 32]>>()).prop_map(|(run, seq, prev)| Link {
        run_id: RunId::new(run),
        seq: Seq::new(seq).unwrap(),
        prev: prev.map(EventHash::from_bytes),
    })
}

proptest! {
    #[test]
    fn what_is_sealed_reads_back(draft in any_draft(), link in any_link()) {
        let sealed = draft.seal(link.clone()).unwrap();
        prop_assert_eq!(canonical::form(&sealed.text), Ok(Form::Compact));
        prop_assert_eq!(sealed.hash, hash_by_definition(&sealed.text));
        let mut scratch = Scratch::default();
        let read = Envelope::read(&sealed.text, &mut scratch).unwrap();
        prop_assert_eq!((read.hash, read.claimed_hash, read.form), (sealed.hash, sealed.hash, Form::Compact));
        prop_assert_eq!((read.event_type, read.seq, read.prev), (draft.event_type, link.seq, link.prev));
        prop_assert_eq!(read.run_id(), link.run_id.as_str());
        prop_assert!(read.is_of(link.run_id.as_str()));
        prop_assert_eq!(read.stage(), draft.stage);
        prop_assert_eq!(read.ts(), Text::from(draft.ts.to_string()));
        prop_assert_eq!(json::parse(read.payload_json(), Limits::READ).unwrap(), Value::from(draft.payload));
        let value = read.to_value().unwrap();
        for (key, extra) in &draft.extra {
            prop_assert_eq!(value.get(key.as_str().unwrap()), Some(extra));
        }
        prop_assert_eq!(value.as_object().unwrap().len(), MEMBERS.len() + draft.extra.len());
    }

    #[test]
    fn the_spaced_twin_reads_to_the_same(draft in any_draft(), link in any_link()) {
        let sealed = draft.seal(link).unwrap();
        let twin = spaced(&json::parse(&sealed.text, Limits::READ).unwrap());
        let mut scratch = Scratch::default();
        let read = Envelope::read(twin.as_bytes(), &mut scratch).unwrap();
        prop_assert_eq!((read.hash, read.claimed_hash, read.form), (sealed.hash, sealed.hash, Form::Spaced));
        prop_assert_eq!(read.compact(), sealed.text.as_slice());
        prop_assert_eq!(json::parse(read.payload_json(), Limits::READ).unwrap(), Value::from(draft.payload));
    }

    #[test]
    fn a_scratch_that_served_another_text_changes_nothing(
        first in any_draft(), second in any_draft(), share in any::<[bool; 4]>(), at in any::<prop::sample::Index>(),
        byte in any::<u8>(), wide in any::<[bool; 2]>(),
    ) {
        let mut second = second;
        if share[0] { second.policy = first.policy.clone(); }
        if share[1] { second.actor = first.actor.clone(); }
        if share[2] { (second.blobs, second.events) = (first.blobs.clone(), first.events.clone()); }
        if share[3] { (second.stage, second.event_type) = (first.stage.clone(), first.event_type); }
        let [before, mut text] = [(first, wide[0]), (second, wide[1])].map(|(draft, wide)| {
            let sealed = draft.seal(link()).unwrap();
            let value = json::parse(&sealed.text, Limits::READ).unwrap();
            if wide { spaced(&value).into_bytes() } else { sealed.text }
        });
        let mut damaged = before.clone();
        let index = at.index(damaged.len());
        damaged[index] = byte;
        let index = at.index(text.len());
        for after in [text.clone(), { text[index] = byte; text }] {
            let fresh = format!("{:?}", Envelope::read(&after, &mut Scratch::default()).map(|read| shown(&read)));
            let mut scratch = Scratch::default();
            for first in [&before, &damaged, &before] {
                let _ = Envelope::read(first, &mut scratch).map(|read| shown(&read));
                prop_assert_eq!(format!("{:?}", Envelope::read(&after, &mut scratch).map(|read| shown(&read))), fresh.clone());
            }
        }
    }

    #[test]
    fn any_byte_changed_inserted_or_removed_is_detected(
        draft in any_draft(), link in any_link(), at in any::<prop::sample::Index>(), byte in any::<u8>(), wide in any::<bool>(),
    ) {
        let sealed = draft.seal(link).unwrap();
        let value = json::parse(&sealed.text, Limits::READ).unwrap();
        let text = if wide { spaced(&value).into_bytes() } else { sealed.text };
        let index = at.index(text.len());
        let mut changed = text.clone();
        changed[index] = byte;
        let mut longer = text.clone();
        longer.insert(index, byte);
        let mut shorter = text.clone();
        shorter.remove(index);
        for tampered in [changed, longer, shorter].into_iter().filter(|tampered| *tampered != text) {
            let missed = hashes(&tampered).is_ok_and(|(claimed, real)| claimed == real);
            prop_assert!(!missed, "{}", String::from_utf8_lossy(&tampered));
        }
    }
}

#[test]
fn every_bit_flipped_in_either_form_is_detected() {
    let draft = Draft { extra: object(r#"{"é":1,"a":[],"source":{"x":"\ud800"}}"#), ..draft() };
    let compact = draft.seal(link()).unwrap().text;
    let twin = spaced(&json::parse(&compact, Limits::READ).unwrap()).into_bytes();
    let mut flips = 0;
    for text in [compact, twin] {
        assert!(hashes(&text).is_ok_and(|(claimed, real)| claimed == real));
        for bit in 0..text.len() * 8 {
            let mut tampered = text.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            let missed = hashes(&tampered).is_ok_and(|(claimed, real)| claimed == real);
            assert!(!missed, "{}", String::from_utf8_lossy(&tampered));
            flips += 1;
        }
    }
    assert!(flips > 10_000, "{flips}");
}

#[test]
fn a_scratch_that_served_the_same_text_says_the_same_of_each_space_too_many() {
    let compact = sealed().text;
    let twin = spaced(&json::parse(&compact, Limits::READ).unwrap()).into_bytes();
    for first in [&compact, &twin] {
        for (text, at) in [&compact, &twin].into_iter().flat_map(|text| (0..=text.len()).map(move |at| (text, at))) {
            let mut wider = text.clone();
            wider.insert(at, b' ');
            let mut scratch = Scratch::default();
            assert!(Envelope::read(first, &mut scratch).is_ok());
            let after = Envelope::read(&wider, &mut scratch).map(|read| (read.claimed_hash, read.hash));
            assert_eq!(after, hashes(&wider), "{}", String::from_utf8_lossy(&wider));
        }
    }
}

#[test]
fn extra_members_are_sorted_in_before_between_and_after() {
    let extra =
        object(r#"{"":0,"aa":1,"event_has":2,"event_hash_2":3,"event_hashes":4,"payloae":5,"tt":6,"\u00e9":7}"#);
    let count = extra.len();
    let sealed = Draft { extra, ..draft() }.seal(link()).unwrap();
    assert_eq!(canonical::form(&sealed.text), Ok(Form::Compact));
    assert_eq!(sealed.hash, hash_by_definition(&sealed.text));
    let value = json::parse(&sealed.text, Limits::READ).unwrap();
    assert_eq!(value.as_object().unwrap().len(), MEMBERS.len() + count);
    assert_eq!(hashes(&sealed.text), Ok((sealed.hash, sealed.hash)));
}

#[test]
fn an_extra_member_cannot_take_the_place_of_a_member_of_version_1() {
    for name in MEMBERS {
        let refused = Draft { extra: Object::from_iter([(name, 1)]), ..draft() }.seal(link());
        assert!(matches!(refused, Err(Error::Draft { field: "extra", .. })), "{name}");
    }
}

#[test]
fn keys_that_cannot_be_encoded_are_refused_wherever_they_stand() {
    let mut half = Text::default();
    half.push(0xD800);
    let object = Object::from_members(vec![(half, Value::Null)]);
    for refused in [
        Draft { extra: object.clone(), ..draft() },
        Draft { payload: object.clone(), ..draft() },
        Draft { payload: Object::from_iter([("a", vec![Value::from(object)])]), ..draft() },
    ] {
        let problem = refused.seal(link());
        assert!(matches!(problem, Err(Error::Json { problem: JsonProblem::SurrogateKey, .. })), "{problem:?}");
    }
}

#[test]
fn what_is_nested_too_deep_is_refused_on_write_and_the_whole_envelope_counts() {
    let nested =
        |depth: usize| (1..depth).fold(Object::new(), |inner, _| Object::from_iter([("a", Value::from(inner))]));
    for depth in [198, 199] {
        let sealed = Draft { payload: nested(depth), ..draft() }.seal(link()).unwrap();
        assert!(json::parse(&sealed.text, Limits::WRITE).is_ok());
    }
    let refused = Draft { payload: nested(200), ..draft() }.seal(link());
    assert!(matches!(refused, Err(Error::Json { problem: JsonProblem::TooDeep { .. }, .. })));
}

#[test]
fn an_envelope_is_read_to_the_depth_to_which_its_text_is_read() {
    let nested = |depth: usize| {
        let payload = format!("{}{{}}{}", r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
        let text = String::from_utf8(sealed().text).unwrap();
        text.replace(r#"{"key":"stdout","n":1.5}"#, &payload).into_bytes()
    };
    let mut scratch = Scratch::default();
    let deepest = nested(Limits::READ.depth - 1);
    assert!(Envelope::read(&deepest, &mut scratch).unwrap().to_value().is_ok());
    for depth in [Limits::READ.depth, 100_000] {
        let refused = Envelope::read(&nested(depth), &mut scratch).map(|_| ());
        assert!(matches!(refused, Err(Error::Json { problem: JsonProblem::TooDeep { .. }, .. })), "{refused:?}");
    }
}

#[test]
fn each_member_of_version_1_is_required() {
    for name in MEMBERS {
        let text = with(|members| drop(members.remove(name)));
        assert!(matches!(hashes(&text), Err(Error::Draft { field, .. }) if field == name), "{name}");
    }
    // event_hash as the last and as the only member.
    let last =
        br#"{"actor":{},"event_hash":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#;
    assert!(matches!(hashes(last), Err(Error::Draft { problem, .. }) if problem == "it is missing"));
    for text in ["{}", r#"{"event_hash":""}"#, r#"{"event_hash": 1}"#] {
        assert!(matches!(hashes(text.as_bytes()), Err(Error::Draft { .. })), "{text}");
    }
    for text in ["", "5", "null", "[]", "\"\"", "{bad", "{\"a\"", "{"] {
        assert!(matches!(hashes(text.as_bytes()), Err(Error::Json { .. })), "{text}");
    }
}

#[test]
fn a_member_of_the_wrong_type_is_refused_by_name() {
    let wrong: [(&str, &[&str]); 12] = [
        ("actor", &["null", "[]", r#""x""#, "{}", r#"{"id":1,"kind":"a"}"#, r#"{"id":"a"}"#]),
        (
            "event_hash",
            &[
                "null",
                "1",
                r#""""#,
                r#""sha256:00""#,
                r#""SHA256:0000000000000000000000000000000000000000000000000000000000000000""#,
            ],
        ),
        ("event_schema_version", &["0", "2", "999", r#""1""#, "1.0", "true", "null", "-1", "18446744073709551617"]),
        ("event_type", &["null", "1", r#""""#, r#""run_start""#, r#""RUN_START ""#, r#""RUN_STARTS""#]),
        ("payload", &["null", "[]", "1", r#""x""#, "true"]),
        (
            "policy",
            &[
                "null",
                "{}",
                r#"{"policy_id":"a","policy_version":"b"}"#,
                r#"{"policy_id":1,"policy_version":"b","stage_graph_id":"c"}"#,
            ],
        ),
        (
            "prev_event_hash",
            &[
                "0",
                r#""null""#,
                r#""""#,
                r#""sha256:FF00000000000000000000000000000000000000000000000000000000000000""#,
            ],
        ),
        (
            "refs",
            &[
                "null",
                "[]",
                "{}",
                r#"{"blobs":[]}"#,
                r#"{"blobs":[],"events":{}}"#,
                r#"{"blobs":[1],"events":[]}"#,
                r#"{"blobs":"x","events":[]}"#,
            ],
        ),
        ("run_id", &["null", "1", "[]"]),
        ("seq", &["0", "-1", "1.0", r#""1""#, "true", "null", "9223372036854775808"]),
        ("stage", &["null", "1", "{}"]),
        ("ts", &["null", "1", "{}"]),
    ];
    for (name, values) in wrong {
        for value in values {
            let value = json::parse(value.as_bytes(), Limits::READ).unwrap();
            let text = with(|members| drop(members.insert(name, value.clone())));
            let read = hashes(&text);
            assert!(matches!(&read, Err(Error::Draft { field, .. }) if *field == name), "{name} {value:?}: {read:?}");
        }
    }
}

#[test]
fn a_newer_version_says_so() {
    for (version, newer) in [("0", false), ("2", true), ("999", true), ("true", false)] {
        let value = json::parse(version.as_bytes(), Limits::READ).unwrap();
        let text = with(|members| drop(members.insert("event_schema_version", value)));
        let message = hashes(&text).unwrap_err().to_string();
        assert_eq!(message.contains("newer than supported"), newer, "{message}");
    }
}

#[test]
fn further_members_of_the_nested_objects_are_read_and_hashed() {
    for (name, value) in [
        ("actor", r#"{"id":"\u00e9\"","kind":"x","note":1}"#),
        ("policy", r#"{"a":0,"policy_id":"a\n","policy_version":"b","stage_graph_id":"c"}"#),
        ("refs", r#"{"blobs":["anything"],"events":[],"more":1}"#),
    ] {
        let text = with(|members| drop(members.insert(name, Value::from(object(value)))));
        let (_, real) = hashes(&text).unwrap();
        assert_eq!(real, hash_by_definition(&text));
        assert_ne!(real, sealed().hash);
    }
}

#[test]
fn the_worked_example_of_the_format_document_is_right() {
    let path = format!("{}/../../docs/FORMAT.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let envelopes: Vec<&str> = page.lines().filter(|line| line.starts_with(r#"{"actor":{"#)).collect();
    let [hashed, stored] = envelopes.as_slice() else { panic!("the page has {} envelopes", envelopes.len()) };
    let spaced_form = page.lines().find(|line| line.starts_with(r#"{"actor": "#)).unwrap();
    let hash = EventHash::of(hashed.as_bytes());
    assert_eq!(hashes(stored.as_bytes()), Ok((hash, hash)));
    assert_eq!(hashes(spaced_form.as_bytes()), Ok((hash, hash)));
    assert_eq!(hash_by_definition(stored.as_bytes()), hash);
    assert!(page.contains(&format!("`{hash}`")), "the page does not name {hash}");
}
