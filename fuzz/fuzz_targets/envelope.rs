//! Any bytes: no crash; what reads as an envelope reads the same from its compact form, and its hash is the one of the
//! definition.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_core::canonical::{self, Form};
use receipt_core::envelope::{Envelope, Scratch};
use receipt_core::id::EventHash;
use receipt_core::json::{Limits, Value};

/// The worked example of FORMAT.md in both forms.
const EXAMPLES: [&str; 2] = [
    include_str!("../seeds/compact.json").trim_ascii_end(),
    include_str!("../seeds/spaced.json").trim_ascii_end(),
];

fuzz_target!(|bytes: &[u8]| {
    let mut scratch = Scratch::default();
    let read = Envelope::read(bytes, &mut scratch);
    // A scratch that served another text gives the same.
    let mut used = Scratch::default();
    for text in EXAMPLES {
        assert!(Envelope::read(text.as_bytes(), &mut used).is_ok());
        let read = read.as_ref().map(|read| (read.hash, read.claimed_hash, read.compact()));
        let other = Envelope::read(bytes, &mut used);
        assert_eq!(other.as_ref().map(|read| (read.hash, read.claimed_hash, read.compact())), read);
    }
    let Ok(read) = read else { return };
    let mut other = Scratch::default();
    let again = Envelope::read(read.compact(), &mut other).expect("the compact form is an envelope too");
    assert_eq!(again.form, Form::Compact);
    assert_eq!((again.hash, again.claimed_hash), (read.hash, read.claimed_hash));
    assert_eq!((again.seq, again.prev, again.event_type), (read.seq, read.prev, read.event_type));
    assert_eq!(again.compact(), read.compact());

    let Ok(Value::Object(mut members)) = read.to_value() else { panic!("an envelope is an object") };
    assert!(members.remove("event_hash").is_some());
    assert!(read.is_of(&read.run_id().to_string_lossy()) || read.run_id().as_str().is_none());
    let hashed = canonical::to_bytes(&members.into(), Limits::READ).expect("what was read can be written");
    assert_eq!(read.hash, EventHash::of(&hashed));
});
