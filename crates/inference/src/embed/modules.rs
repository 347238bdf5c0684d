//! What sentence-transformers says of a model beside its weights: how hidden states become a vector, prefixes, length.

use super::Prefixes;
use super::encoder::Pooling;
use super::folder::Folder;
use super::layers::{Activation, Linear};
use crate::ModelError;
use candle_core::{Result, Tensor};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    class: String,
}

/// The folder says that its vectors are read from a table.
///
/// # Errors
/// [`ModelError::Damaged`], [`ModelError::Io`].
pub(super) fn starts_with_static_vectors(folder: &mut Folder) -> std::result::Result<bool, ModelError> {
    let modules: Vec<Module> = folder.json("modules.json")?.unwrap_or_default();
    Ok(modules.first().is_some_and(|m| m.class.rsplit('.').next() == Some("StaticEmbedding")))
}

/// Steps after the encoder.
pub(super) struct Modules {
    pub pooling: Pooling,
    pub dense: Vec<Dense>,
    /// The vectors leave the model at length 1.
    pub normalises: bool,
    pub lower_case: bool,
    pub max_tokens: Option<usize>,
}

impl Modules {
    /// Reads `modules.json` and what it names.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] names a module, pooling or option that is not known, or that `modules.json` is
    /// missing: how to make a vector is not guessed.
    pub fn read(folder: &mut Folder, hidden: usize) -> std::result::Result<Self, ModelError> {
        let modules: Vec<Module> = folder
            .json("modules.json")?
            .ok_or_else(|| ModelError::unsupported("modules.json이 없어 벡터를 만드는 방법을 알 수 없음"))?;
        let sentence: SentenceConfig = folder.json("sentence_bert_config.json")?.unwrap_or_default();
        let mut pooling = None;
        let (mut dense, mut normalises) = (Vec::new(), false);
        let mut size = hidden;
        for (i, module) in modules.iter().enumerate() {
            match (i, module.class.rsplit('.').next().unwrap_or_default()) {
                (0, "Transformer") if module.path.is_empty() => {}
                (1, "Pooling") => pooling = Some(read_pooling(folder, &module.path)?),
                (2.., "Dense") if !normalises => {
                    let step = Dense::read(folder, &module.path, size)?;
                    size = step.output;
                    dense.push(step);
                }
                (2.., "Normalize") => normalises = true,
                (_, name) => return Err(ModelError::unsupported(format!("모듈 {name} ({}번째)", i + 1))),
            }
        }
        let pooling = pooling.ok_or_else(|| ModelError::unsupported("Pooling 모듈이 없음"))?;
        let max_tokens = match sentence.max_seq_length {
            Some(length) => Some(length),
            None => tokenizer_length(folder)?,
        };
        Ok(Self { pooling, dense, normalises, lower_case: sentence.do_lower_case, max_tokens })
    }
}

#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
struct TokenizerConfig {
    /// Files without a length say 1e30.
    model_max_length: Option<f64>,
}

/// Where sentence-transformers looks for the length that its own file does not name.
pub(super) fn tokenizer_length(folder: &mut Folder) -> std::result::Result<Option<usize>, ModelError> {
    let config: TokenizerConfig = folder.json("tokenizer_config.json")?.unwrap_or_default();
    Ok(config.model_max_length.filter(|l| (1.0..1e9).contains(l)).map(|l| l as usize))
}

#[derive(Deserialize)]
struct PoolingConfig {
    /// Files since sentence-transformers 5.
    pooling_mode: Option<Value>,
    include_prompt: Option<bool>,
    /// Among them `pooling_mode_cls_token` and kin of older files.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn read_pooling(folder: &mut Folder, path: &str) -> std::result::Result<Pooling, ModelError> {
    let config: PoolingConfig = folder.required_json(&format!("{path}/config.json"))?;
    if config.include_prompt == Some(false) {
        return Err(ModelError::unsupported("Pooling의 include_prompt=false"));
    }
    let modes: Vec<String> = match &config.pooling_mode {
        Some(Value::String(mode)) => vec![mode.clone()],
        Some(other) => return Err(ModelError::unsupported(format!("Pooling 방식 {other}"))),
        None => {
            let set = config.rest.iter().filter(|(_, v)| **v == Value::Bool(true));
            set.filter_map(|(k, _)| k.strip_prefix("pooling_mode_")).map(str::to_owned).collect()
        }
    };
    match modes.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::LastToken),
        other => Err(ModelError::unsupported(format!("Pooling 방식 {}", other.join(" + ")))),
    }
}

