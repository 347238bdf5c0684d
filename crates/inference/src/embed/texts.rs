//! From texts to token ids, cut to what the model reads, and packed into batches.

use super::{Cancelled, EmbedError};
use crate::ModelError;
use crate::tokenizer::SAMPLE;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::{EncodeInput, PostProcessor, Tokenizer, TruncationParams, TruncationStrategy};

/// Texts tokenised at a time: bounds memory where there are many.
pub(super) const TEXTS_AT_ONCE: usize = 128;

/// One text, or one pair of texts, as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub ids: Vec<u32>,
    /// 0 for the first text, 1 for the second, where the tokenizer tells them apart.
    pub types: Vec<u32>,
    pub truncated: bool,
}

/// A tokenizer with a length.
pub(super) struct Texts {
    tokenizer: Tokenizer,
    special_tokens: bool,
}

impl Texts {
    /// `special_tokens`: frame each text as the tokenizer's post-processor says.
    ///
    /// # Errors
    /// [`ModelError::Damaged`] for a file that is no tokenizer, panics at a plain text or names more tokens than
    /// `vocabulary`,
    /// [`ModelError::Unsupported`] for a length that leaves no room for text.
    pub fn new(json: &[u8], vocabulary: usize, max_tokens: usize, special_tokens: bool) -> Result<Self, ModelError> {
        let damaged = |e: &dyn std::fmt::Display| ModelError::damaged(format!("tokenizer.json ({e})"));
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| damaged(&e))?;
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if highest >= vocabulary {
            return Err(damaged(&format!("토큰 번호 {highest}, 가중치에는 {vocabulary}개")));
        }
        let frame = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(true));
        if max_tokens <= frame {
            return Err(ModelError::unsupported(format!("최대 길이 {max_tokens}토큰")));
        }
        let cut = TruncationParams {
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            ..Default::default()
        };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(Some(cut)).map_err(|e| damaged(&e))?;
        // Marks such as `</s>` inside a text are text.
        tokenizer.set_encode_special_tokens(true);
        // A letter that it does not know is no reason to refuse it.
        guarded(|| tokenizer.encode_fast(SAMPLE, special_tokens).is_ok()).map_err(|e| damaged(&e))?;
        Ok(Self { tokenizer, special_tokens })
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// # Errors
    /// [`EmbedError::Failed`] where the tokenizer refuses the text.
    pub fn read<'s, I: Into<EncodeInput<'s>> + Send>(&self, inputs: Vec<I>) -> Result<Vec<Tokens>, EmbedError> {
        let encodings = guarded(|| self.tokenizer.encode_batch_fast(inputs, self.special_tokens))?;
        let encodings = encodings.map_err(|e| EmbedError::Failed(e.to_string()))?;
        let tokens = encodings.into_iter().map(|e| Tokens {
            ids: e.get_ids().to_vec(),
            types: e.get_type_ids().to_vec(),
            truncated: !e.get_overflowing().is_empty(),
        });
        Ok(tokens.collect())
    }
}

/// Splits texts into tokens. A crafted `tokenizer.json` may hold tables that the `tokenizers` crate's normalisers look up
/// unchecked; what such a text panics at ends here, so that a search falls back to words.
///
/// # Errors
/// [`EmbedError::Failed`] in place of a panic.
pub(super) fn guarded<T>(split: impl FnOnce() -> T) -> Result<T, EmbedError> {
    // Nothing of what was begun is looked at again; a tokenizer's cache only forgets.
    catch_unwind(AssertUnwindSafe(split)).map_err(|_| EmbedError::Failed("tokenizer.json이 글을 나누지 못함".into()))
}

/// Texts one after another without padding: no token is computed for nothing, and none sees another text.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
    /// Place of each token in its own text, from 0.
    pub positions: Vec<u32>,
    /// Each text's tokens; never empty.
    pub spans: Vec<Range<usize>>,
}

