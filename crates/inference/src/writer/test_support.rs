//! What tests of the writer share: passages, tasks, and a model that says what it is told.

use crate::chat::{
    Asker, ChatError, ChatEvent, ChatModel, ChatRequest, ChatStream, ModelCard, Role, ScopeKey, StopReason, Usage,
};
use crate::engine::{EngineCard, EngineError, EngineEvent, EngineInput, EngineTask, Finish, Stage, TextEngine};
use async_trait::async_trait;
use madang_domain::{Citation, CollectionId, DocumentId, Grade, OutputForm, Passage, PassageId, Plan, Span, TaskKind};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

pub(crate) fn passage(title: &str, text: &str) -> Passage {
    Passage {
        id: PassageId::new(),
        document: DocumentId::new(),
        document_title: title.into(),
        collection: CollectionId::new(),
        collection_name: "업무계획".into(),
        grade: Grade::Sensitive,
        heading_path: vec![],
        page: Some(3),
        page_estimated: false,
        text: text.into(),
        span: Span { start: 100, end: 100 + text.chars().count() },
    }
}

pub(crate) fn task(kind: TaskKind, form: OutputForm, inputs: &[(&str, &str)], passages: Vec<Passage>) -> EngineTask {
    let input = |(k, v): &(&str, &str)| EngineInput { key: (*k).into(), label: (*k).into(), value: (*v).into() };
    EngineTask {
        title: "업무계획 질의".into(),
        purpose: "업무계획에서 답을 찾는다.".into(),
        instructions: vec!["자료의 문장으로 답한다.".into()],
        plan: Plan {
            task: kind,
            form,
            max_items: 3,
            fields: vec![],
            classes: vec![],
            rules: vec![],
            must_mention: vec![],
        },
        inputs: inputs.iter().map(input).collect(),
        has_sources: !passages.is_empty(),
        passages,
        scope: ScopeKey([7; 32]),
        asker: Asker("kim".into()),
    }
}

type Script = dyn Fn(&ChatRequest) -> Result<String, ChatError> + Send + Sync;

/// Says what its script says, three characters at a time, and remembers what it was asked.
pub(crate) struct Scripted {
    script: Box<Script>,
    context: usize,
    /// Ends every reply after so many characters, as if that were the request's own bound.
    bound: usize,
    pub asked: Mutex<Vec<ChatRequest>>,
    /// Most replies open at once so far, and now.
    pub open: Mutex<(usize, usize)>,
}

impl Scripted {
    pub fn new(
        context: usize,
        script: impl Fn(&ChatRequest) -> Result<String, ChatError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::bounded(context, usize::MAX, script)
    }

    fn bounded(
        context: usize,
        bound: usize,
        script: impl Fn(&ChatRequest) -> Result<String, ChatError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), context, bound, asked: Mutex::default(), open: Mutex::default() })
    }

    /// Says the first `bound` characters of a text.
    pub fn cut_at(bound: usize, text: &'static str) -> Arc<Self> {
        Self::bounded(2048, bound, move |_| Ok(text.to_owned()))
    }

    pub fn saying(text: &'static str) -> Arc<Self> {
        Self::new(8192, move |_| Ok(text.to_owned()))
    }

    /// The last user message of the `n`th request.
    pub fn user(&self, n: usize) -> String {
        user(&self.asked.lock().unwrap()[n]).to_owned()
    }
}

pub(crate) fn user(request: &ChatRequest) -> &str {
    request.messages.iter().rev().find(|m| m.role == Role::User).map_or("", |m| &m.content)
}

#[async_trait]
impl ChatModel for Arc<Scripted> {
    fn card(&self) -> ModelCard {
        ModelCard { name: "scripted".into(), label: "대본 모델".into(), context: self.context }
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.chars().count()
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, ChatError> {
        let prompt: usize = request.messages.iter().map(|m| self.count_tokens(&m.content)).sum();
        if prompt + request.max_tokens > self.context {
            return Err(ChatError::TooLong { prompt, context: self.context });
        }
        let text = (self.script)(&request);
        let bound = self.bound.min(request.max_tokens);
        self.asked.lock().unwrap().push(request);
        let text = text?;
        let (out, stream) = mpsc::channel(1);
        let me = Arc::clone(self);
        tokio::spawn(async move {
            {
                let mut open = me.open.lock().unwrap();
                open.1 += 1;
                open.0 = open.0.max(open.1);
            }
            let chars: Vec<char> = text.chars().take(bound).collect();
            let reason = if text.chars().nth(bound).is_some() { StopReason::Length } else { StopReason::Stop };
            for piece in chars.chunks(3) {
                let text = piece.iter().collect();
                if out.send(Ok(ChatEvent::Text { text, logprobs: vec![] })).await.is_err() {
                    break;
                }
            }
            let _ = out.send(Ok(ChatEvent::Done { reason, usage: Usage::default() })).await;
            me.open.lock().unwrap().1 -= 1;
        });
        Ok(stream)
    }
}

/// Stands in for the quoting engine.
pub(crate) struct Rules;

#[async_trait]
impl TextEngine for Rules {
    fn card(&self) -> EngineCard {
        EngineCard { name: "quoting".into(), label: "인용 엔진".into(), generates: false }
    }

    async fn answer(&self, _: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
        out.send(EngineEvent::Text("규칙의 답".into())).await.map_err(|_| EngineError::Stopped)?;
        Ok(Finish::default())
    }
}

/// Everything that came out of an engine.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub text: String,
    pub citations: Vec<Citation>,
    pub progress: Vec<(usize, usize)>,
    /// What was under way at each of them.
    pub stages: Vec<Stage>,
    pub speakers: Vec<String>,
}

pub(crate) async fn hear(engine: &dyn TextEngine, task: &EngineTask) -> (Heard, Result<Finish, EngineError>) {
    let (out, mut events) = mpsc::channel(4);
    let listen = async {
        let mut heard = Heard::default();
        while let Some(event) = events.recv().await {
            match event {
                EngineEvent::Text(text) => heard.text.push_str(&text),
                EngineEvent::Citation(c) => heard.citations.push(c),
                EngineEvent::Progress { stage, done, total } => {
                    heard.progress.push((done, total));
                    heard.stages.push(stage);
                }
                EngineEvent::Speaker(card) => heard.speakers.push(card.name),
            }
        }
        heard
    };
    let answer = async {
        let finish = engine.answer(task, &out).await;
        drop(out);
        finish
    };
    tokio::join!(listen, answer)
}
