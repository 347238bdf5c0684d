//! Tokenizers out of GGUF metadata: byte-level BPE (`gpt2`) with a known pre-tokenizer, SentencePiece by scores
//! (`llama`). Keys: the GGUF specification, "Tokenizer".

use super::pretokenizer::{PreTokenizer, byte_letters, letter_byte};
use super::spm::ScoreMerges;
use super::vocabulary::{Ends, Entry, Kind, Strip, Vocabulary};
use super::{Encoder, Tokenizer};
use crate::ModelError;
use crate::decoder::metadata::{Metadata, whole};
use candle_core::quantized::gguf_file::{Content, Value};
use std::collections::HashSet;
use tokenizers::models::bpe::{BPE, Vocab as VocabularyMap};

/// `token_type` of a row that stands for nothing.
const UNUSED: i128 = 5;

/// Reads the tokenizer of a GGUF file.
pub(super) fn open(content: &Content) -> Result<Tokenizer, ModelError> {
    let metadata = Keys(Metadata::new(content));
    match metadata.0.text("tokenizer.ggml.model")? {
        Some("gpt2") => byte_level(&metadata),
        Some("llama") => sentence_piece(&metadata),
        Some(other) => Err(ModelError::unsupported(format!("토크나이저 종류 {other}"))),
        None => Err(ModelError::unsupported("토크나이저가 없는 GGUF 파일")),
    }
}

/// Whether these are the file's own tokens, number by number; rows that a converter filled up aside. A file without a
/// vocabulary contradicts none.
pub(super) fn same_vocabulary(content: &Content, entries: &[Entry]) -> Result<bool, ModelError> {
    let metadata = Metadata::new(content);
    let Some(tokens) = metadata.array("tokenizer.ggml.tokens")? else { return Ok(true) };
    let types = metadata.array("tokenizer.ggml.token_type")?.unwrap_or_default();
    // Converters write the blanks of added tokens plainly.
    let plain = |text: &str| text.replace('▁', " ");
    let alike = |id: usize| {
        let theirs = entries.get(id).map(|e| plain(&e.text)).filter(|t| !t.is_empty());
        match tokens.get(id) {
            Some(Value::String(text)) if is_padding(id, text) => theirs.is_none(),
            Some(Value::String(_)) if types.get(id).and_then(whole) == Some(UNUSED) => true,
            Some(Value::String(text)) => theirs == Some(plain(text)),
            Some(_) => false,
            None => theirs.is_none(),
        }
    };
    Ok((0..tokens.len().max(entries.len())).all(alike))
}

/// Rows beyond the tokens, to which converters give names of their own.
fn is_padding(id: usize, text: &str) -> bool {
    text.strip_prefix("[PAD").and_then(|t| t.strip_suffix(']')).is_some_and(|n| n.parse() == Ok(id))
}

fn byte_level(metadata: &Keys<'_>) -> Result<Tokenizer, ModelError> {
    let name = metadata.0.text("tokenizer.ggml.pre")?.ok_or_else(|| {
        ModelError::unsupported("글을 자르는 방식(tokenizer.ggml.pre)이 적혀 있지 않은 오래된 GGUF 파일")
    })?;
    let pre = PreTokenizer::named(name)
        .ok_or_else(|| ModelError::unsupported(format!("글을 자르는 방식(tokenizer.ggml.pre) {name}")))?;
    let entries = metadata.entries(letters_to_bytes)?;
    let ends = metadata.ends(pre.add_bos)?;
    let bpe = merges(metadata, &entries, pre.ignore_merges)?;
    let mut pipeline = tokenizers::Tokenizer::new(bpe);
    pipeline.with_pre_tokenizer(Some(pre.build()?));
    let vocabulary = Vocabulary::new(entries, ends)?;
    Ok(Tokenizer { encoder: Encoder::Pipeline { pipeline: Box::new(pipeline), first_prefix: false }, vocabulary })
}

/// The merges among ordinary tokens. A merge into anything else is left out, so that text cannot grow into markup.
fn merges(metadata: &Keys<'_>, entries: &[Entry], ignore_merges: bool) -> Result<BPE, ModelError> {
    let vocabulary: HashSet<&str> =
        entries.iter().filter(|e| e.kind == Kind::Normal).map(|e| e.text.as_str()).collect();
    let missing = byte_letters().into_iter().zip(0u8..).find(|(letter, byte)| {
        let in_text = !matches!(byte, 0xC0 | 0xC1 | 0xF5..=0xFF);
        in_text && !vocabulary.contains(letter.encode_utf8(&mut [0; 4]) as &str)
    });
    if let Some((_, byte)) = missing {
        return Err(ModelError::damaged(format!("바이트 {byte:#04x}의 토큰이 어휘에 없습니다")));
    }
    let mut merges = Vec::new();
    for merge in metadata.0.array("tokenizer.ggml.merges")?.unwrap_or_default() {
        let Value::String(merge) = merge else {
            return Err(ModelError::damaged("tokenizer.ggml.merges가 글이 아닙니다"));
        };
        let (left, right) =
            merge.split_once(' ').ok_or_else(|| ModelError::damaged(format!("병합 규칙 \"{merge}\"")))?;
        let known = |s: &str| vocabulary.contains(s);
        if known(left) && known(right) && known(&format!("{left}{right}")) {
            merges.push((left.to_owned(), right.to_owned()));
        }
    }
    // The last id of a repeated text wins, as in llama.cpp.
    let ids: Vec<(String, u32)> = (entries.iter().zip(0u32..))
        .filter(|(e, _)| e.kind == Kind::Normal)
        .map(|(e, id)| (e.text.clone(), id))
        .collect();
    BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<VocabularyMap>(), merges)
        .ignore_merges(ignore_merges)
        .build()
        .map_err(|e| ModelError::damaged(format!("어휘와 병합 규칙({e})")))
}

