//! The engine as its callers see it: forms, citations, no answer, stopping.

use super::*;
use madang_domain::{Citation, CollectionId, DocumentId, Grade, Passage, PassageId, Plan, Span};
use madang_inference::{Asker, EngineInput, ScopeKey};

fn passage(title: &str, text: &str, start: usize) -> Passage {
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
        span: Span { start, end: start + text.chars().count() },
    }
}

fn task(kind: TaskKind, form: OutputForm, inputs: &[(&str, &str)], passages: Vec<Passage>) -> EngineTask {
    EngineTask {
        title: "업무계획 질의".into(),
        purpose: "업무계획에서 답을 찾는다.".into(),
        instructions: vec![],
        plan: Plan {
            task: kind,
            form,
            max_items: 3,
            fields: vec![],
            classes: vec![],
            rules: vec![],
            must_mention: vec![],
        },
        inputs: inputs
            .iter()
            .map(|(k, v)| EngineInput { key: (*k).into(), label: (*k).into(), value: (*v).into() })
            .collect(),
        has_sources: true,
        passages,
        scope: ScopeKey([0; 32]),
        asker: Asker("kim".into()),
    }
}

fn run(task: &EngineTask) -> (String, Vec<Citation>, Finish) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        let (sender, mut receiver) = mpsc::channel(4);
        let collect = async {
            let (mut text, mut citations) = (String::new(), vec![]);
            while let Some(event) = receiver.recv().await {
                match event {
                    EngineEvent::Text(t) => text.push_str(&t),
                    EngineEvent::Citation(c) => citations.push(c),
                    other => panic!("unexpected {other:?}"),
                }
            }
            (text, citations)
        };
        let answer = async {
            let finish = QuotingEngine::default().answer(task, &sender).await;
            drop(sender);
            finish.expect("answers")
        };
        let ((text, citations), finish) = tokio::join!(collect, answer);
        (text, citations, finish)
    })
}

const PLAN: &str = "1. 경로당 화상 수업\n□ 사업개요\n- 사업기간: 2026. 3.~11.\n- 대상: 경로당 50개소\n□ 소요예산\n- 운영비 63백만 원(시비)\n□ 기대효과\n- 어르신의 건강 증진을 기대한다.";

#[test]
fn an_answer_quotes_the_stored_span() {
    let t = task(
        TaskKind::QuestionAnswering,
        OutputForm::Answer,
        &[("question", "경로당 운영비 예산은 얼마인가요?")],
        vec![passage("복지 계획", PLAN, 1000)],
    );
    let (text, citations, finish) = run(&t);
    assert!(finish.answered && text.starts_with("운영비 63백만 원(시비) [1]"), "{text}");
    let c = &citations[0];
    let stored: String = PLAN.chars().skip(c.span.start - 1000).take(c.span.end - c.span.start).collect();
    assert_eq!((stored.as_str(), c.page, c.number), (c.quote.as_str(), Some(3), 1));
}

#[test]
fn an_announced_list_is_quoted_with_its_sentence() {
    let text = "제7조(당직의 면제)\n다음 각 호의 어느 하나에 해당하는 사람은 당직을 면제한다.\n1. 임신 중인 사람\n2. 만 8세 이하의 자녀를 혼자 돌보는 사람\n\n제8조(교대)\n당직을 바꾸려면 신청한다.";
    let t = task(
        TaskKind::QuestionAnswering,
        OutputForm::Answer,
        &[("question", "당직을 면제받는 사람은 누구입니까?")],
        vec![passage("당직 규칙", text, 0)],
    );
    let (text, citations, finish) = run(&t);
    assert!(
        finish.answered && text.contains("- 임신 중인 사람 [2]\n- 만 8세 이하의 자녀를 혼자 돌보는 사람 [3]"),
        "{text}"
    );
    assert!(!text.contains("제7조") && citations.len() == 3, "{text}");
}

#[test]
fn an_app_without_sources_reads_what_is_typed() {
    let mut t = task(
        TaskKind::Draft,
        OutputForm::Draft { sections: vec!["일시".into(), "장소".into(), "예산".into()] },
        &[("facts", "일시: 2026. 5. 16. 10:00\n장소: 강변 마당")],
        vec![],
    );
    t.has_sources = false;
    let (text, _, finish) = run(&t);
    assert!(finish.answered && text.contains("강변 마당") && finish.unfilled == ["예산"], "{text}");
}

#[test]
fn a_passage_that_is_not_its_span_is_cited_whole() {
    let mut p = passage("복지 계획", PLAN, 1000);
    p.span.end += 7;
    let span = p.span;
    let t = task(TaskKind::QuestionAnswering, OutputForm::Answer, &[("question", "경로당 운영비")], vec![p]);
    assert_eq!(run(&t).1[0].span, span);
}

#[test]
fn off_topic_and_empty_sources_say_so() {
    let ask = |passages| {
        run(&task(
            TaskKind::QuestionAnswering,
            OutputForm::Answer,
            &[("question", "여권 재발급 수수료는 얼마인가요?")],
            passages,
        ))
    };
    let (text, citations, finish) = ask(vec![passage("복지 계획", PLAN, 0)]);
    assert!(!finish.answered && citations.is_empty());
    assert!(text.contains("찾지 못했습니다") && text.contains("‘여권’"), "{text}");
    assert!(ask(vec![]).0.contains("자료 모음에 문서를 더해"));
}

