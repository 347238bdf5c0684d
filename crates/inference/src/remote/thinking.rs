//! Takes the thinking at the beginning of a reply away where a server leaves it in: `<think>…</think>`.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Where a reply stands.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Beginning,
    Thinking,
    /// Behind the thinking, before the first word of the reply.
    Between,
    Reply,
}

/// Reads a reply piece by piece.
#[derive(Debug, Default)]
pub(super) struct ThinkingFilter {
    stage: Stage,
    held: String,
}

impl ThinkingFilter {
    /// What of the reply proper is certain with this piece.
    pub fn feed(&mut self, piece: &str) -> String {
        if matches!(self.stage, Stage::Reply) {
            return piece.to_owned();
        }
        self.held.push_str(piece);
        if matches!(self.stage, Stage::Beginning) {
            let text = self.held.trim_start();
            if text.starts_with(OPEN) {
                self.stage = Stage::Thinking;
            } else if OPEN.starts_with(text) {
                return String::new();
            } else {
                self.stage = Stage::Reply;
                return std::mem::take(&mut self.held);
            }
        }
        if matches!(self.stage, Stage::Thinking) {
            let Some(at) = self.held.find(CLOSE) else {
                self.forget();
                return String::new();
            };
            self.held = self.held.get(at + CLOSE.len()..).unwrap_or_default().to_owned();
            self.stage = Stage::Between;
        }
        let rest = self.held.trim_start().to_owned();
        self.held.clear();
        if !rest.is_empty() {
            self.stage = Stage::Reply;
        }
        rest
    }

    /// Of the thinking only what may be the beginning of its end is kept.
    fn forget(&mut self) {
        let keep = self.held.char_indices().rev().nth(CLOSE.len()).map_or(0, |(at, _)| at);
        self.held.drain(..keep);
    }

    /// Is what comes now the reply itself?
    pub fn passed(&self) -> bool {
        matches!(self.stage, Stage::Reply)
    }

    /// What was held back when the reply ends; thinking without an end is none.
    pub fn finish(&mut self) -> String {
        if matches!(self.stage, Stage::Beginning) { std::mem::take(&mut self.held) } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filtered(pieces: &[String]) -> String {
        let mut filter = ThinkingFilter::default();
        let mut out: String = pieces.iter().map(|p| filter.feed(p)).collect();
        out.push_str(&filter.finish());
        out
    }

    #[test]
    fn only_thinking_at_the_beginning_goes() {
        for (text, reply) in [
            ("<think>\n\n</think>\n\n답", "답"),
            ("\n<think>가 < 나 </thin </think>답 <think>", "답 <think>"),
            ("답 <think>x</think>", "답 <think>x</think>"),
            ("<thinking>", "<thinking>"),
            ("<thi", "<thi"),
            ("<think>끝없이", ""),
        ] {
            assert_eq!(filtered(&[text.to_owned()]), reply, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(thought in "[가나 <>/think]{0,40}", reply in "[다라 <>a]{0,20}", size in 1usize..9) {
            prop_assume!(!thought.contains(CLOSE));
            let text = format!("<think>{thought}</think>{reply}");
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(size).map(|c| c.iter().collect()).collect();
            prop_assert_eq!(filtered(&pieces), filtered(&[text]));
        }
    }
}
