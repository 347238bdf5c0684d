//! Encoders, rerankers and static vectors against the plain reading of `testing`, and folders that must be refused.

use super::testing::*;
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// f32 against f64 over 2 to 4 layers of unit-sized numbers: rounding stays near 1e-6; a wrong formula shows at 1e-2.
const TOLERANCE: f64 = 2e-5;
/// Batched against alone: matrix products are cut differently, nothing else.
const BATCH_TOLERANCE: f32 = 2e-6;

fn go() -> impl Fn() -> bool + Sync {
    || false
}

fn open(folder: &Path) -> Arc<dyn Embedder> {
    open_embedder(folder, EmbedSettings::new("toy", "장난감")).unwrap()
}

fn refusal(folder: &Path) -> ModelError {
    match open_embedder(folder, EmbedSettings::new("toy", "장난감")) {
        Ok(_) => panic!("opened"),
        Err(e) => e,
    }
}

fn write_as(toy: &Toy, pooling: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), toy, pooling);
    folder
}

fn normalised(vector: &[f64]) -> Vec<f64> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows[0].len()).map(|d| rows.iter().map(|r| r[d]).sum::<f64>() / rows.len() as f64).collect()
}

fn farthest(ours: &[f32], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

fn compare(toy: &Toy, pooling: &str, longest: usize, expected: impl Fn(&[usize]) -> Vec<f64>) {
    let folder = write_as(toy, pooling);
    let texts = texts(12, longest, 5);
    let vectors = open(folder.path()).embed(TextKind::Passage, &refs(&texts), &go()).unwrap();
    for (text, ours) in texts.iter().zip(&vectors) {
        let far = farthest(&ours.vector, &normalised(&expected(&ids(text))));
        assert!(far < TOLERANCE, "{pooling}, {} tokens: {far}", ours.tokens);
        assert!(!ours.truncated);
    }
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn bert_agrees_with_plain_loops() {
    let toy = bert("bert", "bert.", 64, 1);
    let hidden = |ids: &[usize]| Reference(&toy).bert("bert.", ids, &vec![0; ids.len()]);
    compare(&toy, "pooling_mode_cls_token", 30, |ids| hidden(ids)[0].clone());
    compare(&toy, "pooling_mode_mean_tokens", 30, |ids| mean(&hidden(ids)));
    compare(&toy, "pooling_mode_lasttoken", 30, |ids| hidden(ids)[ids.len() - 1].clone());
}

/// Positions begin after the padding token's number, which is 3 here and 1 in published models.
#[test]
fn xlm_roberta_agrees_with_plain_loops() {
    let toy = bert("xlm-roberta", "", 64, 2);
    let hidden = |ids: &[usize]| Reference(&toy).bert("", ids, &vec![0; ids.len()]);
    compare(&toy, "pooling_mode_cls_token", 40, |ids| hidden(ids)[0].clone());
    compare(&toy, "pooling_mode_mean_tokens", 40, |ids| mean(&hidden(ids)));
}

/// Texts longer than the window, and longer than the rows that are scored at a time.
#[test]
fn modernbert_agrees_with_plain_loops() {
    let toy = modernbert(8, 3);
    let hidden = |ids: &[usize]| Reference(&toy).modernbert(ids);
    compare(&toy, "pooling_mode_mean_tokens", 60, |ids| mean(&hidden(ids)));
    compare(&toy, "pooling_mode_cls_token", 300, |ids| hidden(ids)[0].clone());
}

#[test]
fn dense_module_follows_the_pooling() {
    let mut toy = bert("bert", "", 64, 4);
    let folder = write_as(&toy, "pooling_mode_cls_token");
    let mut numbers = Numbers(8);
    let weight: Vec<_> = (0..5 * 16).map(|_| numbers.signed()).collect();
    let dense = Tensors::from([
        ("linear.weight".into(), (vec![5, 16], weight.clone())),
        ("linear.bias".into(), (vec![5], vec![0.1; 5])),
    ]);
    write_tensors(&folder.path().join("2_Dense"), &dense);
    let activation = "torch.nn.modules.activation.Tanh";
    let config = json!({"in_features": 16, "out_features": 5, "bias": true, "activation_function": activation});
    write_json(folder.path(), "2_Dense/config.json", &config);
    let modules = json!([
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]);
    write_json(folder.path(), "modules.json", &modules);
    let model = open(folder.path());
    assert_eq!(model.card().dimension, 5);
    let ours = model.embed(TextKind::Query, &["w7 w9"], &go()).unwrap().remove(0);
    let first = Reference(&toy).bert("", &ids("w7 w9"), &[0; 4])[0].clone();
    toy.tensors.extend(dense);
    let expected = map(&Reference(&toy).linear("linear", &vec![first]), f64::tanh).remove(0);
    assert!(farthest(&ours.vector, &normalised(&expected)) < TOLERANCE);
}

#[test]
fn cross_encoder_agrees_with_plain_loops() {
    let toy = with_head(bert("xlm-roberta", "roberta.", 64, 6), 1);
    let folder = write_as(&toy, "pooling_mode_cls_token");
    let model = open_reranker(folder.path(), EmbedSettings::new("toy", "장난감")).unwrap();
    let passages = texts(9, 20, 3);
    let scores = model.score("w4 w8 w15", &refs(&passages), &go()).unwrap();
    for (passage, ours) in passages.iter().zip(&scores) {
        let pair: Vec<_> = ids("w4 w8 w15").into_iter().chain(ids(passage).into_iter().skip(1)).collect();
        let reference = Reference(&toy);
        let first = reference.bert("roberta.", &pair, &vec![0; pair.len()]).remove(0);
        let dense = map(&reference.linear("classifier.dense", &vec![first]), f64::tanh);
        let expected = reference.linear("classifier.out_proj", &dense)[0][0];
        assert!((f64::from(*ours) - expected).abs() < TOLERANCE, "{ours} {expected}");
    }
    let several = write_as(&with_head(bert("xlm-roberta", "roberta.", 64, 6), 3), "pooling_mode_cls_token");
    let refused = open_reranker(several.path(), EmbedSettings::new("toy", "장난감")).err().unwrap();
    assert!(refused.to_string().contains("3개"), "{refused}");
    assert!(matches!(refusal(folder.path()), ModelError::Unsupported { .. }));
}

/// BERT's own head, with a token type for the second text.
#[test]
fn bert_cross_encoder_marks_the_second_text() {
    let mut toy = bert("bert", "bert.", 64, 7);
    let head = with_head(bert("xlm-roberta", "", 64, 7), 1).tensors;
    for (from, to) in [("dense.", "bert.pooler.dense."), ("out_proj.", "classifier.")] {
        for part in ["weight", "bias"] {
            toy.tensors.insert(format!("{to}{part}"), head[&format!("classifier.{from}{part}")].clone());
        }
    }
    toy.config["architectures"] = json!(["BertForSequenceClassification"]);
    let folder = write_as(&toy, "pooling_mode_cls_token");
    let model = open_reranker(folder.path(), EmbedSettings::new("toy", "장난감")).unwrap();
    let ours = model.score("w4", &["w5 w6"], &go()).unwrap()[0];
    let reference = Reference(&toy);
    let first = reference.bert("bert.", &[1, 4, 2, 5, 6, 2], &[0, 0, 0, 1, 1, 1]).remove(0);
    let dense = map(&reference.linear("bert.pooler.dense", &vec![first]), f64::tanh);
    assert!((f64::from(ours) - reference.linear("classifier", &dense)[0][0]).abs() < TOLERANCE);
}

#[test]
fn long_text_is_cut_and_said_to_be() {
    let toy = bert("xlm-roberta", "", 24, 9);
    let folder = write_as(&toy, "pooling_mode_mean_tokens");
    let model = open(folder.path());
    // 24 rows of positions, of which the first 4 are padding's.
    assert_eq!(model.card().max_tokens, 20);
    let words: Vec<_> = (0..30).map(|i| format!("w{}", 4 + i)).collect();
    let found = model.embed(TextKind::Passage, &[&words.join(" "), &words[..18].join(" ")], &go()).unwrap();
    assert_eq!((found[0].tokens, found[0].truncated), (20, true));
    assert_eq!((found[1].tokens, found[1].truncated), (20, false));
    assert_eq!(found[0].vector, found[1].vector);
    let shorter = EmbedSettings { max_tokens: Some(8), ..EmbedSettings::new("toy", "장난감") };
    let shorter = open_embedder(folder.path(), shorter).unwrap();
    assert_eq!(shorter.embed(TextKind::Passage, &[&words.join(" ")], &go()).unwrap()[0].tokens, 8);
    assert_ne!(shorter.card().fingerprint, model.card().fingerprint);
}

/// Marks of the tokenizer inside a text do not end it.
#[test]
fn special_tokens_in_a_text_are_text() {
    let folder = write_as(&bert("bert", "", 64, 1), "pooling_mode_lasttoken");
    let found = open(folder.path()).embed(TextKind::Passage, &["w4 [SEP] w5", "w4 [UNK] w5"], &go()).unwrap();
    assert_eq!(found[0].tokens, 5);
    assert_ne!(found[0].vector, open(folder.path()).embed(TextKind::Passage, &["w4 w6 w5"], &go()).unwrap()[0].vector);
}

#[test]
fn prefixes_come_from_the_folder_or_the_family() {
    let toy = bert("bert", "", 64, 1);
    let folder = write_as(&toy, "pooling_mode_mean_tokens");
    let plain = open(folder.path());
    assert_eq!(plain.card().prefixes, Prefixes::default());
    let prompts = json!({"prompts": {"query": "w30 ", "document": "w31 "}, "similarity_fn_name": "cosine"});
    write_json(folder.path(), "config_sentence_transformers.json", &prompts);
    let model = open(folder.path());
    let of = |model: &Arc<dyn Embedder>, kind, text: &str| model.embed(kind, &[text], &go()).unwrap()[0].vector.clone();
    assert_eq!(of(&model, TextKind::Query, "w5"), of(&plain, TextKind::Query, "w30 w5"));
    assert_eq!(of(&model, TextKind::Passage, "w5"), of(&plain, TextKind::Passage, "w31 w5"));
    assert_ne!(model.card().fingerprint, plain.card().fingerprint);
    let e5 = open_embedder(folder.path(), EmbedSettings::new("multilingual-e5-small", "E5")).unwrap();
    assert_eq!(e5.card().prefixes.query, "w30 ");
    write_json(
        folder.path(),
        "config_sentence_transformers.json",
        &json!({"prompts": {"query": "", "document": null}}),
    );
    let e5 = open_embedder(folder.path(), EmbedSettings::new("multilingual-e5-small", "E5")).unwrap();
    assert_eq!((e5.card().prefixes.query.as_str(), e5.card().prefixes.passage.as_str()), ("query: ", "passage: "));
}

#[test]
fn unknown_parts_are_refused_by_name() {
    let base = bert("bert", "", 64, 1);
    let changed = |key: &str, value: serde_json::Value| {
        let mut toy = base.clone();
        toy.config[key] = value;
        refusal(write_as(&toy, "pooling_mode_cls_token").path()).to_string()
    };
    assert!(changed("model_type", json!("deberta-v2")).contains("deberta-v2"));
    assert!(changed("hidden_act", json!("mish")).contains("mish"));
    assert!(changed("position_embedding_type", json!("relative_key")).contains("relative_key"));
    let mut modern = modernbert(8, 1);
    modern.config["rope_parameters"] = json!({"full_attention": {"rope_type": "yarn", "rope_theta": 1e4}});
    assert!(refusal(write_as(&modern, "pooling_mode_cls_token").path()).to_string().contains("yarn"));
    let max = write_as(&base, "pooling_mode_max_tokens");
    assert!(refusal(max.path()).to_string().contains("max_tokens"));
    let folder = write_as(&base, "pooling_mode_cls_token");
    write_json(
        folder.path(),
        "modules.json",
        &json!([
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_X", "type": "sentence_transformers.models.LSTM"},
        ]),
    );
    assert!(refusal(folder.path()).to_string().contains("LSTM"));
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    assert!(refusal(folder.path()).to_string().contains("modules.json"));
}

#[test]
fn damaged_files_are_errors() {
    let base = bert("bert", "", 64, 1);
    let mut short = base.clone();
    short.tensors.remove("encoder.layer.1.output.dense.bias");
    assert!(
        refusal(write_as(&short, "pooling_mode_cls_token").path())
            .to_string()
            .contains("encoder.layer.1.output.dense.bias")
    );
    let mut wrong = base.clone();
    wrong.config["intermediate_size"] = json!(25);
    assert!(matches!(refusal(write_as(&wrong, "pooling_mode_cls_token").path()), ModelError::Damaged { .. }));
    for (key, value) in [("num_attention_heads", json!(0)), ("hidden_size", json!(u64::MAX)), ("vocab_size", json!(-1))]
    {
        let mut toy = base.clone();
        toy.config[key] = value;
        assert!(
            matches!(refusal(write_as(&toy, "pooling_mode_cls_token").path()), ModelError::Damaged { .. }),
            "{key}"
        );
    }
    let folder = write_as(&base, "pooling_mode_cls_token");
    write_json(
        folder.path(),
        "modules.json",
        &json!([
            {"path": "", "type": "Transformer"}, {"path": "../elsewhere", "type": "Pooling"},
        ]),
    );
    assert!(refusal(folder.path()).to_string().contains("elsewhere"));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(refusal(folder.path()).to_string().contains("model.safetensors"));
}

#[test]
fn stops_between_batches() {
    let folder = write_as(&bert("bert", "", 64, 1), "pooling_mode_cls_token");
    let settings = EmbedSettings { batch_tokens: 8, ..EmbedSettings::new("toy", "장난감") };
    let model = open_embedder(folder.path(), settings).unwrap();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let later = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3;
    let many = vec!["w5 w6 w7"; 100];
    assert_eq!(model.embed(TextKind::Passage, &many, &later), Err(EmbedError::Stopped));
    assert_eq!(asked.into_inner(), 4);
}

fn write_static(folder: &Path, rows: usize, extra: Tensors) -> Vec<f32> {
    let mut numbers = Numbers(11);
    let table: Vec<_> = (0..rows * 6).map(|_| numbers.signed()).collect();
    let mut tensors = Tensors::from([("embeddings".into(), (vec![rows, 6], table.clone()))]);
    tensors.extend(extra);
    write_tensors(folder, &tensors);
    write_json(
        folder,
        "config.json",
        &json!({"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": true}),
    );
    write_json(folder, "tokenizer.json", &tokenizer());
    table
}

#[test]
fn static_vectors_are_weighted_means_of_known_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let counts: Vec<_> = (0..WORDS).map(|i| 1.0 + i as f32 / 8.0).collect();
    let table = write_static(folder.path(), WORDS, Tensors::from([("weights".into(), (vec![WORDS], counts.clone()))]));
    let model = open(folder.path());
    assert_eq!((model.card().dimension, model.card().max_tokens), (6, 512));
    let found = model.embed(TextKind::Passage, &["w5 nobody w9 w5", "", "nobody"], &go()).unwrap();
    let row = |i: usize| table[i * 6..(i + 1) * 6].iter().map(move |x| f64::from(*x));
    let sum = row(5).zip(row(9)).map(|(a, b)| 2.0 * f64::from(counts[5]) * a + f64::from(counts[9]) * b);
    assert!(farthest(&found[0].vector, &normalised(&sum.collect::<Vec<_>>())) < 1e-6);
    assert_eq!(found[1].vector, vec![0.0; 6]);
    assert_eq!(found[2].vector, vec![0.0; 6]);
}

#[test]
fn static_tokens_may_share_rows() {
    let folder = tempfile::tempdir().unwrap();
    write_static(folder.path(), 3, Tensors::new());
    assert!(refusal(folder.path()).to_string().contains("tokenizer.json"));
    let mapping =
        candle_core::Tensor::from_vec((0..WORDS as i64).map(|i| i % 3).collect(), WORDS, &candle_core::Device::Cpu)
            .unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    tensors.insert("mapping".into(), mapping);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let model = open(folder.path());
    let found = model.embed(TextKind::Passage, &["w5", "w8", "w9"], &go()).unwrap();
    assert_eq!(found[0].vector, found[1].vector);
    assert_ne!(found[0].vector, found[2].vector);
}

/// A folder of an XLM-RoBERTa model, made once.
fn shared_model() -> &'static Arc<dyn Embedder> {
    static MODEL: std::sync::OnceLock<Arc<dyn Embedder>> = std::sync::OnceLock::new();
    MODEL.get_or_init(|| open(write_as(&bert("xlm-roberta", "", 64, 21), "pooling_mode_mean_tokens").path()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// In whatever company and batch size, a text gets the vector it gets alone, in its own place.
    #[test]
    fn batched_equals_alone(seed in 1_u64..u64::MAX, count in 1_usize..24, budget in 1_usize..200) {
        let folder = write_as(&modernbert(6, 12), "pooling_mode_mean_tokens");
        let settings = EmbedSettings { batch_tokens: budget, ..EmbedSettings::new("toy", "장난감") };
        let modern = open_embedder(folder.path(), settings).unwrap();
        let texts = texts(count, 40, seed);
        for model in [&modern, shared_model()] {
            let together = model.embed(TextKind::Passage, &refs(&texts), &go()).unwrap();
            prop_assert_eq!(together.len(), texts.len());
            for (text, ours) in texts.iter().zip(&together) {
                let alone = model.embed(TextKind::Passage, &[text], &go()).unwrap().remove(0);
                prop_assert_eq!(alone.tokens, ours.tokens);
                let far = alone.vector.iter().zip(&ours.vector).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                prop_assert!(far <= BATCH_TOLERANCE, "{}", far);
                let length: f32 = ours.vector.iter().map(|x| x * x).sum();
                prop_assert!((length - 1.0).abs() < 1e-5);
            }
        }
    }

    /// A weights file with any bytes changed or cut is refused or read, never a panic.
    #[test]
    fn mangled_weights_do_not_panic(seed in 1_u64..u64::MAX, flips in 1_usize..6, cut in prop::option::of(0_usize..4000)) {
        let folder = write_as(&bert("bert", "", 8, 1), "pooling_mode_cls_token");
        let path = folder.path().join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let mut numbers = Numbers(seed);
        for _ in 0..flips {
            let at = numbers.below(2048.min(bytes.len()));
            bytes[at] = numbers.below(256) as u8;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        std::fs::write(&path, bytes).unwrap();
        if let Ok(model) = open_embedder(folder.path(), EmbedSettings::new("toy", "장난감")) {
            let _ = model.embed(TextKind::Passage, &["w5 w6"], &go());
        }
    }
}
