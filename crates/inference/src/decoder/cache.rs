//! Memory of keys and values, in blocks of positions. In main memory a block is one piece with every layer's part, taken
//! when it is first written; on a graphics processor each layer has one tensor with its part of all blocks. Who may use
//! which block is decided by the callers (`local::blocks`); here is only the storage.

use crate::error::ModelError;
use candle_core::Tensor;
use half::f16;
use madang_kernels::{BLOCK, KvBlock, KvShape, write_kv};

/// Number of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// All blocks of one model.
pub enum KvCache {
    Host(HostCache),
    Device(DeviceCache),
}

impl KvCache {
    /// Blocks in main memory.
    pub fn host(shape: KvShape, layers: usize, blocks: usize) -> Self {
        Self::Host(HostCache::new(shape, layers, blocks))
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        match self {
            Self::Host(cache) => cache.blocks.len(),
            Self::Device(cache) => cache.blocks,
        }
    }

    /// Bytes of one block, all layers.
    pub fn block_bytes(&self) -> usize {
        match self {
            Self::Host(cache) => block_bytes(cache.shape, cache.layers),
            Self::Device(cache) => block_bytes(cache.shape, cache.layers.len()),
        }
    }

    /// Gives a block's memory back to the system, where it was taken for that block alone.
    pub fn release(&mut self, id: BlockId) {
        if let Self::Host(cache) = self {
            cache.blocks[id.0 as usize] = Box::default();
        }
    }

    /// Copies a block's keys and values, all of its positions.
    ///
    /// # Errors
    /// A graphics processor failed.
    pub fn copy(&mut self, from: BlockId, to: BlockId) -> Result<(), ModelError> {
        let (from, to) = (from.0 as usize, to.0 as usize);
        match self {
            Self::Host(cache) => {
                cache.blocks[to] = cache.blocks[from].clone();
                Ok(())
            }
            Self::Device(cache) => {
                let rows = |all: &Tensor| all.slice_set(&all.narrow(0, from * BLOCK, BLOCK)?.copy()?, 0, to * BLOCK);
                let mut layers = cache.layers.iter();
                layers
                    .try_for_each(|(k, v)| rows(k).and_then(|()| rows(v)))
                    .map_err(|e| ModelError::device(e.to_string()))
            }
        }
    }

    /// Bytes taken now.
    pub fn resident(&self) -> usize {
        match self {
            Self::Host(cache) => cache.blocks.iter().map(|b| b.len() * 2).sum(),
            Self::Device(_) => self.blocks() * self.block_bytes(),
        }
    }
}

/// Blocks on a graphics processor, all of them taken at once.
pub struct DeviceCache {
    pub(super) shape: KvShape,
    pub(super) blocks: usize,
    /// Keys and values of each layer: `[block * BLOCK][kv_heads * head_dim]`, half precision.
    pub(super) layers: Vec<(Tensor, Tensor)>,
}

/// Blocks in main memory. It is taken when a block is first written.
pub struct HostCache {
    shape: KvShape,
    layers: usize,
    blocks: Vec<Box<[f16]>>,
}

impl HostCache {
    /// Room for `blocks` blocks, none of it taken yet.
    pub fn new(shape: KvShape, layers: usize, blocks: usize) -> Self {
        Self { shape, layers, blocks: (0..blocks).map(|_| Box::default()).collect() }
    }

    /// Takes memory for a block before its first use.
    pub fn touch(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        if block.is_empty() {
            *block = vec![f16::ZERO; self.layers * self.shape.block_len()].into_boxed_slice();
        }
    }

    /// One layer's part of some blocks, in order.
    pub fn layer(&self, layer: usize, ids: &[BlockId]) -> Vec<KvBlock<'_>> {
        let len = self.shape.block_len();
        ids.iter().map(|id| &self.blocks[id.0 as usize][layer * len..(layer + 1) * len]).collect()
    }

    /// Writes one position of one layer: `k` and `v` are `[kv_heads][head_dim]`.
    pub fn write(&mut self, layer: usize, ids: &[BlockId], position: usize, k: &[f32], v: &[f32]) {
        let len = self.shape.block_len();
        let block = &mut self.blocks[ids[position / BLOCK].0 as usize][layer * len..(layer + 1) * len];
        write_kv(self.shape, block, position % BLOCK, k, v);
    }
}

/// Bytes that one block of a model with these heads and layers takes.
pub fn block_bytes(shape: KvShape, layers: usize) -> usize {
    layers * shape.block_len() * 2
}
