//! What the answer is made of: kinds of documents with their sections, fields, classes, rules, form and limits.

use super::Read;
use super::prompt::Prompt;
use crate::phrases::{list_items, quoted_words};
use madang_domain::{OutputForm, TaskKind};

/// Kinds of documents with the words that name them and the sections that such documents have; the first that fits.
const DOCUMENTS: [(&str, &[&str], &[&str]); 13] = [
    (
        "보도자료",
        &["보도자료", "보도문", "언론보도", "홍보기사"],
        &["제목", "핵심 요약", "주요 내용", "추진 배경", "기대 효과", "향후 계획", "문의처"],
    ),
    (
        "민원 답변",
        &["민원답변", "민원회신", "답변서", "민원에답", "답변초안", "회신문"],
        &["민원 요지", "관련 근거", "검토 의견", "처리 계획", "문의처"],
    ),
    ("검토 보고서", &["검토보고", "타당성검토"], &["검토 배경", "현황", "관련 근거", "검토 의견", "향후 계획"]),
    (
        "결과 보고서",
        &["결과보고", "실적보고", "출장보고", "성과보고"],
        &["개요", "추진 결과", "주요 성과", "문제점", "향후 계획"],
    ),
    ("회의록", &["회의록", "회의결과"], &["회의 개요", "참석자", "논의 내용", "결정 사항", "향후 일정"]),
    (
        "의회 답변 자료",
        &["의회답변", "시정질문", "의원요구", "행정사무감사"],
        &["질문 요지", "답변 요지", "추진 현황", "향후 계획"],
    ),
    (
        "계획서",
        &["계획서", "계획안", "추진계획", "기본계획", "운영계획", "사업계획", "계획보고"],
        &["추진 배경", "추진 개요", "현황", "세부 추진 계획", "추진 일정", "소요 예산", "기대 효과"],
    ),
    ("제안서", &["제안서", "제안문", "공모"], &["제안 배경", "현황", "문제점", "제안 내용", "소요 예산", "기대 효과"]),
    (
        "안내문",
        &["안내문", "안내장", "가정통신문", "알림문", "홍보문", "홍보글", "블로그", "카드뉴스"],
        &["제목", "주요 내용", "대상", "기간", "신청 방법", "문의처"],
    ),
    (
        "공고문",
        &["공고문", "공고안", "모집공고", "입찰공고"],
        &["제목", "공고 목적", "대상", "기간", "신청 방법", "제출 서류", "문의처"],
    ),
    (
        "인사말",
        &["인사말", "축사", "연설문", "말씀자료", "격려사", "기념사", "사회자", "시나리오"],
        &["여는 말", "행사의 뜻", "주요 내용", "맺는 말"],
    ),
    (
        "공문",
        &["공문", "기안", "협조전", "시행문", "품의", "협조요청"],
        &["제목", "관련 근거", "주요 내용", "협조 사항", "붙임"],
    ),
    (
        "보고서",
        &["보고서", "보고자료", "보고문", "report"],
        &["추진 배경", "현황", "문제점", "추진 계획", "소요 예산", "기대 효과"],
    ),
];

/// Sets of fields for what is commonly extracted.
const FIELD_SETS: [(&[&str], &[&str]); 7] = [
    (&["회의", "간담회"], &["안건", "결정 사항", "담당 부서", "기한"]),
    (&["민원", "건의", "신고"], &["민원 요지", "위치", "요청 사항", "담당 부서"]),
    (&["공고", "공모", "모집"], &["공고명", "신청 기간", "대상", "문의처"]),
    (&["계약", "입찰", "용역"], &["계약명", "금액", "기간", "업체"]),
    (&["조례", "규정", "법"], &["조항", "대상", "내용", "시행일"]),
    (&["행사", "교육", "강좌"], &["행사명", "일시", "장소", "대상"]),
    (&["사업", "계획", "예산"], &["사업명", "기간", "예산", "담당 부서"]),
];
const USUAL_FIELDS: [&str; 4] = ["제목", "일시", "담당 부서", "금액"];

