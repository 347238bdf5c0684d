//! The policy that a new installation starts with, commented as a template: what the gateway does without a policy.

use crate::model::Policy;
use crate::text::Faults;

/// The template as it is shown for editing.
pub const DEFAULT_POLICY: &str = include_str!("default_policy.toml");

impl Policy {
    /// The policy of a new installation: grade O, personal data masked, one security officer, a limit on calls.
    ///
    /// # Errors
    /// Never for the text that ships; a test reads it.
    pub fn template() -> Result<Policy, Faults> {
        Policy::parse(DEFAULT_POLICY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_in_the_comments_are_valid_too() {
        // Uncommented: every "# [[…" block up to the next blank line.
        let mut inside = false;
        let mut text = String::new();
        for line in DEFAULT_POLICY.lines() {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            inside = (inside || line.starts_with("# [")) && !line.trim().is_empty();
            text.push_str(if inside { bare } else { line });
            text.push('\n');
        }
        let text = text.replace("승인한 담당관의 고유번호", "0192a000-0000-7000-8000-000000000001");
        let policy = Policy::parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        assert_eq!(policy.rules().len(), 4);
        assert_eq!((policy.preapprovals().len(), policy.prices().models.len()), (1, 1));
    }
}
