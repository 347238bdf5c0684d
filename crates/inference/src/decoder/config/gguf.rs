//! Dimensions out of a GGUF file's metadata. Keys: the GGUF specification and llama.cpp's `gguf-py/gguf/constants.py`.

use super::{Config, Family, Scaling};
use crate::decoder::metadata::Metadata;
use crate::error::ModelError;
use candle_core::quantized::gguf_file::Content;

/// Keys of attention and rotation that are read, or say nothing that would change a number.
const KNOWN: [&str; 18] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window",
    "attention.causal",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
];
/// Known by name, computed only at this value.
const ONLY: [(&str, f64); 6] = [
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("rope.scaling.yarn_attn_factor", 1.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
    ("logit_scale", 1.0),
    ("residual_scale", 1.0),
    ("embedding_scale", 1.0),
];

pub(super) fn read(content: &Content) -> Result<Config, ModelError> {
    let meta = Metadata::new(content);
    let arch = meta.text("general.architecture")?.ok_or_else(|| ModelError::damaged("general.architecture 없음"))?;
    let family = Family::of(arch)?;
    let own = Own { meta, arch };
    own.only_known()?;
    let hidden = own.size("embedding_length")?;
    let heads = own.size("attention.head_count")?;
    if heads == 0 {
        return Err(ModelError::damaged("attention.head_count = 0"));
    }
    let head_dim = own.size_or("attention.key_length", hidden / heads)?;
    if own.size_or("attention.value_length", head_dim)? != head_dim {
        return Err(ModelError::unsupported("키와 값의 길이가 다른 어텐션(value_length)"));
    }
    let embedding =
        content.tensor_infos.get("token_embd.weight").ok_or_else(|| ModelError::damaged("token_embd.weight"))?;
    Ok(Config {
        family,
        layers: own.size("block_count")?,
        hidden,
        heads,
        kv_heads: own.size_or("attention.head_count_kv", heads)?,
        head_dim,
        ffn: own.size("feed_forward_length")?,
        vocab: *embedding.shape.dims().first().unwrap_or(&0),
        context: own.size("context_length")?,
        epsilon: own.float("attention.layer_norm_rms_epsilon")?.ok_or_else(|| own.missing("rms_epsilon"))? as f32,
        rope_base: own.float("rope.freq_base")?.unwrap_or(10_000.0),
        rope_dim: own.size_or("rope.dimension_count", head_dim)?,
        scaling: own.scaling()?,
        interleaved: family == Family::Llama,
        // The converter leaves an output out where it is the embedding.
        tied: true,
    })
}

/// The keys of the file's own architecture.
struct Own<'a> {
    meta: Metadata<'a>,
    arch: &'a str,
}

impl Own<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn missing(&self, name: &str) -> ModelError {
        ModelError::damaged(format!("{} 없음", self.key(name)))
    }

    fn size(&self, name: &str) -> Result<usize, ModelError> {
        self.meta.size(&self.key(name))?.ok_or_else(|| self.missing(name))
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize, ModelError> {
        Ok(self.meta.size(&self.key(name))?.unwrap_or(default))
    }

    fn float(&self, name: &str) -> Result<Option<f64>, ModelError> {
        self.meta.float(&self.key(name))
    }

    /// What is not read may change what the model computes.
    fn only_known(&self) -> Result<(), ModelError> {
        for name in ["attention.sliding_window", "expert_count"] {
            if self.size_or(name, 0)? != 0 {
                return Err(ModelError::unsupported(self.key(name)));
            }
        }
        if self.meta.flag(&self.key("attention.causal"))? == Some(false) {
            return Err(ModelError::unsupported(self.key("attention.causal")));
        }
        for (name, only) in ONLY {
            if self.float(name)?.is_some_and(|value| value != only) {
                return Err(ModelError::unsupported(self.key(name)));
            }
        }
        for key in self.meta.keys() {
            let Some(name) = key.strip_prefix(self.arch).and_then(|k| k.strip_prefix('.')) else { continue };
            let known = KNOWN.contains(&name) || ONLY.iter().any(|(n, _)| *n == name);
            if !known && (name.starts_with("attention.") || name.starts_with("rope.")) {
                return Err(ModelError::unsupported(key));
            }
        }
        Ok(())
    }

    fn scaling(&self) -> Result<Scaling, ModelError> {
        let factor = match self.float("rope.scaling.factor")?.filter(|f| *f != 0.0) {
            Some(factor) => factor,
            None => self.float("rope.scale_linear")?.unwrap_or(1.0),
        };
        if !(factor.is_finite() && factor > 0.0) {
            return Err(ModelError::damaged(self.key("rope.scaling.factor")));
        }
        match self.meta.text(&self.key("rope.scaling.type"))?.unwrap_or("linear") {
            "none" => Ok(Scaling::None),
            "linear" if factor == 1.0 => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor }),
            "yarn" => Ok(Scaling::Yarn {
                factor,
                original: self.size_or("rope.scaling.original_context_length", self.size("context_length")?)?,
                beta_fast: self.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: self.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                attention: self.float("rope.scaling.attn_factor")?.unwrap_or(1.0),
            }),
            other => Err(ModelError::unsupported(format!("위치 확장 방식 ‘{other}’"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::testing::gguf;
    use candle_core::quantized::gguf_file::Value;

    fn read_with(more: &[(&str, Value)]) -> Result<Config, ModelError> {
        let file = gguf("qwen3", more);
        Config::from_gguf(&file.gguf().unwrap())
    }

    #[test]
    fn lists_of_equal_numbers_are_one_number() {
        let heads = |kv: [i32; 2]| Value::Array(kv.map(Value::I32).to_vec());
        let found = read_with(&[("qwen3.attention.head_count_kv", heads([2, 2]))]).unwrap();
        assert_eq!(found, read_with(&[]).unwrap());
        let refused = read_with(&[("qwen3.attention.head_count_kv", heads([2, 1]))]).unwrap_err().to_string();
        assert!(refused.contains("층마다 다른"), "{refused}");
    }

    #[test]
    fn what_would_change_the_numbers_is_refused_by_its_name() {
        for name in
            ["rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_log_multiplier"]
        {
            let key = format!("qwen3.{name}");
            let refused = read_with(&[(&key, Value::F32(0.5))]).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
        assert!(read_with(&[("qwen3.rope.scaling.yarn_ext_factor", Value::F32(1.0))]).is_ok());
        for key in ["qwen3.rope.dimension_sections", "qwen3.attention.scale"] {
            assert!(read_with(&[(key, Value::F32(0.5))]).unwrap_err().to_string().contains(key));
        }
        assert!(read_with(&[("qwen3.attention.causal", Value::Bool(false))]).is_err());
    }
}
