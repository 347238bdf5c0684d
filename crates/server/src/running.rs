//! One run from form to stored answer: a place on the board, passages by the reader's rights, the engine's stream,
//! and the end, which is stored whatever happened: done, stopped by the reader, the browser or the server, failed.

use crate::app::App;
use crate::board::Ticket;
use crate::error::{Failure, Handled};
use crate::find;
use crate::markdown;
use crate::meaning;
use axum::http::StatusCode;
use madang_domain::{Citation, DesignSheet, Grade, OutputForm, Passage, RunId, Scope, TaskKind};
use madang_inference::{EngineCard, EngineError, EngineEvent, EngineInput, EngineTask, Finish, Stage};
use madang_registry::exam::{Outcome, Question};
use madang_registry::runner::{self, Caller, Retrieval, RunSources};
use madang_search::SearchOptions;
use madang_store::runs::{RunEnd, RunEngine, RunInput, RunOf, RunState};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest run.
const LONGEST: Duration = Duration::from_secs(600);
/// Longest answer kept, bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// Hits of each search and passages rechecked.
const HITS: usize = 60;
/// Events that wait for a slow reader; the engine then waits too.
const WAITING_EVENTS: usize = 64;

/// What a reader's screen is told of a run, in this order: run, engine, then texts and citations, then one of the
/// last three.
#[derive(Debug, Clone)]
pub enum RunEvent {
    Run(RunId),
    Engine(EngineCard),
    Text(String),
    Citation(Box<Citation>),
    /// Parts done of a long piece of work, and all of them.
    Progress {
        stage: Stage,
        done: usize,
        total: usize,
    },
    Done(Done),
    /// Stopped by the reader elsewhere, or by the server.
    Stopped,
    /// Korean, for the reader.
    Error(String),
}

/// The end of an answer.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    pub answered: bool,
    pub unfilled: Vec<String>,
    /// How long it took, milliseconds.
    pub ms: u64,
    pub grade: Grade,
    /// Sanitised.
    pub html: String,
}

/// A run under way.
pub struct Running {
    pub id: RunId,
    /// Dropping it stops the run.
    pub events: mpsc::Receiver<RunEvent>,
}

/// Starts a run of a version or a trial of a draft.
///
/// # Errors
/// 422 with all faults of the form; 429 when too much runs at once.
pub async fn start(app: &App, scope: &Scope, of: RunOf<'_>, given: &BTreeMap<String, String>) -> Handled<Running> {
    let sheet = match of {
        RunOf::Version(version) => &version.sheet,
        RunOf::Trial(draft) => &draft.sheet,
    };
    let inputs = runner::read_inputs(sheet, given).map_err(form_faults)?;
    let ticket = app.board.enter(scope.person(), &app.shutdown)?;
    let kept: Vec<RunInput> = inputs
        .iter()
        .map(|i| RunInput { key: i.key.clone(), label: i.label.clone(), value: i.value.clone() })
        .collect();
    let card = app.engine.card();
    let engine = RunEngine { name: card.name, label: card.label, generates: card.generates };
    let id = app.store.start_run(scope, of, &kept, &engine).await?;
    ticket.name(id);
    let (client, events) = mpsc::channel(WAITING_EVENTS);
    let work = Work { app: app.clone(), scope: scope.clone(), sheet: sheet.clone(), inputs };
    tokio::spawn(drive(work, id, ticket, client));
    Ok(Running { id, events })
}

fn form_faults(faults: Vec<madang_domain::SheetFault>) -> Failure {
    let message = "적은 내용에 고칠 곳이 있습니다.";
    Failure {
        fields: faults.into_iter().map(|f| (f.field, f.message)).collect(),
        ..Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }
}

/// Runs an exam question with the reader's rights and without keeping anything.
///
/// # Errors
/// 422 when the question does not fit the form; a failure of the engine.
pub async fn examine(app: &App, scope: &Scope, sheet: &DesignSheet, question: &Question) -> Handled<Outcome> {
    let inputs = runner::read_inputs(sheet, &question.inputs).map_err(form_faults)?;
    let work = Work { app: app.clone(), scope: scope.clone(), sheet: sheet.clone(), inputs };
    let mut kept = Kept::default();
    let (client, mut ignored) = mpsc::channel(WAITING_EVENTS);
    let stop = app.shutdown.child_token();
    let (finish, ()) = tokio::join!(
        async {
            let finish = tokio::time::timeout(LONGEST, work.answer(&client, &stop, &mut kept)).await;
            drop(client);
            finish
        },
        async { while ignored.recv().await.is_some() {} }
    );
    stop.cancel();
    let finish = finish.map_err(Failure::internal)?.map_err(|e| Failure::conflict(e.to_string()))?;
    let documents = kept.citations.iter().map(|c| c.document_title.clone()).collect();
    Ok(Outcome { answer: kept.answer, answered: finish.answered, documents })
}

