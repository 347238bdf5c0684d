//! From files to packed matrices: GGUF and safetensors, mapped into memory and let go of once packed, so that no weight is
//! held twice.

use super::config::{Config, Family};
use crate::error::ModelError;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use madang_kernels::{Format, Matrix, Pool};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// One layer.
pub struct Layer {
    pub attn_norm: Vec<f32>,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub o: Linear,
    /// Norms of each head's queries and keys.
    pub q_norm: Option<Vec<f32>>,
    pub k_norm: Option<Vec<f32>>,
    pub ffn_norm: Vec<f32>,
    pub gate: Matrix,
    pub up: Matrix,
    pub down: Matrix,
}

/// A matrix and what is added to its product.
pub struct Linear {
    pub matrix: Matrix,
    pub bias: Option<Vec<f32>>,
}

/// A whole decoder.
pub struct Weights {
    pub config: Config,
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub norm: Vec<f32>,
    /// `None`: the embedding serves.
    pub output: Option<Matrix>,
    pub rope_factors: Option<Vec<f32>>,
}

impl Weights {
    /// Bytes of all matrices, once each.
    pub fn bytes(&self) -> usize {
        let layers: usize = self
            .layers
            .iter()
            .map(|l| [&l.q.matrix, &l.k.matrix, &l.v.matrix, &l.o.matrix, &l.gate, &l.up, &l.down])
            .flat_map(|all| all.map(Matrix::bytes))
            .sum();
        layers + self.embedding.bytes() + self.output.as_ref().map_or(0, Matrix::bytes)
    }
}

/// A model file mapped into memory.
pub struct MappedFile {
    map: Mmap,
    path: PathBuf,
}

impl MappedFile {
    /// Maps a file for reading.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: model files are added once and never written to again; a file cut short while mapped ends the process,
        // as it does for every program that maps its models.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?;
        Ok(Self { map, path: path.to_owned() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The file's directory of metadata and tensors.
    ///
    /// # Errors
    /// It is not a sound GGUF file.
    pub fn gguf(&self) -> Result<Content, ModelError> {
        Content::read(&mut Cursor::new(self.bytes()))
            .map_err(|e| ModelError::damaged(format!("{}: {e}", self.path.display())))
    }
}

/// One tensor as it stands in a file.
struct Raw<'a> {
    format: Format,
    dims: Vec<usize>,
    bytes: &'a [u8],
}

/// Tensors by the names of GGUF.
trait Source {
    fn find(&self, name: &str) -> Result<Option<Raw<'_>>, ModelError>;

    fn get(&self, name: &str) -> Result<Raw<'_>, ModelError> {
        self.find(name)?.ok_or_else(|| ModelError::damaged(format!("텐서 {name} 없음")))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        self.maybe_vector(name, len)?.ok_or_else(|| ModelError::damaged(format!("텐서 {name} 없음")))
    }

    fn maybe_vector(&self, name: &str, len: usize) -> Result<Option<Vec<f32>>, ModelError> {
        let Some(raw) = self.find(name)? else { return Ok(None) };
        let values: Vec<f32> = match raw.format {
            Format::F32 => raw.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Format::F16 => raw.bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Format::BF16 => {
                raw.bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            other => return Err(ModelError::unsupported(format!("{name}의 수 형식 {other:?}"))),
        };
        if values.len() != len {
            return Err(ModelError::damaged(format!("{name}: {}개가 아니라 {len}개여야 합니다", values.len())));
        }
        Ok(Some(values))
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize, pool: &Pool) -> Result<Matrix, ModelError> {
        let raw = self.get(name)?;
        if raw.dims != [rows, cols] {
            return Err(ModelError::damaged(format!("{name}: {:?}이 아니라 [{rows}, {cols}]여야 합니다", raw.dims)));
        }
        Matrix::pack(raw.format, rows, cols, raw.bytes, pool).map_err(|e| ModelError::damaged(format!("{name}: {e}")))
    }
}

struct GgufSource<'a> {
    content: &'a Content,
    bytes: &'a [u8],
}

impl Source for GgufSource<'_> {
    fn find(&self, name: &str) -> Result<Option<Raw<'_>>, ModelError> {
        let Some(info) = self.content.tensor_infos.get(name) else { return Ok(None) };
        let format = match info.ggml_dtype {
            GgmlDType::F32 => Format::F32,
            GgmlDType::F16 => Format::F16,
            GgmlDType::BF16 => Format::BF16,
            GgmlDType::Q4_0 => Format::Q4_0,
            GgmlDType::Q5_0 => Format::Q5_0,
            GgmlDType::Q8_0 => Format::Q8_0,
            GgmlDType::Q4K => Format::Q4_K,
            GgmlDType::Q5K => Format::Q5_K,
            GgmlDType::Q6K => Format::Q6_K,
            other => return Err(ModelError::unsupported(format!("{name}의 수 형식 {other:?}"))),
        };
        let dims = info.shape.dims().to_vec();
        let damaged = || ModelError::damaged(format!("텐서 {name}의 자리"));
        let values = dims.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).ok_or_else(damaged)?;
        let len = (values / format.block()).checked_mul(format.block_bytes()).ok_or_else(damaged)?;
        let from = self.content.tensor_data_offset.checked_add(info.offset).ok_or_else(damaged)?;
        let from = usize::try_from(from).map_err(|_| damaged())?;
        let to = from.checked_add(len).ok_or_else(damaged)?;
        let bytes = self.bytes.get(from..to).ok_or_else(damaged)?;
        Ok(Some(Raw { format, dims, bytes }))
    }
}

