//! The body's own dictionary as its officers edit it: read, checked, sealed and kept. Using it is in `inspect`.

use crate::flow::{FlowError, Flowed, Gateway};
use crate::inspect::{Inspector, open, seal};
use madang_domain::Scope;
use madang_pii::{Dictionary, Rules};
use madang_store::StoreError;
use madang_store::dictionaries::NewDictionary;

/// Longest and shortest reason for a change, characters.
const REASON: std::ops::RangeInclusive<usize> = 2..=400;

impl Gateway {
    /// The inspector with the dictionary that is in force now.
    ///
    /// # Errors
    /// [`FlowError::Uninspected`]: nothing may leave then.
    pub async fn inspector(&self) -> Flowed<Inspector> {
        Ok(self.loaded.now(&self.store, &self.key).await?)
    }

    /// The dictionary in force with its revision, 0 before the first; for security officers.
    pub async fn dictionary(&self, scope: &Scope) -> Flowed<(i64, Dictionary)> {
        // Asked first: the rows below are read for anybody.
        self.store.dictionary_revisions(scope, 1).await?;
        let revision = self.store.dictionary_revision().await?;
        if revision == 0 {
            return Ok((0, Dictionary::default()));
        }
        let sealed = self.store.sealed_dictionary(revision).await?;
        Ok((revision, open(&self.key, &sealed, revision)?))
    }

    /// Keeps a dictionary in place of the one of revision `edited`; it is used from the next inspection on.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a faulty dictionary, or a reason that is missing or holds one of its words,
    /// [`StoreError::Conflict`] where somebody else changed it meanwhile.
    pub async fn keep_dictionary(
        &self,
        scope: &Scope,
        edited: i64,
        dictionary: &Dictionary,
        reason: &str,
    ) -> Flowed<i64> {
        if let Some(fault) = dictionary.faults().into_iter().next() {
            return Err(StoreError::invalid("rules", fault.message).into());
        }
        let reason = reason.trim();
        if !REASON.contains(&reason.chars().count()) {
            return Err(StoreError::invalid("reason", "바꾸는 까닭을 2~400자로 적어 주세요.").into());
        }
        let rules = Rules::new(dictionary).map_err(|e| StoreError::invalid("rules", e.to_string()))?;
        let inspector = Inspector::new(rules, edited);
        if !inspector.passes(reason) || !self.inspector().await.is_ok_and(|old| old.passes(reason)) {
            let words = "까닭에 사전의 말이나 개인정보가 들어 있습니다. 까닭은 원장에 남으니 빼고 적어 주세요.";
            return Err(StoreError::invalid("reason", words).into());
        }
        let text = serde_json::to_vec(dictionary).unwrap_or_default();
        let sealed = seal(&self.key, dictionary, edited.saturating_add(1))?;
        let count = |of: fn(&madang_pii::Rule) -> usize| dictionary.rules.iter().map(of).sum();
        let new = NewDictionary {
            edited,
            sealed: &sealed,
            hash: &self.key.hmac(&text),
            rules: dictionary.rules.len(),
            terms: count(|rule| rule.terms.len()),
            patterns: count(|rule| rule.patterns.len()),
            reason,
        };
        Ok(self.store.keep_dictionary(scope, new).await?)
    }
}

impl From<crate::inspect::Uninspected> for FlowError {
    fn from(error: crate::inspect::Uninspected) -> Self {
        FlowError::Uninspected(error)
    }
}
