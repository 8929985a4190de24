//! Signed notes, checkpoints, proofs in text, and witness policies.

use receipt_core::checkpoint::{Checkpoint, ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_core::id::{EventHash, NodeHash};
use receipt_core::merkle::{Frontier, Subtree, TreeHead, prove_consistency, prove_inclusion};
use receipt_core::note::{KeyKind, Note, Signing, Standing, VerifierKey};
use receipt_core::witness::WitnessPolicy;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write;

/// The example in the documentation of Go's `sumdb/note`.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key(name: &str, kind: KeyKind, seed: u8) -> Signing {
    Signing::from_seed(name.parse().unwrap(), kind, &[seed; 32])
}

#[test]
fn the_example_of_go_is_read_checked_and_made_again() {
    let verifier: VerifierKey = GO_KEY.parse().unwrap();
    assert_eq!(verifier.to_string(), GO_KEY);
    let note = Note::parse(GO_NOTE.as_bytes()).unwrap();
    assert_eq!(note.standing(&verifier), Standing::Good { time: None });
    assert_eq!(note.to_string(), GO_NOTE);
    let secret = Signing::from_secret_text(GO_SECRET).unwrap();
    assert_eq!(secret.to_secret_text(), GO_SECRET);
    assert_eq!(Note::new(note.text().to_owned()).unwrap().signed(&secret, 0), note);
    assert!(!format!("{secret:?}").contains("YEKFALV"), "a secret was shown");
}

