//! What people decide on a call that waits: approve these very bytes, return it, mask more in it, look behind the masks.
//! Who may is the policy's and the store's; every step is a record.

use crate::approval::{ApprovalFault, approval_binding};
use crate::envelope::{MAX_BODY, Refusal};
use crate::flow::{FlowError, Flowed, Gateway, MAX_APPROVAL_HOURS, timestamp, words};
use madang_domain::{ExternalCallId, Scope};
use madang_pii::restore;
use madang_store::StoreError;
use madang_store::call_approvals::{Bound, Progressed};
use madang_store::calls::Call;
use serde::Serialize;
use serde_json::Value;

/// Most phrases masked at once, and longest one, characters.
const MAX_PHRASES: usize = 50;
const MAX_PHRASE: usize = 200;

/// A mask with the words behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revealed {
    pub token: String,
    pub words: String,
}

impl Gateway {
    /// Approves these very bytes for at most so many hours; the policy may say fewer. The call may be sent once
    /// everybody whom the policy asks for has approved.
    pub async fn approve(
        &self,
        scope: &Scope,
        id: ExternalCallId,
        hours: Option<i64>,
        reason: &str,
    ) -> Flowed<Progressed> {
        if hours.is_some_and(|h| !(1..=MAX_APPROVAL_HOURS).contains(&h)) {
            return Err(StoreError::invalid("hours", format!("승인 기한은 1~{MAX_APPROVAL_HOURS}시간입니다.")).into());
        }
        let reason =
            self.inspector().await?.masked(&words("reason", reason, 0, "남길 말은 400자까지 적을 수 있습니다.")?);
        let call = self.store.call(scope, id).await?;
        self.store.require_decider(scope, &call).await?;
        let body = self.unseal_bytes(&call.sealed_body, &format!("{id}/body"))?;
        let provider = self.store.enabled_provider(scope, call.provider).await?.provider;
        if provider.model != call.model {
            return Err(ApprovalFault::Altered.into());
        }
        let endpoint = self.endpoint(&provider)?;
        let most = call.hours(&self.store.decisions_on(scope, id).await?);
        let said = hours.unwrap_or(most);
        let hours = said.min(most);
        let expires_at = self.expiry(hours);
        let binding = approval_binding(&self.key, &body, &endpoint, &call.model, timestamp(expires_at));
        let bound = Bound { binding: &binding, expires_at, hours, said };
        Ok(self.store.approve_call(scope, &call, bound, &reason).await?)
    }

    /// Returns it, with a reason.
    pub async fn return_with(&self, scope: &Scope, id: ExternalCallId, reason: &str) -> Flowed<()> {
        let reason =
            self.inspector().await?.masked(&words("reason", reason, 2, "반려하는 까닭을 2~400자로 적어 주세요.")?);
        let call = self.store.call(scope, id).await?;
        Ok(self.store.return_call(scope, &call, &reason).await?)
    }

    /// Masks more of what would leave. The bytes are others then, and earlier approvals count for nothing.
    ///
    /// # Errors
    /// A phrase that does not stand in the text, or stands where a mask would break the request.
    pub async fn mask_more(&self, scope: &Scope, id: ExternalCallId, phrases: &[String]) -> Flowed<()> {
        let phrases = checked(phrases)?;
        let call = self.store.call(scope, id).await?;
        self.store.require_decider(scope, &call).await?;
        let before = self.unseal(&call.sealed_body, &format!("{id}/body"))?;
        let mut tokens = self.tokens(&call)?;
        let mut body = before.clone();
        for phrase in &phrases {
            let number = tokens.iter().filter(|(token, _)| token.starts_with("[가림-")).count() + 1;
            let token = format!("[가림-{number}]");
            body = masked_in(&body, phrase, &token).ok_or_else(|| {
                StoreError::invalid(
                    "phrases",
                    format!("‘{phrase}’은(는) 나갈 글에서 가릴 수 없습니다. 글에 있는 그대로 적어 주세요."),
                )
            })?;
            let hidden = restore(phrase, &tokens);
            tokens.push((token, hidden));
        }
        if body.len() > MAX_BODY {
            return Err(Refusal::TooLong(body.len()).into());
        }
        if !self.inspector().await?.passes(&body) {
            return Err(FlowError::NotAllowed(
                "이렇게 가리면 남은 글이 개인정보처럼 보입니다. 더 넓게 가려 주세요.".to_owned(),
            ));
        }
        let sealed_tokens = self.seal(&serde_json::to_vec(&tokens).unwrap_or_default(), &format!("{id}/tokens"))?;
        let sealed_body = self.seal(body.as_bytes(), &format!("{id}/body"))?;
        let texts = (self.key.hmac(body.as_bytes()), sealed_body, sealed_tokens);
        let sizes = (body.len(), phrases.len());
        Ok(self.store.remask_call(scope, &call, (&texts.0, &texts.1, &texts.2), sizes).await?)
    }

