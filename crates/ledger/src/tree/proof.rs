//! Inclusion and consistency proofs: which stored nodes one is made of, and how it is verified. Reads no storage.
//!
//! A proof is planned first and resolved afterwards, so that a database can fetch all its nodes or tiles in one query.

use super::{Hash, MAX_SIZE, NodeId, TileId, empty_root, fold, node_hash};
use std::collections::BTreeSet;

/// Why a proof cannot be made, or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("증명할 번호나 크기가 원장의 크기를 벗어났습니다.")]
    OutOfRange,
    #[error("증명의 해시 수가 원장의 크기와 맞지 않습니다.")]
    Length,
    #[error("증명으로 셈한 값이 서명된 값과 다릅니다.")]
    Mismatch,
}

/// The stored nodes that a proof or a root is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each hash of the proof is the fold of these complete nodes, largest first.
    parts: Vec<Vec<NodeId>>,
}

impl Plan {
    /// All nodes to be read.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.parts.iter().flatten().copied()
    }

    /// All tiles to be read, each once.
    pub fn tiles(&self) -> BTreeSet<TileId> {
        self.nodes().map(NodeId::tile).collect()
    }

    /// Reads the nodes and gives the hashes of the proof, in the order in which it is written.
    ///
    /// # Errors
    /// Whatever `read` answers.
    pub fn resolve<E>(&self, mut read: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
        let hash = |part: &Vec<NodeId>| {
            let nodes = part.iter().map(|&node| read(node)).collect::<Result<Vec<_>, E>>()?;
            Ok(fold(nodes.into_iter()).unwrap_or_else(empty_root))
        };
        self.parts.iter().map(hash).collect()
    }
}

/// Nodes of the root of the tree's first `size` leaves: resolves to exactly one hash.
///
/// # Errors
/// [`ProofError::OutOfRange`] past [`MAX_SIZE`].
pub fn root_plan(size: u64) -> Result<Plan, ProofError> {
    if size > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    Ok(Plan { parts: vec![complete_nodes(0, size)] })
}

/// Plan of the proof that leaf `index` (from 0) is in the tree of `size` leaves (`PATH` of RFC 6962, 2.1.1).
///
/// # Errors
/// [`ProofError::OutOfRange`] where the tree has no such leaf.
pub fn inclusion_plan(index: u64, size: u64) -> Result<Plan, ProofError> {
    if index >= size || size > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    let (mut low, mut high) = (0, size);
    let mut parts = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            parts.push(complete_nodes(middle, high));
            high = middle;
        } else {
            parts.push(complete_nodes(low, middle));
            low = middle;
        }
    }
    parts.reverse();
    Ok(Plan { parts })
}

/// Plan of the proof that the tree of `old` leaves is the beginning of the one of `new` (`PROOF` of RFC 6962, 2.1.2).
/// Empty where `old` is zero or both are equal.
///
/// # Errors
/// [`ProofError::OutOfRange`] where `old` is the larger.
pub fn consistency_plan(old: u64, new: u64) -> Result<Plan, ProofError> {
    if old > new || new > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    let mut parts = Vec::new();
    let (mut low, mut high) = (0, new);
    while old != 0 && old != high {
        let middle = low + split(high - low);
        if old <= middle {
            parts.push(complete_nodes(middle, high));
            high = middle;
        } else {
            parts.push(complete_nodes(low, middle));
            low = middle;
        }
    }
    // Whoever verifies knows the old root: only a subtree that is not the whole old tree is spelled out.
    if low > 0 {
        parts.push(complete_nodes(low, high));
    }
    parts.reverse();
    Ok(Plan { parts })
}

/// Verifies that `leaf` is the hash of leaf `index` in the tree of `size` leaves with `root` (RFC 9162, 2.1.3.2).
///
/// # Errors
/// [`ProofError`] says what does not fit.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size || size > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // The last node of a level without a sibling of its own stands for itself further up.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Mismatch),
        _ => Err(ProofError::Length),
    }
}

/// Verifies that the tree of `old` leaves with `old_root` is the beginning of the one of `new` leaves with `new_root`
/// (RFC 9162, 2.1.4.2; the empty tree begins every tree, with an empty proof, as C2SP's witnesses have it).
///
/// # Errors
/// [`ProofError`] says what does not fit.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new || new > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        let same = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return match (proof.is_empty(), same) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Mismatch),
            (true, true) => Ok(()),
        };
    }
    let known = old.is_power_of_two().then_some(old_root);
    let mut hashes = known.into_iter().chain(proof);
    let first = hashes.next().ok_or(ProofError::Length)?;
    let shared = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shared, (new - 1) >> shared);
    let (mut of_old, mut of_new) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(hash, &of_old);
            of_new = node_hash(hash, &of_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last, of_old == *old_root && of_new == *new_root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Mismatch),
        _ => Err(ProofError::Length),
    }
}

/// The largest power of two below `leaves`, which are at least two.
fn split(leaves: u64) -> u64 {
    1 << (63 - (leaves - 1).leading_zeros())
}

/// The complete nodes that span `low..high`, largest first, where `low` is a multiple of the largest.
fn complete_nodes(mut low: u64, high: u64) -> Vec<NodeId> {
    let mut nodes = Vec::new();
    while low < high {
        // At most 63, as a range has at most 2^63 - 1 leaves.
        let level = 63 - (high - low).leading_zeros();
        nodes.push(NodeId { level: level as u8, index: low >> level });
        low += 1 << level;
    }
    nodes
}
