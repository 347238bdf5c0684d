//! The decoder's numbers beside plain loops, and files that are not what they should be.

use super::cache::BlockId;
use super::reference::Reference;
use super::testing::{HIDDEN, Tiny, gguf_bytes, tiny, written};
use super::weights::{Files, YES_NO};
use super::*;
use madang_kernels::BLOCK;
use proptest::prelude::*;
use serde_json::{Value, json};

const ROWS: usize = 60;
/// Keys and values are kept in f16, a rounding of 2⁻¹¹ at most. A score is a sum over a head of such products, of size
/// up to 10 here, so the shares of a row move by some of these steps, and two layers pass it on; the rest is computed in
/// f32. Of the largest number of a row.
const TOLERANCE: f64 = 16.0 / 2048.0;
/// Before, at and behind the length that the stretched models were trained for.
const POSITIONS: [usize; 6] = [0, 1, 127, 128, 600, 699];

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(2))
}

fn scalings() -> Vec<Value> {
    let yarn = |more: Value| {
        let mut scaling = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128});
        scaling.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scaling
    };
    vec![
        Value::Null,
        json!({"rope_type": "linear", "factor": 4.0}),
        json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128}),
        yarn(json!({})),
        yarn(json!({"attention_factor": 1.4, "beta_fast": 16.0, "beta_slow": 2.0})),
    ]
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * i % 59 + i % 7) as u32 % ROWS as u32).collect()
}

fn all_rows(decoder: &mut Decoder, tokens: &[u32], output: Output) -> Vec<f32> {
    let count = tokens.len().div_ceil(BLOCK);
    let mut cache = decoder.cache(count).unwrap();
    let blocks: Vec<BlockId> = (0..count as u32).map(BlockId).collect();
    decoder.forward(&mut cache, &[Piece { tokens, start: 0, blocks: &blocks, want: Want::All }], output).unwrap()
}

/// Largest difference, in parts of the largest number expected.
fn apart(ours: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(ours.len(), expected.len());
    let most = expected.iter().map(|x| x.abs()).fold(0.0, f64::max);
    ours.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs() / most).fold(0.0, f64::max)
}

#[test]
fn agrees_with_the_published_definitions() {
    let tokens = tokens(700);
    for family in ["llama", "qwen2", "qwen3"] {
        let mut later: Vec<Vec<f64>> = Vec::new();
        let mut farthest = 0.0_f64;
        for scaling in scalings() {
            let mut tiny = tiny(family, ROWS, 11);
            tiny.config["rope_scaling"] = scaling.clone();
            let folder = tempfile::tempdir().unwrap();
            tiny.write(folder.path());
            let mut decoder = Decoder::from_safetensors(folder.path(), pool(), Place::Cpu).unwrap();
            let expected = Reference(&tiny).states(&tokens);
            let states = all_rows(&mut decoder, &tokens, Output::Hidden);
            let logits = all_rows(&mut decoder, &tokens, Output::Logits);
            for at in POSITIONS {
                let state = apart(&states[at * HIDDEN..(at + 1) * HIDDEN], &expected[at]);
                let logit = apart(&logits[at * ROWS..(at + 1) * ROWS], &Reference(&tiny).logits(&expected[at]));
                assert!(state < TOLERANCE && logit < TOLERANCE, "{family} {scaling} {at}: {state:e} {logit:e}");
                farthest = farthest.max(state).max(logit);
            }
            // The comparison would notice one scaling taken for another.
            let row = &expected[600];
            for other in &later {
                let as_ours: Vec<f32> = other.iter().map(|x| *x as f32).collect();
                assert!(apart(&as_ours, row) > 5.0 * TOLERANCE, "{family} {scaling}: the test sees too little");
            }
            later.push(row.clone());
        }
        eprintln!("{family}: largest difference {farthest:e}");
    }
}

fn open(tiny: &Tiny, head: Head) -> Result<Decoder, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    tiny.write(folder.path());
    Decoder::safetensors_with(head, folder.path(), pool(), Place::Cpu)
}

fn refusal(tiny: &Tiny) -> String {
    open(tiny, Head::Vocabulary).err().unwrap().to_string()
}

