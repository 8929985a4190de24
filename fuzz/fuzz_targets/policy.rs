//! Any text: no crash; what reads as a policy has the same digest when it is read back from its value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_core::json::{self, Limits};
use receipt_core::policy::Policy;

fn check(policy: &Policy) {
    assert!(!policy.rules().is_empty(), "a policy that passes everything");
    let again = Policy::from_value(&policy.to_value()).expect("its own value");
    assert_eq!(again.digest(), policy.digest());
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(policy) = std::str::from_utf8(bytes).ok().and_then(|text| Policy::from_toml(text).ok()) {
        check(&policy);
    }
    if let Some(policy) = json::parse(bytes, Limits::READ).ok().and_then(|value| Policy::from_value(&value).ok()) {
        check(&policy);
    }
});
