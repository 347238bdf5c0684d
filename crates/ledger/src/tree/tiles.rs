//! Tiles in the shape of C2SP tlog-tiles: 256 hashes of every eighth level, so that a store keeps few rows and any
//! node between is computed from one tile. Where tiles are kept is the caller's business.

use super::{Frontier, Hash, NodeId, TreeFull, fold, node_hash};
use std::collections::HashMap;

/// Levels of the tree that one tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 256;

/// Number of a tile. Level `l` holds hashes of the tree's level `8·l`, 256 to a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// 0 to 7.
    pub level: u8,
    pub index: u64,
}

impl TileId {
    /// How many hashes the tile has in a tree of `size` leaves: 0 to 256.
    pub fn width_in(self, size: u64) -> usize {
        let complete = size.checked_shr(u32::from(self.level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
        let before = self.index.saturating_mul(TILE_WIDTH as u64);
        complete.saturating_sub(before).min(TILE_WIDTH as u64) as usize
    }

    /// The tile's path in C2SP tlog-tiles, `tile/<L>/<N>[.p/<W>]`, in a tree of `size` leaves; `None` where that tree
    /// has no hash in it.
    pub fn path_in(self, size: u64) -> Option<String> {
        let width = self.width_in(size);
        let digits = self.index.to_string();
        let padded = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        let last = padded.len() - 3;
        let mut path = format!("tile/{}/", self.level);
        for at in (0..padded.len()).step_by(3) {
            let part = padded.get(at..at + 3)?;
            path.push_str(&if at == last { part.to_owned() } else { format!("x{part}/") });
        }
        match width {
            0 => None,
            TILE_WIDTH => Some(path),
            partial => Some(format!("{path}.p/{partial}")),
        }
    }
}

impl NodeId {
    /// The tile from which the node is read or computed.
    pub fn tile(self) -> TileId {
        let within = TILE_HEIGHT - self.level % TILE_HEIGHT;
        TileId { level: self.level / TILE_HEIGHT, index: self.index >> within }
    }

    /// The tile in which the node itself stands, and its place there; `None` for a node between two tiles' levels.
    /// Nodes come in order ([`Frontier::push_with`]), so a store appends each to its tile's bytes.
    pub fn slot(self) -> Option<(TileId, usize)> {
        let at = (self.index % TILE_WIDTH as u64) as usize;
        self.level.is_multiple_of(TILE_HEIGHT).then(|| (self.tile(), at))
    }

    /// The node as computed from its tile's bytes: 32 for each hash, more than needed are welcome.
    fn computed_from(self, tile: &[u8]) -> Option<Hash> {
        let above = self.level % TILE_HEIGHT;
        let first = ((self.index << above) % TILE_WIDTH as u64) as usize;
        let bytes = tile.get(first * 32..(first + (1 << above)) * 32)?;
        let mut hashes: Vec<Hash> = bytes.chunks_exact(32).filter_map(Hash::from_slice).collect();
        while hashes.len() > 1 {
            hashes = hashes.chunks_exact(2).filter_map(|pair| Some(node_hash(pair.first()?, pair.last()?))).collect();
        }
        fold(hashes.into_iter())
    }
}

/// A node could not be read from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    /// What the reader of tiles answered.
    #[error("{0}")]
    Read(E),
    #[error("저장된 해시 타일 {0:?}에 있어야 할 해시가 없습니다. 백업에서 되살리거나 원장에서 다시 만들어 주세요.")]
    Short(TileId),
}

/// Nodes read out of tiles, each tile once: give `|node| nodes.node(node)` to [`super::Plan::resolve`].
pub struct TileNodes<F> {
    read: F,
    tiles: HashMap<TileId, Vec<u8>>,
}

impl<E, F: FnMut(TileId) -> Result<Vec<u8>, E>> TileNodes<F> {
    /// `read` gives a tile's bytes as far as it is filled, 32 for each hash.
    pub fn new(read: F) -> Self {
        TileNodes { read, tiles: HashMap::new() }
    }

    /// One node.
    ///
    /// # Errors
    /// What the reader answered, or [`TileError::Short`] where the tile does not reach the node.
    pub fn node(&mut self, node: NodeId) -> Result<Hash, TileError<E>> {
        let id = node.tile();
        let tile = match self.tiles.entry(id) {
            std::collections::hash_map::Entry::Occupied(kept) => kept.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert((self.read)(id).map_err(TileError::Read)?),
        };
        node.computed_from(tile).ok_or(TileError::Short(id))
    }
}

/// A whole tree's tiles in memory, 32 bytes a leaf and a little more: for proofs out of an exported record.
#[derive(Debug, Clone, Default)]
pub struct MemoryTiles {
    frontier: Frontier,
    tiles: HashMap<TileId, Vec<u8>>,
}

impl MemoryTiles {
    /// Without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the hash of a leaf.
    ///
    /// # Errors
    /// [`TreeFull`].
    pub fn push(&mut self, leaf: Hash) -> Result<(), TreeFull> {
        let Self { frontier, tiles } = self;
        frontier.push_with(leaf, |node, hash| {
            if let Some((tile, _)) = node.slot() {
                tiles.entry(tile).or_default().extend(hash.0);
            }
        })
    }

    /// Size and root.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// A tile's bytes as far as it is filled.
    pub fn tile(&self, id: TileId) -> Option<&[u8]> {
        self.tiles.get(&id).map(Vec::as_slice)
    }

    /// One node; `None` where the tree has no such complete node.
    pub fn node(&self, node: NodeId) -> Option<Hash> {
        node.computed_from(self.tile(node.tile())?)
    }
}
