//! Whose turn it is: the owner served longest ago, within it the collection served longest ago, so that a department
//! with ten thousand files does not keep another with one waiting.

use madang_domain::CollectionId;
use madang_store::ingest::WaitingHead;
use std::collections::HashMap;

/// When each owner and collection was last served, counted in turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    count: u64,
    owners: HashMap<String, u64>,
    collections: HashMap<CollectionId, u64>,
}

impl Turns {
    /// Position of the head to serve next; `None` when nothing waits.
    pub fn choose(&self, heads: &[WaitingHead]) -> Option<usize> {
        let last = |h: &WaitingHead| {
            let owner = self.owners.get(&h.owner).copied().unwrap_or(0);
            (owner, self.collections.get(&h.collection).copied().unwrap_or(0), h.document)
        };
        heads.iter().enumerate().min_by_key(|(_, h)| last(h)).map(|(at, _)| at)
    }

    /// This one was served.
    pub fn took(&mut self, head: &WaitingHead) {
        self.count += 1;
        self.owners.insert(head.owner.clone(), self.count);
        self.collections.insert(head.collection, self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::DocumentId;

    #[test]
    fn owners_and_their_collections_take_turns() {
        let (a1, a2, b) = (CollectionId::new(), CollectionId::new(), CollectionId::new());
        let head =
            |owner: &str, collection| WaitingHead { owner: owner.to_owned(), collection, document: DocumentId::new() };
        let mut turns = Turns::default();
        let mut served = Vec::new();
        for _ in 0..6 {
            // The order in which the database names them must not matter.
            let heads = [head("세정과", a1), head("세정과", a2), head("기획과", b)];
            let at = turns.choose(&heads).expect("three wait");
            turns.took(&heads[at]);
            served.push(heads[at].collection);
        }
        assert_eq!(served, [a1, b, a2, b, a1, b]);
        assert_eq!(turns.choose(&[]), None);
    }
}
