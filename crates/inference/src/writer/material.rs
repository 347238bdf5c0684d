//! What a model is given to read for one reply: passages and the pasted text as far as they fit, and a word on what was
//! left out.

use super::cut::{cut, excerpt};
use super::prompt::fenced;
use super::{Run, apart};
use crate::engine::EngineError;
use madang_korean::content_words;

/// Pieces that a long pasted text is cut into, as parts of the room for it.
const PIECES: usize = 8;

/// Fenced texts that fit, and the numbers of the passages among them.
#[derive(Debug, Default)]
pub(super) struct Material {
    pub text: String,
    pub numbers: Vec<usize>,
}

/// The context is too small for even a little material.
pub(super) fn too_small() -> EngineError {
    EngineError::Failed(
        "앱의 설명과 입력이 이 모델이 읽을 수 있는 길이를 거의 다 차지합니다. 입력을 줄이거나 더 긴 글을 읽는 모델을 써 주세요.".into(),
    )
}

/// Gathers what is read for `question` beside the `fixed` texts and a reply of `reply` tokens.
///
/// # Errors
/// The context is too small.
pub(super) fn gather(run: &mut Run<'_>, fixed: &[&str], reply: usize, question: &str) -> Result<Material, EngineError> {
    apart(|| gathered(run, fixed, reply, question))
}

fn gathered(run: &mut Run<'_>, fixed: &[&str], reply: usize, question: &str) -> Result<Material, EngineError> {
    let room = run.prompter.room(fixed, reply).ok_or_else(too_small)?;
    let indices = run.task.demanded();
    let mut material = Material::default();
    let mut left = room;
    if let Some(pasted) = &run.pasted {
        // Beside passages the pasted text may take half.
        let share = if indices.is_empty() { room } else { room / 2 };
        let (text, left_out) = read_pasted(run, pasted, share, question);
        left = left.saturating_sub(run.prompter.count(&text));
        material.text = text;
        if left_out {
            run.emit.hold("붙여 넣은 글이 길어 관련된 부분만 읽었습니다.\n\n");
        }
    }
    let packed = run.prompter.pack(&indices, left);
    if packed.left_out > 0 {
        let (all, out) = (indices.len(), packed.left_out);
        run.emit
            .hold(&format!("찾은 자료 {all}개 가운데 {out}개는 모델이 읽을 수 있는 길이를 넘어 빼고 답합니다.\n\n"));
    }
    if !material.text.is_empty() && !packed.text.is_empty() {
        material.text.push('\n');
    }
    material.text.push_str(&packed.text);
    material.numbers = packed.numbers;
    Ok(material)
}

/// The pasted text, fenced, as far as it fits; where it does not, the pieces about the question. Also whether
/// something was left out.
fn read_pasted(run: &Run<'_>, pasted: &str, room: usize, question: &str) -> (String, bool) {
    let name = "입력: 글";
    let whole = fenced(name, pasted);
    if run.prompter.count(&whole) <= room {
        return (whole, false);
    }
    let count = |t: &str| run.prompter.count(t);
    let inside = room.saturating_sub(count(&fenced(name, ""))).max(1);
    let pieces = cut(pasted, (inside / PIECES).max(1), count);
    let (text, left_out) = excerpt(&pieces, &content_words(question), inside);
    (fenced(name, &text), left_out > 0)
}
