//! A chat model on this machine: files, tokenizer and template around the engine's thread. Requests are made ready on
//! tokio's blocking threads; the engine's thread only computes.

mod blocks;
mod lookup;
mod metrics;
mod outbox;
mod queue;
mod scheduler;
mod sequence;
mod words;

pub use metrics::Metrics;
pub use queue::{Bounds, Permits, Ticket};

use crate::chat::{ChatError, ChatModel, ChatRequest, ChatStream, ModelCard};
use crate::constraint::ConstraintFactory;
use crate::decoder::weights::MappedFile;
use crate::decoder::{Decoder, Place, config::Config};
use crate::error::ModelError;
use crate::sampler::Sampler;
use crate::template::ChatTemplate;
use crate::thinking::Thinking;
use crate::tokenizer::{TextStream, Tokenizer};
use async_trait::async_trait;
use madang_kernels::{BLOCK, Pool};
use scheduler::{Limits, Scheduler, Shared};
use sequence::Job;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use words::Words;

/// Events that wait for a reader before the reply pauses.
const UNREAD: usize = 32;

/// How a model is run.
#[derive(Debug, Clone)]
pub struct Options {
    pub name: String,
    pub label: String,
    pub place: Place,
    /// Threads that compute.
    pub threads: usize,
    /// Bytes for keys and values.
    pub cache_bytes: usize,
    /// Longest prompt and reply together; never more than the model was made for or the cache holds.
    pub context: usize,
    /// Replies under way at a time.
    pub running: usize,
    pub bounds: Bounds,
    /// Prompt tokens computed between two tokens of the replies under way.
    pub chunk: usize,
    /// Guess tokens from the prompt. The text is the same with and without; where it might not be (on a graphics
    /// processor), nothing is guessed.
    pub lookup: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            label: "이 서버의 모델".to_owned(),
            place: Place::default(),
            threads: thread::available_parallelism().map_or(1, usize::from),
            cache_bytes: 2 << 30,
            context: 32_768,
            running: 8,
            bounds: Bounds { total: 64, per_person: 4 },
            chunk: 256,
            lookup: true,
        }
    }
}

/// A loaded model. Dropping it ends its thread, which gives its memory back; on tokio's threads that is not waited for.
pub struct LocalModel {
    card: ModelCard,
    config: Config,
    tokenizer: Arc<Tokenizer>,
    template: Option<Arc<ChatTemplate>>,
    constraints: Arc<OnceLock<Result<ConstraintFactory, ChatError>>>,
    shared: Arc<Shared>,
    permits: Arc<Permits>,
    lookup: bool,
    engine: Option<JoinHandle<()>>,
}

/// A loaded file before it is run.
pub(crate) struct Loaded {
    pub decoder: Decoder,
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
}

impl Loaded {
    pub fn load(path: &Path, pool: Arc<Pool>, place: Place) -> Result<Self, ModelError> {
        if path.is_dir() {
            let tokenizer = Arc::new(Tokenizer::open(path, None)?);
            let template = ChatTemplate::open(path, None, &tokenizer)?;
            let decoder = Decoder::from_safetensors(path, pool, place)?;
            return Self { decoder, tokenizer, template }.checked();
        }
        let file = MappedFile::open(path)?;
        let content = file.gguf()?;
        let tokenizer = Arc::new(Tokenizer::open(path, Some(&content))?);
        let template = ChatTemplate::open(path, Some(&content), &tokenizer)?;
        let decoder = Decoder::from_gguf(&file, &content, pool, place)?;
        Self { decoder, tokenizer, template }.checked()
    }

    fn checked(self) -> Result<Self, ModelError> {
        let (words, rows) = (self.tokenizer.vocab_size(), self.decoder.config().vocab);
        if words > rows {
            return Err(ModelError::damaged(format!("어휘 {words}개, 임베딩 {rows}줄")));
        }
        Ok(self)
    }
}

