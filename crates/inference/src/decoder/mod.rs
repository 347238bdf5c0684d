//! The decoder: tokens of several sequences in, logits or hidden states out, over weights and blocks of keys and values.
//! Tokens of all sequences stand together in the products; only attention looks at one sequence at a time. Two homes
//! compute it: processors with our own kernels (`packed`), graphics processors with candle's tensors (`tensors`).
//!
//! What does not live here: text, sampling, who may run when.

pub mod cache;
pub mod config;
mod head;
pub(crate) mod metadata;
mod packed;
mod place;
#[cfg(test)]
mod reference;
mod rope;
pub(crate) mod shards;
mod step;
mod tensors;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod weights;

pub use place::Place;
pub use step::{Piece, Want};
pub use weights::Head;

use crate::error::ModelError;
use cache::{KvCache, block_bytes};
use candle_core::quantized::gguf_file::Content;
use config::Config;
use madang_kernels::Pool;
use packed::PackedDecoder;
use std::path::Path;
use std::sync::Arc;
use tensors::TensorDecoder;
use weights::{Files, MappedFile, Packed, map_folder};

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `[wanted][vocab]`, or `[wanted][2]` of a file with a head of two ([`weights::YES_NO`]).
    Logits,
    /// The last layer's state after the final norm, `[wanted][hidden]`.
    Hidden,
}

/// A decoder with its tables, ready to compute.
pub struct Decoder(Home);

enum Home {
    Packed(Box<PackedDecoder>),
    Tensors(Box<TensorDecoder>),
}

impl Decoder {
    /// Loads the decoder of a GGUF file.
    ///
    /// # Errors
    /// A family, format or tensor that is not known, missing or of another size; a place that is not there.
    pub fn from_gguf(file: &MappedFile, content: &Content, pool: Arc<Pool>, place: Place) -> Result<Self, ModelError> {
        Self::gguf_with(Head::Vocabulary, file, content, pool, place)
    }

    /// As [`from_gguf`](Self::from_gguf), with what is wanted of the last state.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf).
    pub fn gguf_with(
        head: Head,
        file: &MappedFile,
        content: &Content,
        pool: Arc<Pool>,
        place: Place,
    ) -> Result<Self, ModelError> {
        Self::load(&Files::gguf(file, content, head)?, pool, place)
    }

    /// Loads the decoder of a folder with `config.json` and one or more `.safetensors` files.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf).
    pub fn from_safetensors(folder: &Path, pool: Arc<Pool>, place: Place) -> Result<Self, ModelError> {
        Self::safetensors_with(Head::Vocabulary, folder, pool, place)
    }

    /// As [`from_safetensors`](Self::from_safetensors), with what is wanted of the last state.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf).
    pub fn safetensors_with(head: Head, folder: &Path, pool: Arc<Pool>, place: Place) -> Result<Self, ModelError> {
        let maps = map_folder(folder)?;
        Self::load(&Files::safetensors(folder, &maps, head)?, pool, place)
    }

    fn load(files: &Files<'_>, pool: Arc<Pool>, place: Place) -> Result<Self, ModelError> {
        Ok(Self(match place.device()? {
            None => Home::Packed(Box::new(PackedDecoder::new(files.weights(&Packed(&pool))?, pool))),
            Some(device) => Home::Tensors(Box::new(TensorDecoder::load(files, device)?)),
        }))
    }

    pub fn config(&self) -> &Config {
        match &self.0 {
            Home::Packed(decoder) => decoder.config(),
            Home::Tensors(decoder) => decoder.config(),
        }
    }

    /// Bytes of the weights in memory, on the device where they compute.
    pub fn weight_bytes(&self) -> usize {
        match &self.0 {
            Home::Packed(decoder) => decoder.weight_bytes(),
            Home::Tensors(decoder) => decoder.weight_bytes(),
        }
    }

    /// Alone, in a batch, in chunks and after a shared beginning, a token's results are the same to the last bit. Where
    /// they are not, guessed tokens would change the text.
    pub fn exact(&self) -> bool {
        matches!(self.0, Home::Packed(_))
    }

    /// Bytes of one block of the cache.
    pub fn block_bytes(&self) -> usize {
        block_bytes(self.config().kv_shape(), self.config().layers)
    }

    /// A cache of `blocks` blocks for this decoder.
    ///
    /// # Errors
    /// A graphics processor has no room for it; in main memory room is taken when it is used.
    pub fn cache(&self, blocks: usize) -> Result<KvCache, ModelError> {
        match &self.0 {
            Home::Packed(_) => Ok(KvCache::host(self.config().kv_shape(), self.config().layers, blocks)),
            Home::Tensors(decoder) => Ok(KvCache::Device(decoder.cache(blocks)?)),
        }
    }

    /// Computes the pieces' tokens, fills their places in the cache, and returns the wanted rows in order.
    ///
    /// # Errors
    /// A graphics processor failed; processors never do.
    ///
    /// # Panics
    /// When a token is outside the vocabulary, a piece's blocks do not reach far enough or the cache is another
    /// decoder's.
    pub fn forward(
        &mut self,
        cache: &mut KvCache,
        pieces: &[Piece<'_>],
        output: Output,
    ) -> Result<Vec<f32>, ModelError> {
        match (&mut self.0, cache) {
            (Home::Packed(decoder), KvCache::Host(cache)) => Ok(decoder.forward(cache, pieces, output)),
            (Home::Tensors(decoder), KvCache::Device(cache)) => decoder.forward(cache, pieces, output),
            _ => panic!("a cache of another decoder"),
        }
    }
}
