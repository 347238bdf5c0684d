//! Which kind of task a prompt asks for: weighted words, the last ones counting more, as Korean puts the verb last.

use super::prompt::Prompt;
use madang_domain::TaskKind;

/// The task with the runners-up that the prompt might also mean.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub task: TaskKind,
    /// Other kinds that come close; empty where the prompt is plain.
    pub others: Vec<TaskKind>,
}

/// Words that speak for a kind, with their weight; compared without spaces.
const CUES: &[(TaskKind, &[(&str, f32)])] = &[
    (
        TaskKind::RuleCheck,
        &[
            ("점검", 3.0),
            ("위반", 2.0),
            ("맞는지", 2.5),
            ("맞게썼는지", 2.5),
            ("지켰는지", 3.0),
            ("지키고있는지", 3.0),
            ("체크", 2.0),
            ("맞춤법", 2.5),
            ("오탈자", 2.5),
            ("오타", 2.0),
            ("준수", 2.0),
            ("빠진", 2.0),
            ("빠졌는지", 3.0),
            ("빠뜨린", 2.5),
            ("누락", 2.5),
            ("개인정보", 1.5),
            ("주민번호", 1.5),
            ("주민등록번호", 1.5),
            ("검사해", 2.5),
            ("검토해", 2.0),
            ("검수", 2.5),
            ("교정", 2.0),
            ("틀린", 2.0),
            ("잘못된", 1.5),
            ("형식", 1.0),
            ("들어있는지", 2.0),
            ("있는지확인", 2.5),
            ("있는지봐", 2.5),
            ("걸러", 1.5),
            ("check", 2.0),
            ("어긋", 2.0),
            ("이상없는지", 2.5),
            ("봐줘", 0.5),
            ("쓰였는지", 2.0),
            ("썼는지", 2.0),
            ("됐는지", 1.5),
            ("되었는지", 1.5),
        ],
    ),
    (
        TaskKind::Draft,
        &[
            ("초안", 4.0),
            ("보도자료", 2.0),
            ("보고서", 1.0),
            ("공문", 1.5),
            ("계획서", 1.5),
            ("계획안", 1.5),
            ("기안", 2.0),
            ("작성해", 2.5),
            ("작성하", 2.0),
            ("작성", 1.0),
            ("써줘", 2.5),
            ("써주", 2.5),
            ("써줄", 2.5),
            ("쓰는거", 1.5),
            ("쓰고싶", 2.5),
            ("써야", 2.0),
            ("안내문", 2.0),
            ("인사말", 2.5),
            ("축사", 2.5),
            ("연설문", 2.5),
            ("제안서", 1.5),
            ("답변서", 2.0),
            ("회의록작성", 2.0),
            ("공고문", 1.5),
            ("draft", 4.0),
            ("문안", 2.5),
            ("초고", 3.0),
            ("만들어", 0.6),
            ("시나리오", 1.5),
            ("잡아줘", 2.0),
            ("기사", 0.5),
        ],
    ),
    (
        TaskKind::Summary,
        &[
            ("요약", 4.0),
            ("간추", 4.0),
            ("줄여", 2.5),
            ("핵심만", 3.0),
            ("세줄", 2.5),
            ("3줄", 2.5),
            ("한줄", 2.0),
            ("요점", 3.0),
            ("정리", 1.0),
            ("간략", 2.0),
            ("추려", 2.0),
            ("한눈에", 1.0),
            ("브리핑", 2.0),
            ("summar", 4.0),
            ("짧게", 2.0),
            ("간단히정리", 2.0),
            ("훑어", 2.0),
            ("뭔소린지", 2.5),
            ("무슨내용", 1.5),
        ],
    ),
    (
        TaskKind::Extraction,
        &[
            ("추출", 4.0),
            ("뽑아", 4.0),
            ("뽑는", 4.0),
            ("뽑고", 4.0),
            ("뽑을", 4.0),
            ("발췌", 3.0),
            ("꺼내", 3.0),
            ("항목만", 3.0),
            ("골라내", 2.5),
            ("모아서표", 2.5),
            ("표로정리", 2.0),
            ("표로만들", 2.0),
            ("표로", 0.8),
            ("extract", 4.0),
            ("찾아서표", 2.5),
            ("리스트업", 3.0),
            ("긁어", 2.5),
            ("따로정리", 2.0),
            ("목록으로만들", 1.5),
        ],
    ),
    (
        TaskKind::Classification,
        &[
            ("분류", 4.0),
            ("나눠", 2.5),
            ("나누", 2.5),
            ("유형별", 2.5),
            ("구분해", 2.5),
            ("구분하", 2.0),
            ("카테고리", 3.0),
            ("classify", 4.0),
            ("태그", 2.0),
            ("어느부서로", 3.0),
            ("어느과로", 3.0),
            ("배정", 2.0),
            ("배분", 1.5),
            ("가려", 1.5),
            ("소관부서를정", 3.0),
            ("긴급한지", 2.5),
            ("판별", 2.5),
            ("인지아닌지", 2.0),
            ("종류별", 2.0),
        ],
    ),
    (
        TaskKind::TableAnalysis,
        &[
            ("엑셀", 2.5),
            ("통계", 2.0),
            ("합계", 3.0),
            ("평균", 3.0),
            ("추이", 2.5),
            ("그래프", 3.0),
            ("차트", 3.0),
            ("집계", 3.0),
            ("증감", 2.5),
            ("증가율", 2.0),
            ("비율", 1.5),
            ("csv", 3.0),
            ("xlsx", 3.0),
            ("표분석", 4.0),
            ("데이터분석", 3.0),
            ("데이터", 1.0),
            ("순위", 1.5),
            ("몇건", 1.0),
            ("피벗", 3.0),
            ("전년대비", 2.0),
            ("분석", 1.0),
            ("시각화", 3.0),
            ("더해", 0.5),
            ("계산", 2.0),
        ],
    ),
    (
        TaskKind::QuestionAnswering,
        &[
            ("질의응답", 4.0),
            ("질문", 3.0),
            ("물어보", 3.0),
            ("물어볼", 3.0),
            ("물으면", 3.0),
            ("답해", 3.0),
            ("대답", 3.0),
            ("답변", 1.5),
            ("알려", 2.0),
            ("찾아", 1.5),
            ("찾는", 1.5),
            ("궁금", 2.0),
            ("근거", 1.0),
            ("챗봇", 3.0),
            ("문의", 1.0),
            ("검색", 2.0),
            ("faq", 3.0),
            ("q&a", 3.0),
            ("qna", 3.0),
            ("설명해", 1.5),
            ("안내해", 2.0),
            ("안내", 0.5),
            ("인가요", 1.5),
            ("언제", 1.0),
            ("얼마", 1.0),
            ("어디", 1.0),
            ("무엇", 1.0),
            ("뭐야", 2.0),
            ("?", 1.0),
            ("answer", 3.0),
            ("search", 2.0),
            ("보여줘", 0.8),
        ],
    ),
];

