//! Document drafts: each section by itself, filled from the sources or named as unfilled.

use super::Run;
use super::answer::{question, reply_tokens};
use super::material::gather;
use super::prose::{self, NOTHING, Shape};
use crate::engine::{EngineError, Finish, Stage};
use crate::shape;

/// Writes all sections in order and lists those that the sources could not fill.
pub(super) async fn write(run: &mut Run<'_>, sections: &[String]) -> Result<Finish, EngineError> {
    let each = shape::items_of_section(run.task.plan.max_items, sections.len());
    let form = format!(
        "{}- 문서 초안을 항목별로 씁니다. 전체 차례: {}\n- 항목마다 “- ”로 시작하는 줄로 {each}줄 이내로 씁니다. 항목 이름은 다시 쓰지 않습니다.\n\
         - 그 항목에 들어갈 사실이 글에 없으면 “{NOTHING}”이라고만 씁니다.\n",
        run.prompter.citing(),
        sections.join(", ")
    );
    let (system, inputs) = (run.prompter.system(&form), run.prompter.inputs());
    let reply = reply_tokens(run, each);
    let longest = sections.iter().max_by_key(|s| s.len()).map_or(String::new(), |s| now(s));
    let about = format!("{} {}", question(run), sections.join(" "));
    // The same material for every section: what was computed of it is reused.
    let material = gather(run, &[&system, &inputs, &longest], reply, &about)?;
    let (mut unfilled, mut filled) = (Vec::new(), 0);
    for (done, section) in sections.iter().enumerate() {
        if sections.len() > 1 {
            run.emit.progress(Stage::Writing, done, sections.len()).await?;
        }
        run.emit.hold(&shape::section(section));
        if shape::is_title_section(section) && !run.query.is_empty() {
            let title = run.query.split_whitespace().collect::<Vec<_>>().join(" ");
            run.emit.text(&format!("{}\n\n", shape::escape_markdown(&title))).await?;
            filled += 1;
            continue;
        }
        let messages = run.prompter.messages(&system, &material.text, &inputs, &now(section));
        let mut written = run.chat(messages, reply, run.cited(&material.numbers)).await?;
        let told = prose::write(run, &mut written, Shape::Bullets, each, &material.numbers).await?;
        if told.nothing || told.items == 0 {
            run.emit.text(shape::UNFILLED_SECTION).await?;
            unfilled.push(section.clone());
        } else {
            run.emit.text("\n").await?;
            if written.cut {
                run.emit.cut().await?;
            }
            filled += 1;
        }
    }
    if !unfilled.is_empty() {
        run.emit.text(&shape::unfilled_sections(&unfilled)).await?;
    }
    Ok(Finish { answered: filled > 0, unfilled })
}

fn now(section: &str) -> String {
    format!("지금 쓸 항목: {section}")
}
