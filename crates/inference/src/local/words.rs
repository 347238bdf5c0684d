//! A reply's tokens as what the reader gets: text without thinking, and log-probabilities of exactly that text's tokens.

use crate::chat::{ChatEvent, StepLogprobs};
use crate::thinking::{Held, Thinking};
use crate::tokenizer::TextStream;

/// Tokens on their way to the reader.
pub struct Words {
    stream: TextStream,
    thinking: Thinking,
    /// Log-probabilities of tokens of which is not known yet whether they are thinking.
    steps: Vec<StepLogprobs>,
}

impl Words {
    pub fn new(stream: TextStream, thinking: Thinking) -> Self {
        Self { stream, thinking, steps: Vec::new() }
    }

    /// A stop string came: the reply is over.
    pub fn stopped(&self) -> bool {
        self.stream.stopped()
    }

    /// What can be told after the next token.
    pub fn push(&mut self, token: u32, step: Option<StepLogprobs>) -> Option<ChatEvent> {
        self.steps.extend(step);
        let piece = self.stream.push(token);
        let whole = piece.is_some();
        let text = piece.and_then(|t| self.thinking.pass(&t)).unwrap_or_default();
        match self.thinking.held() {
            Held::Nothing => {}
            // It may be the answer yet.
            Held::InDoubt => return None,
            // Bytes of an unfinished character may be the answer's first.
            Held::Thought if !whole => return None,
            Held::Thought => self.steps.clear(),
        }
        self.event(text)
    }

    /// What was held back, when no more tokens come.
    pub fn finish(&mut self) -> Option<ChatEvent> {
        let mut rest = self.stream.finish().and_then(|t| self.thinking.pass(&t)).unwrap_or_default();
        if self.thinking.held() == Held::Thought {
            self.steps.clear();
        }
        rest.push_str(&self.thinking.finish());
        self.event(rest)
    }

    fn event(&mut self, text: String) -> Option<ChatEvent> {
        let logprobs = std::mem::take(&mut self.steps);
        (!text.is_empty() || !logprobs.is_empty()).then_some(ChatEvent::Text { text, logprobs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_vocabulary;
    use crate::chat::TokenLogprob;
    use crate::tokenizer::Tokenizer;
    use std::path::Path;
    use std::sync::Arc;

    /// Text and logged tokens that reach the reader of `reply`.
    fn told(reply: &str, prompt_end: &str) -> (String, String) {
        let tokenizer = Arc::new(Tokenizer::open(Path::new("none"), Some(&byte_vocabulary::content())).unwrap());
        let mut words = Words::new(TextStream::new(Arc::clone(&tokenizer), &[]), Thinking::new(prompt_end));
        let (mut text, mut logged) = (String::new(), Vec::new());
        let mut take = |event: Option<ChatEvent>| {
            if let Some(ChatEvent::Text { text: more, logprobs }) = event {
                text.push_str(&more);
                logged.extend(logprobs.into_iter().flat_map(|s| s.chosen.bytes));
            }
        };
        for id in tokenizer.encode(reply) {
            let bytes = tokenizer.token_bytes(id).to_vec();
            let chosen = TokenLogprob { token: String::new(), bytes, logprob: 0.0 };
            take(words.push(id, Some(StepLogprobs { chosen, top: vec![] })));
        }
        take(words.finish());
        (text, String::from_utf8(logged).unwrap())
    }

    #[test]
    fn thinking_is_not_told_by_log_probabilities_either() {
        for (reply, prompt_end, answer) in [
            ("<think>\n비밀\n</think>\n\n답은 셋.", "", "답은 셋."),
            ("비밀</think>답", "<think>\n", "답"),
            ("<think>끝나지 않는 비밀", "", ""),
            ("<thin 막대", "", "<thin 막대"),
            ("<th", "", "<th"),
            ("그냥 답", "", "그냥 답"),
        ] {
            assert_eq!(told(reply, prompt_end), (answer.to_owned(), answer.to_owned()), "{reply}");
        }
    }
}
