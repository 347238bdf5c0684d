//! Text to tokens and back, as the model was trained: `tokenizer.json` beside the model, else the GGUF's own metadata.
//! Beside a GGUF file it serves only where it holds the file's own vocabulary: in a folder of several models it is
//! another's.
//!
//! Markup (the template's special tokens) and text are kept apart: plain text never yields a special token. How a
//! conversation becomes segments lives in `template`, how tokens become a stream of text in `stream`.

mod gguf;
mod json;
mod pretokenizer;
mod spm;
mod stream;
mod vocabulary;

pub use stream::TextStream;

use crate::ModelError;
use candle_core::quantized::gguf_file::Content;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use vocabulary::Vocabulary;

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Of the template: special tokens in it are recognised.
    Markup(&'a str),
    /// Of people and documents: ordinary text, whatever it looks like.
    Text(&'a str),
}

/// Letters, figures and signs of many scripts: a tokenizer that does not come through them is refused when it is opened.
pub(crate) const SAMPLE: &str = "마당 가나다 ㄱㅏ\u{1112}\u{1161}\u{11ab} 韓國 ①㎡ﬁ 제3조(목적)\t1,234.5% \r\n A–z! \
    ~`@#$^&*()_+={}[]|\\:;\"'<>,.?/ äßñ Ωя ひらカナ ไทย עברית عربي \u{200b}\u{feff} 🙂👩‍👩‍👧";

/// Splits text without special tokens into token ids.
enum Encoder {
    /// A pipeline of the `tokenizers` crate that knows no added tokens. `first_prefix`: a text at the very beginning of
    /// the prompt gets a space before it (Metaspace with `prepend_scheme: first`).
    Pipeline { pipeline: Box<tokenizers::Tokenizer>, first_prefix: bool },
    /// SentencePiece merges by score.
    Scores(Box<spm::ScoreMerges>),
}

/// A model's tokenizer. Cheap to share, safe from many threads.
pub struct Tokenizer {
    encoder: Encoder,
    vocabulary: Vocabulary,
}

enum Piece<'a> {
    Token(u32),
    Raw(std::borrow::Cow<'a, str>),
}

impl Tokenizer {
    /// The tokenizer of the model file at `model_path`: `tokenizer.json` in the same folder, else the metadata of
    /// `gguf`.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] names the kind, pre-tokenizer or step that is not known here; nothing is guessed.
    /// [`ModelError::Damaged`] where the vocabulary contradicts itself, or the tokenizer fails at a plain text.
    pub fn open(model_path: &Path, gguf: Option<&Content>) -> Result<Self, ModelError> {
        let folder = if model_path.is_dir() { Some(model_path) } else { model_path.parent() };
        let beside = folder.map(|f| f.join("tokenizer.json")).filter(|f| f.is_file());
        let tokenizer = match (beside, gguf) {
            (Some(file), None) => json::parse(&file)?.build()?,
            (Some(file), Some(content)) => Self::beside(&file, content)?,
            (None, Some(content)) => gguf::open(content)?,
            (None, None) => return Err(ModelError::unsupported("모델 옆에 tokenizer.json이 없습니다")),
        };
        // Crafted tables of the `tokenizers` crate's normalisers are looked up unchecked.
        match catch_unwind(AssertUnwindSafe(|| tokenizer.encode(SAMPLE))) {
            Ok(_) => Ok(tokenizer),
            Err(_) => Err(ModelError::damaged("tokenizer.json (글을 토큰으로 나누지 못함)")),
        }
    }

    /// Beside a GGUF file: its tokens are the file's own, or it is not this model's.
    fn beside(file: &Path, content: &Content) -> Result<Self, ModelError> {
        let own = json::parse(file).and_then(|parsed| {
            let same = gguf::same_vocabulary(content, parsed.entries())?;
            if same {
                Ok(parsed)
            } else {
                Err(ModelError::damaged("tokenizer.json의 어휘가 모델의 것과 다름"))
            }
        });
        match own {
            Ok(parsed) => parsed.build(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the model's own tokenizer is used");
                gguf::open(content)
            }
        }
    }

    /// Tokens of plain text. What looks like a special token comes out as ordinary text. No beginning-of-sequence token
    /// is added, see [`Tokenizer::add_bos`].
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_segments(&[Segment::Text(text)])
    }

    /// Tokens of a prompt, the same as those of the joined text wherever the text holds no special tokens: neighbours
    /// are joined before they are split into tokens.
    pub fn encode_segments(&self, segments: &[Segment<'_>]) -> Vec<u32> {
        let mut pieces = Vec::new();
        for segment in segments {
            match *segment {
                Segment::Text(text) => self.vocabulary.split_text(text, &mut pieces),
                Segment::Markup(text) => self.vocabulary.split_markup(text, &mut pieces),
            }
        }
        let mut ids = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Token(id) => ids.push(*id),
                Piece::Raw(text) => self.encode_raw(text, i == 0, &mut ids),
            }
        }
        ids
    }

    fn encode_raw(&self, text: &str, first: bool, out: &mut Vec<u32>) {
        match &self.encoder {
            Encoder::Scores(merges) => merges.encode(text, out),
            Encoder::Pipeline { pipeline, first_prefix } => {
                if *first_prefix && first && !text.starts_with([' ', '▁']) {
                    encode_pipeline(pipeline, &format!(" {text}"), out);
                } else {
                    encode_pipeline(pipeline, text, out);
                }
            }
        }
    }

    /// The token to put before a raw prompt, where the model wants one. Chat templates write it themselves.
    pub fn add_bos(&self) -> Option<u32> {
        self.vocabulary.add_bos
    }

    /// Text of the beginning-of-sequence token, for templates; empty where there is none.
    pub fn bos_text(&self) -> &str {
        self.vocabulary.bos.and_then(|id| self.vocabulary.markup_text(id)).unwrap_or_default()
    }

    /// Text of the main end-of-sequence token, for templates; empty where there is none.
    pub fn eos_text(&self) -> &str {
        self.vocabulary.eos.first().and_then(|id| self.vocabulary.markup_text(*id)).unwrap_or_default()
    }

    /// Every token that ends a reply: end of sequence, of turn, of message. The file's own end of sequence is first.
    pub fn eos(&self) -> &[u32] {
        &self.vocabulary.eos
    }

    /// Number of token ids; the model's output may have more rows, which stand for nothing.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The bytes that a token stands for in the text; empty for control tokens and ids out of range.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.bytes(id)
    }

    /// The token stands for no text: control, unknown, unused or out of range.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocabulary.is_special(id)
    }

    /// The token comes only from [`Segment::Markup`]: control tokens, and tokens such as `<think>` or `<tool_call>`
    /// that stand for their own text when a model writes them.
    pub fn is_markup(&self, id: u32) -> bool {
        self.vocabulary.is_markup(id)
    }

    /// How a markup token is written in templates.
    #[cfg(test)]
    pub(crate) fn markup_name(&self, id: u32) -> Option<&str> {
        self.vocabulary.markup_text(id)
    }

    /// The id of the special token written `text`, else of the ordinary token that stands for exactly these bytes.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.vocabulary.find(text)
    }

    /// The text with `mark` inside every stretch that could be read as markup, alone or together with what stands before
    /// and after it.
    pub(crate) fn cut_markup(&self, text: &str, mark: char) -> String {
        self.vocabulary.cut_markup(text, mark)
    }

    /// The whole text of these tokens; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.token_bytes(*id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Encodes; a stretch on which the regular expressions give up (megabytes of blanks) is halved.
fn encode_pipeline(pipeline: &tokenizers::Tokenizer, text: &str, out: &mut Vec<u32>) {
    if text.is_empty() {
        return;
    }
    match pipeline.encode_fast(text, false) {
        Ok(encoding) => out.extend_from_slice(encoding.get_ids()),
        Err(_) => {
            let middle = (0..=text.len() / 2).rev().find(|i| *i > 0 && text.is_char_boundary(*i));
            if let Some((left, right)) = middle.and_then(|i| text.split_at_checked(i)) {
                encode_pipeline(pipeline, left, out);
                encode_pipeline(pipeline, right, out);
            }
        }
    }
}
