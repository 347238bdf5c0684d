//! The decoder on processors: packed weights multiplied by our own kernels, keys and values in half-precision blocks.
//!
//! What does not live here: graphics processors (`tensors`), what a step consists of (`step`).

use super::Output;
use super::cache::HostCache;
use super::config::Config;
use super::rope::Rope;
use super::step::{Piece, Step};
use super::weights::{Layer, Weights};
use madang_kernels::{
    Activations, BLOCK, Head, Matrix, Pool, Product, add_assign, attend, multiply, rms_norm, rope_interleaved,
    rope_neox, swiglu,
};
use std::iter;
use std::sync::Arc;

/// Rows of queries that share one reading of the keys.
const TILE: usize = 16;

/// A decoder ready to compute on one thread pool.
pub struct PackedDecoder {
    weights: Weights<Matrix>,
    rope: Rope,
    pool: Arc<Pool>,
}

impl PackedDecoder {
    pub fn new(weights: Weights<Matrix>, pool: Arc<Pool>) -> Self {
        let rope = Rope::new(&weights.config, weights.rope_factors.as_deref());
        Self { weights, rope, pool }
    }

    pub fn config(&self) -> &Config {
        &self.weights.config
    }

    /// Bytes of the weights in memory.
    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes(Matrix::bytes)
    }

    /// See [`Decoder::forward`](super::Decoder::forward).
    pub fn forward(&mut self, cache: &mut HostCache, pieces: &[Piece<'_>], output: Output) -> Vec<f32> {
        let step = Step::new(pieces);
        self.rope.reach(pieces.iter().map(Piece::end).max().unwrap_or(0));
        for piece in pieces {
            for id in &piece.blocks[piece.start / BLOCK..piece.end().div_ceil(BLOCK)] {
                cache.touch(*id);
            }
        }
        let hidden = self.weights.config.hidden;
        let mut x = vec![0f32; step.tokens.len() * hidden];
        let tokens: Vec<u32> = pieces.iter().flat_map(|p| p.tokens).copied().collect();
        let embedding = &self.weights.embedding;
        self.rows(&mut x, hidden, |i, row| embedding.row(tokens[i] as usize, row));
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.attention(layer, i, &step, &mut x, cache);
            self.feed_forward(layer, &mut x);
        }
        self.finish(&step, &x, output)
    }

    /// Calls `body` for each row of `data`, on all threads when there is more than one.
    fn rows(&self, data: &mut [f32], len: usize, body: impl Fn(usize, &mut [f32]) + Sync) {
        let rows = data.len() / len;
        if rows <= 1 {
            data.chunks_exact_mut(len).enumerate().for_each(|(i, row)| body(i, row));
            return;
        }
        self.pool.rows(data, len, body);
    }

    fn normed(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let (hidden, epsilon) = (self.weights.config.hidden, self.weights.config.epsilon);
        let mut out = vec![0f32; x.len()];
        self.rows(&mut out, hidden, |i, row| rms_norm(&x[i * hidden..(i + 1) * hidden], weight, epsilon, row));
        out
    }

    fn attention(&self, layer: &Layer<Matrix>, index: usize, step: &Step<'_>, x: &mut [f32], cache: &mut HostCache) {
        let config = &self.weights.config;
        let n = step.tokens.len();
        let (q_len, kv_len) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let normed = self.normed(x, &layer.attn_norm);
        let (mut q, mut k, mut v) = (vec![0f32; n * q_len], vec![0f32; n * kv_len], vec![0f32; n * kv_len]);
        let activations = Activations::new(&normed, config.hidden);
        multiply(
            &self.pool,
            &activations,
            &mut [
                Product { matrix: &layer.q.matrix, out: &mut q },
                Product { matrix: &layer.k.matrix, out: &mut k },
                Product { matrix: &layer.v.matrix, out: &mut v },
            ],
        );
        self.rows(&mut q, q_len, |i, row| self.turn(row, layer.q.bias.as_deref(), layer.q_norm.as_deref(), step, i));
        self.rows(&mut k, kv_len, |i, row| self.turn(row, layer.k.bias.as_deref(), layer.k_norm.as_deref(), step, i));
        if let Some(bias) = &layer.v.bias {
            v.chunks_exact_mut(kv_len).for_each(|row| add_assign(row, bias));
        }
        for (i, (position, piece)) in step.tokens.iter().enumerate() {
            let at = i * kv_len..(i + 1) * kv_len;
            cache.write(index, step.pieces[*piece].blocks, *position, &k[at.clone()], &v[at]);
        }
        let mixed = self.mix(index, step, &q, cache);
        let out = self.product(&layer.o.matrix, &mixed, layer.o.bias.as_deref());
        add_assign(x, &out);
    }

    /// Bias, norm and rotation of one token's queries or keys.
    fn turn(&self, row: &mut [f32], bias: Option<&[f32]>, norm: Option<&[f32]>, step: &Step<'_>, token: usize) {
        let config = &self.weights.config;
        if let Some(bias) = bias {
            add_assign(row, bias);
        }
        let table = self.rope.at(step.tokens[token].0);
        let mut normed = vec![0f32; config.head_dim];
        for head in row.chunks_exact_mut(config.head_dim) {
            if let Some(norm) = norm {
                rms_norm(head, norm, config.epsilon, &mut normed);
                head.copy_from_slice(&normed);
            }
            if config.interleaved {
                rope_interleaved(head, table)
            } else {
                rope_neox(&mut head[..config.rope_dim], table)
            }
        }
    }

    /// Attention of all tokens, `[tokens][heads * head_dim]`.
    fn mix(&self, layer: usize, step: &Step<'_>, q: &[f32], cache: &HostCache) -> Vec<f32> {
        let config = &self.weights.config;
        let (dim, group) = (config.head_dim, config.heads / config.kv_heads);
        let blocks: Vec<Vec<_>> =
            step.pieces.iter().map(|p| cache.layer(layer, &p.blocks[..p.end().div_ceil(BLOCK)])).collect();
        let tiles = step.tiles((TILE / group).max(1));
        let items: Vec<_> = tiles.iter().flat_map(|t| (0..config.kv_heads).map(move |h| (*t, h))).collect();
        let lens: Vec<usize> = items.iter().map(|(t, _)| t.count * group * dim).collect();
        let mut parts = vec![0f32; q.len()];
        let width = config.heads * dim;
        self.pool.parts(&mut parts, &lens, |item, values| {
            let (tile, kv_head) = items[item];
            let tokens = tile.first..tile.first + tile.count;
            // A group's heads stand side by side in a token's queries.
            let from = kv_head * group * dim;
            let queries: Vec<f32> =
                tokens.clone().flat_map(|t| &q[t * width + from..t * width + from + group * dim]).copied().collect();
            let positions: Vec<usize> = tokens.flat_map(|t| iter::repeat_n(step.tokens[t].0, group)).collect();
            let head = Head {
                shape: config.kv_shape(),
                kv_head,
                blocks: &blocks[tile.piece],
                queries: &queries,
                positions: &positions,
                scale: 1.0 / (dim as f32).sqrt(),
            };
            attend(&head, values);
        });
        let mut out = vec![0f32; q.len()];
        let mut parts = parts.as_slice();
        for (tile, kv_head) in items {
            for t in tile.first..tile.first + tile.count {
                let (row, rest) = parts.split_at(group * dim);
                out[t * width + kv_head * group * dim..][..group * dim].copy_from_slice(row);
                parts = rest;
            }
        }
        out
    }

    fn feed_forward(&self, layer: &Layer<Matrix>, x: &mut [f32]) {
        let config = &self.weights.config;
        let normed = self.normed(x, &layer.ffn_norm);
        let n = x.len() / config.hidden;
        let (mut gate, mut up) = (vec![0f32; n * config.ffn], vec![0f32; n * config.ffn]);
        let activations = Activations::new(&normed, config.hidden);
        let mut products =
            [Product { matrix: &layer.gate, out: &mut gate }, Product { matrix: &layer.up, out: &mut up }];
        multiply(&self.pool, &activations, &mut products);
        self.rows(&mut gate, config.ffn, |i, row| swiglu(row, &up[i * config.ffn..(i + 1) * config.ffn]));
        let out = self.product(&layer.down, &gate, None);
        add_assign(x, &out);
    }

    fn product(&self, matrix: &Matrix, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = vec![0f32; x.len() / matrix.cols() * matrix.rows()];
        multiply(&self.pool, &Activations::new(x, matrix.cols()), &mut [Product { matrix, out: &mut out }]);
        if let Some(bias) = bias {
            out.chunks_exact_mut(matrix.rows()).for_each(|row| add_assign(row, bias));
        }
        out
    }

    fn finish(&self, step: &Step<'_>, x: &[f32], output: Output) -> Vec<f32> {
        let hidden = self.weights.config.hidden;
        let wanted: Vec<f32> =
            step.wanted().into_iter().flat_map(|i| &x[i * hidden..(i + 1) * hidden]).copied().collect();
        if wanted.is_empty() {
            return wanted;
        }
        let normed = self.normed(&wanted, &self.weights.norm);
        match output {
            Output::Hidden => normed,
            Output::Logits => {
                self.product(self.weights.output.as_ref().unwrap_or(&self.weights.embedding), &normed, None)
            }
        }
    }
}
