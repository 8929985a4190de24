//! Any bytes, cut anywhere: no crash; redacting again soon changes nothing, and a stream gives what the whole gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use receipt_kernel::evidence::redact::Redactor;

fuzz_target!(|bytes: &[u8]| {
    let redactor = Redactor::builtin();
    let (clean, report) = redactor.redact(bytes);
    if report.hits.is_empty() {
        assert_eq!(&*clean, bytes);
    }
    let cut = bytes.first().map_or(0, |first| usize::from(*first) % bytes.len());
    let (mut stream, mut out) = (redactor.stream(), Vec::new());
    stream.push(&bytes[..cut], &mut out);
    stream.push(&bytes[cut..], &mut out);
    let streamed = stream.finish(&mut out);
    assert_eq!(out, *clean);
    assert_eq!(streamed.hits, report.hits);
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
