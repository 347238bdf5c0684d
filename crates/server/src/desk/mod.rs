//! The reviewer's desk: what is worked out from outside calls for those who review them. Pages and the API show it, the
//! store keeps what reviewers decide, `madang-policy` knows what stands out and who is drawn.

pub mod cef;
pub mod csv_form;
pub mod erasing;
pub mod evidence;
pub mod facts;
pub mod metadata;
pub mod month;
pub mod ocsf;
pub mod siem;

use madang_policy::Verdict;
use madang_store::calls::CallState;
use madang_store::calls_review::ReviewedCall;

/// Korean name of a stored state; one that is not known keeps its name.
pub fn state_korean(state: &str) -> &str {
    state.parse::<CallState>().map_or(state, |known| known.korean())
}

/// Stored name of a verdict.
pub fn verdict_name(verdict: Verdict) -> String {
    serde_json::to_value(verdict).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What the policy said to a call. Calls of before there was a policy waited for one officer each.
pub fn verdict(call: &ReviewedCall) -> Verdict {
    let named = call.verdict.as_deref().and_then(|name| Verdict::ALL.into_iter().find(|v| verdict_name(*v) == name));
    named.unwrap_or(if call.state == "denied" { Verdict::Deny } else { Verdict::OneOfficer })
}

/// Something of it left, or may have left.
pub fn left(call: &ReviewedCall) -> bool {
    call.sent_at.is_some() && call.reply_from.is_none() && call.state != "failed"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_their_stored_names() {
        assert_eq!(verdict_name(Verdict::OneOfficer), "one_officer");
        assert_eq!(state_korean("denied"), "거부됨");
        assert_eq!(state_korean("unheard_of"), "unheard_of");
    }
}
