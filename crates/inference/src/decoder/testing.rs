//! Tiny decoders of random weights, as published folders and as GGUF files.

use super::weights::MappedFile;
use crate::embed::testing::{Numbers, Tensors, write_json, write_tensors};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::{Value as Json, json};
use std::io::Cursor;
use std::ops::Deref;
use std::path::Path;
use tempfile::TempDir;

pub(crate) const HIDDEN: usize = 32;
pub(crate) const LAYERS: usize = 2;

/// A decoder as transformers publish it: 2 layers of 4 heads over 2 pairs of keys and values.
#[derive(Clone)]
pub(crate) struct Tiny {
    pub config: Json,
    pub tensors: Tensors,
}

/// `family` is `llama` (with an output of its own), `qwen2` or `qwen3` (whose embedding serves as output).
pub(crate) fn tiny(family: &str, rows: usize, seed: u64) -> Tiny {
    let (mut tensors, mut numbers) = (Tensors::new(), Numbers(seed));
    let mut put = |name: String, shape: &[usize], middle: f32, scale: f32| {
        let values = (0..shape.iter().product()).map(|_| middle + scale * numbers.signed()).collect();
        tensors.insert(name, (shape.to_vec(), values));
    };
    let size = if family == "qwen3" { 16 } else { 8 };
    let (q, kv, ffn) = (4 * size, 2 * size, 64);
    put("model.embed_tokens.weight".into(), &[rows, HIDDEN], 0.0, 0.3);
    put("model.norm.weight".into(), &[HIDDEN], 1.0, 0.3);
    if family == "llama" {
        put("lm_head.weight".into(), &[rows, HIDDEN], 0.0, 0.3);
    }
    for i in 0..LAYERS {
        // Scores wide enough that where a token stands decides what it sees.
        let sizes: [(&str, usize, usize, f32); 7] = [
            ("self_attn.q_proj", q, HIDDEN, 0.6),
            ("self_attn.k_proj", kv, HIDDEN, 0.6),
            ("self_attn.v_proj", kv, HIDDEN, 0.3),
            ("self_attn.o_proj", HIDDEN, q, 0.3),
            ("mlp.gate_proj", ffn, HIDDEN, 0.3),
            ("mlp.up_proj", ffn, HIDDEN, 0.3),
            ("mlp.down_proj", HIDDEN, ffn, 0.3),
        ];
        for (part, rows, columns, scale) in sizes {
            put(format!("model.layers.{i}.{part}.weight"), &[rows, columns], 0.0, scale);
        }
        for part in ["input_layernorm", "post_attention_layernorm"] {
            put(format!("model.layers.{i}.{part}.weight"), &[HIDDEN], 1.0, 0.3);
        }
        if family == "qwen2" {
            for (part, rows) in [("q", q), ("k", kv), ("v", kv)] {
                put(format!("model.layers.{i}.self_attn.{part}_proj.bias"), &[rows], 0.0, 0.5);
            }
        }
        if family == "qwen3" {
            put(format!("model.layers.{i}.self_attn.q_norm.weight"), &[size], 1.5, 0.5);
            put(format!("model.layers.{i}.self_attn.k_norm.weight"), &[size], 1.5, 0.5);
        }
    }
    let config = json!({
        "model_type": family, "architectures": ["ForCausalLM"], "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": size, "intermediate_size": ffn,
        "vocab_size": rows, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": family != "llama",
    });
    Tiny { config, tensors }
}

impl Tiny {
    pub fn write(&self, folder: &Path) {
        write_tensors(folder, &self.tensors);
        write_json(folder, "config.json", &self.config);
    }

    /// Saved without an output, as Qwen3-Embedding is published.
    pub fn bare(mut self) -> Self {
        let kept = self.tensors.into_iter().filter(|(name, _)| name != "lm_head.weight");
        self.tensors = kept.map(|(name, t)| (name.trim_start_matches("model.").to_owned(), t)).collect();
        self
    }
}

/// A file in memory's reach, gone with this.
pub(crate) struct Written {
    file: MappedFile,
    _folder: TempDir,
}

impl Deref for Written {
    type Target = MappedFile;

    fn deref(&self) -> &MappedFile {
        &self.file
    }
}

pub(crate) fn written(bytes: &[u8]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    Written { file: MappedFile::open(&path).unwrap(), _folder: folder }
}

/// A GGUF file of the tiny decoder, `more` in place of its metadata.
pub(crate) fn gguf(family: &str, more: &[(&str, Value)]) -> Written {
    written(&gguf_bytes(family, 60, more, &[]))
}

/// A tensor to be added: name, shape, and numbers where they matter.
pub(crate) type Extra<'a> = (&'a str, &'a [usize], Option<Vec<f32>>);

/// As [`gguf`], with more tensors.
pub(crate) fn gguf_bytes(family: &str, rows: usize, more: &[(&str, Value)], extra: &[Extra<'_>]) -> Vec<u8> {
    let Tiny { config, tensors } = tiny(family, rows, 5);
    let number = |name: &str| Value::U32(config[name].as_u64().unwrap() as u32);
    let own = |name: &str| format!("{family}.{name}");
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::String(family.to_owned())),
        (own("block_count"), number("num_hidden_layers")),
        (own("context_length"), number("max_position_embeddings")),
        (own("embedding_length"), number("hidden_size")),
        (own("feed_forward_length"), number("intermediate_size")),
        (own("attention.head_count"), number("num_attention_heads")),
        (own("attention.head_count_kv"), number("num_key_value_heads")),
        (own("attention.key_length"), number("head_dim")),
        (own("attention.value_length"), number("head_dim")),
        (own("attention.layer_norm_rms_epsilon"), Value::F32(1e-6)),
        (own("rope.freq_base"), Value::F32(10_000.0)),
    ];
    metadata.retain(|(key, _)| more.iter().all(|(other, _)| key != other));
    metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let quantised = |shape: &[usize], values: Vec<f32>| {
        QTensor::quantize(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap(), GgmlDType::F32).unwrap()
    };
    let mut all: Vec<(String, QTensor)> =
        tensors.into_iter().map(|(name, (shape, values))| (gguf_name(&name), quantised(&shape, values))).collect();
    let mut numbers = Numbers(77);
    for (name, shape, values) in extra {
        let random = (0..shape.iter().product()).map(|_| numbers.signed()).collect();
        all.push(((*name).to_owned(), quantised(shape, values.clone().unwrap_or(random))));
    }
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = all.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut out = Cursor::new(Vec::new());
    gguf_file::write(&mut out, &metadata, &tensors).unwrap();
    out.into_inner()
}

fn gguf_name(name: &str) -> String {
    let parts = [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ];
    parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}
