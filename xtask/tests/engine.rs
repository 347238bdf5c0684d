//! The engine of local models from outside: small models of random weights, many requests at once. What the decoder
//! computes is compared with llama.cpp in `peer.rs`.

mod common;

use common::{ask, key, load, model, model_with, options, text};
use madang_inference::{
    Asker, Bounds, ChatError, ChatEvent, ChatModel, Constraint, LocalModel, Options, Sampling, StopReason,
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Settings that make all kinds of draws.
fn samplings() -> Vec<Sampling> {
    let warm = Sampling { temperature: 0.9, seed: 7, ..Sampling::default() };
    vec![
        Sampling::default(),
        warm.clone(),
        Sampling { top_k: 20, seed: 8, ..warm.clone() },
        Sampling { top_p: 0.8, min_p: 0.01, seed: 9, ..warm.clone() },
        Sampling { repetition_penalty: 1.3, ..warm },
    ]
}

fn prompt(i: usize) -> String {
    let common = "너는 시청의 비서다. 아래 글만 보고 답하라. ".repeat(1 + i % 3);
    format!("{common}{}", "민원 처리 기한은 며칠인가요? ".repeat(1 + i % 5))
}

async fn alone(model: &LocalModel, i: usize) -> String {
    let all = samplings();
    let mut request = ask(&prompt(i));
    request.sampling = all[i % all.len()].clone();
    text(model.chat(request).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_company_each_gets_the_text_it_gets_alone() {
    for family in ["qwen3", "llama", "qwen2"] {
        let file = model(family, "q4_k_m");
        let plain = Options { lookup: false, running: 1, ..options() };
        let single = load(&file, &plain);
        let mut expected = Vec::new();
        for i in 0..10 {
            expected.push(alone(&single, i).await);
        }
        assert!(expected.iter().any(|t| !t.is_empty()));
        // Small chunks, few blocks: prompts are cut, blocks are shared and thrown out, some readers leave.
        let crowded = Options { chunk: 24, running: 4, cache_bytes: 3 << 20, ..options() };
        let crowd = std::sync::Arc::new(load(&file, &crowded));
        for round in 0..3 {
            let replies = (0..10).map(|i| {
                let crowd = std::sync::Arc::clone(&crowd);
                tokio::spawn(async move {
                    if (i + round) % 4 == 3 {
                        let mut leaving = crowd.chat(ask(&prompt(i))).await.unwrap();
                        leaving.recv().await;
                        drop(leaving);
                    }
                    alone(&crowd, i).await
                })
            });
            for (i, reply) in replies.collect::<Vec<_>>().into_iter().enumerate() {
                assert_eq!(reply.await.unwrap(), expected[i], "{family}, prompt {i}, round {round}");
            }
        }
        assert!(crowd.metrics().cached_tokens > 0, "a second round finds the first one's beginnings");
    }
}

/// Replies grow until the memory is full: younger ones give way and go on later, as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_way_goes_on_to_the_bit() {
    let file = model("qwen3", "q8_0");
    let long = |i: usize| {
        let mut request = ask(&prompt(i));
        (request.max_tokens, request.sampling) = (500, samplings()[i % samplings().len()].clone());
        // Random weights end where they like; these replies must be long.
        request.constraint = Some(Constraint::Lark("start: /[a-z]{420,440}/".to_owned()));
        request.asker = Asker(format!("person {}", i % 3).into());
        request.scope = key((i % 2) as u8);
        request
    };
    let single = load(&file, &Options { lookup: false, running: 1, ..options() });
    let mut expected = Vec::new();
    for i in 0..6 {
        expected.push(text(single.chat(long(i)).await.unwrap()).await);
    }
    let tight = Options { chunk: 48, cache_bytes: 5 << 20, ..options() };
    let crowd = std::sync::Arc::new(load(&file, &tight));
    let replies: Vec<_> = (0..6)
        .map(|i| {
            let (crowd, request) = (std::sync::Arc::clone(&crowd), long(i));
            tokio::spawn(async move { text(crowd.chat(request).await.unwrap()).await })
        })
        .collect();
    for (i, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.await.unwrap(), expected[i], "prompt {i}");
    }
    let metrics = crowd.metrics();
    assert!(metrics.put_back > 0, "the memory was full: {metrics:?}");
}

/// Who asks for the longest reply there can be takes no more memory than is written: others run beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_bound_keeps_nobody_waiting() {
    let model = load(&model("qwen3", "q8_0"), &Options { cache_bytes: 8 << 20, ..options() });
    let mut greedy = ask("끝없이 써라");
    greedy.max_tokens = 32_768;
    greedy.constraint = Some(Constraint::Lark("start: /[a-z]{420,440}/".to_owned()));
    let mut first = model.chat(greedy).await.unwrap();
    first.recv().await.unwrap().unwrap();
    let mut small = ask("짧게");
    (small.max_tokens, small.asker) = (8, Asker("another".into()));
    text(model.chat(small).await.unwrap()).await;
    // Nobody reads the first one, so that it cannot have come to its end meanwhile.
    assert!(model.metrics().running >= 1);
    assert!(text(first).await.len() >= 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_stalls_holds_neither_memory_nor_permit() {
    let bounds = Bounds { total: 4, per_person: 1 };
    let model = load(&model("qwen3", "q8_0"), &Options { bounds, ..options() });
    let freed = async |requests: u64| {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let now = model.metrics();
            if now.requests == requests && now.running == 0 && now.blocks_in_use == 0 {
                return;
            }
            assert!(Instant::now() < until, "{now:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Past the deadline.
    let mut late = ask("끝없이 써라");
    (late.max_tokens, late.deadline) = (3_000, Some(Instant::now() + Duration::from_secs(2)));
    let mut stalled = model.chat(late).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(model.metrics().running, 1);
    freed(1).await;
    let mut next = ask("이어서 써라");
    next.max_tokens = 4;
    text(model.chat(next).await.expect("the permit is free")).await;
    let mut last = None;
    while let Some(event) = stalled.recv().await {
        last = Some(event);
    }
    assert_eq!(last, Some(Err(ChatError::Deadline)), "who comes back learns why");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_changes_nothing_but_the_number_of_steps() {
    let file = model("qwen3", "q8_0");
    let (with, without) = (load(&file, &options()), load(&file, &Options { lookup: false, ..options() }));
    for (i, sampling) in samplings().into_iter().enumerate() {
        let mut request = ask(&"하나 둘 셋 ".repeat(20 + i));
        request.sampling = sampling;
        request.max_tokens = 120;
        let plain = text(without.chat(request.clone()).await.unwrap()).await;
        assert_eq!(text(with.chat(request).await.unwrap()).await, plain);
    }
    assert!(with.metrics().guessed_tokens > 0);
    assert_eq!(without.metrics().guessed_tokens, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_never_share_a_block() {
    let model = load(&model("qwen3", "q8_0"), &options());
    let question = prompt(2);
    let mut first = ask(&question);
    first.scope = key(1);
    text(model.chat(first.clone()).await.unwrap()).await;
    assert_eq!(model.metrics().cached_tokens, 0);
    let mut other = first.clone();
    other.scope = key(2);
    text(model.chat(other).await.unwrap()).await;
    assert_eq!(model.metrics().cached_tokens, 0, "another scope computes all of it again");
    text(model.chat(first).await.unwrap()).await;
    assert!(model.metrics().cached_tokens > 0, "the same scope does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_frees_memory_and_permit() {
    let bounds = Bounds { total: 2, per_person: 1 };
    let model = load(&model("qwen3", "q8_0"), &Options { bounds, ..options() });
    let mut endless = ask("끝없이 써라");
    endless.max_tokens = 3_000;
    let mut stream = model.chat(endless.clone()).await.unwrap();
    stream.recv().await.unwrap().unwrap();
    let busy = model.chat(endless.clone()).await.unwrap_err();
    assert!(matches!(busy, ChatError::Busy { person: true, .. }), "{busy}");
    let mut second = endless.clone();
    second.asker = Asker("another".into());
    let other = model.chat(second.clone()).await.unwrap();
    second.asker = Asker("a third".into());
    let busy = model.chat(second).await.unwrap_err();
    assert!(matches!(busy, ChatError::Busy { person: false, .. }), "{busy}");
    drop((stream, other));
    // The engine notices within its next step; asking again until then is refused, never wrong.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut short = ask("짧게");
    short.max_tokens = 2;
    let stream = loop {
        match model.chat(short.clone()).await {
            Ok(stream) => break stream,
            Err(ChatError::Busy { .. }) if Instant::now() < deadline => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    text(stream).await;
    while model.metrics().running > 0 {
        tokio::task::yield_now().await;
    }
    let metrics = model.metrics();
    assert_eq!((metrics.blocks_in_use, metrics.waiting), (0, 0));
    assert_eq!(metrics.abandoned, 2);
    assert!(metrics.refused >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told() {
    let model = load(&model("qwen3", "q8_0"), &Options { context: 256, ..options() });
    let long = ask(&"길다 ".repeat(500));
    assert!(matches!(model.chat(long).await, Err(ChatError::TooLong { context: 256, .. })));
    let mut late = ask("늦다");
    late.deadline = Some(Instant::now());
    let mut stream = model.chat(late).await.unwrap();
    assert_eq!(stream.recv().await, Some(Err(ChatError::Deadline)));
    let mut wrong = ask("틀리다");
    wrong.constraint = Some(Constraint::Lark("start: (".to_owned()));
    assert!(matches!(model.chat(wrong).await, Err(ChatError::Invalid(_))));
    let mut wrong = ask("틀리다");
    wrong.sampling.top_p = 0.0;
    assert!(matches!(model.chat(wrong).await, Err(ChatError::Invalid(_))));
    let mut short = ask("세 토큰만");
    short.max_tokens = 3;
    let mut stream = model.chat(short).await.unwrap();
    let mut last = None;
    while let Some(event) = stream.recv().await {
        last = Some(event.unwrap());
    }
    let Some(ChatEvent::Done { reason, usage }) = last else { panic!("a reply ends with Done") };
    assert!(reason == StopReason::Length && usage.completion_tokens == 3 || reason == StopReason::Stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_come_with_every_token() {
    let model = load(&model("llama", "q8_0"), &options());
    let mut request = ask("확률");
    request.logprobs = Some(4);
    request.max_tokens = 12;
    let mut stream = model.chat(request).await.unwrap();
    let (mut steps, mut tokens) = (Vec::new(), 0);
    while let Some(event) = stream.recv().await {
        match event.unwrap() {
            ChatEvent::Text { logprobs, .. } => steps.extend(logprobs),
            ChatEvent::Done { usage, .. } => tokens = usage.completion_tokens,
        }
    }
    assert_eq!(steps.len(), tokens);
    for step in steps {
        assert_eq!(step.top.len(), 4);
        assert_eq!(step.top[0], step.chosen, "greedy takes the likeliest");
        assert!(step.top.windows(2).all(|w| w[0].logprob >= w[1].logprob));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_always_yields_a_valid_document() {
    let model = load(&model("qwen3", "q4_k_m"), &options());
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "title": { "type": "string", "maxLength": 12 },
            "kind": { "enum": ["질의응답", "요약"] },
            "steps": { "type": "array", "items": { "type": "string", "maxLength": 6 }, "maxItems": 3 },
            "count": { "type": "integer", "minimum": 0, "maximum": 99 },
        },
        "required": ["title", "kind", "steps", "count"],
        "additionalProperties": false,
    });
    for seed in 0..40 {
        let mut request = ask("설계서를 써라");
        request.constraint = Some(Constraint::JsonSchema(schema.clone()));
        request.sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        request.max_tokens = 1_000;
        let reply = text(model.chat(request).await.unwrap()).await;
        let document: serde_json::Value = serde_json::from_str(&reply).unwrap_or_else(|e| panic!("{e}: {reply}"));
        assert!(document["title"].as_str().unwrap().chars().count() <= 12);
        assert!(["질의응답", "요약"].contains(&document["kind"].as_str().unwrap()));
        assert!(document["steps"].as_array().unwrap().len() <= 3);
        assert!(document["count"].as_i64().unwrap() <= 99);
    }
}

/// The composer's own schema over random weights: whatever they say is a sheet that can be saved.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_seeds_give_two_hundred_sheets() {
    const SEEDS: u64 = 200;
    let file = model_with("qwen3", "q8_0", &["--context", "32768"]);
    let roomy = Options { cache_bytes: 256 << 20, bounds: Bounds { total: 16, per_person: 16 }, ..options() };
    let model = std::sync::Arc::new(load(&file, &roomy));
    let schema = Constraint::JsonSchema(madang_registry::compose::sheet_schema());
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(8));
    let sheets = (0..SEEDS).map(|seed| {
        let (model, schema, permits) = (std::sync::Arc::clone(&model), schema.clone(), std::sync::Arc::clone(&permits));
        tokio::spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let mut request = ask("설계서를 써라");
            request.constraint = Some(schema);
            request.sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
            request.max_tokens = 16_000;
            let written = text(model.chat(request).await.unwrap()).await;
            let document: serde_json::Value =
                serde_json::from_str(&written).unwrap_or_else(|e| panic!("{seed}: {e}: {written}"));
            assert!(document.is_object());
            madang_registry::compose::read_sheet(&written, &[]).unwrap_or_else(|e| panic!("{seed}: {e:?}: {written}"))
        })
    });
    let mut titles = std::collections::BTreeSet::new();
    for sheet in sheets.collect::<Vec<_>>() {
        titles.insert(sheet.await.unwrap().title);
    }
    assert!(titles.len() > 100, "the seeds differ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mix of people, prompts, cuts and leavings; then everything is free again.
    #[test]
    fn nothing_is_left_behind(
        mix in prop::collection::vec((0usize..6, 1usize..30, 0u8..3, any::<bool>()), 1..16), chunk in 1usize..80
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let tight = Options { chunk, running: 3, cache_bytes: 2 << 20, bounds: Bounds { total: 64, per_person: 64 }, ..options() };
            let model = std::sync::Arc::new(load(&model("qwen3", "q8_0"), &tight));
            let replies: Vec<_> = mix.into_iter().map(|(i, max_tokens, scope, leave)| {
                let model = std::sync::Arc::clone(&model);
                tokio::spawn(async move {
                    let mut request = ask(&prompt(i));
                    request.max_tokens = max_tokens;
                    request.scope = key(scope);
                    request.asker = Asker(format!("person {i}").into());
                    let mut stream = model.chat(request).await.unwrap();
                    if leave {
                        let _ = stream.recv().await;
                    } else {
                        text(stream).await;
                    }
                })
            }).collect();
            for reply in replies {
                reply.await.unwrap();
            }
            while model.metrics().running + model.metrics().waiting > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(model.metrics().blocks_in_use, 0);
        });
    }
}
