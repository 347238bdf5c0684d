//! What tokens look like that stand in place of identifiers. Giving them out and putting words back is in `mask`.

use crate::kind::Kind;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Longer numbers are no counters; digits in them are looked at.
const MAX_COUNTER: usize = 4;
/// Longest name of a kind, in bytes.
const MAX_NAME: usize = 30;

static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| Kind::ALL.iter().map(|k| k.korean()).collect());

/// The token for the `n`th identifier of a kind.
pub(crate) fn token(kind: Kind, n: usize) -> String {
    format!("[{}-{n}]", kind.korean())
}

/// End of the token that begins with the bracket at byte `at`.
pub(crate) fn token_end(text: &str, at: usize) -> Option<usize> {
    let body = text.get(at..)?.strip_prefix('[')?;
    let close = body.bytes().take(MAX_NAME + MAX_COUNTER + 2).position(|b| b == b']')?;
    let (name, counter) = body.get(..close)?.rsplit_once('-')?;
    let counts = (1..=MAX_COUNTER).contains(&counter.len()) && counter.bytes().all(|b| b.is_ascii_digit());
    (counts && NAMES.contains(name)).then_some(at + close + 2)
}

/// The tokens in `text`, in order.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('[').filter_map(|(at, _)| Some(at..token_end(text, at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_known_kinds() {
        let text = "[전화번호-1] [전화-1] [주소-900101] [이름-12][";
        let found: Vec<&str> = tokens(text).filter_map(|r| text.get(r)).collect();
        assert_eq!(found, ["[전화번호-1]", "[이름-12]"]);
        assert_eq!(token(Kind::Name, 3), "[이름-3]");
    }
}
