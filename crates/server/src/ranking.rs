//! Ranking what was found by a model that reads the question beside each passage, where one is installed. What is found
//! is `search`'s, what a reader may see of it the store's; scoring is `inference`'s.

use madang_domain::Passage;
use madang_inference::embed::{EmbedError, Reranker};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most passages read for one question: what search puts lower is seldom the answer.
const MOST_READ: usize = 24;
/// Fewer than these leave the order as it was.
const LEAST_READ: usize = 4;
/// How long a question may wait for the model.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A passage of usual length, to see how fast the model is on this machine.
const SAMPLE: &str =
    "제3조(지원 대상) 시장은 예산의 범위에서 다음 각 호의 어느 하나에 해당하는 사람에게 비용의 일부를 지원할 수 있다.";
const SAMPLE_REPEATS: usize = 6;
/// Passages scored to measure the speed: they are computed together, as those of a question are.
const SAMPLES: usize = 4;

/// A ranking model, and how many passages it can read while somebody waits.
#[derive(Clone)]
pub struct RankingModel {
    reranker: Arc<dyn Reranker>,
    reads: usize,
}

impl RankingModel {
    /// Measures how fast the model is here, once, so that the same question always has the same answer. Blocks.
    ///
    /// # Errors
    /// The model fails at a plain text.
    pub fn measured(reranker: Arc<dyn Reranker>) -> Result<Self, EmbedError> {
        let passage = SAMPLE.repeat(SAMPLE_REPEATS);
        let passages = [passage.as_str(); SAMPLES];
        // The first time reads the weights from the disk.
        reranker.score("지원 대상은 누구입니까?", &passages[..1], &|| false)?;
        let start = Instant::now();
        reranker.score("지원 대상은 누구입니까?", &passages, &|| false)?;
        let reads = affordable(start.elapsed() / SAMPLES as u32);
        tracing::info!(model = %reranker.card().name, reads, "passages ranked for one question");
        Ok(Self { reranker, reads })
    }

    pub fn name(&self) -> &str {
        &self.reranker.card().name
    }

    /// Passages read for one question; 0 for a model that is too slow on this machine to be waited for.
    pub fn reads(&self) -> usize {
        self.reads
    }

    /// The passages, those that the model read first and best first; of these, the log-odds that they answer the
    /// question. A model that fails leaves the order as it was. Blocks.
    pub fn rank(&self, question: &str, passages: Vec<Passage>) -> Vec<(Passage, Option<f32>)> {
        let texts: Vec<String> = passages.iter().take(self.reads).map(read).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = if texts.len() < 2 { Ok(Vec::new()) } else { self.reranker.score(question, &texts, &|| false) };
        let scores = scores.unwrap_or_else(|error| {
            tracing::warn!(%error, model = self.name(), "passages were not ranked");
            Vec::new()
        });
        let mut scores = scores.into_iter();
        let mut ranked: Vec<_> = passages.into_iter().map(|p| (p, scores.next())).collect();
        // Stable: what the model did not read stays behind, in its order.
        ranked.sort_by(|(_, a), (_, b)| match (a, b) {
            (Some(a), Some(b)) => b.total_cmp(a),
            _ => b.is_some().cmp(&a.is_some()),
        });
        ranked
    }
}

/// How many passages fit into the patience of who waits.
fn affordable(each: Duration) -> usize {
    let fit = (PATIENCE.as_secs_f64() / each.as_secs_f64().max(1e-9)) as usize;
    if fit < LEAST_READ { 0 } else { fit.min(MOST_READ) }
}

/// A passage as the model reads it: where it stands, then its words.
fn read(passage: &Passage) -> String {
    format!("{}\n{}\n{}", passage.document_title, passage.heading_path.join(" > "), passage.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{CollectionId, DocumentId, Grade, PassageId, Span};
    use madang_inference::embed::{Cancelled, RerankerCard};

    /// Likes long texts; fails at those that hold a word.
    struct Toy(RerankerCard);

    impl Toy {
        fn model(reads: usize) -> RankingModel {
            let card = RerankerCard {
                name: "toy".into(),
                label: "장난감".into(),
                architecture: "toy".into(),
                max_tokens: 8,
                fingerprint: "toy".into(),
            };
            RankingModel { reranker: Arc::new(Toy(card)), reads }
        }
    }

    impl Reranker for Toy {
        fn card(&self) -> &RerankerCard {
            &self.0
        }

        fn score(&self, _: &str, passages: &[&str], _: Cancelled<'_>) -> Result<Vec<f32>, EmbedError> {
            if passages.iter().any(|p| p.contains("고장")) {
                return Err(EmbedError::Failed("못 읽음".into()));
            }
            Ok(passages.iter().map(|p| p.chars().count() as f32).collect())
        }
    }

    fn passages(texts: &[&str]) -> Vec<Passage> {
        let passage = |text: &&str| Passage {
            id: PassageId::new(),
            document: DocumentId::new(),
            document_title: "문서".into(),
            collection: CollectionId::new(),
            collection_name: "모음".into(),
            grade: Grade::Open,
            heading_path: vec![],
            page: None,
            page_estimated: false,
            text: (*text).into(),
            span: Span { start: 0, end: text.chars().count() },
        };
        texts.iter().map(passage).collect()
    }

    fn order(ranked: &[(Passage, Option<f32>)]) -> Vec<(&str, bool)> {
        ranked.iter().map(|(p, score)| (p.text.as_str(), score.is_some())).collect()
    }

    #[test]
    fn what_was_read_leads_and_the_rest_keeps_its_order() {
        let ranked = Toy::model(2).rank("물음", passages(&["가", "나나", "다다다다", "라"]));
        assert_eq!(order(&ranked), [("나나", true), ("가", true), ("다다다다", false), ("라", false)]);
    }

    #[test]
    fn a_model_that_fails_or_is_too_slow_changes_nothing() {
        let ranked = Toy::model(9).rank("물음", passages(&["가", "고장 난 글"]));
        assert_eq!(order(&ranked), [("가", false), ("고장 난 글", false)]);
        assert_eq!(order(&Toy::model(0).rank("물음", passages(&["가", "나나"]))), [("가", false), ("나나", false)]);
        assert_eq!(affordable(Duration::from_secs(1)), 0);
        assert_eq!(affordable(Duration::from_millis(100)), 15);
        assert_eq!(affordable(Duration::ZERO), MOST_READ);
    }
}
