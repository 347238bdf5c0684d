//! Small models with random weights, written as real folders, and a second, plain reading of the same architectures to
//! compare with: loops over f64, one text at a time, whole score matrices.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Name → shape and numbers.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Words of the test tokenizer; the first four are its special tokens.
pub(super) const WORDS: usize = 40;

/// Deterministic numbers (xorshift64*).
pub(crate) struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// In −1 … 1.
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}

/// What an encoder of the tests looks like.
#[derive(Clone)]
pub(crate) struct Toy {
    pub config: Value,
    pub tensors: Tensors,
}

fn add(tensors: &mut Tensors, numbers: &mut Numbers, name: &str, shape: &[usize]) {
    let norm = name.contains("orm.") && name.ends_with("weight");
    let scale = if norm { 0.3 } else { 0.5 };
    let offset = if norm { 1.0 } else { 0.0 };
    let count = shape.iter().product();
    tensors.insert(name.into(), (shape.to_vec(), (0..count).map(|_| offset + scale * numbers.signed()).collect()));
}

/// BERT (`bert`) or XLM-RoBERTa (`xlm-roberta`), 2 layers of 4 heads.
pub(crate) fn bert(model_type: &str, prefix: &str, positions: usize, seed: u64) -> Toy {
    let (hidden, inner, layers) = (16, 24, 2);
    let types = if model_type == "bert" { 2 } else { 1 };
    let config = json!({
        "model_type": model_type, "vocab_size": WORDS, "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": 4, "intermediate_size": inner, "max_position_embeddings": positions,
        "type_vocab_size": types, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "pad_token_id": 3,
    });
    let (mut t, mut n) = (Tensors::new(), Numbers(seed));
    let mut put = |name: &str, shape: &[usize]| add(&mut t, &mut n, &format!("{prefix}{name}"), shape);
    put("embeddings.word_embeddings.weight", &[WORDS, hidden]);
    put("embeddings.position_embeddings.weight", &[positions, hidden]);
    put("embeddings.token_type_embeddings.weight", &[types, hidden]);
    put("embeddings.LayerNorm.weight", &[hidden]);
    put("embeddings.LayerNorm.bias", &[hidden]);
    for i in 0..layers {
        let sizes = [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ];
        for (part, output, input) in sizes {
            put(&format!("encoder.layer.{i}.{part}.weight"), &[output, input]);
            put(&format!("encoder.layer.{i}.{part}.bias"), &[output]);
        }
        for part in ["attention.output.LayerNorm", "output.LayerNorm"] {
            put(&format!("encoder.layer.{i}.{part}.weight"), &[hidden]);
            put(&format!("encoder.layer.{i}.{part}.bias"), &[hidden]);
        }
    }
    Toy { config, tensors: t }
}

/// ModernBERT of 4 layers: 0 and 3 see all, 1 and 2 see `window / 2` tokens to each side.
pub(super) fn modernbert(window: usize, seed: u64) -> Toy {
    let (hidden, inner, layers) = (16, 12, 4);
    let config = json!({
        "model_type": "modernbert", "vocab_size": WORDS, "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": 2, "intermediate_size": inner, "max_position_embeddings": 4096,
        "hidden_activation": "gelu", "norm_eps": 1e-5, "local_attention": window, "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
    });
    let (mut t, mut n) = (Tensors::new(), Numbers(seed));
    let mut put = |name: &str, shape: &[usize]| add(&mut t, &mut n, name, shape);
    put("embeddings.tok_embeddings.weight", &[WORDS, hidden]);
    put("embeddings.norm.weight", &[hidden]);
    put("final_norm.weight", &[hidden]);
    for i in 0..layers {
        if i > 0 {
            put(&format!("layers.{i}.attn_norm.weight"), &[hidden]);
        }
        put(&format!("layers.{i}.mlp_norm.weight"), &[hidden]);
        put(&format!("layers.{i}.attn.Wqkv.weight"), &[3 * hidden, hidden]);
        put(&format!("layers.{i}.attn.Wo.weight"), &[hidden, hidden]);
        put(&format!("layers.{i}.mlp.Wi.weight"), &[2 * inner, hidden]);
        put(&format!("layers.{i}.mlp.Wo.weight"), &[hidden, inner]);
    }
    Toy { config, tensors: t }
}