#[test]
fn a_flipped_bit_anywhere_leaves_no_good_signature() {
    let verifier: VerifierKey = GO_KEY.parse().unwrap();
    let mut bytes = GO_NOTE.as_bytes().to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(note) = Note::parse(&bytes) {
            assert!(!matches!(note.standing(&verifier), Standing::Good { .. }), "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for end in 0..bytes.len() {
        assert!(Note::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn another_implementation_accepts_our_checkpoints_and_we_accept_its_notes() {
    use signed_note::{Signer, StandardSigner, StandardVerifier, VerifierList};
    let ours = key("example.com/log", KeyKind::Note, 3);
    let head = TreeHead { size: 7, root: NodeHash::from_bytes([9; 32]) };
    let checkpoint = Checkpoint::new(ours.verifier().name().clone(), head).sign(&[&ours]).unwrap().to_string();
    let verifier = || StandardVerifier::new(&ours.verifier().to_string()).unwrap();
    let theirs = |text: &str| {
        let note = signed_note::Note::from_bytes(text.as_bytes()).ok()?;
        let (good, unknown) = note.verify(&VerifierList::new(vec![Box::new(verifier())])).ok()?;
        (good.len() == 1 && unknown.is_empty()).then(|| note.text().to_vec())
    };
    let text = theirs(&checkpoint).expect("it accepts what we sign");
    assert_eq!(text, format!("example.com/log\n7\n{}\n", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=").into_bytes());
    assert_eq!(theirs(&checkpoint.replacen("\n7\n", "\n8\n", 1)), None, "the control: a changed size");

    let signer = StandardSigner::new(&ours.to_secret_text()).unwrap();
    assert_eq!(signer.name(), "example.com/log");
    let mut note = signed_note::Note::new(b"a text of theirs\n", &[]).unwrap();
    note.add_sigs(&[&signer as &dyn Signer]).unwrap();
    let note = Note::parse(&note.to_bytes()).unwrap();
    assert!(matches!(note.standing(ours.verifier()), Standing::Good { .. }));
    assert_eq!(note.text(), "a text of theirs\n");
}

#[test]
fn what_is_no_note_is_refused() {
    let line = "— a AAAAAAA=\n";
    assert!(Note::parse(format!("t\n\n{line}").as_bytes()).is_ok());
    for bad in [
        "",
        "t\n",
        "t\n\n",
        "t\n\nx\n",
        "t\n\n— a AAAA\n",
        "t\n\n— a AAAAAA\n",
        "t\n\n— a AA==AA==\n",
        "t\n\n— a+b AAAAAAA=\n",
        "t\n\n— a AAAAAAA= x\n",
        "t\u{1}\n\n— a AAAAAAA=\n",
        "\n\n— a AAAAAAA=",
        "t\r\n\n— a AAAAAAA=\n",
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::parse(format!("t\n\n{}", line.repeat(100)).as_bytes()).is_ok());
    assert!(Note::parse(format!("t\n\n{}", line.repeat(101)).as_bytes()).is_err());
}

#[test]
fn weak_and_mismatched_keys_are_refused() {
    // The neutral element, under its right id: every signature of a certain form would verify.
    let mut weak = [0u8; 33];
    (weak[0], weak[1]) = (1, 1);
    let id = <sha2::Sha256 as sha2::Digest>::digest([b"a\n".as_slice(), &weak].concat());
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let text = format!("a+{}+{}", hex(&id[..4]), data_encoding::BASE64.encode(&weak));
    assert!(text.parse::<VerifierKey>().is_err());
    assert!(GO_KEY.replace("c74f20a3", "c74f20a4").parse::<VerifierKey>().is_err());
    assert!(GO_KEY.replace("Peter", "Petra").parse::<VerifierKey>().is_err());
    let error = Signing::from_secret_text(&GO_SECRET.replace("c74f20a3", "c74f20a4")).unwrap_err();
    assert!(!error.to_string().contains("YEKFALV"));
}

#[test]
fn a_cosignature_binds_its_time_and_its_kind() {
    let (witness, other) = (key("w.example", KeyKind::Cosignature, 1), key("w.example", KeyKind::Note, 1));
    let note = Note::new("log.example\n0\nx\n".to_owned()).unwrap().signed(&witness, 1_700_000_000);
    assert_eq!(note.standing(witness.verifier()), Standing::Good { time: Some(1_700_000_000) });
    assert_eq!(note.standing(other.verifier()), Standing::Unsigned);
    let twice = note.clone().signed(&witness, 1_800_000_000);
    assert_eq!(twice.standing(witness.verifier()), Standing::Good { time: Some(1_800_000_000) });
    let text = note.to_string();
    let at = text.rfind(' ').unwrap() + 10;
    let mut bent = text.into_bytes();
    bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(Note::parse(&bent).unwrap().standing(witness.verifier()), Standing::Bad);
}

struct Log {
    nodes: HashMap<Subtree, NodeHash>,
    heads: Vec<TreeHead>,
}

fn event(index: u64) -> EventHash {
    EventHash::of(&index.to_be_bytes())
}

fn log(size: u64) -> Log {
    let mut frontier = Frontier::default();
    let mut log = Log { nodes: HashMap::new(), heads: vec![frontier.head()] };
    for index in 0..size {
        assert!(frontier.push(&event(index), |at, hash| {
            log.nodes.insert(at, hash);
        }));
        log.heads.push(frontier.head());
    }
    log
}

#[test]
fn checkpoints_and_proofs_survive_their_text() {
    let log = log(20);
    let read = |at: Subtree| Ok::<_, Infallible>(log.nodes[&at]);
    let signer = key("log.example/ci", KeyKind::Note, 7);
    let checkpoint = Checkpoint::new("log.example/ci".parse().unwrap(), log.heads[20]).sign(&[&signer]).unwrap();
    assert_eq!(SignedCheckpoint::parse(checkpoint.to_string().as_bytes()).unwrap(), checkpoint);
    for index in 0..20 {
        let path = prove_inclusion(index, 20, read).unwrap().unwrap();
        let proof = InclusionProof { extra: Some(b"x".to_vec()), index, path, checkpoint: checkpoint.clone() };
        let back = InclusionProof::parse(proof.to_string().as_bytes()).unwrap();
        assert_eq!(back, proof);
        assert_eq!(back.check(&event(index)), Ok(()));
        assert!(back.check(&event(index + 1)).is_err());
    }
    for old in 1..=20u64 {
        let path = prove_consistency(old, 20, read).unwrap().unwrap();
        let proof = ConsistencyProof { old, path, checkpoint: checkpoint.clone() };
        let back = ConsistencyProof::parse(proof.to_string().as_bytes()).unwrap();
        let head = log.heads[usize::try_from(old).unwrap()];
        assert_eq!(back.check(&head), Ok(()));
        assert!(back.check(&TreeHead { root: NodeHash::of(b"another"), ..head }).is_err());
        assert!(back.check(&log.heads[usize::try_from(old - 1).unwrap()]).is_err());
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_ok());
    assert_eq!(Checkpoint::parse(&format!("a\n0\n{root}\nmore\n")).unwrap().extensions, ["more"]);
    for bad in [
        format!("a\n0\n{root}"),
        format!("a\n00\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n\n{root}\n"),
        format!("\n0\n{root}\n"),
        format!("a b\n0\n{root}\n"),
        format!("a\n4611686018427387905\n{root}\n"),
        format!("a\n0\n{root}\n\nmore\n"),
        "a\n0\nAAAA\n".to_owned(),
        "a\n0\n".to_owned(),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn further_lines_of_a_checkpoint_are_signed_with_it_and_are_no_way_to_say_two_things() {
    let (head, signer) = (log(3).heads[3], key("log.example/ci", KeyKind::Note, 7));
    let mut more = Checkpoint::new("log.example/ci".parse().unwrap(), head);
    more.extensions = vec!["a line".to_owned(), "\u{2014} log.example/ci AAAA".to_owned()];
    let closed = more.clone().sign(&[&signer]).unwrap();
    let back = SignedCheckpoint::parse(closed.to_string().as_bytes()).unwrap();
    assert_eq!((back.checkpoint(), back.note().standing(signer.verifier())), (&more, Standing::Good { time: None }));
    let fewer = closed.to_string().replacen("a line\n", "", 1);
    let fewer = SignedCheckpoint::parse(fewer.as_bytes()).unwrap();
    assert_eq!(fewer.note().standing(signer.verifier()), Standing::Bad);
    for line in ["", "two\n\nlines", "a\u{1}"] {
        let bad = Checkpoint { extensions: vec![line.to_owned()], ..more.clone() }.sign(&[&signer]);
        let passes = bad.is_ok_and(|bad| SignedCheckpoint::parse(bad.to_string().as_bytes()).is_ok());
        assert!(!passes, "{line:?}");
    }
}

#[test]
fn a_key_is_its_name_and_its_id_and_its_algorithm() {
    let (ours, theirs) = (key("log.example", KeyKind::Note, 1), key("log.example", KeyKind::Note, 2));
    let closed = Checkpoint::new("log.example".parse().unwrap(), log(3).heads[3]).sign(&[&theirs]).unwrap();
    assert_eq!(closed.note().standing(ours.verifier()), Standing::Unsigned, "the same name, another id");
    assert_eq!(closed.note().standing(theirs.verifier()), Standing::Good { time: None });
    let borrowed = closed.to_string();
    let (head, data) = borrowed.trim_end().rsplit_once(' ').unwrap();
    let own_id = ours.sign("x\n", 0).to_string();
    let own_id = own_id.trim_end().rsplit_once(' ').unwrap().1;
    // The first four bytes are the id: five characters of base64 and two bits more.
    let mut bytes = data_encoding::BASE64.decode(data.as_bytes()).unwrap();
    bytes[..4].copy_from_slice(&data_encoding::BASE64.decode(own_id.as_bytes()).unwrap()[..4]);
    let bent = format!("{head} {}\n", data_encoding::BASE64.encode(&bytes));
    assert_eq!(SignedCheckpoint::parse(bent.as_bytes()).unwrap().note().standing(ours.verifier()), Standing::Bad);
    for algorithm in [0u8, 2, 3, 5, 6, 0xff] {
        let text = ours.verifier().to_string();
        let (head, data) = text.rsplit_once('+').unwrap();
        let (name, _) = head.rsplit_once('+').unwrap();
        let mut data = data_encoding::BASE64.decode(data.as_bytes()).unwrap();
        data[0] = algorithm;
        let id = <[u8; 32]>::from(Sha256::new().chain_update(name).chain_update(b"\n").chain_update(&data).finalize());
        let id = data_encoding::HEXLOWER.encode(&id[..4]);
        let other = format!("{name}+{id}+{}", data_encoding::BASE64.encode(&data));
        assert!(other.parse::<VerifierKey>().is_err(), "algorithm {algorithm}");
    }
}

#[test]
fn a_quorum_counts_each_witness_once_and_no_bad_line() {
    let signer = key("log.example", KeyKind::Note, 7);
    let witnesses: Vec<Signing> = (1..=4).map(|seed| key(&format!("w{seed}"), KeyKind::Cosignature, seed)).collect();
    let mut text = format!("# who must have seen it\nlog {}\n", signer.verifier());
    for (index, witness) in witnesses.iter().enumerate() {
        writeln!(text, " witness\tW{index} {} https://w.example/", witness.verifier()).unwrap();
    }
    let policy = WitnessPolicy::parse(&(text.clone() + "group A 2 W0 W1 W2\ngroup B all A W3\nquorum B\n")).unwrap();
    assert_eq!(policy.logs(), [signer.verifier().clone()]);
    let plain = Checkpoint::new("log.example".parse().unwrap(), log(3).heads[3]).sign(&[&signer]).unwrap();
    let by = |who: &[usize]| who.iter().fold(plain.clone(), |it, place| it.signed(&witnesses[*place], 5));
    for (who, met) in [(&[][..], false), (&[0, 1], false), (&[0, 3], false), (&[0, 0, 3], false), (&[0, 2, 3], true)] {
        assert_eq!(policy.check(&by(who)).quorum, met, "{who:?}");
    }
    let forged = by(&[0, 1, 3]).to_string();
    let stranger = key("w4", KeyKind::Cosignature, 9).sign("x\n", 5).to_string();
    let own = forged.lines().last().unwrap().rsplit(' ').next().unwrap()[..6].to_owned();
    let (head, data) = stranger.rsplit_once(' ').unwrap();
    let forged = SignedCheckpoint::parse(format!("{forged}{head} {own}{}", &data[6..]).as_bytes()).unwrap();
    let found = policy.check(&forged);
    assert_eq!((found.quorum, found.bad.len()), (false, 1), "{found:?}");
    for bad in [
        "",
        "quorum X\n",
        "quorum W0\nquorum W0\n",
        "group G 3 W0 W1\nquorum G\n",
        "group G 0 W0\nquorum G\n",
        "group G any\nquorum G\n",
        "group G any W0\ngroup H any W0\nquorum H\n",
        "group none any W0\nquorum none\n",
        "witnes x\nquorum none\n",
        "group G any G\nquorum G\n",
        "quorum W0\u{7f}\n",
        // The log's own key, and a key of an algorithm that is not known here (C2SP signed-note, type 0xff).
        &format!("witness X {}\nquorum X\n", key("x", KeyKind::Cosignature, 7).verifier()),
        &format!("log {}\nquorum W0\n", key("l", KeyKind::Note, 1).verifier()),
        "witness X x+00000000+/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nquorum X\n",
    ] {
        assert!(WitnessPolicy::parse(&(text.clone() + bad)).is_err(), "{bad:?}");
    }
    let nobody = WitnessPolicy::parse("quorum none\n").unwrap();
    assert!(!nobody.asks_for_witnesses());
    // Groups of groups, and the log's own key under a witness's name, which only the checkpoint gives away.
    let nested = "group A any W0 W1\ngroup B any W2\ngroup C 2 A B\ngroup D all C W3\nquorum D\n";
    let nested = WitnessPolicy::parse(&(text.clone() + nested)).unwrap();
    for (who, met) in [(&[0, 1, 3][..], false), (&[0, 2], false), (&[1, 2, 3], true)] {
        assert_eq!(nested.check(&by(who)).quorum, met, "{who:?}");
    }
    let own = key("w0", KeyKind::Cosignature, 7);
    let own_policy = WitnessPolicy::parse(&format!("witness O {}\nquorum O\n", own.verifier())).unwrap();
    let found = own_policy.check(&plain.clone().signed(&own, 5));
    assert_eq!((found.quorum, found.own.as_slice()), (false, &["w0".to_owned()][..]), "{found:?}");
}
