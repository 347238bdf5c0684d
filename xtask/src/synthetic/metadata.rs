//! GGUF metadata with the keys that llama.cpp's converter writes, and the tokenizer: taken over from a
//! vocabulary file, or one token for each byte.

use super::config::{Family, ModelConfig, RopeScaling};
use anyhow::{Context, Result, bail, ensure};
use candle_core::quantized::gguf_file::{Content, Value};
use std::path::Path;

/// llama.cpp's token types.
const TOKEN_NORMAL: i32 = 1;
const TOKEN_CONTROL: i32 = 3;
const TOKEN_UNUSED: i32 = 5;

const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Metadata in the order of the file.
pub type Metadata = Vec<(String, Value)>;

/// `general.*` and the architecture's own keys.
pub fn architecture(config: &ModelConfig, file_type: u32) -> Metadata {
    let name = config.family.architecture();
    let count = |value: usize| Value::U32(u32::try_from(value).unwrap_or(u32::MAX));
    let mut all: Metadata = vec![
        ("general.architecture".into(), Value::String(name.into())),
        ("general.type".into(), Value::String("model".into())),
        ("general.name".into(), Value::String(config.name.clone())),
    ];
    let mut own = |key: &str, value| all.push((format!("{name}.{key}"), value));
    own("block_count", count(config.layers));
    own("context_length", count(config.context));
    own("embedding_length", count(config.hidden));
    own("feed_forward_length", count(config.ffn));
    own("attention.head_count", count(config.heads));
    own("attention.head_count_kv", count(config.kv_heads));
    match config.scaling {
        Some(RopeScaling::Linear { factor }) => {
            own("rope.scaling.type", Value::String("linear".into()));
            own("rope.scaling.factor", Value::F32(factor));
        }
        Some(RopeScaling::Yarn { factor, original_context }) => {
            own("rope.scaling.type", Value::String("yarn".into()));
            own("rope.scaling.factor", Value::F32(factor));
            own("rope.scaling.original_context_length", count(original_context));
        }
        Some(RopeScaling::Llama3 { .. }) | None => {}
    }
    own("rope.freq_base", Value::F32(config.rope_theta));
    own("attention.layer_norm_rms_epsilon", Value::F32(config.rms_eps));
    if config.family != Family::Qwen2 || config.head_dim != config.implied_head_dim() {
        own("attention.key_length", count(config.head_dim));
        own("attention.value_length", count(config.head_dim));
    }
    if config.family == Family::Llama {
        own("vocab_size", count(config.vocab));
        own("rope.dimension_count", count(config.head_dim));
    }
    all.push(("general.file_type".into(), Value::U32(file_type)));
    all.push(("general.quantization_version".into(), Value::U32(2)));
    all
}

/// The keys of a file without a tokenizer: ids only.
pub fn no_tokenizer(config: &ModelConfig) -> Metadata {
    let mut all = vec![("tokenizer.ggml.model".into(), Value::String("none".into()))];
    if config.family != Family::Llama {
        // llama writes it with its architecture
        let key = format!("{}.vocab_size", config.family.architecture());
        all.push((key, Value::U32(u32::try_from(config.vocab).unwrap_or(u32::MAX))));
    }
    all
}

/// A tokenizer as it lies in a vocabulary file.
pub struct Tokenizer {
    keys: Metadata,
    tokens: usize,
}

