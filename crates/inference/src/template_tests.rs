//! ChatML over a vocabulary of bytes, and real chat templates from the folder named by `MADANG_LLAMA_CPP` or `target/peers/llama_cpp_python`.

use super::*;
use crate::{Segment, byte_vocabulary};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The families of this engine.
const FAMILIES: [&str; 6] = [
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B",
    "Qwen-QwQ-32B",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
];

/// Llama 2's, which its makers published in `tokenizer_config.json`; shortened to what a conversation needs.
const LLAMA2: &str = "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message \
    = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% \
    for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ \
    raise_exception('Conversation roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system_message != false \
    %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = \
    message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' \
    [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

fn models() -> Option<PathBuf> {
    let peer = std::env::var_os("MADANG_LLAMA_CPP").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/llama_cpp_python"),
        PathBuf::from,
    );
    let folder = peer.join("vendor/llama.cpp/models");
    if !folder.is_dir() {
        eprintln!("skipped: no templates in {} (cargo run -p xtask -- peers)", folder.display());
        return None;
    }
    Some(folder)
}

fn tokenizer(name: &str) -> Option<Arc<Tokenizer>> {
    let file = models()?.join(format!("ggml-vocab-{name}.gguf"));
    let content = Content::read(&mut std::io::BufReader::new(std::fs::File::open(&file).unwrap())).unwrap();
    Some(Arc::new(Tokenizer::open(&file, Some(&content)).unwrap()))
}

fn bytes() -> Arc<Tokenizer> {
    Arc::new(Tokenizer::open(Path::new("none"), Some(&byte_vocabulary::content())).unwrap())
}

/// ChatML and Llama 2's template over bytes; all families' templates, each with its own kind of vocabulary, where they
/// are at hand.
fn templates() -> &'static Vec<(String, ChatTemplate)> {
    static SHARED: OnceLock<Vec<(String, ChatTemplate)>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let new = |source: &str, tokenizer: &Arc<Tokenizer>| ChatTemplate::new(source.to_owned(), tokenizer).unwrap();
        let mut all = vec![
            ("ChatML".to_owned(), new(byte_vocabulary::TEMPLATE, &bytes())),
            ("Llama-2 over bytes".to_owned(), new(LLAMA2, &bytes())),
        ];
        let Some(folder) = models().map(|m| m.join("templates")) else { return all };
        let [qwen, llama, spm] = ["qwen2", "llama-bpe", "llama-spm"].map(|n| tokenizer(n).expect("it is at hand"));
        all.push(("Llama-2".to_owned(), new(LLAMA2, &spm)));
        for name in FAMILIES {
            let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
            all.push((name.to_owned(), new(&source, if name.contains("Llama") { &llama } else { &qwen })));
        }
        all
    })
}

fn conversation(system: &str, turns: &[&str]) -> Vec<Message> {
    let mut out = vec![Message::new(Role::System, system)];
    for (i, turn) in turns.iter().enumerate() {
        out.push(Message::new(if i % 2 == 0 { Role::User } else { Role::Assistant }, *turn));
    }
    out
}

fn joined(segments: &[String]) -> String {
    segments.concat()
}

fn family(name: &str) -> Option<&'static ChatTemplate> {
    templates().iter().find(|(n, _)| n == name).map(|(_, t)| t)
}

/// The special tokens of a prompt, in order.
fn markup(template: &ChatTemplate, messages: &[Message]) -> Vec<u32> {
    let ids = template.encode(messages, false).unwrap();
    ids.into_iter().filter(|id| template.tokenizer.is_markup(*id)).collect()
}

#[test]
fn prompts_are_those_of_the_families() {
    let talk = conversation("짧게 답하세요.", &["안녕?", "네.", " 고마워 "]);
    let Some(qwen) = family("Qwen-Qwen3-0.6B") else { return };
    let start = "<|im_start|>system\n짧게 답하세요.<|im_end|>\n<|im_start|>user\n안녕?<|im_end|>\n<|im_start|>assistant\n네.\
        <|im_end|>\n<|im_start|>user\n 고마워 <|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(joined(&qwen.render(&talk, true).unwrap()), start);
    assert_eq!(joined(&qwen.render(&talk, false).unwrap()), format!("{start}<think>\n\n</think>\n\n"));
    let qwen25 = family("Qwen-Qwen2.5-7B-Instruct").unwrap();
    assert_eq!(joined(&qwen25.render(&talk, false).unwrap()), start);
    let llama2 = family("Llama-2").unwrap();
    assert_eq!(
        joined(&llama2.render(&talk, false).unwrap()),
        "<s>[INST] <<SYS>>\n짧게 답하세요.\n<</SYS>>\n\n안녕? [/INST] 네. </s><s>[INST] 고마워 [/INST]"
    );
    let llama3 = joined(&family("meta-llama-Llama-3.1-8B-Instruct").unwrap().render(&talk, false).unwrap());
    assert!(llama3.starts_with("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"), "{llama3}");
    assert!(llama3.ends_with(
        "짧게 답하세요.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n안녕?<|eot_id|><|start_header_id|>assistant\
         <|end_header_id|>\n\n네.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n고마워<|eot_id|><|start_header_id|>\
         assistant<|end_header_id|>\n\n"
    ), "{llama3}");
}

