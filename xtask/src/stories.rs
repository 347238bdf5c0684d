//! `xtask convert-stories260k`: llama2.c's checkpoint (version 0) and its vocabulary as a GGUF file of the llama
//! architecture: small real weights on which engines can be compared. Random weights are written in `synthetic`.
//!
//! Checkpoint, all little-endian: seven `i32` (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size with a minus
//! sign where the output is a matrix of its own, seq_len), then `f32` tensors, each for all layers at once. Vocabulary:
//! `u32` longest token, then for each token an `f32` score, an `i32` length and the bytes. (llama2.c, `run.c`.)

use crate::synthetic::quantisation::{Quantisation, fallback};
use crate::{encode, gguf};
use anyhow::{Context, Result, bail, ensure};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use std::path::PathBuf;

/// llama2.c's own constants.
const RMS_EPS: f32 = 1e-5;
const ROPE_THETA: f32 = 1e4;

/// llama.cpp's token types.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

#[derive(clap::Args)]
pub struct Args {
    /// `stories260K.bin`.
    #[arg(long)]
    model: PathBuf,
    /// `tok512.bin`.
    #[arg(long)]
    tokenizer: PathBuf,
    #[arg(long, value_enum, default_value = "f32")]
    quant: Quantisation,
    #[arg(long)]
    out: PathBuf,
}

/// Converts.
///
/// # Errors
/// On files that are cut short or name impossible dimensions, and on I/O.
pub fn run(args: &Args) -> Result<()> {
    let checkpoint = std::fs::read(&args.model).with_context(|| args.model.display().to_string())?;
    let vocabulary = std::fs::read(&args.tokenizer).with_context(|| args.tokenizer.display().to_string())?;
    let bytes = convert(&checkpoint, &vocabulary, args.quant)?;
    std::fs::write(&args.out, bytes).with_context(|| args.out.display().to_string())
}

fn convert(checkpoint: &[u8], vocabulary: &[u8], quant: Quantisation) -> Result<Vec<u8>> {
    let mut reader = Reader(checkpoint);
    let shape = Shape::read(&mut reader)?;
    let tensors = tensors(&mut reader, &shape)?;
    let mut metadata = shape.metadata(quant);
    metadata.extend(tokenizer(&mut Reader(vocabulary), shape.vocab)?);
    let entries: Vec<_> = tensors
        .iter()
        .map(|tensor| gguf::Entry {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            dtype: dtype(quant, &tensor.shape),
        })
        .collect();
    let mut out = Vec::new();
    let mut writer = gguf::Writer::start(&mut out, &metadata, &entries)?;
    for (tensor, entry) in tensors.iter().zip(&entries) {
        let columns = entry.columns();
        let fill = |row: usize, into: &mut [f32]| {
            let values = tensor.values.get(row * columns..(row + 1) * columns);
            into.copy_from_slice(values.unwrap_or_default());
        };
        writer.tensor(|sink| encode::rows(sink, entry.dtype, entry.rows(), columns, &fill))?;
    }
    writer.finish()?;
    Ok(out)
}

/// Matrices as asked where their rows fill its blocks (those of the feed-forward's 172 columns do not), else F16.
fn dtype(quant: Quantisation, shape: &[usize]) -> GgmlDType {
    let wanted = match quant {
        _ if shape.len() < 2 => GgmlDType::F32,
        Quantisation::F32 => GgmlDType::F32,
        Quantisation::F16 => GgmlDType::F16,
        Quantisation::Q8_0 => GgmlDType::Q8_0,
        Quantisation::Q4_0 => GgmlDType::Q4_0,
        Quantisation::Q4KM => GgmlDType::Q4K,
        Quantisation::Q5KM => GgmlDType::Q5K,
        Quantisation::Q6K => GgmlDType::Q6K,
    };
    fallback(wanted, shape.last().copied().unwrap_or(1))
}

struct Shape {
    dim: usize,
    ffn: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocab: usize,
    context: usize,
    tied: bool,
}

impl Shape {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut next = || reader.i32();
        let (dim, ffn, layers, heads, kv_heads, vocab, context) =
            (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
        let count = |value: i32| match usize::try_from(value) {
            Ok(value) if (1..=1 << 20).contains(&value) => Ok(value),
            _ => bail!("{value} is no dimension of a checkpoint"),
        };
        let shape = Self {
            dim: count(dim)?,
            ffn: count(ffn)?,
            layers: count(layers)?,
            heads: count(heads)?,
            kv_heads: count(kv_heads)?,
            vocab: count(vocab.saturating_abs())?,
            context: count(context)?,
            tied: vocab > 0,
        };
        ensure!(shape.dim.is_multiple_of(shape.heads), "dim is no multiple of the heads");
        ensure!(shape.heads.is_multiple_of(shape.kv_heads), "the heads are no multiple of the key-value heads");
        Ok(shape)
    }

