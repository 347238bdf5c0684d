//! `madang eval quoting`: questions with answer spans through the real index and the quoting engine. Is the answer inside
//! the quoted sentences, at how many characters quoted, and is nothing quoted when the document that holds it is gone?

use anyhow::Context;
use madang_domain::{CollectionId, DocumentId, Grade, OutputForm, Passage, PassageId, Plan, Span, TaskKind};
use madang_inference::{Asker, EngineEvent, EngineInput, EngineTask, ScopeKey, TextEngine};
use madang_registry::quoting::QuotingEngine;
use madang_search::eval::{Entry, Method, Question, Searchable, TestSet};
use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Quoting {
    /// Folder in BEIR layout whose queries have `answers`.
    dir: PathBuf,
    /// Name of the file of judgements.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Ask this many questions, spread over the set; all without it.
    #[arg(long)]
    limit: Option<usize>,
    /// Passages given to the engine; a run of an app gives it twelve.
    #[arg(long, default_value_t = 12)]
    passages: usize,
    #[arg(long)]
    json: bool,
}

/// What passages the engine is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Given {
    /// The one that holds the answer.
    Gold,
    /// The best that the search finds.
    Retrieved,
    /// The best that the search finds outside the document that holds the answer.
    Removed,
}

/// Means over the questions.
#[derive(Debug, Default, serde::Serialize)]
struct Tally {
    questions: usize,
    /// The answer stands in the first one, two, three quotes.
    inside: [f64; 3],
    /// Characters quoted in as many.
    characters: [f64; 3],
    refused: f64,
}

impl Quoting {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let failed = || format!("{} 평가를 마치지 못했습니다", self.dir.display());
        let mut set = TestSet::read(&self.dir, &self.split).with_context(failed)?;
        set.questions.retain(|q| !q.answers.is_empty());
        anyhow::ensure!(!set.questions.is_empty(), "{}: queries.jsonl에 answers가 있는 질문이 없습니다.", failed());
        // Spread over the whole set: neighbours ask about one passage.
        let step = self.limit.map_or(1, |limit| set.questions.len().div_ceil(limit.max(1)));
        set.questions = set.questions.into_iter().step_by(step).collect();
        let searchable = Searchable::with(&set, None).with_context(failed)?;
        let passages: Vec<Passage> = set.corpus.iter().map(passage).collect();
        let mut out = std::io::stdout().lock();
        if !self.json {
            writeln!(out, "{} questions, {} passages", set.questions.len(), passages.len())?;
            writeln!(out, "{:<10} {:>20} {:>24} {:>8}", "given", "inside 1/2/3", "characters 1/2/3", "refused")?;
        }
        for given in [Given::Gold, Given::Retrieved, Given::Removed] {
            let mut tally = Tally { questions: set.questions.len(), ..Tally::default() };
            for question in &set.questions {
                let some = self.given(given, question, &set, &searchable).with_context(failed)?;
                let some = some.into_iter().filter_map(|n| passages.get(n).cloned()).collect();
                tally.add(question, &quotes(&question.text, some).await);
            }
            if self.json {
                writeln!(out, "{}", serde_json::json!({ "given": given, "measures": tally.means() }))?;
            } else {
                writeln!(out, "{}", tally.means().row(given))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn given(
        &self,
        given: Given,
        question: &Question,
        set: &TestSet,
        searchable: &Searchable<'_>,
    ) -> anyhow::Result<Vec<usize>> {
        let title = |n: usize| set.corpus.get(n).map_or("", |e| e.title.as_str());
        let titles: HashSet<&str> = question.relevant.iter().map(|n| title(*n)).filter(|t| !t.is_empty()).collect();
        let gone = |n: usize| question.relevant.contains(&n) || titles.contains(title(n));
        Ok(match given {
            Given::Gold => question.relevant.iter().copied().collect(),
            Given::Retrieved => searchable.best(&question.text, Method::Words, self.passages)?,
            Given::Removed => {
                let removed = (0..set.corpus.len()).filter(|n| gone(*n)).count();
                let found = searchable.best(&question.text, Method::Words, self.passages + removed)?;
                found.into_iter().filter(|n| !gone(*n)).take(self.passages).collect()
            }
        })
    }
}

impl Tally {
    fn add(&mut self, question: &Question, quotes: &[String]) {
        self.refused += if quotes.is_empty() { 1.0 } else { 0.0 };
        for (count, (inside, characters)) in (1..).zip(self.inside.iter_mut().zip(&mut self.characters)) {
            let some = || quotes.iter().take(count);
            let held = some().any(|quote| question.answers.iter().any(|a| quote.contains(a.as_str())));
            *inside += if held { 1.0 } else { 0.0 };
            *characters += some().map(|quote| quote.chars().count() as f64).sum::<f64>();
        }
    }

    fn means(&self) -> Tally {
        let mean = |sum: f64| sum / self.questions.max(1) as f64;
        Tally {
            questions: self.questions,
            inside: self.inside.map(mean),
            characters: self.characters.map(mean),
            refused: mean(self.refused),
        }
    }

    fn row(&self, given: Given) -> String {
        let given = match given {
            Given::Gold => "gold",
            Given::Retrieved => "retrieved",
            Given::Removed => "removed",
        };
        let ([one, two, three], [a, b, c]) = (self.inside, self.characters);
        let inside = format!("{one:.3} / {two:.3} / {three:.3}");
        format!("{given:<10} {inside:>20} {:>24} {:>8.3}", format!("{a:.0} / {b:.0} / {c:.0}"), self.refused)
    }
}

fn passage(entry: &Entry) -> Passage {
    Passage {
        id: PassageId::new(),
        document: DocumentId::new(),
        document_title: entry.title.clone(),
        collection: CollectionId::new(),
        collection_name: "측정".into(),
        grade: Grade::Open,
        heading_path: vec![],
        page: None,
        page_estimated: false,
        span: Span { start: 0, end: entry.text.chars().count() },
        text: entry.text.clone(),
    }
}

/// What the engine quotes, in order; nothing where it refuses.
async fn quotes(question: &str, passages: Vec<Passage>) -> Vec<String> {
    let task = task(question, passages);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let collect = async {
        let mut quotes = vec![];
        while let Some(event) = receiver.recv().await {
            if let EngineEvent::Citation(citation) = event {
                quotes.push(citation.quote);
            }
        }
        quotes
    };
    let run = async {
        let end = QuotingEngine::default().answer(&task, &sender).await;
        drop(sender);
        end.is_ok_and(|f| f.answered)
    };
    let (quotes, answered) = tokio::join!(collect, run);
    if answered { quotes } else { vec![] }
}

/// The plainest app: one question, at most three sentences.
fn task(question: &str, passages: Vec<Passage>) -> EngineTask {
    let plan = Plan {
        task: TaskKind::QuestionAnswering,
        form: OutputForm::Answer,
        max_items: 3,
        fields: vec![],
        classes: vec![],
        rules: vec![],
        must_mention: vec![],
    };
    EngineTask {
        title: "질문".into(),
        purpose: "질문에 답합니다.".into(),
        instructions: vec![],
        plan,
        inputs: vec![EngineInput { key: "question".into(), label: "질문".into(), value: question.into() }],
        passages,
        has_sources: true,
        scope: ScopeKey([0; 32]),
        asker: Asker("eval".into()),
    }
}
