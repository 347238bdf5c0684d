//! The decoder on a graphics processor: candle's tensors and its quantised products. On the processor's own device the
//! same code runs without one, which is how the tests hold it against the kernels.
//!
//! Queries of a sequence look at its keys with two products and a softmax in single precision; a fused kernel would save
//! memory at long contexts. Results of a token may differ in their last bits with what is computed beside it: candle
//! chooses kernels by the number of rows.

use super::Output;
use super::cache::{BlockId, DeviceCache};
use super::config::Config;
use super::rope::Rope;
use super::step::{Piece, Step};
use super::weights::{Files, Layer, Linear, Matrices, Raw};
use crate::error::ModelError;
use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};
use madang_kernels::{BLOCK, Format};
use std::borrow::Cow;

/// A decoder whose weights lie on `device`.
pub struct TensorDecoder {
    config: Config,
    device: Device,
    rope: Rope,
    embedding: QMatMul,
    layers: Vec<DeviceLayer>,
    norm: Tensor,
    /// `None`: the embedding serves.
    output: Option<QMatMul>,
    bytes: usize,
}

/// One layer, its small vectors on the device as well.
struct DeviceLayer {
    attn_norm: Tensor,
    q: Projection,
    k: Projection,
    v: Projection,
    o: Projection,
    ffn_norm: Tensor,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
}

struct Projection {
    matrix: QMatMul,
    bias: Option<Tensor>,
    /// Norm of each head.
    norm: Option<Tensor>,
}

/// Matrices on a device: quantised ones as they stand in the file.
struct OnDevice<'a>(&'a Device);

impl Matrices for OnDevice<'_> {
    type Matrix = QMatMul;

    fn matrix(&self, rows: usize, cols: usize, raw: &Raw<'_>) -> std::result::Result<QMatMul, String> {
        self.upload(rows, cols, raw).map_err(|e| e.to_string())
    }
}

impl OnDevice<'_> {
    fn upload(&self, rows: usize, cols: usize, raw: &Raw<'_>) -> Result<QMatMul> {
        let quantised = match raw.format {
            Format::Q4_0 => GgmlDType::Q4_0,
            Format::Q5_0 => GgmlDType::Q5_0,
            Format::Q8_0 => GgmlDType::Q8_0,
            Format::Q4_K => GgmlDType::Q4K,
            Format::Q5_K => GgmlDType::Q5K,
            Format::Q6_K => GgmlDType::Q6K,
            Format::F32 | Format::F16 | Format::BF16 => return self.upload_floats(rows, cols, raw),
        };
        let storage = QStorage::from_data(Cow::Borrowed(raw.bytes), self.0, quantised)?;
        QMatMul::from_qtensor(QTensor::new(storage, (rows, cols))?)
    }

    /// Half precision where a graphics processor multiplies it; in main memory single, as its products are.
    fn upload_floats(&self, rows: usize, cols: usize, raw: &Raw<'_>) -> Result<QMatMul> {
        let dtype = match raw.format {
            Format::F32 => DType::F32,
            Format::F16 => DType::F16,
            _ => DType::BF16,
        };
        let tensor = Tensor::from_raw_buffer(raw.bytes, dtype, &[rows, cols], self.0)?;
        if dtype == DType::F32 || self.0.is_cpu() {
            return Ok(QMatMul::Tensor(tensor.to_dtype(DType::F32)?));
        }
        Ok(QMatMul::TensorF16(tensor.to_dtype(DType::F16)?))
    }

    fn vector(&self, values: &[f32]) -> Result<Tensor> {
        Tensor::from_slice(values, values.len(), self.0)
    }

    fn layer(&self, layer: Layer<QMatMul>) -> Result<DeviceLayer> {
        let projection = |linear: Linear<QMatMul>, norm: Option<Vec<f32>>| -> Result<Projection> {
            let bias = linear.bias.map(|b| self.vector(&b)).transpose()?;
            let norm = norm.map(|n| self.vector(&n)).transpose()?;
            Ok(Projection { matrix: linear.matrix, bias, norm })
        };
        Ok(DeviceLayer {
            attn_norm: self.vector(&layer.attn_norm)?,
            q: projection(layer.q, layer.q_norm)?,
            k: projection(layer.k, layer.k_norm)?,
            v: projection(layer.v, None)?,
            o: projection(layer.o, None)?,
            ffn_norm: self.vector(&layer.ffn_norm)?,
            gate: layer.gate,
            up: layer.up,
            down: layer.down,
        })
    }
}

/// What a piece looks at: its rows of the step, the places of its keys, and what each row may not see.
struct Look {
    first: usize,
    count: usize,
    /// `[keys]`, rows of the cache.
    places: Tensor,
    /// `[count][keys]`, zero or minus infinity; one token sees everything before it.
    mask: Option<Tensor>,
}

/// What all layers of a step share.
struct Shared {
    /// `[tokens][pairs]` each
    cos: Tensor,
    sin: Tensor,
    /// `[tokens][kv_heads * head_dim]`, the row of the cache that each number goes to.
    targets: Tensor,
    looks: Vec<Look>,
}

