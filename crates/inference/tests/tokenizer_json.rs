//! `tokenizer.json` beside a model: its added tokens are markup, its post-processor tells the beginning.

use madang_inference::{ModelError, Segment, Tokenizer};
use serde_json::{Value, json};

/// A byte-level BPE of ASCII letters, "ab" and the special tokens `<s>` and `<end>`; `<s>` stands in the model too.
fn file() -> Value {
    let mut vocabulary = serde_json::Map::new();
    for (id, letter) in ('a'..='z').chain(['<', '>', '/', 'Ġ']).enumerate() {
        vocabulary.insert(letter.to_string(), json!(id));
    }
    for (text, id) in [("ab", 30), ("<s", 31), ("<s>", 32)] {
        vocabulary.insert(text.to_owned(), json!(id));
    }
    json!({
        "version": "1.0",
        "added_tokens": [
            { "id": 32, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false },
            { "id": 33, "content": "<end>", "special": true, "single_word": false, "lstrip": false, "rstrip": true, "normalized": false },
        ],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": { "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }], "pair": [], "special_tokens": {} },
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": ["a b", "< s", "<s >"] },
    })
}

fn open(file: &Value) -> Result<Tokenizer, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    std::fs::write(folder.path().join("generation_config.json"), r#"{ "eos_token_id": [33] }"#).unwrap();
    Tokenizer::open(&folder.path().join("model.safetensors"), None)
}

#[test]
fn added_tokens_are_markup_and_text_cannot_be_merged_into_them() {
    let t = open(&file()).unwrap();
    assert_eq!((t.vocab_size(), t.add_bos(), t.eos()), (34, Some(32), [33].as_slice()));
    assert_eq!(t.encode("ab c"), [30, 29, 2]);
    assert_eq!(
        t.encode_segments(&[Segment::Markup("<s>ab<end> c")]),
        [32, 30, 33, 2],
        "blanks after <end> belong to it"
    );
    let text = t.encode("<s><end>");
    assert!(text.iter().all(|id| !t.is_markup(*id)), "{text:?}");
    assert_eq!(t.decode(&text), "<s><end>");
    assert_eq!((t.token_bytes(29), t.token_bytes(33)), (b" ".as_slice(), b"".as_slice()));
}

#[test]
fn what_is_not_known_is_refused() {
    let mut unigram = file();
    unigram["model"]["type"] = json!("Unigram");
    let mut decoder = file();
    decoder["decoder"] = Value::Null;
    for (changed, what) in [(unigram, "Unigram"), (decoder, "decoder")] {
        match open(&changed) {
            Err(ModelError::Unsupported { what: told }) => assert!(told.contains(what), "{told}"),
            other => panic!("{:?}", other.map(|t| t.vocab_size())),
        }
    }
    let mut huge = file();
    huge["added_tokens"][0]["id"] = json!(u32::MAX);
    assert!(matches!(open(&huge), Err(ModelError::Damaged { .. })));
}
