//! An encoder whose hidden states are pooled into one vector per text.

use super::config::Architecture;
use super::encoder::{Encoder, Pooling};
use super::folder::Folder;
use super::gate::Gate;
use super::modules::{Dense, Modules, read_prefixes};
use super::texts::{Packed, TEXTS_AT_ONCE, Texts, in_batches};
use super::{Cancelled, EmbedError, EmbedSettings, Embedder, EmbedderCard, Embedding, TextKind};
use crate::ModelError;

pub(super) struct SentenceEncoder {
    card: EmbedderCard,
    texts: Texts,
    encoder: Encoder,
    pooling: Pooling,
    dense: Vec<Dense>,
    lower_case: bool,
    batch_tokens: usize,
    gate: Gate,
}

impl SentenceEncoder {
    /// # Errors
    /// As [`super::open_embedder`].
    pub fn open(mut folder: Folder, architecture: &Architecture, settings: EmbedSettings) -> Result<Self, ModelError> {
        if architecture.is_classifier() {
            return Err(ModelError::unsupported("재순위 모델은 임베딩에 쓸 수 없음"));
        }
        let weights = folder.weights("")?;
        let encoder = Encoder::load(&mut folder, architecture, &weights)?;
        let modules = Modules::read(&mut folder, encoder.hidden)?;
        let prefixes = match settings.prefixes {
            Some(prefixes) => prefixes,
            None => {
                let place = folder.root().to_string_lossy().into_owned();
                let origin = architecture.name_or_path.as_deref().unwrap_or_default();
                read_prefixes(&mut folder, modules.normalises, &[&settings.name, &place, origin])?
            }
        };
        let limits = [modules.max_tokens, settings.max_tokens];
        let max_tokens = limits.into_iter().flatten().fold(encoder.most_tokens, usize::min);
        let texts = Texts::new(&folder.required("tokenizer.json")?, encoder.vocabulary, max_tokens, true)?;
        folder.note("query", prefixes.query.as_bytes());
        folder.note("passage", prefixes.passage.as_bytes());
        folder.note("max_tokens", &(max_tokens as u64).to_le_bytes());
        let card = EmbedderCard {
            name: settings.name,
            label: settings.label,
            architecture: architecture.name().to_owned(),
            dimension: modules.dense.last().map_or(encoder.hidden, |d| d.output),
            max_tokens,
            prefixes,
            fingerprint: folder.fingerprint(),
        };
        let Modules { pooling, dense, lower_case, .. } = modules;
        let batch_tokens = settings.batch_tokens;
        Ok(Self { card, texts, encoder, pooling, dense, lower_case, batch_tokens, gate: Gate::default() })
    }

    fn input(&self, kind: TextKind, text: &str) -> String {
        let prefix = self.card.prefixes.of(kind);
        let text = format!("{prefix}{text}");
        if self.lower_case { text.to_lowercase() } else { text }
    }

    fn compute(&self, kind: TextKind, texts: &Packed) -> Result<Vec<Vec<f32>>, EmbedError> {
        let _turn = self.gate.enter(kind);
        let mut rows = self.pooling.pool(&self.encoder.forward(texts)?, &texts.spans)?;
        for step in &self.dense {
            rows = step.forward(&rows)?;
        }
        rows.to_vec2::<f32>()?.into_iter().map(unit).collect()
    }
}

impl Embedder for SentenceEncoder {
    fn card(&self) -> &EmbedderCard {
        &self.card
    }

    fn embed(&self, kind: TextKind, texts: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError> {
        let mut out = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS_AT_ONCE) {
            if cancelled() {
                return Err(EmbedError::Stopped);
            }
            let tokens = self.texts.read(some.iter().map(|t| self.input(kind, t)).collect())?;
            let vectors = in_batches(&tokens, self.batch_tokens, cancelled, |packed| self.compute(kind, packed))?;
            out.extend(tokens.iter().zip(vectors).map(|(tokens, vector)| Embedding {
                vector: vector.unwrap_or_else(|| vec![0.0; self.card.dimension]),
                tokens: tokens.ids.len(),
                truncated: tokens.truncated,
            }));
        }
        Ok(out)
    }
}

/// The vector at length 1; all zeros stay.
///
/// # Errors
/// [`EmbedError::Failed`] where a number is not finite.
pub(super) fn unit(mut vector: Vec<f32>) -> Result<Vec<f32>, EmbedError> {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err(EmbedError::Failed("벡터에 수가 아닌 값이 있습니다".into()));
    }
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    Ok(vector)
}
