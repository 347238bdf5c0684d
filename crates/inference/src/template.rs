//! A conversation as the prompt that the model was trained on: its own Jinja chat template. Splitting the prompt into
//! tokens lives in `tokenizer`; what a task says to a model lives with its writers.
//!
//! **People's text cannot forge the template's special tokens.** Templates trim, test and split what people wrote, so
//! placeholders put in its place would change what a template does. Instead the text itself is rendered, with a cut
//! mark inside every stretch that could be read as a special token (after its first character), and at the edges of a
//! message where text and template could make one together. The mark is a private-use character that occurs in none of
//! the messages; after rendering, the prompt is cut at the marks, and since a special token is recognised only within
//! one segment, none can arise there. Text without such stretches is rendered as it is. Consequence: a template that
//! looks for its own special tokens in a message (`'</think>' in content`) does not find them.
//!
//! A template comes with a model file and is not trusted: its steps are bounded, and it reaches nothing but the
//! conversation and the date.

use crate::tokenizer::Segment;
use crate::{ChatError, Message, ModelError, Role, Tokenizer};
use candle_core::quantized::gguf_file::{Content, Value as GgufValue};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use std::path::Path;
use std::sync::Arc;

/// Steps of a template: a conversation of a thousand turns takes about a million.
const FUEL: u64 = 20_000_000;
const NAME: &str = "chat";
/// Begins what [`raise_exception`] says, to tell it from faults of the template.
const RAISED: &str = "raised: ";

/// ChatML, which Qwen2 and Qwen3 were trained on, for files of these families that carry no template.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + \
    '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// A model's chat template, compiled.
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokenizer: Arc<Tokenizer>,
}

impl ChatTemplate {
    /// The template in the metadata of `gguf`, else `chat_template.jinja` or `tokenizer_config.json` beside the model,
    /// else ChatML where the architecture is known to speak it. `None` for models that have none: they continue raw
    /// prompts.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a template that does not compile; [`ModelError::Io`] and
    /// [`ModelError::Damaged`] for files beside the model.
    pub fn open(
        model_path: &Path,
        gguf: Option<&Content>,
        tokenizer: &Arc<Tokenizer>,
    ) -> Result<Option<Self>, ModelError> {
        let source = match gguf.and_then(|c| c.metadata.get("tokenizer.chat_template")) {
            Some(GgufValue::String(source)) => Some(source.clone()),
            Some(_) => return Err(ModelError::damaged("tokenizer.chat_template 값의 종류")),
            None => beside(model_path)?,
        };
        let source = source.or_else(|| {
            let chatml = gguf.is_some_and(|c| {
                matches!(c.metadata.get("general.architecture"), Some(GgufValue::String(a)) if a == "qwen2" || a == "qwen3")
            });
            let speaks = ["<|im_start|>", "<|im_end|>"].iter().all(|t| {
                tokenizer.token_id(t).is_some_and(|id| tokenizer.is_markup(id))
            });
            (chatml && speaks).then(|| CHATML.to_owned())
        });
        source.map(|s| Self::new(s, tokenizer)).transpose()
    }

    /// Compiles a template for this tokenizer.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] with what could not be understood.
    pub fn new(source: String, tokenizer: &Arc<Tokenizer>) -> Result<Self, ModelError> {
        let mut environment = Environment::new();
        // As in Hugging Face `transformers`, for which templates are written.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| ModelError::unsupported(e.to_string()))?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        environment
            .add_template_owned(NAME, source)
            .map_err(|e| ModelError::unsupported(format!("대화 서식(chat template)을 이해하지 못했습니다: {e}")))?;
        Ok(Self { environment, tokenizer: tokenizer.clone() })
    }

    /// The conversation up to where the model begins to speak, in stretches of markup for
    /// [`Tokenizer::encode_segments`]. Joined they are the prompt as the template writes it.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] where the template refuses the conversation (roles that do not alternate);
    /// [`ChatError::Failed`] where the template is at fault.
    pub fn render(&self, messages: &[Message], thinking: bool) -> Result<Vec<String>, ChatError> {
        let mark = free_mark(messages);
        let marked: Vec<Message> =
            messages.iter().map(|m| Message::new(m.role, self.tokenizer.cut_markup(&m.content, mark))).collect();
        let prompt = self.prompt(&marked, thinking)?;
        Ok(prompt.split(mark).filter(|s| !s.is_empty()).map(str::to_owned).collect())
    }

