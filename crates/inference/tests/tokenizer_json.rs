//! `tokenizer.json` beside a model: its added tokens are markup, its post-processor tells the beginning.

use candle_core::quantized::gguf_file::{Content, Value as Gguf, VersionedMagic};
use madang_inference::{ModelError, Segment, Tokenizer};
use serde_json::{Value as Json, json};

/// A byte-level BPE of ASCII letters, "ab" and the special tokens `<s>` and `<end>`; `<s>` stands in the model too.
fn file() -> Json {
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

fn open(file: &Json) -> Result<Tokenizer, ModelError> {
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
    decoder["decoder"] = Json::Null;
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

/// A GGUF file's vocabulary of these tokens, as a byte-level BPE.
fn gguf(tokens: &[String]) -> Content {
    let strings = |all: &[String]| Gguf::Array(all.iter().cloned().map(Gguf::String).collect());
    let types = tokens.iter().map(|t| Gguf::I32(if t.starts_with("<|") { 3 } else { 1 })).collect();
    let metadata = [
        ("tokenizer.ggml.model", Gguf::String("gpt2".into())),
        ("tokenizer.ggml.pre", Gguf::String("qwen2".into())),
        ("tokenizer.ggml.tokens", strings(tokens)),
        ("tokenizer.ggml.token_type", Gguf::Array(types)),
        ("tokenizer.ggml.merges", strings(&["t h".to_owned()])),
    ];
    Content {
        magic: VersionedMagic::GgufV3,
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        tensor_infos: Default::default(),
        tensor_data_offset: 0,
    }
}

#[test]
fn a_stray_file_beside_a_gguf_does_not_win_over_its_own_vocabulary() {
    let plain = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let letters = (0..256).filter(plain).chain(256..324).filter_map(char::from_u32).map(String::from);
    let own: Vec<String> = letters.chain(["th".to_owned(), "<|end|>".to_owned()]).collect();
    let vocabulary = |tokens: &[String]| -> serde_json::Map<String, Json> {
        tokens.iter().enumerate().map(|(id, t)| (t.clone(), json!(id))).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let opened = |tokens: &[String]| {
        let mut beside = file();
        // Without merges, so that it is seen which of the two was opened.
        beside["model"]["merges"] = json!([]);
        beside["post_processor"] = Json::Null;
        beside["model"]["vocab"] = vocabulary(&tokens[..257]).into();
        let added = |(id, t): (usize, &String)| {
            json!({ "id": 257 + id, "content": t, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false })
        };
        beside["added_tokens"] = tokens[257..].iter().enumerate().map(added).collect();
        std::fs::write(folder.path().join("tokenizer.json"), beside.to_string()).unwrap();
        let tokenizer = Tokenizer::open(&folder.path().join("model.gguf"), Some(&gguf(&own))).unwrap();
        tokenizer.encode("th").len()
    };
    assert_eq!(opened(&own), 2, "the same vocabulary: the file beside serves");
    let mut other = own.clone();
    other.swap(40, 41);
    assert_eq!(opened(&other), 1, "two tokens changed places");
    let mut longer = own.clone();
    longer.push("<|more|>".to_owned());
    assert_eq!(opened(&longer), 1, "a token that the model does not have");
    std::fs::write(folder.path().join("tokenizer.json"), "{").unwrap();
    let tokenizer = Tokenizer::open(&folder.path().join("model.gguf"), Some(&gguf(&own))).unwrap();
    assert_eq!(tokenizer.encode("th").len(), 1, "no tokenizer at all");
}

#[test]
fn a_tokenizer_that_fails_at_plain_text_is_refused() {
    let mut crafted = file();
    crafted["normalizer"] = json!({ "type": "Precompiled", "precompiled_charsmap": "AAAAAA==" });
    assert!(matches!(open(&crafted), Err(ModelError::Damaged { .. })));
}
