//! A weight matrix in the kernels' own layout, and products of several such matrices with the same tokens.

use crate::activations::Activations;
use crate::format::{Format, PackError, float_at};
use crate::kquants::{HALVES, ROWS, Tokens};
use crate::memory::Memory;
use crate::pool::{Pool, Shared};
use crate::{blockquants, floats, kquants};

/// Tokens that meet a panel while its block lies unpacked in the first-level cache.
const TOKENS: usize = 128;
/// Blocks of 32 columns unpacked at a time.
const RUN: usize = 8;

/// `rows` × `cols` weights (output features × input features), packed in panels of rows.
pub struct Matrix {
    format: Format,
    rows: usize,
    cols: usize,
    /// Bytes of one panel.
    panel: usize,
    data: Memory,
}

enum Family {
    K,
    Block,
    Float,
}

fn family(format: Format) -> Family {
    match format {
        Format::Q4_K | Format::Q5_K | Format::Q6_K => Family::K,
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => Family::Block,
        Format::F32 | Format::F16 | Format::BF16 => Family::Float,
    }
}

impl Matrix {
    /// Packs a tensor as it stands in a GGUF file: `rows` rows of `cols` values.
    ///
    /// # Errors
    /// Rows that are not whole blocks, bytes of another length, no memory.
    pub fn pack(format: Format, rows: usize, cols: usize, bytes: &[u8], pool: &Pool) -> Result<Self, PackError> {
        let row_bytes = format.row_bytes(cols)?;
        if bytes.len() != row_bytes * rows {
            return Err(PackError::Size { given: bytes.len(), needed: row_bytes * rows });
        }
        let panel_rows = panel_rows(format);
        let panel = row_bytes * panel_rows;
        let panels = rows.div_ceil(panel_rows);
        let mut data = Memory::zeroed(panel * panels)?;
        let out = Shared::new(data.bytes_mut());
        pool.run(panels, |p| {
            // SAFETY: each panel is written by one item.
            let out = unsafe { out.slice(p * panel, panel) };
            let rows: Vec<&[u8]> = (p * panel_rows..rows.min((p + 1) * panel_rows))
                .map(|r| &bytes[r * row_bytes..(r + 1) * row_bytes])
                .collect();
            pack_panel(format, cols, &rows, out);
        });
        Ok(Self { format, rows, cols, panel, data })
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes held in memory, all of them read once for each pass.
    pub fn bytes(&self) -> usize {
        self.data.bytes().len()
    }

    /// Row `r` as floats: an embedding looked up.
    ///
    /// # Panics
    /// When there is no such row or `out` is not `cols` long.
    pub fn row(&self, r: usize, out: &mut [f32]) {
        assert!(r < self.rows && out.len() == self.cols, "no such row");
        let per_panel = panel_rows(self.format);
        let panel = &self.data.bytes()[r / per_panel * self.panel..][..self.panel];
        let r = r % per_panel;
        match family(self.format) {
            Family::K => {
                let bytes = kquants::half_block_bytes(self.format);
                let blocks = panel.chunks_exact(bytes).skip(r / ROWS).step_by(HALVES);
                for (block, out) in blocks.zip(out.chunks_exact_mut(kquants::COLS)) {
                    kquants::row(self.format, block, r % ROWS, out);
                }
            }
            Family::Block => {
                let bytes = blockquants::half_block_bytes(self.format);
                let blocks = panel.chunks_exact(bytes).skip(r / ROWS).step_by(HALVES);
                for (block, out) in blocks.zip(out.chunks_exact_mut(blockquants::COLS)) {
                    blockquants::row(self.format, block, r % ROWS, out);
                }
            }
            Family::Float => {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = float_at(self.format, panel, i * floats::STRIP + r);
                }
            }
        }
    }
}

fn panel_rows(format: Format) -> usize {
    match family(format) {
        Family::Float => floats::STRIP,
        _ => HALVES * ROWS,
    }
}

