//! Who uses which block of keys and values: reservations, shared beginnings, eviction.
//!
//! What a prompt has in common with another ends inside a block more often than not: of the blocks that follow a shared
//! beginning the one that agrees longest is copied, and only what differs is computed. The copy is the sequence's own.
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

/// What a full block holds.
#[derive(Clone)]
pub struct Content {
    /// Name of everything before it.
    pub parent: Chain,
    pub name: Chain,
    pub tokens: Vec<u32>,
}

impl Content {
    /// The block that follows `parent`.
    pub fn new(parent: Chain, tokens: &[u32]) -> Self {
        Self { parent, name: parent.then(tokens), tokens: tokens.to_vec() }
    }
}

/// What of a prompt is computed already.
pub struct Found {
    /// Held from now on; the last may be a copy.
    pub blocks: Vec<BlockId>,
    /// Positions.
    pub computed: usize,
    /// Name of the whole blocks that are shared.
    pub chain: Chain,
}

#[derive(Default, Clone)]
struct Use {
    users: u32,
    content: Option<Content>,
    /// When it was last let go of.
    idle_since: u64,
}

/// All blocks of a model.
pub struct Blocks {
    pub cache: KvCache,
    uses: Vec<Use>,
    free: Vec<BlockId>,
    named: HashMap<Chain, BlockId>,
    /// Named blocks by the name of what stands before them.
    next: HashMap<Chain, Vec<BlockId>>,
    idle: BTreeMap<u64, BlockId>,
    clock: u64,
    reserved: usize,
}

