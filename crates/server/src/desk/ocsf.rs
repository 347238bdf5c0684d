//! An outside call as an event of OCSF 1.8.0: class API Activity (6003) with the profile `ai_operation`
//! (schema.ocsf.io/1.8.0/classes/api_activity). Identifiers, counts and sizes alone: no purpose, no prompt, no reply.

use super::{left, verdict, verdict_name};
use madang_store::calls_review::ReviewedCall;
use serde_json::{Map, Value, json};

/// Version of the schema.
pub const VERSION: &str = "1.8.0";
const CLASS: i64 = 6003;
/// Create: the call asks a service to make something.
const CREATE: i64 = 1;

/// The event.
pub fn event(call: &ReviewedCall) -> Value {
    let (status_id, status) = status(call);
    let tokens = call.tokens_in.zip(call.tokens_out).map(|(i, o)| i.saturating_add(o));
    let context = filled([
        ("uid", json!(call.run)),
        ("application", json!({ "uid": call.app, "name": call.app_title })),
        ("service", json!({ "uid": call.provider, "name": call.provider_name })),
        ("ai_role_id", json!(1)),
        ("prompt_tokens", json!(call.tokens_in)),
        ("completion_tokens", json!(call.tokens_out)),
        ("total_tokens", json!(tokens)),
    ]);
    filled([
        (
            "metadata",
            json!({
                "version": VERSION, "uid": call.id, "profiles": ["ai_operation"], "log_name": "outside_calls",
                "product": { "name": "Madang", "vendor_name": "Madang", "version": env!("CARGO_PKG_VERSION") },
            }),
        ),
        ("category_uid", json!(6)),
        ("category_name", json!("Application Activity")),
        ("class_uid", json!(CLASS)),
        ("class_name", json!("API Activity")),
        ("activity_id", json!(CREATE)),
        ("activity_name", json!("Create")),
        ("type_uid", json!(CLASS * 100 + CREATE)),
        ("type_name", json!("API Activity: Create")),
        ("time", json!(call.created_at)),
        ("start_time", json!(call.sent_at)),
        ("end_time", json!(call.ended_at)),
        ("duration", json!(call.latency_ms)),
        ("severity_id", json!(if status_id == 2 { 3 } else { 1 })),
        ("severity", json!(if status_id == 2 { "Medium" } else { "Informational" })),
        ("status_id", json!(status_id)),
        ("status", json!(status)),
        ("status_code", json!(call.status.map(|s| s.to_string()))),
        ("status_detail", json!(call.state)),
        (
            "actor",
            json!({
                "app_name": call.app_title, "app_uid": call.app,
                "user": { "uid": call.person, "name": call.login, "org": { "uid": call.department, "name": call.department_name } },
            }),
        ),
        (
            "api",
            json!({
                "operation": "chat.completions", "service": { "name": call.provider_name, "uid": call.provider },
                "request": { "uid": call.id },
                "response": filled([("code", json!(call.status))]),
            }),
        ),
        ("src_endpoint", json!({ "svc_name": "madang" })),
        ("dst_endpoint", json!({ "hostname": call.host })),
        ("ai_model", json!({ "name": call.model, "model_name": call.model, "ai_provider": call.provider_name })),
        ("message_context", context),
        ("unmapped", unmapped(call)),
    ])
}

/// What the schema has no place for.
fn unmapped(call: &ReviewedCall) -> Value {
    filled([
        ("grade", json!(call.grade.letter())),
        ("regraded_from", json!(call.regraded_from.map(|g| g.letter()))),
        ("verdict", json!(verdict_name(verdict(call)))),
        ("policy_revision", json!(call.policy_revision)),
        ("found", json!(call.findings)),
        ("bytes", json!(call.body_bytes)),
        ("body_hmac", json!(call.body_hmac)),
        ("left", json!(left(call))),
        ("answered_inside", json!(call.answered_inside)),
        ("approver", json!(call.approver)),
        ("provider_request_id", json!(call.provider_request_id)),
        ("micro_won", json!(call.won_spent)),
        ("decided_at", json!(call.decided_at)),
    ])
}

fn status(call: &ReviewedCall) -> (i64, &'static str) {
    match call.state.as_str() {
        "sent" if call.status.is_none_or(|s| (200..300).contains(&s)) => (1, "Success"),
        "sent" | "failed" | "denied" | "returned" => (2, "Failure"),
        _ => (0, "Unknown"),
    }
}

/// An object without what is not known.
fn filled<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let known = pairs.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(known.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}