    /// The prompt's tokens, with the beginning-of-sequence token where the model wants one and the template has not
    /// written it.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn encode(&self, messages: &[Message], thinking: bool) -> Result<Vec<u32>, ChatError> {
        let segments = self.render(messages, thinking)?;
        let segments: Vec<_> = segments.iter().map(|s| Segment::Markup(s)).collect();
        let mut ids = self.tokenizer.encode_segments(&segments);
        if let Some(bos) = self.tokenizer.add_bos().filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// What the template writes, whatever stands in the messages.
    fn prompt(&self, messages: &[Message], thinking: bool) -> Result<String, ChatError> {
        let context = context! {
            messages => messages.iter().map(turn).collect::<Value>(),
            add_generation_prompt => true,
            enable_thinking => thinking,
            bos_token => self.tokenizer.bos_text(),
            eos_token => self.tokenizer.eos_text(),
        };
        let template = self.environment.get_template(NAME).map_err(|e| refused(&e))?;
        template.render(context).map_err(|e| refused(&e))
    }
}

/// A message as templates read it.
fn turn(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    Value::from_pairs([("role", role), ("content", &message.content)])
}

/// A private-use character (plane 16) that no message holds.
fn free_mark(messages: &[Message]) -> char {
    let used: std::collections::HashSet<char> =
        messages.iter().flat_map(|m| m.content.chars()).filter(|c| *c >= '\u{100000}').collect();
    ('\u{100000}'..='\u{10FFFD}').find(|c| !used.contains(c)).unwrap_or('\u{10FFFF}')
}

fn refused(error: &Error) -> ChatError {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if let Some(said) = cause.downcast_ref::<Error>().and_then(|e| e.detail()).and_then(|d| d.strip_prefix(RAISED))
        {
            return ChatError::Invalid(format!("이 모델이 받지 않는 대화입니다. 대화의 차례를 확인해 주세요: {said}"));
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return ChatError::Failed(format!("모델의 대화 서식(chat template)에 잘못이 있습니다: {error}")),
        }
    }
}

/// Jinja2's way to refuse a conversation (Hugging Face `transformers`).
fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

/// Today in Korea.
fn strftime_now(format: &str) -> Result<String, Error> {
    let fault = |e: jiff::Error| Error::new(ErrorKind::InvalidOperation, e.to_string());
    let now = jiff::Timestamp::now().in_tz("Asia/Seoul").map_err(fault)?;
    jiff::fmt::strtime::format(format, &now).map_err(fault)
}

/// JSON as Python's `json.dumps(ensure_ascii=False)` writes it: blanks after `,` and `:`, nothing escaped for HTML.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let fault = |e: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, e.to_string());
    let mut out = Vec::new();
    match indent {
        Some(n) => {
            let blanks = " ".repeat(n.min(16));
            let pretty = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
            serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut out, pretty))
        }
        None => serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    }
    .map_err(|e| fault(&e))?;
    String::from_utf8(out).map_err(|e| fault(&e))
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A template in the files beside the model.
fn beside(model_path: &Path) -> Result<Option<String>, ModelError> {
    let folder = if model_path.is_dir() { Some(model_path) } else { model_path.parent() };
    let Some(folder) = folder else { return Ok(None) };
    let file = folder.join("chat_template.jinja");
    if file.is_file() {
        return std::fs::read_to_string(&file).map(Some).map_err(ModelError::io(&file));
    }
    let file = folder.join("tokenizer_config.json");
    if !file.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(&file).map_err(ModelError::io(&file))?;
    let config: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| ModelError::damaged(format!("{}({e})", file.display())))?;
    let template = config.get("chat_template");
    let named = template.and_then(|t| t.as_array()).and_then(|list| {
        list.iter().find(|t| t.get("name").and_then(|n| n.as_str()) == Some("default"))?.get("template")
    });
    Ok(named.or(template).and_then(|t| t.as_str()).map(str::to_owned))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
