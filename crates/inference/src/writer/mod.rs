//! Apps' tasks over a [`ChatModel`]: a task becomes messages and a constraint, the reply becomes an answer of the same
//! shape as the quoting engine's, with citations that are stored spans and a mark on what the sources do not hold.
//!
//! What does not live here: the model, the rules of the quoting engine, retrieval and rights.

mod answer;
mod cut;
mod draft;
mod emit;
mod figures;
mod grammar;
mod label;
mod long;
mod material;
mod prompt;
mod prose;
mod rewrite;
mod rows;
mod support;
mod table;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;

pub use support::{UNSUPPORTED, UNSUPPORTED_FIGURES};

use crate::chat::{
    ChatError, ChatEvent, ChatModel, ChatRequest, ChatStream, Constraint, Message, Sampling, StopReason,
};
use crate::engine::{EngineCard, EngineError, EngineEvent, EngineTask, Finish, TextEngine};
use async_trait::async_trait;
use emit::Emitter;
use madang_domain::{OutputForm, TaskKind};
use prompt::Prompter;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::Sources;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

/// How a writer works with its model.
#[derive(Debug, Clone, PartialEq)]
pub struct WriterOptions {
    /// The model takes a Lark grammar: invented citation numbers then cannot arise. They are dropped in any case.
    pub grammar: bool,
    pub sampling: Sampling,
    /// Longest time for a whole answer.
    pub longest: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { grammar: true, sampling: Sampling::default(), longest: Duration::from_secs(540) }
    }
}

/// Answers tasks with a model. What needs none (rule checks, figures of tables, saying that there is nothing to read)
/// is left to the engine of rules, which then speaks for itself.
pub struct ModelWriter {
    model: Arc<dyn ChatModel>,
    rules: Arc<dyn TextEngine>,
    options: WriterOptions,
}

impl ModelWriter {
    /// `rules` is the quoting engine.
    pub fn new(model: Arc<dyn ChatModel>, rules: Arc<dyn TextEngine>, options: WriterOptions) -> Self {
        Self { model, rules, options }
    }
}

#[async_trait]
impl TextEngine for ModelWriter {
    fn card(&self) -> EngineCard {
        let card = self.model.card();
        EngineCard { name: card.name, label: card.label, generates: true }
    }

    async fn answer(&self, task: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
        let pasted = task.pasted();
        if self.rules_do_better(task, pasted.is_some()) {
            out.send(EngineEvent::Speaker(self.rules.card())).await.map_err(|_| EngineError::Stopped)?;
            return self.rules.answer(task, out).await;
        }
        let (pasted, cut) = pasted.map_or((None, false), |(text, cut)| (Some(text), cut));
        let typed = task.inputs.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join("\n");
        let mut run = Run {
            model: &*self.model,
            options: &self.options,
            task,
            prompter: Prompter::new(&*self.model, task),
            sources: apart(|| Sources::of(&task.passages, pasted.as_deref(), &typed)),
            query: task.query(),
            pasted,
            until: Instant::now() + self.options.longest,
            emit: Emitter::new(task, out),
        };
        if cut {
            run.emit.hold(&format!("붙여 넣은 글이 길어 앞의 {}자까지만 읽었습니다.\n\n", crate::MAX_PASTED));
        }
        tokio::select! {
            biased;
            () = out.closed() => Err(EngineError::Stopped),
            finish = run.write() => finish,
        }
    }
}

impl ModelWriter {
    /// Rule checks and figures are computed, never generated; and where there is nothing to read, nothing is asked.
    fn rules_do_better(&self, task: &EngineTask, pasted: bool) -> bool {
        let computed = matches!(task.plan.task, TaskKind::RuleCheck | TaskKind::TableAnalysis)
            || task.plan.form == OutputForm::Checklist;
        let labels = task.plan.task == TaskKind::Classification || matches!(task.plan.form, OutputForm::Label { .. });
        let material = pasted || !task.demanded().is_empty();
        computed || !material || (labels && (!pasted || label::classes(task).len() < 2))
    }
}

