//! How to bring a model in by hand, where nothing can or may be fetched.

use madang_inference::catalogue::{Entry, ModelFormat, human};
use std::io::Write;
use std::path::Path;

/// Prints what to fetch on another machine and what to do with it here.
///
/// # Errors
/// Standard output is closed.
pub fn explain(entry: &Entry) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    lines(entry).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn lines(entry: &Entry) -> Vec<String> {
    let (what, put) = match entry.format {
        ModelFormat::Gguf => (format!("파일 {}", entry.file), entry.file.clone()),
        ModelFormat::Safetensors => {
            let folder = entry.source.rsplit('/').next().unwrap_or(&entry.name).to_owned();
            ("저장소의 폴더 전체 (config.json, tokenizer.json, safetensors …)".to_owned(), folder)
        }
    };
    let revision = if entry.revision.is_empty() { "확인된 값 없음".to_owned() } else { entry.revision.clone() };
    let hash = if entry.sha256.is_empty() {
        "확인된 값 없음: 출처가 밝힌 값을 적어 가세요".to_owned()
    } else {
        entry.sha256.clone()
    };
    let pin = if entry.sha256.is_empty() { "<출처의 SHA-256>" } else { entry.sha256.as_str() };
    let put = Path::new("/옮긴/곳").join(put);
    vec![
        "여기서 내려받지 않고 들여놓으려면, 인터넷이 되는 다른 기계에서 받아 기관의 자료 반입 절차에 따라 옮겨 오세요."
            .to_owned(),
        String::new(),
        format!("모델      {} ({})", entry.label, entry.licence),
        format!("출처      {}", entry.source),
        format!("받을 것   {what}, 약 {}", human(entry.weight_bytes())),
        format!("판        {revision}"),
        format!("sha256    {hash}"),
        String::new(),
        "옮긴 뒤:".to_owned(),
        format!("  madang models add {} --name {} --sha256 {pin}", put.display(), entry.name),
        format!("  madang models use {} {}", entry.kind, entry.name),
    ]
}