/// A projection after pooling.
pub(super) struct Dense {
    linear: Linear,
    activation: Activation,
    /// Length of what it gives.
    pub output: usize,
}

#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

fn yes() -> bool {
    true
}

impl Dense {
    fn read(folder: &mut Folder, path: &str, input: usize) -> std::result::Result<Self, ModelError> {
        let config: DenseConfig = folder.required_json(&format!("{path}/config.json"))?;
        let whole = |name: &Option<String>| name.as_deref().is_none_or(|n| n == "sentence_embedding");
        if config.use_residual || !whole(&config.module_input_name) || !whole(&config.module_output_name) {
            return Err(ModelError::unsupported("Dense의 use_residual 또는 module_input_name"));
        }
        let name = config.activation_function.as_deref().and_then(|n| n.rsplit('.').next()).unwrap_or("Tanh");
        let activation = match name {
            "Tanh" => Activation::Tanh,
            "Identity" => Activation::Identity,
            "ReLU" => Activation::Relu,
            "GELU" => Activation::Gelu,
            other => return Err(ModelError::unsupported(format!("Dense의 활성 함수 {other}"))),
        };
        if config.in_features != input {
            return Err(ModelError::damaged(format!("{path}/config.json (in_features)")));
        }
        let weights = folder.weights(path)?;
        let linear = Linear::load(&weights, "linear", input, config.out_features, config.bias)?;
        Ok(Self { linear, activation, output: config.out_features })
    }

    pub fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        self.activation.forward(&self.linear.forward(rows)?)
    }
}

#[derive(Default, Deserialize)]
struct PromptConfig {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
    similarity_fn_name: Option<String>,
}

/// The prefixes that the folder asks for, else those of the model's family, told by its names.
///
/// # Errors
/// [`ModelError::Unsupported`] where vectors are meant to be compared otherwise than by cosine.
pub(super) fn read_prefixes(
    folder: &mut Folder,
    normalised: bool,
    names: &[&str],
) -> std::result::Result<Prefixes, ModelError> {
    let config: PromptConfig = folder.json("config_sentence_transformers.json")?.unwrap_or_default();
    match config.similarity_fn_name.as_deref() {
        None | Some("cosine") => {}
        Some("dot") if normalised => {}
        Some(other) => return Err(ModelError::unsupported(format!("유사도 {other}"))),
    }
    let said = |names: &[&str]| {
        let all = names.iter().copied().chain(config.default_prompt_name.as_deref());
        all.filter_map(|n| config.prompts.get(n).cloned().flatten()).find(|p| !p.is_empty())
    };
    let (query, passage) = (said(&["query"]), said(&["document", "passage", "corpus"]));
    if query.is_none() && passage.is_none() {
        return Ok(family_prefixes(names));
    }
    Ok(Prefixes { query: query.unwrap_or_default(), passage: passage.unwrap_or_default() })
}

/// E5 (Wang et al., 2022 and 2024) was trained with prefixes that its published settings do not carry.
fn family_prefixes(names: &[&str]) -> Prefixes {
    let words = |name: &str| name.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
    let families: Vec<Vec<String>> = names.iter().map(|n| words(n)).collect();
    let has = |word: &str| families.iter().flatten().any(|w| w == word);
    match (has("e5"), has("instruct")) {
        (false, _) => Prefixes::default(),
        (true, false) => Prefixes { query: "query: ".into(), passage: "passage: ".into() },
        (true, true) => Prefixes {
            query: "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
                .into(),
            passage: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e5_has_prefixes_of_its_family() {
        assert_eq!(family_prefixes(&["multilingual-e5-base"]).query, "query: ");
        assert_eq!(family_prefixes(&["local", "/models/intfloat_multilingual-e5-large"]).passage, "passage: ");
        assert_eq!(family_prefixes(&["multilingual-e5-large-instruct"]).passage, "");
        for plain in ["bge-m3", "KURE-v1", "note50", "ke5"] {
            assert_eq!(family_prefixes(&[plain]), Prefixes::default());
        }
    }
}
