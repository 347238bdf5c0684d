//! Tests of the runner: what it asks of search and of the engine, and what it makes of their answers.

use super::*;
use madang_domain::{DocumentId, OutsideCalls, Sentence, Span};
use proptest::prelude::*;

fn field(key: &str, kind: FieldKind, required: bool) -> InputField {
    InputField {
        key: key.into(),
        label: format!("칸 {key}"),
        kind,
        required,
        placeholder: String::new(),
        guessed: false,
    }
}

fn sheet(inputs: Vec<InputField>, sources: Vec<Source>, output: OutputForm) -> DesignSheet {
    DesignSheet {
        title: "당직 안내문".into(),
        purpose: "당직자에게 보낼 안내문을 쓴다.".into(),
        task: TaskKind::Draft,
        sentences: vec![Sentence { text: "근거를 붙인다.".into(), guessed: false }],
        inputs,
        sources,
        output,
        schedule: None,
        outside: OutsideCalls::Never,
    }
}

fn plan(form: OutputForm, must_mention: &[&str]) -> Plan {
    Plan {
        task: TaskKind::QuestionAnswering,
        form,
        max_items: 3,
        fields: vec![],
        classes: vec![],
        rules: vec![],
        must_mention: must_mention.iter().map(|w| (*w).to_owned()).collect(),
    }
}

fn passage(text: &str, grade: Grade) -> Passage {
    Passage {
        id: PassageId::new(),
        document: DocumentId::new(),
        document_title: "지침".into(),
        collection: CollectionId::new(),
        collection_name: "규정".into(),
        grade,
        heading_path: vec![],
        page: None,
        page_estimated: false,
        text: text.into(),
        span: Span { start: 0, end: text.chars().count() },
    }
}

#[allow(clippy::disallowed_methods)] // a reader's rights made up for the test
fn readable(ids: &[CollectionId]) -> ReadableCollections {
    ReadableCollections::resolved(ids.to_vec())
}

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn every_fault_of_a_form_is_told_at_once() {
    let options = FieldKind::Choice { options: vec!["숙직".into(), "일직".into()] };
    let sheet = sheet(
        vec![
            field("day", FieldKind::Date, true),
            field("kind", options, true),
            field("count", FieldKind::Number, false),
            field("name", FieldKind::Text, true),
        ],
        vec![],
        OutputForm::Answer,
    );
    let faults = read_inputs(&sheet, &given(&[("day", "내일"), ("kind", "당직"), ("count", "많이"), ("other", "x")]))
        .unwrap_err();
    let fields: Vec<_> = faults.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["other", "day", "kind", "count", "name"]);
    let good = read_inputs(&sheet, &given(&[("day", "2026-11-22"), ("kind", "숙직"), ("count", ""), ("name", " 봄 ")]))
        .unwrap();
    let values: Vec<_> = good.iter().map(|i| i.value.as_str()).collect();
    assert_eq!(values, ["2026-11-22", "숙직", "봄"]);
}

#[test]
fn a_reader_without_rights_is_told_and_finds_nothing() {
    let (mine, theirs) = (CollectionId::new(), CollectionId::new());
    let named = |id, name: &str| Source::Collection { id, name: name.into(), guessed: false };
    let only_theirs = sheet(vec![], vec![named(theirs, "감사 자료")], OutputForm::Answer);
    let sources = RunSources::of(&only_theirs, &readable(&[mine]));
    assert!(sources.readable.ids().is_empty() && sources.any);
    assert!(sources.notice().unwrap().contains("‘감사 자료’을(를) 볼 권한이 없습니다"));
    let both = sheet(vec![], vec![named(theirs, "감사 자료"), named(mine, "편람")], OutputForm::Answer);
    let sources = RunSources::of(&both, &readable(&[mine]));
    assert_eq!(sources.readable.ids(), [mine]);
    assert!(sources.notice().unwrap().contains("빼고 답합니다"));
    let all = sheet(vec![], vec![Source::Readable], OutputForm::Answer);
    let sources = RunSources::of(&all, &readable(&[mine]));
    assert_eq!((sources.readable.ids(), sources.notice()), (&[mine][..], None));
}

