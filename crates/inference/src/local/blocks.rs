//! Who uses which block of keys and values: reservations, shared beginnings, eviction.
//!
//! A full block is known by the hash of everything before and in it, and the chain of hashes begins with the scope's key:
//! two scopes never meet in a block, because no block of one has a name in the other. A block that nobody uses stays
//! until its memory is needed; of those the one unused longest goes first, later blocks of a sequence before earlier.

use crate::chat::ScopeKey;
use crate::decoder::cache::{BlockId, KvCache};
use madang_kernels::BLOCK;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Name of a block's content: scope and all tokens up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Before the first block.
    pub fn start(scope: &ScopeKey) -> Self {
        Self(Sha256::digest(scope.0).into())
    }

    /// After a block of these tokens.
    pub fn then(self, tokens: &[u32]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}

#[derive(Default, Clone, Copy)]
struct Use {
    users: u32,
    name: Option<Chain>,
    /// When it was last let go of.
    idle_since: u64,
}

/// All blocks of a model.
pub struct Blocks {
    pub cache: KvCache,
    uses: Vec<Use>,
    free: Vec<BlockId>,
    named: HashMap<Chain, BlockId>,
    idle: BTreeMap<u64, BlockId>,
    clock: u64,
    reserved: usize,
}

impl Blocks {
    pub fn new(cache: KvCache) -> Self {
        let len = cache.len();
        Self {
            cache,
            uses: vec![Use::default(); len],
            free: (0..len).rev().map(|i| BlockId(i as u32)).collect(),
            named: HashMap::new(),
            idle: BTreeMap::new(),
            clock: 0,
            reserved: 0,
        }
    }

    /// Blocks that all sequences together may hold.
    pub fn total(&self) -> usize {
        self.uses.len()
    }

    /// Sets blocks aside for one sequence; `false` when there are not enough.
    pub fn reserve(&mut self, blocks: usize) -> bool {
        let fits = self.reserved + blocks <= self.total();
        if fits {
            self.reserved += blocks;
        }
        fits
    }

    /// Blocks at the beginning of `tokens` that are computed already in this scope, as many as follow each other. They
    /// are held from now on.
    pub fn find(&mut self, scope: &ScopeKey, tokens: &[u32]) -> (Vec<BlockId>, Chain) {
        let mut found = Vec::new();
        let mut chain = Chain::start(scope);
        for block in tokens.chunks_exact(BLOCK) {
            let next = chain.then(block);
            let Some(id) = self.named.get(&next).copied() else { break };
            self.hold(id);
            found.push(id);
            chain = next;
        }
        (found, chain)
    }

    fn hold(&mut self, id: BlockId) {
        let used = &mut self.uses[id.0 as usize];
        if used.users == 0 {
            self.idle.remove(&used.idle_since);
        }
        used.users += 1;
    }

