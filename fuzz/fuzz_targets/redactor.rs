//! Any bytes, cut anywhere: no crash; redacting again soon changes nothing, and a stream gives what the whole gives, in
//! windows of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_kernel::evidence::redact::Redactor;

fuzz_target!(|bytes: &[u8]| {
    let redactor = Redactor::builtin();
    let (clean, report) = redactor.redact(bytes);
    if report.hits.is_empty() {
        assert_eq!(&*clean, bytes);
    }
    let number = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
    let cut = number(0).min(bytes.len());
    let windows = [redactor.stream(), redactor.stream_in_windows(bytes.len() / (1 + number(1) % 8) + 8)];
    for mut stream in windows {
        let mut out = Vec::new();
        stream.push(&bytes[..cut], &mut out);
        stream.push(&bytes[cut..], &mut out);
        let streamed = stream.finish(&mut out);
        assert_eq!(out, *clean);
        assert_eq!(streamed, report);
    }
    // A replacement can make a value short enough for a rule that has a longest one, and so once more.
    let mut clean = clean.into_owned();
    let settled = (0..4).any(|_| {
        let again = redactor.redact(&clean).0.into_owned();
        let same = again == clean;
        clean = again;
        same
    });
    assert!(settled, "{}", String::from_utf8_lossy(&clean));
});
