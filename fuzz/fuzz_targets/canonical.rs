//! Any bytes: they are in the compact form exactly if they parse and are written back the same, and in the spaced form
//! exactly if they are its twin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_core::canonical::{self, Form};
use receipt_core::json::{self, Limits};

fuzz_target!(|bytes: &[u8]| {
    let written = json::parse(bytes, Limits::READ).ok().map(|value| {
        canonical::to_bytes(&value, Limits::READ).expect("what was read can be written")
    });
    let wanted = written.and_then(|compact| match bytes == compact {
        true => Some(Form::Compact),
        false => (bytes == spaced(&compact)).then_some(Form::Spaced),
    });
    assert_eq!(canonical::form(bytes).ok(), wanted);
});

/// The spaced twin of canonical text: a space behind each comma and colon that is not in a string.
fn spaced(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in compact {
        out.push(byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' if !in_string => out.push(b' '),
            _ => {}
        }
    }
    out
}
