//! Which tensors a model of these families has: names in GGUF and in the published safetensors, and shapes. What is in
//! them lives in `weights`.

use super::config::ModelConfig;

/// The role of a tensor: decides its random distribution and its quantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Embedding,
    Output,
    RopeDivisors,
    Norm,
    Query,
    Key,
    Value,
    AttentionOutput,
    Gate,
    Up,
    Down,
    /// Bias of a projection to query, key or value.
    Bias,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// As llama.cpp's converter names it.
    pub gguf: String,
    /// As the published safetensors name it; `None` for what exists only in GGUF.
    pub published: Option<String>,
    pub part: Part,
    /// Of which layer, for those of a layer.
    pub layer: Option<usize>,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
}

/// Every tensor of the model, in the order of the file.
pub fn tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let ModelConfig { hidden, vocab, head_dim, .. } = *config;
    let global = |gguf: &str, published: Option<&str>, part, shape| TensorSpec {
        gguf: gguf.into(),
        published: published.map(Into::into),
        part,
        layer: None,
        shape,
    };
    let mut all =
        vec![global("token_embd.weight", Some("model.embed_tokens.weight"), Part::Embedding, vec![vocab, hidden])];
    if config.rope_divisors().is_some() {
        all.push(global("rope_freqs.weight", None, Part::RopeDivisors, vec![head_dim / 2]));
    }
    for layer in 0..config.layers {
        all.extend(layer_tensors(config, layer));
    }
    all.push(global("output_norm.weight", Some("model.norm.weight"), Part::Norm, vec![hidden]));
    if !config.tied {
        all.push(global("output.weight", Some("lm_head.weight"), Part::Output, vec![vocab, hidden]));
    }
    all
}

fn layer_tensors(config: &ModelConfig, layer: usize) -> Vec<TensorSpec> {
    let ModelConfig { hidden, ffn, head_dim, .. } = *config;
    let (query, key) = (config.heads * head_dim, config.kv_heads * head_dim);
    let one = |gguf: &str, published: &str, part, shape| TensorSpec {
        gguf: format!("blk.{layer}.{gguf}"),
        published: Some(format!("model.layers.{layer}.{published}")),
        part,
        layer: Some(layer),
        shape,
    };
    let mut all = vec![
        one("attn_norm.weight", "input_layernorm.weight", Part::Norm, vec![hidden]),
        one("attn_q.weight", "self_attn.q_proj.weight", Part::Query, vec![query, hidden]),
        one("attn_k.weight", "self_attn.k_proj.weight", Part::Key, vec![key, hidden]),
        one("attn_v.weight", "self_attn.v_proj.weight", Part::Value, vec![key, hidden]),
        one("attn_output.weight", "self_attn.o_proj.weight", Part::AttentionOutput, vec![hidden, query]),
    ];
    if config.family.qkv_bias() {
        all.push(one("attn_q.bias", "self_attn.q_proj.bias", Part::Bias, vec![query]));
        all.push(one("attn_k.bias", "self_attn.k_proj.bias", Part::Bias, vec![key]));
        all.push(one("attn_v.bias", "self_attn.v_proj.bias", Part::Bias, vec![key]));
    }
    if config.family.qk_norm() {
        all.push(one("attn_q_norm.weight", "self_attn.q_norm.weight", Part::Norm, vec![head_dim]));
        all.push(one("attn_k_norm.weight", "self_attn.k_norm.weight", Part::Norm, vec![head_dim]));
    }
    all.extend([
        one("ffn_norm.weight", "post_attention_layernorm.weight", Part::Norm, vec![hidden]),
        one("ffn_gate.weight", "mlp.gate_proj.weight", Part::Gate, vec![ffn, hidden]),
        one("ffn_up.weight", "mlp.up_proj.weight", Part::Up, vec![ffn, hidden]),
        one("ffn_down.weight", "mlp.down_proj.weight", Part::Down, vec![hidden, ffn]),
    ]);
    all
}
