//! Canonical JSON against byte-exact vectors.
use receipt_core::{canonical, json};

fn cases(name: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../../vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn vectors_are_written_byte_for_byte() {
    for file in ["canonical.jsonl", "canonical_random.jsonl"] {
        for case in cases(file) {
            let value = json::parse(case["json"].as_str().unwrap().as_bytes(), json::Limits::READ);
            let value = value.unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
            let written = canonical::to_bytes(&value, json::Limits::READ).unwrap();
            let wanted = case["canonical"].as_str().unwrap();
            assert_eq!(String::from_utf8_lossy(&written), wanted, "{}", case["name"]);
            assert_eq!(canonical::form(&written).unwrap(), canonical::Form::Compact, "{}", case["name"]);
        }
    }
}
