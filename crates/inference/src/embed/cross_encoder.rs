//! An encoder with a classification head of one output: reads question and passage together.

use super::config::{Architecture, ModernBertConfig};
use super::encoder::{Encoder, Pooling};
use super::folder::Folder;
use super::gate::Gate;
use super::layers::{Activation, Linear, Norm};
use super::modules::tokenizer_length;
use super::texts::{Packed, TEXTS_AT_ONCE, Texts, in_batches};
use super::weights::Weights;
use super::{Cancelled, EmbedError, EmbedSettings, Reranker, RerankerCard, TextKind};
use crate::ModelError;
use candle_core::Tensor;

pub(super) struct CrossEncoder {
    card: RerankerCard,
    texts: Texts,
    encoder: Encoder,
    head: Head,
    batch_tokens: usize,
    gate: Gate,
}

/// Pooled hidden state → dense → activation → normalisation → one number.
struct Head {
    pooling: Pooling,
    dense: Linear,
    activation: Activation,
    norm: Option<Norm>,
    out: Linear,
}

impl CrossEncoder {
    /// # Errors
    /// As [`super::open_reranker`].
    pub fn open(mut folder: Folder, architecture: &Architecture, settings: EmbedSettings) -> Result<Self, ModelError> {
        if !architecture.is_classifier() {
            return Err(ModelError::unsupported(format!("재순위 모델이 아닌 {}", architecture.name())));
        }
        let weights = folder.weights("")?;
        let encoder = Encoder::load(&mut folder, architecture, &weights)?;
        let head = Head::load(&mut folder, architecture, &weights, &encoder)?;
        let limits = [tokenizer_length(&mut folder)?, settings.max_tokens];
        let max_tokens = limits.into_iter().flatten().fold(encoder.most_tokens, usize::min);
        let texts = Texts::new(&folder.required("tokenizer.json")?, encoder.vocabulary, max_tokens, true)?;
        folder.note("max_tokens", &(max_tokens as u64).to_le_bytes());
        let card = RerankerCard {
            name: settings.name,
            label: settings.label,
            architecture: architecture.name().to_owned(),
            max_tokens,
            fingerprint: folder.fingerprint(),
        };
        Ok(Self { card, texts, encoder, head, batch_tokens: settings.batch_tokens, gate: Gate::default() })
    }

    fn compute(&self, texts: &Packed) -> Result<Vec<f32>, EmbedError> {
        let _turn = self.gate.enter(TextKind::Query);
        let scores = self.head.forward(&self.encoder.forward(texts)?, texts)?.flatten_all()?.to_vec1::<f32>()?;
        if scores.iter().all(|s| s.is_finite()) {
            return Ok(scores);
        }
        Err(EmbedError::Failed("점수에 수가 아닌 값이 있습니다".into()))
    }
}

impl Reranker for CrossEncoder {
    fn card(&self) -> &RerankerCard {
        &self.card
    }

    fn score(&self, query: &str, passages: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<f32>, EmbedError> {
        let mut out = Vec::with_capacity(passages.len());
        for some in passages.chunks(TEXTS_AT_ONCE) {
            if cancelled() {
                return Err(EmbedError::Stopped);
            }
            let tokens = self.texts.read(some.iter().map(|p| (query, *p)).collect())?;
            let scores = in_batches(&tokens, self.batch_tokens, cancelled, |packed| self.compute(packed))?;
            let empty = || EmbedError::Failed("빈 입력".into());
            out.extend(scores.into_iter().map(|s| s.ok_or_else(empty)).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(out)
    }
}

impl Head {
    fn load(
        folder: &mut Folder,
        architecture: &Architecture,
        weights: &Weights,
        encoder: &Encoder,
    ) -> Result<Self, ModelError> {
        let hidden = encoder.hidden;
        match architecture.model_type.as_deref() {
            Some("bert") => Self::simple(weights, &format!("{}pooler.dense", encoder.prefix), "classifier", hidden),
            Some("modernbert") => {
                let config: ModernBertConfig = folder.required_json("config.json")?;
                let pooling = match config.classifier_pooling.as_str() {
                    "cls" => Pooling::Cls,
                    "mean" => Pooling::Mean,
                    other => return Err(ModelError::unsupported(format!("classifier_pooling {other}"))),
                };
                Ok(Self {
                    pooling,
                    dense: Linear::load(weights, "head.dense", hidden, hidden, config.classifier_bias)?,
                    activation: Activation::named(&config.classifier_activation)?,
                    norm: Some(Norm::load(weights, "head.norm", hidden, config.norm_eps, config.norm_bias)?),
                    out: one_output(weights, "classifier", hidden)?,
                })
            }
            _ => Self::simple(weights, "classifier.dense", "classifier.out_proj", hidden),
        }
    }

    /// The heads of BERT and XLM-RoBERTa: the first token, tanh between two layers.
    fn simple(weights: &Weights, dense: &str, out: &str, hidden: usize) -> Result<Self, ModelError> {
        Ok(Self {
            pooling: Pooling::Cls,
            dense: Linear::load(weights, dense, hidden, hidden, true)?,
            activation: Activation::Tanh,
            norm: None,
            out: one_output(weights, out, hidden)?,
        })
    }

    fn forward(&self, rows: &Tensor, texts: &Packed) -> candle_core::Result<Tensor> {
        let pooled = self.pooling.pool(rows, &texts.spans)?;
        let mut rows = self.activation.forward(&self.dense.forward(&pooled)?)?;
        if let Some(norm) = &self.norm {
            rows = norm.forward(&rows)?;
        }
        self.out.forward(&rows)
    }
}

/// A layer of one output; a model that sorts into several classes is no reranker.
fn one_output(weights: &Weights, name: &str, hidden: usize) -> Result<Linear, ModelError> {
    match weights.shape(&format!("{name}.weight")) {
        Some([1, _]) | None => Linear::load(weights, name, hidden, 1, true),
        Some(shape) => Err(ModelError::unsupported(format!("출력이 {}개인 분류 모델", shape.first().unwrap_or(&0)))),
    }
}
