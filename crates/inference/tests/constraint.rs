//! Constrained replies from random weights: every one that completes is valid, over a vocabulary of bytes and, where it
//! lies at hand, a real one.

mod common;

use common::{bytes, content, vocabularies};
use madang_inference::{ChatError, Constraint, ConstraintFactory, Sampler, Sampling, Tokenizer};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

struct Setup {
    tokenizer: Arc<Tokenizer>,
    factory: ConstraintFactory,
}

impl Setup {
    fn new(tokenizer: Tokenizer) -> Self {
        let tokenizer = Arc::new(tokenizer);
        let factory = ConstraintFactory::new(&tokenizer).unwrap();
        Self { tokenizer, factory }
    }
}

/// One token for each byte, always at hand; a real vocabulary, where there is one.
fn setups() -> &'static [Setup] {
    static SHARED: OnceLock<Vec<Setup>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let plain = Tokenizer::open(std::path::Path::new("none"), Some(&bytes::content())).unwrap();
        let mut all = vec![Setup::new(plain)];
        if let Some(folder) = vocabularies() {
            let file = folder.join("ggml-vocab-qwen2.gguf");
            all.push(Setup::new(Tokenizer::open(&file, Some(&content(&file))).unwrap()));
        }
        all
    })
}

/// Random weights: the logits of a step are a stretch of random numbers that depends on seed and step.
fn noise(seed: u64, step: u64, out: &mut [f32]) {
    static NUMBERS: OnceLock<Vec<f32>> = OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Some((state >> 40) as f32 / (1u64 << 24) as f32 * 8.0 - 4.0)
        };
        std::iter::from_fn(next).take(1 << 20).collect()
    });
    let room = (numbers.len() - out.len()) as u64;
    let start = (seed.wrapping_mul(7_919_333).wrapping_add(step.wrapping_mul(104_729)) % room) as usize;
    out.copy_from_slice(&numbers[start..start + out.len()]);
}

struct Reply {
    text: String,
    complete: bool,
    tokens: usize,
    masks: Vec<Duration>,
}

/// Draws a reply as an engine would.
fn reply(setup: &Setup, constraint: &Constraint, seed: u64, max_tokens: usize, forced: bool) -> Reply {
    let mut state = setup.factory.compile(constraint).unwrap();
    let mut sampler = Sampler::new(&Sampling { temperature: 1.0, seed, ..Sampling::default() }).unwrap();
    let mut logits = vec![0.0; setup.tokenizer.vocab_size()];
    let mut ids: Vec<u32> = Vec::new();
    let mut masks = Vec::new();
    while !state.is_complete() && ids.len() < max_tokens {
        if forced {
            ids.extend(state.forced());
            if state.is_complete() {
                break;
            }
        }
        noise(seed, ids.len() as u64, &mut logits);
        let start = Instant::now();
        let mask = state.mask().unwrap().to_vec();
        masks.push(start.elapsed());
        let token = sampler.sample(&mut logits, &ids, Some(&mask), ids.len() as u64, None).unwrap().id;
        state.commit(token).unwrap();
        if setup.tokenizer.eos().contains(&token) {
            break;
        }
        ids.push(token);
    }
    Reply { text: setup.tokenizer.decode(&ids), complete: state.is_complete(), tokens: ids.len(), masks }
}

