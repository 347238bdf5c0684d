//! Joining what was found by words with what was found by meaning. Finds nothing itself and knows no engine.

use madang_domain::{CollectionId, DocumentId, PassageId};
use std::collections::HashMap;

/// Hits of either side that are fused, where fewer are wanted.
pub(crate) const LEAST_FUSED: usize = 50;
/// Reciprocal rank fusion: Cormack, Clarke & Büttcher (2009) found 60 to serve widely.
const RANK_CONSTANT: f32 = 60.0;

/// A passage found by one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    pub passage: PassageId,
    pub collection: CollectionId,
    pub document: DocumentId,
    pub score: f32,
}

/// One side's finds, best first.
pub(crate) type Nearest = Vec<Found>;

/// One list of both, best first. A side that found nothing leaves the other's scores as they are.
pub(crate) fn fuse(words: Nearest, meaning: Nearest, limit: usize) -> Nearest {
    let mut fused = match (words.is_empty(), meaning.is_empty()) {
        (_, true) => words,
        (true, false) => meaning,
        (false, false) => by_rank(words, meaning),
    };
    sort(&mut fused);
    fused.truncate(limit);
    fused
}

fn by_rank(words: Nearest, meaning: Nearest) -> Nearest {
    let mut sums: HashMap<PassageId, Found> = HashMap::with_capacity(words.len() + meaning.len());
    for side in [words, meaning] {
        for (rank, found) in side.into_iter().enumerate() {
            let share = 1.0 / (RANK_CONSTANT + 1.0 + rank as f32);
            sums.entry(found.passage).and_modify(|f| f.score += share).or_insert(Found { score: share, ..found });
        }
    }
    sums.into_values().collect()
}

/// One side's finds in two indexes as if they were one; a passage on its way between them counts once.
pub(crate) fn merge(mut one: Nearest, other: Nearest, limit: usize) -> Nearest {
    if other.is_empty() {
        return one;
    }
    one.extend(other);
    sort(&mut one);
    let mut seen = std::collections::HashSet::with_capacity(one.len());
    one.retain(|f| seen.insert(f.passage));
    one.truncate(limit);
    one
}

/// Best first; equals by id, so that the same question has the same answer.
fn sort(found: &mut [Found]) {
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(n: u128, score: f32) -> Found {
        let passage = PassageId(uuid::Uuid::from_u128(n));
        Found { passage, collection: CollectionId::new(), document: DocumentId::new(), score }
    }

    fn ids(found: &[Found]) -> Vec<u128> {
        found.iter().map(|f| f.passage.0.as_u128()).collect()
    }

    #[test]
    fn what_both_sides_found_leads() {
        let words = vec![found(1, 9.0), found(2, 8.0), found(3, 1.0)];
        let meaning = vec![found(3, 0.9), found(4, 0.8)];
        assert_eq!(ids(&fuse(words.clone(), meaning, 10)), [3, 1, 2, 4]);
        assert_eq!(fuse(words.clone(), Vec::new(), 2), words[..2]);
        assert_eq!(fuse(Vec::new(), words.clone(), 9), words);
        assert!(fuse(Vec::new(), Vec::new(), 9).is_empty());
    }

    #[test]
    fn two_indexes_read_as_one() {
        let merged = merge(vec![found(1, 5.0), found(2, 2.0)], vec![found(3, 3.0), found(2, 2.5)], 10);
        assert_eq!(ids(&merged), [1, 3, 2]);
        assert_eq!(ids(&merge(vec![found(1, 5.0)], vec![found(3, 6.0)], 1)), [3]);
    }
}
