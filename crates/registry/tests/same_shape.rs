//! The same app gives the same structure whichever engine answers: the quoting engine, a model that takes grammars (on
//! this machine) and one that does not (a server).

use async_trait::async_trait;
use madang_domain::{CollectionId, DocumentId, Grade, OutputForm, Passage, PassageId, Plan, Span, TaskKind};
use madang_inference::writer::{ModelWriter, WriterOptions};
use madang_inference::{
    Asker, ChatError, ChatEvent, ChatModel, ChatRequest, ChatStream, Constraint, EngineEvent, EngineInput, EngineTask,
    Finish, ModelCard, ScopeKey, StopReason, TextEngine, Usage,
};
use madang_registry::quoting::QuotingEngine;
use std::sync::Arc;
use tokio::sync::mpsc;

const PLAN: &str = "1. 경로당 화상 수업\n□ 사업개요\n- 사업기간: 2026. 3.~11.\n- 대상: 경로당 50개소\n□ 소요예산\n- 운영비 63백만 원(시비)\n□ 기대효과\n- 어르신의 건강 증진을 기대한다.";

/// Says what its script says to the last message.
struct Scripted(fn(&str) -> &'static str);

#[async_trait]
impl ChatModel for Scripted {
    fn card(&self) -> ModelCard {
        ModelCard { name: "scripted".into(), label: "대본 모델".into(), context: 8192 }
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.chars().count()
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, ChatError> {
        let text = (self.0)(request.messages.last().map_or("", |m| m.content.as_str())).to_owned();
        let (out, stream) = mpsc::channel(2);
        for event in [
            ChatEvent::Text { text, logprobs: vec![] },
            ChatEvent::Done { reason: StopReason::Stop, usage: Usage::default() },
        ] {
            out.send(Ok(event)).await.map_err(|_| ChatError::Stopped)?;
        }
        Ok(stream)
    }
}

/// As [`Scripted`], and refuses grammars as a plain server does.
struct Plain(Scripted);

#[async_trait]
impl ChatModel for Plain {
    fn card(&self) -> ModelCard {
        self.0.card()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.0.count_tokens(text)
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, ChatError> {
        if matches!(request.constraint, Some(Constraint::Lark(_))) {
            return Err(ChatError::Invalid("문법".into()));
        }
        self.0.chat(request).await
    }
}

fn passage() -> Passage {
    Passage {
        id: PassageId::new(),
        document: DocumentId::new(),
        document_title: "복지 계획".into(),
        collection: CollectionId::new(),
        collection_name: "업무계획".into(),
        grade: Grade::Open,
        heading_path: vec![],
        page: None,
        page_estimated: false,
        text: PLAN.into(),
        span: Span { start: 0, end: PLAN.chars().count() },
    }
}

fn task(kind: TaskKind, form: OutputForm, input: (&str, &str), fields: &[&str]) -> EngineTask {
    let (key, value) = input;
    let passages = if key == "document" { vec![] } else { vec![passage()] };
    EngineTask {
        title: "업무계획".into(),
        purpose: "업무계획에서 찾는다.".into(),
        instructions: vec!["자료의 문장으로 답한다.".into()],
        plan: Plan {
            task: kind,
            form,
            max_items: 6,
            fields: fields.iter().map(|f| (*f).to_owned()).collect(),
            classes: vec![],
            rules: vec!["날짜는 '2026. 11. 22.' 형식으로 쓴다.".into()],
            must_mention: vec![],
        },
        inputs: vec![EngineInput { key: key.into(), label: key.into(), value: value.into() }],
        has_sources: !passages.is_empty(),
        passages,
        scope: ScopeKey([0; 32]),
        asker: Asker("kim".into()),
    }
}

async fn answer(engine: &dyn TextEngine, task: &EngineTask) -> (String, Finish) {
    let (out, mut events) = mpsc::channel(64);
    let listen = async {
        let mut text = String::new();
        while let Some(event) = events.recv().await {
            if let EngineEvent::Text(more) = event {
                text.push_str(&more);
            }
        }
        text
    };
    let ask = async {
        let finish = engine.answer(task, &out).await;
        drop(out);
        finish.expect("an answer")
    };
    tokio::join!(listen, ask)
}

/// What of an answer is structure: headings, table columns, names of fields, kinds of lines; and how it ended.
fn structure(text: &str, finish: &Finish) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim_end).filter(|l| !l.is_empty()) {
        let kind = match line {
            l if l.starts_with("## ") || l.starts_with("**") || l.starts_with("---") || l.starts_with("_(") => {
                l.to_owned()
            }
            l if l.starts_with("- **") => l.split("**: ").next().unwrap_or(l).to_owned(),
            l if l.starts_with("| --- |") => l.to_owned(),
            l if l.starts_with('|') && out.iter().any(|o| o.starts_with("| --- |")) => {
                format!("row of {}", l.matches(" |").count())
            }
            l if l.starts_with('|') || l.starts_with("채우지 못한") || l.starts_with("자료에서 이 질문") => {
                l.to_owned()
            }
            l if l.starts_with("- 까닭: “") => "reason".to_owned(),
            l if l.starts_with("- [") => l.to_owned(),
            l if l.trim_start().starts_with("- ") => "bullet".to_owned(),
            _ => "paragraph".to_owned(),
        };
        // How many sentences an engine finds is its own.
        if out.last() != Some(&kind) || !matches!(kind.as_str(), "bullet" | "paragraph") {
            out.push(kind);
        }
    }
    out.push(format!("{finish:?}"));
    out
}

async fn assert_same(task: &EngineTask, script: fn(&str) -> &'static str) {
    let (text, finish) = answer(&QuotingEngine::default(), task).await;
    let quoted = structure(&text, &finish);
    for grammar in [true, false] {
        let model: Arc<dyn ChatModel> =
            if grammar { Arc::new(Scripted(script)) } else { Arc::new(Plain(Scripted(script))) };
        let options = WriterOptions { grammar, ..WriterOptions::default() };
        let (written, finish) =
            answer(&ModelWriter::new(model, Arc::new(QuotingEngine::default()), options), task).await;
        assert_eq!(structure(&written, &finish), quoted, "\n--- quoted\n{text}\n--- written\n{written}");
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

#[tokio::test]
async fn answers_and_bullets() {
    let ask = ("question", "경로당 운영비 예산은 얼마인가요?");
    let form = |form| task(TaskKind::QuestionAnswering, form, ask, &[]);
    assert_same(&form(OutputForm::Answer), |_| "운영비는 63백만 원입니다. [1]").await;
    assert_same(&form(OutputForm::Bullets), |_| "운영비 63백만 원(시비) [1]\n경로당 50개소 [1]").await;
}

#[tokio::test]
async fn refusals() {
    let ask = ("question", "여권 재발급 수수료는 얼마인가요?");
    assert_same(
        &task(TaskKind::QuestionAnswering, OutputForm::Answer, ask, &[]),
        |_| "자료에서 이 질문의 답을 찾지 못했습니다.",
    )
    .await;
    let columns = words(&["수수료", "처리 기한"]);
    let table = task(TaskKind::Extraction, OutputForm::Table { columns }, ask, &["수수료", "처리 기한"]);
    assert_same(&table, |_| "{\"rows\": []}").await;
}

#[tokio::test]
async fn drafts_with_filled_and_unfilled_sections() {
    let sections = words(&["제목", "소요예산", "기대효과", "참석자"]);
    let t = task(TaskKind::Draft, OutputForm::Draft { sections }, ("subject", "경로당 화상 수업"), &[]);
    assert_same(&t, |now| match now {
        n if n.ends_with("소요예산") => "- 운영비 63백만 원(시비) [1]",
        n if n.ends_with("기대효과") => "- 어르신의 건강 증진을 기대한다. [1]",
        _ => "없음",
    })
    .await;
}

#[tokio::test]
async fn tables_and_fields() {
    let names = ["사업기간", "대상", "장소"];
    let with_source = OutputForm::Table { columns: words(&["사업기간", "대상", "장소", "근거"]) };
    let table = task(TaskKind::Extraction, with_source, ("subject", "경로당 화상 수업"), &names);
    let rows =
        |_: &str| "{\"rows\":[{\"사업기간\":\"2026. 3.~11.\",\"대상\":\"경로당 50개소\",\"장소\":\"\",\"근거\":1}]}";
    assert_same(&table, rows).await;
    let list = task(TaskKind::Extraction, OutputForm::Bullets, ("document", PLAN), &names);
    assert_same(&list, rows).await;
}

#[tokio::test]
async fn classes_summaries_and_checks() {
    let classes = words(&["교통", "환경", "복지"]);
    let text = "버스가 너무 늦게 옵니다. 정류장 버스 안내도 틀립니다.";
    let label = task(TaskKind::Classification, OutputForm::Label { classes }, ("document", text), &[]);
    assert_same(&label, |_| "{\"까닭\":\"버스가 너무 늦게 옵니다.\",\"갈래\":\"교통\",\"다음\":\"없음\"}").await;
    let long = "도서관 이용 시간을 밤 10시까지 늘린다. 시행은 3월부터다. 예산은 2억 원이다.";
    let summary = |form| task(TaskKind::Summary, form, ("document", long), &[]);
    assert_same(&summary(OutputForm::Answer), |_| "도서관 이용 시간을 밤 10시까지 늘린다.").await;
    assert_same(&summary(OutputForm::Bullets), |_| "- 도서관 이용 시간을 밤 10시까지 늘린다.").await;
    let check = task(TaskKind::RuleCheck, OutputForm::Checklist, ("document", "회의는 2026년 3월 2일에 연다."), &[]);
    assert_same(&check, |_| "문제 없습니다.").await;
}

#[tokio::test]
async fn nothing_to_read() {
    let mut t = task(TaskKind::QuestionAnswering, OutputForm::Answer, ("question", "경로당?"), &[]);
    t.passages.clear();
    assert_same(&t, |_| "지어낸 답입니다.").await;
}