/// The design sheet as a model is asked for it, everything bounded.
fn sheet_schema() -> Value {
    let text = |max: u32| json!({ "type": "string", "minLength": 1, "maxLength": max });
    let object = |properties: Value| {
        let required: Vec<String> = properties.as_object().unwrap().keys().cloned().collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    };
    let tagged = |tag: &str, properties: Value| {
        let mut all = properties;
        all["type"] = json!({ "const": tag });
        object(all)
    };
    let list = |max: u32| json!({ "type": "array", "items": text(20), "minItems": 1, "maxItems": max });
    object(json!({
        "title": text(60),
        "purpose": text(120),
        "task": { "enum": ["question_answering", "summary", "draft", "extraction", "classification", "rule_check", "table_analysis"] },
        "sentences": { "type": "array", "minItems": 1, "maxItems": 4,
            "items": object(json!({ "text": text(80), "guessed": { "type": "boolean" } })) },
        "inputs": { "type": "array", "maxItems": 3, "items": object(json!({
            "key": { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$" },
            "label": text(30),
            "kind": { "anyOf": [tagged("text", json!({})), tagged("date", json!({})), tagged("choice", json!({ "options": list(3) }))] },
            "required": { "type": "boolean" },
        })) },
        "output": { "anyOf": [tagged("answer", json!({})), tagged("table", json!({ "columns": list(4) })), tagged("draft", json!({ "sections": list(4) }))] },
        "schedule": { "anyOf": [{ "type": "null" }, tagged("weekly", json!({
            "weekday": { "type": "integer", "minimum": 1, "maximum": 7 },
            "hour": { "type": "integer", "minimum": 0, "maximum": 23 },
            "minute": { "type": "integer", "minimum": 0, "maximum": 59 },
        }))] },
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    title: String,
    purpose: String,
    task: madang_domain::TaskKind,
    sentences: Vec<madang_domain::Sentence>,
    inputs: Vec<Input>,
    output: madang_domain::OutputForm,
    schedule: Option<madang_domain::Schedule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    key: String,
    label: String,
    kind: madang_domain::FieldKind,
    #[allow(dead_code, reason = "its presence is what is checked")]
    required: bool,
}

fn check(sheet: &Sheet) {
    let within = |text: &str, max: usize| (1..=max).contains(&text.chars().count());
    assert!(within(&sheet.title, 60) && within(&sheet.purpose, 120));
    assert!((1..=4).contains(&sheet.sentences.len()) && sheet.sentences.iter().all(|s| within(&s.text, 80)));
    assert!(sheet.inputs.len() <= 3);
    for input in &sheet.inputs {
        assert!(within(&input.label, 30) && within(&input.key, 40));
        assert!(input.key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        if let madang_domain::FieldKind::Choice { options } = &input.kind {
            assert!((1..=3).contains(&options.len()));
        }
    }
    if let Some(madang_domain::Schedule::Weekly { weekday, hour, minute }) = sheet.schedule {
        assert!((1..=7).contains(&weekday) && hour < 24 && minute < 60);
    }
    assert!(madang_domain::TaskKind::ALL.contains(&sheet.task));
    match &sheet.output {
        madang_domain::OutputForm::Table { columns: list } | madang_domain::OutputForm::Draft { sections: list } => {
            assert!((1..=4).contains(&list.len()));
        }
        _ => {}
    }
}

/// Draws replies of these seeds; their masks' times and the longest reply.
fn draw(setup: &Setup, constraint: &Constraint, seeds: std::ops::Range<u64>) -> (Vec<Duration>, usize) {
    let (mut masks, mut longest) = (Vec::new(), 0);
    for seed in seeds {
        let reply = reply(setup, constraint, seed, 8000, seed % 2 == 1);
        assert!(reply.complete, "{seed}: {}", reply.text);
        let sheet: Sheet = serde_json::from_str(&reply.text).unwrap_or_else(|e| panic!("{seed}: {e}: {}", reply.text));
        check(&sheet);
        longest = longest.max(reply.tokens);
        masks.extend(reply.masks);
    }
    (masks, longest)
}

#[test]
fn two_hundred_seeds_give_two_hundred_sheets() {
    let constraint = Constraint::JsonSchema(sheet_schema());
    for setup in setups() {
        let (mut masks, longest) = std::thread::scope(|threads| {
            let other = threads.spawn(|| draw(setup, &constraint, 0..100));
            let (mut masks, longest) = draw(setup, &constraint, 100..200);
            let (more, longer) = other.join().unwrap();
            masks.extend(more);
            (masks, longest.max(longer))
        });
        masks.sort_unstable();
        let at = |share: f64| masks[((masks.len() - 1) as f64 * share) as usize];
        eprintln!(
            "{} masks: median {:?}, 99 % {:?}, worst {:?}; longest reply {longest} tokens",
            masks.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

#[test]
fn the_end_is_allowed_only_where_the_reply_is_whole() {
    for setup in setups() {
        let end = setup.tokenizer.eos()[0];
        let mut state = setup.factory.compile(&Constraint::Lark(r#"start: "가" "나"?"#.to_owned())).unwrap();
        let allows = |mask: &[u32], id: u32| mask[id as usize / 32] >> (id % 32) & 1 == 1;
        assert!(!allows(state.mask().unwrap(), end));
        for id in setup.tokenizer.encode("가") {
            assert!(allows(state.mask().unwrap(), id));
            state.commit(id).unwrap();
        }
        assert!(!state.is_complete() && allows(state.mask().unwrap(), end));
        for id in setup.tokenizer.encode("나") {
            state.commit(id).unwrap();
        }
        assert!(state.is_complete());
        let mask = state.mask().unwrap().to_vec();
        let size = u32::try_from(setup.tokenizer.vocab_size()).unwrap();
        assert!((0..size).filter(|id| allows(&mask, *id)).all(|id| setup.tokenizer.eos().contains(&id)));
    }
}

#[test]
fn a_reply_that_is_cut_is_incomplete() {
    for setup in setups() {
        let cut = reply(setup, &Constraint::JsonSchema(sheet_schema()), 1, 5, false);
        assert!(!cut.complete && cut.tokens == 5 && serde_json::from_str::<Value>(&cut.text).is_err());
    }
}

#[test]
fn wrong_forms_are_refused() {
    for setup in setups() {
        for wrong in [
            Constraint::JsonSchema(json!({ "type": "no such type" })),
            Constraint::JsonSchema(json!({ "type": "integer", "minimum": 5, "maximum": 1 })),
            Constraint::JsonSchema(json!(7)),
            Constraint::Lark("start: (".to_owned()),
        ] {
            assert!(matches!(setup.factory.compile(&wrong), Err(ChatError::Invalid(_))), "{wrong:?}");
        }
    }
}
