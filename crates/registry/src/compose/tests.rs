//! Prompts as officials type them, and what must come of them.

use super::*;
use TaskKind::{Classification, Draft, Extraction, QuestionAnswering, RuleCheck, Summary, TableAnalysis};
use madang_domain::FieldKind;
use proptest::prelude::*;

fn collection(name: &str, titles: &[&str], keywords: &[&str]) -> CollectionSummary {
    CollectionSummary {
        id: CollectionId::new(),
        name: name.into(),
        grade: Grade::Open,
        documents: titles.len().max(1) * 4,
        sample_titles: titles.iter().map(|t| (*t).into()).collect(),
        keywords: keywords.iter().map(|k| ((*k).to_owned(), 0.8)).collect(),
    }
}

fn catalogue() -> Vec<CollectionSummary> {
    vec![
        collection(
            "자치법규",
            &["주차장 설치 및 관리 조례", "출산장려금 지원 조례", "지방보조금 관리 조례"],
            &["조례", "시장", "위원회", "보조금"],
        ),
        collection(
            "2026년 주요업무계획",
            &["복지정책과 업무계획", "도로건설과 업무계획"],
            &["사업", "예산", "추진", "계획"],
        ),
        collection("민원 상담 사례", &["상하수도 민원 사례", "불법 주정차 민원 사례"], &["민원", "신고", "처리"]),
        collection("여비 규정 해설", &["국내 출장 여비 안내"], &["출장", "여비", "숙박비"]),
    ]
}

fn composed(prompt: &str) -> Composition {
    compose(prompt, &catalogue()).unwrap_or_else(|e| panic!("{prompt}: {e}"))
}