fn pack_panel(format: Format, cols: usize, rows: &[&[u8]], out: &mut [u8]) {
    let width = format.block_bytes();
    if let Family::Float = family(format) {
        for (r, row) in rows.iter().enumerate() {
            for i in 0..cols {
                let at = (i * floats::STRIP + r) * width;
                out[at..at + width].copy_from_slice(&row[i * width..(i + 1) * width]);
            }
        }
        return;
    }
    for (b, out) in out.chunks_exact_mut(width * ROWS * HALVES).enumerate() {
        for (rows, out) in rows.chunks(ROWS).zip(out.chunks_exact_mut(width * ROWS)) {
            let blocks: Vec<&[u8]> = rows.iter().map(|row| &row[b * width..(b + 1) * width]).collect();
            match family(format) {
                Family::K => kquants::pack(format, &blocks, out),
                _ => blockquants::pack(format, &blocks, out),
            }
        }
    }
}

/// One matrix and where its product goes: `[token][matrix.rows()]`.
pub struct Product<'a> {
    pub matrix: &'a Matrix,
    pub out: &'a mut [f32],
}

/// Multiplies the same tokens with several matrices, all threads working on all of them.
///
/// # Panics
/// When the dimensions do not match.
pub fn multiply(pool: &Pool, x: &Activations<'_>, products: &mut [Product<'_>]) {
    let mut work = Vec::new();
    let outs: Vec<Shared<f32>> = products.iter_mut().map(|p| Shared::new(p.out)).collect();
    for (i, product) in products.iter().enumerate() {
        let m = product.matrix;
        assert!(m.cols == x.cols && product.out.len() == x.rows * m.rows, "dimensions of a product do not match");
        prepare(m.format, x, pool);
        let panels = m.rows.div_ceil(panel_rows(m.format));
        let step = chunk(panels, m, pool.threads());
        work.extend((0..panels).step_by(step).map(|from| (i, from, panels.min(from + step))));
    }
    pool.run(work.len(), |item| {
        let (i, from, to) = work[item];
        let out = outs[i];
        panels(products[i].matrix, x, pool, from, to, out);
    });
}

/// Panels that one item works on: even, enough of them that a slow thread does not hold up the others, not so few that
/// counting them costs.
fn chunk(panels: usize, m: &Matrix, threads: usize) -> usize {
    let at_least = (64 * 1024 / m.panel.max(1)).max(2);
    (panels / (threads * 8)).max(at_least)
}

fn prepare(format: Format, x: &Activations<'_>, pool: &Pool) {
    match family(format) {
        Family::K => drop(x.blocks_k(pool)),
        Family::Block => drop(x.blocks_b(pool)),
        Family::Float => {}
    }
}

fn panels(m: &Matrix, x: &Activations<'_>, pool: &Pool, from: usize, to: usize, out: Shared<f32>) {
    let lanes = panel_rows(m.format);
    let mut sums = vec![0f32; TOKENS.min(x.rows) * lanes];
    for first in (0..x.rows).step_by(TOKENS) {
        let tokens = Tokens { first, count: TOKENS.min(x.rows - first) };
        for panel in from..to {
            let sums = &mut sums[..tokens.count * lanes];
            sums.fill(0.0);
            let data = &m.data.bytes()[panel * m.panel..(panel + 1) * m.panel];
            match family(m.format) {
                Family::K => k_panel(m, x, pool, data, tokens, sums),
                Family::Block => block_panel(m, x, pool, data, tokens, sums),
                Family::Float => float_panel(m, x, data, tokens, sums),
            }
            let row = panel * lanes;
            let count = lanes.min(m.rows - row);
            for t in 0..tokens.count {
                // SAFETY: these rows of the output belong to this panel alone.
                let out = unsafe { out.slice((tokens.first + t) * m.rows + row, count) };
                out.copy_from_slice(&sums[t * lanes..t * lanes + count]);
            }
        }
    }
}

