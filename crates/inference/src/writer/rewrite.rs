//! Texts put into other words as a whole, above all translations: part by part in order, nothing left out. Words of
//! another language cannot be looked up in the text, so that only figures are checked.

use super::cut::{Piece, cut};
use super::material::too_small;
use super::prompt::fenced;
use super::support::UNSUPPORTED_FIGURES;
use super::{Run, apart};
use crate::engine::{EngineError, EngineTask, Finish, Stage};
use std::collections::VecDeque;

/// A reply with room for this many times the tokens of its part is passed on as it comes; others are held until it is
/// certain that they were not cut.
const AMPLE: usize = 8;
/// Parts of fewer tokens are not split again: a reply that is still cut runs on without an end.
const SMALL: usize = 48;

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

/// What stands around every part, and the room for a part and its reply together.
struct Frame {
    system: String,
    inputs: String,
    free: usize,
}

const NOW: &str = "위의 ‘입력: 글’을 옮깁니다.";

/// Writes the whole text anew. A part whose reply was cut is split and written again.
pub(super) async fn write(run: &mut Run<'_>) -> Result<Finish, EngineError> {
    let form = "- 입력된 글 전체를 빠짐없이 차례대로 옮깁니다. 줄과 문단의 나눔을 지킵니다. 설명이나 머리말은 쓰지 않습니다.\n";
    let (system, inputs) = (run.prompter.system(form), run.prompter.inputs());
    let pasted = run.pasted.clone().unwrap_or_default();
    let (free, parts) = apart(|| {
        let fixed = [system.as_str(), inputs.as_str(), NOW, &fenced("입력: 글", "")];
        let free = run.prompter.room(&fixed, 0).ok_or_else(too_small)?;
        // A reply may be longer than what it puts into other words.
        Ok::<_, EngineError>((free, cut(&pasted, (free * 2 / 5).max(1), |t| run.prompter.count(t))))
    })?;
    let frame = Frame { system, inputs, free };
    let mut parts: VecDeque<Piece> = parts.into();
    let (mut any, mut done) = (false, 0);
    while let Some(part) = parts.pop_front() {
        if done + parts.len() > 0 {
            run.emit.progress(Stage::Writing, done, done + parts.len() + 1).await?;
        }
        if write_part(run, &frame, &part, &mut any).await? {
            done += 1;
            continue;
        }
        let halves = apart(|| cut(&part.text, part.tokens.div_ceil(2), |t| run.prompter.count(t)));
        for half in halves.into_iter().rev() {
            parts.push_front(half);
        }
    }
    Ok(Finish { answered: any, unfilled: vec![] })
}

/// Writes one part; `false` where its reply was cut and the part is to be split, of which nothing is written then.
async fn write_part(run: &mut Run<'_>, frame: &Frame, part: &Piece, any: &mut bool) -> Result<bool, EngineError> {
    let most = frame.free.saturating_sub(part.tokens).max(1);
    let messages = run.prompter.messages(&frame.system, &fenced("입력: 글", part.text.trim_end()), &frame.inputs, NOW);
    let mut reply = run.chat(messages, most, None).await?;
    let splits = part.tokens >= SMALL && most < AMPLE * part.tokens;
    let mut held = String::new();
    while let Some(piece) = run.next(&mut reply).await? {
        held.push_str(&piece);
        while let Some(end) = held.find('\n').filter(|_| !splits) {
            let line: String = held.drain(..=end).collect();
            *any |= put(run, line.trim_end()).await?;
        }
    }
    if splits && reply.cut {
        return Ok(false);
    }
    for line in held.lines() {
        *any |= put(run, line.trim_end()).await?;
    }
    if reply.cut {
        run.emit.cut().await?;
    }
    Ok(true)
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
