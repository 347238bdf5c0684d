//! ModernBERT (Warner et al., 2024): rotary positions, normalisation before each block, gated inner layers; every few
//! layers see the whole text, the others a window.

use super::attention::{Heads, attend};
use super::config::ModernBertConfig;
use super::layers::{Activation, Linear, Norm, Table};
use super::texts::Packed;
use super::weights::Weights;
use crate::ModelError;
use candle_core::{Device, Result, Tensor};

pub(super) struct ModernBert {
    words: Table,
    norm: Norm,
    layers: Vec<Layer>,
    last_norm: Norm,
    heads: usize,
    head_size: usize,
    /// Bases of whole and windowed layers.
    thetas: (f64, f64),
}

struct Layer {
    /// The first layer reads the embeddings' own normalisation.
    attention_norm: Option<Norm>,
    qkv: Linear,
    attention_out: Linear,
    norm: Norm,
    up: Linear,
    activation: Activation,
    down: Linear,
    /// Tokens seen to each side; all without it.
    window: Option<usize>,
}

impl ModernBert {
    /// The tensors below `prefix` (empty or `model.`).
    pub fn load(weights: &Weights, prefix: &str, config: &ModernBertConfig) -> std::result::Result<Self, ModelError> {
        config.check()?;
        let (hidden, epsilon) = (config.hidden_size, config.norm_eps);
        let norm = |name: &str| Norm::load(weights, &format!("{prefix}{name}"), hidden, epsilon, config.norm_bias);
        let layers = config.global_layers()?.into_iter().enumerate();
        let layers =
            layers.map(|(i, whole)| Layer::load(weights, &format!("{prefix}layers.{i}"), config, i > 0, whole));
        Ok(Self {
            words: Table::load(
                weights,
                &format!("{prefix}embeddings.tok_embeddings.weight"),
                config.vocab_size,
                hidden,
            )?,
            norm: norm("embeddings.norm")?,
            layers: layers.collect::<std::result::Result<_, _>>()?,
            last_norm: norm("final_norm")?,
            heads: config.num_attention_heads,
            head_size: hidden / config.num_attention_heads,
            thetas: config.thetas()?,
        })
    }

    /// Last hidden states, `[tokens, hidden]`.
    pub fn forward(&self, texts: &Packed) -> Result<Tensor> {
        let whole = Rotation::new(&texts.positions, self.head_size, self.thetas.0)?;
        let windowed = Rotation::new(&texts.positions, self.head_size, self.thetas.1)?;
        let mut rows = self.norm.forward(&self.words.rows(&texts.ids)?)?;
        for layer in &self.layers {
            let rotation = if layer.window.is_some() { &windowed } else { &whole };
            rows = layer.forward(&rows, texts, self.heads, self.head_size, rotation)?;
        }
        self.last_norm.forward(&rows)
    }
}

impl Layer {
    fn load(
        weights: &Weights,
        name: &str,
        config: &ModernBertConfig,
        normed: bool,
        whole: bool,
    ) -> std::result::Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let norm =
            |part: &str| Norm::load(weights, &format!("{name}.{part}"), hidden, config.norm_eps, config.norm_bias);
        let linear =
            |part: &str, input, output, bias| Linear::load(weights, &format!("{name}.{part}"), input, output, bias);
        Ok(Self {
            attention_norm: normed.then(|| norm("attn_norm")).transpose()?,
            qkv: linear("attn.Wqkv", hidden, 3 * hidden, config.attention_bias)?,
            attention_out: linear("attn.Wo", hidden, hidden, config.attention_bias)?,
            norm: norm("mlp_norm")?,
            up: linear("mlp.Wi", hidden, 2 * inner, config.mlp_bias)?,
            activation: Activation::named(&config.hidden_activation)?,
            down: linear("mlp.Wo", inner, hidden, config.mlp_bias)?,
            window: (!whole).then_some(config.local_attention / 2),
        })
    }

    fn forward(&self, rows: &Tensor, texts: &Packed, heads: usize, size: usize, rotation: &Rotation) -> Result<Tensor> {
        let normed = match &self.attention_norm {
            Some(norm) => norm.forward(rows)?,
            None => rows.clone(),
        };
        let qkv = self.qkv.forward(&normed)?;
        let part = |i: usize| qkv.narrow(1, i * heads * size, heads * size)?.contiguous();
        let (q, k) = (rotation.apply(&part(0)?, heads, size)?, rotation.apply(&part(1)?, heads, size)?);
        let seen = attend(&q, &k, &part(2)?, &texts.spans, Heads { count: heads, size, window: self.window })?;
        let rows = (self.attention_out.forward(&seen)? + rows)?;
        let up = self.up.forward(&self.norm.forward(&rows)?)?.chunk(2, 1)?;
        let [inner, gate] = up.as_slice() else {
            candle_core::bail!("inner layer is not in two halves");
        };
        let gated = (self.activation.forward(&inner.contiguous()?)? * gate)?;
        self.down.forward(&gated)? + rows
    }
}

/// Rotary positions (Su et al., 2021): the first half of a head's vector turns with the second.
struct Rotation {
    /// `[tokens, size / 2]`.
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    fn new(positions: &[u32], size: usize, theta: f64) -> Result<Self> {
        let half = size / 2;
        let frequency = |i: usize| theta.powf(-(2.0 * i as f64) / size as f64);
        let frequencies: Vec<_> = (0..half).map(frequency).collect();
        let angles = positions.iter().flat_map(|p| frequencies.iter().map(move |f| f64::from(*p) * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let table = |numbers| Tensor::from_vec(numbers, (positions.len(), half), &Device::Cpu);
        Ok(Self { cos: table(cos)?, sin: table(sin)? })
    }

    /// `[tokens, heads · size]`, turned.
    fn apply(&self, rows: &Tensor, heads: usize, size: usize) -> Result<Tensor> {
        let tokens = rows.dim(0)?;
        let turned = candle_nn::rotary_emb::rope_thd(&rows.reshape((1, tokens, heads, size))?, &self.cos, &self.sin)?;
        turned.reshape((tokens, heads * size))
    }
}
