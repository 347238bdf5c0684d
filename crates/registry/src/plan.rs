//! Reads a sheet's sentences into a [`Plan`], so that editing a sentence edits the app.
//!
//! Rules only: what a sentence says in other words than these is left to an engine that reads instructions.

use crate::phrases::{count_word, list_items, quoted_words};
use madang_domain::{DesignSheet, OutputForm, Plan, TaskKind};

pattern!(
    LIMIT,
    r"(?:최대|상위|많아야)?\s*([0-9]{1,3}|한|두|세|네|다섯|여섯|일곱|여덟|아홉|열)\s*(?:문장|개|가지|줄|건|행|항목|문단|조각)\s*(이내|이하|까지|정도|로|만|내외|내로|을 넘|를 넘)"
);
pattern!(
    TOP,
    r"(?:최대|상위|많아야)\s*([0-9]{1,3}|한|두|세|네|다섯|여섯|일곱|여덟|아홉|열)\s*(?:문장|개|가지|줄|건|행|항목)"
);
pattern!(FIELD_COLON, r"(?:항목|칸|열|값|정보|내용)[^:：]{0,16}[:：]\s*(.+)$");
pattern!(
    FIELD_VERB,
    r"^(.{2,160}?(?:을|를|만))\s*(?:모두|각각|빠짐없이|찾아|골라|한눈에|표로|차례로|짧게|\s)*(?:뽑|추출|발췌|꺼내|골라|정리|적는다|적어|채운|채워|표시|찾는|찾아)"
);
pattern!(COLUMN, r"^(.{2,160}?)\s*(?:을|를)?\s*(?:열로|칸으로|열에|칸에|열을 둔|열이 있는)");
pattern!(CLASS_COLON, r"(?:분류|유형|가운데|중|부류|갈래)[^:：]{0,16}[:：]\s*(.+)$");
pattern!(
    CLASS_VERB,
    r"^(.{2,160}?)(?:으로|로|중\s*하나로|가운데\s*하나로|중에서|가운데)\s*(?:분류|나눈|나누|구분|가른|가려|고른|고르|판정)"
);
pattern!(SECTION_COLON, r"(?:차례|순서|구성|목차|항목|순)[^:：]{0,16}[:：]\s*(.+)$");
pattern!(
    SECTION_VERB,
    r"^(.{2,200}?)\s*(?:의?\s*(?:순으로|순서로|차례로)|으로 구성|로 구성|항목으로 (?:쓴|작성|구성))"
);
pattern!(MENTION_YEAR, r"((?:19|20)[0-9]{2})년\s*(?:도)?\s*(?:자료|문서|것|내용|사업|계획)[^.]{0,6}만");
pattern!(MENTION_QUOTED, r"(?:들어간|나오는|있는|포함된|담긴|언급한|언급된)\s*(?:자료|문서|구절|문장|내용|것)만");
pattern!(TABLE_WORD, r"(?:^|[^가-힣])(?:표로|표에\s|표 형식|표 형태|도표로|비교표로)");
pattern!(BULLET_WORD, r"글머리표|글머리 기호|목록으로|목록을 만|개조식|항목별로 나열|불릿|bullet");
pattern!(DRAFT_WORD, r"초안을\s*(?:작성|쓴|만든|잡)|초안으로|초안 형태|초안 형식");
pattern!(ANSWER_WORD, r"(?:줄글|문장|서술식|서술형|한 문단)으로\s*(?:답|쓴|쓰|적|풀|요약|정리)");
pattern!(NEGATED, r"지\s*않|지\s*말|말고|금지|대신");

/// Words that name no field of their own.
const GENERIC: [&str; 16] = [
    "다음 항목",
    "항목",
    "내용",
    "핵심",
    "핵심 내용",
    "것",
    "아래 항목",
    "결과",
    "주요 내용",
    "요점",
    "근거",
    "답",
    "문장",
    "다음",
    "자료",
    "중요한 내용",
];

/// Reads the sheet: the last sentence that names a form, list or limit wins over earlier ones and over the sheet's
/// output setting. Never fails: a sheet without such sentences gives its task's usual plan.
pub fn interpret(sheet: &DesignSheet) -> Plan {
    let sentences: Vec<&str> = sheet.sentences.iter().map(|s| s.text.trim()).filter(|s| !s.is_empty()).collect();
    let fields = last(&sentences, |s| named_fields(s, sheet.task));
    let classes = last(&sentences, named_classes);
    let sections = last(&sentences, named_sections);
    let form = form_of(sheet, &sentences, &fields, &classes, &sections);
    Plan {
        task: sheet.task,
        max_items: last_limit(&sentences).unwrap_or_else(|| usual_limit(&form)),
        fields: match (&form, fields.is_empty()) {
            (OutputForm::Table { columns }, true) => columns.clone(),
            _ => fields,
        },
        classes: match &form {
            OutputForm::Label { classes } => classes.clone(),
            _ => classes,
        },
        rules: rules_of(sheet, &sentences),
        must_mention: must_mention(&sentences),
        form,
    }
}

