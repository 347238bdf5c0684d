//! Replies of a given form: a JSON Schema or a grammar becomes, step by step, the set of tokens that may come next
//! (llguidance). Choosing among them is the sampler's business.
//!
//! A reply under a constraint is valid whenever [`ConstraintState::is_complete`] says so; the ways to an invalid one are
//! to stop before: at `max_tokens`, at the deadline, or at a stop string, which is therefore not taken together with a
//! constraint where people may set both. Between the parts of a JSON document at most one blank is allowed, so nothing
//! grows without bound but what the schema leaves unbounded: a schema for a small budget bounds its strings
//! (`maxLength`), arrays (`maxItems`), numbers (`minimum`, `maximum`) and objects (`additionalProperties: false`).

use crate::{ChatError, Constraint, Tokenizer};
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Compiled forms that are kept: apps and the composer ask for the same ones again and again.
const MOST_KEPT: usize = 16;
/// Longer forms are compiled each time.
const LONGEST_KEPT: usize = 64 << 10;
/// Tokens with more bytes are left out of constrained replies.
const MAX_TOKEN_BYTES: usize = 200;

/// What all constraints of a model share: its vocabulary as a tree. Made once per model, shared by threads.
pub struct ConstraintFactory {
    parsers: ParserFactory,
    /// By the form's text, the one used last at the end.
    kept: Mutex<VecDeque<(String, Matcher)>>,
}

impl ConstraintFactory {
    /// Arranges the vocabulary: some 100 ms for 150,000 tokens.
    ///
    /// # Errors
    /// [`ChatError::Failed`] for a vocabulary without an end token.
    pub fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self, ChatError> {
        let failed =
            |e: &dyn std::fmt::Display| ChatError::Failed(format!("이 모델은 형식을 정한 답을 쓸 수 없습니다: {e}"));
        let eos = tokenizer.eos();
        let first = eos.first().ok_or_else(|| failed(&"글의 끝을 알리는 토큰이 없습니다"))?;
        let size = u32::try_from(tokenizer.vocab_size()).map_err(|e| failed(&e))?;
        let words: Vec<Vec<u8>> = (0..size).map(|id| word(tokenizer, id)).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, *first), &words).with_eos_tokens(eos);
        let canonical = tokenizer.decode(&tokenizer.encode("a")) == "a";
        let env: TokEnv = Arc::new(Environment { trie, tokenizer: tokenizer.clone(), canonical });
        let capabilities = InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
        let mut parsers =
            ParserFactory::new(&env, capabilities, &SlicedBiasComputer::general_slices()).map_err(|e| failed(&e))?;
        parsers.quiet();
        parsers.limits_mut().verbose_errors = false;
        Ok(Self { parsers, kept: Mutex::default() })
    }

    /// The state at the beginning of a reply. Forms that were asked for lately are not compiled again.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] where the schema or grammar is wrong, impossible, too large or uses what is not known.
    pub fn compile(&self, constraint: &Constraint) -> Result<ConstraintState, ChatError> {
        let key = match constraint {
            Constraint::JsonSchema(schema) => format!("json {schema}"),
            Constraint::Lark(grammar) => format!("lark {grammar}"),
        };
        let matcher = match self.known(&key) {
            Some(matcher) => matcher,
            None => {
                let matcher = self.parse(constraint)?;
                self.keep(key, &matcher);
                matcher
            }
        };
        Ok(ConstraintState { matcher, allowed: SimpleVob::new() })
    }

    fn parse(&self, constraint: &Constraint) -> Result<Matcher, ChatError> {
        let grammar = match constraint {
            Constraint::JsonSchema(schema) => GrammarWithLexer::from_json_schema(bounded_blanks(schema)?),
            Constraint::Lark(grammar) => GrammarWithLexer::from_lark(grammar.clone()),
        };
        let matcher = Matcher::new(self.parsers.create_parser(TopLevelGrammar::from_grammar(grammar)));
        match matcher.get_error() {
            Some(error) => Err(ChatError::Invalid(format!(
                "답의 형식(JSON Schema 또는 문법)을 쓸 수 없습니다. 형식을 고쳐 주세요: {error}"
            ))),
            None => Ok(matcher),
        }
    }

    /// A copy that shares nothing with the one kept, so that replies do not disturb each other.
    fn known(&self, key: &str) -> Option<Matcher> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(k, _)| k == key)?;
        let (key, matcher) = kept.remove(at)?;
        let copy = matcher.deep_clone();
        kept.push_back((key, matcher));
        Some(copy)
    }

    fn keep(&self, key: String, matcher: &Matcher) {
        if key.len() > LONGEST_KEPT {
            return;
        }
        let copy = matcher.deep_clone();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|(k, _)| *k == key) {
            return;
        }
        if kept.len() == MOST_KEPT {
            kept.pop_front();
        }
        kept.push_back((key, copy));
    }
}

