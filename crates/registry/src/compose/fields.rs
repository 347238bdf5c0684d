//! Input fields: what a reader fills in before each run.

use super::prompt::Prompt;
use super::schedule;
use crate::phrases::{list_items, unspaced};
use madang_domain::{DesignSheet, FieldKind, InputField, TaskKind};

pattern!(
    FILLED_IN,
    r"([가-힣A-Za-z0-9 ,·/]{2,80}?)(?:을|를|만|이나)?\s*(?:입력|적어|적으|넣으|넣어|고르|골라|선택|지정|알려\s*주면|주면|바꿔)"
);

/// Fields that prompts name, with their key and kind.
const KNOWN: [(&[&str], &str, &str); 16] = [
    (&["지역", "읍면동", "동네", "행정동"], "region", "지역"),
    (&["기간"], "period", "기간"),
    (&["연도", "년도"], "year", "연도"),
    (&["대상", "독자", "받는사람", "수신"], "audience", "대상"),
    (&["마감", "기한", "제출일"], "deadline", "마감일"),
    (&["행사명", "행사이름"], "event", "행사명"),
    (&["사업명", "사업이름"], "project", "사업명"),
    (&["일시", "날짜", "일자", "행사일"], "date", "일시"),
    (&["장소", "위치"], "place", "장소"),
    (&["부서"], "department", "부서"),
    (&["주제", "제목", "안건"], "topic", "주제"),
    (&["예산", "금액"], "amount", "금액"),
    (&["이름", "성명"], "name", "이름"),
    (&["분량", "글자수"], "length", "분량"),
    (&["키워드", "검색어"], "keyword", "검색어"),
    (&["인원", "참석자"], "people", "참석자"),
];

/// Words for a text that is pasted, not a field of its own.
const TEXTS: [&str; 22] = [
    "글",
    "문서",
    "내용",
    "텍스트",
    "민원",
    "본문",
    "질문",
    "메일",
    "파일",
    "회의록",
    "자료",
    "공문",
    "보고서",
    "원문",
    "보도자료",
    "공고문",
    "계획서",
    "기사",
    "의견",
    "민원 내용",
    "건의",
    "것",
];

/// Fields for the task, then those the prompt names; at most [`DesignSheet::MAX_INPUTS`].
pub(super) fn inputs(
    prompt: &Prompt,
    task: TaskKind,
    has_collections: bool,
    schedule: Option<&schedule::Found>,
    items: &[String],
) -> Vec<InputField> {
    let mut out = base(prompt, task, has_collections);
    for field in named(prompt, items) {
        if !out.iter().any(|i| i.key == field.key || i.label == field.label) {
            out.push(field);
        }
    }
    if let Some(label) = schedule.and_then(|s| s.deadline.as_ref()) {
        out.retain(|i| i.key != "deadline");
        out.push(input("deadline", label, FieldKind::Date, true, "", false));
    }
    out.truncate(DesignSheet::MAX_INPUTS);
    out
}

fn input(key: &str, label: &str, kind: FieldKind, required: bool, placeholder: &str, guessed: bool) -> InputField {
    InputField { key: key.into(), label: label.into(), kind, required, placeholder: placeholder.into(), guessed }
}

/// The prompt speaks of a text that the reader brings.
pub(super) fn brings_text(prompt: &Prompt) -> bool {
    prompt.has(&[
        "붙여",
        "붙이면",
        "넣으면",
        "올리면",
        "입력하면",
        "입력한",
        "복사",
        "첨부",
        "주면",
        "보내면",
        "올린",
        "받은메일",
        "메일",
        "이글",
        "이문서",
        "긴글",
        "드래그",
        "paste",
        "업로드",
    ])
}

fn base(prompt: &Prompt, task: TaskKind, has_collections: bool) -> Vec<InputField> {
    let long = FieldKind::LongText;
    let question = || input("question", "질문", long.clone(), true, "궁금한 것을 문장으로 적어 주세요.", false);
    let document = |label: &str, required: bool| {
        input("document", label, long.clone(), required, "여기에 글을 붙여 넣어 주세요.", false)
    };
    match task {
        TaskKind::QuestionAnswering | TaskKind::TableAnalysis => vec![question()],
        TaskKind::Classification => vec![document("분류할 글", true)],
        TaskKind::RuleCheck => vec![document("점검할 글", true)],
        TaskKind::Summary | TaskKind::Extraction => {
            let label = if task == TaskKind::Summary { "요약할 글" } else { "항목을 뽑을 글" };
            if brings_text(prompt) || !has_collections {
                return vec![document(label, !has_collections)];
            }
            let topic = input("topic", "주제", FieldKind::Text, false, "비워 두면 자료 전체에서 찾습니다.", true);
            vec![topic, document(label, false)]
        }
        TaskKind::Draft => vec![
            input("topic", "주제", FieldKind::Text, true, "무엇에 관한 문서인지 적어 주세요.", false),
            document("참고할 글", false),
        ],
    }
}

/// "행사명, 일시, 장소를 입력하면" and "지역별로".
fn named(prompt: &Prompt, items: &[String]) -> Vec<InputField> {
    let mut out: Vec<InputField> = Vec::new();
    let mut add = |field: InputField| {
        if !out.iter().any(|i| i.key == field.key) {
            out.push(field);
        }
    };
    for found in FILLED_IN.captures_iter(&prompt.text) {
        let Some(list) = found.get(1) else { continue };
        let cut = ["에서 ", "때 ", "하고 ", "위해 ", "앱인데 "]
            .iter()
            .filter_map(|p| list.as_str().rfind(p).map(|at| at + p.len()))
            .max();
        for (n, item) in list_items(list.as_str().get(cut.unwrap_or(0)..).unwrap_or("")).into_iter().enumerate() {
            let words = item.split_whitespace().count();
            let clause = ["을 ", "를 ", "에 ", "이 "].iter().any(|p| item.contains(p));
            if clause
                || words > 2
                || item.chars().count() > 12
                || TEXTS.iter().any(|t| item == *t || item.ends_with(&format!(" {t}")))
            {
                continue;
            }
            if items.iter().any(|i| unspaced(i) == unspaced(&item)) {
                continue;
            }
            add(known(&item)
                .unwrap_or_else(|| input(&format!("field_{}", n + 1), &item, FieldKind::Text, true, "", false)));
        }
    }
    let by = [
        ("region", "지역", ["지역별", "읍면동별", "동별"]),
        ("period", "기간", ["기간별", "월별", "분기별"]),
        ("department", "부서", ["부서별", "과별", "팀별"]),
    ];
    for (key, label, words) in by {
        if prompt.has(&words) {
            add(input(key, label, FieldKind::Text, false, "비워 두면 전체를 봅니다.", true));
        }
    }
    out
}

fn known(item: &str) -> Option<InputField> {
    let flat = unspaced(item);
    let (_, key, _) = KNOWN.iter().find(|(words, _, _)| words.iter().any(|w| flat.contains(w)))?;
    let kind = match *key {
        // "일시" holds a time beside the day.
        "date" if flat.contains("일시") => FieldKind::Text,
        "deadline" | "date" => FieldKind::Date,
        "length" => FieldKind::Number,
        _ => FieldKind::Text,
    };
    Some(input(key, item, kind, true, "", false))
}
