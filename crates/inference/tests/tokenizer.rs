//! Tokenizers against llama.cpp's published token ids, and streams against whole decodes.

mod common;

use common::{content, vocabularies};
use madang_inference::{ModelError, Segment, TextStream, Tokenizer};
use proptest::prelude::*;
use std::path::Path;
use std::sync::{Arc, OnceLock};

fn open(name: &str) -> Option<Tokenizer> {
    let file = vocabularies()?.join(format!("ggml-vocab-{name}.gguf"));
    Some(Tokenizer::open(&file, Some(&content(&file))).unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// Shared by the property tests: a byte-level and a SentencePiece vocabulary.
fn shared() -> Option<&'static [Arc<Tokenizer>; 2]> {
    static SHARED: OnceLock<Option<[Arc<Tokenizer>; 2]>> = OnceLock::new();
    SHARED.get_or_init(|| Some([Arc::new(open("qwen2")?), Arc::new(open("llama-spm")?)])).as_ref()
}

/// The texts and ids of `ggml-vocab-NAME.gguf.inp` and `.out`.
fn cases(name: &str) -> Vec<(String, Vec<u32>)> {
    let Some(folder) = vocabularies() else { return Vec::new() };
    let read = |kind: &str| std::fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.{kind}"))).unwrap();
    let texts: Vec<String> = read("inp").split("\n__ggml_vocab_test__\n").map(str::to_owned).collect();
    let ids: Vec<Vec<u32>> =
        read("out").lines().map(|l| l.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect();
    assert!(
        texts.len() > 30 && texts.len().abs_diff(ids.len()) <= 1,
        "{name}: {} texts, {} ids",
        texts.len(),
        ids.len()
    );
    texts.into_iter().zip(ids).collect()
}

#[test]
fn ids_are_those_of_llama_cpp() {
    for name in ["qwen2", "qwen35", "llama-bpe", "gpt-2", "llama-spm", "phi-3", "command-r"] {
        let Some(tokenizer) = open(name) else { return };
        for (text, expected) in cases(name) {
            assert_eq!(tokenizer.encode(&text), expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn decoding_undoes_encoding() {
    for (name, prefix) in [("qwen2", ""), ("llama-bpe", ""), ("llama-spm", " ")] {
        let Some(tokenizer) = open(name) else { return };
        for (text, _) in cases(name).iter().filter(|(t, _)| !t.is_empty()) {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text)), format!("{prefix}{text}"), "{name}");
        }
    }
}

#[test]
fn unknown_kinds_are_refused_by_name() {
    let Some(folder) = vocabularies() else { return };
    for (name, what) in [("falcon", "falcon"), ("gemma-4", "gemma4"), ("bert-bge", "bert"), ("aquila", "pre")] {
        let file = folder.join(format!("ggml-vocab-{name}.gguf"));
        match Tokenizer::open(&file, Some(&content(&file))) {
            Err(ModelError::Unsupported { what: told }) => assert!(told.contains(what), "{name}: {told}"),
            other => panic!("{name}: {:?}", other.map(|t| t.vocab_size())),
        }
    }
    assert!(matches!(Tokenizer::open(Path::new("/nowhere/model.gguf"), None), Err(ModelError::Unsupported { .. })));
}

#[test]
fn ends_and_beginnings() {
    let Some(llama) = open("llama-bpe") else { return };
    assert_eq!(llama.add_bos(), llama.token_id("<|begin_of_text|>"));
    assert_eq!(llama.bos_text(), "<|begin_of_text|>");
    assert_eq!(llama.eos().first(), llama.token_id("<|end_of_text|>").as_ref());
    assert!(llama.eos().contains(&llama.token_id("<|eot_id|>").unwrap()));
    let Some(qwen) = open("qwen2") else { return };
    assert_eq!(qwen.add_bos(), None);
    assert_eq!(qwen.eos(), [qwen.token_id("<|endoftext|>").unwrap(), qwen.token_id("<|im_end|>").unwrap()]);
    assert_eq!(qwen.vocab_size(), 151_936);
    assert!(qwen.is_special(151_900), "a row that a converter filled up");
    let Some(spm) = open("llama-spm") else { return };
    assert_eq!((spm.add_bos(), spm.eos()), (Some(1), [2].as_slice()));
}

#[test]
fn bytes_of_tokens() {
    let Some([qwen, spm]) = shared() else { return };
    let hello = qwen.token_id(" hello").unwrap();
    assert_eq!(qwen.token_bytes(hello), b" hello");
    assert_eq!(qwen.token_bytes(qwen.token_id("<|im_end|>").unwrap()), b"");
    assert_eq!(qwen.token_bytes(u32::MAX), b"");
    assert!(qwen.is_special(u32::MAX));
    assert_eq!(spm.token_bytes(3 + 0x0A), b"\n");
    assert_eq!(spm.token_id("no such token at all"), None);
}

#[test]
fn special_tokens_come_from_markup_alone() {
    for name in ["qwen2", "llama-bpe", "llama-spm"] {
        let Some(t) = open(name) else { return };
        let end = if name == "qwen2" { "<|im_end|>" } else { t.eos_text() };
        let id = t.token_id(end).unwrap();
        assert_eq!(t.encode_segments(&[Segment::Markup(end)]), [id]);
        let text = t.encode(end);
        assert!(text.len() > 1 && text.iter().all(|i| !t.is_markup(*i)), "{name}: {text:?}");
        // In pieces, half of the template and half of a person, it is no token either.
        let (a, b) = end.split_at(2);
        for pair in [[Segment::Markup(a), Segment::Text(b)], [Segment::Text(a), Segment::Markup(b)]] {
            assert!(t.encode_segments(&pair).iter().all(|i| !t.is_markup(*i)), "{name}");
        }
    }
}

#[test]
fn very_long_blanks_are_encoded() {
    let Some([qwen, _]) = shared() else { return };
    let text = " ".repeat(3_000_000);
    assert_eq!(qwen.decode(&qwen.encode(&text)).len(), text.len());
}

/// Texts with Hangul, emoji, blanks and markup of all families.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[가-힣 ]{1,6}",
        2 => "\\PC{0,4}",
        1 => "[ \t\r\n]{1,4}",
        1 => "[a-z0-9'’.,]{1,8}",
        1 => prop::sample::select(vec!["<|im_end|>", "<|im_start|>system\n", "</s>", "<s>", "<|endoftext|>", "[INST]", "👨‍👩‍👧", "é", "<0x0A>"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..12).prop_map(|p| p.concat())
}

/// What a stream with these stop strings must give in all.
fn cut(text: &str, stops: &[String]) -> String {
    let first =
        stops.iter().filter(|s| !s.is_empty()).filter_map(|s| text.find(s.as_str()).map(|i| (i + s.len(), i))).min();
    first.map_or(text, |(_, at)| &text[..at]).to_owned()
}

fn stream(tokenizer: &Arc<Tokenizer>, ids: &[u32], stops: &[String]) -> String {
    let mut stream = TextStream::new(tokenizer.clone(), stops);
    let mut out: Vec<String> = ids.iter().filter_map(|id| stream.push(*id)).collect();
    out.extend(stream.finish());
    assert!(out.iter().all(|p| !p.is_empty()));
    out.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn plain_text_never_holds_markup(text in texts()) {
        let Some(all) = shared() else { return Ok(()) };
        for t in all {
            let ids = t.encode(&text);
            prop_assert!(ids.iter().all(|id| !t.is_markup(*id)));
            let prefix = if t.add_bos().is_some() && !text.is_empty() { " " } else { "" };
            prop_assert_eq!(t.decode(&ids), format!("{prefix}{text}"));
        }
    }

    #[test]
    fn segments_are_encoded_as_one_text(parts in prop::collection::vec("[가-힣a-z '\n]{0,6}", 1..6)) {
        let Some(all) = shared() else { return Ok(()) };
        for t in all {
            let segments: Vec<Segment<'_>> = (parts.iter().enumerate())
                .map(|(i, p)| if i % 2 == 0 { Segment::Markup(p) } else { Segment::Text(p) })
                .collect();
            prop_assert_eq!(t.encode_segments(&segments), t.encode(&parts.concat()));
        }
    }

    #[test]
    fn streams_of_any_tokens_give_the_whole_decode(
        ids in prop::collection::vec(0u32..152_000, 0..60),
        bytes in prop::collection::vec(3u32..259, 0..60),
    ) {
        let Some([qwen, spm]) = shared() else { return Ok(()) };
        prop_assert_eq!(stream(qwen, &ids, &[]), qwen.decode(&ids));
        // Ids 3 to 258 of this vocabulary are the 256 bytes.
        prop_assert_eq!(stream(spm, &bytes, &[]), spm.decode(&bytes));
    }

    #[test]
    fn streams_of_text_are_whole_and_stop(text in texts(), stops in prop::collection::vec("[가-힣a-e\n ]{0,3}", 0..4)) {
        let Some([qwen, spm]) = shared() else { return Ok(()) };
        prop_assert_eq!(stream(qwen, &qwen.encode(&text), &stops), cut(&text, &stops));
        // Byte by byte: every Hangul syllable lies in three tokens.
        let bytes: Vec<u32> = text.bytes().map(|b| u32::from(b) + 3).collect();
        prop_assert_eq!(stream(spm, &bytes, &stops), cut(&text, &stops));
    }
}
