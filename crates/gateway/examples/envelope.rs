//! How long an envelope takes: `cargo run --release -p madang-gateway --example envelope [-- FILE]`. Builds one of 8,000
//! characters of the file (or of made-up official prose) two hundred times and prints the middle and the slowest.

use madang_domain::Grade;
use madang_gateway::{Form, Header, Inspector, PartRole, PromptPart, WireForm, build};
use std::io::Write;
use std::time::Instant;

const CHARACTERS: usize = 8000;
const TIMES: usize = 200;
const PROSE: &str =
    "민원인 홍길동(010-1234-5678)이 신청한 2026년도 가람시 캠핑장 사용 허가 건에 대하여 다음과 같이 회신합니다. ";

fn main() -> std::io::Result<()> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => PROSE.repeat(CHARACTERS / PROSE.chars().count() + 1),
    };
    let text: String = text.chars().take(CHARACTERS).collect();
    let parts = [PromptPart { role: PartRole::User, text }];
    let form = Form { wire: WireForm::OpenAi, max_output_tokens: 2048, stream: false };
    let mut took = Vec::with_capacity(TIMES);
    let mut masked = 0;
    for _ in 0..TIMES {
        let header = Header {
            provider: "제공자".into(),
            model: "model-1".into(),
            purpose: "쉬운 말로 고쳐 쓰기".into(),
            legal_basis: String::new(),
            grade: Grade::Open,
        };
        let began = Instant::now();
        let envelope = build(&parts, header, &form, &Inspector::default());
        took.push(began.elapsed());
        masked = envelope.tokens.len();
    }
    took.sort();
    let milliseconds = |at: usize| took.get(at).map_or(0.0, |t| t.as_secs_f64() * 1000.0);
    let (middle, slowest) = (milliseconds(TIMES / 2), milliseconds(TIMES - 1));
    writeln!(
        std::io::stdout(),
        "{CHARACTERS} characters, {masked} masks: p50 {middle:.1} ms, slowest {slowest:.1} ms of {TIMES}"
    )
}
