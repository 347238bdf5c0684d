//! The same model as a folder in the published form: `config.json` and `model.safetensors`. There is no
//! `tokenizer.json`: such a folder is for computing with token ids.

use super::Float;
use super::config::{LLAMA3_HIGH, LLAMA3_LOW, ModelConfig, RopeScaling};
use super::tensors::{TensorSpec, tensors};
use super::weights::Weights;
use crate::encode;
use anyhow::{Context, Result};
use candle_core::quantized::GgmlDType;
use safetensors::Dtype;
use safetensors::tensor::View;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::Path;

/// Writes the folder.
///
/// # Errors
/// On I/O.
pub fn write(config: &ModelConfig, seed: u64, float: Float, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(folder.join("config.json"), serde_json::to_string_pretty(&config_json(config, float))?)?;
    let weights = Weights::new(config, seed);
    let views = tensors(config).into_iter().filter_map(|spec| {
        let name = spec.published.clone()?;
        Some((name, Lazy { spec, weights: &weights, float }))
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize_to_file(views, Some(metadata), &folder.join("model.safetensors"))?;
    Ok(())
}

/// A tensor that is made when it is written.
struct Lazy<'a> {
    spec: TensorSpec,
    weights: &'a Weights<'a>,
    float: Float,
}

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        match self.float {
            Float::F16 => Dtype::F16,
            Float::Bf16 => Dtype::BF16,
            Float::F32 => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let columns = self.spec.shape.last().copied().unwrap_or(1);
        let rows = self.spec.shape.iter().product::<usize>() / columns.max(1);
        let mut bytes = Vec::with_capacity(self.data_len());
        let fill = |row, values: &mut [f32]| self.weights.row(&self.spec, row, values);
        match encode::rows(&mut bytes, self.float.dtype(), rows, columns, &fill) {
            Ok(()) => Cow::Owned(bytes),
            // the trait cannot tell of an error; the writer refuses data that is shorter than it was told
            Err(_) => Cow::Owned(Vec::new()),
        }
    }

    fn data_len(&self) -> usize {
        self.spec.shape.iter().product::<usize>() * self.float.dtype().type_size()
    }
}

impl Float {
    fn dtype(self) -> GgmlDType {
        match self {
            Float::F16 => GgmlDType::F16,
            Float::Bf16 => GgmlDType::BF16,
            Float::F32 => GgmlDType::F32,
        }
    }
}

/// `config.json` with the names that the families publish.
fn config_json(config: &ModelConfig, float: Float) -> Value {
    use super::config::Family;
    let (class, kind) = match config.family {
        Family::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
        Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
        Family::Llama => ("LlamaForCausalLM", "llama"),
    };
    let scaling = config.scaling.map(|scaling| match scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Yarn { factor, original_context } => {
            json!({"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original_context})
        }
        RopeScaling::Llama3 { factor, original_context } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": LLAMA3_LOW,
            "high_freq_factor": LLAMA3_HIGH,
            "original_max_position_embeddings": original_context,
        }),
    });
    let dtype = match float {
        Float::F16 => "float16",
        Float::Bf16 => "bfloat16",
        Float::F32 => "float32",
    };
    let mut json = json!({
        "architectures": [class],
        "model_type": kind,
        "hidden_act": "silu",
        "hidden_size": config.hidden,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.rms_eps,
        "rope_scaling": scaling,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied,
        "torch_dtype": dtype,
        "vocab_size": config.vocab,
    });
    if config.family != Family::Qwen2 || config.head_dim != config.implied_head_dim() {
        json["head_dim"] = config.head_dim.into();
        json["attention_bias"] = false.into();
    }
    json
}