/// The schema with an option of llguidance: at most one blank between the parts of a document.
fn bounded_blanks(schema: &Value) -> Result<Value, ChatError> {
    let mut object = match schema {
        Value::Object(object) => object.clone(),
        Value::Bool(true) => serde_json::Map::new(),
        _ => return Err(ChatError::Invalid("JSON Schema는 객체여야 합니다.".to_owned())),
    };
    object.insert("x-guidance".to_owned(), json!({ "whitespace_pattern": "\\x20" }));
    Ok(Value::Object(object))
}

/// Bytes of a token as the tree keeps them; markup is never part of a constrained reply.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id);
    let usable = !tokenizer.is_markup(id)
        && bytes.len() <= MAX_TOKEN_BYTES
        && bytes.first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER);
    if usable { bytes.to_vec() } else { Vec::new() }
}

struct Environment {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
    canonical: bool,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        match std::str::from_utf8(bytes) {
            Ok(text) if self.canonical => self.tokenizer.encode(text),
            _ => self.trie.greedy_tokenize(bytes),
        }
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.canonical
    }
}

/// Where a reply stands in its form.
pub struct ConstraintState {
    matcher: Matcher,
    allowed: SimpleVob,
}

impl ConstraintState {
    /// The tokens that may come next, a bit per id, 32 to a word, for [`crate::Sampler::sample`]. End tokens are in it
    /// only where the reply may end; when it is complete, they alone.
    ///
    /// # Errors
    /// [`ChatError::Failed`] where a limit on work is hit (a form too ambiguous to follow).
    pub fn mask(&mut self) -> Result<&[u32], ChatError> {
        self.allowed = self.matcher.compute_mask_or_eos().map_err(|e| failed(&e))?;
        Ok(self.allowed.as_slice())
    }

    /// Moves on by the token that was chosen.
    ///
    /// # Errors
    /// [`ChatError::Failed`] for a token that was not allowed.
    pub fn commit(&mut self, token: u32) -> Result<(), ChatError> {
        self.matcher.consume_token(token).map_err(|e| failed(&e))
    }

    /// The tokens that must follow, already committed; often none. They need no sampling, only computing.
    pub fn forced(&mut self) -> Vec<u32> {
        self.matcher.consume_ff_tokens()
    }

    /// Nothing more can follow: the reply is whole.
    pub fn is_complete(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }
}

fn failed(error: &dyn std::fmt::Display) -> ChatError {
    ChatError::Failed(format!("답의 형식을 따라갈 수 없습니다. 형식을 더 단순하게 고쳐 주세요: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_vocabulary;
    use std::path::Path;

    #[test]
    fn forms_are_compiled_once_and_replies_do_not_share_them() {
        let tokenizer = Tokenizer::open(Path::new("none"), Some(&byte_vocabulary::content())).unwrap();
        let factory = ConstraintFactory::new(&Arc::new(tokenizer)).unwrap();
        let form = |n: usize| Constraint::Lark(format!("start: \"a\" \"b\" \"{n}\""));
        let mut first = factory.compile(&form(0)).unwrap();
        first.commit(u32::from(b'a')).unwrap();
        let second = factory.compile(&form(0)).unwrap().mask().unwrap().to_vec();
        let fresh = factory.parse(&form(0)).unwrap().compute_mask_or_eos().unwrap().as_slice().to_vec();
        assert_eq!(second, fresh, "a reply begins at the beginning, whatever became of others");
        assert_ne!(first.mask().unwrap(), second);
        assert_eq!(factory.kept.lock().unwrap().len(), 1);
        for n in 1..40 {
            factory.compile(&form(n)).unwrap();
        }
        assert_eq!(factory.kept.lock().unwrap().len(), MOST_KEPT);
        assert!(factory.compile(&Constraint::Lark("start: (".into())).is_err());
        assert!(factory.kept.lock().unwrap().iter().all(|(k, _)| k != "lark start: ("), "faults are not kept");
    }
}
