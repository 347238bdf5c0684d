//! From files to matrices: GGUF and safetensors, mapped into memory and let go of once packed or copied to a device, so
//! that no weight is held twice.

use super::config::{Config, Family};
use super::{head, shards};
use crate::error::ModelError;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use madang_kernels::{Format, Matrix, Pool};
use memmap2::{Mmap, UncheckedAdvice};
use safetensors::{Dtype, SafeTensors};
use std::collections::HashSet;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Tensors of a layer, in both spellings, and whether a bias may stand beside the weights. What a file has beyond these
/// would be computed by somebody else's code and is refused.
const PARTS: [(&str, &str, bool); 11] = [
    ("attn_norm", "input_layernorm", false),
    ("attn_q", "self_attn.q_proj", true),
    ("attn_k", "self_attn.k_proj", true),
    ("attn_v", "self_attn.v_proj", true),
    ("attn_output", "self_attn.o_proj", true),
    ("attn_q_norm", "self_attn.q_norm", false),
    ("attn_k_norm", "self_attn.k_norm", false),
    ("ffn_norm", "post_attention_layernorm", false),
    ("ffn_gate", "mlp.gate_proj", false),
    ("ffn_up", "mlp.up_proj", false),
    ("ffn_down", "mlp.down_proj", false),
];
/// Ends of names of tensors that old converters wrote and nobody reads: they follow from the dimensions.
const HARMLESS: [&str; 5] = ["rotary_emb.inv_freq", "attn_rot_embd.weight", "masked_bias", "attn.bias", "position_ids"];
/// The rows of "yes" and "no", in this order, that llama.cpp's converter takes out of a reranker's output.
pub const YES_NO: &str = "cls.output.weight";

/// What becomes of the last state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A logit for every token.
    Vocabulary,
    /// As `Vocabulary`, or where the file has [`YES_NO`], two logits: for yes and for no.
    Judge,
    /// Nothing: the states are wanted. Files may lack an output, and one that is there is not loaded.
    None,
}

/// One layer; `M` is a matrix where it computes.
pub struct Layer<M> {
    pub attn_norm: Vec<f32>,
    pub q: Linear<M>,
    pub k: Linear<M>,
    pub v: Linear<M>,
    pub o: Linear<M>,
    /// Norms of each head's queries and keys.
    pub q_norm: Option<Vec<f32>>,
    pub k_norm: Option<Vec<f32>>,
    pub ffn_norm: Vec<f32>,
    pub gate: M,
    pub up: M,
    pub down: M,
}

/// A matrix and what is added to its product.
pub struct Linear<M> {
    pub matrix: M,
    pub bias: Option<Vec<f32>>,
}

/// A whole decoder.
pub struct Weights<M> {
    pub config: Config,
    pub embedding: M,
    pub layers: Vec<Layer<M>>,
    pub norm: Vec<f32>,
    /// `None`: the embedding serves, or no logits are wanted.
    pub output: Option<M>,
    pub rope_factors: Option<Vec<f32>>,
}

impl<M> Weights<M> {
    /// Bytes of all matrices, once each.
    pub fn bytes(&self, of: impl Fn(&M) -> usize) -> usize {
        let layers = self
            .layers
            .iter()
            .flat_map(|l| [&l.q.matrix, &l.k.matrix, &l.v.matrix, &l.o.matrix, &l.gate, &l.up, &l.down].map(&of));
        layers.sum::<usize>() + of(&self.embedding) + self.output.as_ref().map_or(0, &of)
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

    /// The system may take back the memory that a part of the file fills: it was copied. Reading it again still works.
    fn let_go(&self, part: &[u8]) {
        let Some(from) = part.as_ptr().addr().checked_sub(self.map.as_ptr().addr()) else { return };
        if from + part.len() > self.map.len() {
            return;
        }
        // SAFETY: of a read-only map of a file nothing is lost by it; the pages are read again when they are looked at.
        #[allow(unsafe_code)]
        let advised = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, part.len()) };
        if let Err(error) = advised {
            tracing::debug!(%error, "a copied part of a model file stays in memory");
        }
    }

    /// The file's directory of metadata and tensors.
    ///
    /// # Errors
    /// It is not a sound GGUF file, or its head asks for more memory than any model needs.
    pub fn gguf(&self) -> Result<Content, ModelError> {
        let damaged = |e: &dyn std::fmt::Display| ModelError::damaged(format!("{}: {e}", self.path.display()));
        head::check(self.bytes()).map_err(|e| damaged(&e))?;
        Content::read(&mut Cursor::new(self.bytes())).map_err(|e| damaged(&e))
    }
}

/// One tensor as it stands in a file.
pub struct Raw<'a> {
    pub format: Format,
    pub dims: Vec<usize>,
    pub bytes: &'a [u8],
}

/// How a file's tensors become matrices.
pub trait Matrices {
    type Matrix;

    /// A tensor of two dimensions, `rows` × `cols`.
    ///
    /// # Errors
    /// Why it cannot be one.
    fn matrix(&self, rows: usize, cols: usize, raw: &Raw<'_>) -> Result<Self::Matrix, String>;
}

/// Matrices in the layout of our own kernels.
pub struct Packed<'a>(pub &'a Pool);