/// Adds the classification head of XLM-RoBERTa.
pub(crate) fn with_head(mut toy: Toy, outputs: usize) -> Toy {
    let mut n = Numbers(99);
    let hidden = 16;
    add(&mut toy.tensors, &mut n, "classifier.dense.weight", &[hidden, hidden]);
    add(&mut toy.tensors, &mut n, "classifier.dense.bias", &[hidden]);
    add(&mut toy.tensors, &mut n, "classifier.out_proj.weight", &[outputs, hidden]);
    add(&mut toy.tensors, &mut n, "classifier.out_proj.bias", &[outputs]);
    toy.config["architectures"] = json!(["XLMRobertaForSequenceClassification"]);
    toy
}

/// `[UNK] [CLS] [SEP] [PAD] w4 w5 …`, one token per word.
pub(crate) fn tokenizer() -> Value {
    let special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"];
    let names: Vec<_> = (0..WORDS).map(|i| special.get(i).map_or(format!("w{i}"), |s| (*s).to_owned())).collect();
    let vocab: serde_json::Map<_, _> = names.iter().enumerate().map(|(i, n)| (n.clone(), json!(i))).collect();
    let added: Vec<_> = special.iter().enumerate().map(|(i, n)| json!({
        "id": i, "content": n, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
    })).collect();
    let token = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0", "truncation": null, "padding": {"strategy": {"Fixed": 64}, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 3, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": added, "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]"), text("A", 0), token("[SEP]")],
            "pair": [token("[CLS]"), text("A", 0), token("[SEP]"), text("B", 1), json!({"SpecialToken": {"id": "[SEP]", "type_id": 1}})],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]},
            },
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    })
}

pub(crate) fn write_json(folder: &Path, name: &str, value: &Value) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}

pub(crate) fn write_tensors(folder: &Path, tensors: &Tensors) {
    std::fs::create_dir_all(folder).unwrap();
    let tensor = |(shape, numbers): &(Vec<usize>, Vec<f32>)| {
        Tensor::from_vec(numbers.clone(), shape.as_slice(), &Device::Cpu).unwrap()
    };
    let all = tensors.iter().map(|(name, t)| (name.clone(), tensor(t))).collect();
    candle_core::safetensors::save(&all, folder.join("model.safetensors")).unwrap();
}

/// A whole model folder with one pooling.
pub(crate) fn write_model(folder: &Path, toy: &Toy, pooling: &str) {
    write_tensors(folder, &toy.tensors);
    write_json(folder, "config.json", &toy.config);
    write_json(folder, "tokenizer.json", &tokenizer());
    write_modules(folder, 16, pooling);
}

