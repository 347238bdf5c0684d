//! Static vectors: a text's vector is the mean of its tokens' vectors, read from a table (model2vec's files). Far
//! quicker than an encoder, and blind to word order.

use super::config::Architecture;
use super::folder::Folder;
use super::modules::read_prefixes;
use super::sentence::unit;
use super::texts::{TEXTS_AT_ONCE, Texts, Tokens};
use super::weights::Weights;
use super::{Cancelled, EmbedError, EmbedSettings, Embedder, EmbedderCard, Embedding, TextKind};
use crate::ModelError;
use serde::Deserialize;

pub(super) struct StaticEmbedder {
    card: EmbedderCard,
    texts: Texts,
    /// Row after row, each of the card's dimension.
    table: Vec<f32>,
    /// The row of each token; the token's own number without it.
    rows: Option<Vec<u32>>,
    /// What each token counts for; 1 without it.
    weights: Option<Vec<f32>>,
    /// Left out of the mean.
    unknown: Option<u32>,
}

#[derive(Deserialize)]
struct Config {
    /// Files written since model2vec 0.9; 512 in all older ones.
    #[serde(default = "usual_length")]
    max_length: Option<usize>,
}

fn usual_length() -> Option<usize> {
    Some(512)
}

impl StaticEmbedder {
    /// # Errors
    /// As [`super::open_embedder`].
    pub fn open(mut folder: Folder, settings: EmbedSettings) -> Result<Self, ModelError> {
        let architecture: Architecture = folder.required_json("config.json")?;
        let config: Config = folder.required_json("config.json")?;
        let weights = folder.weights("")?;
        let Some(&[rows, dimension]) = weights.shape("embeddings") else {
            return Err(ModelError::damaged("가중치 embeddings"));
        };
        if rows == 0 || dimension == 0 {
            return Err(ModelError::damaged("가중치 embeddings (비어 있음)"));
        }
        let tokens = token_count(&weights, rows)?;
        let max_tokens =
            [config.max_length, settings.max_tokens].into_iter().flatten().min().unwrap_or(usize::MAX >> 1);
        let tokenizer = folder.required("tokenizer.json")?;
        let texts = Texts::new(&tokenizer, tokens, max_tokens, false)?;
        let prefixes = match settings.prefixes {
            Some(prefixes) => prefixes,
            None => read_prefixes(&mut folder, true, &[])?,
        };
        folder.note("query", prefixes.query.as_bytes());
        folder.note("passage", prefixes.passage.as_bytes());
        folder.note("max_tokens", &(max_tokens as u64).to_le_bytes());
        let one_each = |name: &str| weights.contains(name);
        let mapping = one_each("mapping").then(|| weights.indices("mapping", &[tokens])).transpose()?;
        if mapping.as_ref().is_some_and(|m| m.iter().any(|r| *r as usize >= rows)) {
            return Err(ModelError::damaged("가중치 mapping (없는 줄)"));
        }
        let unknown = unknown_token(&tokenizer, &texts)?;
        let card = EmbedderCard {
            name: settings.name,
            label: settings.label,
            architecture: architecture.model_type.unwrap_or_else(|| "model2vec".into()),
            dimension,
            max_tokens,
            prefixes,
            fingerprint: folder.fingerprint(),
        };
        Ok(Self {
            card,
            texts,
            table: weights.numbers("embeddings", &[rows, dimension])?,
            rows: mapping,
            weights: one_each("weights").then(|| weights.numbers("weights", &[tokens])).transpose()?,
            unknown,
        })
    }

    /// The mean over the tokens that are known, at length 1.
    fn vector(&self, tokens: &Tokens) -> Result<Vec<f32>, EmbedError> {
        let mut sum = vec![0.0_f32; self.card.dimension];
        for id in tokens.ids.iter().filter(|id| Some(**id) != self.unknown) {
            let place = *id as usize;
            let row = self.rows.as_ref().map_or(Some(*id), |r| r.get(place).copied()).unwrap_or(u32::MAX) as usize;
            let weight = self.weights.as_ref().map_or(Some(1.0), |w| w.get(place).copied()).unwrap_or_default();
            let start = row.saturating_mul(self.card.dimension);
            let numbers = self.table.get(start..start.saturating_add(self.card.dimension));
            let numbers = numbers.ok_or_else(|| EmbedError::Failed(format!("토큰 {id}의 벡터 없음")))?;
            sum.iter_mut().zip(numbers).for_each(|(s, n)| *s += weight * n);
        }
        // Dividing by the number of tokens would be undone by this.
        unit(sum)
    }
}

impl Embedder for StaticEmbedder {
    fn card(&self) -> &EmbedderCard {
        &self.card
    }

    fn embed(&self, kind: TextKind, texts: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError> {
        let prefix = self.card.prefixes.of(kind);
        let mut out = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS_AT_ONCE) {
            if cancelled() {
                return Err(EmbedError::Stopped);
            }
            let tokens = self.texts.read(some.iter().map(|t| format!("{prefix}{t}")).collect())?;
            for tokens in &tokens {
                let vector = self.vector(tokens)?;
                out.push(Embedding { vector, tokens: tokens.ids.len(), truncated: tokens.truncated });
            }
        }
        Ok(out)
    }
}

/// Tokens that have a row: as many as there are rows, unless a mapping shares rows between tokens.
fn token_count(weights: &Weights, rows: usize) -> Result<usize, ModelError> {
    match weights.shape("mapping") {
        None => Ok(rows),
        Some(&[tokens]) => Ok(tokens),
        Some(shape) => Err(ModelError::damaged(format!("가중치 mapping의 크기 {shape:?}"))),
    }
}

#[derive(Deserialize)]
struct TokenizerFile {
    model: TokenizerModel,
}

#[derive(Deserialize)]
struct TokenizerModel {
    unk_token: Option<String>,
    /// Unigram names its unknown token by number.
    unk_id: Option<u32>,
}

/// The number of the tokenizer's unknown token.
fn unknown_token(json: &[u8], texts: &Texts) -> Result<Option<u32>, ModelError> {
    let file: TokenizerFile =
        serde_json::from_slice(json).map_err(|e| ModelError::damaged(format!("tokenizer.json ({e})")))?;
    Ok(file.model.unk_token.and_then(|t| texts.tokenizer().token_to_id(&t)).or(file.model.unk_id))
}