pattern!(
    SECTIONS_SAID,
    r"([가-힣A-Za-z0-9 ,·/、]{4,120}?)\s*(?:의?\s*순으로|순서로|차례로|순서대로|항목으로|목차로|항목을?\s*넣어|(?:을|를|이|가)?\s*들어가게|(?:을|를)?\s*포함(?:해|한|하)|(?:을|를)\s*넣어)"
);
pattern!(
    FIELDS_SAID,
    r"(.{2,160}?)(?:을|를|만|이|가)?\s*(?:좀|다|쫙|모두|전부|각각|따로|자동으로|깔끔하게|표로|목록으로|엑셀로|한눈에|\s)*(?:뽑|추출|꺼내|발췌|골라|긁어|리스트업|모아|찾아서|표로|정리)"
);
pattern!(FIELDS_COLON, r"(?:항목|필드|칸|열)[^:]{0,8}[:：]\s*([^.]+)");
pattern!(
    CLASSES_SAID,
    r"(.{2,160}?)(?:\s*(?:중|가운데)\s*(?:에서\s*)?(?:하나|한\s*가지|어느|어디)[가-힣]{0,4}|\s*[0-9]+\s*(?:가지|개|종|종류)(?:로)?|이?으?로|으로)?\s*(?:좀|각각|자동으로|유형을|\s)*(?:분류|나눠|나누|구분|가려|판별|태그|인지)"
);
pattern!(
    LIMIT_SAID,
    r"([0-9]{1,3}|한|두|세|네|다섯|여섯|일곱|여덟|아홉|열)\s*(문장|줄|개|가지|건)\s*(?:이내|이하|정도|로|만|까지|씩|요약)"
);
pattern!(YEAR_ONLY, r"((?:19|20)[0-9]{2})년\s*(?:도)?\s*(?:자료|문서|것|내용|사업|계획)?[^.]{0,6}만");
pattern!(LENGTH_SAID, r"[0-9][0-9,]*\s*(?:글자|자)\s*(?:이내|이하|까지|넘)");

/// The kind of document that the prompt names, or `None`.
pub(super) fn document_kind(prompt: &Prompt) -> Option<&'static str> {
    DOCUMENTS.iter().find(|(_, words, _)| prompt.has(words)).map(|(name, _, _)| *name)
}

/// Sections of a kind of document; those of a report for none.
pub(super) fn sections_of(kind: Option<&str>) -> Vec<String> {
    let found = DOCUMENTS.iter().find(|(name, _, _)| Some(*name) == kind).or(DOCUMENTS.last());
    found.map_or_else(Vec::new, |(_, _, sections)| owned(sections))
}

/// Kinds offered as buttons when the prompt names none.
pub(super) const OFFERED: [&str; 4] = ["보고서", "보도자료", "공문", "계획서"];

