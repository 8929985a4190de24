//! The spaced twin of canonical JSON, by a writer of its own.

use receipt_core::canonical;
use receipt_core::json::{Limits, Text, Value};

/// Written from the value with none of the code under test but its scalars.
pub(crate) fn spaced(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", joined(items.iter().map(spaced).collect())),
        Value::Object(object) => {
            let key = |key: &Text| spaced(&Value::String(key.clone()));
            format!("{{{}}}", joined(object.iter().map(|(k, v)| format!("{}: {}", key(k), spaced(v))).collect()))
        }
        scalar => String::from_utf8(canonical::to_bytes(scalar, Limits::READ).unwrap()).unwrap(),
    }
}
