//! What a decoder file says of itself: dimensions, families, position scaling. Anything that is not known is refused by
//! its name; no value is guessed.

use crate::error::ModelError;
use candle_core::quantized::gguf_file::{Content, Value};
use madang_kernels::KvShape;
use serde::Deserialize;
use std::collections::HashMap;

/// Which decoder it is; the families differ in biases, norms and the order of rotated pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
}

impl Family {
    fn of(name: &str) -> Result<Self, ModelError> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            other => Err(ModelError::unsupported(format!("모델 구조 ‘{other}’(아는 구조: llama, qwen2, qwen3)"))),
        }
    }
}

/// How positions beyond the trained length are brought back into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f64,
    },
    /// YaRN (Peng et al., 2023): high frequencies as they are, low ones interpolated, a ramp between.
    Yarn {
        factor: f64,
        original: usize,
        beta_fast: f64,
        beta_slow: f64,
        attention: f64,
    },
    /// Llama 3.1's: as `rope_freqs.weight` in GGUF files, computed from these four where there is none.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: usize,
    },
}

/// Dimensions and constants of one decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub family: Family,
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub ffn: usize,
    pub vocab: usize,
    /// Positions it was made for.
    pub context: usize,
    pub epsilon: f32,
    pub rope_base: f64,
    /// Values of each head that are rotated.
    pub rope_dim: usize,
    pub scaling: Scaling,
    /// Rotated pairs are neighbours (llama's GGUF files) or half a head apart.
    pub interleaved: bool,
}

