//! The Merkle tree over the records (RFC 6962, 2.1): hashes, numbers of nodes, and the frontier, which is all that
//! appending needs to keep. Proofs are in `proof`, storage in tiles in `tiles`; no record and no file here.
//!
//! The tree is our own code because no crate fits: `ct-merkle` (well kept, MIT/Apache, but unaudited) panics on bad
//! sizes, numbers nodes for one array in memory and knows neither a frontier nor tiles; `tlog_tiles` and `signed_note`
//! (BSD-3) stand on `sha2` 0.10, `base64` 0.21 and an older curve library, panic on stored data of a wrong size, and
//! know no cosignature, witness or proof text; `sigstore-merkle` verifies only and brings aws-lc. What remains is two
//! hundred lines, which the tests compare with `ct-merkle` and with the known roots of Certificate Transparency.

mod proof;
mod tiles;

pub use proof::{Plan, ProofError, consistency_plan, inclusion_plan, root_plan, verify_consistency, verify_inclusion};
pub use tiles::{MemoryTiles, TILE_HEIGHT, TILE_WIDTH, TileError, TileId, TileNodes};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::fmt;

/// Most leaves of a tree: sizes fit a database's signed integers, and a consistency proof has at most 63 hashes.
pub const MAX_SIZE: u64 = i64::MAX as u64;
const HASH_BYTES: usize = 32;

/// A SHA-256 hash of a leaf, a node or a whole tree. Printed as standard base64, as C2SP's formats write it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// Standard base64 with padding, in its one spelling, of exactly 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
    }

    /// The hash in `bytes`, where there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Hash)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Hash of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// `SHA-256(0x00 ‖ leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(leaf);
    Hash(hasher.finalize().into())
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1u8; 1 + 2 * HASH_BYTES];
    let (_, children) = bytes.split_at_mut(1);
    let (first, second) = children.split_at_mut(HASH_BYTES);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    Hash(Sha256::digest(bytes).into())
}

/// A complete subtree: level 0 is the leaves, and node `index` of level `l` spans the leaves from `index · 2^l` up to
/// `(index + 1) · 2^l`. A complete node never changes again, so it can be stored for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// 0 to 62.
    pub level: u8,
    pub index: u64,
}

/// The tree has [`MAX_SIZE`] leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("원장에 더 적을 번호가 없습니다.")]
pub struct TreeFull;

/// The complete subtrees that a tree consists of, largest first: one hash for each bit set in its size. With it the
/// next leaf is appended and the root computed without reading anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Of the tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf ([`leaf_hash`]).
    ///
    /// # Errors
    /// [`TreeFull`] at [`MAX_SIZE`] leaves.
    pub fn push(&mut self, leaf: Hash) -> Result<(), TreeFull> {
        self.push_with(leaf, |_, _| ())
    }

    /// Appends the hash of a leaf and hands every node that it completes to `store`, the leaf first. Nodes of a level
    /// divisible by eight are what tiles hold ([`NodeId::slot`]); the others can be computed from them.
    ///
    /// # Errors
    /// [`TreeFull`] at [`MAX_SIZE`] leaves; nothing is stored then.
    pub fn push_with(&mut self, leaf: Hash, mut store: impl FnMut(NodeId, Hash)) -> Result<(), TreeFull> {
        if self.size >= MAX_SIZE {
            return Err(TreeFull);
        }
        let mut at = NodeId { level: 0, index: self.size };
        let mut hash = leaf;
        store(at, hash);
        while at.index & 1 == 1 {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            at = NodeId { level: at.level + 1, index: at.index >> 1 };
            store(at, hash);
        }
        self.nodes.push(hash);
        self.size += 1;
        Ok(())
    }

    /// Hash of the whole tree.
    pub fn root(&self) -> Hash {
        fold(self.nodes.iter().copied()).unwrap_or_else(empty_root)
    }

    /// The size as eight bytes, big-endian, then the hashes, largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.nodes.iter().for_each(|node| bytes.extend(node.0));
        bytes
    }

    /// Reads [`Frontier::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let size = u64::from_be_bytes(*size);
        let nodes: Vec<Hash> = rest.chunks(HASH_BYTES).map(Hash::from_slice).collect::<Option<_>>()?;
        (size <= MAX_SIZE && nodes.len() == size.count_ones() as usize).then_some(Frontier { size, nodes })
    }
}

/// Joins neighbouring subtrees, largest first, from the right, as RFC 6962 splits a tree. `None` where there are none.
fn fold(nodes: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    nodes.rev().reduce(|right, left| node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves and roots with which Certificate Transparency's implementations test themselves, sizes 0 to 8.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_roots_of_certificate_transparency() {
        let mut tree = Frontier::new();
        assert_eq!(hex::encode(tree.root().0), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            tree.push(leaf_hash(&hex::decode(leaf).unwrap())).unwrap();
            assert_eq!(hex::encode(tree.root().0), *root, "size {}", tree.size());
            assert_eq!(Frontier::from_bytes(&tree.to_bytes()), Some(tree.clone()));
        }
    }

    #[test]
    fn a_frontier_of_another_length_is_none() {
        let mut tree = Frontier::new();
        (0..5).for_each(|_| tree.push(leaf_hash(b"x")).unwrap());
        let bytes = tree.to_bytes();
        assert_eq!(bytes.len(), 8 + 2 * 32);
        for cut in 0..bytes.len() {
            assert_eq!(Frontier::from_bytes(&bytes[..cut]), None);
        }
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()), None);
        assert_eq!(Frontier::from_bytes(&u64::MAX.to_be_bytes()), None);
    }

    #[test]
    fn a_full_tree_takes_no_more() {
        let mut tree = Frontier { size: MAX_SIZE, nodes: vec![leaf_hash(b""); 63] };
        assert_eq!(tree.push(leaf_hash(b"x")), Err(TreeFull));
    }

    #[test]
    fn hashes_have_one_spelling() {
        let text = leaf_hash(b"x").to_string();
        assert_eq!(Hash::from_base64(&text), Some(leaf_hash(b"x")));
        for bad in ["", "AA==", text.trim_end_matches('='), &text.replace('=', " "), &format!("{text}\n")] {
            assert_eq!(Hash::from_base64(bad), None, "{bad:?}");
        }
    }
}