impl Tokenizer {
    /// Reads every `tokenizer.*` key of a GGUF file.
    ///
    /// # Errors
    /// Where the file is no GGUF file or holds no list of tokens.
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        let content = Content::read(&mut std::io::BufReader::new(file)).with_context(|| path.display().to_string())?;
        let mut keys: Metadata =
            content.metadata.into_iter().filter(|(key, _)| key.starts_with("tokenizer.")).collect();
        keys.sort_by(|(one, _), (other, _)| one.cmp(other));
        let tokens = keys.iter().find_map(|(key, value)| match value {
            Value::Array(tokens) if key == "tokenizer.ggml.tokens" => Some(tokens.len()),
            _ => None,
        });
        let Some(tokens) = tokens else { bail!("{}: no tokenizer.ggml.tokens", path.display()) };
        Ok(Self { keys, tokens })
    }

    /// One token for each byte, in GPT-2's spelling, and ChatML's markup: enough to talk to a model of random weights
    /// where no real vocabulary is at hand.
    pub fn bytes() -> Self {
        let plain = |b: u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
        let mut others = 256..;
        let spelt = (0..256u32).map(|b| if plain(b) { b } else { others.next().unwrap_or(b) });
        let mut tokens: Vec<Value> = spelt.filter_map(char::from_u32).map(|c| Value::String(c.to_string())).collect();
        let mut types = vec![Value::I32(TOKEN_NORMAL); tokens.len()];
        // A list of merges may not be empty.
        tokens.push(Value::String("th".into()));
        types.push(Value::I32(TOKEN_NORMAL));
        for markup in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] {
            tokens.push(Value::String(markup.into()));
            types.push(Value::I32(TOKEN_CONTROL));
        }
        let count = tokens.len();
        let keys = vec![
            ("tokenizer.ggml.model".into(), Value::String("gpt2".into())),
            ("tokenizer.ggml.pre".into(), Value::String("qwen2".into())),
            ("tokenizer.ggml.tokens".into(), Value::Array(tokens)),
            ("tokenizer.ggml.token_type".into(), Value::Array(types)),
            ("tokenizer.ggml.merges".into(), Value::Array(vec![Value::String("t h".into())])),
            ("tokenizer.ggml.eos_token_id".into(), Value::U32(259)),
            ("tokenizer.ggml.add_bos_token".into(), Value::Bool(false)),
            ("tokenizer.chat_template".into(), Value::String(CHATML.into())),
        ];
        Self { keys, tokens: count }
    }

    /// How many tokens it knows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Names another end of text, by the token's own text.
    ///
    /// # Errors
    /// Where there is no such token.
    pub fn end_with(&mut self, token: &str) -> Result<()> {
        let id = self
            .array("tokenizer.ggml.tokens")?
            .iter()
            .position(|value| matches!(value, Value::String(text) if text == token));
        let Some(id) = id else { bail!("no token {token:?} in the vocabulary") };
        self.set("tokenizer.ggml.eos_token_id", Value::U32(u32::try_from(id)?));
        Ok(())
    }

    /// Replaces the chat template.
    pub fn chat_template(&mut self, template: String) {
        self.set("tokenizer.chat_template", Value::String(template));
    }

    /// The keys for a model of `vocab` tokens: missing ones are added as unused, as the converter does.
    ///
    /// # Errors
    /// Where the vocabulary has more tokens than the model, or its lists differ in length.
    pub fn keys(mut self, vocab: usize) -> Result<Metadata> {
        ensure!(self.tokens <= vocab, "the vocabulary has {} tokens, the model only {vocab}", self.tokens);
        let known = self.tokens;
        for (key, value) in &mut self.keys {
            let Value::Array(values) = value else { continue };
            let pad = |id: usize| match key.as_str() {
                "tokenizer.ggml.tokens" => Some(Value::String(format!("[PAD{id}]"))),
                "tokenizer.ggml.token_type" => Some(Value::I32(TOKEN_UNUSED)),
                "tokenizer.ggml.scores" => Some(Value::F32(-1000.0)),
                _ => None,
            };
            if pad(known).is_some() {
                ensure!(values.len() == known, "{key} has {} entries for {known} tokens", values.len());
                values.extend((known..vocab).filter_map(pad));
            }
        }
        Ok(self.keys)
    }

    fn array(&self, wanted: &str) -> Result<&[Value]> {
        match self.keys.iter().find(|(key, _)| key == wanted) {
            Some((_, Value::Array(values))) => Ok(values),
            _ => bail!("no list {wanted}"),
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        self.keys.retain(|(one, _)| one != key);
        self.keys.push((key.into(), value));
    }
}