/// One answer under way.
struct Run<'a> {
    model: &'a dyn ChatModel,
    options: &'a WriterOptions,
    task: &'a EngineTask,
    prompter: Prompter<'a>,
    sources: Sources,
    /// What the reader asks, beside the pasted text.
    query: String,
    /// The text that is worked on, at most [`crate::MAX_PASTED`] characters.
    pasted: Option<String>,
    until: Instant,
    emit: Emitter<'a>,
}

impl Run<'_> {
    async fn write(&mut self) -> Result<Finish, EngineError> {
        let plan = &self.task.plan;
        match &plan.form {
            OutputForm::Draft { sections } => draft::write(self, sections).await,
            OutputForm::Label { .. } => label::write(self).await,
            _ if plan.task == TaskKind::Classification => label::write(self).await,
            OutputForm::Table { columns } => table::write_table(self, columns).await,
            OutputForm::Answer | OutputForm::Bullets | OutputForm::Checklist => {
                if plan.task == TaskKind::Extraction && !plan.fields.is_empty() {
                    table::write_list(self).await
                } else if self.pasted.is_some() && rewrite::asked(self.task) {
                    rewrite::write(self).await
                } else if plan.task == TaskKind::Summary && (self.pasted.is_some() || self.query.is_empty()) {
                    long::write(self).await
                } else {
                    answer::write(self).await
                }
            }
        }
    }

    fn request(&self, messages: Vec<Message>, max_tokens: usize, constraint: Option<Constraint>) -> ChatRequest {
        ChatRequest {
            messages,
            max_tokens,
            sampling: self.options.sampling.clone(),
            stop: vec![],
            constraint,
            logprobs: None,
            thinking: false,
            scope: self.task.scope.clone(),
            asker: self.task.asker.clone(),
            deadline: Some(self.until),
        }
    }

    /// Asks the model.
    async fn chat(
        &self,
        messages: Vec<Message>,
        max_tokens: usize,
        constraint: Option<Constraint>,
    ) -> Result<Reply, EngineError> {
        let asked = self.model.chat(self.request(messages, max_tokens, constraint)).await;
        asked.map(|stream| Reply { stream, cut: false }).map_err(|e| trouble(e, self.emit.written()))
    }

    /// The next piece of a reply; `None` at its end.
    async fn next(&self, reply: &mut Reply) -> Result<Option<String>, EngineError> {
        reply.next().await.map_err(|e| trouble(e, self.emit.written()))
    }

    /// The grammar of cited text over these passage numbers, where the model takes one.
    fn cited(&self, numbers: &[usize]) -> Option<Constraint> {
        self.options.grammar.then(|| Constraint::Lark(grammar::cited_text(numbers)))
    }
}

/// A reply under way. Dropping it stops the model.
struct Reply {
    stream: ChatStream,
    /// It ended at its bound and not by itself: something is missing at its end.
    cut: bool,
}

impl Reply {
    /// The next piece; `None` at the end. A reply that stops without an end has failed.
    async fn next(&mut self) -> Result<Option<String>, ChatError> {
        match self.stream.recv().await {
            Some(Ok(ChatEvent::Text { text, .. })) => Ok(Some(text)),
            Some(Ok(ChatEvent::Done { reason, .. })) => {
                self.cut = reason == StopReason::Length;
                Ok(None)
            }
            Some(Err(error)) => Err(error),
            None => Err(ChatError::Failed("모델의 답이 중간에 끊겼습니다. 다시 해 주세요.".into())),
        }
    }
}

/// Splitting long texts into tokens takes up to a second: other requests leave this thread of the runtime meanwhile.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A failure of the model as one of the engine; `written`: the reader has seen words of it.
fn trouble(error: ChatError, written: bool) -> EngineError {
    match error {
        ChatError::Stopped => EngineError::Stopped,
        ChatError::Busy { retry_after, .. } => EngineError::Busy { message: error.to_string(), retry_after },
        ChatError::Failed(message) if !written => EngineError::Unavailable(message),
        other => EngineError::Failed(other.to_string()),
    }
}