impl Packed {
    pub fn push(&mut self, tokens: &Tokens) {
        let start = self.ids.len();
        self.ids.extend(&tokens.ids);
        self.types.extend(&tokens.types);
        self.positions.extend((0_u32..).take(tokens.ids.len()));
        self.spans.push(start..self.ids.len());
    }
}

/// Neighbouring texts of together at most `budget` tokens, or one text that is longer by itself.
pub(super) fn batches_of(lengths: impl Iterator<Item = usize>, budget: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut end, mut sum) = (0, 0, 0);
    for length in lengths {
        if end > start && sum + length > budget {
            out.push(start..end);
            (start, sum) = (end, 0);
        }
        end += 1;
        sum += length;
    }
    if start < end {
        out.push(start..end);
    }
    out
}

/// Computes the texts batch by batch; `None` for a text without a token.
///
/// # Errors
/// [`EmbedError::Stopped`] between batches, and those of `compute`, which gives one result per span.
pub(super) fn in_batches<T>(
    texts: &[Tokens],
    budget: usize,
    cancelled: Cancelled<'_>,
    mut compute: impl FnMut(&Packed) -> Result<Vec<T>, EmbedError>,
) -> Result<Vec<Option<T>>, EmbedError> {
    let mut out = Vec::with_capacity(texts.len());
    for batch in batches_of(texts.iter().map(|t| t.ids.len()), budget) {
        if cancelled() {
            return Err(EmbedError::Stopped);
        }
        let texts = texts.get(batch).unwrap_or_default();
        let mut packed = Packed::default();
        texts.iter().filter(|t| !t.ids.is_empty()).for_each(|t| packed.push(t));
        let mut results = if packed.spans.is_empty() { Vec::new() } else { compute(&packed)? }.into_iter();
        out.extend(texts.iter().map(|t| if t.ids.is_empty() { None } else { results.next() }));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A tokenizer whose normaliser has a table of that many numbers, all zero.
    fn with_table(numbers: usize) -> Vec<u8> {
        assert_eq!(numbers * 4 % 3, 1, "so that the base64 text below ends as it does");
        let bytes = numbers * 4;
        // The table's length in four bytes, then zeros.
        let length = [bytes as u8, (bytes >> 8) as u8, 0];
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let [a, b, c] = length.map(usize::from);
        let first = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63].map(|i| char::from(digits[i]));
        let zeros = 1 + bytes;
        let text = format!("{}{}AAA=", String::from_iter(first), "AAAA".repeat(zeros / 3));
        let mut tokenizer = testing::tokenizer();
        tokenizer["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": text});
        serde_json::to_vec(&tokenizer).unwrap()
    }

    #[test]
    fn a_crafted_normaliser_is_an_error_and_no_panic() {
        let mut empty = testing::tokenizer();
        empty["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="});
        let open = |json: &[u8]| Texts::new(json, testing::WORDS, 16, true);
        assert!(matches!(open(&serde_json::to_vec(&empty).unwrap()), Err(ModelError::Damaged { .. })));
        // Reaches to the sample's signs, but not to the rarest.
        let texts = open(&with_table(241)).ok().unwrap();
        assert!(texts.read(vec!["w4 w5"]).is_ok());
        assert!(matches!(texts.read(vec!["\u{40000}"]), Err(EmbedError::Failed(_))));
        assert!(texts.read(vec!["w4 w5"]).is_ok(), "the next text is read again");
    }

    proptest! {
        /// Every text is in exactly one batch, in order, and no batch of several exceeds the budget.
        #[test]
        fn batches_hold_every_text_within_the_budget(lengths in prop::collection::vec(1_usize..40, 0..60), budget in 1_usize..100) {
            let batches = batches_of(lengths.iter().copied(), budget);
            let together: Vec<_> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(together, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                let sum: usize = lengths[batch.clone()].iter().sum();
                prop_assert!(batch.len() == 1 || sum <= budget);
            }
        }
    }
}
