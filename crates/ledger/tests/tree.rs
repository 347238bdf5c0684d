//! The tree against another implementation of RFC 6962, from every way of storing it, and against altered proofs.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use madang_ledger::tree::{
    Frontier, Hash, MAX_SIZE, MemoryTiles, NodeId, ProofError, TileError, TileId, TileNodes, consistency_plan,
    empty_root, inclusion_plan, leaf_hash, root_plan, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use sha2::Sha256;

fn leaf(i: u64) -> Vec<u8> {
    i.to_be_bytes().to_vec()
}

fn tiles(size: u64) -> MemoryTiles {
    let mut tiles = MemoryTiles::new();
    (0..size).for_each(|i| tiles.push(leaf_hash(&leaf(i))).unwrap());
    tiles
}

fn read(tiles: &MemoryTiles) -> impl FnMut(NodeId) -> Result<Hash, NodeId> {
    |node| tiles.node(node).ok_or(node)
}

fn root(tiles: &MemoryTiles, size: u64) -> Hash {
    root_plan(size).unwrap().resolve(read(tiles)).unwrap()[0]
}

fn theirs(size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|i| tree.push(leaf(i)));
    tree
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn every_small_tree_is_as_the_other_implementation_has_it() {
    for size in 1..40 {
        let (mine, other) = (tiles(size), theirs(size));
        let their_root = other.root();
        assert_eq!(mine.frontier().root().as_bytes()[..], their_root.as_bytes()[..]);
        assert_eq!(root(&mine, size), mine.frontier().root());
        for index in 0..size {
            let proof = inclusion_plan(index, size).unwrap().resolve(read(&mine)).unwrap();
            assert_eq!(bytes(&proof), other.prove_inclusion(index as usize).as_bytes(), "{index} of {size}");
            verify_inclusion(index, size, &leaf_hash(&leaf(index)), &proof, &mine.frontier().root()).unwrap();
        }
        for old in 1..=size {
            let proof = consistency_plan(old, size).unwrap().resolve(read(&mine)).unwrap();
            let their_proof = other.prove_consistency((size - old) as usize);
            assert_eq!(bytes(&proof), their_proof.as_bytes(), "{old} to {size}");
            verify_consistency(old, size, &root(&mine, old), &root(&mine, size), &proof).unwrap();
        }
    }
}

#[test]
fn a_tree_of_several_levels_of_tiles_can_be_read_again() {
    let size = 66_000;
    let mine = tiles(size);
    let mut asked = Vec::new();
    let mut nodes = TileNodes::new(|id| {
        asked.push(id);
        mine.tile(id).map(<[u8]>::to_vec).ok_or("none")
    });
    let plan = inclusion_plan(65_700, size).unwrap();
    let proof = plan.resolve(|node| nodes.node(node)).unwrap();
    verify_inclusion(65_700, size, &leaf_hash(&leaf(65_700)), &proof, &mine.frontier().root()).unwrap();
    assert_eq!(asked.len(), plan.tiles().len());
    let widths: Vec<usize> = (0..3).map(|level| TileId { level, index: 0 }.width_in(size)).collect();
    assert_eq!(widths, [256, 256, 1]);
    let path = |level, index| TileId { level, index }.path_in(70_000);
    assert_eq!(path(0, 272).as_deref(), Some("tile/0/272"));
    assert_eq!(path(0, 273).as_deref(), Some("tile/0/273.p/112"));
    assert_eq!(path(1, 1).as_deref(), Some("tile/1/001.p/17"));
    assert_eq!(path(2, 0).as_deref(), Some("tile/2/000.p/1"));
    assert_eq!((path(0, 274), path(3, 0)), (None, None));
    let far = TileId { level: 0, index: 1_234_067 }.path_in(MAX_SIZE);
    assert_eq!(far.as_deref(), Some("tile/0/x001/x234/067"));
}

#[test]
fn a_tile_that_lacks_hashes_is_told() {
    let mine = tiles(300);
    let mut nodes = TileNodes::new(|id| match id.index {
        0 => Ok(mine.tile(id).unwrap()[..64].to_vec()),
        _ => Err("gone"),
    });
    let mut node = |level, index| nodes.node(NodeId { level, index });
    assert_eq!(node(1, 0), Ok(mine.node(NodeId { level: 1, index: 0 }).unwrap()));
    assert_eq!(node(1, 1), Err(TileError::Short(TileId { level: 0, index: 0 })));
    assert_eq!(node(0, 256), Err(TileError::Read("gone")));
    assert_eq!(mine.node(NodeId { level: 8, index: 1 }), None);
}