/// Prompt and the task it asks for.
const PROMPTS: &[(&str, TaskKind)] = &[
    ("조례에서 궁금한 걸 물어보면 근거 조문이랑 같이 답해주는 앱", QuestionAnswering),
    ("출장 여비 규정 질문하면 답해줘", QuestionAnswering),
    ("신규 직원이 복무 규정을 물어볼 때 안내해 주는 챗봇", QuestionAnswering),
    ("출산장려금 얼마야?", QuestionAnswering),
    ("우리 과 업무계획에서 필요한 내용 찾아줘", QuestionAnswering),
    ("민원인이 자주 묻는 질문에 대한 답변 근거를 찾아 주는 도구가 필요합니다", QuestionAnswering),
    ("주정차 단속 기준 알려줘", QuestionAnswering),
    ("지방보조금 관련 FAQ 만들고 싶어요", QuestionAnswering),
    ("여비 규정 search해서 answer 해주는 app", QuestionAnswering),
    ("당직 매뉴얼 찿아서 알려죠", QuestionAnswering),
    ("회의록을 붙여 넣으면 세 줄로 요약해 줘", Summary),
    ("긴 보고서 핵심만 간추려줘", Summary),
    ("국장님 보고용으로 업무계획 요약", Summary),
    ("의회 속기록 요악 좀", Summary),
    ("매일 아침 9시에 전날 들어온 민원을 요약해줘", Summary),
    ("보도자료 다섯 개를 한 문단으로 줄여줘", Summary),
    ("이 문서 요점만 5개 이내로 정리", Summary),
    ("meeting memo summary 해주세요", Summary),
    ("공청회 의견이 너무 길어서 짧게 추려 보고 싶다", Summary),
    ("행사 개최 보도자료 초안 써줘", Draft),
    ("행사명, 일시, 장소를 입력하면 보도자료 초안을 작성해 줘", Draft),
    ("배경, 현황, 개선방안 순으로 보고서 초안 만들어줘", Draft),
    ("민원 답변 초안을 작성하는 앱", Draft),
    ("타 부서 협조 요청 공문 작성해줘", Draft),
    ("내년도 청년 지원 사업 추진계획서 초안", Draft),
    ("시장님 축사 써줄 수 있어?", Draft),
    ("출장 결과보고서 초안 잡아줘", Draft),
    ("주민 안내문을 쉬운 말로 작성해 주세요", Draft),
    ("회의 결과를 정리해서 회의록 초안으로 만들어줘", Draft),
    ("의원 요구자료 답변서 작성", Draft),
    ("press release draft for 체육대회", Draft),
    ("사업계획에서 예산, 기간, 담당부서를 뽑아 표로 정리해줘", Extraction),
    ("회의록에서 안건이랑 결정사항, 기한 추출", Extraction),
    ("공고문에서 신청기간 대상 문의처를 뽑아줘", Extraction),
    ("업무계획 부서별로 사업명, 예산 뽑아서 표로", Extraction),
    ("계약서 올리면 금액, 계약기간, 업체명만 뽑아주는 앱", Extraction),
    ("민원 글에서 위치와 요청사항을 추츌해서 목록으로", Extraction),
    ("메일 본문에서 연락처만 뽑아줘", Extraction),
    ("조례에서 과태료 금액과 대상을 발췌해 표로 만들어", Extraction),
    ("보조금 신청서 extract 해서 사업명, 금액 표로", Extraction),
    ("민원을 교통, 환경, 복지로 분류해줘", Classification),
    ("주민 건의사항을 유형별로 나눠줘", Classification),
    ("들어온 민원이 긴급한지 보통인지 구분해줘", Classification),
    ("설문 의견을 찬성/반대/기타로 분류", Classification),
    ("민원 내용을 보고 어느 부서로 보낼지 배정해줘", Classification),
    ("글을 넣으면 칭찬, 불만, 제안 중 하나로 분뉴해줘", Classification),
    ("접수된 신고를 안전·도로·청소로 구분해 주는 앱", Classification),
    ("공문 형식에 맞는지 점검해줘", RuleCheck),
    ("보도자료에 개인정보 있는지 확인해줘", RuleCheck),
    ("날짜랑 금액 표기가 공문서 규정에 맞는지 체크", RuleCheck),
    ("계획서에 소요예산, 추진일정이 빠졌는지 검토해줘", RuleCheck),
    ("홈페이지에 올리기 전에 주민번호나 전화번호 들어있는지 걸러줘", RuleCheck),
    ("외래어나 어려운 한자어를 썼는지 점검", RuleCheck),
    ("정보통신공사 사용전검사 점검표로 체크하고 싶어요", RuleCheck),
    ("보도자료가 500자 이내인지, 오탈자는 없는지 검수", RuleCheck),
    ("공문 끝 표시와 항목번호가 맞게 썼는지 봐줘", RuleCheck),
    ("월별 민원 건수 엑셀을 집계해서 그래프로", TableAnalysis),
    ("읍면동 인구 통계 평균이랑 증감 보여줘", TableAnalysis),
    ("csv 올리면 합계랑 전년대비 증가율 계산해줘", TableAnalysis),
    ("주차장 이용 데이터 분석해서 추이 차트", TableAnalysis),
    ("매월 6일 초과근무수당 엑셀을 집계해줘", TableAnalysis),
    ("평일 오전 8시 30분마다 업무계획에서 오늘 일정 알려줘", QuestionAnswering),
    ("매주 금요일 민원을 요약해서 목록으로", Summary),
    ("제출 마감 하루 전에 제출 서류가 빠졌는지 점검해줘", RuleCheck),
    ("매년 3월 2일 조례 정비 대상 알려줘", QuestionAnswering),
    ("2026년 자료만 써서 도로 사업 예산 알려줘", QuestionAnswering),
];