/// What the last sentence that names any says; empty when none does.
fn last(sentences: &[&str], read: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    sentences.iter().rev().map(|s| read(s)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn form_of(
    sheet: &DesignSheet,
    sentences: &[&str],
    fields: &[String],
    classes: &[String],
    sections: &[String],
) -> OutputForm {
    let base = sentences.iter().rev().find_map(|s| form_word(s)).unwrap_or_else(|| sheet.output.clone());
    let or = |new: &[String], old: Vec<String>| if new.is_empty() { old } else { new.to_vec() };
    match base {
        OutputForm::Table { columns } => {
            let set = match &sheet.output {
                OutputForm::Table { columns } => columns.clone(),
                _ => columns,
            };
            let columns = or(fields, set);
            OutputForm::Table { columns: or(&columns, vec!["항목".into(), "내용".into()]) }
        }
        OutputForm::Draft { sections: named } => {
            let set = match &sheet.output {
                OutputForm::Draft { sections } => sections.clone(),
                _ => named,
            };
            let all = or(sections, set);
            OutputForm::Draft {
                sections: or(&all, vec!["개요".into(), "주요 내용".into(), "추진 계획".into()])
            }
        }
        OutputForm::Label { classes: set } => OutputForm::Label { classes: or(classes, set) },
        other => other,
    }
}

/// Does the sentence name a form of the answer?
pub(crate) fn names_form(sentence: &str) -> bool {
    form_word(sentence).is_some()
}

/// The form that a sentence asks for. "목표로", "지표로" are no tables; "표로 만들지 않는다" asks for none.
fn form_word(sentence: &str) -> Option<OutputForm> {
    let asked =
        |re: &regex::Regex| re.find(sentence).is_some_and(|m| !NEGATED.is_match(sentence.get(m.end()..).unwrap_or("")));
    if asked(&TABLE_WORD) {
        Some(OutputForm::Table { columns: vec![] })
    } else if asked(&BULLET_WORD) {
        Some(OutputForm::Bullets)
    } else if asked(&DRAFT_WORD) {
        Some(OutputForm::Draft { sections: vec![] })
    } else if asked(&ANSWER_WORD) {
        Some(OutputForm::Answer)
    } else {
        None
    }
}

fn usual_limit(form: &OutputForm) -> usize {
    match form {
        OutputForm::Answer => 3,
        OutputForm::Bullets => 5,
        OutputForm::Table { .. } => 10,
        OutputForm::Draft { sections } => sections.len().max(1) * 2,
        OutputForm::Label { .. } => 1,
        OutputForm::Checklist => 50,
    }
}

/// "세 문장 이내", "최대 5개"; between 1 and 100.
fn last_limit(sentences: &[&str]) -> Option<usize> {
    sentences.iter().rev().find_map(|s| {
        let found = LIMIT.captures(s).or_else(|| TOP.captures(s))?;
        count_word(found.get(1)?.as_str()).map(|n| n.clamp(1, 100))
    })
}

fn named_fields(sentence: &str, task: TaskKind) -> Vec<String> {
    if matches!(task, TaskKind::RuleCheck | TaskKind::Classification | TaskKind::Draft) {
        return vec![];
    }
    let listed = FIELD_COLON.captures(sentence).and_then(|c| c.get(1)).map(|m| names(&strip_tail(m.as_str())));
    if let Some(listed) = listed.filter(|l| !l.is_empty()) {
        return listed;
    }
    let clause = last_clause(sentence);
    let Some(list) = FIELD_VERB.captures(clause).or_else(|| COLUMN.captures(clause)).and_then(|c| c.get(1)) else {
        return vec![];
    };
    let found = names(list.as_str());
    // One word before 정리 or 찾는다 is the thing worked on; before 뽑는다 it is a field.
    let extracting = ["뽑", "추출", "발췌", "꺼내"].iter().any(|v| clause.contains(v));
    if found.len() >= 2 || (extracting && task == TaskKind::Extraction) { found } else { vec![] }
}

/// "다음 항목을 뽑는다: 예산, 기간. 없는 칸은 비운다" keeps what stands before the next sentence.
fn strip_tail(list: &str) -> String {
    list.split(['.', '。']).next().unwrap_or(list).to_owned()
}

/// What follows the place the words come from: "문서에서 예산을" → "예산을".
fn last_clause(sentence: &str) -> &str {
    const PLACES: [&str; 6] = ["에서 ", "마다 ", "별로 ", "으로부터 ", "에 대해 ", "읽고 "];
    let cut = PLACES.iter().filter_map(|p| sentence.rfind(p).map(|at| at + p.len())).max().unwrap_or(0);
    sentence.get(cut..).unwrap_or(sentence).trim_start()
}

fn names(list: &str) -> Vec<String> {
    list_items(list)
        .into_iter()
        .map(|item| {
            item.strip_suffix('만')
                .filter(|s| s.chars().count() >= 2 && !s.ends_with('불'))
                .map(str::to_owned)
                .unwrap_or(item)
        })
        .filter(|item| !GENERIC.contains(&item.as_str()) && item.split_whitespace().count() <= 4)
        .collect()
}

fn named_classes(sentence: &str) -> Vec<String> {
    if !["분류", "나눈", "나누", "구분", "가른", "가려", "고른", "고르", "판정", "유형", "부류"]
        .iter()
        .any(|w| sentence.contains(w))
    {
        return vec![];
    }
    let colon = CLASS_COLON.captures(sentence).and_then(|c| c.get(1)).map(|m| names(&strip_tail(m.as_str())));
    if let Some(classes) = colon.filter(|c| c.len() >= 2) {
        return classes;
    }
    let clause = after_object(last_clause(sentence));
    let verb = CLASS_VERB.captures(clause).and_then(|c| c.get(1)).map(|m| {
        let text = m.as_str().trim_end();
        let text = ["중 하나", "가운데 하나", "중", "가운데"].iter().find_map(|t| text.strip_suffix(t)).unwrap_or(text);
        names(text)
    });
    verb.filter(|c| c.len() >= 2).unwrap_or_default()
}

/// "민원을 교통, 환경으로" → "교통, 환경으로": the object before the list.
fn after_object(clause: &str) -> &str {
    let first_comma = clause.find([',', '·', '/']).unwrap_or(clause.len());
    let head = clause.get(..first_comma).unwrap_or("");
    let cut =
        ["을 ", "를 ", "은 ", "는 "].iter().filter_map(|p| head.rfind(p).map(|at| at + p.len())).max().unwrap_or(0);
    clause.get(cut..).unwrap_or(clause)
}

fn named_sections(sentence: &str) -> Vec<String> {
    let colon = SECTION_COLON.captures(sentence).and_then(|c| c.get(1)).map(|m| list_items(&unnumbered(m.as_str())));
    if let Some(sections) = colon.filter(|s| s.len() >= 2) {
        return sections;
    }
    let verb = SECTION_VERB.captures(sentence).and_then(|c| c.get(1)).map(|m| list_items(after_object(m.as_str())));
    verb.filter(|s| s.len() >= 2).unwrap_or_default()
}

/// "1. 배경, 2. 현황." without the full stop that ends the sentence.
fn unnumbered(list: &str) -> String {
    list.trim_end_matches(['.', ' ']).to_owned()
}

/// For rule checks, every sentence but those that say what is done with the result.
fn rules_of(sheet: &DesignSheet, sentences: &[&str]) -> Vec<String> {
    const ABOUT_RESULT: [&str; 9] = [
        "점검 결과",
        "결과를",
        "고치는 방법",
        "고칠 방법",
        "아래 기준",
        "다음 기준",
        "점검표로",
        "위치와",
        "입력한 문서를",
    ];
    if sheet.task != TaskKind::RuleCheck {
        return vec![];
    }
    sentences.iter().filter(|s| !ABOUT_RESULT.iter().any(|w| s.contains(w))).map(|s| (*s).to_owned()).collect()
}

/// "2026년 자료만 쓴다", "'노후장비'가 들어간 구절만 쓴다".
fn must_mention(sentences: &[&str]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for s in sentences {
        out.extend(MENTION_YEAR.captures_iter(s).filter_map(|c| c.get(1)).map(|m| m.as_str().to_owned()));
        if MENTION_QUOTED.is_match(s) {
            out.extend(quoted_words(s));
        }
    }
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{OutsideCalls, Sentence};
    use proptest::prelude::*;

    fn sheet(task: TaskKind, output: OutputForm, sentences: &[&str]) -> DesignSheet {
        DesignSheet {
            title: "시험".into(),
            purpose: "시험".into(),
            task,
            sentences: sentences.iter().map(|t| Sentence { text: (*t).into(), guessed: false }).collect(),
            inputs: vec![],
            sources: vec![],
            output,
            schedule: None,
            outside: OutsideCalls::Never,
        }
    }

    fn plan(task: TaskKind, sentences: &[&str]) -> Plan {
        let output = match task {
            TaskKind::Extraction => OutputForm::Table { columns: vec!["제목".into()] },
            TaskKind::Draft => OutputForm::Draft { sections: vec!["개요".into()] },
            TaskKind::Classification => OutputForm::Label { classes: vec!["가".into(), "나".into()] },
            TaskKind::RuleCheck => OutputForm::Checklist,
            _ => OutputForm::Answer,
        };
        interpret(&sheet(task, output, sentences))
    }

    #[test]
    fn words_of_form_win_over_the_setting() {
        let form = |s: &str| plan(TaskKind::QuestionAnswering, &[s]).form;
        assert!(matches!(form("결과를 표로 정리한다."), OutputForm::Table { .. }));
        assert_eq!(form("결과를 글머리표 목록으로 정리한다."), OutputForm::Bullets);
        assert_eq!(form("개조식으로 쓴다."), OutputForm::Bullets);
        assert!(matches!(form("보고서 초안을 작성한다."), OutputForm::Draft { .. }));
        for plain in ["주민 만족을 목표로 한다.", "성과를 지표로 살핀다.", "표로 만들지 않는다.", "목록 자료를 읽는다."]
        {
            assert_eq!(form(plain), OutputForm::Answer, "{plain}");
        }
        let both = plan(TaskKind::QuestionAnswering, &["표로 정리한다.", "목록으로 정리한다."]);
        assert_eq!(both.form, OutputForm::Bullets, "the last sentence wins");
    }

    #[test]
    fn limits() {
        let limit = |s: &str| plan(TaskKind::QuestionAnswering, &[s]).max_items;
        assert_eq!(limit("답은 세 문장 이내로 쓴다."), 3);
        assert_eq!(limit("최대 10개를 보인다."), 10);
        assert_eq!(limit("다섯 가지로 정리한다."), 5);
        assert_eq!(limit("7줄 이하로 쓴다."), 7);
        assert_eq!(limit("900개 이내로 쓴다."), 100);
        assert_eq!(limit("근거를 밝힌다."), 3, "the usual number of an answer");
    }

    #[test]
    fn fields_follow_the_sentence() {
        let fields = |s: &str| plan(TaskKind::Extraction, &[s]).fields;
        assert_eq!(fields("예산, 기간, 담당부서를 뽑는다."), ["예산", "기간", "담당부서"]);
        assert_eq!(fields("다음 항목을 뽑는다: 사업명, 예산 및 기간."), ["사업명", "예산", "기간"]);
        assert_eq!(fields("붙여 넣은 글에서 안건과 결정 사항을 추출한다."), ["안건", "결정 사항"]);
        assert_eq!(fields("연락처만 뽑는다."), ["연락처"]);
        assert_eq!(fields("핵심 내용을 뽑는다."), ["제목"], "no field named: the columns of the output stay");
        let p = plan(TaskKind::Extraction, &["예산, 기간을 뽑는다."]);
        assert_eq!(p.form, OutputForm::Table { columns: vec!["예산".into(), "기간".into()] });
    }

    #[test]
    fn classes_sections_and_rules() {
        let classes = |s: &str| plan(TaskKind::Classification, &[s]).classes;
        assert_eq!(classes("민원을 교통, 환경, 복지로 분류한다."), ["교통", "환경", "복지"]);
        assert_eq!(classes("입력한 글을 다음 가운데 하나로 분류한다: 긴급, 보통."), ["긴급", "보통"]);
        assert_eq!(classes("까닭을 밝힌다."), ["가", "나"]);
        let draft = plan(TaskKind::Draft, &["다음 차례로 쓴다: 추진 배경, 추진 결과, 소요 예산."]);
        assert_eq!(
            draft.form,
            OutputForm::Draft {
                sections: ["추진 배경", "추진 결과", "소요 예산"].map(String::from).into()
            }
        );
        let rules = plan(
            TaskKind::RuleCheck,
            &[
                "입력한 문서를 아래 기준으로 점검한다.",
                "날짜 표기를 지킨다.",
                "어긋난 곳의 위치와 고치는 방법을 보인다.",
            ],
        )
        .rules;
        assert_eq!(rules, ["날짜 표기를 지킨다."]);
    }

    #[test]
    fn words_that_passages_must_bear() {
        let must = |s: &str| plan(TaskKind::QuestionAnswering, &[s]).must_mention;
        assert_eq!(must("2026년 자료만 쓴다."), ["2026"]);
        assert_eq!(must("‘노후장비’가 들어간 구절만 쓴다."), ["노후장비"]);
        assert!(must("2026년 사업을 설명한다.").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in "([가-힣 ,.:‘’0-9]|\\PC){0,120}") {
            for task in TaskKind::ALL {
                let p = plan(task, &[&text]);
                prop_assert!((1..=100).contains(&p.max_items));
            }
        }
    }
}