    /// The words behind the masks, for somebody who decides on the call and says why; recorded before they are shown.
    pub async fn reveal(&self, scope: &Scope, id: ExternalCallId, reason: &str) -> Flowed<Vec<Revealed>> {
        let reason = self.inspector().await?.masked(&words(
            "reason",
            reason,
            2,
            "가린 말을 왜 보아야 하는지 2~400자로 적어 주세요.",
        )?);
        let call = self.store.call(scope, id).await?;
        self.store.require_decider(scope, &call).await?;
        let tokens = self.tokens(&call)?;
        self.store.note_revealed(scope, &call, &reason).await?;
        Ok(tokens.into_iter().map(|(token, words)| Revealed { token, words }).collect())
    }

    pub(crate) fn tokens(&self, call: &Call) -> Flowed<Vec<(String, String)>> {
        let bytes = self.unseal_bytes(&call.sealed_tokens, &format!("{}/tokens", call.id))?;
        serde_json::from_slice(&bytes).map_err(|_| crate::seal::SealError::Sealed.into())
    }
}

fn checked(phrases: &[String]) -> Flowed<Vec<String>> {
    let mut all: Vec<String> = phrases.iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect();
    // Longer ones first: a part of a phrase must not hide the phrase.
    all.sort_by_key(|p| std::cmp::Reverse(p.chars().count()));
    all.dedup();
    let fits = |p: &String| (2..=MAX_PHRASE).contains(&p.chars().count());
    if all.is_empty() || all.len() > MAX_PHRASES || !all.iter().all(fits) {
        let message = format!("가릴 말을 2~{MAX_PHRASE}자로, {MAX_PHRASES}개까지 적어 주세요.");
        return Err(StoreError::invalid("phrases", message).into());
    }
    Ok(all)
}

/// The outgoing JSON with a phrase masked wherever it stands in its texts, every other byte as it was; `None` where it
/// stands in none of them, or also elsewhere.
fn masked_in(body: &str, phrase: &str, token: &str) -> Option<String> {
    let quoted = serde_json::to_string(phrase).ok()?;
    let out = body.replace(quoted.get(1..quoted.len() - 1)?, token);
    let mut wanted: Value = serde_json::from_str(body).ok()?;
    let mut count = 0;
    in_texts(&mut wanted, &mut |text| {
        count += text.matches(phrase).count();
        *text = text.replace(phrase, token);
    });
    (count > 0 && serde_json::from_str::<Value>(&out).ok()? == wanted).then_some(out)
}

/// Visits what is prose in a request: what stands under `content`, `text` or `system`.
fn in_texts(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match inner {
                    Value::String(text) if matches!(key.as_str(), "content" | "text" | "system") => visit(text),
                    other => in_texts(other, visit),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|inner| in_texts(inner, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &str =
        r#"{"model":"model-1","messages":[{"role":"user","content":"가람 \"캠핑장\" 사업\n둘째 줄"}],"stream":false}"#;

    #[test]
    fn a_phrase_is_masked_in_texts_and_nothing_else_changes() {
        let masked = masked_in(BODY, "\"캠핑장\" 사업", "[가림-1]").unwrap();
        assert!(masked.contains("가람 [가림-1]\\n둘째 줄") && masked.starts_with(r#"{"model":"model-1","messages""#));
        for no in ["model", "role", "user", "없는 말", "model-1", "stream", "content"] {
            assert_eq!(masked_in(BODY, no, "[가림-1]"), None, "{no}");
        }
    }

    proptest! {
        /// Whatever is masked is gone from the texts, and the request stays a request with the same model.
        #[test]
        fn what_is_masked_is_gone(text in "[가-힣a-z\"\\\\\n ]{4,40}", at in 0usize..30, len in 2usize..8) {
            let body = serde_json::json!({ "model": "m-1", "messages": [{ "role": "user", "content": text }] }).to_string();
            let phrase: String = text.chars().skip(at).take(len).collect();
            prop_assume!(phrase.chars().count() >= 2);
            if let Some(masked) = masked_in(&body, &phrase, "[가림-1]") {
                let value: Value = serde_json::from_str(&masked).unwrap();
                let content = value["messages"][0]["content"].as_str().unwrap().replace("[가림-1]", "\u{0}");
                prop_assert!(!content.contains(&phrase));
                prop_assert_eq!(&value["model"], "m-1");
                prop_assert_eq!(&value["messages"][0]["role"], "user");
            }
        }
    }
}