struct Work {
    app: App,
    scope: Scope,
    sheet: DesignSheet,
    inputs: Vec<EngineInput>,
}

/// What has come so far.
#[derive(Default)]
struct Kept {
    answer: String,
    citations: Vec<Citation>,
    given: Vec<Passage>,
    /// The engine that speaks: the one asked, or one that took over from it.
    speaker: Option<EngineCard>,
}

enum End {
    Done(Finish),
    Stopped,
    Failed(String),
}

async fn drive(work: Work, id: RunId, ticket: Ticket, client: mpsc::Sender<RunEvent>) {
    let began = Instant::now();
    let card = work.app.engine.card();
    let mut kept = Kept::default();
    let end = tokio::select! {
        biased;
        () = ticket.stop.cancelled() => End::Stopped,
        // The browser went away.
        () = client.closed() => End::Stopped,
        outcome = tokio::time::timeout(LONGEST, work.stream(id, &card, &client, &ticket.stop, &mut kept)) => match outcome {
            Ok(Ok(finish)) => End::Done(finish),
            Ok(Err(EngineError::Stopped)) => End::Stopped,
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(_) => End::Failed("10분이 지나도 끝나지 않아 멈췄습니다. 물음을 나누어 다시 해 주세요.".to_owned()),
        },
    };
    // The engine's thread ends too.
    ticket.stop.cancel();
    let grade = runner::grade(kept.speaker.as_ref().unwrap_or(&card), &kept.given, &kept.citations);
    let (stored, last) = closing(end, kept, grade, began);
    let last = match work.app.store.finish_run(&work.scope, id, &stored).await {
        Ok(()) => last,
        Err(error) => {
            tracing::error!(run = %id, %error, "run could not be stored");
            RunEvent::Error("답을 저장하지 못했습니다. 운영자에게 알려 주세요.".to_owned())
        }
    };
    drop(ticket);
    // Where the reader has gone, nobody is told.
    let _ = client.send(last).await;
}

fn closing(end: End, kept: Kept, grade: Grade, began: Instant) -> (RunEnd, RunEvent) {
    let mut stored = RunEnd {
        state: RunState::Stopped,
        answer: kept.answer,
        answered: false,
        unfilled: Vec::new(),
        grade,
        error: None,
        citations: kept.citations,
        engine: kept.speaker.map(|c| RunEngine { name: c.name, label: c.label, generates: c.generates }),
    };
    let last = match end {
        End::Done(finish) => {
            stored.state = RunState::Done;
            stored.answered = finish.answered;
            stored.unfilled = finish.unfilled.clone();
            let html = markdown::answer(&stored.answer, stored.citations.iter().map(|c| c.number)).0;
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            RunEvent::Done(Done { answered: finish.answered, unfilled: finish.unfilled, ms, grade, html })
        }
        End::Stopped => RunEvent::Stopped,
        End::Failed(message) => {
            stored.state = RunState::Failed;
            stored.error = Some(message.clone());
            RunEvent::Error(message)
        }
    };
    (stored, last)
}

impl Work {
    async fn stream(
        &self,
        id: RunId,
        card: &EngineCard,
        client: &mpsc::Sender<RunEvent>,
        stop: &CancellationToken,
        kept: &mut Kept,
    ) -> Result<Finish, EngineError> {
        send(client, RunEvent::Run(id)).await?;
        send(client, RunEvent::Engine(card.clone())).await?;
        kept.speaker = Some(card.clone());
        self.answer(client, stop, kept).await
    }

    /// Finds passages, lets the engine answer, passes on and keeps what comes.
    async fn answer(
        &self,
        client: &mpsc::Sender<RunEvent>,
        stop: &CancellationToken,
        kept: &mut Kept,
    ) -> Result<Finish, EngineError> {
        let readable = self.app.store.readable_collections(&self.scope).await.map_err(trouble)?;
        let sources = RunSources::of(&self.sheet, &readable);
        if let Some(notice) = sources.notice() {
            kept.answer.push_str(&notice);
            send(client, RunEvent::Text(notice)).await?;
        }
        let plan = madang_registry::plan::interpret(&self.sheet);
        let retrieval = Retrieval::of(&self.sheet, &plan, &self.inputs);
        let found = self.retrieve(&retrieval.queries, &sources).await?;
        kept.given = runner::select(found, &plan, retrieval.take);
        let caller = Caller::of(self.scope.person(), &sources.readable);
        if plan.task == TaskKind::RuleCheck || plan.form == OutputForm::Checklist {
            // A check that knew only half of what must not stand there would say that all is well.
            let inspector = self.app.gateway.inspector().await.map_err(|e| EngineError::Failed(e.to_string()))?;
            self.app.detector.renew(inspector.rules());
        }
        let task = runner::task(&self.sheet, plan, self.inputs.clone(), kept.given.clone(), caller);
        let (job, mut events) = self.ask(task, stop);
        while let Some(event) = events.recv().await {
            if let Some(event) = keep(event, kept) {
                send(client, event).await?;
            }
            if kept.answer.len() > MAX_ANSWER {
                return Err(EngineError::Failed("답이 너무 길어 멈췄습니다. 물음을 나누어 다시 해 주세요.".to_owned()));
            }
        }
        job.await.map_err(trouble)?
    }