#[test]
fn sizes_out_of_range_are_refused() {
    assert_eq!(inclusion_plan(3, 3), Err(ProofError::OutOfRange));
    assert_eq!(inclusion_plan(0, 0), Err(ProofError::OutOfRange));
    assert_eq!(inclusion_plan(0, u64::MAX), Err(ProofError::OutOfRange));
    assert_eq!(consistency_plan(4, 3), Err(ProofError::OutOfRange));
    assert_eq!(root_plan(MAX_SIZE + 1), Err(ProofError::OutOfRange));
    assert_eq!(root_plan(MAX_SIZE).unwrap().nodes().count(), 63);
    assert_eq!(inclusion_plan(MAX_SIZE - 1, MAX_SIZE).unwrap().nodes().count(), 62);
    assert!(
        consistency_plan(MAX_SIZE / 3, MAX_SIZE).unwrap().resolve(|_| Ok::<_, ()>(empty_root())).unwrap().len() <= 63
    );
    let (zero, one) = (empty_root(), leaf_hash(b""));
    assert_eq!(verify_consistency(0, 0, &zero, &zero, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 9, &zero, &one, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 9, &one, &one, &[]), Err(ProofError::Mismatch));
    assert_eq!(verify_consistency(0, 9, &zero, &one, &[one]), Err(ProofError::Length));
    assert_eq!(verify_consistency(5, 5, &one, &one, &[one]), Err(ProofError::Length));
    assert_eq!(verify_consistency(5, 4, &one, &one, &[]), Err(ProofError::OutOfRange));
    assert_eq!(verify_consistency(5, 6, &one, &one, &[]), Err(ProofError::Length));
}

/// One way of spoiling a proof.
fn spoiled(mut proof: Vec<Hash>, at: usize, what: usize) -> Vec<Hash> {
    match what {
        0 if !proof.is_empty() => {
            let i = at % proof.len();
            proof[i].0[at % 32] ^= 1;
        }
        1 if !proof.is_empty() => drop(proof.remove(at % proof.len())),
        _ => proof.insert(at % (proof.len() + 1), leaf_hash(b"extra")),
    }
    proof
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn larger_trees_agree_too(size in 1u64..1500, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let (mine, other) = (tiles(size), theirs(size));
        let (index, old) = (a.index(size as usize) as u64, b.index(size as usize) as u64 + 1);
        let proof = inclusion_plan(index, size).unwrap().resolve(read(&mine)).unwrap();
        prop_assert!(other.root().verify_inclusion(&leaf(index), index, &InclusionProof::try_from_bytes(bytes(&proof)).unwrap()).is_ok());
        let proof = consistency_plan(old, size).unwrap().resolve(read(&mine)).unwrap();
        let old_root = RootHash::<Sha256>::new(root(&mine, old).0.into(), old);
        prop_assert!(other.root().verify_consistency(&old_root, &ConsistencyProof::try_from_bytes(bytes(&proof)).unwrap()).is_ok());
    }

    #[test]
    fn a_spoiled_proof_never_holds(size in 1u64..300, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), at in 0usize..4096, what in 0usize..3) {
        let mine = tiles(size);
        let (index, old) = (a.index(size as usize) as u64, b.index(size as usize) as u64 + 1);
        let (old_root, new_root) = (root(&mine, old), mine.frontier().root());
        let leaf = leaf_hash(&leaf(index));
        let proof = inclusion_plan(index, size).unwrap().resolve(read(&mine)).unwrap();
        prop_assert!(verify_inclusion(index, size, &leaf, &spoiled(proof.clone(), at, what), &new_root).is_err());
        prop_assert!(verify_inclusion(index, size, &leaf_hash(b"other"), &proof, &new_root).is_err());
        prop_assert!(verify_inclusion((index + 1) % size, size, &leaf, &proof, &new_root).is_err() || size == 1);
        let proof = consistency_plan(old, size).unwrap().resolve(read(&mine)).unwrap();
        prop_assert!(verify_consistency(old, size, &old_root, &new_root, &spoiled(proof.clone(), at, what)).is_err());
        prop_assert!(verify_consistency(old, size, &leaf_hash(b"other"), &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, size, &old_root, &leaf_hash(b"other"), &proof).is_err());
    }

    #[test]
    fn anything_can_be_verified_without_harm(index: u64, size: u64, old: u64, count in 0usize..70) {
        let proof = vec![leaf_hash(b"x"); count];
        let hash = leaf_hash(b"y");
        prop_assert!(verify_inclusion(index, size, &hash, &proof, &empty_root()).is_err());
        prop_assert!(verify_consistency(old, size, &hash, &empty_root(), &proof).is_err());
    }

    #[test]
    fn a_frontier_goes_on_where_it_was_kept(size in 0u64..600, more in 0u64..40) {
        let mut kept = Frontier::from_bytes(&tiles(size).frontier().to_bytes()).unwrap();
        (size..size + more).for_each(|i| kept.push(leaf_hash(&leaf(i))).unwrap());
        prop_assert_eq!(kept, tiles(size + more).frontier().clone());
    }

    #[test]
    fn bytes_that_are_no_frontier_are_none_or_the_same(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Some(read) = Frontier::from_bytes(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}