impl LocalModel {
    /// Loads a GGUF file, or a folder with `config.json` and safetensors, and starts its engine.
    ///
    /// # Errors
    /// What the files lack or what is not known of them.
    pub fn load(path: &Path, options: &Options) -> Result<Self, ModelError> {
        let pool = Arc::new(Pool::new(options.threads));
        let Loaded { decoder, tokenizer, template } = Loaded::load(path, pool, options.place)?;
        let config = decoder.config().clone();
        let cache_blocks = (options.cache_bytes / decoder.block_bytes()).max(1);
        let context = options.context.min(config.context).min(cache_blocks * BLOCK);
        let permits = Permits::new(options.bounds);
        let shared = Shared::new(Arc::clone(&permits));
        let limits = Limits { running: options.running.max(1), chunk: options.chunk.max(1) };
        let lookup = options.lookup && decoder.exact();
        let scheduler = Scheduler::new(Arc::clone(&shared), decoder, cache_blocks, Arc::clone(&tokenizer), limits)?;
        let engine = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || scheduler.run())
            .map_err(ModelError::io(path))?;
        Ok(Self {
            card: ModelCard { name: options.name.clone(), label: options.label.clone(), context },
            config,
            tokenizer,
            template: template.map(Arc::new),
            constraints: Arc::default(),
            shared,
            permits,
            lookup,
            engine: Some(engine),
        })
    }

    /// Dimensions and family.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The model can hold a conversation; one without a template only continues texts.
    pub fn converses(&self) -> bool {
        self.template.is_some()
    }

    /// Figures of this moment.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Continues a text as it stands, without a template; the request's messages are not looked at.
    ///
    /// # Errors
    /// As [`ChatModel::chat`].
    pub async fn continue_text(&self, text: &str, request: ChatRequest) -> Result<ChatStream, ChatError> {
        let (tokenizer, text) = (Arc::clone(&self.tokenizer), text.to_owned());
        self.submit(request, move |_| {
            let mut prompt = tokenizer.encode(&text);
            if let Some(bos) = tokenizer.add_bos() {
                prompt.insert(0, bos);
            }
            Ok((prompt, Thinking::none()))
        })
        .await
    }

    async fn submit(
        &self,
        request: ChatRequest,
        prompt: impl FnOnce(&ChatRequest) -> Result<(Vec<u32>, Thinking), ChatError> + Send + 'static,
    ) -> Result<ChatStream, ChatError> {
        let ticket = self.permits.acquire(&request.asker)?;
        let (tokenizer, constraints) = (Arc::clone(&self.tokenizer), Arc::clone(&self.constraints));
        let (context, lookup) = (self.card.context, self.lookup);
        let ready = tokio::task::spawn_blocking(move || {
            let (prompt, thinking) = prompt(&request)?;
            let room = context.saturating_sub(prompt.len());
            if prompt.is_empty() {
                return Err(ChatError::Invalid("넘겨준 글이 비어 있습니다. 내용을 적어 주세요.".to_owned()));
            }
            if request.max_tokens == 0 {
                return Err(ChatError::Invalid("답의 길이(max_tokens)는 1 이상으로 적어 주세요.".to_owned()));
            }
            if room == 0 {
                return Err(ChatError::TooLong { prompt: prompt.len(), context });
            }
            let constraint = match &request.constraint {
                None => None,
                Some(constraint) => {
                    let factory = constraints.get_or_init(|| ConstraintFactory::new(&tokenizer));
                    Some(factory.as_ref().map_err(Clone::clone)?.compile(constraint)?)
                }
            };
            let (out, stream) = mpsc::channel(UNREAD);
            let job = Job {
                ticket,
                prompt,
                max_tokens: request.max_tokens.min(room),
                sampler: Sampler::new(&request.sampling)?,
                constraint,
                words: Words::new(TextStream::new(tokenizer, &request.stop), thinking),
                logprobs: request.logprobs,
                scope: request.scope,
                deadline: request.deadline,
                lookup,
                out,
            };
            Ok((job, stream))
        });
        let (job, stream) =
            ready.await.map_err(|e| ChatError::Failed(format!("요청을 준비하지 못했습니다: {e}")))??;
        self.shared.submit(job)?;
        Ok(stream)
    }
}

#[async_trait]
impl ChatModel for LocalModel {
    fn card(&self) -> ModelCard {
        self.card.clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.encode(text).len()
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, ChatError> {
        let Some(template) = self.template.clone() else {
            return Err(ChatError::Invalid(
                "이 모델은 대화 서식이 없어 글을 잇기만 합니다. 대화용 모델을 골라 주세요.".to_owned(),
            ));
        };
        self.submit(request, move |request| {
            let segments = template.render(&request.messages, request.thinking)?;
            let thinking = Thinking::new(segments.last().map_or("", |s| s.as_str()));
            Ok((template.encode(&request.messages, request.thinking)?, thinking))
        })
        .await
    }
}

impl Drop for LocalModel {
    fn drop(&mut self) {
        self.shared.close();
        let Some(engine) = self.engine.take() else { return };
        // A step of a large prompt takes seconds: no worker of the runtime waits for it.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || engine.join())),
            Err(_) => drop(engine.join()),
        }
    }
}
