//! Thinking that a model writes before its answer, between `<think>` and `</think>`, is no part of the reply.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Passes on the reply and keeps the thinking back. Works on a stream of pieces.
#[derive(Debug, Clone)]
pub struct Thinking {
    state: State,
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The reply may begin with thinking.
    Begin,
    Inside,
    /// Blank lines between thinking and answer.
    Gap,
    Answer,
}

/// What is kept back at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The answer is under way.
    Nothing,
    /// What may be thinking or the answer's beginning.
    InDoubt,
    Thought,
}

impl Thinking {
    /// `prompt_end`: the end of the prompt as text; some templates open the thinking themselves.
    pub fn new(prompt_end: &str) -> Self {
        let state = if prompt_end.trim_end().ends_with(OPEN) { State::Inside } else { State::Begin };
        Self { state, held: String::new() }
    }

    /// A model that writes nothing but its reply.
    pub fn none() -> Self {
        Self { state: State::Answer, held: String::new() }
    }

    /// What of the next piece belongs to the reply.
    pub fn pass(&mut self, piece: &str) -> Option<String> {
        if self.state == State::Answer {
            return Some(piece.to_owned());
        }
        self.held.push_str(piece);
        loop {
            match self.state {
                State::Begin => {
                    let start = self.held.trim_start();
                    if let Some(rest) = start.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.state = State::Inside;
                    } else if OPEN.starts_with(start) {
                        return None;
                    } else {
                        self.state = State::Answer;
                        return Some(std::mem::take(&mut self.held));
                    }
                }
                State::Inside => {
                    let at = self.held.find(CLOSE)?;
                    self.held.drain(..at + CLOSE.len());
                    self.state = State::Gap;
                }
                State::Gap => {
                    let rest = self.held.trim_start().to_owned();
                    self.held.clear();
                    if rest.is_empty() {
                        return None;
                    }
                    self.state = State::Answer;
                    return Some(rest);
                }
                State::Answer => return Some(std::mem::take(&mut self.held)),
            }
        }
    }

    /// What the last piece belongs to.
    pub fn held(&self) -> Held {
        match self.state {
            State::Begin => Held::InDoubt,
            State::Inside | State::Gap => Held::Thought,
            State::Answer => Held::Nothing,
        }
    }

    /// What was held back in doubt when the reply ended.
    pub fn finish(&mut self) -> String {
        match self.state {
            State::Begin => std::mem::take(&mut self.held),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(mut thinking: Thinking, pieces: &[&str]) -> String {
        let mut out: String = pieces.iter().filter_map(|p| thinking.pass(p)).collect();
        out.push_str(&thinking.finish());
        out
    }

    #[test]
    fn thinking_is_kept_back_wherever_it_is_cut() {
        let whole = "<think>\n음, 7월?\n</think>\n\n답은 3월입니다. <think>는 글자입니다.";
        let chars: Vec<String> = whole.chars().map(String::from).collect();
        let pieces: Vec<&str> = chars.iter().map(String::as_str).collect();
        let answer = "답은 3월입니다. <think>는 글자입니다.";
        assert_eq!(through(Thinking::new("<|im_start|>assistant\n"), &pieces), answer);
        assert_eq!(through(Thinking::new(""), &[whole]), answer);
        assert_eq!(through(Thinking::new("assistant\n<think>\n"), &["생각</think>", "답"]), "답");
        assert_eq!(through(Thinking::new(""), &["<", "tr>"]), "<tr>");
        assert_eq!(through(Thinking::new(""), &["<th"]), "<th");
    }
}
