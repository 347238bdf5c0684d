//! Texts put into other words as a whole, above all translations: part by part in order, nothing left out. Words of
//! another language cannot be looked up in the text, so that only figures are checked.

use super::Run;
use super::material::too_small;
use super::prompt::{cut, fenced};
use super::support::UNSUPPORTED_FIGURES;
use crate::engine::{EngineError, EngineTask, Finish, Stage};

/// Signs that a sheet asks for the whole text in other words.
const SIGNS: [&str; 8] =
    ["번역", "쉬운 말로 바꾸", "쉬운 말로 고치", "쉬운 말로 풀어", "다듬어", "고쳐 쓴", "바꿔 쓴", "바꾸어 쓴"];
/// Signs that it asks for less than the whole.
const SHORTER: [&str; 4] = ["요약", "간추", "줄인다", "핵심"];

/// Does the app put texts into other words?
pub(super) fn asked(task: &EngineTask) -> bool {
    let said = |signs: &[&str]| {
        let words = task.instructions.iter().chain([&task.title, &task.purpose]);
        words.into_iter().any(|t| signs.iter().any(|s| t.contains(s)))
    };
    said(&SIGNS) && !said(&SHORTER)
}

/// Writes the whole text anew.
pub(super) async fn write(run: &mut Run<'_>) -> Result<Finish, EngineError> {
    let form = "- 입력된 글 전체를 빠짐없이 차례대로 옮깁니다. 줄과 문단의 나눔을 지킵니다. 설명이나 머리말은 쓰지 않습니다.\n";
    let (system, inputs) = (run.prompter.system(form), run.prompter.inputs());
    let now = "위의 ‘입력: 글’을 옮깁니다.";
    let pasted = run.pasted.clone().unwrap_or_default();
    // A reply may be longer than what it puts into other words.
    let free = run.prompter.room(&[&system, &inputs, now, &fenced("입력: 글", "")], 0).ok_or_else(too_small)?;
    let part = (free * 2 / 5).max(1);
    let reply = free - part;
    let parts = cut(&pasted, part, |t| run.prompter.count(t));
    let mut any = false;
    for (done, part) in parts.iter().enumerate() {
        if parts.len() > 1 {
            run.emit.progress(Stage::Writing, done, parts.len()).await?;
        }
        let messages = run.prompter.messages(&system, &fenced("입력: 글", part.trim_end()), &inputs, now);
        let mut stream = run.chat(messages, reply, None).await?;
        let mut held = String::new();
        while let Some(piece) = run.next(&mut stream).await? {
            held.push_str(&piece);
            while let Some(end) = held.find('\n') {
                let line: String = held.drain(..=end).collect();
                any |= put(run, line.trim_end()).await?;
            }
        }
        any |= put(run, held.trim_end()).await?;
    }
    Ok(Finish { answered: any, unfilled: vec![] })
}

/// Writes one line with a warning on figures that the text does not hold; `false` for an empty one.
async fn put(run: &mut Run<'_>, line: &str) -> Result<bool, EngineError> {
    if line.is_empty() {
        return Ok(false);
    }
    let figures = run.sources.foreign_figures(line);
    let warning =
        if figures.is_empty() { String::new() } else { format!(" _({UNSUPPORTED_FIGURES}: {})_", figures.join(", ")) };
    // Lines of prose are paragraphs; lists and tables keep together.
    let block = line.trim_start().starts_with(['-', '*', '|', '#', '>']);
    run.emit.text(&format!("{line}{warning}{}", if block { "\n" } else { "\n\n" })).await?;
    Ok(true)
}
