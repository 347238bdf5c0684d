//! E-mail addresses, also with the sign and the dots written out.

use crate::kind::Kind;
use crate::labels::Cue;
use crate::text::{Text, windows};
use crate::window::Candidate;
use regex::Regex;
use std::sync::LazyLock;

/// Bytes around the sign in which the address stands.
const REACH: (usize, usize) = (80, 200);

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    let at = r"(?:@|[(\[{<*_-] ?(?:at|a|@) ?[)\]}>*_-]|[(\[]?골뱅이[)\]]?|앳| at )";
    let dot = r"(?:[.。]|[(\[{<*_-] ?(?:dot|\.) ?[)\]}>*_-]|점|닷| dot )";
    let pattern = format!(
        r"(?i:[a-z0-9][a-z0-9._%+'-]{{0,63}} {{0,2}}{at} {{0,2}}(?:[a-z0-9-]{{1,63}} {{0,2}}{dot} {{0,2}}){{1,5}}[a-z]{{2,24}})"
    );
    Regex::new(&pattern).expect("tested below")
});

/// Every address in the text.
pub(crate) fn find(text: &Text) -> Vec<Candidate> {
    let signs = text.cues.iter().filter(|f| f.cue == Cue::At).map(|f| f.range.clone());
    let mut out = Vec::new();
    for window in windows(text.str(), signs, REACH.0, REACH.1) {
        for m in EMAIL.find_iter(text.slice(window.clone())) {
            let range = window.start + m.start()..window.start + m.end();
            // "look at example.kr": a plain word between blanks is a sign only where the dot is written out too.
            let plain = m.as_str().contains(" at ") && !m.as_str().contains(" dot ");
            if !plain && !text.touches_token(&range) {
                out.push(Candidate { kind: Kind::Email, range, confidence: 0.95 });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;

    #[test]
    fn addresses_in_disguise() {
        for text in [
            "hong@example.kr",
            "hong(at)example.kr",
            "hong [at] example [dot] kr",
            "hong골뱅이example점co점kr",
            "hong @ example . kr",
            "hong at example dot kr",
            "h.o-n_g+1@mail.example.go.kr",
        ] {
            let text = Text::new(View::of(text));
            let found = find(&text);
            let whole = (0, text.str().len());
            assert_eq!(
                found.iter().map(|c| (c.range.start, c.range.end)).collect::<Vec<_>>(),
                [whole],
                "{}",
                text.str()
            );
        }
        for text in ["look at example.kr", "@홍길동", "a@b", "담당자@부서"] {
            assert_eq!(find(&Text::new(View::of(text))), [], "{text}");
        }
    }
}