fn k_panel(m: &Matrix, x: &Activations<'_>, pool: &Pool, data: &[u8], tokens: Tokens, sums: &mut [f32]) {
    let (format, total, x) = (m.format, x.rows, x.blocks_k(pool));
    let bytes = kquants::half_block_bytes(format);
    let mut blocks = [kquants::Block::ZERO; HALVES];
    let vectors = crate::vectors();
    for (k, packed) in data.chunks_exact(HALVES * bytes).enumerate() {
        for (packed, block) in packed.chunks_exact(bytes).zip(&mut blocks) {
            #[cfg(target_arch = "x86_64")]
            if vectors {
                // SAFETY: the CPU has what it takes, `packed` is one block.
                unsafe { kquants::avx2::unpack(format, packed, block) };
                continue;
            }
            kquants::unpack_portable(format, packed, block);
        }
        let stride = HALVES * ROWS;
        #[cfg(target_arch = "x86_64")]
        if vectors {
            // SAFETY: the CPU has what it takes, `sums` holds a panel's lanes for each token.
            unsafe { kquants::avx2::accumulate(format, &blocks, x, total, k, tokens, sums.as_mut_ptr(), stride) };
            continue;
        }
        for (half, block) in blocks.iter().enumerate() {
            kquants::accumulate_portable(format, block, x, total, k, tokens, &mut sums[half * ROWS..], stride);
        }
    }
}

fn block_panel(m: &Matrix, x: &Activations<'_>, pool: &Pool, data: &[u8], tokens: Tokens, sums: &mut [f32]) {
    let (format, total, x) = (m.format, x.rows, x.blocks_b(pool));
    let bytes = blockquants::half_block_bytes(format);
    let stride = HALVES * ROWS;
    let vectors = crate::vectors();
    #[cfg(target_arch = "x86_64")]
    if vectors && format == Format::Q8_0 {
        use blockquants::avx2::{Run, accumulate};
        // The tokens' side of a run of blocks stays in the first-level cache as well.
        for (run, packed) in data.chunks(HALVES * bytes * RUN).enumerate() {
            // SAFETY: the CPU has what it takes, `sums` holds a panel's lanes for each token.
            unsafe { accumulate::<true>(Run::packed(packed), x, total, run * RUN, tokens, sums.as_mut_ptr(), stride) };
        }
        return;
    }
    let mut blocks = [const { [blockquants::Block::ZERO; RUN] }; HALVES];
    for (run, packed) in data.chunks(HALVES * bytes * RUN).enumerate() {
        let (count, k) = (packed.len() / (HALVES * bytes), run * RUN);
        for (i, packed) in packed.chunks_exact(bytes).enumerate() {
            let block = &mut blocks[i % HALVES][i / HALVES];
            #[cfg(target_arch = "x86_64")]
            if vectors {
                // SAFETY: the CPU has what it takes, `packed` is one block.
                unsafe { blockquants::avx2::unpack(format, packed, block) };
                continue;
            }
            blockquants::unpack_portable(format, packed, block);
        }
        let halves = [&blocks[0][..count], &blocks[1][..count]];
        #[cfg(target_arch = "x86_64")]
        if vectors {
            // SAFETY: the CPU has what it takes, `sums` holds a panel's lanes for each token.
            unsafe {
                let run = blockquants::avx2::Run::unpacked(halves);
                blockquants::avx2::accumulate::<false>(run, x, total, k, tokens, sums.as_mut_ptr(), stride);
            }
            continue;
        }
        for (half, blocks) in halves.iter().enumerate() {
            blockquants::accumulate_portable(blocks, x, total, k, tokens, &mut sums[half * ROWS..], stride);
        }
    }
}

fn float_panel(m: &Matrix, x: &Activations<'_>, data: &[u8], tokens: Tokens, sums: &mut [f32]) {
    let left = &x.values[tokens.first * x.cols..(tokens.first + tokens.count) * x.cols];
    let left = floats::Left { data: left.as_ptr(), stride: x.cols, rows: tokens.count };
    let right = floats::Right { format: m.format, data: data.as_ptr(), stride: floats::STRIP };
    // SAFETY: `left` is `count` whole rows, `right` a whole panel of `cols` strips, `sums` a strip for each token.
    unsafe { floats::accumulate(left, right, x.cols, floats::STRIP, sums.as_mut_ptr(), floats::STRIP) };
}
