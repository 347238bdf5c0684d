//! Summaries, also of texts longer than the context: parts are noted down two at a time (map), notes are drawn
//! together until they fit (reduce), and the summary is written from them.

use super::answer::{self, reply_tokens, rules, shape_of};
use super::cut::{Piece, cut};
use super::material::too_small;
use super::prompt::{Packed, fenced};
use super::prose;
use super::{Run, apart};
use crate::engine::{EngineError, Finish, Stage};
use futures_util::{FutureExt, StreamExt};

/// Parts noted down at once.
const AT_ONCE: usize = 2;
/// Notes may take this part of what they note down, so that each round shrinks the text.
const SHRINK: usize = 4;
/// Rounds of drawing notes together; the rest is cut.
const ROUNDS: usize = 4;
const LONGEST_NOTES: usize = 1024;
/// Stands before a summary of notes that are not complete.
const INCOMPLETE: &str =
    "글이 길어 부분마다 적은 메모의 끝이 일부 빠졌습니다. 빠진 내용이 없는지 원문을 확인해 주세요.\n\n";

/// A part of the material: fenced text with the passages in it.
type Part = Packed;

/// Writes a summary of the pasted text, or of the passages.
pub(super) async fn write(run: &mut Run<'_>) -> Result<Finish, EngineError> {
    let limit = run.task.plan.max_items.max(1);
    let shape = shape_of(run);
    let system = run.prompter.system(&format!("{}{}", run.prompter.citing(), rules(shape, limit)));
    let inputs = run.prompter.inputs();
    let now = "위의 글 전체를 간추립니다.";
    let reply = reply_tokens(run, limit);
    let (room, mut parts) = apart(|| {
        let room = run.prompter.room(&[&system, &inputs, now], reply).ok_or_else(too_small)?;
        Ok::<_, EngineError>((room, parts(run, room)))
    })?;
    let numbers: Vec<usize> = parts.iter().flat_map(|p| p.numbers.iter().copied()).collect();
    let (mut round, mut incomplete) = (0, false);
    while parts.len() > 1 {
        let stage = if round == 0 { Stage::Reading } else { Stage::Gathering };
        let (notes, cut) = note_down(run, &parts, stage).await?;
        round += 1;
        parts = apart(|| gathered(run, &notes, room, &numbers));
        incomplete |= cut || (round == ROUNDS && parts.len() > 1);
        parts.truncate(if round < ROUNDS { usize::MAX } else { 1 });
    }
    if incomplete {
        run.emit.hold(INCOMPLETE);
    }
    let material = parts.first().map_or("", |p| p.text.as_str());
    let messages = run.prompter.messages(&system, material, &inputs, now);
    let mut reply = run.chat(messages, reply, run.cited(&numbers)).await?;
    let told = prose::write(run, &mut reply, shape, limit, &numbers).await?;
    answer::finish(run, told, reply.cut).await
}

/// The material in parts that fit into `room` tokens.
fn parts(run: &Run<'_>, room: usize) -> Vec<Part> {
    if let Some(pasted) = &run.pasted {
        return gathered(run, pasted, room, &[]);
    }
    let mut left = run.task.demanded();
    let mut out = Vec::new();
    while !left.is_empty() {
        let packed = run.prompter.pack(&left, room);
        if packed.numbers.is_empty() {
            break;
        }
        left.retain(|i| !packed.numbers.contains(&(i + 1)));
        out.push(packed);
    }
    out
}

/// A text in fenced parts that fit into `room` tokens.
fn gathered(run: &Run<'_>, text: &str, room: usize, numbers: &[usize]) -> Vec<Part> {
    let name = "입력: 글";
    let inside = room.saturating_sub(run.prompter.count(&fenced(name, "")) + 1).max(1);
    let tokens = run.prompter.count(text);
    let pieces = if tokens <= inside {
        vec![Piece { text: text.to_owned(), tokens }]
    } else {
        cut(text, inside, |t| run.prompter.count(t))
    };
    let part = |piece: Piece| Part { text: fenced(name, &piece.text), numbers: numbers.to_vec(), left_out: 0 };
    pieces.into_iter().map(part).collect()
}

/// Notes on all parts, in their order, and whether some came to their bound.
async fn note_down(run: &Run<'_>, parts: &[Part], stage: Stage) -> Result<(String, bool), EngineError> {
    let form = format!(
        "{}- 긴 글의 한 부분입니다. 이 앱이 하는 일에 필요한 사실을 “- ”로 시작하는 줄로 빠짐없이 짧게 적습니다. 머리말은 쓰지 않습니다.\n",
        run.prompter.citing()
    );
    let system = run.prompter.system(&form);
    run.emit.progress(stage, 0, parts.len()).await?;
    let work: Vec<_> = parts.iter().map(|part| notes(run, &system, part).boxed()).collect();
    let mut all = futures_util::stream::iter(work).buffered(AT_ONCE);
    let (mut out, mut done, mut cut) = (String::new(), 0, false);
    while let Some(notes) = all.next().await {
        let (notes, short) = notes?;
        cut |= short;
        out.push_str(notes.trim());
        out.push('\n');
        done += 1;
        run.emit.progress(stage, done, parts.len()).await?;
    }
    Ok((out, cut))
}

async fn notes(run: &Run<'_>, system: &str, part: &Part) -> Result<(String, bool), EngineError> {
    let now = "이 부분의 사실을 적습니다.";
    let size = apart(|| run.prompter.count(&part.text));
    let most = run.prompter.reply((size / SHRINK).clamp(64, LONGEST_NOTES));
    let messages = run.prompter.messages(system, &part.text, "", now);
    let mut reply = run.chat(messages, most, run.cited(&part.numbers)).await?;
    let mut out = String::new();
    while let Some(piece) = run.next(&mut reply).await? {
        out.push_str(&piece);
    }
    Ok((out, reply.cut))
}
