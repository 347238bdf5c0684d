//! `xtask synthetic-model`: random weights in the real dimensions of a family, for speed and for comparison with
//! another engine where no published weights can be had. Real weights are converted in `stories`.

pub mod config;
mod metadata;
mod published;
pub mod quantisation;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;

use crate::{encode, gguf, peers};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use config::{Family, ModelConfig, Preset, RopeScaling};
use metadata::Tokenizer;
use quantisation::Quantisation;
use std::path::{Path, PathBuf};
use tensors::tensors;
use weights::Weights;

/// What to write.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// Architecture; follows from `--like` except for `tiny`.
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Take over the published dimensions of this model; single dimensions can still be given.
    #[arg(long, value_enum, default_value = "tiny")]
    like: Preset,
    #[arg(long)]
    hidden: Option<usize>,
    #[arg(long)]
    layers: Option<usize>,
    #[arg(long)]
    heads: Option<usize>,
    #[arg(long)]
    kv_heads: Option<usize>,
    #[arg(long)]
    head_dim: Option<usize>,
    #[arg(long)]
    ffn: Option<usize>,
    #[arg(long)]
    vocab: Option<usize>,
    #[arg(long)]
    context: Option<usize>,
    #[arg(long)]
    rope_theta: Option<f32>,
    #[arg(long, value_enum)]
    rope_scaling: Option<Scaling>,
    #[arg(long, default_value_t = 4.0)]
    rope_factor: f32,
    /// Context before scaling; by default the model's own.
    #[arg(long)]
    original_context: Option<usize>,
    /// An output matrix of its own instead of the embedding's.
    #[arg(long)]
    untied: bool,
    /// Tensor types of a GGUF file.
    #[arg(long, value_enum, default_value = "q4_k_m")]
    quant: Quantisation,
    #[arg(long, value_enum, default_value = "gguf")]
    format: Format,
    /// Number type of safetensors.
    #[arg(long, value_enum, default_value = "bf16")]
    float: Float,
    /// A GGUF file whose tokenizer is taken over, `bytes` for one token for each byte, or `none`.
    #[arg(long, default_value = "none")]
    tokenizer: String,
    /// A Jinja file that becomes the chat template.
    #[arg(long)]
    chat_template: Option<PathBuf>,
    /// The token that ends a turn, by its text: `<|im_end|>`.
    #[arg(long)]
    eos: Option<String>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File (GGUF) or folder (safetensors) to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scaling {
    None,
    Linear,
    Yarn,
    Llama3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Gguf,
    Safetensors,
}

/// Number types of safetensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Float {
    F16,
    Bf16,
    F32,
}

