//! What texts are inspected with: the detector and the body's own dictionary, as it stands in the database now. A
//! dictionary that cannot be opened lets nothing out. Editing it is in `dictionary`, the envelope in `envelope`.

use crate::envelope::{Envelope, Refusal};
use crate::prompt::Prompt;
use crate::seal::{MasterKey, SealError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_domain::Grade;
use madang_pii::{Action, Dictionary, Finding, Kind, Masker, Report, Rules, mask_with, restore, scan_with};
use madang_store::Store;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What stands before the name of a rule of the dictionary among the kinds that were found.
pub const CUSTOM_PREFIX: &str = "custom:";
/// Masking changes what stands beside what is left, so that a masked text is masked again until nothing is found.
pub(crate) const MAX_PASSES: usize = 8;

/// Inspects texts with one revision of the dictionary; cheap to clone. The default knows no dictionary.
#[derive(Debug, Clone, Default)]
pub struct Inspector {
    rules: Arc<Rules>,
    revision: i64,
}

impl Inspector {
    /// With a compiled dictionary.
    pub fn new(rules: Rules, revision: i64) -> Self {
        Inspector { rules: Arc::new(rules), revision }
    }

    /// The compiled dictionary, for what inspects inside the house.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// Everything found in `text`, the dictionary's words among it.
    pub fn scan(&self, text: &str) -> Report {
        scan_with(text, &self.rules)
    }

    /// Nothing in the text would be masked or blocked, and nothing raises its grade.
    pub fn passes(&self, text: &str) -> bool {
        let report = self.scan(text);
        report.action == Action::Pass && report.raised_grade() == Grade::Open
    }

    /// The text without identifiers: for what is kept unsealed.
    pub fn masked(&self, text: &str) -> String {
        mask_with(text, &self.scan(text), |again| self.scan(again)).text
    }

    /// A reply may hold identifiers of its own: those that block are shown to nobody, the others as they came.
    pub fn without_blocked(&self, reply: &str) -> String {
        let report = self.scan(reply);
        if report.action < Action::Block {
            return reply.to_owned();
        }
        let hidden = mask_with(reply, &report, |again| self.scan(again));
        restore(&hidden.text, &hidden.tokens)
    }

    /// Several texts of one whole, masked with one set of tokens.
    pub fn mask_all(&self, texts: &[&str]) -> Vec<String> {
        let mut masker = Masker::new();
        texts.iter().for_each(|text| masker.reserve(text));
        let mut masked = |text: &str| {
            let mut text = text.to_owned();
            for _ in 0..MAX_PASSES {
                let report = self.scan(&text);
                if report.action == Action::Pass {
                    break;
                }
                text = masker.mask(&text, &report);
            }
            text
        };
        texts.iter().map(|text| masked(text)).collect()
    }

    /// Revision of the dictionary; 0 where there is none.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Detector and revision of the dictionary, kept with what was inspected.
    pub fn detector(&self) -> String {
        format!("{} dictionary {}", madang_pii::DETECTOR_VERSION, self.revision)
    }
}

/// How many of each kind were found, for records that must not hold the values. Words of the dictionary count as
/// `custom:` and the name of their rule; words that are both count as both.
pub fn counts<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut count = |name: String| *counts.entry(name).or_default() += 1;
    for finding in findings {
        if finding.kind != Kind::Custom || finding.rule.is_none() {
            count(finding.kind.as_str().to_owned());
        }
        if let Some(rule) = &finding.rule {
            count(format!("{CUSTOM_PREFIX}{rule}"));
        }
    }
    counts
}

/// Says where the markings stand that raised the grade; `refusal` itself where none did.
pub(crate) fn marked(prompt: &Prompt, envelope: &Envelope, refusal: Refusal) -> Refusal {
    let grade = envelope.header.grade;
    let mut places: Vec<String> = Vec::new();
    for raised in &envelope.raised {
        let place = format!("{}의 ‘{}’", prompt.place_of(raised.part, raised.start), raised.word);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() { refusal } else { Refusal::Marked(grade, places.join(", ")) }
}

/// The dictionary cannot be opened or compiled; its words are in no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "기관 사전을 열 수 없어 글을 살펴보지 못합니다. 그래서 아무것도 내보내지 않습니다. 운영자에게 암호화 키와 백업을 확인해 달라고 알려 주세요."
)]
pub struct Uninspected;

/// The inspector in use, renewed when the dictionary's revision changes.
#[derive(Debug, Default)]
pub(crate) struct Loaded(RwLock<Inspector>);

impl Loaded {
    /// The inspector of the revision that is in force now.
    ///
    /// # Errors
    /// [`Uninspected`] for a database that does not answer and a dictionary that does not open or compile.
    pub async fn now(&self, store: &Store, key: &MasterKey) -> Result<Inspector, Uninspected> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the dictionary could not be {what}; nothing leaves");
            Uninspected
        };
        let revision = store.dictionary_revision().await.map_err(|e| failed("asked for", &e))?;
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if current.revision == revision {
            return Ok(current);
        }
        let dictionary = match revision {
            0 => Dictionary::default(),
            _ => {
                let sealed = store.sealed_dictionary(revision).await.map_err(|e| failed("read", &e))?;
                open(key, &sealed, revision).map_err(|e| failed("opened", &e))?
            }
        };
        let rules = Rules::new(&dictionary).map_err(|_| failed("compiled", &"a rule that was once accepted"))?;
        let renewed = Inspector::new(rules, revision);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = renewed.clone();
        Ok(renewed)
    }
}