/// Fields, classes, sections or rules: those the prompt lists, else the usual ones.
pub(super) fn items(prompt: &Prompt, task: TaskKind, document: Option<&str>) -> Read<Vec<String>> {
    let said = match task {
        TaskKind::Extraction => fields_said(prompt),
        TaskKind::Classification => classes_said(prompt),
        TaskKind::Draft => sections_said(prompt),
        TaskKind::RuleCheck => return rules(prompt),
        _ => vec![],
    };
    if !said.is_empty() {
        return Read { value: said, guessed: false };
    }
    let value = match task {
        TaskKind::Extraction => usual_fields(prompt),
        TaskKind::Classification => usual_classes(prompt),
        TaskKind::Draft => sections_of(document),
        _ => {
            return Read { value: vec![], guessed: false };
        }
    };
    // A named kind of document names its sections.
    Read { value, guessed: task != TaskKind::Draft || document.is_none() }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// What follows the last phrase that says where the words come from; empty where that phrase ends the text.
fn after_place(text: &str) -> &str {
    if text.ends_with("에서") || text.ends_with("별로") || text.ends_with("마다") {
        return "";
    }
    const PLACES: [&str; 16] = [
        "에서 ",
        "에서만 ",
        "마다 ",
        "별로 ",
        "올리면 ",
        "넣으면 ",
        "주면 ",
        "하면 ",
        "읽고 ",
        "보고 ",
        "있는 ",
        "중에 ",
        "들어온 ",
        "대해 ",
        "내용을 ",
        "받아 ",
    ];
    let cut = PLACES.iter().filter_map(|p| text.rfind(p).map(|at| at + p.len())).max().unwrap_or(0);
    text.get(cut..).unwrap_or(text)
}

/// Names from a list; clauses and words of how are no names.
fn names(list: &str) -> Vec<String> {
    const NOT_NAMES: [&str; 26] = [
        "내용",
        "핵심",
        "핵심 내용",
        "항목",
        "것",
        "것만",
        "자료",
        "문서",
        "표",
        "목록",
        "결과",
        "주요 내용",
        "중요한 것",
        "필요한 것",
        "이것",
        "그것",
        "자동",
        "이거",
        "그거",
        "글",
        "텍스트",
        "정보",
        "데이터",
        "파일",
        "필요한 항목",
        "중요한 내용",
    ];
    list_items(list)
        .into_iter()
        .map(|i| i.strip_suffix('만').filter(|s| s.chars().count() >= 2).map(str::to_owned).unwrap_or(i))
        .map(|i| i.strip_suffix("이랑").or(i.strip_suffix('랑')).map(str::to_owned).unwrap_or(i))
        .filter(|i| !NOT_NAMES.contains(&i.as_str()) && i.chars().count() <= 15 && i.split_whitespace().count() <= 3)
        .collect()
}

fn fields_said(prompt: &Prompt) -> Vec<String> {
    if let Some(list) = FIELDS_COLON.captures(&prompt.text).and_then(|c| c.get(1)) {
        let found = names(list.as_str());
        if !found.is_empty() {
            return found;
        }
    }
    let Some(list) = FIELDS_SAID
        .captures_iter(&prompt.text)
        .filter_map(|c| c.get(1))
        .map(|m| names(after_place(m.as_str())))
        .find(|l| l.len() >= 2)
    else {
        let single = FIELDS_SAID.captures(&prompt.text).and_then(|c| c.get(1)).map(|m| names(after_place(m.as_str())));
        // One word before the verb is a field only where it is named as a thing of its own ("연락처만 뽑아줘").
        return single.filter(|s| s.len() == 1 && prompt.text.contains("에서 ")).unwrap_or_default();
    };
    list
}

fn usual_fields(prompt: &Prompt) -> Vec<String> {
    FIELD_SETS
        .iter()
        .find(|(words, _)| prompt.has(words))
        .map_or_else(|| owned(&USUAL_FIELDS), |(_, fields)| owned(fields))
}

/// Sets of fields offered as buttons.
pub(super) fn offered_fields() -> Vec<Vec<String>> {
    FIELD_SETS
        .iter()
        .filter(|(w, _)| w.contains(&"사업") || w.contains(&"회의") || w.contains(&"행사"))
        .map(|(_, f)| owned(f))
        .collect()
}

fn classes_said(prompt: &Prompt) -> Vec<String> {
    let quoted = quoted_words(&prompt.text);
    if quoted.len() >= 2 {
        return quoted;
    }
    for found in CLASSES_SAID.captures_iter(&prompt.text) {
        let Some(list) = found.get(1) else { continue };
        let list = after_object(after_place(list.as_str()));
        let classes: Vec<String> = names(list)
            .into_iter()
            .map(|c| {
                let bare = ["인지", "으로", "로", "인가"]
                    .iter()
                    .find_map(|p| c.strip_suffix(p))
                    .filter(|s| s.chars().count() >= 2);
                bare.map(str::to_owned).unwrap_or(c)
            })
            .collect();
        if classes.len() >= 2 {
            return classes;
        }
    }
    vec![]
}

/// "민원을 교통, 환경" → "교통, 환경".
fn after_object(list: &str) -> &str {
    let first = list.find([',', '/', '·']).or_else(|| list.find("이랑 ")).unwrap_or(list.len());
    let head = list.get(..first).unwrap_or("");
    let cut =
        ["을 ", "를 ", "은 ", "는 "].iter().filter_map(|p| head.rfind(p).map(|at| at + p.len())).max().unwrap_or(0);
    list.get(cut..).unwrap_or(list)
}

fn usual_classes(prompt: &Prompt) -> Vec<String> {
    if prompt.has(&["긴급", "급한"]) {
        return owned(&["긴급", "보통"]);
    }
    if prompt.has(&["건의", "의견", "설문", "회의"]) {
        return owned(&["건의", "불편", "문의", "칭찬", "기타"]);
    }
    owned(&["교통", "환경", "복지", "안전", "건축", "기타"])
}

/// Classes offered as buttons.
pub(super) fn offered_classes() -> Vec<Vec<String>> {
    vec![
        owned(&["교통", "환경", "복지", "안전", "건축", "기타"]),
        owned(&["건의", "불편", "문의", "칭찬", "기타"]),
        owned(&["긴급", "보통"]),
    ]
}

fn sections_said(prompt: &Prompt) -> Vec<String> {
    let list = SECTIONS_SAID.captures(&prompt.text).and_then(|c| c.get(1));
    let found = list.map(|m| names(after_object(after_place(m.as_str())))).unwrap_or_default();
    if found.len() >= 2 { found } else { vec![] }
}

const DATE_RULE: &str = "날짜는 ‘2026. 11. 22.’처럼 연월일 대신 온점을 찍어 표기한다.";
const TIME_RULE: &str = "시각은 ‘15:20’처럼 24시각제로 쌍점을 써서 표기한다.";
const AMOUNT_RULE: &str = "금액은 숫자와 한글을 함께 ‘금1,000원(금일천원)’처럼 표기한다.";
const NUMBER_RULE: &str = "항목 번호는 1., 가., 1), 가) 차례로 쓰고 단계마다 두 칸 들여 쓴다.";
const END_RULE: &str = "본문이 끝나면 두 칸 띄우고 ‘끝.’을 표시한다.";
const PERSONAL_RULE: &str = "주민등록번호, 전화번호 등 개인정보가 없어야 한다.";
const PLAIN_RULE: &str = "외래어와 어려운 한자어는 쉬운 우리말로 다듬는다.";

/// Rules that the prompt speaks of; those of official writing where it speaks of none.
fn rules(prompt: &Prompt) -> Read<Vec<String>> {
    let named: [(&[&str], &str); 7] = [
        (&["날짜", "일자"], DATE_RULE),
        (&["시각", "시간표기", "시간형식"], TIME_RULE),
        (&["금액", "예산표기"], AMOUNT_RULE),
        (&["항목번호", "번호체계", "번호순서", "항목기호"], NUMBER_RULE),
        (&["끝표시", "'끝'", "‘끝’", "끝."], END_RULE),
        (&["개인정보", "주민번호", "주민등록번호", "전화번호", "연락처"], PERSONAL_RULE),
        (&["외래어", "순화", "쉬운말", "우리말", "한자어", "어려운말", "공공언어"], PLAIN_RULE),
    ];
    let mut value: Vec<String> = named.iter().filter(|(w, _)| prompt.has(w)).map(|(_, r)| (*r).to_owned()).collect();
    value.extend(required_items(prompt).map(|items| format!("다음 항목이 모두 있어야 한다: {}.", items.join(", "))));
    if let Some(length) = LENGTH_SAID.find(&prompt.text) {
        let limit = length.as_str().trim_end_matches("넘").trim();
        let tail = if limit.ends_with('자') { " 이내" } else { "" };
        value.push(format!("전체 분량은 {limit}{tail}로 한다."));
    }
    if prompt.has(&["조례", "규정", "지침", "매뉴얼", "법령", "기준에맞", "점검표", "체크리스트", "사용전검사"])
    {
        value.push("자료에 적힌 기준을 지켰는지 하나씩 확인한다.".to_owned());
    }
    if value.is_empty() {
        let usual = [DATE_RULE, TIME_RULE, AMOUNT_RULE, NUMBER_RULE, END_RULE, PLAIN_RULE];
        // "공문 형식" names this very set.
        return Read { value: owned(&usual), guessed: !prompt.has(&["공문", "형식", "서식"]) };
    }
    Read { value, guessed: false }
}

/// "소요예산, 추진일정이 빠졌는지", "목적과 일시가 있는지".
fn required_items(prompt: &Prompt) -> Option<Vec<String>> {
    pattern!(
        MISSING,
        r"(.{2,80}?)(?:이|가|은|는|을|를|도)?\s*(?:다|모두|전부|제대로|\s)*(?:빠졌|빠진|빠뜨|누락|들어\s*있는지|들어갔는지|포함(?:됐|되었|돼)|있는지)"
    );
    let list = after_object(after_place(MISSING.captures(&prompt.text)?.get(1)?.as_str()));
    let list = ["에 ", "에는 "].iter().find_map(|p| list.rsplit_once(p)).map_or(list, |(_, rest)| rest);
    let personal = [
        "개인정보",
        "주민",
        "전화",
        "연락처",
        "오탈자",
        "오타",
        "틀린",
        "잘못",
        "위반",
        "문제",
        "항목",
        "것",
        "곳",
        "부분",
    ];
    let found: Vec<String> = names(list)
        .into_iter()
        .filter(|i| !personal.iter().any(|p| i.contains(p)) && i.split_whitespace().count() <= 2)
        .collect();
    (!found.is_empty()).then_some(found)
}

/// Form of the answer.
pub(super) fn form(prompt: &Prompt, task: TaskKind, items: &[String]) -> Read<OutputForm> {
    let table = prompt.has(&["표로", "표형식", "표형태", "엑셀로"]) && !prompt.has(&["목표로만", "지표로만"]);
    let bullets =
        prompt.has(&["글머리", "목록으로", "개조식", "항목별로", "리스트로", "불릿", "bullet", "세줄", "3줄"]);
    let value = match task {
        TaskKind::Draft => OutputForm::Draft { sections: items.to_vec() },
        TaskKind::Classification => OutputForm::Label { classes: items.to_vec() },
        TaskKind::RuleCheck => OutputForm::Checklist,
        TaskKind::Extraction if bullets && !table => OutputForm::Bullets,
        TaskKind::Extraction => OutputForm::Table { columns: items.to_vec() },
        _ if table => OutputForm::Table { columns: owned(&["항목", "내용", "근거"]) },
        _ if bullets => OutputForm::Bullets,
        TaskKind::Summary => OutputForm::Bullets,
        _ => OutputForm::Answer,
    };
    let fixed =
        matches!(task, TaskKind::Draft | TaskKind::Classification | TaskKind::RuleCheck | TaskKind::TableAnalysis);
    Read { value, guessed: !(table || bullets || fixed) }
}

/// "세 문장 이내로" and the like, as a phrase for a sentence of the sheet.
pub(super) fn limit(prompt: &Prompt, task: TaskKind) -> Read<String> {
    let said = LIMIT_SAID.captures(&prompt.text).and_then(|c| {
        let unit = match c.get(2)?.as_str() {
            "줄" => "줄",
            "문장" => "문장",
            _ => "개",
        };
        Some(format!("{} {unit} 이내", c.get(1)?.as_str()))
    });
    match (said, task) {
        (Some(value), _) => Read { value, guessed: false },
        (None, TaskKind::Summary) => Read { value: "다섯 개 이내".into(), guessed: true },
        (None, _) => Read { value: "세 문장 이내".into(), guessed: true },
    }
}

/// Further sentences that the prompt asks for in words the plan reads.
pub(super) fn wishes(prompt: &Prompt) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(year) = YEAR_ONLY.captures(&prompt.text).and_then(|c| c.get(1)) {
        out.push(format!("{}년 자료만 쓴다.", year.as_str()));
    }
    if prompt.has(&["쉬운말로", "쉽게풀어", "알기쉽게", "쉬운표현"]) {
        out.push("시민이 알기 쉬운 말로 쓴다.".to_owned());
    }
    if prompt.has(&["최신", "최근것"]) {
        out.push("여러 자료가 있으면 가장 최근 자료를 먼저 쓴다.".to_owned());
    }
    if prompt.has(&["쪽수", "페이지"]) {
        out.push("근거에는 알 수 있는 경우 쪽을 함께 밝힌다.".to_owned());
    }
    out
}
