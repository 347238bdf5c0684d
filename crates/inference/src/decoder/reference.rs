//! The decoder a second time, in plain loops over f64, straight from the published definitions (transformers'
//! `modeling_llama.py`, `modeling_qwen2.py`, `modeling_qwen3.py`, `modeling_rope_utils.py`): one sequence, whole score
//! rows, nothing shared with the code that is tested but the numbers of the file.

use super::testing::Tiny;
use serde_json::Value;
use std::f64::consts::PI;

pub type Rows = Vec<Vec<f64>>;

/// A published decoder, read for computing.
pub struct Reference<'a>(pub &'a Tiny);

impl Reference<'_> {
    fn config(&self, key: &str) -> &Value {
        &self.0.config[key]
    }

    fn size(&self, key: &str) -> usize {
        self.config(key).as_u64().unwrap() as usize
    }

    fn float(&self, key: &str) -> f64 {
        self.config(key).as_f64().unwrap()
    }

    fn rows(&self, name: &str) -> Rows {
        let (shape, numbers) = &self.0.tensors[name];
        numbers.chunks(shape[shape.len() - 1]).map(|r| r.iter().map(|x| f64::from(*x)).collect()).collect()
    }

    fn vector(&self, name: &str) -> Option<Vec<f64>> {
        self.0.tensors.contains_key(name).then(|| self.rows(name).concat())
    }

    fn linear(&self, name: &str, rows: &Rows) -> Rows {
        let weight = self.rows(&format!("{name}.weight"));
        let bias = self.vector(&format!("{name}.bias")).unwrap_or(vec![0.0; weight.len()]);
        rows.iter().map(|r| weight.iter().zip(&bias).map(|(w, b)| dot(w, r) + b).collect()).collect()
    }

    /// x / sqrt(mean(x²) + ε) · weight
    fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let weight = self.vector(&format!("{name}.weight")).unwrap();
        let one = |row: &Vec<f64>| {
            let root = (dot(row, row) / row.len() as f64 + self.float("rms_norm_eps")).sqrt();
            row.iter().zip(&weight).map(|(x, w)| x / root * w).collect()
        };
        rows.iter().map(one).collect()
    }

    /// States of all tokens after the last norm.
    pub fn states(&self, tokens: &[u32]) -> Rows {
        let embedding = self.rows("model.embed_tokens.weight");
        let mut x: Rows = tokens.iter().map(|t| embedding[*t as usize].clone()).collect();
        for i in 0..self.size("num_hidden_layers") {
            let name = |part: &str| format!("model.layers.{i}.{part}");
            let normed = self.norm(&name("input_layernorm"), &x);
            let mixed = self.attention(&name("self_attn"), &normed);
            x = sum(&x, &self.linear(&name("self_attn.o_proj"), &mixed));
            let normed = self.norm(&name("post_attention_layernorm"), &x);
            let (gate, up) = (self.linear(&name("mlp.gate_proj"), &normed), self.linear(&name("mlp.up_proj"), &normed));
            let silu = |g: f64| g / (1.0 + (-g).exp());
            let inner = gate.iter().zip(&up).map(|(g, u)| g.iter().zip(u).map(|(g, u)| silu(*g) * u).collect());
            x = sum(&x, &self.linear(&name("mlp.down_proj"), &inner.collect()));
        }
        self.norm("model.norm", &x)
    }

    pub fn logits(&self, state: &[f64]) -> Vec<f64> {
        let tied = self.config("tie_word_embeddings") == &Value::Bool(true);
        let name = if tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
        self.rows(name).iter().map(|row| dot(row, state)).collect()
    }

    fn attention(&self, name: &str, x: &Rows) -> Rows {
        let (heads, kv_heads, size) =
            (self.size("num_attention_heads"), self.size("num_key_value_heads"), self.size("head_dim"));
        let part = |part: &str| {
            let rows = self.linear(&format!("{name}.{part}_proj"), x);
            // `[head][token]`
            let count = rows[0].len() / size;
            (0..count)
                .map(|h| rows.iter().map(|r| r[h * size..(h + 1) * size].to_vec()).collect())
                .collect::<Vec<Rows>>()
        };
        let (frequencies, magnitude) = self.rotation(size);
        let turned = |which: &str| -> Vec<Rows> {
            let norm = format!("{name}.{which}_norm");
            let normed = |head: Rows| {
                if self.vector(&format!("{norm}.weight")).is_some() { self.norm(&norm, &head) } else { head }
            };
            let turn = |(at, row): (usize, &Vec<f64>)| turned(row, at as f64, &frequencies, magnitude);
            part(which).into_iter().map(|head| normed(head).iter().enumerate().map(turn).collect()).collect()
        };
        let (q, k, v) = (turned("q"), turned("k"), part("v"));
        let mut out = vec![Vec::new(); x.len()];
        for h in 0..heads {
            let (keys, values) = (&k[h / (heads / kv_heads)], &v[h / (heads / kv_heads)]);
            for (i, row) in out.iter_mut().enumerate() {
                let scores: Vec<f64> = keys[..=i].iter().map(|k| dot(&q[h][i], k) / (size as f64).sqrt()).collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let shares: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                let all: f64 = shares.iter().sum();
                let mut mixed = vec![0.0; size];
                for (share, value) in shares.iter().zip(values) {
                    mixed.iter_mut().zip(value).for_each(|(m, v)| *m += share / all * v);
                }
                row.extend(mixed);
            }
        }
        out
    }

    /// `inv_freq` and `attention_scaling` of `modeling_rope_utils.py`.
    fn rotation(&self, size: usize) -> (Vec<f64>, f64) {
        let theta = self.float("rope_theta");
        let plain: Vec<f64> = (0..size / 2).map(|i| 1.0 / theta.powf((2 * i) as f64 / size as f64)).collect();
        let scaling = self.config("rope_scaling");
        let number = |key: &str| scaling[key].as_f64();
        let factor = number("factor").unwrap_or(1.0);
        match scaling["rope_type"].as_str() {
            None => (plain, 1.0),
            Some("linear") => (plain.iter().map(|f| f / factor).collect(), 1.0),
            Some("llama3") => {
                let (low, high) = (number("low_freq_factor").unwrap(), number("high_freq_factor").unwrap());
                let original = number("original_max_position_embeddings").unwrap();
                let one = |f: &f64| {
                    let wavelength = 2.0 * PI / f;
                    let smooth = (original / wavelength - low) / (high - low);
                    if wavelength > original / low {
                        f / factor
                    } else if wavelength < original / high {
                        *f
                    } else {
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                };
                (plain.iter().map(one).collect(), 1.0)
            }
            Some("yarn") => {
                let original = number("original_max_position_embeddings").unwrap();
                let dimension = |turns: f64| size as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
                let low = dimension(number("beta_fast").unwrap_or(32.0)).floor().max(0.0);
                let high = dimension(number("beta_slow").unwrap_or(1.0)).ceil().min(size as f64 - 1.0);
                let span = if low == high { 0.001 } else { high - low };
                let one = |(i, f): (usize, &f64)| {
                    let extrapolated = 1.0 - ((i as f64 - low) / span).clamp(0.0, 1.0);
                    f / factor * (1.0 - extrapolated) + f * extrapolated
                };
                let attention = number("attention_factor").unwrap_or(0.1 * factor.ln() + 1.0);
                (plain.iter().enumerate().map(one).collect(), attention)
            }
            Some(other) => panic!("{other}"),
        }
    }
}

/// x · cos + rotate_half(x) · sin
fn turned(row: &[f64], position: f64, frequencies: &[f64], magnitude: f64) -> Vec<f64> {
    let half = row.len() / 2;
    let turn = |d: usize| {
        let angle = position * frequencies[d % half];
        let other = if d < half { -row[d + half] } else { row[d - half] };
        (row[d] * angle.cos() + other * angle.sin()) * magnitude
    };
    (0..row.len()).map(turn).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}
