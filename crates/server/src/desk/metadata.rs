//! What a record of the ledger says to a SIEM: who, what, when and identifiers. Fields are named here one by one, so that
//! nothing anybody wrote — purposes, reasons, notes, titles, searches — ever goes along.

use super::cef;
use crate::record_words;
use madang_gateway::syslog::{Message, Severity};
use madang_ledger::Entry;
use serde_json::Value;

/// Fields of a record's detail that go along: identifiers, states, numbers and hosts.
const FIELDS: [&str; 39] = [
    "call",
    "run",
    "app",
    "version",
    "provider",
    "host",
    "model",
    "grade",
    "outcome",
    "decision",
    "verdict",
    "status",
    "bytes",
    "reply_bytes",
    "body_hmac",
    "reply_hmac",
    "tokens_in",
    "tokens_out",
    "format",
    "records",
    "collection",
    "document",
    "person",
    "post",
    "draft",
    "month",
    "checkpoint",
    "picks",
    "calls",
    "items",
    "digest",
    "erasure",
    "hold",
    "target",
    "sound",
    "fault_seq",
    "looked",
    "found",
    "anomaly",
];

/// What messages look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Structured data of RFC 5424.
    Structured,
    /// The same, with a line of CEF as the text.
    Cef,
}

/// A record as a message.
pub fn message(entry: &Entry, host: &str, form: Form) -> Message {
    let read = record_words::read(entry);
    let payload: Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    let person = payload.pointer("/actor/person").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut data = vec![("seq", entry.seq.to_string()), ("hash", entry.hash.clone())];
    data.extend([("login", read.login.clone()), ("actor", person)].into_iter().filter(|(_, v)| !v.is_empty()));
    data.extend(fields(&read.detail));
    let kind = record_words::kind(&read.action).to_owned();
    let severity = severity(&read.action, &read.detail);
    let text = match form {
        Form::Structured => kind,
        Form::Cef => of_record(&read, entry.seq, &kind, severity, &data),
    };
    Message { severity, time: entry.time.clone(), host: host.to_owned(), id: read.action, data, text }
}

fn fields(detail: &Value) -> Vec<(&'static str, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Array(items) => Some(items.len().to_string()),
        Value::Null | Value::Object(_) => None,
    };
    FIELDS.into_iter().filter_map(|name| Some((name, shown(detail.get(name)?)?))).collect()
}

fn severity(action: &str, detail: &Value) -> Severity {
    let wrong = ["sign_in_failed", "outside_call_denied", "model_download_refused", "legal_hold_lifted"]
        .contains(&action)
        || detail.get("sound") == Some(&Value::Bool(false));
    match action {
        _ if wrong => Severity::Warning,
        _ if action.starts_with("outside_") || action.ends_with("_exported") => Severity::Notice,
        _ => Severity::Informational,
    }
}

fn of_record(read: &record_words::Read, seq: u64, kind: &str, severity: Severity, data: &[(&str, String)]) -> String {
    let grave = match severity {
        Severity::Warning => 6,
        Severity::Notice => 4,
        Severity::Informational => 2,
    };
    let listed: Vec<String> = data.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields = [
        ("rt", read.at.to_string()),
        ("externalId", seq.to_string()),
        ("suser", read.login.clone()),
        ("act", read.action.clone()),
        ("msg", listed.join(" ")),
    ];
    cef::line(&read.action, kind, grave, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(detail: Value) -> Entry {
        let payload =
            json!({ "action": "outside_call_intent", "actor": { "login": "jihun", "person": "p" }, "detail": detail });
        Entry {
            seq: 9,
            time: "2026-11-22T06:20:00.000Z".into(),
            payload: payload.to_string(),
            prev_hash: String::new(),
            hash: "ab".into(),
        }
    }

    #[test]
    fn what_people_wrote_does_not_go_along() {
        let said =
            ["purpose", "reason", "note", "title", "legal_basis", "filter", "name", "words", "q", "error", "subject"];
        let mut detail = json!({ "call": "c1", "grade": "O", "bytes": 12, "calls": ["a", "b"] });
        for name in said {
            detail[name] = json!(format!("비밀말 {name}"));
        }
        for form in [Form::Structured, Form::Cef] {
            let line = message(&entry(detail.clone()), "h", form).line();
            assert!(!line.contains("비밀말"), "{line}");
            assert!(
                line.contains("seq=\"9\"") && line.contains("call=\"c1\"") && line.contains("calls=\"2\""),
                "{line}"
            );
        }
    }
}
