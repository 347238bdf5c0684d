//! Dimensions out of a `config.json` as Hugging Face's transformers write it. Keys: `configuration_llama.py`,
//! `configuration_qwen2.py`, `configuration_qwen3.py`, `modeling_rope_utils.py`.

use super::{Config, Family, Scaling, yarn_attention};
use crate::error::ModelError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

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
    rope_scaling: Option<FileScaling>,
    /// Since transformers 5 in place of `rope_scaling`, then with the base inside; some files have both.
    rope_parameters: Option<FileScaling>,
    partial_rotary_factor: Option<f64>,
    hidden_act: Option<String>,
    mlp_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    layer_types: Option<Vec<String>>,
    tie_word_embeddings: Option<bool>,
}

#[derive(Deserialize)]
struct FileScaling {
    rope_type: Option<String>,
    /// Before `rope_type`; some files have both.
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(super) fn read(text: &str) -> Result<Config, ModelError> {
    let file: File = serde_json::from_str(text).map_err(|e| ModelError::damaged(format!("config.json: {e}")))?;
    let family = Family::of(&file.model_type)?;
    file.only_known()?;
    if file.num_attention_heads == 0 {
        return Err(ModelError::damaged("num_attention_heads = 0"));
    }
    let head_dim = file.head_dim.unwrap_or(file.hidden_size / file.num_attention_heads);
    let (scaling, context) = file.scaling()?;
    let inside = [&file.rope_parameters, &file.rope_scaling].into_iter().flatten().find_map(|s| s.rope_theta);
    Ok(Config {
        family,
        layers: file.num_hidden_layers,
        hidden: file.hidden_size,
        heads: file.num_attention_heads,
        kv_heads: file.num_key_value_heads.unwrap_or(file.num_attention_heads),
        head_dim,
        ffn: file.intermediate_size,
        vocab: file.vocab_size,
        context,
        epsilon: file.rms_norm_eps as f32,
        rope_base: file
            .rope_theta
            .or(inside)
            // Files of the first llamas do not say it.
            .or((family == Family::Llama).then_some(10_000.0))
            .ok_or_else(|| ModelError::damaged("rope_theta"))?,
        rope_dim: head_dim,
        scaling,
        interleaved: false,
        // All three families' own default.
        tied: file.tie_word_embeddings.unwrap_or(false),
    })
}

impl File {
    /// What is not read may change what the model computes.
    fn only_known(&self) -> Result<(), ModelError> {
        if let Some(act) = self.hidden_act.as_deref().filter(|a| *a != "silu") {
            return Err(ModelError::unsupported(format!("활성 함수 ‘{act}’")));
        }
        let full = |kind: &String| kind == "full_attention";
        let refused = [
            ("use_sliding_window", self.use_sliding_window == Some(true)),
            ("layer_types", !self.layer_types.iter().flatten().all(full)),
            ("mlp_bias", self.mlp_bias == Some(true)),
            ("partial_rotary_factor", self.partial_rotary_factor.is_some_and(|f| f != 1.0)),
        ];
        match refused.into_iter().find(|(_, is)| *is) {
            Some((name, _)) => Err(ModelError::unsupported(name)),
            None => Ok(()),
        }
    }

    /// How positions are scaled, and how far they reach.
    fn scaling(&self) -> Result<(Scaling, usize), ModelError> {
        let context = self.max_position_embeddings;
        let read = |s: &Option<FileScaling>| s.as_ref().map(|s| s.scaling(context)).transpose();
        let scaling = match (read(&self.rope_parameters)?, read(&self.rope_scaling)?) {
            (Some(new), Some(old)) if new != old => {
                return Err(ModelError::damaged("rope_parameters와 rope_scaling이 서로 다름"));
            }
            (new, old) => new.or(old).unwrap_or(Scaling::None),
        };
        // `max_position_embeddings` is what the model was trained for first; these two stretch it.
        let stretched = match scaling {
            Scaling::Linear { factor } => (self.original().unwrap_or(context), factor),
            Scaling::Yarn { factor, original, .. } => (original, factor),
            Scaling::None | Scaling::Llama3 { .. } => (context, 1.0),
        };
        Ok((scaling, context.max((stretched.0 as f64 * stretched.1) as usize)))
    }