/// Encrypts a dictionary as this revision: it opens as no other.
pub(crate) fn seal(key: &MasterKey, dictionary: &Dictionary, revision: i64) -> Result<String, SealError> {
    let text = serde_json::to_vec(dictionary).map_err(|_| SealError::Sealed)?;
    Ok(STANDARD.encode(key.seal(&text, &record(revision))?))
}

/// Decrypts what [`seal`] made.
pub(crate) fn open(key: &MasterKey, sealed: &str, revision: i64) -> Result<Dictionary, SealError> {
    let sealed = STANDARD.decode(sealed).map_err(|_| SealError::Sealed)?;
    serde_json::from_slice(&key.open(&sealed, &record(revision))?).map_err(|_| SealError::Sealed)
}

fn record(revision: i64) -> Vec<u8> {
    format!("pii-dictionary/{revision}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inspector() -> Inspector {
        let toml = r#"
[[rule]]
name = "비공개 사업명"
terms = ["한울 신도시"]
action = "block"
[[rule]]
name = "과제"
terms = ["푸른별"]
patterns = ["HW-[0-9]{4}"]
[[rule]]
name = "감사"
terms = ["특별 점검 대상"]
action = "grade_s"
"#;
        Inspector::new(Rules::from_toml(toml).unwrap(), 3)
    }

    #[test]
    fn rules_are_counted_by_their_names() {
        let report = inspector().scan("한울신도시의 푸른별, 푸른 별, 010-1234-5678");
        let counted = counts(&report.findings);
        let expected = [("custom:과제", 2), ("custom:비공개 사업명", 1), ("phone", 1)];
        assert_eq!(counted, expected.into_iter().map(|(name, n)| (name.to_owned(), n)).collect());
    }

    #[test]
    fn a_reply_shows_no_blocked_word() {
        let shown = inspector().without_blocked("한-울 신도시와 푸른별");
        assert_eq!(shown, "[등록어-1]와 푸른별");
        assert!(!inspector().passes("특별 점검대상") && inspector().passes("특별한 점검"));
    }

    #[test]
    fn several_texts_share_their_tokens() {
        let masked = inspector().mask_all(&["푸른별, HW-2026", "[등록어-1]과 푸른별"]);
        assert_eq!(masked, ["[등록어-2], [등록어-3]", "[등록어-1]과 [등록어-2]"]);
    }

    #[test]
    fn a_dictionary_opens_as_its_own_revision_alone() {
        let key = MasterKey::from_bytes([7; 32]);
        let dictionary = Dictionary::from_toml("[[rule]]\nname = \"가\"\nterms = [\"한울 신도시\"]\n").unwrap();
        let sealed = seal(&key, &dictionary, 4).unwrap();
        assert!(!sealed.contains("한울"));
        assert_eq!(open(&key, &sealed, 4).unwrap(), dictionary);
        assert!(open(&key, &sealed, 5).is_err() && open(&MasterKey::from_bytes([8; 32]), &sealed, 4).is_err());
    }

    /// A word of the dictionary in one of the forms in which people write it, or try to get it past the filter.
    fn disguised() -> impl Strategy<Value = String> {
        let spaced =
            |sign: &'static str| move |word: &str| word.chars().map(String::from).collect::<Vec<_>>().join(sign);
        let word = prop::sample::select(vec!["한울신도시", "푸른별", "특별점검대상", "HW-2026"]);
        let form =
            prop::sample::select(vec!["", "\u{200B}", "\u{00AD}", "jamo", "percent", "entity", "escape", "base64"]);
        (word, form).prop_map(move |(word, form)| match form {
            "jamo" => unicode(word),
            "percent" => word.bytes().map(|b| format!("%{b:02X}")).collect(),
            "entity" => word.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
            "escape" => word.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
            "base64" => format!(" {} ", STANDARD.encode(format!("사업명은 {word}이다"))),
            sign => spaced(sign)(word),
        })
    }

    /// Syllables taken apart into conjoining letters.
    fn unicode(word: &str) -> String {
        let mut out = String::new();
        for c in word.chars() {
            match u32::from(c).checked_sub(0xAC00).filter(|s| *s < 11_172) {
                None => out.push(c),
                Some(s) => {
                    let tail = s % 28;
                    let letters = [0x1100 + s / 588, 0x1161 + s % 588 / 28, 0x11A7 + tail];
                    let kept = if tail == 0 { 2 } else { 3 };
                    out.extend(letters.iter().take(kept).filter_map(|l| char::from_u32(*l)));
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn no_word_of_the_dictionary_is_left_in_any_of_its_disguises(
            before in "[가-힣 ]{0,12}", word in disguised(), after in "[가-힣 .]{0,12}",
        ) {
            let (inspector, text) = (inspector(), format!("{before} {word} {after}"));
            let report = inspector.scan(&text);
            prop_assert!(report.findings.iter().any(|f| f.kind == Kind::Custom), "{text}");
            let masked = inspector.masked(&text);
            prop_assert!(!masked.contains(word.trim()), "{masked}");
            prop_assert_eq!(inspector.scan(&masked).action, Action::Pass);
        }

        #[test]
        fn masking_twice_is_masking_once(text in r"[한울신도시푸른별HW\-0-9 .@a-c\[\]등록어전화번호]{0,80}") {
            let inspector = inspector();
            let once = inspector.masked(&text);
            prop_assert_eq!(inspector.masked(&once), once);
        }
    }
}
