//! `/v1/embeddings`: bodies as OpenAI's clients send them, and the work behind permits, a deadline and the caller's
//! presence.

use super::failure;
use crate::app::App;
use crate::error::{Failure, Handled};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use madang_inference::embed::{EmbedError, Embedder, Embedding, TextKind};
use madang_inference::{Asker, ChatError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Most texts in one call.
const MOST_TEXTS: usize = 256;
/// Longest time of one call, waiting for the model included.
const LONGEST: Duration = Duration::from_secs(300);

/// What is to be turned into vectors.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
    /// Token ids above all, which LangChain's client makes with OpenAI's own vocabulary.
    Other(Value),
}

/// A body of `/v1/embeddings`. `query` is ours: the texts are questions, not passages.
#[derive(Deserialize)]
pub struct EmbeddingsBody {
    pub model: String,
    input: Input,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
    query: Option<bool>,
}

impl EmbeddingsBody {
    /// # Errors
    /// 422 for no texts or too many, token ids, and what is not served here.
    fn texts(&self) -> Handled<Vec<String>> {
        if self.dimensions.is_some() {
            let message = "dimensions 설정은 여기서 쓸 수 없습니다. 벡터의 길이는 모델이 정합니다. 빼고 보내 주세요.";
            return Err(Failure::invalid("dimensions", message));
        }
        if self.encoding_format.as_deref().is_some_and(|f| f != "float" && f != "base64") {
            return Err(Failure::invalid("encoding_format", "encoding_format은 float나 base64로 보내 주세요."));
        }
        let texts = match &self.input {
            Input::One(text) => vec![text.clone()],
            Input::Many(texts) => texts.clone(),
            Input::Other(Value::Array(_)) => {
                let message = "토큰 번호가 아니라 글을 보내 주세요. 토큰은 모델마다 다릅니다. LangChain에서는 \
                    OpenAIEmbeddings(check_embedding_ctx_length=False)로 두면 글을 보냅니다.";
                return Err(Failure::invalid("input", message));
            }
            Input::Other(_) => return Err(Failure::invalid("input", "input은 글이나 글의 목록으로 보내 주세요.")),
        };
        if texts.is_empty() || texts.len() > MOST_TEXTS {
            return Err(Failure::invalid("input", format!("글을 1개에서 {MOST_TEXTS}개까지 보내 주세요.")));
        }
        Ok(texts)
    }

    fn kind(&self) -> TextKind {
        if self.query == Some(true) { TextKind::Query } else { TextKind::Passage }
    }

    /// Vectors as base64 of little-endian floats, which OpenAI's own client asks for.
    fn base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }
}

/// Says to the work, when dropped, that nobody waits for it any more.
struct Present(Arc<AtomicBool>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The vectors, in the texts' order.
///
/// # Errors
/// 404 for another model, 422 for what cannot be embedded, 429 beyond the permits, 504 past the deadline.
pub async fn embed(app: &App, asker: &Asker, body: &EmbeddingsBody) -> Handled<EmbeddingList> {
    let texts = body.texts()?;
    let embedder = app.engines.embedder().filter(|e| e.card().name == body.model).ok_or_else(|| {
        let message = format!("임베딩 모델 ‘{}’이(가) 없습니다. GET /v1/models에 있는 이름을 적어 주세요.", body.model);
        Failure::new(StatusCode::NOT_FOUND, "model_not_found", message)
    })?;
    let ticket = app.engines.embedding().acquire(asker).map_err(failure)?;
    let until = Instant::now() + LONGEST;
    let gone = Arc::new(AtomicBool::new(false));
    let _present = Present(Arc::clone(&gone));
    let kind = body.kind();
    // The permit stays with the work: a caller who leaves frees it when the batch under way is done, not before.
    let work = tokio::task::spawn_blocking(move || {
        let made = within(&*embedder, kind, &texts, &gone, until);
        drop(ticket);
        made
    });
    let made = match tokio::time::timeout_at(until.into(), work).await {
        Ok(made) => made.map_err(Failure::internal)?,
        Err(_) => Err(EmbedError::Stopped),
    };
    match made {
        Ok(made) => Ok(EmbeddingList::new(body.model.clone(), made, body.base64())),
        Err(EmbedError::Stopped) => Err(failure(ChatError::Deadline)),
        Err(error @ EmbedError::Failed(_)) => {
            tracing::error!(%error, "texts could not be embedded");
            Err(failure(ChatError::Failed(error.to_string())))
        }
    }
}

fn within(
    embedder: &dyn Embedder,
    kind: TextKind,
    texts: &[String],
    gone: &AtomicBool,
    until: Instant,
) -> Result<Vec<Embedding>, EmbedError> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    embedder.embed(kind, &texts, &|| gone.load(Ordering::Relaxed) || Instant::now() >= until)
}

