//! Kinds of personal data by their stored names, and what class each belongs to. Detection is `madang-pii`'s.

use madang_pii::{Action, Kind};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// In a rule: every kind that is masked before it leaves.
pub const PERSONAL: &str = "personal";
/// In a rule: whatever an admin's own dictionaries and patterns find.
pub const CUSTOM: &str = "custom";
/// What an admin's own dictionaries and patterns find is named with this in front.
pub const CUSTOM_PREFIX: &str = "custom:";

/// What a kind means to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Of a body rather than of a person: may leave as it is.
    Organisation,
    /// Leaves masked, and only where a rule says so.
    Personal,
    /// Never leaves, whatever a rule says.
    Blocked,
}

/// Class of a kind by its stored name. A name that is not known is taken for personal data, never for less.
pub fn class(name: &str) -> Class {
    match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
        Some(Kind::Credential) => Class::Blocked,
        Some(kind) => match kind.action() {
            Action::Block => Class::Blocked,
            Action::Mask => Class::Personal,
            Action::Pass => Class::Organisation,
        },
        None => Class::Personal,
    }
}

/// Korean name of a kind; an unknown one stands for itself.
pub fn korean(name: &str) -> Cow<'_, str> {
    if name == PERSONAL {
        return Cow::Borrowed("개인정보");
    }
    match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
        Some(kind) => Cow::Borrowed(kind.korean()),
        None if name == CUSTOM => Cow::Borrowed("기관 사전"),
        None => Cow::Borrowed(name.strip_prefix(CUSTOM_PREFIX).unwrap_or(name)),
    }
}

/// A kind as a rule names it: a stored name or Korean name of the detector, [`PERSONAL`], or `custom:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindName(String);

impl KindName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it stand for this found kind?
    pub fn covers(&self, found: &str) -> bool {
        self.0 == found
            || self.0 == PERSONAL && class(found) == Class::Personal
            || self.0 == CUSTOM && found.starts_with(CUSTOM_PREFIX)
    }
}

impl TryFrom<String> for KindName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.trim();
        if let Some(kind) = Kind::ALL.into_iter().find(|k| k.as_str() == name || k.korean() == name) {
            return Ok(Self(kind.as_str().to_owned()));
        }
        if matches!(name, PERSONAL | "개인정보") {
            return Ok(Self(PERSONAL.to_owned()));
        }
        if name == CUSTOM {
            return Ok(Self(CUSTOM.to_owned()));
        }
        match name.strip_prefix(CUSTOM_PREFIX) {
            Some(rest) if !rest.trim().is_empty() && rest.chars().count() <= 100 => Ok(Self(name.to_owned())),
            _ => Err(format!(
                "'{name}'은(는) 없는 개인정보 종류입니다. personal이나 다음 가운데 하나를 적고, 기관 사전은 custom:이름으로 적어 주세요: {}.",
                Kind::ALL.map(Kind::as_str).join(", ")
            )),
        }
    }
}

impl From<KindName> for String {
    fn from(kind: KindName) -> String {
        kind.0
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&korean(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_identifiers_and_credentials_are_blocked_and_the_unknown_is_personal() {
        for name in ["rrn", "foreigner_registration", "drivers_license", "passport", "credential"] {
            assert_eq!(class(name), Class::Blocked, "{name}");
        }
        assert_eq!(class("phone"), Class::Personal);
        assert_eq!(class("business_number"), Class::Organisation);
        assert_eq!(class("never heard of"), Class::Personal);
    }

    #[test]
    fn a_typing_error_is_refused_and_a_korean_name_is_read() {
        let read = |text: &str| KindName::try_from(text.to_owned());
        assert_eq!(read("전화번호").unwrap().as_str(), "phone");
        assert_eq!(read("custom:비공개 사업명").unwrap().to_string(), "비공개 사업명");
        assert!(read("phon").unwrap_err().contains("phone"));
        assert!(read("custom: ").is_err());
        assert!(read("custom").unwrap().covers("custom:비공개 사업명") && !read("custom").unwrap().covers("phone"));
        assert!(read("personal").unwrap().covers("phone") && !read("personal").unwrap().covers("rrn"));
    }
}