impl Config {
    /// Dimensions of a position's keys or values.
    pub fn kv_shape(&self) -> KvShape {
        KvShape { kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// Reads a GGUF file's metadata.
    ///
    /// # Errors
    /// A family or scaling that is not known, a value that is missing or makes no sense.
    pub fn from_gguf(content: &Content) -> Result<Self, ModelError> {
        let meta = Metadata(&content.metadata);
        let arch = meta.text("general.architecture")?;
        let family = Family::of(arch)?;
        let key = |name: &str| format!("{arch}.{name}");
        let hidden = meta.size(&key("embedding_length"))?;
        let heads = meta.size(&key("attention.head_count"))?;
        if heads == 0 {
            return Err(ModelError::damaged("attention.head_count = 0"));
        }
        let head_dim = meta.size_or(&key("attention.key_length"), hidden / heads)?;
        if meta.size_or(&key("attention.value_length"), head_dim)? != head_dim {
            return Err(ModelError::unsupported("키와 값의 길이가 다른 어텐션(value_length)"));
        }
        for name in ["attention.sliding_window", "expert_count"] {
            if meta.size_or(&key(name), 0)? != 0 {
                return Err(ModelError::unsupported(key(name)));
            }
        }
        let embedding =
            content.tensor_infos.get("token_embd.weight").ok_or_else(|| ModelError::damaged("token_embd.weight"))?;
        let vocab = *embedding.shape.dims().first().unwrap_or(&0);
        let config = Self {
            family,
            layers: meta.size(&key("block_count"))?,
            hidden,
            heads,
            kv_heads: meta.size_or(&key("attention.head_count_kv"), heads)?,
            head_dim,
            ffn: meta.size(&key("feed_forward_length"))?,
            vocab,
            context: meta.size(&key("context_length"))?,
            epsilon: meta.float(&key("attention.layer_norm_rms_epsilon"))? as f32,
            rope_base: meta.float_or(&key("rope.freq_base"), 10_000.0)?,
            rope_dim: meta.size_or(&key("rope.dimension_count"), head_dim)?,
            scaling: meta.scaling(&key)?,
            interleaved: family == Family::Llama,
        };
        config.checked()
    }

    /// Reads a `config.json` as Hugging Face's transformers write it.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf).
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let file: File = serde_json::from_str(text).map_err(|e| ModelError::damaged(format!("config.json: {e}")))?;
        let family = Family::of(&file.model_type)?;
        if let Some(act) = file.hidden_act.as_deref().filter(|a| *a != "silu") {
            return Err(ModelError::unsupported(format!("활성 함수 ‘{act}’")));
        }
        if file.use_sliding_window == Some(true) {
            return Err(ModelError::unsupported("use_sliding_window"));
        }
        if file.num_attention_heads == 0 {
            return Err(ModelError::damaged("num_attention_heads = 0"));
        }
        let head_dim = file.head_dim.unwrap_or(file.hidden_size / file.num_attention_heads);
        let config = Self {
            family,
            layers: file.num_hidden_layers,
            hidden: file.hidden_size,
            heads: file.num_attention_heads,
            kv_heads: file.num_key_value_heads.unwrap_or(file.num_attention_heads),
            head_dim,
            ffn: file.intermediate_size,
            vocab: file.vocab_size,
            context: file.max_position_embeddings,
            epsilon: file.rms_norm_eps as f32,
            rope_base: file
                .rope_theta
                .or(file.rope_scaling.as_ref().and_then(|s| s.rope_theta))
                // Files of the first llamas do not say it.
                .or((family == Family::Llama).then_some(10_000.0))
                .ok_or_else(|| ModelError::damaged("rope_theta"))?,
            rope_dim: head_dim,
            scaling: file.rope_scaling.map_or(Ok(Scaling::None), |s| s.scaling(file.max_position_embeddings))?,
            interleaved: false,
        };
        config.checked()
    }

    /// Every dimension lies in a range that a real model can have, so that products of them do not overflow.
    fn checked(self) -> Result<Self, ModelError> {
        let sizes = [
            ("layers", self.layers, 1_000),
            ("hidden", self.hidden, 1 << 17),
            ("heads", self.heads, 1 << 10),
            ("kv_heads", self.kv_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 10),
            ("ffn", self.ffn, 1 << 19),
            ("vocab", self.vocab, 1 << 20),
            ("context", self.context, 1 << 24),
            ("rope_dim", self.rope_dim, self.head_dim),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return Err(ModelError::damaged(format!("{name} = {value}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) || !self.rope_dim.is_multiple_of(2) {
            return Err(ModelError::damaged(format!("heads {} / {}", self.heads, self.kv_heads)));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0 && self.rope_base.is_finite() && self.rope_base > 1.0) {
            return Err(ModelError::damaged("rms_epsilon, rope base"));
        }
        Ok(self)
    }
}

/// Typed access to a GGUF file's metadata.
struct Metadata<'a>(&'a HashMap<String, Value>);

impl Metadata<'_> {
    fn text(&self, key: &str) -> Result<&str, ModelError> {
        self.0.get(key).and_then(|v| v.to_string().ok()).map(String::as_str).ok_or_else(|| ModelError::damaged(key))
    }

    fn size(&self, key: &str) -> Result<usize, ModelError> {
        self.maybe_size(key)?.ok_or_else(|| ModelError::damaged(key))
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        Ok(self.maybe_size(key)?.unwrap_or(default))
    }

    fn maybe_size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let number = match value {
            Value::U8(v) => i128::from(*v),
            Value::I8(v) => i128::from(*v),
            Value::U16(v) => i128::from(*v),
            Value::I16(v) => i128::from(*v),
            Value::U32(v) => i128::from(*v),
            Value::I32(v) => i128::from(*v),
            Value::U64(v) => i128::from(*v),
            Value::I64(v) => i128::from(*v),
            // Some converters write one number for each layer; only a model whose layers are alike is known here.
            Value::Array(all) => {
                let first = all.first().and_then(|v| v.to_u32().ok());
                let alike = first.filter(|f| all.iter().all(|v| v.to_u32().is_ok_and(|v| v == *f)));
                i128::from(alike.ok_or_else(|| ModelError::unsupported(format!("층마다 다른 {key}")))?)
            }
            _ => return Err(ModelError::damaged(key)),
        };
        usize::try_from(number).map(Some).map_err(|_| ModelError::damaged(key))
    }

    fn float(&self, key: &str) -> Result<f64, ModelError> {
        match self.0.get(key) {
            Some(Value::F32(v)) => Ok(f64::from(*v)),
            Some(Value::F64(v)) => Ok(*v),
            _ => Err(ModelError::damaged(key)),
        }
    }

    fn float_or(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        if self.0.contains_key(key) { self.float(key) } else { Ok(default) }
    }

    fn scaling(&self, key: &impl Fn(&str) -> String) -> Result<Scaling, ModelError> {
        let mut factor = self.float_or(&key("rope.scaling.factor"), 0.0)?;
        if factor == 0.0 {
            factor = self.float_or(&key("rope.scale_linear"), 1.0)?;
        }
        let kind = if self.0.contains_key(&key("rope.scaling.type")) {
            self.text(&key("rope.scaling.type"))?
        } else {
            "linear"
        };
        if !(factor.is_finite() && factor > 0.0) {
            return Err(ModelError::damaged(key("rope.scaling.factor")));
        }
        match kind {
            "none" => Ok(Scaling::None),
            "linear" if factor == 1.0 => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor }),
            "yarn" => Ok(Scaling::Yarn {
                factor,
                original: self
                    .size_or(&key("rope.scaling.original_context_length"), self.size(&key("context_length"))?)?,
                beta_fast: self.float_or(&key("rope.scaling.yarn_beta_fast"), 32.0)?,
                beta_slow: self.float_or(&key("rope.scaling.yarn_beta_slow"), 1.0)?,
                attention: self.float_or(&key("rope.scaling.attn_factor"), 1.0)?,
            }),
            other => Err(ModelError::unsupported(format!("위치 확장 방식 ‘{other}’"))),
        }
    }
}

