//! Answers to a question, in sentences or bullets, and the words where there is none.

use super::Run;
use super::material::gather;
use super::prose::{self, Shape, Told};
use crate::engine::{EngineError, Finish};
use crate::shape;
use madang_domain::OutputForm;

/// Tokens of one sentence, generously, and of a reply's frame.
const PER_ITEM: usize = 160;
const FRAME: usize = 128;
const LONGEST: usize = 2048;

/// Bound of a reply of so many sentences.
pub(super) fn reply_tokens(run: &Run<'_>, items: usize) -> usize {
    run.prompter.reply((PER_ITEM * items + FRAME).min(LONGEST))
}

/// The shape that the plan asks for.
pub(super) fn shape_of(run: &Run<'_>) -> Shape {
    if run.task.plan.form == OutputForm::Bullets { Shape::Bullets } else { Shape::Paragraphs }
}

/// How an answer of this shape is written, for the model.
pub(super) fn rules(shape: Shape, limit: usize) -> String {
    match shape {
        Shape::Bullets => format!("- “- ”로 시작하는 줄로 {limit}줄 이내로 씁니다. 제목은 쓰지 않습니다.\n"),
        Shape::Paragraphs => format!("- {limit}문장 이내로 답합니다. 제목이나 머리말은 쓰지 않습니다.\n"),
    }
}

/// Writes up to `plan.max_items` sentences or bullets.
pub(super) async fn write(run: &mut Run<'_>) -> Result<Finish, EngineError> {
    let limit = run.task.plan.max_items.max(1);
    let shape = shape_of(run);
    let form = format!("{}{}{}", run.prompter.citing(), run.prompter.refusing(), rules(shape, limit));
    let (system, inputs) = (run.prompter.system(&form), run.prompter.inputs());
    let now = if run.query.is_empty() {
        "위의 글로 이 앱이 하는 일을 합니다."
    } else {
        "위의 글에서 입력에 대한 답을 찾아 씁니다."
    };
    let reply = reply_tokens(run, limit);
    let question = question(run);
    let material = gather(run, &[&system, &inputs, now], reply, &question)?;
    let messages = run.prompter.messages(&system, &material.text, &inputs, now);
    let mut reply = run.chat(messages, reply, run.cited(&material.numbers)).await?;
    let told = prose::write(run, &mut reply, shape, limit, &material.numbers).await?;
    finish(run, told, reply.cut).await
}

/// What is asked, or what the app is for where nothing was asked.
pub(super) fn question(run: &Run<'_>) -> String {
    if run.query.is_empty() { format!("{} {}", run.task.title, run.task.purpose) } else { run.query.clone() }
}

/// The end of running text: what was not found is said in the words of every engine, and that something is missing
/// where the reply was `cut`.
pub(super) async fn finish(run: &mut Run<'_>, told: Told, cut: bool) -> Result<Finish, EngineError> {
    if told.nothing || told.items == 0 {
        return nothing(run, vec![]).await;
    }
    if cut {
        run.emit.cut().await?;
    }
    Ok(Finish { answered: told.sound > 0, unfilled: vec![] })
}

/// Says that there is no answer.
pub(super) async fn nothing(run: &mut Run<'_>, unfilled: Vec<String>) -> Result<Finish, EngineError> {
    let missing = run.sources.missing_words(&question(run));
    let nearest = run.task.passages.first().map(|p| p.document_title.as_str());
    run.emit.text(&shape::no_answer(&missing, nearest)).await?;
    Ok(Finish { answered: false, unfilled })
}