#[derive(Serialize, ToSchema)]
pub struct EmbeddingList {
    object: &'static str,
    data: Vec<EmbeddingItem>,
    model: String,
    #[schema(value_type = Object)]
    usage: Value,
}

#[derive(Serialize, ToSchema)]
struct EmbeddingItem {
    object: &'static str,
    index: usize,
    #[schema(value_type = Object)]
    embedding: Value,
}

impl EmbeddingList {
    fn new(model: String, made: Vec<Embedding>, base64: bool) -> Self {
        let tokens: usize = made.iter().map(|e| e.tokens).sum();
        let value = |vector: &[f32]| {
            if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
                Value::String(STANDARD.encode(bytes))
            } else {
                Value::from(vector.to_vec())
            }
        };
        let data = made
            .iter()
            .enumerate()
            .map(|(index, e)| EmbeddingItem { object: "embedding", index, embedding: value(&e.vector) })
            .collect();
        let usage = serde_json::json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        Self { object: "list", data, model, usage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Handled<Vec<String>> {
        serde_json::from_value::<EmbeddingsBody>(body).expect("a body").texts()
    }

    #[test]
    fn texts_are_read_and_the_rest_is_refused_in_words() {
        assert_eq!(read(json!({ "model": "m", "input": "글", "query": null })).unwrap(), ["글"]);
        assert_eq!(read(json!({ "model": "m", "input": ["가", "나"], "encoding_format": "base64" })).unwrap().len(), 2);
        for (body, field, word) in [
            (json!({ "model": "m", "input": [] }), "input", "글"),
            (json!({ "model": "m", "input": [[1, 2]] }), "input", "check_embedding_ctx_length"),
            (json!({ "model": "m", "input": [1, 2] }), "input", "check_embedding_ctx_length"),
            (json!({ "model": "m", "input": "글", "dimensions": 3 }), "dimensions", "dimensions"),
            (json!({ "model": "m", "input": "글", "encoding_format": "int8" }), "encoding_format", "base64"),
        ] {
            let refused = read(body).unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.field.as_deref()), (422, Some(field)));
            assert!(refused.message.contains(word), "{}", refused.message);
        }
    }

    /// Embeds until it is told to stop, and counts.
    struct Endless(madang_inference::embed::EmbedderCard);

    impl Embedder for Endless {
        fn card(&self) -> &madang_inference::embed::EmbedderCard {
            &self.0
        }

        fn embed(
            &self,
            _: TextKind,
            _: &[&str],
            cancelled: madang_inference::embed::Cancelled<'_>,
        ) -> Result<Vec<Embedding>, EmbedError> {
            while !cancelled() {
                std::thread::yield_now();
            }
            Err(EmbedError::Stopped)
        }
    }

    #[test]
    fn who_leaves_and_who_is_late_stop_the_work() {
        let card = madang_inference::embed::EmbedderCard {
            name: "m".into(),
            label: String::new(),
            architecture: String::new(),
            dimension: 1,
            max_tokens: 1,
            prefixes: madang_inference::embed::Prefixes::default(),
            fingerprint: String::new(),
        };
        let endless = Endless(card);
        let gone = Arc::new(AtomicBool::new(false));
        let later = Instant::now() + LONGEST;
        std::thread::scope(|scope| {
            let work = scope.spawn(|| within(&endless, TextKind::Query, &["글".into()], &gone, later));
            drop(Present(Arc::clone(&gone)));
            assert_eq!(work.join().unwrap(), Err(EmbedError::Stopped));
        });
        let present = AtomicBool::new(false);
        assert_eq!(
            within(&endless, TextKind::Query, &["글".into()], &present, Instant::now()),
            Err(EmbedError::Stopped)
        );
    }
}