impl TensorDecoder {
    /// Copies a file's weights to the device.
    ///
    /// # Errors
    /// What the files lack, or the device has no room.
    pub fn load(files: &Files<'_>, device: Device) -> std::result::Result<Self, ModelError> {
        let weights = files.weights(&OnDevice(&device))?;
        let bytes = weights.bytes(matrix_bytes);
        let rope = Rope::new(&weights.config, weights.rope_factors.as_deref());
        let on = OnDevice(&device);
        let layers = weights.layers.into_iter().map(|l| on.layer(l)).collect::<Result<_>>().map_err(failed)?;
        let norm = on.vector(&weights.norm).map_err(failed)?;
        let (config, embedding, output) = (weights.config, weights.embedding, weights.output);
        Ok(Self { config, device, rope, embedding, layers, norm, output, bytes })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn weight_bytes(&self) -> usize {
        self.bytes
    }

    /// Room for `blocks` blocks.
    ///
    /// # Errors
    /// The device has no room.
    pub fn cache(&self, blocks: usize) -> std::result::Result<DeviceCache, ModelError> {
        let shape = (blocks * BLOCK, self.kv_len());
        let zeros = || Tensor::zeros(shape, DType::F16, &self.device);
        let layers =
            (0..self.config.layers).map(|_| Ok((zeros()?, zeros()?))).collect::<Result<_>>().map_err(failed)?;
        Ok(DeviceCache { shape: self.config.kv_shape(), blocks, layers })
    }

    /// See [`Decoder::forward`](super::Decoder::forward).
    pub fn forward(
        &mut self,
        cache: &mut DeviceCache,
        pieces: &[Piece<'_>],
        output: Output,
    ) -> std::result::Result<Vec<f32>, ModelError> {
        self.rope.reach(pieces.iter().map(Piece::end).max().unwrap_or(0));
        self.compute(cache, pieces, output).map_err(failed)
    }

    fn compute(&self, cache: &DeviceCache, pieces: &[Piece<'_>], output: Output) -> Result<Vec<f32>> {
        let step = Step::new(pieces);
        let tokens: Vec<u32> = pieces.iter().flat_map(|p| p.tokens).copied().collect();
        let shared = self.shared(&step)?;
        let mut x = self.embedding.embedding(&Tensor::new(tokens, &self.device)?)?.to_dtype(DType::F32)?;
        for (layer, (keys, values)) in self.layers.iter().zip(&cache.layers) {
            x = (&x + self.attention(layer, &x, &shared, keys, values)?)?;
            x = (&x + self.feed_forward(layer, &x)?)?;
        }
        let wanted: Vec<u32> = step.wanted().into_iter().map(|i| i as u32).collect();
        if wanted.is_empty() {
            // Nothing is read back, so a fault of the device would be noticed in somebody else's step.
            self.device.synchronize()?;
            return Ok(Vec::new());
        }
        let rows = x.index_select(&Tensor::new(wanted, &self.device)?, 0)?;
        let normed = rms_norm(&rows, &self.norm, self.config.epsilon)?;
        let out = match output {
            Output::Hidden => normed,
            Output::Logits => self.output.as_ref().unwrap_or(&self.embedding).forward(&normed)?,
        };
        out.flatten_all()?.to_vec1()
    }

    fn kv_len(&self) -> usize {
        self.config.kv_heads * self.config.head_dim
    }

    fn shared(&self, step: &Step<'_>) -> Result<Shared> {
        let (n, pairs) = (step.tokens.len(), self.config.rope_dim / 2);
        let table = |part: usize| {
            let numbers: Vec<f32> =
                step.tokens.iter().flat_map(|(position, _)| self.rope.at(*position)).map(|pair| pair[part]).collect();
            Tensor::from_vec(numbers, (n, pairs), &self.device)
        };
        let targets: Vec<u32> =
            step.tokens.iter().map(|(position, piece)| place(step.pieces[*piece].blocks, *position)).collect();
        let targets = Tensor::from_vec(targets, (n, 1), &self.device)?;
        let mut first = 0;
        let mut looks = Vec::with_capacity(step.pieces.len());
        for piece in step.pieces.iter().filter(|p| !p.tokens.is_empty()) {
            looks.push(self.look(piece, first)?);
            first += piece.tokens.len();
        }
        let targets = targets.broadcast_as((n, self.kv_len()))?.contiguous()?;
        Ok(Shared { cos: table(0)?, sin: table(1)?, targets, looks })
    }

    fn look(&self, piece: &Piece<'_>, first: usize) -> Result<Look> {
        let (count, keys) = (piece.tokens.len(), piece.end());
        let places: Vec<u32> = (0..keys).map(|position| place(piece.blocks, position)).collect();
        let places = Tensor::new(places, &self.device)?;
        let mask = (count > 1).then(|| {
            let seen = |row: usize, key: usize| if key <= piece.start + row { 0.0 } else { f32::NEG_INFINITY };
            let numbers: Vec<f32> = (0..count).flat_map(|row| (0..keys).map(move |key| seen(row, key))).collect();
            Tensor::from_vec(numbers, (count, keys), &self.device)
        });
        Ok(Look { first, count, places, mask: mask.transpose()? })
    }

    fn attention(
        &self,
        layer: &DeviceLayer,
        x: &Tensor,
        shared: &Shared,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<Tensor> {
        let config = &self.config;
        let n = x.dim(0)?;
        let normed = rms_norm(x, &layer.attn_norm, config.epsilon)?;
        let q = self.turned(&layer.q, &normed, config.heads, shared)?;
        let k = self.turned(&layer.k, &normed, config.kv_heads, shared)?;
        let v = project(&layer.v, &normed)?;
        let k = k.transpose(0, 1)?.reshape((n, self.kv_len()))?;
        keys.scatter_set(&shared.targets, &k.to_dtype(DType::F16)?.contiguous()?, 0)?;
        values.scatter_set(&shared.targets, &v.to_dtype(DType::F16)?.contiguous()?, 0)?;
        let mixed = shared.looks.iter().map(|look| self.mix(look, &q, keys, values)).collect::<Result<Vec<_>>>()?;
        project(&layer.o, &Tensor::cat(&mixed, 0)?)
    }

    /// Queries or keys, normed and rotated: `[heads][tokens][head_dim]`.
    fn turned(&self, projection: &Projection, x: &Tensor, heads: usize, shared: &Shared) -> Result<Tensor> {
        let (n, dim, turned) = (x.dim(0)?, self.config.head_dim, self.config.rope_dim);
        let mut rows = project(projection, x)?.reshape((n, heads, dim))?;
        if let Some(norm) = &projection.norm {
            rows = rms_norm(&rows.contiguous()?, norm, self.config.epsilon)?;
        }
        let rows = rows.transpose(0, 1)?.unsqueeze(0)?.contiguous()?;
        let turn = if self.config.interleaved { rope_i } else { rope };
        if turned == dim {
            return turn(&rows, &shared.cos, &shared.sin)?.squeeze(0);
        }
        let head = turn(&rows.narrow(3, 0, turned)?.contiguous()?, &shared.cos, &shared.sin)?;
        Tensor::cat(&[&head, &rows.narrow(3, turned, dim - turned)?], 3)?.squeeze(0)
    }

    /// Attention of one piece's tokens, `[count][heads * head_dim]`.
    fn mix(&self, look: &Look, q: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
        let (heads, kv_heads, dim) = (self.config.heads, self.config.kv_heads, self.config.head_dim);
        let ctx = look.places.dim(0)?;
        let rows = heads / kv_heads * look.count;
        // `[kv_heads][keys][head_dim]`
        let gather = |cache: &Tensor| {
            let rows = cache.index_select(&look.places, 0)?.to_dtype(DType::F32)?;
            rows.reshape((ctx, kv_heads, dim))?.transpose(0, 1)?.contiguous()
        };
        // A group's heads stand side by side, so its queries are one matrix.
        let q = q.narrow(1, look.first, look.count)?.contiguous()?.reshape((kv_heads, rows, dim))?;
        let scores = (q.matmul(&gather(keys)?.t()?)? * (1.0 / (dim as f64).sqrt()))?;
        let mut scores = scores.reshape((heads, look.count, ctx))?;
        if let Some(mask) = &look.mask {
            scores = scores.broadcast_add(mask)?;
        }
        let shares = softmax_last_dim(&scores)?.reshape((kv_heads, rows, ctx))?;
        let mixed = shares.matmul(&gather(values)?)?.reshape((heads, look.count, dim))?;
        mixed.transpose(0, 1)?.contiguous()?.reshape((look.count, heads * dim))
    }

    fn feed_forward(&self, layer: &DeviceLayer, x: &Tensor) -> Result<Tensor> {
        let normed = rms_norm(x, &layer.ffn_norm, self.config.epsilon)?;
        let gated = (silu(&layer.gate.forward(&normed)?)? * layer.up.forward(&normed)?)?;
        layer.down.forward(&gated)
    }
}

/// Row of the cache that holds a position.
fn place(blocks: &[BlockId], position: usize) -> u32 {
    blocks[position / BLOCK].0 * BLOCK as u32 + (position % BLOCK) as u32
}

fn project(projection: &Projection, x: &Tensor) -> Result<Tensor> {
    let out = projection.matrix.forward(x)?;
    match &projection.bias {
        Some(bias) => out.broadcast_add(bias),
        None => Ok(out),
    }
}

fn matrix_bytes(matrix: &QMatMul) -> usize {
    match matrix {
        QMatMul::QTensor(tensor) => tensor.storage_size_in_bytes(),
        QMatMul::Tensor(tensor) | QMatMul::TensorF16(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
    }
}

fn failed(error: candle_core::Error) -> ModelError {
    ModelError::device(error.to_string())
}