#[test]
fn must_mention_filters_passages() {
    let mut t = task(
        TaskKind::QuestionAnswering,
        OutputForm::Answer,
        &[("question", "경로당 운영비")],
        vec![passage("복지 계획", PLAN, 0)],
    );
    t.plan.must_mention = vec!["2031".into()];
    let (text, _, finish) = run(&t);
    assert!(!finish.answered && text.contains("‘2031’"), "{text}");
    t.plan.must_mention = vec!["2026".into()];
    assert!(run(&t).2.answered);
}

#[test]
fn a_draft_fills_sections_and_lists_the_rest() {
    let sections: Vec<String> = ["제목", "사업개요", "소요예산", "기대효과", "홍보계획"].map(String::from).to_vec();
    let mut t = task(
        TaskKind::Draft,
        OutputForm::Draft { sections },
        &[("topic", "경로당 화상 수업")],
        vec![passage("복지 계획", PLAN, 0)],
    );
    t.plan.max_items = 10;
    let (text, citations, finish) = run(&t);
    assert_eq!(finish, Finish { answered: true, unfilled: vec!["홍보계획".into()] }, "{text}");
    assert!(text.contains("## 소요예산\n\n- 운영비 63백만 원(시비) ["), "{text}");
    assert!(text.contains("채우지 못한 항목: 홍보계획"));
    assert!(citations.len() >= 3);
}

#[test]
fn a_table_says_what_the_sources_lack() {
    let columns: Vec<String> = ["사업기간", "대상", "담당자 이름"].map(String::from).to_vec();
    let mut t = task(
        TaskKind::Extraction,
        OutputForm::Table { columns: columns.clone() },
        &[],
        vec![passage("복지 계획", PLAN, 0)],
    );
    t.plan.fields = columns;
    let (text, _, finish) = run(&t);
    assert!(text.contains("| 2026. 3.~11. [1] |"), "{text}");
    assert!(text.contains("경로당 50개소 [2]") && text.contains("자료에 없음"), "{text}");
    assert_eq!(finish.unfilled, ["담당자 이름"]);
}

#[test]
fn pasted_texts_are_classified_with_the_reason() {
    let mut t = task(
        TaskKind::Classification,
        OutputForm::Label { classes: vec!["교통".into(), "환경".into(), "기타".into()] },
        &[("document", "집 앞 정류장에 버스가 오지 않아 출근이 늦습니다.")],
        vec![],
    );
    let (text, citations, finish) = run(&t);
    assert!(finish.answered && text.starts_with("**교통**") && text.contains("‘버스’"), "{text}");
    assert!(citations.is_empty());
    t.inputs[0].value = "안녕하세요.".into();
    assert!(run(&t).0.starts_with("**기타**"));
    // A sentence of the sheet outweighs the built-in topics.
    t.instructions = vec!["환경: 정류장, 출근".into()];
    t.inputs[0].value = "정류장 앞이 출근 때마다 붐빕니다.".into();
    assert!(run(&t).0.starts_with("**환경**"));
}

#[test]
fn rules_become_a_checklist() {
    let mut t = task(TaskKind::RuleCheck, OutputForm::Checklist, &[("document", "회의: 2026년 3월 2일")], vec![]);
    t.plan.rules = vec!["날짜는 '2026. 11. 22.' 형식으로 표기한다.".into(), "말투가 따뜻하다.".into()];
    let (text, _, finish) = run(&t);
    assert!(text.contains("2026. 3. 2.") && text.contains("사람이 확인"), "{text}");
    assert_eq!(finish.unfilled, ["말투가 따뜻하다."]);
}

#[test]
fn summaries_quote_the_pasted_text() {
    let text = "도서관 이용 시간을 밤 10시까지 늘린다. 날씨가 맑다.\n도서관 이용 시간 연장은 3월부터 시행한다. 도서관 예산은 2억 원이다.";
    let mut t = task(TaskKind::Summary, OutputForm::Bullets, &[("document", text)], vec![]);
    t.plan.max_items = 2;
    let (out, citations, finish) = run(&t);
    assert!(finish.answered && citations.is_empty());
    assert_eq!(out.lines().filter(|l| l.starts_with("- ")).count(), 2, "{out}");
    assert!(!out.contains("날씨"));
}

#[test]
fn a_gone_reader_stops_the_engine() {
    let t = task(
        TaskKind::QuestionAnswering,
        OutputForm::Answer,
        &[("question", "경로당 운영비")],
        vec![passage("계획", PLAN, 0)],
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let end = runtime.block_on(QuotingEngine::default().answer(&t, &sender));
    assert!(matches!(end, Err(EngineError::Stopped)));
}

#[test]
fn odd_tasks_end_in_words_not_panics() {
    for kind in TaskKind::ALL {
        for form in [
            OutputForm::Answer,
            OutputForm::Bullets,
            OutputForm::Table { columns: vec![] },
            OutputForm::Draft { sections: vec![] },
            OutputForm::Label { classes: vec![] },
            OutputForm::Checklist,
        ] {
            for value in ["", "???", "가\n나", "|a|b|\n|-|-|\n|1|2|"] {
                let t = task(kind, form.clone(), &[("document", value)], vec![passage("빈 문서", value, 0)]);
                run(&t);
            }
        }
    }
}
