//! Looking for words in the sealed texts of outside calls, for security officers: texts are opened one after the other,
//! newest first, bounded in number and time, and the search is on record before anything found is shown.

use crate::flow::Flowed;
use crate::inspect::{Inspector, Loaded};
use crate::seal::{MasterKey, SealError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_domain::{ExternalCallId, Scope};
use madang_store::calls_review::SealedTexts;
use madang_store::ledger::Event;
use madang_store::{Store, StoreError};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Calls opened between looks at the clock and other work.
const BATCH: i64 = 50;
/// Characters of a text around the first word found.
const AROUND: usize = 60;
/// Keys of outgoing JSON whose values nobody wrote.
const FRAME: [&str; 2] = ["model", "role"];
/// Longest search, characters.
pub const MAX_WORDS: usize = 100;

/// Bounds of a search.
#[derive(Debug, Clone, Copy)]
pub struct SearchLimits {
    pub calls: usize,
    pub found: usize,
    pub time: Duration,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self { calls: 5000, found: 100, time: Duration::from_secs(8) }
    }
}

/// Where the words stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Outgoing,
    Reply,
}

/// A text that holds all the words.
#[derive(Debug, Clone, Serialize)]
pub struct Hit {
    pub call: ExternalCallId,
    pub created_at: i64,
    pub person_name: String,
    pub app_title: String,
    pub side: Side,
    /// Masked.
    pub snippet: String,
}

/// What a search found, and how far it looked.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Searched {
    pub hits: Vec<Hit>,
    /// Calls that were opened.
    pub looked: usize,
    /// Calls whose texts do not open: another key, or altered.
    pub unreadable: usize,
    /// The oldest call that was opened, Unix milliseconds.
    pub back_to: Option<i64>,
    /// Nothing older was left out.
    pub whole: bool,
}

/// Opens sealed texts for officers, one search at a time: each takes a processor for seconds.
pub struct Bodies {
    store: Store,
    key: Arc<MasterKey>,
    loaded: Loaded,
    turn: Semaphore,
}

impl Bodies {
    pub fn new(store: Store, key: MasterKey) -> Self {
        Self { store, key: Arc::new(key), loaded: Loaded::default(), turn: Semaphore::new(1) }
    }

    /// Deletes a batch of runs' texts past their time, with the HMACs that prove which they were; how many.
    ///
    /// # Errors
    /// When the database fails; nothing is deleted then.
    pub async fn erase_due_runs(&self) -> madang_store::Result<usize> {
        self.store.erase_due_runs(|texts| self.key.hmac(texts)).await
    }

    /// Looks for texts that hold all of `words`, which a record never names: its HMAC, the reason and what was found do.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers; nothing is shown where the record cannot be written.
    pub async fn search(&self, scope: &Scope, words: &str, reason: &str, limits: SearchLimits) -> Flowed<Searched> {
        let wanted: Arc<[String]> = terms(words)?.into();
        let inspector = self.loaded.now(&self.store, &self.key).await?;
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        let began = Instant::now();
        let mut out = Searched::default();
        let mut before = None;
        loop {
            let batch = self.store.sealed_texts(scope, before.as_ref(), BATCH).await?;
            before = batch.last().map(|t| (t.created_at, t.id.to_string()));
            out.whole = i64::try_from(batch.len()).unwrap_or(0) < BATCH;
            let (key, wanted, inspector) = (Arc::clone(&self.key), Arc::clone(&wanted), inspector.clone());
            let looking = tokio::task::spawn_blocking(move || {
                batch.iter().for_each(|texts| look_into(&key, texts, (&wanted, &inspector), &mut out));
                out
            });
            out = looking.await.map_err(|cut| StoreError::File(std::io::Error::other(cut)))?;
            let enough = out.looked >= limits.calls || out.hits.len() >= limits.found || began.elapsed() >= limits.time;
            if out.whole || enough {
                break;
            }
        }
        let detail = json!({
            "reason": reason, "words_hmac": self.key.hmac(wanted.join(" ").as_bytes()), "words": wanted.len(),
            "looked": out.looked, "found": out.hits.len(),
        });
        self.store.record(Event::new("outside_bodies_searched", Some(scope.person()), detail)).await?;
        Ok(out)
    }
}

