//! The encoders behind one face, and what is read out of their last layer.

use super::bert::Bert;
use super::config::{Architecture, BertConfig, ModernBertConfig};
use super::folder::Folder;
use super::modernbert::ModernBert;
use super::texts::Packed;
use super::weights::Weights;
use crate::ModelError;
use candle_core::{Device, Result, Tensor};
use serde::Deserialize;
use std::ops::Range;

enum Kind {
    Bert(Box<Bert>),
    Modern(Box<ModernBert>),
}

/// An encoder with the sizes that its users need.
pub(super) struct Encoder {
    kind: Kind,
    pub hidden: usize,
    pub vocabulary: usize,
    /// Longest text that its positions reach, special tokens included.
    pub most_tokens: usize,
    /// What stands before its tensors' names.
    pub prefix: &'static str,
}

impl Encoder {
    /// # Errors
    /// [`ModelError::Unsupported`] with the name of what is not known; [`ModelError::Damaged`] where a tensor is
    /// missing or of another shape.
    pub fn load(
        folder: &mut Folder,
        architecture: &Architecture,
        weights: &Weights,
    ) -> std::result::Result<Self, ModelError> {
        match architecture.model_type.as_deref() {
            Some(name @ ("bert" | "roberta" | "xlm-roberta")) => {
                let config: BertConfig = folder.required_json("config.json")?;
                let roberta = name != "bert";
                let prefix = prefix(weights, &["", "bert.", "roberta."], "embeddings.word_embeddings.weight")?;
                Ok(Self {
                    kind: Kind::Bert(Box::new(Bert::load(weights, prefix, &config, roberta)?)),
                    hidden: config.hidden_size,
                    vocabulary: config.vocab_size,
                    most_tokens: Bert::most_tokens(&config, roberta),
                    prefix,
                })
            }
            Some("modernbert") => {
                let config: ModernBertConfig = folder.required_json("config.json")?;
                let prefix = prefix(weights, &["", "model."], "embeddings.tok_embeddings.weight")?;
                Ok(Self {
                    kind: Kind::Modern(Box::new(ModernBert::load(weights, prefix, &config)?)),
                    hidden: config.hidden_size,
                    vocabulary: config.vocab_size,
                    most_tokens: config.max_position_embeddings,
                    prefix,
                })
            }
            _ => Err(ModelError::unsupported(format!("모델 구조 {}", architecture.name()))),
        }
    }

    /// Last hidden states of all tokens, `[tokens, hidden]`.
    pub fn forward(&self, texts: &Packed) -> Result<Tensor> {
        match &self.kind {
            Kind::Bert(bert) => bert.forward(texts),
            Kind::Modern(modern) => modern.forward(texts),
        }
    }
}

fn prefix(weights: &Weights, known: &[&'static str], probe: &str) -> std::result::Result<&'static str, ModelError> {
    let found = known.iter().find(|p| weights.contains(&format!("{p}{probe}")));
    found.copied().ok_or_else(|| ModelError::damaged(format!("가중치 {probe} 없음")))
}

/// Which hidden state stands for the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pooling {
    /// Of the first token.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// Of the last token.
    LastToken,
}

impl Pooling {
    /// `[tokens, hidden]` to `[texts, hidden]`.
    pub fn pool(self, rows: &Tensor, spans: &[Range<usize>]) -> Result<Tensor> {
        let pick = |place: fn(&Range<usize>) -> usize| {
            let places = spans.iter().map(|s| u32::try_from(place(s)).unwrap_or(u32::MAX)).collect::<Vec<_>>();
            rows.index_select(&Tensor::new(places, &Device::Cpu)?, 0)
        };
        match self {
            Self::Cls => pick(|s| s.start),
            Self::LastToken => pick(|s| s.end.saturating_sub(1)),
            Self::Mean => {
                let means = spans.iter().map(|s| rows.narrow(0, s.start, s.len())?.mean_keepdim(0));
                Tensor::cat(&means.collect::<Result<Vec<_>>>()?, 0)
            }
        }
    }
}