impl Blocks {
    pub fn new(cache: KvCache) -> Self {
        let len = cache.blocks();
        Self {
            cache,
            uses: vec![Use::default(); len],
            free: (0..len).rev().map(|i| BlockId(i as u32)).collect(),
            named: HashMap::new(),
            next: HashMap::new(),
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

    /// What of the beginning of `tokens` is computed already in this scope. The memory of what is found is among what the
    /// caller reserved.
    pub fn find(&mut self, scope: &ScopeKey, tokens: &[u32]) -> Found {
        let mut found = Found { blocks: Vec::new(), computed: 0, chain: Chain::start(scope) };
        for block in tokens.chunks_exact(BLOCK) {
            let next = found.chain.then(block);
            let Some(id) = self.named.get(&next).copied() else { break };
            self.hold(id);
            found.blocks.push(id);
            found.chain = next;
        }
        found.computed = found.blocks.len() * BLOCK;
        if let Some((copy, same)) = self.copied(&found.chain, &tokens[found.computed..]) {
            found.blocks.push(copy);
            found.computed += same;
        }
        found
    }

    /// A copy of the block after `parent` that agrees longest with `tokens`, and how many of them.
    fn copied(&mut self, parent: &Chain, tokens: &[u32]) -> Option<(BlockId, usize)> {
        let same = |id: &BlockId| {
            let content = self.uses[id.0 as usize].content.as_ref();
            content.map_or(0, |c| c.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count())
        };
        let (same, from) = self.next.get(parent)?.iter().map(|id| (same(id), *id)).filter(|(n, _)| *n > 0).max()?;
        // Held, so that it is not the one thrown out for its own copy.
        self.hold(from);
        let copy = self.take();
        let done = copy.is_some_and(|to| match self.cache.copy(from, to) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a block was not copied");
                false
            }
        });
        self.let_go(from);
        match copy {
            Some(to) if done => Some((to, same)),
            Some(to) => {
                self.let_go(to);
                None
            }
            None => None,
        }
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
                self.forget(id);
                id
            }
        };
        self.uses[id.0 as usize].users = 1;
        Some(id)
    }

    /// The block is full and final: others of the scope may use it.
    pub fn publish(&mut self, id: BlockId, content: Content) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.named.entry(content.name) {
            place.insert(id);
            self.next.entry(content.parent).or_default().push(id);
            self.uses[id.0 as usize].content = Some(content);
        }
    }

    /// The block is nobody's and has no name any more.
    fn forget(&mut self, id: BlockId) {
        let Some(content) = self.uses[id.0 as usize].content.take() else { return };
        self.named.remove(&content.name);
        if let Some(next) = self.next.get_mut(&content.parent) {
            next.retain(|other| *other != id);
            if next.is_empty() {
                self.next.remove(&content.parent);
            }
        }
    }

    /// Lets go of a sequence's blocks and reservation. What was not published gives its memory back at once.
    pub fn release(&mut self, ids: &[BlockId], reserved: usize) {
        self.reserved -= reserved;
        ids.iter().rev().for_each(|id| self.let_go(*id));
    }

    fn let_go(&mut self, id: BlockId) {
        let used = &mut self.uses[id.0 as usize];
        used.users -= 1;
        if used.users > 0 {
            return;
        }
        if used.content.is_some() {
            self.clock += 1;
            used.idle_since = self.clock;
            self.idle.insert(self.clock, id);
        } else {
            self.cache.release(id);
            self.free.push(id);
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
        self.next.clear();
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

    /// Blocks of a sequence, and how many positions were found computed.
    fn compute(blocks: &mut Blocks, scope: &ScopeKey, tokens: &[u32]) -> (Vec<BlockId>, usize) {
        let reserved = tokens.len().div_ceil(BLOCK);
        assert!(blocks.reserve(reserved));
        let Found { blocks: mut ids, computed, mut chain } = blocks.find(scope, tokens);
        while ids.len() < reserved {
            let id = blocks.take().unwrap();
            if let KvCache::Host(cache) = &mut blocks.cache {
                cache.touch(id);
            }
            ids.push(id);
        }
        for (i, block) in tokens.chunks_exact(BLOCK).enumerate().skip(computed / BLOCK) {
            let content = Content::new(chain, block);
            chain = content.name;
            blocks.publish(ids[i], content);
        }
        (ids, computed)
    }

    #[test]
    fn a_beginning_is_shared_in_its_scope_and_nowhere_else() {
        let mut all = blocks(16);
        let (a, b) = (ScopeKey([1; 32]), ScopeKey([2; 32]));
        let tokens: Vec<u32> = (0..100).collect();
        let (first, _) = compute(&mut all, &a, &tokens);
        let (second, shared) = compute(&mut all, &a, &tokens);
        assert_eq!(shared, 96);
        assert_eq!(first[..3], second[..3]);
        let (third, shared) = compute(&mut all, &b, &tokens);
        assert_eq!(shared, 0);
        assert!(third.iter().all(|id| !first.contains(id) && !second.contains(id)));
    }

    #[test]
    fn what_agrees_inside_a_block_is_copied() {
        let mut all = blocks(16);
        let (a, b) = (ScopeKey([1; 32]), ScopeKey([2; 32]));
        let tokens =
            |own: u32, from: u32| -> Vec<u32> { (0..90).map(|i| if i < from { i } else { i + own }).collect() };
        let (first, _) = compute(&mut all, &a, &tokens(1000, 40));
        let (other, _) = compute(&mut all, &a, &tokens(2000, 50));
        let (third, shared) = compute(&mut all, &a, &tokens(3000, 50));
        assert_eq!(shared, 50, "the one of the two that agrees longest");
        assert_eq!(third[0], first[0]);
        assert!(third[1..].iter().all(|id| !first.contains(id) && !other.contains(id)), "a copy is its own");
        let (_, shared) = compute(&mut all, &b, &tokens(3000, 50));
        assert_eq!(shared, 0, "nothing is copied from another scope");
    }

    #[test]
    fn a_block_is_not_thrown_out_for_its_own_copy() {
        let mut all = blocks(2);
        let scope = ScopeKey([1; 32]);
        let (ids, _) = compute(&mut all, &scope, &(0..64).collect::<Vec<_>>());
        all.release(&ids, 2);
        // Both blocks are idle; the second agrees in part and the first is shared: there is no third for a copy.
        let tokens: Vec<u32> = (0..40).chain(900..924).collect();
        let (ids, shared) = compute(&mut all, &scope, &tokens);
        assert_eq!((ids.len(), shared), (2, 32));
        all.release(&ids, 2);
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
