//! Any bytes: no crash; what parses is written, and what is written parses to the same value and bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_core::canonical;
use receipt_core::json::{self, Limits};

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = json::parse(bytes, Limits::READ) else { return };
    let written = canonical::to_bytes(&value, Limits::READ).expect("what was read can be written");
    let again = json::parse(&written, Limits::READ).expect("what was written can be read");
    assert_eq!(again, value);
    assert_eq!(canonical::to_bytes(&again, Limits::READ).expect("and written again"), written);
    if json::parse(bytes, Limits::WRITE).is_ok() {
        assert_eq!(canonical::to_bytes(&value, Limits::WRITE).as_ref(), Ok(&written));
    }
});
