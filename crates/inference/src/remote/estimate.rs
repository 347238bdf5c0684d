//! Tokens of a text where the tokenizer is not at hand: more than the tokenizers of models that know Korean need for
//! running text, so that a prompt judged to fit does fit.

/// What a chat template adds to each message, tokens.
const PER_MESSAGE: usize = 8;

/// An upper estimate of the tokens of a message with this text, its frame included.
pub(super) fn estimate_tokens(text: &str) -> usize {
    // In quarters of a token.
    let mut quarters = 0usize;
    let mut letters = 0usize;
    for c in text.chars() {
        let letter = c.is_ascii_alphabetic();
        if !letter && letters > 0 {
            quarters += 2 * letters + 2;
            letters = 0;
        }
        quarters += match c {
            _ if letter => {
                letters += 1;
                0
            }
            ' ' => 1,
            '가'..='힣' => 5,
            _ if c.is_ascii() => 4,
            '\u{3000}'..='\u{9fff}' => 8,
            _ => 12,
        };
    }
    if letters > 0 {
        quarters += 2 * letters + 2;
    }
    quarters.div_ceil(4) + PER_MESSAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;
    use candle_core::quantized::gguf_file::Content;
    use std::path::PathBuf;

    /// Korean and English prose of the project itself.
    const TEXTS: [&str; 3] = [
        include_str!("../../../../README.ko.md"),
        include_str!("../../../../README.md"),
        include_str!("../../../../apps/meeting-notes/app.toml"),
    ];

    #[test]
    fn real_tokenizers_need_less() {
        let folder = std::env::var_os("MADANG_LLAMA_CPP").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/llama_cpp_python"),
            PathBuf::from,
        );
        for name in ["qwen2", "qwen35", "llama-bpe", "gemma-4", "command-r"] {
            let path = folder.join(format!("vendor/llama.cpp/models/ggml-vocab-{name}.gguf"));
            let Ok(mut file) = std::fs::File::open(&path) else {
                eprintln!("skipped: {} is absent", path.display());
                continue;
            };
            let content = Content::read(&mut file).expect("a model file");
            let Ok(tokenizer) = Tokenizer::open(&path, Some(&content)) else {
                eprintln!("skipped: {name} has a tokenizer that is not known here");
                continue;
            };
            for text in TEXTS {
                // Each part by itself: a mean over a whole text would hide dense ones.
                for part in text.split("\n\n").filter(|p| p.chars().count() >= 40) {
                    let (real, estimate) = (tokenizer.encode(part).len(), estimate_tokens(part));
                    assert!(estimate >= real, "{name}: {estimate} < {real} for {part}");
                }
                let (real, estimate) = (tokenizer.encode(text).len(), estimate_tokens(text));
                eprintln!("{name}: {real} tokens, estimated {estimate}");
                assert!(estimate < 3 * real, "{name}: {estimate} for {real}");
            }
        }
    }
}
