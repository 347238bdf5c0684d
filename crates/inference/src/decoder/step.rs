//! What one step of a decoder consists of: runs of tokens of several sequences, laid side by side.
//!
//! What does not live here: computing, and who may run when.

use super::cache::BlockId;

/// What is wanted of a run of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Only the cache is filled.
    Nothing,
    /// The last token's.
    Last,
    /// Every token's.
    All,
}

/// Tokens of one sequence to be computed together.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    pub tokens: &'a [u32],
    /// Position of the first of them.
    pub start: usize,
    /// The sequence's blocks from position 0 on; they reach to the last token.
    pub blocks: &'a [BlockId],
    pub want: Want,
}

impl Piece<'_> {
    /// Position after the last token.
    pub fn end(&self) -> usize {
        self.start + self.tokens.len()
    }
}

/// Tokens of a step, laid side by side.
pub struct Step<'a> {
    pub pieces: &'a [Piece<'a>],
    /// Position and piece of each token.
    pub tokens: Vec<(usize, usize)>,
}

/// Neighbouring tokens of one piece.
#[derive(Clone, Copy)]
pub struct Tile {
    pub piece: usize,
    pub first: usize,
    pub count: usize,
}

impl<'a> Step<'a> {
    pub fn new(pieces: &'a [Piece<'a>]) -> Self {
        let tokens =
            pieces.iter().enumerate().flat_map(|(i, p)| (0..p.tokens.len()).map(move |t| (p.start + t, i))).collect();
        Self { pieces, tokens }
    }

    /// Tokens in tiles of at most `most`, late ones first: they have the most to look at.
    pub fn tiles(&self, most: usize) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut first = 0;
        for (piece, p) in self.pieces.iter().enumerate() {
            for at in (0..p.tokens.len()).step_by(most) {
                tiles.push(Tile { piece, first: first + at, count: most.min(p.tokens.len() - at) });
            }
            first += p.tokens.len();
        }
        tiles.reverse();
        tiles
    }

    /// Rows whose results are wanted.
    pub fn wanted(&self) -> Vec<usize> {
        let mut wanted = Vec::new();
        let mut first = 0;
        for p in self.pieces {
            let count = p.tokens.len();
            match p.want {
                Want::Nothing => {}
                Want::Last => wanted.extend((first + count).checked_sub(1).filter(|_| count > 0)),
                Want::All => wanted.extend(first..first + count),
            }
            first += count;
        }
        wanted
    }
}