fn sentence_piece(metadata: &Keys<'_>) -> Result<Tokenizer, ModelError> {
    let entries = metadata.entries(|text| text.replace('▁', " ").into_bytes())?;
    let scores = metadata
        .0
        .array("tokenizer.ggml.scores")?
        .ok_or_else(|| ModelError::damaged("어휘에 점수(tokenizer.ggml.scores)가 없습니다"))?
        .iter()
        .map(|v| match v {
            Value::F32(score) => Ok(*score),
            _ => Err(ModelError::damaged("tokenizer.ggml.scores가 수가 아닙니다")),
        })
        .collect::<Result<Vec<f32>, _>>()?;
    let prefix = metadata.0.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let merges = ScoreMerges::new(&entries, &scores, prefix)?;
    let vocabulary = Vocabulary::new(entries, metadata.ends(true)?)?;
    Ok(Tokenizer { encoder: Encoder::Scores(Box::new(merges)), vocabulary })
}

/// Bytes of a token that is written in the letters of byte-level BPE; added tokens are written plainly.
fn letters_to_bytes(text: &str) -> Vec<u8> {
    text.chars().map(letter_byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| text.as_bytes().to_vec())
}

/// The keys of the tokenizer.
struct Keys<'a>(Metadata<'a>);

impl<'a> Keys<'a> {
    fn ends(&self, add_bos: bool) -> Result<Ends, ModelError> {
        let mut eos = Vec::new();
        for name in ["eos", "eot", "eom"] {
            eos.extend(self.0.id(&format!("tokenizer.ggml.{name}_token_id"))?);
        }
        let bos = self.0.id("tokenizer.ggml.bos_token_id")?;
        let add_bos = self.0.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(add_bos && bos.is_some());
        Ok(Ends { bos, add_bos, eos })
    }

    /// All tokens; `plain_bytes` tells what an ordinary token stands for.
    fn entries(&self, plain_bytes: impl Fn(&str) -> Vec<u8>) -> Result<Vec<Entry>, ModelError> {
        let tokens = self
            .0
            .array("tokenizer.ggml.tokens")?
            .ok_or_else(|| ModelError::damaged("어휘(tokenizer.ggml.tokens)가 없습니다"))?;
        let types = self
            .0
            .array("tokenizer.ggml.token_type")?
            .ok_or_else(|| ModelError::unsupported("토큰의 종류(tokenizer.ggml.token_type)가 적혀 있지 않은 파일"))?;
        if types.len() != tokens.len() {
            return Err(ModelError::damaged(format!("토큰 {}개에 종류가 {}개입니다", tokens.len(), types.len())));
        }
        tokens
            .iter()
            .zip(types)
            .enumerate()
            .map(|(id, pair)| match pair {
                (Value::String(text), kind) => {
                    let kind = whole(kind).ok_or_else(|| ModelError::damaged(format!("{id}번 토큰의 종류")))?;
                    entry(id, text, kind, &plain_bytes)
                }
                _ => Err(ModelError::damaged(format!("{id}번 토큰의 값"))),
            })
            .collect()
    }
}

fn entry(id: usize, text: &str, kind: i128, plain_bytes: &impl Fn(&str) -> Vec<u8>) -> Result<Entry, ModelError> {
    let kind = match kind {
        1 => Kind::Normal,
        2 => Kind::Unknown,
        3 => Kind::Control,
        // Rows that a converter filled up with names of its own.
        4 if is_padding(id, text) => Kind::Unused,
        4 => Kind::UserDefined,
        UNUSED => Kind::Unused,
        6 => Kind::Byte,
        other => return Err(ModelError::damaged(format!("{id}번 토큰의 종류 {other}"))),
    };
    let bytes = match kind {
        Kind::Byte => vec![
            text.strip_prefix("<0x")
                .and_then(|t| t.strip_suffix('>'))
                .and_then(|t| u8::from_str_radix(t, 16).ok())
                .ok_or_else(|| ModelError::damaged(format!("바이트 토큰 {text}")))?,
        ],
        Kind::UserDefined => text.as_bytes().to_vec(),
        _ => plain_bytes(text),
    };
    Ok(Entry { text: text.to_owned(), bytes, kind, strip: Strip::default() })
}