/// What sentence-transformers says beside the weights.
pub(crate) fn write_modules(folder: &Path, dimension: usize, pooling: &str) {
    let module = |name: &str, path: &str| json!({"path": path, "type": format!("sentence_transformers.models.{name}")});
    let modules =
        json!([module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")]);
    write_json(folder, "modules.json", &modules);
    write_json(folder, "1_Pooling/config.json", &json!({"word_embedding_dimension": dimension, pooling: true}));
}

/// One token for each byte, the answers of a reranker, and the marks of the Qwen3 family; the last three are added.
pub(crate) fn byte_tokenizer() -> Value {
    let plain = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut letters: Vec<char> = (0..256).filter(plain).filter_map(char::from_u32).collect();
    letters.extend((256..256 + (256 - letters.len() as u32)).filter_map(char::from_u32));
    let words = ["ye", "yes", "no"].map(str::to_owned);
    let names: Vec<String> = letters.iter().map(char::to_string).chain(words).collect();
    let vocab: serde_json::Map<_, _> = names.iter().enumerate().map(|(i, n)| (n.clone(), json!(i))).collect();
    let marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let added: Vec<_> = marks
        .iter()
        .enumerate()
        .map(|(i, n)| {
            json!({
                "id": names.len() + i, "content": n, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": ["y e", "ye s", "n o"]},
    })
}

/// `count` texts of 0 to `longest` words.
pub(super) fn texts(count: usize, longest: usize, seed: u64) -> Vec<String> {
    let mut n = Numbers(seed);
    let mut text = || (0..n.below(longest + 1)).map(|_| format!("w{}", 4 + n.below(WORDS - 4))).collect::<Vec<_>>();
    (0..count).map(|_| text().join(" ")).collect()
}

/// The ids of a text between `[CLS]` and `[SEP]`.
pub(super) fn ids(text: &str) -> Vec<usize> {
    let words = text.split_whitespace().map(|w| w.strip_prefix('w').and_then(|n| n.parse().ok()).unwrap_or(0));
    [1].into_iter().chain(words).chain([2]).collect()
}

type Rows = Vec<Vec<f64>>;

/// The architectures read a second time.
pub(super) struct Reference<'a>(pub &'a Toy);

impl Reference<'_> {
    fn number(&self, key: &str) -> usize {
        self.0.config[key].as_u64().unwrap() as usize
    }

    fn rows(&self, name: &str) -> Rows {
        let (shape, numbers) = &self.0.tensors[name];
        numbers.chunks(shape[shape.len() - 1]).map(|r| r.iter().map(|x| f64::from(*x)).collect()).collect()
    }

    fn vector(&self, name: &str) -> Option<Vec<f64>> {
        self.0.tensors.contains_key(name).then(|| self.rows(name).concat())
    }

    pub fn linear(&self, name: &str, rows: &Rows) -> Rows {
        let weight = self.rows(&format!("{name}.weight"));
        let bias = self.vector(&format!("{name}.bias")).unwrap_or(vec![0.0; weight.len()]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        rows.iter().map(|r| weight.iter().zip(&bias).map(|(w, b)| dot(w, r) + b).collect()).collect()
    }

    fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let scale = self.vector(&format!("{name}.weight")).unwrap();
        let shift = self.vector(&format!("{name}.bias")).unwrap_or(vec![0.0; scale.len()]);
        let one = |r: &Vec<f64>| {
            let mean = r.iter().sum::<f64>() / r.len() as f64;
            let variance = r.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / r.len() as f64;
            let spread = (variance + 1e-5).sqrt();
            r.iter().enumerate().map(|(i, x)| (x - mean) / spread * scale[i] + shift[i]).collect()
        };
        rows.iter().map(one).collect()
    }

    fn attention(&self, q: &Rows, k: &Rows, v: &Rows, sees: impl Fn(usize, usize) -> bool) -> Rows {
        let heads = self.number("num_attention_heads");
        let size = q[0].len() / heads;
        let mut out = vec![vec![0.0; q[0].len()]; q.len()];
        for head in (0..heads).map(|h| h * size..(h + 1) * size) {
            for i in 0..q.len() {
                let score = |j: usize| head.clone().map(|d| q[i][d] * k[j][d]).sum::<f64>() / (size as f64).sqrt();
                let seen: Vec<_> = (0..k.len()).filter(|j| sees(i, *j)).map(|j| (j, score(j).exp())).collect();
                let sum: f64 = seen.iter().map(|(_, e)| e).sum();
                for d in head.clone() {
                    out[i][d] = seen.iter().map(|(j, e)| e / sum * v[*j][d]).sum();
                }
            }
        }
        out
    }

    /// Last hidden states of one text; `kinds` are its token types.
    pub fn bert(&self, prefix: &str, ids: &[usize], kinds: &[usize]) -> Rows {
        let p = |name: &str| format!("{prefix}{name}");
        let first = if self.0.config["model_type"] == "bert" { 0 } else { self.number("pad_token_id") + 1 };
        let (words, positions) = (
            self.rows(&p("embeddings.word_embeddings.weight")),
            self.rows(&p("embeddings.position_embeddings.weight")),
        );
        let types = self.rows(&p("embeddings.token_type_embeddings.weight"));
        let kind = |i: usize| if types.len() > 1 { kinds[i] } else { 0 };
        let sum = ids
            .iter()
            .enumerate()
            .map(|(i, id)| add_row(&add_row(&words[*id], &positions[i + first]), &types[kind(i)]));
        let mut x = self.norm(&p("embeddings.LayerNorm"), &sum.collect());
        for i in 0..self.number("num_hidden_layers") {
            let l = |name: &str| p(&format!("encoder.layer.{i}.{name}"));
            let part = |name: &str| self.linear(&l(&format!("attention.self.{name}")), &x);
            let seen = self.attention(&part("query"), &part("key"), &part("value"), |_, _| true);
            let seen = self.linear(&l("attention.output.dense"), &seen);
            x = self.norm(&l("attention.output.LayerNorm"), &add_all(&seen, &x));
            let inner = map(&self.linear(&l("intermediate.dense"), &x), gelu);
            x = self.norm(&l("output.LayerNorm"), &add_all(&self.linear(&l("output.dense"), &inner), &x));
        }
        x
    }

    /// Last hidden states of one text.
    pub fn modernbert(&self, ids: &[usize]) -> Rows {
        let words = self.rows("embeddings.tok_embeddings.weight");
        let mut x = self.norm("embeddings.norm", &ids.iter().map(|id| words[*id].clone()).collect());
        let (every, reach) = (self.number("global_attn_every_n_layers"), self.number("local_attention") / 2);
        for i in 0..self.number("num_hidden_layers") {
            let l = |name: &str| format!("layers.{i}.{name}");
            let whole = i % every == 0;
            let theta = self.0.config[if whole { "global_rope_theta" } else { "local_rope_theta" }].as_f64().unwrap();
            let normed = if i == 0 { x.clone() } else { self.norm(&l("attn_norm"), &x) };
            let qkv = self.linear(&l("attn.Wqkv"), &normed);
            let part = |n: usize| qkv.iter().map(|r| r[n * 16..(n + 1) * 16].to_vec()).collect::<Rows>();
            let turn = |rows: Rows| rows.iter().enumerate().map(|(at, r)| turned(r, at, 8, theta)).collect::<Rows>();
            let seen = self.attention(&turn(part(0)), &turn(part(1)), &part(2), |i, j| whole || i.abs_diff(j) <= reach);
            x = add_all(&self.linear(&l("attn.Wo"), &seen), &x);
            let up = self.linear(&l("mlp.Wi"), &self.norm(&l("mlp_norm"), &x));
            let gated = up.iter().map(|r| (0..12).map(|d| gelu(r[d]) * r[12 + d]).collect()).collect();
            x = add_all(&self.linear(&l("mlp.Wo"), &gated), &x);
        }
        self.norm("final_norm", &x)
    }
}

/// Rotary positions of one row of heads of `size`.
fn turned(row: &[f64], at: usize, size: usize, theta: f64) -> Vec<f64> {
    let half = size / 2;
    let turn = |d: usize| {
        let (head, place) = (d / size * size, d % size);
        let angle = at as f64 * theta.powf(-2.0 * (place % half) as f64 / size as f64);
        let (low, high) = (row[head + place % half], row[head + place % half + half]);
        if place < half { low * angle.cos() - high * angle.sin() } else { high * angle.cos() + low * angle.sin() }
    };
    (0..row.len()).map(turn).collect()
}

/// x·Φ(x), with Φ integrated numerically (Simpson's rule) so that no error function is shared with the code tested.
fn gelu(x: f64) -> f64 {
    let (steps, density) = (200, |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt());
    let h = x / f64::from(steps);
    let weight = |i: i32| if i == 0 || i == steps { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
    let area: f64 = (0..=steps).map(|i| weight(i) * density(f64::from(i) * h)).sum::<f64>() * h / 3.0;
    x * (0.5 + area)
}

pub(super) fn map(rows: &Rows, f: impl Fn(f64) -> f64) -> Rows {
    rows.iter().map(|r| r.iter().map(|x| f(*x)).collect()).collect()
}

fn add_row(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn add_all(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| add_row(a, b)).collect()
}