    fn head_dim(&self) -> usize {
        self.dim / self.heads
    }

    fn metadata(&self, quant: Quantisation) -> Vec<(String, Value)> {
        let count = |value: usize| Value::U32(value as u32);
        let text = |value: &str| Value::String(value.into());
        [
            ("general.architecture", text("llama")),
            ("general.type", text("model")),
            ("general.name", text("stories260K")),
            ("llama.block_count", count(self.layers)),
            ("llama.context_length", count(self.context)),
            ("llama.embedding_length", count(self.dim)),
            ("llama.feed_forward_length", count(self.ffn)),
            ("llama.attention.head_count", count(self.heads)),
            ("llama.attention.head_count_kv", count(self.kv_heads)),
            ("llama.rope.freq_base", Value::F32(ROPE_THETA)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(RMS_EPS)),
            ("llama.vocab_size", count(self.vocab)),
            ("llama.rope.dimension_count", count(self.head_dim())),
            ("general.file_type", Value::U32(quant.file_type())),
            ("general.quantization_version", Value::U32(2)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

struct Named {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// All tensors under GGUF's names. llama2.c rotates neighbouring pairs, as llama.cpp does for llama: nothing is permuted.
fn tensors(reader: &mut Reader<'_>, shape: &Shape) -> Result<Vec<Named>> {
    let Shape { dim, ffn, layers, vocab, .. } = *shape;
    let key = shape.kv_heads * shape.head_dim();
    let mut all =
        vec![Named { name: "token_embd.weight".into(), shape: vec![vocab, dim], values: reader.floats(vocab * dim)? }];
    let per_layer: [(&str, &[usize]); 9] = [
        ("attn_norm", &[dim]),
        ("attn_q", &[dim, dim]),
        ("attn_k", &[key, dim]),
        ("attn_v", &[key, dim]),
        ("attn_output", &[dim, dim]),
        ("ffn_norm", &[dim]),
        ("ffn_gate", &[ffn, dim]),
        ("ffn_down", &[dim, ffn]),
        ("ffn_up", &[ffn, dim]),
    ];
    for (name, dims) in per_layer {
        for layer in 0..layers {
            let values = reader.floats(dims.iter().product())?;
            all.push(Named { name: format!("blk.{layer}.{name}.weight"), shape: dims.to_vec(), values });
        }
    }
    all.push(Named { name: "output_norm.weight".into(), shape: vec![dim], values: reader.floats(dim)? });
    // tables of cosines and sines that llama2.c no longer reads either
    reader.floats(shape.context * shape.head_dim())?;
    if !shape.tied {
        let values = reader.floats(vocab * dim)?;
        all.push(Named { name: "output.weight".into(), shape: vec![vocab, dim], values });
    }
    Ok(all)
}

/// The SentencePiece vocabulary: the first three tokens are `<unk>`, `<s>`, `</s>`, the next 256 the bytes.
fn tokenizer(reader: &mut Reader<'_>, vocab: usize) -> Result<Vec<(String, Value)>> {
    let longest = reader.i32()?;
    let (mut tokens, mut scores, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for id in 0..vocab {
        let score = reader.f32()?;
        let length = reader.i32()?;
        ensure!((0..=longest.max(16)).contains(&length), "token {id} is {length} bytes long");
        let text = std::str::from_utf8(reader.take(length as usize)?).with_context(|| format!("token {id}"))?;
        let (text, kind) = match id {
            // llama2.c prints them on lines of their own
            0 => ("<unk>".to_owned(), UNKNOWN),
            1 => ("<s>".to_owned(), CONTROL),
            2 => ("</s>".to_owned(), CONTROL),
            3..=258 => (format!("<0x{:02X}>", id - 3), BYTE),
            _ => (text.replace(' ', "\u{2581}"), NORMAL),
        };
        tokens.push(Value::String(text));
        scores.push(Value::F32(score));
        types.push(Value::I32(kind));
    }
    Ok([
        ("tokenizer.ggml.model", Value::String("llama".into())),
        ("tokenizer.ggml.pre", Value::String("default".into())),
        ("tokenizer.ggml.tokens", Value::Array(tokens)),
        ("tokenizer.ggml.scores", Value::Array(scores)),
        ("tokenizer.ggml.token_type", Value::Array(types)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
        ("tokenizer.ggml.add_eos_token", Value::Bool(false)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into())
}

/// Takes little-endian values from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(bytes) else { bail!("the file is cut short") };
        self.0 = rest;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_le_bytes(self.take(4)?.try_into()?))
    }

    fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.take(4)?.try_into()?))
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>> {
        let bytes = self.take(count.checked_mul(4).context("too large")?)?;
        Ok(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Quantisation, convert};
    use candle_core::Device;
    use candle_core::quantized::GgmlDType;
    use candle_core::quantized::gguf_file::Content;
    use std::io::Cursor;

    /// A checkpoint of two layers whose values count upwards, and a vocabulary of 262 tokens.
    fn files() -> (Vec<u8>, Vec<u8>) {
        let (dim, ffn, layers, heads, kv, vocab, context) = (32, 48, 2, 4, 2, 262, 8);
        let mut checkpoint: Vec<u8> =
            [dim, ffn, layers, heads, kv, vocab, context].iter().flat_map(|value: &i32| value.to_le_bytes()).collect();
        let key = dim / heads * kv;
        let per_layer = 2 * dim + 2 * dim * dim + 2 * dim * key + 3 * dim * ffn;
        let values = vocab * dim + layers * per_layer + dim + context * dim / heads;
        checkpoint.extend((0..values).flat_map(|value| (value as f32).to_le_bytes()));
        let mut vocabulary = 7u32.to_le_bytes().to_vec();
        for id in 0..vocab {
            let text = if id == 260 { " t" } else { "x" };
            vocabulary.extend((-id as f32).to_le_bytes());
            vocabulary.extend((text.len() as i32).to_le_bytes());
            vocabulary.extend(text.as_bytes());
        }
        (checkpoint, vocabulary)
    }

    #[test]
    fn tensors_come_from_their_place_in_the_checkpoint() {
        let (checkpoint, vocabulary) = files();
        let mut file = Cursor::new(convert(&checkpoint, &vocabulary, Quantisation::F32).expect("converted"));
        let content = Content::read(&mut file).expect("a GGUF file");
        let mut first = |name: &str| {
            let tensor =
                content.tensor(&mut file, name, &Device::Cpu).and_then(|tensor| tensor.dequantize(&Device::Cpu));
            tensor.and_then(|tensor| tensor.flatten_all()?.get(0)?.to_scalar::<f32>()).expect("a number")
        };
        let embedding = 262.0 * 32.0;
        assert_eq!(first("token_embd.weight"), 0.0);
        assert_eq!(first("blk.0.attn_norm.weight"), embedding);
        assert_eq!(first("blk.1.attn_norm.weight"), embedding + 32.0);
        assert_eq!(first("blk.1.attn_q.weight"), embedding + 64.0 + 1024.0);
        assert_eq!(first("blk.0.attn_k.weight"), embedding + 64.0 + 2048.0);
        assert_eq!(content.tensor_infos["blk.0.attn_k.weight"].shape.dims(), [16, 32]);
        assert_eq!(content.tensor_infos["blk.0.ffn_down.weight"].shape.dims(), [32, 48]);
        let tokens = content.metadata["tokenizer.ggml.tokens"].to_vec().expect("a list");
        let token = |id: usize| tokens[id].to_string().expect("text").as_str();
        assert_eq!((token(1), token(3 + 0x0a), token(260)), ("<s>", "<0x0A>", "\u{2581}t"));
    }

    #[test]
    fn rows_of_48_cannot_be_quantised() {
        let (checkpoint, vocabulary) = files();
        let bytes = convert(&checkpoint, &vocabulary, Quantisation::Q8_0).expect("converted");
        let content = Content::read(&mut Cursor::new(bytes)).expect("a GGUF file");
        assert_eq!(content.tensor_infos["blk.0.ffn_up.weight"].ggml_dtype, GgmlDType::Q8_0);
        assert_eq!(content.tensor_infos["blk.0.ffn_down.weight"].ggml_dtype, GgmlDType::F16);
        assert_eq!(content.tensor_infos["output_norm.weight"].ggml_dtype, GgmlDType::F32);
    }

    #[test]
    fn broken_files_are_refused() {
        let (checkpoint, vocabulary) = files();
        for cut in [0, 10, 28, checkpoint.len() - 1] {
            assert!(convert(&checkpoint[..cut], &vocabulary, Quantisation::F32).is_err());
        }
        assert!(convert(&checkpoint, &vocabulary[..100], Quantisation::F32).is_err());
        let mut negative = checkpoint.clone();
        negative[..4].copy_from_slice(&(-1i32).to_le_bytes());
        assert!(convert(&negative, &vocabulary, Quantisation::F32).is_err());
    }
}