#[test]
fn a_draft_looks_for_each_section() {
    let form = OutputForm::Draft { sections: vec!["준비물".into(), "순찰".into()] };
    let sheet = sheet(
        vec![field("day", FieldKind::Date, true), field("kind", FieldKind::Text, true)],
        vec![Source::Readable],
        form.clone(),
    );
    let input = |key: &str, value: &str| EngineInput { key: key.into(), label: key.into(), value: value.into() };
    let found = Retrieval::of(&sheet, &plan(form, &[]), &[input("day", "2026-11-23"), input("kind", "숙직")]);
    assert_eq!(found.queries.len(), 3);
    assert!(found.queries[0].contains("숙직") && found.queries[0].contains("당직 안내문"));
    assert!(!found.queries.iter().any(|q| q.contains("2026")));
    assert_eq!(found.queries[1], "숙직 준비물");
}

#[test]
fn demanded_words_filter_before_the_best_are_taken() {
    let passages = vec![
        passage("2025년 예산", Grade::Open),
        passage("2026년 예산", Grade::Open),
        passage("2026년 인력", Grade::Open),
    ];
    let chosen = select(passages.clone(), &plan(OutputForm::Answer, &["2026"]), 1);
    assert_eq!(chosen[0].text, "2026년 예산");
    assert_eq!(select(passages, &plan(OutputForm::Answer, &["2031"]), 2).len(), 2);
}

#[test]
fn a_caller_is_a_person_with_rights() {
    let (a, b) = (CollectionId::new(), CollectionId::new());
    let (kim, lee) = (PersonId::new(), PersonId::new());
    assert_eq!(Caller::of(kim, &readable(&[a, b])), Caller::of(kim, &readable(&[b, a])));
    assert_ne!(Caller::of(kim, &readable(&[a])).scope, Caller::of(kim, &readable(&[a, b])).scope);
    assert_ne!(Caller::of(kim, &readable(&[a])).scope, Caller::of(lee, &readable(&[a])).scope);
}

#[test]
fn grade_is_of_what_was_used() {
    let given = [passage("가", Grade::Sensitive), passage("나", Grade::Open)];
    let cited = Citation {
        number: 1,
        passage: given[1].id,
        document: given[1].document,
        document_title: String::new(),
        grade: Grade::Open,
        heading_path: vec![],
        page: None,
        page_estimated: false,
        quote: "나".into(),
        span: Span { start: 0, end: 1 },
    };
    let card = |generates| EngineCard { name: "x".into(), label: "엔진".into(), generates };
    assert_eq!(grade(&card(false), &given, std::slice::from_ref(&cited)), Grade::Open);
    assert_eq!(grade(&card(true), &given, &[cited]), Grade::Sensitive);
    assert_eq!(grade(&card(true), &[], &[]), Grade::Open);
}

proptest! {
    #[test]
    fn fusion_keeps_every_passage_once(lists in proptest::collection::vec(proptest::collection::vec(0u128..40, 0..20), 0..5)) {
        let rankings: Vec<Vec<PassageId>> = lists.iter().map(|l| l.iter().map(|n| {
            format!("00000000-0000-7000-8000-{n:012x}").parse().expect("an id")
        }).collect()).collect();
        let fused = fuse(&rankings);
        let mut all: Vec<_> = rankings.concat();
        all.sort();
        all.dedup();
        let mut sorted = fused.clone();
        sorted.sort();
        prop_assert_eq!(sorted, all);
    }

    #[test]
    fn any_form_is_read_without_a_panic(key in "[a-z_]{0,8}", value in "\\PC{0,60}") {
        let sheet = sheet(
            vec![field("day", FieldKind::Date, false), field("n", FieldKind::Number, true)], vec![], OutputForm::Answer);
        let _ = read_inputs(&sheet, &BTreeMap::from([(key, value.clone()), ("n".into(), value.clone()), ("day".into(), value)]));
    }
}
