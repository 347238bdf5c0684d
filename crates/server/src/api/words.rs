//! Words that people give with what they do and that a record keeps: within bounds, and without personal values or words
//! of the body's own dictionary.

use crate::app::App;
use crate::error::{Failure, Handled};
use madang_gateway::Inspector;

/// Longest reason and note, characters.
const MAX_REASON: usize = 400;
const MAX_NOTE: usize = 1000;
/// Stands for a filter's words while the dictionary cannot be opened: reading the record must not end then.
const WITHHELD: &str = "(기관 사전을 열 수 없어 적지 않음)";

/// A text as a record may keep it.
///
/// # Errors
/// 503 where the dictionary cannot be opened: what its words are is not known then.
pub async fn masked(app: &App, text: &str) -> Handled<String> {
    Ok(app.gateway.inspector().await?.masked(text))
}

/// Why something is done, as it is recorded.
///
/// # Errors
/// 422 for none, or one that is too long; as [`masked`].
pub async fn checked_reason(app: &App, reason: &str) -> Handled<String> {
    masked(app, within_bounds(reason)?).await
}

/// A reason of fitting length, trimmed and not masked yet.
///
/// # Errors
/// 422 for none, or one that is too long.
pub fn within_bounds(reason: &str) -> Handled<&str> {
    let reason = reason.trim();
    if (2..=MAX_REASON).contains(&reason.chars().count()) {
        return Ok(reason);
    }
    Err(Failure::invalid("reason", "까닭을 2~400자로 적어 주세요. 원장에 남습니다."))
}

/// A note as it is kept.
///
/// # Errors
/// 422 for one that is too short or too long; as [`masked`].
pub async fn checked_note(app: &App, field: &str, text: &str, least: usize) -> Handled<String> {
    let text = text.trim();
    if (least..=MAX_NOTE).contains(&text.chars().count()) {
        return masked(app, text).await;
    }
    Err(Failure::invalid(field, format!("{least}자부터 {MAX_NOTE}자 사이로 적어 주세요. 원장에 남습니다.")))
}

/// The words of a filter as the record of a reading keeps them.
pub struct FilterWords(Option<Inspector>);

impl FilterWords {
    pub async fn of(app: &App) -> Self {
        Self(app.gateway.inspector().await.ok())
    }

    /// With what the product knows by itself: where no installation is at hand.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self(Some(Inspector::default()))
    }

    /// Masked, then cut.
    pub fn safe(&self, text: &str, most: usize) -> String {
        let masked = self.0.as_ref().map_or_else(|| WITHHELD.to_owned(), |inspector| inspector.masked(text));
        masked.chars().take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_masked_or_withheld() {
        assert!(!FilterWords::plain().safe("900101-1970000", 100).contains("1970000"));
        assert_eq!(FilterWords(None).safe("무엇이든", 100), WITHHELD);
        assert!(within_bounds(" 가 ").is_err() && within_bounds(&"가".repeat(401)).is_err());
        assert_eq!(within_bounds(" 감사 ").ok(), Some("감사"));
    }
}