/// A cue this near the end of the prompt counts half as much again.
const END: usize = 14;
/// A runner-up with this share of the best score makes the prompt ambiguous.
const CLOSE: f32 = 0.75;
/// Below this score nothing was really said.
const FAINT: f32 = 1.4;

/// Weighs the prompt. A prompt that names no task is a question to documents.
pub(crate) fn recognise(prompt: &Prompt) -> Intent {
    let mut scored: Vec<(TaskKind, f32)> = CUES.iter().map(|(task, cues)| (*task, score(&prompt.flat, cues))).collect();
    // Rules put in order: drafting "검토 보고서" is no check, a table of fields is no table analysis.
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some((task, best)) = scored.first().copied() else {
        return Intent { task: TaskKind::QuestionAnswering, others: vec![] };
    };
    if best < FAINT {
        let guess = by_likeness(prompt).unwrap_or(TaskKind::QuestionAnswering);
        let others = [TaskKind::QuestionAnswering, TaskKind::Summary, TaskKind::Draft];
        return Intent { task: guess, others: others.into_iter().filter(|t| *t != guess).collect() };
    }
    let others = scored.iter().skip(1).filter(|(_, s)| *s >= CLOSE * best).map(|(t, _)| *t).take(2).collect();
    Intent { task, others }
}

fn score(flat: &str, cues: &[(&str, f32)]) -> f32 {
    let total = flat.chars().count();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut sum = 0.0;
    // Longer cues first: "작성해" must not count as "작성" again.
    let mut sorted: Vec<&(&str, f32)> = cues.iter().collect();
    sorted.sort_by_key(|(cue, _)| std::cmp::Reverse(cue.len()));
    for (cue, weight) in sorted {
        let Some(at) = flat.rfind(cue) else { continue };
        let range = (at, at + cue.len());
        if taken.iter().any(|t| t.0 < range.1 && range.0 < t.1) {
            continue;
        }
        taken.push(range);
        let left = total - flat.get(..at).map_or(0, |t| t.chars().count());
        sum += weight * if left <= END { 1.5 } else { 1.0 };
    }
    sum
}

/// Is the word one that names a task? Such a word is no subject.
pub(crate) fn is_cue(word: &str) -> bool {
    CUES.iter()
        .any(|(_, cues)| cues.iter().any(|(cue, weight)| *weight >= 2.0 && (word == *cue || word.starts_with(cue))))
        && !["보도자료", "공문", "개인정보", "주민번호", "엑셀", "통계", "안내문", "오탈자", "맞춤법"].contains(&word)
}

/// The task whose name differs from a word of the prompt by a single letter (jamo): "요앾" for 요약.
fn by_likeness(prompt: &Prompt) -> Option<TaskKind> {
    const NAMES: [(&str, TaskKind); 6] = [
        ("요약", TaskKind::Summary),
        ("추출", TaskKind::Extraction),
        ("분류", TaskKind::Classification),
        ("점검", TaskKind::RuleCheck),
        ("초안", TaskKind::Draft),
        ("질문", TaskKind::QuestionAnswering),
    ];
    let chars: Vec<char> = prompt.flat.chars().collect();
    NAMES.iter().find(|(name, _)| chars.windows(2).any(|pair| one_letter_apart(pair, name))).map(|(_, task)| *task)
}

fn one_letter_apart(pair: &[char], name: &str) -> bool {
    let split = |c: char| match c {
        '가'..='힣' => {
            let n = c as u32 - '가' as u32;
            Some([n / 588, n % 588 / 28, n % 28])
        }
        _ => None,
    };
    let mut apart = 0;
    for (a, b) in pair.iter().zip(name.chars()) {
        let (Some(x), Some(y)) = (split(*a), split(b)) else {
            return false;
        };
        apart += x.iter().zip(y).filter(|(m, n)| **m != *n).count();
    }
    apart == 1
}
