//! What `config.json` of an encoder says, checked before any weight is read.

use crate::ModelError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bounds far beyond any real encoder, so that products of sizes cannot overflow.
const MOST_LAYERS: usize = 512;
const MOST_SIZE: usize = 1 << 20;
const MOST_ROWS: usize = 1 << 28;

/// What kind of model a folder holds.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Architecture {
    pub model_type: Option<String>,
    #[serde(default)]
    pub architectures: Option<Vec<String>>,
    #[serde(rename = "_name_or_path")]
    pub name_or_path: Option<String>,
}

impl Architecture {
    /// Static vectors of model2vec.
    pub fn is_static(&self) -> bool {
        self.model_type.as_deref() == Some("model2vec") || self.class() == Some("StaticModel")
    }

    /// A classification head on an encoder.
    pub fn is_classifier(&self) -> bool {
        self.class().is_some_and(|c| c.ends_with("ForSequenceClassification"))
    }

    pub fn class(&self) -> Option<&str> {
        self.architectures.as_ref()?.first().map(String::as_str)
    }

    /// The model type, or what to call its absence.
    pub fn name(&self) -> &str {
        self.model_type.as_deref().or(self.class()).unwrap_or("이름 없음")
    }
}

/// BERT and XLM-RoBERTa, by the names and defaults of their published configurations.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BertConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    #[serde(default = "gelu")]
    pub hidden_act: String,
    #[serde(default = "bert_epsilon")]
    pub layer_norm_eps: f64,
    pub pad_token_id: Option<usize>,
    pub position_embedding_type: Option<String>,
    #[serde(default)]
    pub is_decoder: bool,
}

impl BertConfig {
    /// # Errors
    /// [`ModelError::Unsupported`] for a position type or decoder use that is not known, [`ModelError::Damaged`] for
    /// sizes that cannot be.
    pub fn check(&self) -> Result<(), ModelError> {
        if let Some(other) = self.position_embedding_type.as_deref().filter(|t| *t != "absolute") {
            return Err(ModelError::unsupported(format!("위치 방식 {other}")));
        }
        if self.is_decoder {
            return Err(ModelError::unsupported("is_decoder"));
        }
        check_sizes(self.hidden_size, self.num_attention_heads, self.num_hidden_layers, self.intermediate_size)?;
        check_rows(&[self.vocab_size, self.max_position_embeddings, self.type_vocab_size])
    }
}

/// ModernBERT, by the names and defaults of its published configuration; layers and RoPE bases in the form of either
/// generation of files.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ModernBertConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "gelu")]
    pub hidden_activation: String,
    #[serde(default = "modern_epsilon")]
    pub norm_eps: f64,
    #[serde(default)]
    pub norm_bias: bool,
    #[serde(default)]
    pub attention_bias: bool,
    #[serde(default)]
    pub mlp_bias: bool,
    #[serde(default = "modern_window")]
    pub local_attention: usize,
    #[serde(default = "modern_every")]
    pub global_attn_every_n_layers: usize,
    pub layer_types: Option<Vec<String>>,
    #[serde(default = "global_theta")]
    pub global_rope_theta: f64,
    /// Published files may say null: then as the global one.
    #[serde(default = "local_theta")]
    pub local_rope_theta: Option<f64>,
    pub rope_parameters: Option<BTreeMap<String, Value>>,
    pub rope_scaling: Option<Value>,
    #[serde(default)]
    pub classifier_bias: bool,
    #[serde(default = "gelu")]
    pub classifier_activation: String,
    #[serde(default = "cls")]
    pub classifier_pooling: String,
}

impl ModernBertConfig {
    /// # Errors
    /// As [`BertConfig::check`].
    pub fn check(&self) -> Result<(), ModelError> {
        check_sizes(self.hidden_size, self.num_attention_heads, self.num_hidden_layers, self.intermediate_size)?;
        check_rows(&[self.vocab_size, self.max_position_embeddings])?;
        if self.global_attn_every_n_layers == 0 {
            return Err(ModelError::damaged("config.json (global_attn_every_n_layers)"));
        }
        if self.rope_scaling.as_ref().is_some_and(|v| !v.is_null()) {
            return Err(ModelError::unsupported("rope_scaling"));
        }
        if (self.hidden_size / self.num_attention_heads.max(1)) % 2 == 1 {
            return Err(ModelError::damaged("config.json (머리 크기가 홀수)"));
        }
        Ok(())
    }

    /// For each layer whether it sees the whole text.
    pub fn global_layers(&self) -> Result<Vec<bool>, ModelError> {
        let Some(types) = &self.layer_types else {
            return Ok((0..self.num_hidden_layers).map(|i| i % self.global_attn_every_n_layers == 0).collect());
        };
        if types.len() != self.num_hidden_layers {
            return Err(ModelError::damaged("config.json (layer_types 개수)"));
        }
        let whole = |t: &String| match t.as_str() {
            "full_attention" => Ok(true),
            "sliding_attention" => Ok(false),
            other => Err(ModelError::unsupported(format!("layer_types의 {other}"))),
        };
        types.iter().map(whole).collect()
    }

    /// RoPE bases of whole and windowed layers.
    pub fn thetas(&self) -> Result<(f64, f64), ModelError> {
        let local = self.local_rope_theta.unwrap_or(self.global_rope_theta);
        let of = |name: &str, fallback: f64| -> Result<f64, ModelError> {
            let Some(parameters) = self.rope_parameters.as_ref().and_then(|p| p.get(name)).filter(|p| !p.is_null())
            else {
                return Ok(fallback);
            };
            match parameters.get("rope_type").and_then(Value::as_str) {
                None | Some("default") => Ok(parameters.get("rope_theta").and_then(Value::as_f64).unwrap_or(fallback)),
                Some(other) => Err(ModelError::unsupported(format!("RoPE 방식 {other}"))),
            }
        };
        let thetas = (of("full_attention", self.global_rope_theta)?, of("sliding_attention", local)?);
        match thetas.0 > 0.0 && thetas.1 > 0.0 {
            true => Ok(thetas),
            false => Err(ModelError::damaged("config.json (rope_theta)")),
        }
    }
}

fn check_sizes(hidden: usize, heads: usize, layers: usize, inner: usize) -> Result<(), ModelError> {
    let sound = heads > 0 && hidden > 0 && hidden.is_multiple_of(heads) && (1..=MOST_LAYERS).contains(&layers);
    let bounded = hidden <= MOST_SIZE && (1..=MOST_SIZE).contains(&inner);
    if sound && bounded { Ok(()) } else { Err(ModelError::damaged("config.json (층의 크기)")) }
}

fn check_rows(rows: &[usize]) -> Result<(), ModelError> {
    let sound = rows.iter().all(|r| (1..=MOST_ROWS).contains(r));
    if sound { Ok(()) } else { Err(ModelError::damaged("config.json (표의 크기)")) }
}

fn two() -> usize {
    2
}

fn gelu() -> String {
    "gelu".into()
}

fn cls() -> String {
    "cls".into()
}

fn bert_epsilon() -> f64 {
    1e-12
}

fn modern_epsilon() -> f64 {
    1e-5
}

fn modern_window() -> usize {
    128
}

fn modern_every() -> usize {
    3
}

fn global_theta() -> f64 {
    160_000.0
}

fn local_theta() -> Option<f64> {
    Some(10_000.0)
}
