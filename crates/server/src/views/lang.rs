//! The page's language: Korean words are the keys, English comes from `web/locales/en.toml`.

use std::{collections::HashMap, fmt::Display, sync::LazyLock};

static EN: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    // A broken dictionary must not stop the server: pages then stay Korean, and the test below fails.
    toml::from_str(include_str!("../../../../web/locales/en.toml")).unwrap_or_default()
});

/// A page's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    #[default]
    Ko,
    En,
}

impl Lang {
    /// From a cookie or a query; anything but `en` is Korean.
    pub fn from_code(code: &str) -> Self {
        if code == "en" { Self::En } else { Self::Ko }
    }

    /// `ko` or `en`, as in `<html lang>`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    /// The words in this language; the Korean ones where no translation is known (data, names).
    pub fn t<'a>(&self, korean: &'a str) -> &'a str {
        match self {
            Self::Ko => korean,
            Self::En => EN.get(korean).map_or(korean, String::as_str),
        }
    }

    /// [`Lang::t`] with the first `{}` filled.
    pub fn f(&self, korean: &str, value: impl Display) -> String {
        self.t(korean).replacen("{}", &value.to_string(), 1)
    }

    /// [`Lang::t`] with `{a}` and `{b}` filled: their order differs between the languages.
    pub fn f2(&self, korean: &str, a: impl Display, b: impl Display) -> String {
        // Split first, so that a value that itself holds "{b}" stays as it is.
        let words = self.t(korean);
        let (a, b) = (a.to_string(), b.to_string());
        let mut out = String::with_capacity(words.len() + a.len() + b.len());
        let mut rest = words;
        while let Some(at) = rest.find(['{']) {
            let (head, tail) = rest.split_at(at);
            out.push_str(head);
            if let Some(after) = tail.strip_prefix("{a}") {
                out.push_str(&a);
                rest = after;
            } else if let Some(after) = tail.strip_prefix("{b}") {
                out.push_str(&b);
                rest = after;
            } else {
                out.push('{');
                rest = tail.strip_prefix('{').unwrap_or_default();
            }
        }
        out.push_str(rest);
        out
    }
}

impl Lang {
    /// A message that was put together elsewhere, such as an error: found by the words around its values. Values stay as
    /// they are, and so does a message that the dictionary does not know.
    pub fn said(&self, korean: &str) -> String {
        match (self, EN.get(korean)) {
            (Self::Ko, _) => korean.to_owned(),
            (Self::En, Some(english)) => english.clone(),
            (Self::En, None) => with_values(korean).unwrap_or_else(|| korean.to_owned()),
        }
    }
}

/// The marks that messages are filled at.
const MARKS: [&str; 3] = ["{}", "{a}", "{b}"];
/// Korean words, at least so many bytes, that a message must share with an entry to be one of it.
const ENOUGH: usize = 12;

/// The English of the entry that fits a message best: the one with the most words in common.
fn with_values(message: &str) -> Option<String> {
    let fitting = EN.iter().filter_map(|(korean, english)| {
        let values = values_of(message, korean)?;
        let fixed = korean.len() - MARKS.iter().map(|m| korean.matches(m).count() * m.len()).sum::<usize>();
        (fixed >= ENOUGH).then_some((fixed, english, values))
    });
    let (_, english, values) = fitting.max_by_key(|(fixed, ..)| *fixed)?;
    Some(values.iter().fold(english.clone(), |out, (mark, value)| out.replacen(mark, value, 1)))
}

/// The values in a message that is an entry with its marks filled; `None` where it is not, or the entry has no mark.
fn values_of<'a>(message: &'a str, korean: &str) -> Option<Vec<(&'static str, &'a str)>> {
    let mut rest = message;
    let mut words = korean;
    let mut open: Option<&'static str> = None;
    let mut values = Vec::new();
    loop {
        let next = MARKS.iter().filter_map(|m| Some((words.find(m)?, *m))).min();
        let fixed = next.map_or(words, |(at, _)| words.get(..at).unwrap_or_default());
        match open {
            None => rest = rest.strip_prefix(fixed)?,
            Some(mark) => {
                // The last words must end the message, whatever a value holds.
                let at = if next.is_none() { rest.strip_suffix(fixed)?.len() } else { rest.find(fixed)? };
                values.push((mark, rest.get(..at)?));
                rest = rest.get(at + fixed.len()..)?;
            }
        }
        let Some((at, mark)) = next else { break };
        open = Some(mark);
        words = words.get(at + mark.len()..)?;
    }
    (rest.is_empty() && !values.is_empty()).then_some(values)
}

/// The English dictionary, for the test that compares it with the templates.
pub fn english() -> &'static HashMap<String, String> {
    &EN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionary_loads_and_keeps_placeholders() {
        assert!(!english().is_empty(), "web/locales/en.toml is not a flat table of strings");
        for (ko, en) in english() {
            for mark in ["{}", "{a}", "{b}"] {
                assert_eq!(ko.contains(mark), en.contains(mark), "{mark} in {ko:?}");
            }
        }
    }

    #[test]
    fn messages_are_known_by_the_words_around_their_values() {
        let values = |message, korean| values_of(message, korean);
        assert_eq!(
            values("‘가’ 모델은 나에 있습니다", "‘{a}’ 모델은 {b}에 있습니다"),
            Some(vec![("{a}", "가"), ("{b}", "나")])
        );
        assert_eq!(values("가 모델", "{}이 모델"), None);
        assert_eq!(values("값", "값"), None);
        let refused = "8.8.8.8은(는) 운영자가 정한 내부망에 들지 않아 연결하지 않습니다. 내부망 목록이나 모델 서버 주소를 고쳐 주세요.";
        assert!(Lang::En.said(refused).starts_with("8.8.8.8 "), "{}", Lang::En.said(refused));
        assert_eq!(Lang::Ko.said(refused), refused);
        assert_eq!(Lang::En.said("사전에 없는 말"), "사전에 없는 말");
    }

    #[test]
    fn fills_once_and_in_any_order() {
        assert_eq!(Lang::Ko.f2("{a} 가운데 {b}", "{b}", 2), "{b} 가운데 2");
        assert_eq!(Lang::Ko.f("{}개", 3), "3개");
    }
}
