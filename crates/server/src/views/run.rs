//! Running an app, and a run as it is kept.

use super::{Choice, Frame, JsonIsland, Lang, SafeHtml};
use askama::Template;
use madang_domain::{AppId, Citation, FieldKind, Grade, InputField, ProviderId, RunId};

/// `/apps/{id}/run`
#[derive(Template)]
#[template(path = "run.html")]
pub struct RunPage {
    pub frame: Frame,
    pub l: Lang,
    pub app: AppId,
    pub title: String,
    pub purpose: String,
    pub version: u32,
    pub department: String,
    pub grade: Grade,
    pub engine_label: String,
    pub engine_generates: bool,
    pub fields: Vec<FieldView>,
    /// Sources that I may not read: the answer goes without them.
    pub unreadable: Vec<String>,
    pub outside_allowed: bool,
}

/// A form field with what is in it.
pub struct FieldView {
    pub field: InputField,
    pub value: String,
}

impl FieldView {
    /// `text`, `long_text`, `date`, `number` or `choice`.
    pub fn kind(&self) -> &'static str {
        match self.field.kind {
            FieldKind::Text => "text",
            FieldKind::LongText => "long_text",
            FieldKind::Date => "date",
            FieldKind::Number => "number",
            FieldKind::Choice { .. } => "choice",
        }
    }

    pub fn options(&self) -> &[String] {
        match &self.field.kind {
            FieldKind::Choice { options } => options,
            _ => &[],
        }
    }
}

/// `/runs/{id}`: my own run, or one that I may read.
#[derive(Template)]
#[template(path = "run_detail.html")]
pub struct RunDetailPage {
    pub frame: Frame,
    pub l: Lang,
    pub id: RunId,
    pub app: AppId,
    pub title: String,
    pub version: u32,
    pub when: String,
    pub grade: Grade,
    /// Korean, through [`Lang::t`]: "끝남", "멈춤", "실패", "진행 중".
    pub state: &'static str,
    pub answered: bool,
    pub unfilled: Vec<String>,
    pub engine_label: String,
    pub seconds: String,
    pub inputs: Vec<(String, String)>,
    pub answer: SafeHtml,
    pub citations: Vec<Citation>,
    /// Citations left out because I may no longer open them.
    pub withheld: usize,
    /// The day when its texts were deleted at the end of their retention.
    pub erased: Option<String>,
    /// The citations again, for the source panel.
    pub data: JsonIsland,
    pub error: Option<String>,
    /// The app's form can be asked for an outside call from here.
    pub outside: OutsideState,
    /// What came back from outside.
    pub outside_reply: Option<OutsideReply>,
}

/// A reply from outside, beside the answer from inside.
pub struct OutsideReply {
    pub provider: String,
    pub model: String,
    pub when: String,
    pub html: SafeHtml,
}

/// What this run may ask of the outside.
pub enum OutsideState {
    /// The app or its grade does not allow it; no word about it.
    NotAllowed,
    /// It may be asked for: shows the button to the envelope.
    MayAsk,
    /// Asked for; Korean state through [`Lang::t`] and the address of the call.
    Asked { state: &'static str, href: String },
}

/// `/runs/{id}/outside`: the envelope before it is asked for.
#[derive(Template)]
#[template(path = "outside_ask.html")]
pub struct OutsideAskPage {
    pub frame: Frame,
    pub l: Lang,
    pub run: RunId,
    pub title: String,
    pub grade: Grade,
    /// Providers that are switched on.
    pub providers: Vec<Choice>,
    pub provider_id: ProviderId,
    pub provider: String,
    pub model: String,
    pub host: String,
    /// Outgoing messages after masking, for reading.
    pub outgoing: String,
    /// Exact outgoing JSON.
    pub raw: String,
    pub bytes: usize,
    pub findings: Vec<FindingRow>,
    /// A finding that must not leave: the form is replaced by the reason.
    pub blocked: bool,
    /// Why, in Korean; empty when nothing keeps it.
    pub refusal: String,
    /// The policy asks nobody.
    pub passes: bool,
    /// The most that it may cost, in words.
    pub cost: String,
    /// The policy's decision in Korean sentences.
    pub explained: Vec<String>,
    /// Documents whose words are in it.
    pub sources: Vec<(String, Grade)>,
}

/// A personal detail that was found.
pub struct FindingRow {
    /// "주민등록번호", "전화번호"…
    pub kind: String,
    /// Where it stands: "입력 ‘질문’"; empty where only kinds are counted.
    pub place: String,
    /// For the asker the words and what leaves in their place; for an officer how many.
    pub shown: String,
    /// Blocked; otherwise masked.
    pub block: bool,
}