#[test]
fn the_task_is_recognised_and_the_sheet_is_sound() {
    let mut wrong = Vec::new();
    for (prompt, task) in PROMPTS {
        let c = composed(prompt);
        if c.sheet.task != *task {
            wrong.push(format!("{prompt}: {:?}", c.sheet.task));
        }
        assert_eq!(c.sheet.faults(), vec![], "{prompt}");
        assert!(c.questions.len() <= MAX_QUESTIONS, "{prompt}");
        assert_ne!(c.sheet.title, *prompt, "the title is not the prompt echoed");
        assert!(c.sheet.title.chars().count() <= 40, "{}", c.sheet.title);
        assert!(c.sheet.purpose.ends_with("다."), "{}", c.sheet.purpose);
        for s in &c.sheet.sentences {
            assert!(s.text.ends_with('.'), "{prompt}: {}", s.text);
        }
        for q in &c.questions {
            assert!(q.options.len() >= 2, "{prompt}: {q:?}");
            for option in &q.options {
                assert_eq!(option.patch.apply(&c.sheet).faults(), vec![], "{prompt}: {}", option.label);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong: {wrong:#?}", wrong.len(), PROMPTS.len());
}

#[test]
fn titles_name_the_subject() {
    for (prompt, title) in [
        ("조례에서 궁금한 걸 물어보면 근거 조문이랑 같이 답해주는 앱", "조례"),
        ("회의록을 붙여 넣으면 세 줄로 요약해 줘", "회의록 요약"),
        ("민원을 교통, 환경, 복지로 분류해줘", "민원 분류"),
        ("행사 개최 보도자료 초안 써줘", "보도자료 초안"),
        ("공문 형식에 맞는지 점검해줘", "공문 점검"),
        ("요약해줘", "업무 요약"),
    ] {
        let c = composed(prompt);
        assert!(c.sheet.title.contains(title), "{prompt}: {}", c.sheet.title);
    }
}

#[test]
fn listed_words_become_the_answer() {
    let columns = |p: &str| match composed(p).sheet.output {
        OutputForm::Table { columns } => columns,
        other => panic!("{p}: {other:?}"),
    };
    assert_eq!(columns("사업계획에서 예산, 기간, 담당부서를 뽑아 표로 정리해줘"), ["예산", "기간", "담당부서"]);
    assert_eq!(columns("회의록에서 안건이랑 결정사항, 기한 추출"), ["안건", "결정사항", "기한"]);
    assert_eq!(columns("계약서 올리면 금액, 계약기간, 업체명만 뽑아주는 앱"), ["금액", "계약기간", "업체명"]);
    let classes = |p: &str| match composed(p).sheet.output {
        OutputForm::Label { classes } => classes,
        other => panic!("{p}: {other:?}"),
    };
    assert_eq!(classes("민원을 교통, 환경, 복지로 분류해줘"), ["교통", "환경", "복지"]);
    assert_eq!(classes("설문 의견을 찬성/반대/기타로 분류"), ["찬성", "반대", "기타"]);
    assert_eq!(classes("글을 넣으면 칭찬, 불만, 제안 중 하나로 분뉴해줘"), ["칭찬", "불만", "제안"]);
    match composed("배경, 현황, 개선방안 순으로 보고서 초안 만들어줘").sheet.output {
        OutputForm::Draft { sections } => assert_eq!(sections, ["배경", "현황", "개선방안"]),
        other => panic!("{other:?}"),
    }
    let rules = composed("계획서에 소요예산, 추진일정이 빠졌는지 검토해줘").sheet.sentences;
    assert!(rules.iter().any(|s| s.text == "다음 항목이 모두 있어야 한다: 소요예산, 추진일정."), "{rules:?}");
}

/// What the sheet says must be what the plan reads from its sentences.
#[test]
fn the_plan_reads_what_the_composer_wrote() {
    for (prompt, _) in PROMPTS {
        let sheet = composed(prompt).sheet;
        let plan = crate::plan::interpret(&sheet);
        assert_eq!(plan.form, sheet.output, "{prompt}: {:?}", sheet.sentences);
        assert_eq!(plan.rules.is_empty(), sheet.task != RuleCheck, "{prompt}");
    }
    let plan = |p: &str| crate::plan::interpret(&composed(p).sheet);
    assert_eq!(plan("회의록을 붙여 넣으면 세 줄로 요약해 줘").max_items, 3);
    assert_eq!(plan("이 문서 요점만 5개 이내로 정리").max_items, 5);
    assert_eq!(plan("2026년 자료만 써서 도로 사업 예산 알려줘").must_mention, ["2026"]);
}

#[test]
fn inputs_follow_the_words() {
    let keys = |p: &str| composed(p).sheet.inputs.into_iter().map(|i| i.key).collect::<Vec<_>>();
    assert_eq!(keys("조례에서 궁금한 걸 물어보면 답해줘"), ["question"]);
    assert_eq!(keys("회의록을 붙여 넣으면 세 줄로 요약해 줘"), ["document"]);
    let press = keys("행사명, 일시, 장소를 입력하면 보도자료 초안을 작성해 줘");
    for key in ["topic", "event", "date", "place"] {
        assert!(press.contains(&key.to_owned()), "{press:?}");
    }
    let deadline = composed("제출 마감 하루 전에 제출 서류가 빠졌는지 점검해줘").sheet;
    assert!(deadline.inputs.iter().any(|i| i.key == "deadline" && i.kind == FieldKind::Date));
    assert!(matches!(deadline.schedule, Some(Schedule::BeforeDate { days: 1, ref field, .. }) if field == "deadline"));
}

#[test]
fn collections_are_picked_by_content_with_the_reason() {
    let all = catalogue();
    let c = compose("출장 숙박비 한도를 물어보면 답해줘", &all).expect("composes");
    assert_eq!(c.sheet.collections(), [all[3].id]);
    assert!(c.guessed.iter().any(|g| g.contains("‘출장’") && g.contains("여비 규정 해설")), "{:?}", c.guessed);
    let named = compose("자치법규에서 찾아 답해줘", &all).expect("composes");
    assert!(matches!(&named.sheet.sources[..], [Source::Collection { guessed: false, id, .. }] if *id == all[0].id));
    let none = compose("반려동물 등록 절차를 물어보면 답해줘", &all).expect("composes");
    assert_eq!(none.sheet.sources, [Source::Readable]);
    assert!(none.questions.iter().any(|q| q.text.contains("어느 자료")));
    assert_eq!(compose("민원을 교통, 환경으로 분류해줘", &all).expect("composes").sheet.sources, []);
}

#[test]
fn a_button_changes_the_sheet() {
    let c = composed("민원 글에서 뽑아줘");
    let q = c.questions.iter().find(|q| q.text.contains("어떤 항목")).expect("asks for fields");
    let sheet = q.options[0].patch.apply(&c.sheet);
    let plan = crate::plan::interpret(&sheet);
    assert_eq!(plan.fields.join(", "), q.options[0].label);
    let c = composed("조례에서 궁금한 걸 물어보면 답해줘");
    let q = c.questions.iter().find(|q| q.text.contains("꼴")).expect("asks for the form");
    let table = q.options.iter().find(|o| o.label == "표").expect("offers a table").patch.apply(&c.sheet);
    assert!(matches!(crate::plan::interpret(&table).form, OutputForm::Table { .. }));
    assert_eq!(table.sentences.iter().filter(|s| crate::plan::names_form(&s.text)).count(), 1);
}

#[test]
fn tables_say_that_they_come_later() {
    let c = composed("월별 민원 건수 엑셀을 집계해서 그래프로");
    assert!(c.sheet.sentences.iter().any(|s| s.text.contains("표 분석은 표 기능과 함께 제공됩니다")));
}

#[test]
fn nothing_typed_is_a_clear_error() {
    assert_eq!(compose("  ?! ", &[]), Err(ComposeError::Empty));
    assert!(ComposeError::Empty.to_string().contains("적어 주세요"));
    assert_eq!(compose(&"가".repeat(MAX_PROMPT + 1), &[]), Err(ComposeError::TooLong));
}

proptest! {
    #[test]
    fn any_prompt_makes_a_sound_sheet(text in "([가-힣 ,.·/:'‘’0-9a-zA-Z?]|\\PC){0,200}") {
        if let Ok(c) = compose(&text, &catalogue()) {
            prop_assert_eq!(c.sheet.faults(), vec![], "{}", text);
            prop_assert!(c.questions.len() <= MAX_QUESTIONS);
            let plan = crate::plan::interpret(&c.sheet);
            prop_assert!(plan.max_items >= 1);
        }
    }
}

#[test]
fn the_hour_is_not_the_subject() {
    let made = compose("당직 규정에 대한 질문에 답해줘. 매월 6일 아침 9시에 돌려줘", &[]).expect("composes");
    assert_eq!(made.sheet.title, "당직 규정 질의응답");
    let schedule = Some(Schedule::Monthly { day: 6, hour: 9, minute: 0 });
    assert_eq!(made.sheet.schedule, schedule);
}