fn look_into(key: &MasterKey, texts: &SealedTexts, wanted: (&[String], &Inspector), out: &mut Searched) {
    out.looked += 1;
    out.back_to = Some(texts.created_at);
    let sides = [(Side::Outgoing, Some(&texts.body), "body"), (Side::Reply, texts.reply.as_ref(), "reply")];
    let mut readable = true;
    for (side, sealed, part) in sides {
        let Some(sealed) = sealed else { continue };
        match open(key, sealed, &format!("{}/{part}", texts.id)) {
            Ok(text) => {
                let text = if side == Side::Outgoing { spoken(&text) } else { text };
                out.hits.extend(snippet(&text, wanted).map(|snippet| Hit {
                    call: texts.id,
                    created_at: texts.created_at,
                    person_name: texts.person_name.clone(),
                    app_title: texts.app_title.clone(),
                    side,
                    snippet,
                }));
            }
            Err(_) => readable = false,
        }
    }
    out.unreadable += usize::from(!readable);
}

fn open(key: &MasterKey, sealed: &str, record: &str) -> Result<String, SealError> {
    let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Sealed)?;
    let plain = key.open(&bytes, record.as_bytes())?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

fn terms(words: &str) -> Result<Vec<String>, StoreError> {
    let fault = || StoreError::invalid("words", format!("찾을 말을 2~{MAX_WORDS}자로 적어 주세요."));
    if !(2..=MAX_WORDS).contains(&words.trim().chars().count()) {
        return Err(fault());
    }
    Ok(words.split_whitespace().map(str::to_lowercase).collect())
}

/// The strings of outgoing JSON, one after the other; the text itself where it is none.
fn spoken(body: &str) -> String {
    fn gather(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::String(text) => out.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|v| gather(v, out)),
            Value::Object(map) => {
                let said = map.iter().filter(|(key, _)| !FRAME.contains(&key.as_str()));
                said.for_each(|(_, v)| gather(v, out));
            }
            _ => {}
        }
    }
    match serde_json::from_str(body) {
        Ok(value) => {
            let mut out = Vec::new();
            gather(&value, &mut out);
            out.join("\n")
        }
        Err(_) => body.to_owned(),
    }
}

/// The text around the first of the words, masked, where it holds them all.
fn snippet(text: &str, (wanted, inspector): (&[String], &Inspector)) -> Option<String> {
    let lower: Vec<char> = text.chars().flat_map(|c| c.to_lowercase().next()).collect();
    let folded: String = lower.iter().collect();
    if !wanted.iter().all(|w| folded.contains(w.as_str())) {
        return None;
    }
    let at = folded.find(wanted.first()?.as_str())?;
    let at = folded.get(..at)?.chars().count();
    // Masked first: cut, an identifier might no longer be seen as one.
    let (begin, end) = (at.saturating_sub(AROUND), at + AROUND);
    let cut: String = text.chars().skip(begin.saturating_sub(AROUND)).take(end + 2 * AROUND - begin).collect();
    let hidden = inspector.masked(&cut);
    let words = hidden.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(4 * AROUND).collect();
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_words_must_stand_there_and_identifiers_do_not_show() {
        let text = "가람 캠핑장 예약 문의는 010-2345-6789로 한다. Open Data 안내";
        let inspector = Inspector::default();
        let found = |words: &str| snippet(text, (&terms(words).unwrap(), &inspector));
        let shown = found("캠핑장 open").unwrap();
        assert!(shown.contains("캠핑장") && !shown.contains("010-2345-6789"), "{shown}");
        assert_eq!(found("캠핑장 없는말"), None);
        assert!(terms(" 가 ").is_err() && terms(&"가".repeat(101)).is_err());
        let json = r#"{"messages":[{"role":"user","content":"첫 줄\n둘째 \"줄\""}]}"#;
        assert!(spoken(json).contains("둘째 \"줄\"") && !spoken(json).contains("user"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text: String, words in "[가-힣a-z]{2,10}") {
            let inspector = Inspector::default();
            let _ = snippet(&text, (std::slice::from_ref(&words), &inspector));
            let longer = format!("{text} {words}");
            prop_assert!(snippet(&longer, (std::slice::from_ref(&words), &inspector)).is_some());
        }
    }
}
