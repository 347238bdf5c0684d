//! BERT (Devlin et al., 2018) and XLM-RoBERTa (Conneau et al., 2019): learned positions, normalisation after each
//! block. XLM-RoBERTa counts positions from its padding token's number plus one.

use super::attention::{Heads, attend};
use super::config::BertConfig;
use super::layers::{Activation, Linear, Norm, Table};
use super::texts::Packed;
use super::weights::Weights;
use crate::ModelError;
use candle_core::{Result, Tensor};

pub(super) struct Bert {
    words: Table,
    positions: Table,
    types: Table,
    norm: Norm,
    layers: Vec<Layer>,
    heads: Heads,
    first_position: u32,
    type_count: usize,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_out: Linear,
    attention_norm: Norm,
    up: Linear,
    activation: Activation,
    down: Linear,
    norm: Norm,
}

impl Bert {
    /// The tensors below `prefix` (empty, `bert.` or `roberta.`). `roberta`: positions are offset.
    pub fn load(
        weights: &Weights,
        prefix: &str,
        config: &BertConfig,
        roberta: bool,
    ) -> std::result::Result<Self, ModelError> {
        config.check()?;
        let (hidden, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let table = |name: &str, rows| Table::load(weights, &format!("{prefix}embeddings.{name}.weight"), rows, hidden);
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::load(weights, &format!("{prefix}encoder.layer.{i}"), config))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            words: table("word_embeddings", config.vocab_size)?,
            positions: table("position_embeddings", config.max_position_embeddings)?,
            types: table("token_type_embeddings", config.type_vocab_size)?,
            norm: Norm::load(weights, &format!("{prefix}embeddings.LayerNorm"), hidden, epsilon, true)?,
            layers,
            heads: Heads { count: config.num_attention_heads, size: hidden / config.num_attention_heads, window: None },
            first_position: u32::try_from(first_position(config, roberta)).unwrap_or(u32::MAX),
            type_count: config.type_vocab_size,
        })
    }

    /// Longest text: the rows of the position table that are used.
    pub fn most_tokens(config: &BertConfig, roberta: bool) -> usize {
        config.max_position_embeddings.saturating_sub(first_position(config, roberta))
    }

    /// Last hidden states, `[tokens, hidden]`.
    pub fn forward(&self, texts: &Packed) -> Result<Tensor> {
        let positions: Vec<_> = texts.positions.iter().map(|p| p + self.first_position).collect();
        // XLM-RoBERTa has one type only, and its tokenizer marks none.
        let types: Vec<_> = texts.types.iter().map(|t| if self.type_count > 1 { *t } else { 0 }).collect();
        let words = (self.words.rows(&texts.ids)? + self.types.rows(&types)?)?;
        let mut rows = self.norm.forward(&(words + self.positions.rows(&positions)?)?)?;
        for layer in &self.layers {
            rows = layer.forward(&rows, texts, self.heads)?;
        }
        Ok(rows)
    }
}

impl Layer {
    fn load(weights: &Weights, name: &str, config: &BertConfig) -> std::result::Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |part: &str, input, output| Linear::load(weights, &format!("{name}.{part}"), input, output, true);
        let norm = |part: &str| Norm::load(weights, &format!("{name}.{part}"), hidden, config.layer_norm_eps, true);
        Ok(Self {
            query: linear("attention.self.query", hidden, hidden)?,
            key: linear("attention.self.key", hidden, hidden)?,
            value: linear("attention.self.value", hidden, hidden)?,
            attention_out: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: norm("attention.output.LayerNorm")?,
            up: linear("intermediate.dense", hidden, inner)?,
            activation: Activation::named(&config.hidden_act)?,
            down: linear("output.dense", inner, hidden)?,
            norm: norm("output.LayerNorm")?,
        })
    }

    fn forward(&self, rows: &Tensor, texts: &Packed, heads: Heads) -> Result<Tensor> {
        let (q, k, v) = (self.query.forward(rows)?, self.key.forward(rows)?, self.value.forward(rows)?);
        let seen = self.attention_out.forward(&attend(&q, &k, &v, &texts.spans, heads)?)?;
        let rows = self.attention_norm.forward(&(seen + rows)?)?;
        let inner = self.activation.forward(&self.up.forward(&rows)?)?;
        self.norm.forward(&(self.down.forward(&inner)? + rows)?)
    }
}

fn first_position(config: &BertConfig, roberta: bool) -> usize {
    if roberta { config.pad_token_id.unwrap_or(1) + 1 } else { 0 }
}
