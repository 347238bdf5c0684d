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

use crate::app::App;
use madang_domain::{ExternalCallId, Scope};
use madang_gateway::{Flowed, Opened};
use madang_policy::Verdict;
use madang_store::calls::CallState;
use madang_store::calls_review::ReviewedCall;

/// In the place of texts that were deleted.
pub const ERASED: &str = "원문 삭제됨(보존기간 만료)";

/// States of a call with their Korean names, as filters list them.
pub const STATES: [(&str, &str); 11] = [
    ("waiting", "승인 대기"),
    ("approved", "승인됨"),
    ("sending", "보내는 중"),
    ("sent", "답 받음"),
    ("unknown", "알 수 없음(보낸 것으로 셈)"),
    ("failed", "보내지 못함"),
    ("denied", "정책이 거부함"),
    ("returned", "반려됨"),
    ("lapsed", "심사 기한 지남"),
    ("expired", "승인 기한 지남"),
    ("cancelled", "취소됨"),
];

/// Korean name of a stored state; one that is not known here keeps its name.
pub fn state_korean(state: &str) -> &str {
    STATES
        .iter()
        .find(|(name, _)| *name == state)
        .map(|(_, korean)| *korean)
        .or_else(|| state.parse::<CallState>().ok().map(CallState::korean))
        .unwrap_or(state)
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

/// A call with its texts, or with a sentence in their place once they were deleted.
///
/// # Errors
/// As [`madang_gateway::Gateway::open`].
pub async fn open(app: &App, scope: &Scope, id: ExternalCallId) -> Flowed<Opened> {
    match app.store.call_erased_at(scope, id).await? {
        None => app.gateway.open(scope, id).await,
        Some(_) => Ok(Opened { call: app.store.call(scope, id).await?, body: ERASED.to_owned(), reply: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_their_stored_names() {
        assert_eq!(verdict_name(Verdict::OneOfficer), "one_officer");
        assert_eq!(state_korean("denied"), "정책이 거부함");
        assert_eq!(state_korean("unheard_of"), "unheard_of");
    }
}