/// Qwen3-Embedding is published without an output and without `model.` before its names.
#[test]
fn names_without_a_prefix_are_the_same_model() {
    let whole = tiny("qwen3", ROWS, 3);
    let tokens = tokens(40);
    let expected = all_rows(&mut open(&whole, Head::Vocabulary).unwrap(), &tokens, Output::Hidden);
    let mut bare = whole.bare();
    assert!(bare.tensors.contains_key("embed_tokens.weight"));
    assert_eq!(all_rows(&mut open(&bare, Head::None).unwrap(), &tokens, Output::Hidden), expected);
    // The larger ones do not even tie the output that they lack.
    bare.config["tie_word_embeddings"] = json!(false);
    assert_eq!(all_rows(&mut open(&bare, Head::None).unwrap(), &tokens, Output::Hidden), expected);
    assert!(refusal(&bare).contains("lm_head.weight"));
}

#[test]
fn a_missing_output_is_not_replaced_unless_the_file_says_so() {
    let mut untied = tiny("llama", ROWS, 3);
    untied.tensors.remove("lm_head.weight");
    assert!(refusal(&untied).contains("lm_head.weight"));
    untied.config.as_object_mut().unwrap().remove("tie_word_embeddings");
    assert!(refusal(&untied).contains("lm_head.weight"), "the families' default is an output of its own");
    untied.config["tie_word_embeddings"] = json!(true);
    assert!(open(&untied, Head::Vocabulary).is_ok());
}

#[test]
fn tensors_that_nobody_reads_are_refused_by_name() {
    let extra = |name: &str| {
        let mut tiny = tiny("llama", ROWS, 3);
        tiny.tensors.insert(name.to_owned(), (vec![4], vec![0.0; 4]));
        tiny
    };
    for name in ["model.layers.0.mlp.gate_proj.bias", "model.layers.1.self_attn.q_norm.weight", "score.weight"] {
        assert!(refusal(&extra(name)).contains(name));
    }
    assert!(refusal(&extra("model.layers.2.input_layernorm.weight")).contains("layers.2"));
    assert!(open(&extra("model.layers.0.self_attn.rotary_emb.inv_freq"), Head::Vocabulary).is_ok());
    for part in ["k", "v"] {
        let mut tiny = tiny("qwen2", ROWS, 3);
        tiny.tensors.remove(&format!("model.layers.1.self_attn.{part}_proj.bias"));
        assert!(refusal(&tiny).contains(&format!("attn_{part}.bias")));
    }
    let file = written(&gguf_bytes("llama", ROWS, &[], &[("blk.0.ffn_up.bias", &[64], None)]));
    let refused = Decoder::from_gguf(&file, &file.gguf().unwrap(), pool(), Place::Cpu).err().unwrap();
    assert!(refused.to_string().contains("ffn_up.bias"));
}

/// llama.cpp's converter keeps of a reranker's output the rows of "yes" and "no" alone.
#[test]
fn a_head_of_two_serves_rerankers_only() {
    let file = written(&gguf_bytes("qwen3", ROWS, &[], &[(YES_NO, &[2, HIDDEN], None)]));
    let content = file.gguf().unwrap();
    let mut judge = Decoder::gguf_with(Head::Judge, &file, &content, pool(), Place::Cpu).unwrap();
    assert_eq!(all_rows(&mut judge, &tokens(3), Output::Logits).len(), 3 * 2);
    let refused = Decoder::from_gguf(&file, &content, pool(), Place::Cpu).err().unwrap();
    assert!(refused.to_string().contains(YES_NO));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a file holds, reading it ends with an answer.
    #[test]
    fn damaged_files_are_refused_without_a_panic(
        family in prop::sample::select(vec!["llama", "qwen2", "qwen3"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()]), 1..6),
        head in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = gguf_bytes(family, ROWS, &[("general.alignment", candle_core::quantized::gguf_file::Value::U32(32))], &[]);
        // Metadata and directory, where changes do most.
        let reach = if head { 2500.min(bytes.len()) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(reach)] = byte;
        }
        if let Some(at) = cut {
            bytes.truncate(at.index(bytes.len()));
        }
        // An empty file cannot be mapped.
        if bytes.is_empty() {
            return Ok(());
        }
        let file = written(&bytes);
        if let Ok(content) = file.gguf() {
            let _ = crate::Tokenizer::open(Path::new("/nowhere/model.gguf"), Some(&content));
            let _ = Config::from_gguf(&content);
            if let Ok(files) = Files::gguf(&file, &content, Head::Vocabulary) {
                let _ = files.weights(&Packed(&Pool::new(1)));
            }
        }
    }
}
