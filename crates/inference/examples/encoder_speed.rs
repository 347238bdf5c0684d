//! Tokens per second of an encoder folder: `encoder_speed FOLDER [TOKENS_PER_TEXT] [TEXTS] [BATCH_TOKENS]`.

use madang_inference::embed::{EmbedSettings, TextKind, open_embedder};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("encoder_speed FOLDER [TOKENS_PER_TEXT] [TEXTS] [BATCH_TOKENS]")?;
    let mut number = |usual: usize| arguments.next().map_or(Ok(usual), |a| a.parse());
    let (length, count, batch_tokens) = (number(256)?, number(16)?, number(512)?);
    let settings = EmbedSettings { batch_tokens, max_tokens: Some(length), ..EmbedSettings::new("speed", "speed") };
    let started = Instant::now();
    let model = open_embedder(Path::new(&folder), settings)?;
    let opened = started.elapsed();
    let text = "민원 처리 기한은 접수한 날부터 14일 이내입니다. ".repeat(length);
    let texts = vec![text.as_str(); count];
    let started = Instant::now();
    let tokens: usize = model.embed(TextKind::Passage, &texts, &|| false)?.iter().map(|e| e.tokens).sum();
    let seconds = started.elapsed().as_secs_f64();
    let rate = tokens as f64 / seconds;
    writeln!(std::io::stdout(), "opened in {opened:.1?}; {tokens} tokens in {seconds:.2} s: {rate:.0} tokens/s")?;
    Ok(())
}
