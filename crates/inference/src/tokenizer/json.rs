//! Tokenizers out of `tokenizer.json` (the `tokenizers` crate's format): BPE on bytes or with byte fallback. Its added
//! tokens are taken out of the pipeline and kept in the vocabulary, since the pipeline would recognise them in anybody's
//! text. WordPiece and Unigram models belong to encoders and are read there.

use super::pretokenizer::letter_byte;
use super::vocabulary::{Ends, Entry, Kind, Strip, Vocabulary};
use super::{Encoder, Tokenizer};
use crate::ModelError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Highest id taken: a file that names a greater one is broken, not large.
const MAX_ID: u32 = 1 << 22;

#[derive(Debug, Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

/// How ordinary tokens are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// In the letters of byte-level BPE.
    Letters,
    /// Plainly, "▁" for a blank and `<0x0A>` for a byte.
    Blanks,
}

/// A file that was read; its pipeline is yet to be built.
pub(super) struct Parsed {
    file: PathBuf,
    root: Value,
    added: Vec<AddedToken>,
    entries: Vec<Entry>,
}

/// Reads `file`.
pub(super) fn parse(file: &Path) -> Result<Parsed, ModelError> {
    let mut root = read(file)?;
    let added: Vec<AddedToken> = match root.get_mut("added_tokens").map(Value::take) {
        Some(tokens) => serde_json::from_value(tokens).map_err(|e| broken(file, &e))?,
        None => Vec::new(),
    };
    let spelling = spelling(&root)?;
    let mut entries = ordinary(&root, spelling)?;
    for token in &added {
        let slot = slot(&mut entries, token.id)?;
        *slot = Entry {
            text: token.content.clone(),
            bytes: token.content.clone().into_bytes(),
            kind: if token.special { Kind::Control } else { Kind::UserDefined },
            strip: Strip { left: token.lstrip, right: token.rstrip },
        };
    }
    Ok(Parsed { file: file.to_owned(), root, added, entries })
}

impl Parsed {
    /// All tokens, holes included.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The tokenizer; ends and beginnings are read from `tokenizer_config.json` and `generation_config.json` beside it.
    pub fn build(self) -> Result<Tokenizer, ModelError> {
        let Self { file, mut root, added, entries } = self;
        let ends = ends(&file, &root, &added)?;
        remove_markup(&mut root, &entries);
        let first_prefix = take_first_prefix(&mut root);
        for key in ["truncation", "padding", "post_processor"] {
            set(&mut root, key, Value::Null);
        }
        set(&mut root, "added_tokens", Value::Array(Vec::new()));
        let pipeline = serde_json::to_vec(&root)
            .map_err(|e| broken(&file, &e))
            .and_then(|bytes| tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| broken(&file, &e)))?;
        let vocabulary = Vocabulary::new(entries, ends)?;
        Ok(Tokenizer { encoder: Encoder::Pipeline { pipeline: Box::new(pipeline), first_prefix }, vocabulary })
    }
}

fn broken(file: &Path, error: &dyn std::fmt::Display) -> ModelError {
    ModelError::damaged(format!("{}({error})", file.display()))
}

fn read(file: &Path) -> Result<Value, ModelError> {
    let bytes = std::fs::read(file).map_err(ModelError::io(file))?;
    serde_json::from_slice(&bytes).map_err(|e| broken(file, &e))
}

/// A file that may be missing.
fn read_beside(file: &Path, name: &str) -> Result<Option<Value>, ModelError> {
    let beside = file.with_file_name(name);
    if beside.is_file() { read(&beside).map(Some) } else { Ok(None) }
}

fn set(root: &mut Value, key: &str, value: Value) {
    if let Some(object) = root.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// The step itself and, where it is a sequence, all its steps.
fn steps<'a>(step: Option<&'a Value>, list: &str) -> Vec<&'a Value> {
    match step {
        Some(Value::Null) | None => Vec::new(),
        Some(step) => match step.get(list).and_then(Value::as_array) {
            Some(steps) => steps.iter().collect(),
            None => vec![step],
        },
    }
}

