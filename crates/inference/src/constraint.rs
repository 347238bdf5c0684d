//! Replies of a given form: a JSON Schema or a grammar becomes, step by step, the set of tokens that may come next
//! (llguidance). Choosing among them is the sampler's business.
//!
//! A reply under a constraint is valid whenever [`ConstraintState::is_complete`] says so; the one way to an invalid one
//! is to stop before, at `max_tokens`. Between the parts of a JSON document at most one blank is allowed, so nothing
//! grows without bound but what the schema leaves unbounded: a schema for a small budget bounds its strings
//! (`maxLength`), arrays (`maxItems`), numbers (`minimum`, `maximum`) and objects (`additionalProperties: false`).

use crate::{ChatError, Constraint, Tokenizer};
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::sync::Arc;

/// Tokens with more bytes are left out of constrained replies.
const MAX_TOKEN_BYTES: usize = 200;

/// What all constraints of a model share: its vocabulary as a tree. Made once per model, shared by threads.
pub struct ConstraintFactory {
    parsers: ParserFactory,
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
        Ok(Self { parsers })
    }

    /// The state at the beginning of a reply.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] where the schema or grammar is wrong, impossible, too large or uses what is not known.
    pub fn compile(&self, constraint: &Constraint) -> Result<ConstraintState, ChatError> {
        let grammar = match constraint {
            Constraint::JsonSchema(schema) => GrammarWithLexer::from_json_schema(bounded_blanks(schema)?),
            Constraint::Lark(grammar) => GrammarWithLexer::from_lark(grammar.clone()),
        };
        let parser = self.parsers.create_parser(TopLevelGrammar::from_grammar(grammar));
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(ChatError::Invalid(format!(
                "답의 형식(JSON Schema 또는 문법)을 쓸 수 없습니다. 형식을 고쳐 주세요: {error}"
            ))),
            None => Ok(ConstraintState { matcher, allowed: SimpleVob::new() }),
        }
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

    /// The reply is valid if it ends here, though more may follow.
    pub fn may_end(&mut self) -> bool {
        self.is_complete() || self.matcher.is_accepting().unwrap_or(false)
    }
}

fn failed(error: &dyn std::fmt::Display) -> ChatError {
    ChatError::Failed(format!("답의 형식을 따라갈 수 없습니다. 형식을 더 단순하게 고쳐 주세요: {error}"))
}