    /// A block to write to; `None` only where more are asked for than were reserved.
    pub fn take(&mut self) -> Option<BlockId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let (_, id) = self.idle.pop_first()?;
                if let Some(name) = self.uses[id.0 as usize].name.take() {
                    self.named.remove(&name);
                }
                id
            }
        };
        self.uses[id.0 as usize].users = 1;
        Some(id)
    }

    /// The block is full and final: others of the scope may use it.
    pub fn publish(&mut self, id: BlockId, name: Chain) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.named.entry(name) {
            place.insert(id);
            self.uses[id.0 as usize].name = Some(name);
        }
    }

    /// Lets go of a sequence's blocks and reservation. What was not published gives its memory back at once.
    pub fn release(&mut self, ids: &[BlockId], reserved: usize) {
        self.reserved -= reserved;
        for id in ids.iter().rev() {
            let used = &mut self.uses[id.0 as usize];
            used.users -= 1;
            if used.users > 0 {
                continue;
            }
            if used.name.is_some() {
                self.clock += 1;
                used.idle_since = self.clock;
                self.idle.insert(self.clock, *id);
            } else {
                self.cache.release(*id);
                self.free.push(*id);
            }
        }
    }

    /// Blocks in use by somebody now.
    pub fn in_use(&self) -> usize {
        self.uses.iter().filter(|u| u.users > 0).count()
    }

    /// Forgets everything: after a fault nothing in here can be trusted.
    pub fn reset(&mut self) {
        for i in 0..self.uses.len() {
            self.cache.release(BlockId(i as u32));
        }
        self.uses.fill(Use::default());
        self.free = (0..self.uses.len()).rev().map(|i| BlockId(i as u32)).collect();
        self.named.clear();
        self.idle.clear();
        self.reserved = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_kernels::KvShape;
    use proptest::prelude::*;

    fn blocks(n: usize) -> Blocks {
        Blocks::new(KvCache::host(KvShape { kv_heads: 1, head_dim: 8 }, 1, n))
    }

    fn compute(blocks: &mut Blocks, scope: &ScopeKey, tokens: &[u32]) -> (Vec<BlockId>, usize) {
        let reserved = tokens.len().div_ceil(BLOCK);
        assert!(blocks.reserve(reserved));
        let (mut ids, mut chain) = blocks.find(scope, tokens);
        let shared = ids.len();
        for block in tokens[shared * BLOCK..].chunks(BLOCK) {
            let id = blocks.take().unwrap();
            if let KvCache::Host(cache) = &mut blocks.cache {
                cache.touch(id);
            }
            ids.push(id);
            if block.len() == BLOCK {
                chain = chain.then(block);
                blocks.publish(id, chain);
            }
        }
        (ids, shared)
    }

    #[test]
    fn a_beginning_is_shared_in_its_scope_and_nowhere_else() {
        let mut all = blocks(16);
        let (a, b) = (ScopeKey([1; 32]), ScopeKey([2; 32]));
        let tokens: Vec<u32> = (0..100).collect();
        let (first, _) = compute(&mut all, &a, &tokens);
        let (second, shared) = compute(&mut all, &a, &tokens);
        assert_eq!(shared, 3);
        assert_eq!(first[..3], second[..3]);
        let (third, shared) = compute(&mut all, &b, &tokens);
        assert_eq!(shared, 0);
        assert!(third.iter().all(|id| !first.contains(id) && !second.contains(id)));
    }

    #[test]
    fn what_was_not_published_gives_its_memory_back() {
        let mut all = blocks(4);
        let (ids, _) = compute(&mut all, &ScopeKey([1; 32]), &(0..40).collect::<Vec<_>>());
        assert_eq!(all.cache.resident(), 2 * all.cache.block_bytes());
        all.release(&ids, 2);
        assert_eq!(all.cache.resident(), all.cache.block_bytes());
        assert_eq!(all.in_use(), 0);
    }

    proptest! {
        #[test]
        fn blocks_in_use_are_never_given_away(steps in prop::collection::vec((0u8..3, 0u8..4, 1usize..130), 1..60)) {
            let mut all = blocks(12);
            let mut running: Vec<(Vec<BlockId>, usize, u8)> = Vec::new();
            for (scope, content, len) in steps {
                let tokens: Vec<u32> = (0..len as u32).map(|i| i + 1000 * u32::from(content)).collect();
                let need = len.div_ceil(BLOCK);
                while running.iter().map(|r| r.1).sum::<usize>() + need > 12 {
                    let (ids, reserved, _) = running.remove(0);
                    all.release(&ids, reserved);
                }
                let (ids, _) = compute(&mut all, &ScopeKey([scope; 32]), &tokens);
                for (others, _, other_scope) in &running {
                    let common = ids.iter().filter(|id| others.contains(id)).count();
                    prop_assert!(common == 0 || *other_scope == scope);
                }
                running.push((ids, need, scope));
                let mut held: Vec<_> = running.iter().flat_map(|r| r.0.clone()).collect();
                held.sort();
                held.dedup();
                prop_assert_eq!(held.len(), all.in_use());
            }
        }
    }
}
