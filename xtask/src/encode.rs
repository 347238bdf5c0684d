//! Rows of f32 into the bytes of a tensor type, several threads at a time and in order. The quantisation itself is
//! candle's; which type a tensor gets is decided elsewhere.

use anyhow::{Context, Result, anyhow};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::io::Write;

/// About this many values are made and encoded at a time by one thread.
const VALUES_PER_JOB: usize = 1 << 19;

/// Writes `rows` × `columns` values as `dtype`; `fill(row, values)` yields one row and is called from several threads.
///
/// # Errors
/// When `columns` does not fill whole blocks of the type, and on I/O.
pub fn rows(
    out: &mut dyn Write,
    dtype: GgmlDType,
    rows: usize,
    columns: usize,
    fill: &(impl Fn(usize, &mut [f32]) + Sync),
) -> Result<()> {
    let per_job = (VALUES_PER_JOB / columns.max(1)).max(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs: Vec<_> = (0..rows).step_by(per_job).map(|start| start..rows.min(start + per_job)).collect();
    for group in jobs.chunks(threads) {
        let encoded = std::thread::scope(|scope| {
            let running: Vec<_> =
                group.iter().map(|range| scope.spawn(|| job(dtype, range.clone(), columns, fill))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("an encoding thread panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        for bytes in encoded {
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

fn job(
    dtype: GgmlDType,
    range: std::ops::Range<usize>,
    columns: usize,
    fill: &(impl Fn(usize, &mut [f32]) + Sync),
) -> Result<Vec<u8>> {
    let mut values = vec![0f32; range.len() * columns];
    for (row, into) in range.clone().zip(values.chunks_exact_mut(columns)) {
        fill(row, into);
    }
    encode(dtype, range.len(), columns, values)
}

/// The bytes of one matrix.
fn encode(dtype: GgmlDType, rows: usize, columns: usize, values: Vec<f32>) -> Result<Vec<u8>> {
    Ok(match dtype {
        GgmlDType::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        GgmlDType::F16 => values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect(),
        GgmlDType::BF16 => values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
        _ => {
            let tensor = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?;
            QTensor::quantize(&tensor, dtype).context("quantisation")?.data()?.into_owned()
        }
    })
}