impl Matrices for Packed<'_> {
    type Matrix = Matrix;

    fn matrix(&self, rows: usize, cols: usize, raw: &Raw<'_>) -> Result<Matrix, String> {
        Matrix::pack(raw.format, rows, cols, raw.bytes, self.0).map_err(|e| e.to_string())
    }
}

enum Source<'a> {
    Gguf(&'a Content),
    /// `prefix` stands before the names of all tensors but the output's: a model that was saved without an output has
    /// none (Qwen3-Embedding as it is published).
    Safetensors {
        files: Vec<SafeTensors<'a>>,
        prefix: &'static str,
    },
}

/// A decoder's files, read so far as to know what it is.
pub struct Files<'a> {
    config: Config,
    source: Source<'a>,
    maps: &'a [MappedFile],
    head: Head,
}

impl<'a> Files<'a> {
    /// A GGUF file.
    ///
    /// # Errors
    /// A family or scaling that is not known, metadata that make no sense.
    pub fn gguf(file: &'a MappedFile, content: &'a Content, head: Head) -> Result<Self, ModelError> {
        let config = Config::from_gguf(content)?;
        Ok(Self { config, source: Source::Gguf(content), maps: std::slice::from_ref(file), head })
    }

    /// The mapped `.safetensors` files of a folder with `config.json`; see [`map_folder`].
    ///
    /// # Errors
    /// As [`gguf`](Self::gguf); a file is damaged.
    pub fn safetensors(folder: &Path, maps: &'a [MappedFile], head: Head) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let config = Config::from_json(&std::fs::read_to_string(&path).map_err(ModelError::io(&path))?)?;
        let files = maps.iter().map(|m| {
            SafeTensors::deserialize(m.bytes()).map_err(|e| ModelError::damaged(format!("{}: {e}", m.path.display())))
        });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let holds = |name: &str| files.iter().any(|f| f.tensor(name).is_ok());
        let bare = holds("embed_tokens.weight") && !holds("model.embed_tokens.weight");
        let prefix = if bare { "" } else { "model." };
        Ok(Self { config, source: Source::Safetensors { files, prefix }, maps, head })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All weights.
    ///
    /// # Errors
    /// A format or tensor that is not known, missing or of another size.
    pub fn weights<S: Matrices>(&self, to: &S) -> Result<Weights<S::Matrix>, ModelError> {
        self.only_known()?;
        let config = &self.config;
        let embedding = self.matrix("token_embd.weight", config.vocab, config.hidden, to)?;
        let layers = (0..config.layers).map(|i| self.layer(i, to)).collect::<Result<Vec<_>, _>>()?;
        let norm = self.vector("output_norm.weight", config.hidden)?;
        let output = self.output(to)?;
        let rope_factors = self.maybe_vector("rope_freqs.weight", config.rope_dim / 2)?;
        Ok(Weights { config: config.clone(), embedding, layers, norm, output, rope_factors })
    }

    fn output<S: Matrices>(&self, to: &S) -> Result<Option<S::Matrix>, ModelError> {
        let Config { vocab, hidden, tied, .. } = self.config;
        if self.head == Head::None {
            return Ok(None);
        }
        if self.head == Head::Judge && self.find(YES_NO)?.is_some() {
            return self.matrix(YES_NO, 2, hidden, to).map(Some);
        }
        match self.find("output.weight")? {
            Some(_) => self.matrix("output.weight", vocab, hidden, to).map(Some),
            None if tied => Ok(None),
            None => Err(ModelError::damaged("텐서 lm_head.weight 없음")),
        }
    }

    /// No tensor is left out of the computation without a word.
    fn only_known(&self) -> Result<(), ModelError> {
        let mut known = HashSet::from(
            ["token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight"].map(str::to_owned),
        );
        if self.head == Head::Judge {
            known.insert(YES_NO.to_owned());
        }
        for i in 0..self.config.layers {
            for (part, _, bias) in PARTS {
                let norm_of_heads = matches!(part, "attn_q_norm" | "attn_k_norm");
                if !norm_of_heads || self.config.family == Family::Qwen3 {
                    known.insert(format!("blk.{i}.{part}.weight"));
                }
                if bias {
                    known.insert(format!("blk.{i}.{part}.bias"));
                }
            }
        }
        let mut names: Vec<&str> = match &self.source {
            Source::Gguf(content) => content.tensor_infos.keys().map(String::as_str).collect(),
            Source::Safetensors { files, prefix } => {
                known = known.iter().filter_map(|name| hugging_face_name(prefix, name)).collect();
                files.iter().flat_map(SafeTensors::names).collect()
            }
        };
        names.retain(|name| !known.contains(*name) && !HARMLESS.iter().any(|end| name.ends_with(end)));
        match names.into_iter().min() {
            Some(name) => Err(ModelError::unsupported(format!("텐서 {name}"))),
            None => Ok(()),
        }
    }

    fn layer<S: Matrices>(&self, i: usize, to: &S) -> Result<Layer<S::Matrix>, ModelError> {
        let name = |part: &str| format!("blk.{i}.{part}");
        let config = &self.config;
        let (hidden, ffn) = (config.hidden, config.ffn);
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let linear = |part: &str, rows: usize, cols: usize| -> Result<Linear<S::Matrix>, ModelError> {
            let matrix = self.matrix(&name(&format!("{part}.weight")), rows, cols, to)?;
            let bias = self.maybe_vector(&name(&format!("{part}.bias")), rows)?;
            Ok(Linear { matrix, bias })
        };
        let head_norm = |part: &str| match config.family {
            Family::Qwen3 => self.vector(&name(part), config.head_dim).map(Some),
            _ => Ok(None),
        };
        let layer = Layer {
            attn_norm: self.vector(&name("attn_norm.weight"), hidden)?,
            q: linear("attn_q", q, hidden)?,
            k: linear("attn_k", kv, hidden)?,
            v: linear("attn_v", kv, hidden)?,
            o: linear("attn_output", hidden, q)?,
            q_norm: head_norm("attn_q_norm.weight")?,
            k_norm: head_norm("attn_k_norm.weight")?,
            ffn_norm: self.vector(&name("ffn_norm.weight"), hidden)?,
            gate: self.matrix(&name("ffn_gate.weight"), ffn, hidden, to)?,
            up: self.matrix(&name("ffn_up.weight"), ffn, hidden, to)?,
            down: self.matrix(&name("ffn_down.weight"), hidden, ffn, to)?,
        };
        let biases = [("attn_q.bias", &layer.q.bias), ("attn_k.bias", &layer.k.bias), ("attn_v.bias", &layer.v.bias)];
        let missing = biases.into_iter().find(|(_, bias)| config.family == Family::Qwen2 && bias.is_none());
        match missing.map(|(part, _)| part) {
            Some(part) => Err(ModelError::damaged(format!("텐서 {} 없음", name(part)))),
            None => Ok(layer),
        }
    }

    fn find(&self, name: &str) -> Result<Option<Raw<'_>>, ModelError> {
        match &self.source {
            Source::Gguf(content) => find_gguf(content, self.maps.first().map_or(&[], MappedFile::bytes), name),
            Source::Safetensors { files, prefix } => find_safetensors(files, prefix, name),
        }
    }

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

