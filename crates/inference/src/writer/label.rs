//! Classification: one of the sheet's classes, by a schema that allows no other, with the words that decided.

use super::Run;
use super::material::gather;
use crate::chat::Constraint;
use crate::engine::{EngineError, EngineTask, Finish};
use crate::shape;
use madang_domain::OutputForm;
use madang_korean::normalise;
use serde_json::{Value, json};

/// Longest reason, characters.
const MAX_REASON: usize = 200;
const REPLY: usize = 320;
/// Stands for "no other class comes near".
const NO_SECOND: &str = "없음";

/// The classes to choose from.
pub(super) fn classes(task: &EngineTask) -> &[String] {
    match &task.plan.form {
        OutputForm::Label { classes } if !classes.is_empty() => classes,
        _ => &task.plan.classes,
    }
}

/// Writes the class, the words that decided and the runner-up.
pub(super) async fn write(run: &mut Run<'_>) -> Result<Finish, EngineError> {
    let classes = classes(run.task).to_vec();
    let form = format!(
        "- 입력된 글을 다음 가운데 하나로 나눕니다: {}\n\
         - 답은 JSON으로만 씁니다. ‘까닭’에는 판단의 근거가 된 문장을 글에서 그대로 옮기고, ‘갈래’에 하나를 고르고, 비슷하게 가까운 갈래가 있으면 ‘다음’에, 없으면 “{NO_SECOND}”을 적습니다.\n",
        classes.join(", ")
    );
    let (system, inputs) = (run.prompter.system(&form), run.prompter.inputs());
    let now = "위의 글이 어느 갈래인지 고릅니다.";
    let reply = run.prompter.reply(REPLY);
    let about = classes.join(" ");
    let material = gather(run, &[&system, &inputs, now], reply, &about)?;
    let messages = run.prompter.messages(&system, &material.text, &inputs, now);
    let mut written = run.chat(messages, reply, Some(Constraint::JsonSchema(schema(&classes)))).await?;
    let mut text = String::new();
    while let Some(piece) = run.next(&mut written).await? {
        text.push_str(&piece);
    }
    let Some(choice) = Choice::read(&text, &classes) else {
        run.emit
            .text(&format!(
                "어느 갈래인지 정하지 못했습니다({}). 사람이 확인해 주세요.\n",
                shape::escape_markdown(&about)
            ))
            .await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    };
    run.emit.text(&shape::class(&choice.class)).await?;
    if !choice.reason.is_empty() {
        let reason = shape::escape_markdown(&choice.reason);
        let words = if quotes(run.pasted.as_deref().unwrap_or_default(), &choice.reason) {
            format!("“{reason}”")
        } else {
            format!("{reason}{}", run.sources.judge(&choice.reason, &[]).warning())
        };
        run.emit.text(&format!("- 까닭: {words}\n")).await?;
    }
    if let Some(second) = &choice.second {
        run.emit.text(&shape::second_class(second)).await?;
    }
    Ok(Finish { answered: true, unfilled: vec![] })
}

fn schema(classes: &[String]) -> Value {
    let second: Vec<&str> = classes.iter().map(String::as_str).chain([NO_SECOND]).collect();
    json!({
        "type": "object",
        "properties": {
            "까닭": { "type": "string", "maxLength": MAX_REASON },
            "갈래": { "type": "string", "enum": classes },
            "다음": { "type": "string", "enum": second },
        },
        "required": ["까닭", "갈래", "다음"],
        "additionalProperties": false,
        "x-guidance": { "whitespace_flexible": false },
    })
}

/// What the model chose.
#[derive(Debug, PartialEq)]
struct Choice {
    class: String,
    reason: String,
    second: Option<String>,
}

impl Choice {
    /// `None` where no class of the sheet can be read.
    fn read(text: &str, classes: &[String]) -> Option<Self> {
        let from = text.find('{')?;
        let to = text.rfind('}')?;
        let value: Value = serde_json::from_str(text.get(from..=to)?).ok()?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).map(str::trim);
        let class = word("갈래").filter(|c| classes.iter().any(|known| known == c))?.to_owned();
        let second = word("다음").filter(|c| *c != class && classes.iter().any(|known| known == c)).map(str::to_owned);
        let reason = word("까닭").unwrap_or_default().chars().take(MAX_REASON).collect();
        Some(Self { class, reason, second })
    }
}

/// Does the text hold these very words, spacing aside?
fn quotes(text: &str, words: &str) -> bool {
    let flat = |t: &str| normalise(t).chars().filter(|c| !c.is_whitespace()).collect::<String>();
    flat(text).contains(&flat(words))
}
