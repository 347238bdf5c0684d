//! CEF (Common Event Format, version 0) for outside calls and for records of the ledger. Metadata alone.

use super::{left, state_korean, verdict, verdict_name};
use madang_store::calls_review::ReviewedCall;

/// A line: the header, then names and values.
pub fn line(id: &str, name: &str, severity: u8, fields: &[(&str, String)]) -> String {
    let mut out =
        format!("CEF:0|Madang|Madang|{}|{}|{}|{severity}|", env!("CARGO_PKG_VERSION"), header(id), header(name));
    let kept = fields.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = kept.map(|(key, value)| format!("{key}={}", value_of(value))).collect();
    out.push_str(&pairs.join(" "));
    out
}

fn header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn value_of(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one_line.replace('\\', "\\\\").replace('=', "\\=")
}

/// An outside call.
pub fn of_call(call: &ReviewedCall) -> String {
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let findings: Vec<String> = call.findings.iter().map(|(kind, n)| format!("{kind}:{n}")).collect();
    let fields = [
        ("rt", call.created_at.to_string()),
        ("externalId", call.id.to_string()),
        ("suser", call.login.clone()),
        ("suid", call.person.to_string()),
        ("dhost", call.host.clone()),
        ("app", call.model.clone()),
        ("out", call.body_bytes.to_string()),
        ("outcome", call.state.clone()),
        ("act", verdict_name(verdict(call))),
        ("start", number(call.sent_at)),
        ("end", number(call.ended_at)),
        ("cs1Label", "grade".to_owned()),
        ("cs1", call.grade.letter().to_owned()),
        ("cs2Label", "application".to_owned()),
        ("cs2", call.app.to_string()),
        ("cs3Label", "bodyHmac".to_owned()),
        ("cs3", call.body_hmac.clone()),
        ("cs4Label", "found".to_owned()),
        ("cs4", findings.join(",")),
        ("cs5Label", "provider".to_owned()),
        ("cs5", call.provider_name.clone()),
        ("cs6Label", "department".to_owned()),
        ("cs6", call.department_name.clone()),
        ("cn1Label", "tokensIn".to_owned()),
        ("cn1", number(call.tokens_in)),
        ("cn2Label", "tokensOut".to_owned()),
        ("cn2", number(call.tokens_out)),
    ];
    let severity = match call.state.as_str() {
        "denied" | "returned" => 6,
        _ if left(call) => 4,
        _ => 2,
    };
    line("outside_call", &format!("외부호출 {}", state_korean(&call.state)), severity, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_of_the_format() {
        let made = line("a|b", "이름\\", 3, &[("act", "x=1\ny".into()), ("none", String::new())]);
        assert!(made.ends_with("|a\\|b|이름\\\\|3|act=x\\=1 y"), "{made}");
    }

    proptest! {
        #[test]
        fn no_value_ends_its_field(value: String) {
            let made = line("i", "n", 1, &[("msg", value)]);
            let extension = made.splitn(8, '|').nth(7).unwrap_or_default().strip_prefix("msg=").unwrap_or_default().to_owned();
            prop_assert!(!made.contains(['\n', '\r']));
            let bare = extension.replace("\\\\", "").replace("\\=", "");
            prop_assert!(!bare.contains('=') && !bare.contains('\\'), "{}", extension);
        }
    }
}