    fn matrix<S: Matrices>(&self, name: &str, rows: usize, cols: usize, to: &S) -> Result<S::Matrix, ModelError> {
        let raw = self.get(name)?;
        if raw.dims != [rows, cols] {
            return Err(ModelError::damaged(format!("{name}: {:?}이 아니라 [{rows}, {cols}]여야 합니다", raw.dims)));
        }
        let matrix = to.matrix(rows, cols, &raw).map_err(|e| ModelError::damaged(format!("{name}: {e}")))?;
        self.maps.iter().for_each(|map| map.let_go(raw.bytes));
        Ok(matrix)
    }
}

fn find_gguf<'a>(content: &Content, bytes: &'a [u8], name: &str) -> Result<Option<Raw<'a>>, ModelError> {
    let Some(info) = content.tensor_infos.get(name) else { return Ok(None) };
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
    let from = content.tensor_data_offset.checked_add(info.offset).ok_or_else(damaged)?;
    let from = usize::try_from(from).map_err(|_| damaged())?;
    let to = from.checked_add(len).ok_or_else(damaged)?;
    let bytes = bytes.get(from..to).ok_or_else(damaged)?;
    Ok(Some(Raw { format, dims, bytes }))
}

fn find_safetensors<'a>(files: &[SafeTensors<'a>], prefix: &str, name: &str) -> Result<Option<Raw<'a>>, ModelError> {
    let Some(name) = hugging_face_name(prefix, name) else { return Ok(None) };
    let Some(view) = files.iter().find_map(|f| f.tensor(&name).ok()) else { return Ok(None) };
    let format = match view.dtype() {
        Dtype::F32 => Format::F32,
        Dtype::F16 => Format::F16,
        Dtype::BF16 => Format::BF16,
        other => return Err(ModelError::unsupported(format!("{name}의 수 형식 {other:?}"))),
    };
    Ok(Some(Raw { format, dims: view.shape().to_vec(), bytes: view.data() }))
}

/// What transformers call the tensor that GGUF calls `name`.
fn hugging_face_name(prefix: &str, name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some(format!("{prefix}embed_tokens.weight")),
        "output_norm.weight" => return Some(format!("{prefix}norm.weight")),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, part, _) = PARTS.iter().find(|(gguf, _, _)| *gguf == part)?;
    Some(format!("{prefix}layers.{layer}.{part}.{kind}"))
}

/// Maps the files of weights of a folder, in the order of their names.
///
/// # Errors
/// The folder or a file cannot be read, or a file is missing; see [`shards::weight_files`].
pub fn map_folder(folder: &Path) -> Result<Vec<MappedFile>, ModelError> {
    shards::weight_files(folder)?.iter().map(|p| MappedFile::open(p)).collect()
}
