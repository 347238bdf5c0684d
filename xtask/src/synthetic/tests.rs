//! Small models of every family and quantisation, read back with candle.

use super::config::{Family, ModelConfig, Preset, RopeScaling};
use super::metadata::Tokenizer;
use super::quantisation::Quantisation;
use super::{Args, Float, published, tensors, write_gguf};
use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};
use clap::Parser;
use std::path::{Path, PathBuf};

const FAMILIES: [Family; 3] = [Family::Qwen3, Family::Qwen2, Family::Llama];
const QUANTS: [Quantisation; 7] = [
    Quantisation::Q4KM,
    Quantisation::Q5KM,
    Quantisation::Q6K,
    Quantisation::Q8_0,
    Quantisation::Q4_0,
    Quantisation::F16,
    Quantisation::F32,
];

fn tiny(family: Family) -> ModelConfig {
    let mut config = ModelConfig::preset(Preset::Tiny, family);
    (config.layers, config.vocab) = (2, 40);
    config
}

fn written(config: &ModelConfig, quant: Quantisation, seed: u64, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{}-{quant:?}-{seed}.gguf", config.name));
    write_gguf(config, quant, seed, None, &path).expect("written");
    path
}

fn content(path: &Path) -> Content {
    Content::read(&mut std::fs::File::open(path).expect("opens")).expect("a GGUF file")
}

fn number(content: &Content, key: &str) -> u32 {
    content.metadata.get(key).unwrap_or_else(|| panic!("{key} is there")).to_u32().expect("a number")
}

#[test]
fn every_family_and_quantisation_reads_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for family in FAMILIES {
        for quant in QUANTS {
            let config = tiny(family);
            let path = written(&config, quant, 1, folder.path());
            let content = content(&path);
            let name = family.architecture();
            assert_eq!(content.metadata["general.architecture"].to_string().expect("a name"), name);
            assert_eq!(number(&content, &format!("{name}.block_count")), 2);
            assert_eq!(number(&content, &format!("{name}.attention.head_count_kv")), 2);
            assert_eq!(number(&content, "general.file_type"), quant.file_type());
            let specs = tensors(&config);
            assert_eq!(content.tensor_infos.len(), specs.len());
            let mut file = std::fs::File::open(&path).expect("opens");
            for spec in specs {
                let tensor = content.tensor(&mut file, &spec.gguf, &Device::Cpu).expect("a tensor");
                assert_eq!(tensor.shape().dims(), spec.shape);
                let values = tensor.dequantize(&Device::Cpu).expect("numbers").flatten_all().expect("flat");
                let values = values.to_vec1::<f32>().expect("f32");
                assert!(values.iter().all(|value| value.is_finite() && value.abs() < 20.0), "{}", spec.gguf);
            }
        }
    }
}

#[test]
fn families_differ_in_bias_norm_and_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |family| content(&written(&tiny(family), Quantisation::F16, 0, folder.path()));
    let (qwen3, qwen2, llama) = (read(Family::Qwen3), read(Family::Qwen2), read(Family::Llama));
    assert!(qwen3.tensor_infos.contains_key("blk.1.attn_q_norm.weight"));
    assert_eq!(number(&qwen3, "qwen3.attention.key_length"), 128);
    assert!(qwen2.tensor_infos.contains_key("blk.1.attn_v.bias"));
    assert!(!qwen2.metadata.contains_key("qwen2.attention.key_length"));
    assert_eq!(number(&llama, "llama.rope.dimension_count"), 64);
    assert_eq!(number(&llama, "llama.vocab_size"), 40);
}

#[test]
fn the_seed_decides_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    let bytes = |seed, folder: &Path| {
        std::fs::read(written(&tiny(Family::Qwen3), Quantisation::Q4KM, seed, folder)).expect("read")
    };
    assert_eq!(bytes(7, folder.path()), bytes(7, other.path()));
    assert_ne!(bytes(7, folder.path()), bytes(8, folder.path()));
}

#[test]
fn mixed_quantisation_follows_the_layers() {
    let config = ModelConfig::preset(Preset::Qwen3, Family::Qwen3);
    let specs = tensors(&config);
    let dtype = |name: &str, quant: Quantisation| {
        let spec = specs.iter().find(|spec| spec.gguf == name).expect("a tensor");
        quant.dtype(spec, config.layers, config.tied)
    };
    let q6_layers: Vec<usize> = (0..config.layers)
        .filter(|layer| dtype(&format!("blk.{layer}.ffn_down.weight"), Quantisation::Q4KM) == GgmlDType::Q6K)
        .collect();
    // as llama-quantize prints it for a 28-layer Qwen3
    assert_eq!(q6_layers, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]);
    assert_eq!(dtype("blk.3.attn_v.weight", Quantisation::Q5KM), GgmlDType::Q5K);
    assert_eq!(dtype("token_embd.weight", Quantisation::Q4KM), GgmlDType::Q6K);
    assert_eq!(dtype("token_embd.weight", Quantisation::Q8_0), GgmlDType::Q8_0);
    assert_eq!(dtype("blk.0.attn_q_norm.weight", Quantisation::F16), GgmlDType::F32);
}

