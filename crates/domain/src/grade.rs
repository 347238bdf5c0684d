//! Grades of the national network security framework (N2SF 1.0): C, S, O.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Grade of a thing, ordered from least to most protected.
///
/// What is derived from several things takes the highest grade among them ([`Grade::highest`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grade {
    /// Open (공개). May leave, inspected and approved.
    #[serde(rename = "O")]
    Open,
    /// Sensitive (민감). Leaves only after regrading by a named officer.
    #[serde(rename = "S")]
    Sensitive,
    /// Classified (기밀). Never leaves.
    #[serde(rename = "C")]
    Classified,
}

impl Grade {
    /// All grades, most protected first, as screens list them.
    pub const ALL: [Grade; 3] = [Grade::Classified, Grade::Sensitive, Grade::Open];

    /// The letter shown and stored: `C`, `S` or `O`.
    pub fn letter(self) -> &'static str {
        match self {
            Grade::Open => "O",
            Grade::Sensitive => "S",
            Grade::Classified => "C",
        }
    }

    /// Highest of the grades given; [`Grade::Open`] for none.
    pub fn highest(grades: impl IntoIterator<Item = Grade>) -> Grade {
        grades.into_iter().max().unwrap_or(Grade::Open)
    }
}

impl FromStr for Grade {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "O" => Ok(Grade::Open),
            "S" => Ok(Grade::Sensitive),
            "C" => Ok(Grade::Classified),
            other => Err(format!("unknown grade {other:?}: C, S or O")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_takes_the_highest() {
        assert_eq!(Grade::highest([Grade::Open, Grade::Classified, Grade::Sensitive]), Grade::Classified);
        assert_eq!(Grade::highest([]), Grade::Open);
    }
}