/// Writes the model that the arguments describe.
///
/// # Errors
/// On dimensions that do not fit together, on an unreadable vocabulary, and on I/O.
pub fn run(args: &Args) -> Result<()> {
    let tokenizer = args.tokenizer()?;
    let config = args.config(tokenizer.as_ref().map(Tokenizer::tokens))?;
    let started = std::time::Instant::now();
    match args.format {
        Format::Gguf => write_gguf(&config, args.quant, args.seed, tokenizer, &args.out)?,
        Format::Safetensors => {
            ensure!(tokenizer.is_none(), "safetensors are written without a tokenizer: leave --tokenizer out");
            published::write(&config, args.seed, args.float, &args.out)?;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{}: {} tensors in {seconds:.1} s", args.out.display(), tensors(&config).len());
    Ok(())
}

/// The Qwen3-0.6B shape with its tokenizer and template, for the benchmark.
///
/// # Errors
/// Without llama.cpp's vocabularies, and on I/O.
pub fn write_benchmark_model(quant: Quantisation, out: &Path) -> Result<()> {
    let models = peers::vocabularies()?;
    let mut tokenizer = Tokenizer::read(&models.join("ggml-vocab-qwen2.gguf"))?;
    tokenizer.chat_template(std::fs::read_to_string(models.join("templates/Qwen-Qwen3-0.6B.jinja"))?);
    tokenizer.end_with("<|im_end|>")?;
    write_gguf(&ModelConfig::preset(Preset::Qwen3, Family::Qwen3), quant, 0, Some(tokenizer), out)
}

/// A small qwen3 without a tokenizer.
#[cfg(test)]
pub fn write_tiny_model(quant: Quantisation, out: &Path) -> Result<()> {
    write_gguf(&ModelConfig::preset(Preset::Tiny, Family::Qwen3), quant, 0, None, out)
}

impl Args {
    fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        if self.tokenizer == "none" {
            ensure!(self.chat_template.is_none() && self.eos.is_none(), "a template or --eos needs a --tokenizer");
            return Ok(None);
        }
        let mut tokenizer = match self.tokenizer.as_str() {
            "bytes" => Tokenizer::bytes(),
            path => Tokenizer::read(Path::new(path))?,
        };
        if let Some(path) = &self.chat_template {
            tokenizer.chat_template(std::fs::read_to_string(path).with_context(|| path.display().to_string())?);
        }
        if let Some(token) = &self.eos {
            tokenizer.end_with(token)?;
        }
        Ok(Some(tokenizer))
    }

    /// The dimensions; a tiny model takes as many tokens as its tokenizer has.
    fn config(&self, tokens: Option<usize>) -> Result<ModelConfig> {
        let mut config = ModelConfig::preset(self.like, self.family.unwrap_or(Family::Qwen3));
        if let Some(family) = self.family {
            ensure!(family == config.family, "--like names a {} model", config.family.architecture());
        }
        if let (Preset::Tiny, Some(tokens)) = (self.like, tokens) {
            config.vocab = tokens;
        }
        let given = [
            (&mut config.hidden, self.hidden),
            (&mut config.layers, self.layers),
            (&mut config.heads, self.heads),
            (&mut config.kv_heads, self.kv_heads),
            (&mut config.head_dim, self.head_dim),
            (&mut config.ffn, self.ffn),
            (&mut config.vocab, self.vocab),
            (&mut config.context, self.context),
        ];
        for (dimension, value) in given {
            *dimension = value.unwrap_or(*dimension);
            ensure!(*dimension > 0, "a dimension is zero");
        }
        config.rope_theta = self.rope_theta.unwrap_or(config.rope_theta);
        config.tied &= !self.untied;
        self.scale(&mut config);
        ensure!(config.heads.is_multiple_of(config.kv_heads), "--heads must be a multiple of --kv-heads");
        ensure!(config.head_dim.is_multiple_of(2), "--head-dim must be even");
        Ok(config)
    }

    /// Linear and YaRN stretch the context by the factor unless `--context` says otherwise.
    fn scale(&self, config: &mut ModelConfig) {
        let factor = self.rope_factor;
        let original_context = self.original_context.unwrap_or(config.context);
        config.scaling = match self.rope_scaling {
            None => return,
            Some(Scaling::None) => None,
            Some(Scaling::Linear) => Some(RopeScaling::Linear { factor }),
            Some(Scaling::Yarn) => Some(RopeScaling::Yarn { factor, original_context }),
            Some(Scaling::Llama3) => Some(RopeScaling::Llama3 { factor, original_context }),
        };
        if config.scaling.is_some() && self.context.is_none() {
            config.context = (original_context as f32 * factor) as usize;
        }
    }
}

fn write_gguf(
    config: &ModelConfig,
    quant: Quantisation,
    seed: u64,
    tokenizer: Option<Tokenizer>,
    out: &Path,
) -> Result<()> {
    let mut metadata = metadata::architecture(config, quant.file_type());
    metadata.extend(match tokenizer {
        Some(tokenizer) => tokenizer.keys(config.vocab)?,
        None => metadata::no_tokenizer(config),
    });
    let specs = tensors(config);
    let entries: Vec<_> = specs
        .iter()
        .map(|spec| gguf::Entry {
            name: spec.gguf.clone(),
            shape: spec.shape.clone(),
            dtype: quant.dtype(spec, config.layers, config.tied),
        })
        .collect();
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    // the name stands for a whole file: a run that is broken off leaves none
    let partial = out.with_extension("partial");
    let file = std::fs::File::create(&partial).with_context(|| partial.display().to_string())?;
    let mut writer = gguf::Writer::start(std::io::BufWriter::new(file), &metadata, &entries)?;
    let weights = Weights::new(config, seed);
    for (spec, entry) in specs.iter().zip(&entries) {
        let fill = |row, values: &mut [f32]| weights.gguf_row(spec, row, values);
        writer.tensor(|sink| encode::rows(sink, entry.dtype, entry.rows(), entry.columns(), &fill))?;
    }
    writer.finish()?;
    Ok(std::fs::rename(&partial, out)?)
}