#[test]
fn rows_that_fill_no_block_of_256_fall_back() {
    // 896 columns: as in Qwen2.5-0.5B
    let config = ModelConfig::preset(Preset::Qwen25, Family::Qwen2);
    let specs = tensors(&config);
    let dtype = |name: &str, quant: Quantisation| {
        let spec = specs.iter().find(|spec| spec.gguf == name).expect("a tensor");
        quant.dtype(spec, config.layers, config.tied)
    };
    assert_eq!(dtype("blk.4.attn_q.weight", Quantisation::Q4KM), GgmlDType::Q5_0);
    assert_eq!(dtype("blk.2.attn_v.weight", Quantisation::Q4KM), GgmlDType::Q8_0);
    assert_eq!(dtype("blk.5.ffn_down.weight", Quantisation::Q4KM), GgmlDType::Q6K);
    assert_eq!(dtype("blk.3.ffn_down.weight", Quantisation::Q4KM), GgmlDType::Q4K);
    assert_eq!(dtype("token_embd.weight", Quantisation::Q4KM), GgmlDType::Q8_0);
    assert_eq!(dtype("blk.4.attn_q.weight", Quantisation::Q5KM), GgmlDType::Q5_1);
}

#[test]
fn scaling_stretches_the_context() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let config = |line: &str| {
        let words = ["x", "--out", "x"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).expect("a command").args.config(None).expect("a model")
    };
    let yarn = config("--like qwen3-0.6b --rope-scaling yarn --rope-factor 4 --original-context 32768");
    assert_eq!(yarn.context, 131_072);
    assert_eq!(yarn.scaling, Some(RopeScaling::Yarn { factor: 4.0, original_context: 32_768 }));
    let linear = config("--family llama --rope-scaling linear --rope-factor 2 --untied");
    assert_eq!((linear.context, linear.tied), (8192, false));
    assert!(tensors(&linear).iter().any(|spec| spec.gguf == "output.weight"));
    let folder = tempfile::tempdir().expect("a folder");
    let small = config("--layers 1 --rope-scaling yarn --rope-factor 8 --original-context 2048");
    let content = content(&written(&small, Quantisation::Q8_0, 0, folder.path()));
    assert_eq!(content.metadata["qwen3.rope.scaling.type"].to_string().expect("text"), "yarn");
    assert_eq!(number(&content, "qwen3.rope.scaling.original_context_length"), 2048);
}

#[test]
fn llama3_divides_slow_rotations_only() {
    let divisors = ModelConfig::preset(Preset::Llama, Family::Llama).rope_divisors().expect("scaled");
    assert_eq!(divisors.len(), 32);
    assert_eq!(divisors[0], 1.0);
    assert_eq!(divisors[31], 32.0);
    assert!(divisors.is_sorted());
    assert!(divisors.iter().any(|divisor| *divisor > 1.0 && *divisor < 32.0));
}

#[test]
fn safetensors_hold_the_same_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    for family in FAMILIES {
        let config = tiny(family);
        published::write(&config, 3, Float::F32, folder.path()).expect("written");
        let published = candle_core::safetensors::load(folder.path().join("model.safetensors"), &Device::Cpu);
        let published = published.expect("safetensors");
        let path = written(&config, Quantisation::F32, 3, folder.path());
        let (content, mut file) = (content(&path), std::fs::File::open(&path).expect("opens"));
        let mut gguf = |name: &str| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu).expect("a tensor");
            tensor.dequantize(&Device::Cpu).expect("f32")
        };
        let same = |one: &candle_core::Tensor, other: &candle_core::Tensor| {
            let values = |tensor: &candle_core::Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            values(one).expect("f32") == values(other).expect("f32")
        };
        assert!(same(&published["model.norm.weight"], &gguf("output_norm.weight")));
        let (query, key) = (&published["model.layers.1.self_attn.q_proj.weight"], gguf("blk.1.attn_q.weight"));
        if family == Family::Llama {
            // halves against neighbours: (heads, 2, half, hidden) with the middle swapped
            let halves = query.reshape((4, 2, 32, 256)).and_then(|q| q.transpose(1, 2)).expect("permuted");
            assert!(same(&halves, &key));
        } else {
            assert!(same(query, &key));
        }
        let json = std::fs::read_to_string(folder.path().join("config.json")).expect("read");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["model_type"], family.architecture());
        assert_eq!(json["num_key_value_heads"], 2);
    }
}

#[test]
fn a_tokenizer_is_taken_over_and_padded() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("vocabulary.gguf");
    let tokens = ["a", "b", "<|im_end|>"].map(|token| Value::String(token.into())).to_vec();
    let metadata = [
        ("general.architecture".to_owned(), Value::String("qwen2".into())),
        ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".into())),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens)),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(vec![Value::I32(1), Value::I32(1), Value::I32(3)])),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(0)),
    ];
    let file = std::fs::File::create(&source).expect("created");
    crate::gguf::Writer::start(file, &metadata, &[]).and_then(crate::gguf::Writer::finish).expect("written");
    let mut tokenizer = Tokenizer::read(&source).expect("a tokenizer");
    tokenizer.end_with("<|im_end|>").expect("a token");
    assert!(tokenizer.end_with("<|nothing|>").is_err());
    tokenizer.chat_template("{{ messages }}".into());
    let out = folder.path().join("model.gguf");
    write_gguf(&tiny(Family::Qwen2), Quantisation::Q8_0, 0, Some(tokenizer), &out).expect("written");
    let content = content(&out);
    assert_eq!(number(&content, "tokenizer.ggml.eos_token_id"), 2);
    assert_eq!(content.metadata["tokenizer.chat_template"].to_string().expect("text"), "{{ messages }}");
    let tokens = content.metadata["tokenizer.ggml.tokens"].to_vec().expect("a list");
    assert_eq!((tokens.len(), tokens[39].to_string().expect("text").as_str()), (40, "[PAD39]"));
    assert_eq!(content.metadata["tokenizer.ggml.token_type"].to_vec().expect("a list").len(), 40);
    let mut small = tiny(Family::Qwen2);
    small.vocab = 2;
    let tokenizer = Tokenizer::read(&source).expect("a tokenizer");
    assert!(write_gguf(&small, Quantisation::Q8_0, 0, Some(tokenizer), &out).is_err());
}