fn kind_of(step: &Value) -> &str {
    step.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// # Errors
/// [`ModelError::Unsupported`] for models other than BPE and for a decoder that is neither byte-level nor SentencePiece.
fn spelling(root: &Value) -> Result<Spelling, ModelError> {
    let model = root.get("model").map(kind_of).unwrap_or_default();
    if model != "BPE" {
        return Err(ModelError::unsupported(format!("tokenizer.json의 모델 종류 {model}")));
    }
    let decoders = steps(root.get("decoder"), "decoders");
    if decoders.iter().any(|d| kind_of(d) == "ByteLevel") {
        Ok(Spelling::Letters)
    } else if decoders.iter().any(|d| kind_of(d) == "ByteFallback") {
        Ok(Spelling::Blanks)
    } else {
        Err(ModelError::unsupported("tokenizer.json의 decoder(ByteLevel도 ByteFallback도 아님)"))
    }
}

fn ordinary(root: &Value, spelling: Spelling) -> Result<Vec<Entry>, ModelError> {
    let vocabulary = root
        .pointer("/model/vocab")
        .and_then(Value::as_object)
        .ok_or_else(|| ModelError::damaged("tokenizer.json에 어휘(model.vocab)가 없습니다"))?;
    let mut entries = Vec::new();
    for (text, id) in vocabulary {
        let id = id
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| ModelError::damaged(format!("토큰 {text}의 번호")))?;
        let (kind, bytes) = match (spelling, byte_token(text)) {
            (Spelling::Blanks, Some(byte)) => (Kind::Byte, vec![byte]),
            (Spelling::Blanks, None) => (Kind::Normal, text.replace('▁', " ").into_bytes()),
            (Spelling::Letters, _) => {
                let bytes = text.chars().map(letter_byte).collect::<Option<Vec<u8>>>();
                (Kind::Normal, bytes.unwrap_or_else(|| text.clone().into_bytes()))
            }
        };
        *slot(&mut entries, id)? = Entry { text: text.clone(), bytes, kind, strip: Strip::default() };
    }
    Ok(entries)
}

fn byte_token(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The entry of `id`; those before it that the file leaves out become holes.
fn slot(entries: &mut Vec<Entry>, id: u32) -> Result<&mut Entry, ModelError> {
    let index = id as usize;
    if id < MAX_ID && index >= entries.len() {
        entries.resize_with(index + 1, Entry::hole);
    }
    entries.get_mut(index).ok_or_else(|| ModelError::damaged(format!("토큰 번호 {id}")))
}

/// Takes markup out of the model itself, where text could otherwise be merged into it.
fn remove_markup(root: &mut Value, entries: &[Entry]) {
    let unknown = root.pointer("/model/unk_token").and_then(Value::as_str).map(str::to_owned);
    let markup: HashSet<&str> = entries
        .iter()
        .filter(|e| e.is_markup() && Some(&e.text) != unknown.as_ref())
        .map(|e| e.text.as_str())
        .collect();
    if let Some(vocabulary) = root.pointer_mut("/model/vocab").and_then(Value::as_object_mut) {
        vocabulary.retain(|text, _| !markup.contains(text.as_str()));
    }
    if let Some(merges) = root.pointer_mut("/model/merges").and_then(Value::as_array_mut) {
        merges.retain(|merge| {
            let pair: Vec<&str> = match merge {
                Value::String(s) => s.splitn(2, ' ').collect(),
                Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            let union = pair.concat();
            !markup.contains(union.as_str()) && !pair.iter().any(|s| markup.contains(s))
        });
    }
}

/// Turns a blank before the prompt's first word (Metaspace, `prepend_scheme: first`) into the caller's task: the
/// pipeline sees only stretches between special tokens and would take each for the first.
fn take_first_prefix(root: &mut Value) -> bool {
    let Some(step) = root.get_mut("pre_tokenizer") else { return false };
    let mut found = false;
    let mut change = |step: &mut Value| {
        if kind_of(step) == "Metaspace" && step.get("prepend_scheme").and_then(Value::as_str) == Some("first") {
            set(step, "prepend_scheme", Value::from("never"));
            found = true;
        }
    };
    match step.get_mut("pretokenizers").and_then(Value::as_array_mut) {
        Some(steps) => steps.iter_mut().for_each(change),
        None => change(step),
    }
    found
}

fn ends(file: &Path, root: &Value, added: &[AddedToken]) -> Result<Ends, ModelError> {
    let id_of = |text: &str| added.iter().find(|t| t.content == text).map(|t| t.id);
    let config = read_beside(file, "tokenizer_config.json")?.unwrap_or_default();
    let named = |key: &str| {
        let value = config.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str()).and_then(id_of)
    };
    let first = beginning(root).and_then(id_of);
    let add_bos = first.is_some() || config.get("add_bos_token").and_then(Value::as_bool) == Some(true);
    let bos = first.or_else(|| named("bos_token"));
    let mut eos: Vec<u32> = named("eos_token").into_iter().collect();
    if let Some(value) = read_beside(file, "generation_config.json")?.as_ref().and_then(|g| g.get("eos_token_id")) {
        let ids = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        eos.extend(ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()));
    }
    Ok(Ends { bos, add_bos: add_bos && bos.is_some(), eos })
}

/// The special token that the post-processor puts before a text.
fn beginning(root: &Value) -> Option<&str> {
    let template =
        steps(root.get("post_processor"), "processors").into_iter().find(|p| kind_of(p) == "TemplateProcessing")?;
    template.pointer("/single/0/SpecialToken/id")?.as_str()
}
