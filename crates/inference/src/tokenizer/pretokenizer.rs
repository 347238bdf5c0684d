//! How byte-level BPE models cut text into words before merging, under the names that GGUF files give
//! (`tokenizer.ggml.pre`). Only cuts that were checked against published token ids or that share their expression with
//! one that was; an unknown name is refused, since a wrong cut spoils every answer without a sign.
//!
//! Source of names and expressions: llama.cpp `src/llama-vocab.cpp`, where each model's `tokenizer.json` is quoted.

use crate::ModelError;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const DIGIT: &str = r"\p{N}";
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A known way of cutting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// Applied one after the other to the pieces of the one before.
    expressions: &'static [&'static str],
    /// A word that is a token is taken whole, without merging.
    pub ignore_merges: bool,
    /// The model wants a beginning-of-sequence token where the file does not say.
    pub add_bos: bool,
}

impl PreTokenizer {
    /// By the name in the file.
    pub fn named(name: &str) -> Option<Self> {
        let plain = |expressions| Self { expressions, ignore_merges: false, add_bos: false };
        Some(match name {
            "llama-bpe" | "llama3" | "llama-v3" | "lfm2" | "midm-2.0" | "falcon3" => {
                Self { expressions: &[LLAMA3], ignore_merges: true, add_bos: true }
            }
            "smaug-bpe" => plain(&[LLAMA3]),
            "qwen2" | "deepseek-r1-qwen" | "kormo" => plain(&[QWEN2]),
            "qwen35" => plain(&[QWEN35]),
            "gpt-2" | "a.x-4.0" | "exaone4" | "trillion" => plain(&[GPT2]),
            "exaone" | "command-r" => plain(&[DIGIT, GPT2]),
            _ => return None,
        })
    }

    /// As a step of the `tokenizers` crate, the mapping of bytes to letters included.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] where an expression does not compile.
    pub fn build(self) -> Result<Sequence, ModelError> {
        let mut steps = Vec::new();
        for expression in self.expressions {
            let pattern = SplitPattern::Regex((*expression).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map_err(|e| ModelError::unsupported(format!("글을 자르는 규칙 {expression}({e})")))?;
            steps.push(split.into());
        }
        steps.push(ByteLevel::new(false, false, false).into());
        Ok(Sequence::new(steps))
    }
}

/// The byte that a letter of byte-level BPE stands for (GPT-2 `bytes_to_unicode`): printable bytes stand for
/// themselves, the others are numbered from U+0100 on.
pub(super) fn letter_byte(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    let printable = |b: &u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    match u8::try_from(code) {
        Ok(b) => Some(b).filter(printable),
        Err(_) => (0..=255u8).filter(|b| !printable(b)).nth(usize::try_from(code.checked_sub(256)?).ok()?),
    }
}

/// The letter that stands for a byte in byte-level BPE.
pub(super) fn byte_letters() -> Vec<char> {
    let mut next = 256u32;
    (0..=255u8)
        .map(|b| {
            if matches!(b, 33..=126 | 161..=172 | 174..=255) {
                char::from(b)
            } else {
                next += 1;
                char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_bytes_are_inverse() {
        let letters = byte_letters();
        for (byte, letter) in (0..=255u8).zip(&letters) {
            assert_eq!(letter_byte(*letter), Some(byte));
        }
        assert_eq!(letters[usize::from(b' ')], 'Ġ');
        assert_eq!(letter_byte('가'), None);
        assert_eq!(letter_byte(' '), None);
    }

    #[test]
    fn unknown_names_are_not_guessed() {
        for name in ["", "default", "gpt-5", "qwen", "Llama-BPE"] {
            assert_eq!(PreTokenizer::named(name), None, "{name}");
        }
    }
}