struct SafetensorsSource<'a> {
    files: Vec<SafeTensors<'a>>,
}

impl Source for SafetensorsSource<'_> {
    fn find(&self, name: &str) -> Result<Option<Raw<'_>>, ModelError> {
        let Some(name) = hugging_face_name(name) else { return Ok(None) };
        let Some(view) = self.files.iter().find_map(|f| f.tensor(&name).ok()) else { return Ok(None) };
        let format = match view.dtype() {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::BF16,
            other => return Err(ModelError::unsupported(format!("{name}의 수 형식 {other:?}"))),
        };
        Ok(Some(Raw { format, dims: view.shape().to_vec(), bytes: view.data() }))
    }
}

/// What transformers call the tensor that GGUF calls `name`.
fn hugging_face_name(name: &str) -> Option<String> {
    let fixed = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Some(fixed.to_owned());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.{kind}"))
}

/// Loads the decoder of a GGUF file.
///
/// # Errors
/// A family, format or tensor that is not known, missing or of another size.
pub fn from_gguf(file: &MappedFile, content: &Content, pool: &Pool) -> Result<Weights, ModelError> {
    let config = Config::from_gguf(content)?;
    load(config, &GgufSource { content, bytes: file.bytes() }, pool)
}

/// Loads the decoder of a folder with `config.json` and one or more `.safetensors` files.
///
/// # Errors
/// As [`from_gguf`].
pub fn from_safetensors(folder: &Path, pool: &Pool) -> Result<Weights, ModelError> {
    let path = folder.join("config.json");
    let config = Config::from_json(&std::fs::read_to_string(&path).map_err(ModelError::io(&path))?)?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(ModelError::io(folder))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    paths.sort();
    let maps = paths.iter().map(|p| MappedFile::open(p)).collect::<Result<Vec<_>, _>>()?;
    let files = maps
        .iter()
        .map(|m| {
            SafeTensors::deserialize(m.bytes()).map_err(|e| ModelError::damaged(format!("{}: {e}", m.path.display())))
        })
        .collect::<Result<Vec<_>, _>>()?;
    load(config, &SafetensorsSource { files }, pool)
}

fn load(config: Config, source: &impl Source, pool: &Pool) -> Result<Weights, ModelError> {
    let embedding = source.matrix("token_embd.weight", config.vocab, config.hidden, pool)?;
    let layers = (0..config.layers).map(|i| layer(&config, source, i, pool)).collect::<Result<Vec<_>, _>>()?;
    let norm = source.vector("output_norm.weight", config.hidden)?;
    let output = match source.find("output.weight")? {
        Some(_) => Some(source.matrix("output.weight", config.vocab, config.hidden, pool)?),
        None => None,
    };
    let rope_factors = source.maybe_vector("rope_freqs.weight", config.rope_dim / 2)?;
    Ok(Weights { config, embedding, layers, norm, output, rope_factors })
}

fn layer(config: &Config, source: &impl Source, i: usize, pool: &Pool) -> Result<Layer, ModelError> {
    let name = |part: &str| format!("blk.{i}.{part}");
    let (hidden, ffn) = (config.hidden, config.ffn);
    let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let linear = |part: &str, rows: usize, cols: usize| -> Result<Linear, ModelError> {
        let matrix = source.matrix(&name(&format!("{part}.weight")), rows, cols, pool)?;
        let bias = source.maybe_vector(&name(&format!("{part}.bias")), rows)?;
        Ok(Linear { matrix, bias })
    };
    let head_norm = |part: &str| match config.family {
        Family::Qwen3 => source.vector(&name(part), config.head_dim).map(Some),
        _ => Ok(None),
    };
    let layer = Layer {
        attn_norm: source.vector(&name("attn_norm.weight"), hidden)?,
        q: linear("attn_q", q, hidden)?,
        k: linear("attn_k", kv, hidden)?,
        v: linear("attn_v", kv, hidden)?,
        o: linear("attn_output", hidden, q)?,
        q_norm: head_norm("attn_q_norm.weight")?,
        k_norm: head_norm("attn_k_norm.weight")?,
        ffn_norm: source.vector(&name("ffn_norm.weight"), hidden)?,
        gate: source.matrix(&name("ffn_gate.weight"), ffn, hidden, pool)?,
        up: source.matrix(&name("ffn_up.weight"), ffn, hidden, pool)?,
        down: source.matrix(&name("ffn_down.weight"), hidden, ffn, pool)?,
    };
    if config.family == Family::Qwen2 && layer.q.bias.is_none() {
        return Err(ModelError::damaged(format!("텐서 {} 없음", name("attn_q.bias"))));
    }
    Ok(layer)
}