    /// Passages for each query, rechecked against the reader's rights, best first.
    async fn retrieve(&self, queries: &[String], sources: &RunSources) -> Result<Vec<Passage>, EngineError> {
        if sources.readable.ids().is_empty() {
            return Ok(Vec::new());
        }
        let (index, asked, readable) = (self.app.index.now(), queries.to_vec(), sources.readable.clone());
        let (model, synonyms) = (self.app.engines.meaning(), self.app.synonyms());
        let rankings = tokio::task::spawn_blocking(move || {
            let options = SearchOptions { limit: HITS, synonyms, ..SearchOptions::default() };
            let words: Vec<&str> = asked.iter().map(String::as_str).collect();
            let meanings = meaning::of_questions(model.as_ref(), &words);
            asked
                .iter()
                .zip(&meanings)
                .map(|(q, meaning)| {
                    let hits = index.search_with(q, meaning.as_ref(), &readable, &options)?;
                    Ok(hits.into_iter().map(|hit| hit.passage).collect())
                })
                .collect::<Result<Vec<Vec<_>>, madang_search::SearchError>>()
        })
        .await
        .map_err(trouble)?
        .map_err(trouble)?;
        let mut ids = runner::fuse(&rankings);
        ids.truncate(HITS * 2);
        let passages = self.app.store.passages(&self.scope, &ids).await.map_err(trouble)?;
        // The store rechecks what may be read; the sheet's own narrowing is rechecked here.
        let readable = passages.into_iter().filter(|p| sources.readable.contains(p.collection)).collect();
        // A draft asks for something on each of its sections: no one question could rank that.
        let question = if let [question] = queries { Some(question.clone()) } else { None };
        // What says the same a second time would take the place of what says something else.
        let groups = find::grouped(&self.app, question, readable).await.map_err(trouble)?;
        Ok(groups.into_iter().map(|group| group.first).collect())
    }

    /// Lets the engine work on a thread of its own: one that computes must not hold up the server.
    fn ask(
        &self,
        task: EngineTask,
        stop: &CancellationToken,
    ) -> (tokio::task::JoinHandle<Result<Finish, EngineError>>, mpsc::Receiver<EngineEvent>) {
        let (out, events) = mpsc::channel(WAITING_EVENTS);
        let (engine, stop, handle) = (Arc::clone(&self.app.engine), stop.clone(), Handle::current());
        let job = tokio::task::spawn_blocking(move || {
            handle.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Err(EngineError::Stopped),
                    finish = engine.answer(&task, &out) => finish,
                }
            })
        });
        (job, events)
    }
}

/// Keeps an event; `None` for a citation of something the engine was not given, or of a number already used.
fn keep(event: EngineEvent, kept: &mut Kept) -> Option<RunEvent> {
    match event {
        EngineEvent::Text(text) => {
            kept.answer.push_str(&text);
            Some(RunEvent::Text(text))
        }
        EngineEvent::Citation(citation) => {
            let numbers: HashSet<u32> = kept.citations.iter().map(|c| c.number).collect();
            let given = kept.given.iter().any(|p| p.id == citation.passage && p.document == citation.document);
            if !given || numbers.contains(&citation.number) {
                tracing::warn!(number = citation.number, "engine cited what it was not given");
                return None;
            }
            kept.citations.push(citation.clone());
            Some(RunEvent::Citation(Box::new(citation)))
        }
        EngineEvent::Progress { stage, done, total } => Some(RunEvent::Progress { stage, done, total }),
        EngineEvent::Speaker(card) => {
            let another = kept.speaker.as_ref() != Some(&card);
            kept.speaker = Some(card.clone());
            another.then_some(RunEvent::Engine(card))
        }
    }
}

async fn send(client: &mpsc::Sender<RunEvent>, event: RunEvent) -> Result<(), EngineError> {
    client.send(event).await.map_err(|_| EngineError::Stopped)
}

/// A failure of ours: logged with its cause, told without it.
fn trouble(cause: impl std::fmt::Display) -> EngineError {
    tracing::error!(%cause, "run failed");
    EngineError::Failed("답을 만드는 중 서버에서 문제가 생겼습니다. 잠시 뒤 다시 해 주세요.".to_owned())
}