    fn original(&self) -> Option<usize> {
        let mut both = [&self.rope_parameters, &self.rope_scaling].into_iter().flatten();
        both.find_map(|s| s.original_max_position_embeddings)
    }
}

impl FileScaling {
    fn scaling(&self, context: usize) -> Result<Scaling, ModelError> {
        self.only_known()?;
        let missing = |name: &str| ModelError::damaged(format!("rope_scaling.{name}"));
        let factor = || self.factor.filter(|f| f.is_finite() && *f > 0.0).ok_or_else(|| missing("factor"));
        let original = self.original_max_position_embeddings.unwrap_or(context);
        // Without a type and a factor the object holds the base alone.
        let default = || self.factor.is_none().then_some("default");
        let kind = self.rope_type.as_deref().or(self.old_type.as_deref()).or_else(default);
        match kind.ok_or_else(|| missing("rope_type"))? {
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

    /// Keys that are not read above are refused, unless they say what is computed anyway.
    fn only_known(&self) -> Result<(), ModelError> {
        let harmless = |name: &str, value: &Value| match name {
            _ if value.is_null() => true,
            "finetuned" => true,
            "truncate" => *value == Value::Bool(true),
            "partial_rotary_factor" => value.as_f64() == Some(1.0),
            "mscale" | "mscale_all_dim" => value.as_f64() == Some(0.0),
            _ => false,
        };
        match self.rest.iter().find(|(name, value)| !harmless(name, value)) {
            Some((name, _)) => Err(ModelError::unsupported(format!("rope_scaling.{name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(more: &Value) -> Result<Config, ModelError> {
        let mut whole = json!({
            "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 60, "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        });
        let whole = whole.as_object_mut().unwrap();
        whole.extend(more.as_object().unwrap().clone());
        Config::from_json(&serde_json::to_string(whole).unwrap())
    }

    #[test]
    fn scalings_may_be_named_twice_where_they_agree() {
        let twice = json!({"rope_type": "linear", "type": "linear", "factor": 2.0});
        let linear = config(&json!({"rope_scaling": twice})).unwrap();
        assert_eq!(linear.scaling, Scaling::Linear { factor: 2.0 });
        // The new name counts.
        let both = json!({"rope_type": "linear", "type": "dynamic", "factor": 2.0});
        assert_eq!(config(&json!({"rope_scaling": both})).unwrap(), linear);
        assert_eq!(config(&json!({"rope_scaling": twice, "rope_parameters": twice})).unwrap(), linear);
        assert_eq!(config(&json!({"rope_scaling": null, "rope_parameters": twice})).unwrap(), linear);
        let other = json!({"rope_type": "default", "rope_theta": 10000.0});
        let refused = config(&json!({"rope_scaling": twice, "rope_parameters": other})).unwrap_err();
        assert!(matches!(refused, ModelError::Damaged { .. }));
        let base = config(&json!({"rope_theta": null, "rope_parameters": {"rope_theta": 5e5}})).unwrap();
        assert_eq!((base.rope_base, base.scaling), (5e5, Scaling::None));
    }

    #[test]
    fn a_stretched_model_reaches_further() {
        let yarn = |more: Value| {
            let mut scaling = json!({"rope_type": "yarn", "factor": 4.0});
            scaling.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            config(&json!({"rope_scaling": scaling})).unwrap().context
        };
        assert_eq!(yarn(json!({"original_max_position_embeddings": 2048})), 8192);
        assert_eq!(yarn(json!({})), 16_384);
        // The file counts the stretch in already.
        assert_eq!(yarn(json!({"original_max_position_embeddings": 1024})), 4096);
        assert_eq!(config(&json!({"rope_scaling": {"type": "linear", "factor": 2.0}})).unwrap().context, 8192);
        let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 2048});
        assert_eq!(config(&json!({"rope_scaling": llama3})).unwrap().context, 4096);
    }

    #[test]
    fn what_would_change_the_numbers_is_refused_by_its_name() {
        for (name, value) in [
            ("mlp_bias", json!(true)),
            ("partial_rotary_factor", json!(0.5)),
            ("use_sliding_window", json!(true)),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
        ] {
            let refused = config(&json!({name: value})).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
        for (name, value) in [("mscale", json!(0.7)), ("mscale_all_dim", json!(1.0)), ("truncate", json!(false))] {
            let refused = config(&json!({"rope_scaling": {"type": "yarn", "factor": 4.0, name: value}})).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
        let plain = json!({"mlp_bias": false, "partial_rotary_factor": 1.0, "layer_types": ["full_attention"],
            "rope_scaling": {"type": "yarn", "factor": 4.0, "truncate": true, "finetuned": true, "mscale": null}});
        assert!(config(&plain).is_ok());
    }
}