#[test]
fn chatml_is_written_as_it_stands() {
    let talk = conversation("짧게 답하세요.", &["안녕?"]);
    let chatml = family("ChatML").unwrap();
    let prompt =
        "<|im_start|>system\n짧게 답하세요.<|im_end|>\n<|im_start|>user\n안녕?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(joined(&chatml.render(&talk, false).unwrap()), prompt);
    let names: Vec<&str> = markup(chatml, &talk).iter().filter_map(|id| chatml.tokenizer.markup_name(*id)).collect();
    assert_eq!(names, ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>", "<|im_start|>"]);
}

#[test]
fn thoughts_of_earlier_turns_are_left_out_by_the_template() {
    let Some(qwen) = family("Qwen-Qwen3-0.6B") else { return };
    // In this vocabulary the tags are text, so the template finds them.
    assert_eq!(qwen.tokenizer.token_id("<think>"), None);
    let talk = conversation("", &["질문", "<think>\n생각\n</think>\n\n답", "또 질문"]);
    assert!(joined(&qwen.render(&talk, true).unwrap()).contains("<|im_start|>assistant\n답<|im_end|>"));
}

#[test]
fn the_beginning_is_written_once() {
    for (name, template) in templates() {
        let ids = template.encode(&conversation("가", &["나"]), false).unwrap();
        let bos = template.tokenizer.add_bos();
        assert_eq!(ids.iter().filter(|id| Some(**id) == bos).count(), usize::from(bos.is_some()), "{name}");
    }
}

#[test]
fn forged_markup_stays_text() {
    for (name, template) in templates() {
        let t = &template.tokenizer;
        let plain = conversation("가", &["나", "다", "라"]);
        for id in (0..u32::try_from(t.vocab_size()).unwrap()).filter(|id| t.is_markup(*id)) {
            let Some(text) = t.markup_name(id) else { continue };
            let forged = conversation(text, &[text, &format!("x{text}{text}"), &format!("{text}\n")]);
            assert_eq!(markup(template, &forged), markup(template, &plain), "{name}: {text}");
            let whole = template.prompt(&forged, false).unwrap();
            assert_eq!(joined(&template.render(&forged, false).unwrap()), whole, "{name}: {text}");
        }
    }
}

#[test]
fn conversations_that_a_template_refuses() {
    let llama2 = family("Llama-2 over bytes").unwrap();
    let twice = [Message::new(Role::User, "가"), Message::new(Role::User, "나")];
    match llama2.render(&twice, false) {
        Err(ChatError::Invalid(said)) => assert!(said.contains("must alternate"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_template_cannot_hang_or_be_nonsense() {
    let tokenizer = bytes();
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
    let template = ChatTemplate::new(endless.to_owned(), &tokenizer).unwrap();
    assert!(matches!(template.render(&conversation("", &["가"]), false), Err(ChatError::Failed(_))));
    assert!(matches!(ChatTemplate::new("{% if".to_owned(), &tokenizer), Err(ModelError::Unsupported { .. })));
}

#[test]
fn json_and_dates_are_written_as_in_python() {
    let tokenizer = bytes();
    let source = "{{ {'a': [1, '<가>'], 'b': none} | tojson }} {{ strftime_now('%Y') | length }}".to_owned();
    let template = ChatTemplate::new(source, &tokenizer).unwrap();
    assert_eq!(template.prompt(&[], false).unwrap(), "{\"a\": [1, \"<가>\"], \"b\": null} 4");
}

#[test]
fn models_without_a_template() {
    let Some(models) = models() else { return };
    let file = models.join("ggml-vocab-llama-spm.gguf");
    let content = Content::read(&mut std::io::BufReader::new(std::fs::File::open(&file).unwrap())).unwrap();
    let tokenizer = Arc::new(Tokenizer::open(&file, Some(&content)).unwrap());
    assert!(ChatTemplate::open(&file, Some(&content), &tokenizer).unwrap().is_none());
}

/// People's text: ordinary, hostile, and with private-use characters.
fn said() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => "[가-힣a-z <>|/\\[\\]]{0,8}",
        1 => "\\PC{0,3}",
        2 => prop::sample::select(vec![
            "<|im_end|>\n", "<|im_start|>system\n", "<|eot_id|>", "<|start_header_id|>", "</s>", "<s>", "[INST]", "<<SYS>>",
            "<|im_", "end|>", "<|", "|>", "</think>", "\u{100000}", "\u{100001}", " ", "\n",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..8).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn text_brings_no_special_tokens(system in said(), turns in prop::collection::vec(said(), 3)) {
        let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
        let plain = conversation("가", &["나", "다", "라"]);
        let talk = conversation(&system, &turns);
        for (name, template) in templates() {
            prop_assert_eq!(markup(template, &talk), markup(template, &plain), "{}", name);
        }
    }

    #[test]
    fn harmless_text_is_rendered_and_encoded_as_it_is(system in "[가-힣a-z.,\n ]{1,30}", turns in prop::collection::vec("[ \n]?[가-힣a-z0-9'!?\n ]{1,30}", 3)) {
        let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
        let talk = conversation(&system, &turns);
        for (name, template) in templates() {
            let whole = template.prompt(&talk, true).unwrap();
            let segments = template.render(&talk, true).unwrap();
            prop_assert_eq!(joined(&segments), whole.clone(), "{}", name);
            let parts: Vec<Segment<'_>> = segments.iter().map(|s| Segment::Markup(s)).collect();
            prop_assert_eq!(
                template.tokenizer.encode_segments(&parts),
                template.tokenizer.encode_segments(&[Segment::Markup(&whole)]), "{}", name
            );
        }
    }
}
