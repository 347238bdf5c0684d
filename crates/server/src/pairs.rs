//! Which records are the intent of something that leaves the house, and which tell how it ended. What the pairs must
//! look like is the `ledger` crate's.

use madang_ledger::Entry;
use madang_ledger::pairing::Role;
use serde_json::Value;

/// Actions of intents and of their outcomes, and the field of the detail that names what they are about.
const PAIRS: [(&str, &str, &str); 2] = [
    ("outside_call_intent", "outside_call_outcome", "call"),
    ("model_download_intent", "model_download_outcome", "download"),
];

/// What a record is to the pairing of intents with outcomes.
pub fn role(entry: &Entry) -> Role {
    // The payload is canonical JSON and begins with its action: most records need not be parsed.
    let action = entry.payload.strip_prefix("{\"action\":\"").and_then(|rest| rest.split('"').next());
    let Some(action) = action else { return Role::Other };
    let Some((intent, _, field)) = PAIRS.iter().find(|(i, o, _)| action == *i || action == *o) else {
        return Role::Other;
    };
    let payload: Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    let Some(id) = payload.pointer(&format!("/detail/{field}")).and_then(Value::as_str) else { return Role::Other };
    let id = format!("{field} {id}");
    if action == *intent { Role::Intent(id) } else { Role::Outcome(id) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_ledger::{Head, canonical, chain};
    use serde_json::json;

    fn of(action: &str, detail: Value) -> Role {
        let payload = json!({ "event": "e", "action": action, "actor": null, "detail": detail });
        role(&chain(&Head::genesis(), "2026-11-22T06:20:00Z", &canonical(&payload).unwrap()).unwrap())
    }

    #[test]
    fn what_leaves_is_paired_by_what_it_is_about() {
        assert_eq!(of("outside_call_intent", json!({ "call": "1", "run": "2" })), Role::Intent("call 1".into()));
        assert_eq!(of("outside_call_outcome", json!({ "call": "1" })), Role::Outcome("call 1".into()));
        assert_eq!(of("model_download_outcome", json!({ "download": "1" })), Role::Outcome("download 1".into()));
        for other in ["outside_call_requested", "sign_in"] {
            assert_eq!(of(other, json!({ "call": "1" })), Role::Other);
        }
    }
}
