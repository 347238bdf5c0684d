//! A vocabulary of one token for each byte with ChatML's markup, as `xtask synthetic-model --tokenizer bytes` writes it:
//! what tests need that must not depend on downloads.

use candle_core::quantized::gguf_file::{Content, Value, VersionedMagic};
use std::collections::HashMap;

/// ChatML.
pub const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Metadata of a GGUF file with this vocabulary.
pub fn content() -> Content {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    // GPT-2's spelling of bytes.
    let plain = |b: u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let spelt = (0..256u32).map(|b| if plain(b) { b } else { others.next().unwrap_or(b) });
    let mut tokens: Vec<Value> = spelt.filter_map(char::from_u32).map(|c| Value::String(c.to_string())).collect();
    tokens.push(Value::String("th".to_owned()));
    let mut types = vec![Value::I32(NORMAL); tokens.len()];
    for markup in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] {
        tokens.push(Value::String(markup.to_owned()));
        types.push(Value::I32(CONTROL));
    }
    let text = |t: &str| Value::String(t.to_owned());
    let metadata = HashMap::from(
        [
            ("general.architecture", text("qwen3")),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text("qwen2")),
            ("tokenizer.ggml.tokens", Value::Array(tokens)),
            ("tokenizer.ggml.token_type", Value::Array(types)),
            ("tokenizer.ggml.merges", Value::Array(vec![text("t h")])),
            ("tokenizer.ggml.eos_token_id", Value::U32(259)),
            ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
            ("tokenizer.chat_template", text(TEMPLATE)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    Content { magic: VersionedMagic::GgufV3, metadata, tensor_infos: HashMap::new(), tensor_data_offset: 0 }
}