/// The parts of `config.json` that matter.
#[derive(Deserialize)]
struct File {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    /// `rope_parameters` since transformers 5, then with the base inside.
    #[serde(alias = "rope_parameters")]
    rope_scaling: Option<FileScaling>,
    hidden_act: Option<String>,
    use_sliding_window: Option<bool>,
}

#[derive(Deserialize)]
struct FileScaling {
    #[serde(alias = "type")]
    rope_type: String,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
}

impl FileScaling {
    fn scaling(self, context: usize) -> Result<Scaling, ModelError> {
        let missing = |name: &str| ModelError::damaged(format!("rope_scaling.{name}"));
        let factor = || self.factor.filter(|f| f.is_finite() && *f > 0.0).ok_or_else(|| missing("factor"));
        let original = self.original_max_position_embeddings.unwrap_or(context);
        match self.rope_type.as_str() {
            "default" => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor: factor()? }),
            "yarn" => Ok(Scaling::Yarn {
                factor: factor()?,
                original,
                beta_fast: self.beta_fast.unwrap_or(32.0),
                beta_slow: self.beta_slow.unwrap_or(1.0),
                // transformers name the whole factor, GGUF what comes on top of YaRN's own.
                attention: self.attention_factor.map_or(Ok(1.0), |a| factor().map(|f| a / yarn_attention(f)))?,
            }),
            "llama3" => Ok(Scaling::Llama3 {
                factor: factor()?,
                low: self.low_freq_factor.ok_or_else(|| missing("low_freq_factor"))?,
                high: self.high_freq_factor.ok_or_else(|| missing("high_freq_factor"))?,
                original,
            }),
            other => Err(ModelError::unsupported(format!("위치 확장 방식 ‘{other}’"))),
        }
    }
}

/// YaRN's factor on attention for a stretch by `factor`.
pub(super) fn yarn_attention(factor: f64) -> f64 {
    1.0 + 0.1 * factor.ln()
}
