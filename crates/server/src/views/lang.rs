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
    fn fills_once_and_in_any_order() {
        assert_eq!(Lang::Ko.f2("{a} 가운데 {b}", "{b}", 2), "{b} 가운데 2");
        assert_eq!(Lang::Ko.f("{}개", 3), "3개");
    }
}
