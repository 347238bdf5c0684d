//! Measures the quoting engine on a folder in BEIR layout with answer spans: is the answer inside the quoted sentences,
//! given the paragraph that holds it, and is a question refused, given paragraphs that do not?
//!
//! `cargo run --release -p madang-registry --example measure_quoting -- DIR [LIMIT]`

use madang_domain::{CollectionId, DocumentId, Grade, OutputForm, Passage, PassageId, Plan, Span, TaskKind};
use madang_inference::{Asker, EngineEvent, EngineInput, EngineTask, ScopeKey, TextEngine};
use madang_registry::quoting::{ANSWER_THRESHOLD, QuotingEngine, coverage};
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::path::Path;

/// Paragraphs of other titles given to a question that must be refused.
const STRANGERS: usize = 5;

struct Asked {
    text: String,
    answers: Vec<String>,
    gold: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: measure_quoting DIR [LIMIT]")?;
    let limit = args.next().map_or(Ok(usize::MAX), |n| n.parse())?;
    let (corpus, asked) = load(Path::new(&dir), limit)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let share = |n: usize| 100.0 * n as f64 / asked.len().max(1) as f64;
    println!("{} questions, threshold {ANSWER_THRESHOLD}", asked.len());
    // Coverage of the gold paragraph, of strangers and of near strangers; whether the answer is among the quotes.
    let (mut gold_coverage, mut inside_at_three) = (vec![], vec![]);
    for sentences in [1, 2, 3] {
        let (mut inside, mut refused) = (0, 0);
        for q in &asked {
            let Some(gold) = corpus.get(&q.gold) else { continue };
            let (answered, quotes) = runtime.block_on(answer(&q.text, vec![gold.clone()], sentences));
            let holds = q.answers.iter().any(|a| quotes.iter().any(|s| s.contains(a.as_str())));
            refused += usize::from(!answered);
            inside += usize::from(holds);
            if sentences == 3 {
                gold_coverage.push(coverage(&q.text, std::slice::from_ref(gold)));
                inside_at_three.push(holds);
            }
        }
        println!(
            "{sentences} sentence(s): answer inside {:.1} %, wrongly refused {:.1} %",
            share(inside),
            share(refused)
        );
    }
    let of_strangers = |near: bool| -> Vec<f32> {
        asked.iter().enumerate().map(|(i, q)| coverage(&q.text, &strangers(&corpus, q, i, near))).collect()
    };
    let (far, near) = (of_strangers(false), of_strangers(true));
    println!("threshold | inside at 3 | wrongly refused | strangers refused | near strangers refused");
    for step in 6..=13 {
        let t = step as f32 * 0.05;
        let below = |all: &[f32]| share(all.iter().filter(|c| **c < t).count());
        let inside = gold_coverage.iter().zip(&inside_at_three).filter(|(c, holds)| **c >= t && **holds).count();
        println!(
            "{t:.2} | {:.1} | {:.1} | {:.1} | {:.1}",
            share(inside),
            below(&gold_coverage),
            below(&far),
            below(&near)
        );
    }
    Ok(())
}

fn load(dir: &Path, limit: usize) -> Result<(HashMap<String, Passage>, Vec<Asked>), Box<dyn Error>> {
    let mut corpus = HashMap::new();
    for line in std::fs::read_to_string(dir.join("corpus.jsonl"))?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let of = |key: &str| row.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        corpus.insert(of("_id"), passage(&of("title"), &of("text")));
    }
    let qrels = std::fs::read_to_string(dir.join("qrels/dev.tsv"))?;
    let gold: HashMap<&str, &str> = qrels
        .lines()
        .skip(1)
        .filter_map(|l| {
            let mut c = l.split('\t');
            Some((c.next()?, c.next()?))
        })
        .collect();
    let mut asked = Vec::new();
    for line in std::fs::read_to_string(dir.join("queries.jsonl"))?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let of = |key: &str| row.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        let answers = row.get("answers").and_then(|v| v.as_array()).into_iter().flatten();
        let answers: Vec<String> = answers.filter_map(|v| v.as_str().map(str::to_owned)).collect();
        if let Some(g) = gold.get(of("_id").as_str()).filter(|_| !answers.is_empty()) {
            asked.push(Asked { text: of("text"), answers, gold: (*g).to_owned() });
        }
    }
    // Spread over the whole set: neighbours ask about one paragraph.
    let step = asked.len().div_ceil(limit.max(1)).max(1);
    Ok((corpus, asked.into_iter().step_by(step).collect()))
}

fn passage(title: &str, text: &str) -> Passage {
    Passage {
        id: PassageId::new(),
        document: DocumentId::new(),
        document_title: title.into(),
        collection: CollectionId::new(),
        collection_name: "측정".into(),
        grade: Grade::Open,
        heading_path: vec![],
        page: None,
        page_estimated: false,
        span: Span { start: 0, end: text.chars().count() },
        text: text.into(),
    }
}

/// Paragraphs of other titles: spread over the corpus, or those that share most bigrams with the question.
fn strangers(corpus: &HashMap<String, Passage>, q: &Asked, seed: usize, near: bool) -> Vec<Passage> {
    let title = corpus.get(&q.gold).map_or("", |p| p.document_title.as_str());
    let mut ids: Vec<&String> = corpus.iter().filter(|(_, p)| p.document_title != title).map(|(id, _)| id).collect();
    ids.sort();
    if near {
        let own = bigrams(&q.text);
        let mut scored: Vec<(usize, &String)> = ids
            .iter()
            .filter_map(|id| Some((bigrams(&corpus.get(*id)?.text).intersection(&own).count(), *id)))
            .collect();
        scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        return scored.into_iter().take(STRANGERS).filter_map(|(_, id)| corpus.get(id).cloned()).collect();
    }
    let at = |k: usize| ids.get((seed * 37 + k * 101) % ids.len().max(1)).and_then(|id| corpus.get(*id).cloned());
    (0..STRANGERS).filter_map(at).collect()
}

/// Pairs of neighbouring letters.
fn bigrams(text: &str) -> HashSet<(char, char)> {
    text.chars().zip(text.chars().skip(1)).filter(|(a, b)| a.is_alphanumeric() && b.is_alphanumeric()).collect()
}

/// Whether it was answered, and the exact quotes.
async fn answer(question: &str, passages: Vec<Passage>, max_items: usize) -> (bool, Vec<String>) {
    let plan = Plan {
        task: TaskKind::QuestionAnswering,
        form: OutputForm::Answer,
        max_items,
        fields: vec![],
        classes: vec![],
        rules: vec![],
        must_mention: vec![],
    };
    let input = EngineInput { key: "question".into(), label: "질문".into(), value: question.into() };
    let task = EngineTask {
        title: "측정".into(),
        purpose: "측정".into(),
        instructions: vec![],
        plan,
        inputs: vec![input],
        passages,
        has_sources: true,
        scope: ScopeKey([0; 32]),
        asker: Asker("measure".into()),
    };
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let collect = async {
        let mut quotes = vec![];
        while let Some(event) = receiver.recv().await {
            if let EngineEvent::Citation(c) = event {
                quotes.push(c.quote);
            }
        }
        quotes
    };
    let run = async {
        let end = QuotingEngine.answer(&task, &sender).await;
        drop(sender);
        end.is_ok_and(|f| f.answered)
    };
    let (quotes, answered) = tokio::join!(collect, run);
    (answered, quotes)
}
