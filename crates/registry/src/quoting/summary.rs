//! Summary: the most central sentences of a text, in its own order.
//!
//! Centrality is the mean weight of a sentence's words in the whole text (SumBasic; Nenkova and Vanderwende, 2005);
//! words already told count less, so that the summary spreads over the text.

use super::Material;
use super::units::Unit;
use super::writer::Writer;
use madang_domain::OutputForm;
use madang_inference::{EngineError, EngineTask, Finish};
use std::collections::HashMap;

/// Sentences shorter or longer than this are poor summaries.
const SHORT: usize = 10;
const LONG: usize = 260;

/// Writes up to `plan.max_items` sentences.
pub(super) async fn write(
    task: &EngineTask,
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let units = if material.input_units.is_empty() { &material.passage_units } else { &material.input_units };
    let wanted = Wanted::of(&task.instructions);
    let chosen = central(units, task.plan.max_items.max(1), &wanted);
    if chosen.is_empty() {
        writer.line("간추릴 문장을 찾지 못했습니다. 문장으로 된 글을 붙여 넣어 주세요.").await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    }
    for index in chosen {
        let Some(unit) = units.get(index) else { continue };
        let quoted = writer.quote(unit).await?;
        let piece =
            if task.plan.form == OutputForm::Bullets { format!("- {quoted}\n") } else { format!("{quoted}\n\n") };
        writer.line(&piece).await?;
    }
    Ok(Finish { answered: true, unfilled: vec![] })
}

/// What the sheet's sentences ask a summary to keep first, with the words that show it.
const KEPT_FIRST: [(&[&str], &[&str]); 4] = [
    (&["결정", "결과", "합의"], &["결정하", "결정되", "하기로", "정하였", "정했", "의결", "합의", "쓰기로"]),
    (&["할 일", "조치", "과제", "담당"], &["하기로", "까지", "담당은", "담당:", "맡", "제출", "마치"]),
    (&["기한", "일정", "날짜", "마감"], &["까지", "기한", "마감"]),
    (&["미룬", "보류", "미결", "남은"], &["미루", "보류", "다음 회의에서", "다시 논의", "재논의"]),
];

/// Signs of the sentences that a summary should keep first; empty where the sheet asks for none.
#[derive(Debug, Default)]
pub(super) struct Wanted(Vec<&'static [&'static str]>);

impl Wanted {
    pub fn of(instructions: &[String]) -> Self {
        let named = |cues: &[&str]| instructions.iter().any(|s| cues.iter().any(|c| s.contains(c)));
        Self(KEPT_FIRST.iter().filter(|(cues, _)| named(cues)).map(|(_, signs)| *signs).collect())
    }

    /// 1 for a sentence that shows nothing of what is wanted, more for each kind that it shows.
    fn factor(&self, text: &str) -> f32 {
        let kinds = self.0.iter().filter(|signs| signs.iter().any(|s| text.contains(s))).count();
        1.0 + 1.5 * kinds.min(3) as f32
    }
}

/// Indices of the `count` most central units, ascending.
pub(super) fn central(units: &[Unit], count: usize, wanted: &Wanted) -> Vec<usize> {
    let mut weight: HashMap<&str, f32> = HashMap::new();
    let body: Vec<(usize, &Unit)> =
        units.iter().enumerate().filter(|(_, u)| !u.heading && !u.words.is_empty()).collect();
    for (_, unit) in &body {
        for word in &unit.words {
            *weight.entry(word).or_default() += 1.0;
        }
    }
    let total: f32 = weight.values().sum();
    weight.values_mut().for_each(|w| *w /= total.max(1.0));
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count.min(body.len()) {
        let best = body
            .iter()
            .filter(|(i, _)| !chosen.contains(i))
            .map(|(i, u)| (*i, *u, worth(u, &weight) * wanted.factor(&u.text)))
            .max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(&a.0)));
        let Some((index, unit, value)) = best else { break };
        if value <= 0.0 || chosen.iter().any(|c| units.get(*c).is_some_and(|u| u.flat == unit.flat)) {
            break;
        }
        chosen.push(index);
        for word in &unit.words {
            if let Some(w) = weight.get_mut(word.as_str()) {
                *w *= *w;
            }
        }
    }
    chosen.sort_unstable();
    chosen
}

fn worth(unit: &Unit, weight: &HashMap<&str, f32>) -> f32 {
    let sum: f32 = unit.words.iter().filter_map(|w| weight.get(w.as_str())).sum();
    let n = unit.text.chars().count();
    let length = if (SHORT..=LONG).contains(&n) { 1.0 } else { 0.4 };
    // A sentence of one word is no summary: the mean is damped for few words.
    let mean = sum / (unit.words.len() as f32 + 2.0);
    // Texts open with what they are about.
    let place = 1.0 + 0.3 / (1.0 + unit.position as f32);
    let figures = if unit.text.chars().any(|c| c.is_ascii_digit()) { 1.1 } else { 1.0 };
    mean * length * place * figures
}

#[cfg(test)]
mod tests {
    use super::super::units::of_input;
    use super::*;

    #[test]
    fn central_sentences_in_their_order_without_repeats() {
        let text = "도서관 이용 시간을 밤 10시까지 늘린다. 날씨가 맑다. 도서관 이용 시간 연장은 3월부터 시행한다. 점심은 맛있었다. 도서관 예산은 2억 원이다. 도서관 이용 시간을 밤 10시까지 늘린다.";
        let units = of_input(text);
        let chosen = central(&units, 3, &Wanted::default());
        assert!(chosen.is_sorted());
        let texts: Vec<_> = chosen.iter().map(|i| units[*i].text.as_str()).collect();
        assert!(texts.iter().all(|t| t.contains("도서관")), "{texts:?}");
        assert_eq!(central(&[], 3, &Wanted::default()), Vec::<usize>::new());
    }

    #[test]
    fn what_the_sheet_asks_for_comes_first() {
        let text = "펌프 점검 회의를 열었다. 펌프가 낡았다는 의견이 많았다. 펌프 임차비 3억 원은 예비비로 쓰기로 결정하였다. 쉼터 개방은 다음 회의에서 다시 논의하기로 미루었다.";
        let units = of_input(text);
        let wanted = Wanted::of(&["결정한 일과 미룬 일을 먼저 고른다.".to_owned()]);
        assert_eq!(central(&units, 2, &wanted), [2, 3]);
    }
}
